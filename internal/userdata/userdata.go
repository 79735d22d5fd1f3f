// Package userdata reads what EKS nodes are told at launch: the user data of the
// EKS-optimized images, in each of their formats. It is a pure parser: it knows
// neither instances nor clusters, and runs nothing.
//
// Whatever it cannot honour is an error that names it. A node that silently lacks
// what its user data says would be found out in production.
package userdata

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
)

// maxSize bounds user data after decompression. EC2 takes 16 KiB before it.
const maxSize = 1 << 20

// Taint is a Kubernetes taint.
type Taint struct{ Key, Value, Effect string }

// Config is what user data says about a node. What is not said is zero.
//
// The endpoint, certificate authority and service range of a cluster are accepted
// and not kept: a node gets them with the cluster's name.
type Config struct {
	Cluster    string
	Labels     map[string]string
	Taints     []Taint
	MaxPods    int
	ClusterDNS netip.Addr
}

// Parse reads user data, plain or compressed with gzip: a NodeConfig of nodeadm,
// a script that calls /etc/eks/bootstrap.sh, Bottlerocket's settings, or a MIME
// multipart of such. Data without a word in it gives the zero Config. The cluster
// may be missing, as it is in a launch template that EKS completes.
func Parse(data []byte) (Config, error) {
	var c Config
	data, err := decompress(data)
	if err != nil {
		return Config{}, err
	}
	if err := c.parse(data); err != nil {
		return Config{}, err
	}
	return c, nil
}

func decompress(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		if len(data) > maxSize {
			return nil, fmt.Errorf("the user data is larger than %d bytes", maxSize)
		}
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decompressing the user data: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing the user data: %w", err)
	}
	if len(plain) > maxSize {
		return nil, fmt.Errorf("the decompressed user data is larger than %d bytes", maxSize)
	}
	return plain, nil
}

// parse recognises a document by how it begins.
func (c *Config) parse(data []byte) error {
	text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n"))
	first, _, _ := strings.Cut(text, "\n")
	lower := strings.ToLower(first)
	switch {
	case text == "":
		return nil
	case strings.HasPrefix(lower, "content-type:"), strings.HasPrefix(lower, "mime-version:"):
		return c.parseMIME(text)
	case strings.HasPrefix(text, "#!"):
		return c.parseScript(text)
	case strings.HasPrefix(text, "#cloud-config"):
		return errors.New("cloud-config user data (#cloud-config) is not supported: " + wayOut)
	case isNodeConfig(text):
		return c.parseNodeConfigs(text)
	case isBottlerocket(text):
		return c.parseBottlerocket(text)
	default:
		return errors.New("the user data is none that an EKS node understands: " + wayOut)
	}
}

const wayOut = "give a NodeConfig (node.eks.aws/v1alpha1), a script that calls /etc/eks/bootstrap.sh, or Bottlerocket settings"

// parseMIME reads the parts of a multipart archive, each by its type.
func (c *Config) parseMIME(text string) error {
	message, err := mail.ReadMessage(bufio.NewReader(strings.NewReader(text + "\n")))
	if err != nil {
		return fmt.Errorf("reading the MIME header of the user data: %w", err)
	}
	return c.parsePart(textproto.MIMEHeader(message.Header), message.Body, true)
}

func (c *Config) parsePart(header textproto.MIMEHeader, body io.Reader, outer bool) error {
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("reading the user data's Content-Type %q: %w", header.Get("Content-Type"), err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		if !outer {
			return errors.New("the user data has a multipart within a multipart")
		}
		return c.parseMultipart(body, params["boundary"])
	}
	switch encoding := strings.ToLower(header.Get("Content-Transfer-Encoding")); encoding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "", "7bit", "8bit", "binary":
	default:
		return fmt.Errorf("a part of the user data has the Content-Transfer-Encoding %q, which is not supported", encoding)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("reading a part of the user data: %w", err)
	}
	switch kind {
	case "application/node.eks.aws":
		return c.parseNodeConfigs(string(data))
	case "text/x-shellscript":
		return c.parseScript(strings.TrimSpace(strings.ReplaceAll(string(data), "\r\n", "\n")))
	default:
		return fmt.Errorf("a part of the user data has the type %s, which is not supported: use application/node.eks.aws or text/x-shellscript", kind)
	}
}

