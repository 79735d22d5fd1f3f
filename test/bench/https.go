package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/region"
)

const (
	zone    = "example.com"
	api     = "api.example.com"
	pages   = "examples/backend-app/k8s" // manifests
	service = "backend-service"          // of the manifest
	// often is how often to look whether something has come about.
	often = 20 * time.Millisecond
	// patience bounds each wait.
	patience = 2 * time.Minute
)

// site is a region on its way to an application that answers over HTTPS by its
// name. The steps are those of the lesson, one after the other as in a script.
type site struct {
	bench
	ports        region.Ports
	certificates *acm.Client
	names        *route53.Client
	balancers    *elb.Client

	zone        string // id
	certificate string // ARN
	balancer    string // DNS name
	address     netip.Addr
}

// https measures how long it takes from nothing to an application that answers
// over HTTPS by its Route 53 name.
func (b bench) https(ctx context.Context, runs int) ([]row, error) {
	all := row{what: "from nothing to the application over HTTPS by its name", unit: "s", target: 20}
	var rows []row
	for n := range runs {
		if err := b.none(ctx); err != nil {
			return nil, err
		}
		s := site{bench: b}
		began := time.Now()
		for i, step := range s.steps() {
			start := time.Now()
			if err := step.do(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", step.what, err)
			}
			if n == 0 {
				rows = append(rows, row{what: "… of which: " + step.what, unit: "s"})
			}
			rows[i].values = append(rows[i].values, time.Since(start).Seconds())
		}
		all.values = append(all.values, time.Since(began).Seconds())
	}
	return append([]row{all}, rows...), b.none(ctx)
}

// none removes the region that an earlier part left.
func (b bench) none(ctx context.Context) error {
	if !region.Exists(b.dir) {
		return nil
	}
	return b.tarn(ctx, "delete")
}

type step struct {
	what string
	do   func(context.Context) error
}

func (s *site) steps() []step {
	return []step{
		{"tarn up", s.up},
		{"the application, applied", func(ctx context.Context) error {
			return s.tarn(ctx, "kubectl", "apply", "-f", filepath.Join(pages, "backend-app.yaml"))
		}},
		{"a certificate, issued", s.certify},
		{"the Service has a load balancer", s.balance},
		{"an alias record, in DNS", s.point},
		{"answered 200 over HTTPS", s.answer},
	}
}

// up starts the site's region, and makes clients for it.
func (s *site) up(ctx context.Context) error {
	cfg, id, err := s.upAside(ctx)
	if err != nil {
		return err
	}
	s.ports = id.Ports
	s.certificates, s.names, s.balancers = acm.NewFromConfig(cfg), route53.NewFromConfig(cfg), elb.NewFromConfig(cfg)
	return nil
}

// upAside starts a region on ports that are free, and says how to call it.
func (b bench) upAside(ctx context.Context) (aws.Config, region.Identity, error) {
	free, err := freePorts(6)
	if err != nil {
		return aws.Config{}, region.Identity{}, err
	}
	err = b.tarn(ctx, "up", fmt.Sprintf("--endpoint-port=%d", free[0]), fmt.Sprintf("--api-port=%d", free[1]),
		fmt.Sprintf("--registry-port=%d", free[2]), fmt.Sprintf("--dns-port=%d", free[3]),
		fmt.Sprintf("--https-port=%d", free[4]), fmt.Sprintf("--http-port=%d", free[5]))
	if err != nil {
		return aws.Config{}, region.Identity{}, err
	}
	root, err := region.LoadCredentials(b.dir)
	if err != nil {
		return aws.Config{}, region.Identity{}, err
	}
	id, err := region.LoadIdentity(b.dir)
	return configuration(id, root.AccessKeyID, root.SecretAccessKey), id, err
}

// certify requests a certificate and proves by a record that the name is ours.
func (s *site) certify(ctx context.Context) error {
	hosted, err := s.names.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{
		Name: aws.String(zone), CallerReference: aws.String(fmt.Sprint(time.Now().UnixNano())),
	})
	if err != nil {
		return err
	}
	s.zone = *hosted.HostedZone.Id
	requested, err := s.certificates.RequestCertificate(ctx, &acm.RequestCertificateInput{
		DomainName: aws.String(api), ValidationMethod: acmtypes.ValidationMethodDns,
	})
	if err != nil {
		return err
	}
	s.certificate = *requested.CertificateArn
	describe := func(ctx context.Context) (*acmtypes.CertificateDetail, error) {
		out, err := s.certificates.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &s.certificate})
		if err != nil {
			return nil, err
		}
		if out.Certificate.Status == acmtypes.CertificateStatusFailed {
			return nil, fmt.Errorf("the certificate is %s: %s", out.Certificate.Status, out.Certificate.FailureReason)
		}
		return out.Certificate, nil
	}
	var proof *acmtypes.ResourceRecord
	err = await(ctx, "a record to validate with", func(ctx context.Context) (bool, error) {
		c, err := describe(ctx)
		if err != nil {
			return false, err
		}
		for _, v := range c.DomainValidationOptions {
			proof = v.ResourceRecord
		}
		return proof != nil, nil
	})
	if err != nil {
		return err
	}
	err = s.record(ctx, types.ResourceRecordSet{
		Name: proof.Name, Type: types.RRType(proof.Type), TTL: aws.Int64(300),
		ResourceRecords: []types.ResourceRecord{{Value: proof.Value}},
	})
	if err != nil {
		return err
	}
	return await(ctx, "a certificate that is issued", func(ctx context.Context) (bool, error) {
		c, err := describe(ctx)
		return err == nil && c.Status == acmtypes.CertificateStatusIssued, err
	})
}

