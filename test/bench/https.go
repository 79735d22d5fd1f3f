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

// up starts a region on ports that are free, and makes clients for it.
func (s *site) up(ctx context.Context) error {
	free, err := freePorts(6)
	if err != nil {
		return err
	}
	s.ports = region.Ports{Endpoint: free[0], API: free[1], Registry: free[2], DNS: free[3], HTTPS: free[4], HTTP: free[5]}
	err = s.tarn(ctx, "up", fmt.Sprintf("--endpoint-port=%d", s.ports.Endpoint), fmt.Sprintf("--api-port=%d", s.ports.API),
		fmt.Sprintf("--registry-port=%d", s.ports.Registry), fmt.Sprintf("--dns-port=%d", s.ports.DNS),
		fmt.Sprintf("--https-port=%d", s.ports.HTTPS), fmt.Sprintf("--http-port=%d", s.ports.HTTP))
	if err != nil {
		return err
	}
	root, err := region.LoadCredentials(s.dir)
	if err != nil {
		return err
	}
	id, err := region.LoadIdentity(s.dir)
	if err != nil {
		return err
	}
	cfg := configuration(id, root.AccessKeyID, root.SecretAccessKey)
	s.certificates, s.names, s.balancers = acm.NewFromConfig(cfg), route53.NewFromConfig(cfg), elb.NewFromConfig(cfg)
	return nil
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

// withCertificate is a manifest with the ARN of another certificate in it.
func withCertificate(manifest []byte, arn string) ([]byte, error) {
	if n := len(certificateARN.FindAll(manifest, -1)); n != 1 {
		return nil, fmt.Errorf("the manifest has %d certificates' ARNs, not one to replace", n)
	}
	return certificateARN.ReplaceAllLiteral(manifest, []byte(arn)), nil
}

// balance applies the lesson's Service and waits until the cloud controller
// manager says where its load balancer is.
func (s *site) balance(ctx context.Context) error {
	manifest, err := os.ReadFile(filepath.Join(pages, "service-https.yaml"))
	if err != nil {
		return err
	}
	if manifest, err = withCertificate(manifest, s.certificate); err != nil {
		return err
	}
	file := filepath.Join(s.scratch, "service-https.yaml")
	if err := os.WriteFile(file, manifest, 0o644); err != nil {
		return err
	}
	if err := s.tarn(ctx, "kubectl", "apply", "-f", file); err != nil {
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
		if ok, err := done(ctx); ok || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}