func (c *Config) parseMultipart(body io.Reader, boundary string) error {
	if boundary == "" {
		return errors.New("the user data's multipart names no boundary")
	}
	r := multipart.NewReader(body, boundary)
	for {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the parts of the user data: %w", err)
		}
		if err := c.parsePart(part.Header, part, false); err != nil {
			return err
		}
	}
}

// setCluster and the functions below are the words that the formats share.
func (c *Config) setCluster(name string) error {
	if name == "" {
		return nil
	}
	if c.Cluster != "" && c.Cluster != name {
		return fmt.Errorf("the user data names two clusters, %q and %q", c.Cluster, name)
	}
	c.Cluster = name
	return nil
}

func (c *Config) setMaxPods(what string, n int) error {
	if n < 1 || n > 1000 {
		return fmt.Errorf("%s is %d: want 1 to 1000", what, n)
	}
	c.MaxPods = n
	return nil
}

func (c *Config) setClusterDNS(what, address string) error {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return fmt.Errorf("%s is %q: want one IPv4 address", what, address)
	}
	c.ClusterDNS = a
	return nil
}

func (c *Config) addLabel(key, value string) error {
	if key == "" || strings.ContainsAny(key+value, " \t\n\"'=,") {
		return fmt.Errorf("%q is no label of a node", key+"="+value)
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Labels[key] = value
	return nil
}

func (c *Config) addTaint(t Taint) error {
	if t.Key == "" || strings.ContainsAny(t.Key+t.Value, " \t\n\"'=,:") ||
		!slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, t.Effect) {
		return fmt.Errorf("%q is no taint: want key=value:effect, with the effect NoSchedule, PreferNoSchedule or NoExecute",
			t.Key+"="+t.Value+":"+t.Effect)
	}
	if i := slices.IndexFunc(c.Taints, func(o Taint) bool { return o.Key == t.Key && o.Effect == t.Effect }); i >= 0 {
		c.Taints[i] = t
		return nil
	}
	c.Taints = append(c.Taints, t)
	return nil
}

// addKubeletFlags takes kubelet's own arguments, with values after = or as the
// next word.
func (c *Config) addKubeletFlags(words []string) error {
	for i := 0; i < len(words); i++ {
		name, value, joined := strings.Cut(words[i], "=")
		if !strings.HasPrefix(name, "--") {
			return fmt.Errorf("%q is no argument of kubelet", words[i])
		}
		var set func(string) error
		switch name {
		case "--node-labels":
			set = c.addLabels
		case "--register-with-taints":
			set = c.addTaints
		case "--max-pods":
			set = func(v string) error {
				n, err := strconv.Atoi(v)
				if err != nil {
					return fmt.Errorf("kubelet's --max-pods is %q: want a number", v)
				}
				return c.setMaxPods("kubelet's --max-pods", n)
			}
		case "--cluster-dns":
			set = func(v string) error { return c.setClusterDNS("kubelet's --cluster-dns", v) }
		default:
			return fmt.Errorf("kubelet's argument %s is not supported: there are --node-labels, --register-with-taints, --max-pods and --cluster-dns", name)
		}
		if !joined {
			if i++; i == len(words) {
				return fmt.Errorf("kubelet's argument %s has no value", name)
			}
			value = words[i]
		}
		if err := set(value); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) addLabels(list string) error {
	for pair := range strings.SplitSeq(list, ",") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return fmt.Errorf("%q is no label: want key=value", pair)
		}
		if err := c.addLabel(key, value); err != nil {
			return err
		}
	}
	return nil
}

// addTaints reads key=value:effect, or key:effect, separated by commas.
func (c *Config) addTaints(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		if s == "" {
			continue
		}
		head, effect, _ := strings.Cut(s, ":")
		key, value, _ := strings.Cut(head, "=")
		if err := c.addTaint(Taint{key, value, effect}); err != nil {
			return err
		}
	}
	return nil
}