// record creates a record set.
func (s *site) record(ctx context.Context, set types.ResourceRecordSet) error {
	_, err := s.names.ChangeResourceRecordSets(ctx, &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &s.zone,
		ChangeBatch:  &types.ChangeBatch{Changes: []types.Change{{Action: types.ChangeActionCreate, ResourceRecordSet: &set}}},
	})
	return err
}

// certificateARN is the one that the lesson tells people to replace.
var certificateARN = regexp.MustCompile(`arn:aws:acm:[^\s"']+`)

// filledIn is a manifest in which the one place that people are told to replace
// is replaced.
func filledIn(manifest []byte, place *regexp.Regexp, value string) ([]byte, error) {
	if n := len(place.FindAll(manifest, -1)); n != 1 {
		return nil, fmt.Errorf("the manifest has %d places like %s, not one to replace", n, place)
	}
	return place.ReplaceAllLiteral(manifest, []byte(value)), nil
}

// apply applies a manifest with a place filled in.
func (b bench) apply(ctx context.Context, manifest string, place *regexp.Regexp, value string) error {
	text, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	if text, err = filledIn(text, place, value); err != nil {
		return fmt.Errorf("%s: %w", manifest, err)
	}
	file := filepath.Join(b.scratch, filepath.Base(manifest))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	return b.tarn(ctx, "kubectl", "apply", "-f", file)
}

// balance applies the lesson's Service and waits until the cloud controller
// manager says where its load balancer is.
func (s *site) balance(ctx context.Context) error {
	if err := s.apply(ctx, filepath.Join(pages, "service-https.yaml"), certificateARN, s.certificate); err != nil {
		return err
	}
	const path = `{.status.loadBalancer.ingress[0].hostname}`
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, "--data-dir", s.dir, "kubectl", "wait", "service/"+service,
		"--for=jsonpath="+path, "--timeout="+patience.String(), "--output=jsonpath="+path)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return err
	}
	s.balancer = strings.TrimSpace(string(out))
	return nil
}

// point makes the name an alias of the load balancer and waits until the region's
// DNS server has an address for it.
func (s *site) point(ctx context.Context) error {
	known, err := s.balancers.DescribeLoadBalancers(ctx, nil)
	if err != nil {
		return err
	}
	var target *types.AliasTarget
	for _, lb := range known.LoadBalancerDescriptions {
		if strings.EqualFold(aws.ToString(lb.DNSName), s.balancer) {
			target = &types.AliasTarget{DNSName: lb.DNSName, HostedZoneId: lb.CanonicalHostedZoneNameID}
		}
	}
	if target == nil {
		return fmt.Errorf("the Service's load balancer is %q, and none of %d has that name", s.balancer, len(known.LoadBalancerDescriptions))
	}
	if err := s.record(ctx, types.ResourceRecordSet{Name: aws.String(api), Type: types.RRTypeA, AliasTarget: target}); err != nil {
		return err
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(api), dns.TypeA)
	return await(ctx, "an address for "+api, func(ctx context.Context) (bool, error) {
		reply, _, err := new(dns.Client).ExchangeContext(ctx, question, fmt.Sprintf("127.0.0.1:%d", s.ports.DNS))
		if err != nil {
			return false, err
		}
		for _, rr := range reply.Answer {
			if a, ok := rr.(*dns.A); ok {
				s.address, ok = netip.AddrFromSlice(a.A.To4())
				return ok, nil
			}
		}
		return false, nil
	})
}

// answer waits until the application answers at the name's address, to a client
// that trusts the region's authority and nobody else.
func (s *site) answer(ctx context.Context) error {
	authority, err := os.ReadFile(filepath.Join(s.dir, "ca", "root.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return errors.New("the region's authority is no certificate")
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", netip.AddrPortFrom(s.address, 443).String())
		},
	}
	var last error // why it does not answer yet
	err = await(ctx, "200 from https://"+api, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+api+"/", nil)
		if err != nil {
			return false, err
		}
		resp, err := transport.RoundTrip(request)
		if err != nil {
			var untrusted *tls.CertificateVerificationError
			if errors.As(err, &untrusted) {
				return false, err // it does not get better
			}
			last = err
			return false, nil
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode == http.StatusOK && err == nil {
			return true, nil
		}
		last = errors.Join(fmt.Errorf("answered %s", resp.Status), err)
		return false, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w; the last time: %w", err, last)
	}
	return err
}

// await calls done, often, until it returns true or an error.
func await(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(often)
	defer again.Stop()
	for {
		ok, err := done(ctx)
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}
