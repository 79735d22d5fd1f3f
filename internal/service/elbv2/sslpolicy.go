package elbv2

import (
	"context"
	"slices"
	"strings"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// defaultSSLPolicy is on HTTPS listeners that were given none.
const defaultSSLPolicy = "ELBSecurityPolicy-2016-08"

// SSLPolicy is a predefined security policy: what an HTTPS listener negotiates.
type SSLPolicy struct {
	Name      string
	Protocols []string // TLSv1, TLSv1.1, TLSv1.2, TLSv1.3
	Ciphers   []string // by OpenSSL's names, the preferred first
}

// allCiphers are what the policies choose from, in AWS's order.
var allCiphers = strings.Fields(`
TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256
ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256
ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA
ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384
ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA
AES128-GCM-SHA256 AES128-SHA256 AES128-SHA AES256-GCM-SHA384 AES256-SHA256 AES256-SHA DES-CBC3-SHA`)

// What a policy takes of those.
func any13(c string) bool  { return c != "DES-CBC3-SHA" }
func any12(c string) bool  { return any13(c) && !tls13(c) }
func tls13(c string) bool  { return strings.HasPrefix(c, "TLS_") }
func ecdhe(c string) bool  { return strings.HasPrefix(c, "ECDHE-") }
func sha1(c string) bool   { return strings.HasSuffix(c, "-SHA") }
func strict(c string) bool { return ecdhe(c) && strings.Contains(c, "-GCM-") }

// sslPolicies are the predefined ones, by name, without those whose names have FIPS
// or PQ in them: they are about more than protocols and ciphers.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/describe-ssl-policies.html
var sslPolicies = []SSLPolicy{
	sslPolicy("ELBSecurityPolicy-2015-05", "TLSv1 TLSv1.1 TLSv1.2", any12),
	sslPolicy("ELBSecurityPolicy-2016-08", "TLSv1 TLSv1.1 TLSv1.2", any12),
	sslPolicy("ELBSecurityPolicy-FS-1-1-2019-08", "TLSv1.1 TLSv1.2", ecdhe),
	sslPolicy("ELBSecurityPolicy-FS-1-2-2019-08", "TLSv1.2", ecdhe),
	sslPolicy("ELBSecurityPolicy-FS-1-2-Res-2019-08", "TLSv1.2", func(c string) bool { return ecdhe(c) && !sha1(c) }),
	sslPolicy("ELBSecurityPolicy-FS-1-2-Res-2020-10", "TLSv1.2", strict),
	sslPolicy("ELBSecurityPolicy-FS-2018-06", "TLSv1 TLSv1.1 TLSv1.2", ecdhe),
	sslPolicy("ELBSecurityPolicy-TLS-1-0-2015-04", "TLSv1 TLSv1.1 TLSv1.2", func(c string) bool { return !tls13(c) }),
	sslPolicy("ELBSecurityPolicy-TLS-1-1-2017-01", "TLSv1.1 TLSv1.2", any12),
	sslPolicy("ELBSecurityPolicy-TLS-1-2-2017-01", "TLSv1.2", func(c string) bool { return any12(c) && !sha1(c) }),
	sslPolicy("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", "TLSv1.2", any12),
	sslPolicy("ELBSecurityPolicy-TLS13-1-0-2021-06", "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3", any13),
	sslPolicy("ELBSecurityPolicy-TLS13-1-1-2021-06", "TLSv1.1 TLSv1.2 TLSv1.3", any13),
	sslPolicy("ELBSecurityPolicy-TLS13-1-2-2021-06", "TLSv1.2 TLSv1.3", func(c string) bool { return tls13(c) || ecdhe(c) && !sha1(c) }),
	sslPolicy("ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06", "TLSv1.2 TLSv1.3", func(c string) bool { return any13(c) && !sha1(c) }),
	sslPolicy("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", "TLSv1.2 TLSv1.3", any13),
	sslPolicy("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "TLSv1.2 TLSv1.3", func(c string) bool { return tls13(c) || strict(c) }),
	sslPolicy("ELBSecurityPolicy-TLS13-1-3-2021-06", "TLSv1.3", tls13),
}

func sslPolicy(name, protocols string, has func(cipher string) bool) SSLPolicy {
	p := SSLPolicy{Name: name, Protocols: strings.Fields(protocols)}
	for _, c := range allCiphers {
		if has(c) {
			p.Ciphers = append(p.Ciphers, c)
		}
	}
	return p
}

// FindSSLPolicy finds a predefined security policy by its name.
func FindSSLPolicy(name string) (SSLPolicy, bool) {
	i := slices.IndexFunc(sslPolicies, func(p SSLPolicy) bool { return p.Name == name })
	if i < 0 {
		return SSLPolicy{}, false
	}
	return sslPolicies[i], true
}

// DescribeSSLPolicies implements elbv2api.Handler.
func (s *Service) DescribeSSLPolicies(_ context.Context, in *elbv2api.DescribeSSLPoliciesInput) (*elbv2api.DescribeSSLPoliciesOutput, error) {
	wanted := slices.Clone(sslPolicies)
	for _, name := range in.Names {
		if _, ok := FindSSLPolicy(name); !ok {
			return nil, noSSLPolicy(name)
		}
	}
	if len(in.Names) > 0 {
		wanted = slices.DeleteFunc(wanted, func(p SSLPolicy) bool { return !slices.Contains(in.Names, p.Name) })
	}
	if t := in.LoadBalancerType; t != "" {
		if err := among("loadBalancerType", t, elbv2api.LoadBalancerTypeEnumApplication, elbv2api.LoadBalancerTypeEnumNetwork, elbv2api.LoadBalancerTypeEnumGateway); err != nil {
			return nil, err
		}
		if t != elbv2api.LoadBalancerTypeEnumApplication {
			wanted = nil
		}
	}
	wanted, next, err := loadbalancer.Page(wanted, func(p SSLPolicy) string { return p.Name }, in.PageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	out := &elbv2api.DescribeSSLPoliciesOutput{SslPolicies: []elbv2api.SslPolicy{}, NextMarker: next}
	for _, p := range wanted {
		d := elbv2api.SslPolicy{Name: &p.Name, SslProtocols: p.Protocols, SupportedLoadBalancerTypes: []string{"application"}}
		for i, c := range p.Ciphers {
			d.Ciphers = append(d.Ciphers, elbv2api.Cipher{Name: &c, Priority: new(int32(i + 1))})
		}
		out.SslPolicies = append(out.SslPolicies, d)
	}
	return out, nil
}

func noSSLPolicy(name string) error {
	return elbv2api.SSLPolicyNotFoundException.New("SSL policy '%s' not found", name)
}
