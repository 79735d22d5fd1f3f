package elbv2_test

import (
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

// The policies are as AWS lists them.
func TestSSLPolicies(t *testing.T) {
	f := newFixture(t)
	const (
		tls13  = "TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256 "
		strict = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384"
		sha2   = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256 " +
			"ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384"
		rsa2  = " AES128-GCM-SHA256 AES128-SHA256 AES256-GCM-SHA384 AES256-SHA256"
		ecdhe = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256 " +
			"ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA " +
			"ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384 " +
			"ECDHE-ECDSA-AES256-SHA ECDHE-RSA-AES256-SHA"
		all = ecdhe + " AES128-GCM-SHA256 AES128-SHA256 AES128-SHA AES256-GCM-SHA384 AES256-SHA256 AES256-SHA"
	)
	want := map[string]string{
		"2015-05": "TLSv1 TLSv1.1 TLSv1.2: " + all, "2016-08": "TLSv1 TLSv1.1 TLSv1.2: " + all,
		"TLS-1-0-2015-04": "TLSv1 TLSv1.1 TLSv1.2: " + all + " DES-CBC3-SHA",
		"TLS-1-1-2017-01": "TLSv1.1 TLSv1.2: " + all, "TLS-1-2-Ext-2018-06": "TLSv1.2: " + all, "TLS-1-2-2017-01": "TLSv1.2: " + sha2 + rsa2,
		"FS-2018-06": "TLSv1 TLSv1.1 TLSv1.2: " + ecdhe, "FS-1-1-2019-08": "TLSv1.1 TLSv1.2: " + ecdhe, "FS-1-2-2019-08": "TLSv1.2: " + ecdhe,
		"FS-1-2-Res-2019-08": "TLSv1.2: " + sha2, "FS-1-2-Res-2020-10": "TLSv1.2: " + strict,
		"TLS13-1-0-2021-06": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3: " + tls13 + all, "TLS13-1-1-2021-06": "TLSv1.1 TLSv1.2 TLSv1.3: " + tls13 + all,
		"TLS13-1-2-Ext2-2021-06": "TLSv1.2 TLSv1.3: " + tls13 + all, "TLS13-1-2-Ext1-2021-06": "TLSv1.2 TLSv1.3: " + tls13 + sha2 + rsa2,
		"TLS13-1-2-2021-06": "TLSv1.2 TLSv1.3: " + tls13 + sha2, "TLS13-1-2-Res-2021-06": "TLSv1.2 TLSv1.3: " + tls13 + strict,
		"TLS13-1-3-2021-06": "TLSv1.3: " + strings.TrimSpace(tls13),
	}
	out, err := f.DescribeSSLPolicies(t.Context(), &sdk.DescribeSSLPoliciesInput{LoadBalancerType: "application"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range out.SslPolicies {
		name := strings.TrimPrefix(*p.Name, "ELBSecurityPolicy-")
		got[name] = strings.Join(p.SslProtocols, " ") + ":"
		for i, c := range p.Ciphers {
			got[name] += " " + *c.Name
			if *c.Priority != int32(i+1) {
				t.Errorf("%s: %s has priority %d", name, *c.Name, *c.Priority)
			}
		}
		found, ok := elbv2.FindSSLPolicy(*p.Name)
		if !ok || found.Name != *p.Name || len(found.Ciphers) != len(p.Ciphers) {
			t.Errorf("%s is %+v, %v", *p.Name, found, ok)
		}
	}
	for name, text := range want {
		same(t, name, got[name], text)
	}
	same(t, "how many", len(got), len(want))

	out, err = f.DescribeSSLPolicies(t.Context(), &sdk.DescribeSSLPoliciesInput{Names: []string{"ELBSecurityPolicy-2016-08"}})
	f.ok("by name", err)
	same(t, "by name", fmt.Sprint(len(out.SslPolicies), *out.SslPolicies[0].Name), fmt.Sprint(1, "ELBSecurityPolicy-2016-08"))
	_, err = f.DescribeSSLPolicies(t.Context(), &sdk.DescribeSSLPoliciesInput{Names: []string{"strong"}})
	f.fails("no policy", err, "SSLPolicyNotFound", "SSL policy 'strong' not found")
	out, err = f.DescribeSSLPolicies(t.Context(), &sdk.DescribeSSLPoliciesInput{LoadBalancerType: "gateway"})
	if err != nil || len(out.SslPolicies) > 0 {
		t.Errorf("gateway: %+v, %v", out, err)
	}
}
