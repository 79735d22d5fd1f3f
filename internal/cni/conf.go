package cni

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

// FileName is the configuration's name in containerd's CNI directory, as on EKS.
const FileName = "10-aws.conflist"

// Network is what the plugin has to know about its instance.
type Network struct {
	MTU       int          // bytes, the instance's
	Addresses []netip.Addr // the instance's secondary addresses
	StateDir  string       // absolute; the plugin keeps who has which address there
}

// plugin is the configuration of one plugin in a list.
type plugin struct {
	Type         string          `json:"type"`
	MTU          int             `json:"mtu"`
	Addresses    []netip.Addr    `json:"addresses"`
	StateDir     string          `json:"stateDir"`
	Capabilities map[string]bool `json:"capabilities"`
}

// Config renders the CNI network of an instance for containerd: the content of
// FileName.
//
// Its version is 1.0.0, as the VPC CNI's: from 1.1.0 on containerd asks for the
// plugin's STATUS and would call the node not ready once all its addresses are
// in use.
func Config(n Network) ([]byte, error) {
	list := struct {
		CNIVersion string   `json:"cniVersion"`
		Name       string   `json:"name"`
		Plugins    []plugin `json:"plugins"`
	}{
		"1.0.0", Name, []plugin{{
			Type:         Name,
			MTU:          n.MTU,
			Addresses:    n.Addresses,
			StateDir:     n.StateDir,
			Capabilities: map[string]bool{"portMappings": true},
		}},
	}
	c := conf{MTU: n.MTU, Addresses: n.Addresses, StateDir: n.StateDir}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("CNI configuration: %w", err)
	}
	return json.MarshalIndent(list, "", "  ")
}

// conf is what the plugin gets on its standard input.
type conf struct {
	types.PluginConf
	MTU           int          `json:"mtu"`
	Addresses     []netip.Addr `json:"addresses"`
	StateDir      string       `json:"stateDir"`
	RuntimeConfig struct {
		PortMappings []portMapping `json:"portMappings"`
	} `json:"runtimeConfig"`
}

func parseConf(stdin []byte) (*conf, error) {
	c := new(conf)
	if err := json.Unmarshal(stdin, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "parse the network configuration", err.Error())
	}
	if err := c.check(); err != nil {
		return nil, types.NewError(types.ErrInvalidNetworkConfig, "invalid network configuration", err.Error())
	}
	if c.RawPrevResult != nil {
		if err := version.ParsePrevResult(&c.PluginConf); err != nil {
			return nil, types.NewError(types.ErrDecodingFailure, "parse prevResult", err.Error())
		}
	}
	return c, nil
}

func (c *conf) check() error {
	if c.MTU < 576 || c.MTU > 65535 {
		return fmt.Errorf("mtu %d is not between 576 and 65535", c.MTU)
	}
	if !filepath.IsAbs(c.StateDir) {
		return fmt.Errorf("stateDir %q is not an absolute path", c.StateDir)
	}
	seen := make(map[netip.Addr]bool, len(c.Addresses))
	for _, addr := range c.Addresses {
		if !addr.Is4() || addr.IsUnspecified() {
			return fmt.Errorf("address %q is not an IPv4 address", addr)
		}
		if seen[addr] {
			return fmt.Errorf("address %s is listed twice", addr)
		}
		seen[addr] = true
	}
	for _, p := range c.RuntimeConfig.PortMappings {
		if err := p.check(); err != nil {
			return fmt.Errorf("port mapping: %w", err)
		}
	}
	return nil
}

// checkPrevious verifies that the result of ADD, which CHECK gets, has the
// address that is on record.
func (c *conf) checkPrevious(addr netip.Addr) error {
	if c.PrevResult == nil {
		return errors.New("prevResult is missing")
	}
	prev, err := current.NewResultFromResult(c.PrevResult)
	if err != nil {
		return fmt.Errorf("read prevResult: %w", err)
	}
	for _, ip := range prev.IPs {
		if got, ok := netip.AddrFromSlice(ip.Address.IP); ok && got.Unmap() == addr {
			return nil
		}
	}
	return fmt.Errorf("prevResult does not have the container's address %s", addr)
}

// podArgs are the CNI_ARGS that a Kubernetes runtime gives.
type podArgs struct {
	types.CommonArgs
	K8S_POD_NAME      types.UnmarshallableString // the name is the key
	K8S_POD_NAMESPACE types.UnmarshallableString
}

// hostInterface names the instance's end of a pod's link as the VPC CNI does,
// by a hash of the pod's namespace and name. Without a pod it is the container's.
func hostInterface(args *skel.CmdArgs) (string, error) {
	pod := podArgs{CommonArgs: types.CommonArgs{IgnoreUnknown: true}}
	if err := types.LoadArgs(args.Args, &pod); err != nil {
		return "", types.NewError(types.ErrInvalidEnvironmentVariables, "parse CNI_ARGS", err.Error())
	}
	owner := string(pod.K8S_POD_NAMESPACE) + "." + string(pod.K8S_POD_NAME)
	if pod.K8S_POD_NAME == "" {
		owner = args.ContainerID
	}
	if args.IfName != "eth0" {
		owner += "." + args.IfName
	}
	sum := sha1.Sum([]byte(owner))
	return "eni" + hex.EncodeToString(sum[:])[:11], nil
}
