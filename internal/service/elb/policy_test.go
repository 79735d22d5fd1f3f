package elb_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
)

// The cloud controller manager makes the same policy again and again, and looks for
// others by their name: facts.md.
func TestAsTheCloudControllerDoes(t *testing.T) {
	f := newFixture(t)
	f.create("a0123", "http:80:http:30080", "https:443:http:30080")
	for range 2 {
		f.ok("policy", f.policy("a0123", "k8s-proxyprotocol-enabled", "ProxyProtocolPolicyType", "ProxyProtocol=true"))
		f.ok("enable", f.onBackend("a0123", 30080, "k8s-proxyprotocol-enabled"))
	}
	backends := f.describe("a0123").BackendServerDescriptions
	if len(backends) != 1 || *backends[0].InstancePort != 30080 || !slices.Equal(backends[0].PolicyNames, []string{"k8s-proxyprotocol-enabled"}) {
		t.Errorf("backends: %+v", backends)
	}
	f.ok("disable", f.onBackend("a0123", 30080))
	f.ok("a port of a former listener", f.onBackend("a0123", 30081))
	if d := f.describe("a0123"); len(d.BackendServerDescriptions) != 0 {
		t.Errorf("backends: %+v", d.BackendServerDescriptions)
	}

	const name = "k8s-SSLNegotiationPolicy-ELBSecurityPolicy-TLS-1-2-2017-01"
	find := func() (*sdk.DescribeLoadBalancerPoliciesOutput, error) {
		return f.DescribeLoadBalancerPolicies(t.Context(), &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: new("a0123"), PolicyNames: []string{name}})
	}
	_, err := find()
	f.fails("not yet", err, "PolicyNotFound", "There is no policy with name "+name+" for load balancer a0123")
	f.ok("reference", f.policy("a0123", name, "SSLNegotiationPolicyType", "Reference-Security-Policy=ELBSecurityPolicy-TLS-1-2-2017-01"))
	out, err := find()
	if err != nil || len(out.PolicyDescriptions) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	same(t, "reference", enabled(out.PolicyDescriptions[0]), "Reference-Security-Policy=ELBSecurityPolicy-TLS-1-2-2017-01 TLSv1.2 order"+
		" ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256"+
		" ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384"+
		" AES128-GCM-SHA256 AES128-SHA256 AES256-GCM-SHA384 AES256-SHA256")
	f.ok("set", f.onListener("a0123", 443, name))
	same(t, "listeners", f.listeners("a0123"), "HTTP:80:HTTP:30080 HTTPS:443:HTTP:30080["+name+"]")
	f.fails("one that is not the load balancer's", f.onListener("a0123", 443, "ELBSecurityPolicy-2015-05"), "PolicyNotFound",
		"There is no policy with name ELBSecurityPolicy-2015-05 for load balancer a0123")
}

// enabled is what an SSL negotiation policy enables.
func enabled(p types.PolicyDescription) string {
	var all []string
	for _, a := range p.PolicyAttributeDescriptions {
		name, value := *a.AttributeName, *a.AttributeValue
		switch {
		case name == "Reference-Security-Policy":
			all = append(all, name+"="+value)
		case value != "true":
		case name == "Server-Defined-Cipher-Order":
			all = append(all, "order")
		default:
			all = append(all, strings.TrimPrefix(name, "Protocol-"))
		}
	}
	return strings.Join(all, " ")
}

// AWS's table: https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-security-policy-table.html,
// and of the oldest three its earlier versions.
func TestPredefined(t *testing.T) {
	f := newFixture(t)
	const (
		ecdhe128 = "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256 ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA "
		rest     = "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384 ECDHE-RSA-AES256-SHA ECDHE-ECDSA-AES256-SHA" +
			" AES128-GCM-SHA256 AES128-SHA256 AES128-SHA AES256-GCM-SHA384 AES256-SHA256 AES256-SHA"
	)
	want := map[string]string{
		"ELBSecurityPolicy-2016-08":         "TLSv1 TLSv1.1 TLSv1.2 order " + ecdhe128 + rest,
		"ELBSecurityPolicy-TLS-1-1-2017-01": "TLSv1.1 TLSv1.2 order " + ecdhe128 + rest,
		"ELBSecurityPolicy-2015-05":         "TLSv1 TLSv1.1 TLSv1.2 order " + ecdhe128 + rest + " DES-CBC3-SHA",
		"ELBSecurityPolicy-2015-03":         "TLSv1 TLSv1.1 TLSv1.2 order " + ecdhe128 + "DHE-RSA-AES128-SHA " + rest + " DHE-DSS-AES128-SHA DES-CBC3-SHA",
		"ELBSecurityPolicy-2015-02":         "TLSv1 TLSv1.1 TLSv1.2 order " + ecdhe128 + "DHE-RSA-AES128-SHA " + rest + " DHE-DSS-AES128-SHA",
		"ELBSecurityPolicy-2014-10":         "TLSv1 TLSv1.1 TLSv1.2 order " + ecdhe128 + "DHE-RSA-AES128-SHA " + rest + " DHE-DSS-AES128-SHA ECDHE-RSA-RC4-SHA RC4-SHA",
		"ELBSecurityPolicy-2014-01":         "TLSv1 SSLv3 TLSv1.1 TLSv1.2 order " + ecdhe128 + "DHE-RSA-AES128-SHA " + rest + " DHE-DSS-AES128-SHA ECDHE-RSA-RC4-SHA RC4-SHA",
		"ELBSecurityPolicy-2011-08":         "TLSv1 SSLv3 DHE-RSA-AES128-SHA AES128-SHA AES256-SHA DHE-DSS-AES128-SHA CAMELLIA128-SHA EDH-RSA-DES-CBC3-SHA DES-CBC3-SHA RC4-SHA",
	}
	out, err := f.DescribeLoadBalancerPolicies(t.Context(), &sdk.DescribeLoadBalancerPoliciesInput{})
	if err != nil || len(out.PolicyDescriptions) != 9 || *out.PolicyDescriptions[0].PolicyName != "ELBSecurityPolicy-2016-08" {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, p := range out.PolicyDescriptions {
		if text, ok := want[*p.PolicyName]; ok {
			same(t, *p.PolicyName, enabled(p), text)
		}
		if n := len(p.PolicyAttributeDescriptions); n != 5+1+88 {
			t.Errorf("%s has %d attributes", *p.PolicyName, n)
		}
	}
	_, err = f.DescribeLoadBalancerPolicies(t.Context(), &sdk.DescribeLoadBalancerPoliciesInput{PolicyNames: []string{"x"}})
	f.fails("no sample", err, "PolicyNotFound", "There is no sample policy with name x")
}

func publicKey(t *testing.T) (body, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestPolicies(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080", "https:443:https:8443", "tcp:5432:tcp:5432", "ssl:6379:ssl:6379")
	body, file := publicKey(t)
	for _, tt := range []struct{ name, kind, attributes, code, message string }{
		{"proxy", "ProxyProtocolPolicyType", "ProxyProtocol=true", "", ""},
		{"proxy", "ProxyProtocolPolicyType", "ProxyProtocol=TRUE", "", ""},
		{"proxy", "ProxyProtocolPolicyType", "ProxyProtocol=false", "DuplicatePolicyName", "A policy with name proxy already exists for load balancer web, with different attributes"},
		{"proxy", "AppCookieStickinessPolicyType", "CookieName=c", "DuplicatePolicyName", "A policy with name proxy already exists for load balancer web, with different attributes"},
		{"p", "NoPolicyType", "", "PolicyTypeNotFound", "There is no policy type with name NoPolicyType"},
		{"a_b", "ProxyProtocolPolicyType", "ProxyProtocol=true", "ValidationError", "Policy names are of 1 to 128 letters, digits and dashes, and 'a_b' is not"},
		{"p", "ProxyProtocolPolicyType", "", "InvalidConfigurationRequest", "Policy attribute ProxyProtocol must be specified for policy type ProxyProtocolPolicyType"},
		{"p", "ProxyProtocolPolicyType", "ProxyProtocol=yes", "InvalidConfigurationRequest", "Value 'yes' of policy attribute ProxyProtocol must be true or false"},
		{"p", "ProxyProtocolPolicyType", "ProxyProtocol=true ProxyProtocol=true", "InvalidConfigurationRequest", "Policy attribute ProxyProtocol cannot be specified more than once for policy type ProxyProtocolPolicyType"},
		{"p", "ProxyProtocolPolicyType", "Colour=red", "InvalidConfigurationRequest", "Policy attribute Colour is not supported for policy type ProxyProtocolPolicyType"},
		{"app", "AppCookieStickinessPolicyType", "CookieName=JSESSIONID", "", ""},
		{"p", "AppCookieStickinessPolicyType", "CookieName=a;b", "InvalidConfigurationRequest", "Value 'a;b' of policy attribute CookieName must be a name that a cookie may have"},
		{"lb", "LBCookieStickinessPolicyType", "CookieExpirationPeriod=60", "", ""},
		{"session", "LBCookieStickinessPolicyType", "", "", ""},
		{"p", "LBCookieStickinessPolicyType", "CookieExpirationPeriod=-1", "InvalidConfigurationRequest", "Value '-1' of policy attribute CookieExpirationPeriod must be a number of seconds, 0 or more"},
		{"tls", "SSLNegotiationPolicyType", "Protocol-TLSv1.2=true AES128-SHA=true AES256-SHA=false", "", ""},
		{"tls", "SSLNegotiationPolicyType", "AES128-SHA=true Protocol-TLSv1.2=true", "", ""},
		{"ref", "SSLNegotiationPolicyType", "Reference-Security-Policy=ELBSecurityPolicy-2015-05", "", ""},
		{"p", "SSLNegotiationPolicyType", "Reference-Security-Policy=ELBSecurityPolicy-1999-01", "InvalidConfigurationRequest", "There is no predefined security policy with name ELBSecurityPolicy-1999-01"},
		{"p", "SSLNegotiationPolicyType", "Reference-Security-Policy=ELBSecurityPolicy-2015-05 AES128-SHA=true", "InvalidConfigurationRequest", "Policy attribute Reference-Security-Policy cannot be specified with others"},
		{"p", "SSLNegotiationPolicyType", "AES128-SHA=true", "InvalidConfigurationRequest", "An SSL negotiation policy must enable at least one protocol"},
		{"p", "SSLNegotiationPolicyType", "Protocol-TLSv1.2=true", "InvalidConfigurationRequest", "An SSL negotiation policy must enable at least one cipher"},
		{"key", "PublicKeyPolicyType", "PublicKey=" + body, "", ""},
		{"p", "PublicKeyPolicyType", "PublicKey=x", "InvalidConfigurationRequest", "Public key of the policy is not valid: it is not in base64: illegal base64 data at input byte 0"},
		{"backend", "BackendServerAuthenticationPolicyType", "PublicKeyPolicyName=key", "", ""},
		{"p", "BackendServerAuthenticationPolicyType", "PublicKeyPolicyName=proxy", "InvalidConfigurationRequest", "There is no policy with name proxy and type PublicKeyPolicyType for load balancer web"},
	} {
		err := f.policy("web", tt.name, tt.kind, strings.Fields(tt.attributes)...)
		what := tt.kind + " " + tt.attributes
		if tt.code == "" {
			f.ok(what, err)
		} else {
			f.fails(what, err, tt.code, tt.message)
		}
	}
	f.ok("a key in a file", f.policy("web", "file", "PublicKeyPolicyType", "PublicKey="+file))
	out, err := f.DescribeLoadBalancerPolicies(t.Context(), &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: new("web"), PolicyNames: []string{"tls", "lb"}})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a custom one", enabled(out.PolicyDescriptions[0]), "TLSv1.2 AES128-SHA")
	same(t, "cookie", *out.PolicyDescriptions[1].PolicyAttributeDescriptions[0].AttributeValue, "60")

	_, err = f.CreateAppCookieStickinessPolicy(t.Context(), &sdk.CreateAppCookieStickinessPolicyInput{LoadBalancerName: new("web"), PolicyName: new("app"), CookieName: new("JSESSIONID")})
	f.ok("the same by another call", err)
	_, err = f.CreateLBCookieStickinessPolicy(t.Context(), &sdk.CreateLBCookieStickinessPolicyInput{LoadBalancerName: new("web"), PolicyName: new("lb"), CookieExpirationPeriod: new(int64(61))})
	f.fails("another period", err, "DuplicatePolicyName", "A policy with name lb already exists for load balancer web, with different attributes")
	d := f.describe("web").Policies
	same(t, "app", fmt.Sprint(*d.AppCookieStickinessPolicies[0].PolicyName, *d.AppCookieStickinessPolicies[0].CookieName), "appJSESSIONID")
	same(t, "lb", fmt.Sprint(*d.LBCookieStickinessPolicies[0].PolicyName, " ", *d.LBCookieStickinessPolicies[0].CookieExpirationPeriod), "lb 60")
	if d.LBCookieStickinessPolicies[1].CookieExpirationPeriod != nil {
		t.Error("a session cookie has a period")
	}
	same(t, "other", d.OtherPolicies, []string{"ELBSecurityPolicy-2016-08", "proxy", "tls", "ref", "key", "backend", "file"})

	cannot := func(what string, err error, name string) {
		f.Helper()
		f.fails(what, err, "InvalidConfigurationRequest", name+" cannot be enabled")
	}
	f.ok("sticky and TLS", f.onListener("web", 443, "lb", "tls"))
	same(t, "in order", f.listeners("web"), "HTTP:80:HTTP:8080 HTTPS:443:HTTPS:8443[lb tls] TCP:5432:TCP:5432 SSL:6379:SSL:6379[ELBSecurityPolicy-2016-08]")
	f.ok("none", f.onListener("web", 80))
	cannot("TLS on HTTP", f.onListener("web", 80, "tls"), "tls")
	cannot("cookies on TCP", f.onListener("web", 5432, "lb"), "lb")
	cannot("backend's on a listener", f.onListener("web", 80, "proxy"), "proxy")
	cannot("listener's on a backend", f.onBackend("web", 8080, "lb"), "lb")
	cannot("key alone", f.onBackend("web", 8443, "key"), "key")
	cannot("authentication without TLS", f.onBackend("web", 8080, "backend"), "backend")
	f.ok("authentication", f.onBackend("web", 8443, "backend"))
	f.ok("proxy protocol", f.onBackend("web", 5432, "proxy"))
	f.fails("two of a type", f.onListener("web", 443, "tls", "ref"), "InvalidConfigurationRequest", "Only one policy of type SSLNegotiationPolicyType can be enabled")
	f.fails("two cookies", f.onListener("web", 443, "lb", "app"), "InvalidConfigurationRequest", "Only one stickiness policy can be enabled")
	f.fails("no listener", f.onListener("web", 81, "lb"), "ListenerNotFound", "The load balancer web does not have a listener configured at port 81")
	f.fails("no policy", f.onBackend("web", 5432, "none"), "PolicyNotFound", "There is no policy with name none for load balancer web")

	remove := func(name string) error {
		_, err := f.DeleteLoadBalancerPolicy(t.Context(), &sdk.DeleteLoadBalancerPolicyInput{LoadBalancerName: new("web"), PolicyName: &name})
		return err
	}
	for _, used := range []string{"lb", "tls", "proxy", "backend", "key", "ELBSecurityPolicy-2016-08"} {
		f.fails("in use", remove(used), "InvalidConfigurationRequest", "You cannot delete policy ["+used+"] since it is enabled or referred by other enabled policy.")
	}
	f.ok("not in use", remove("app"))
	f.ok("again", remove("app"))
	f.ok("disable", f.onBackend("web", 8443))
	f.ok("key of a policy that is not enabled", remove("key"))
	f.fails("its policy", f.onBackend("web", 8443, "backend"), "PolicyNotFound", "There is no policy with name key for load balancer web")
}

func TestPolicyQuota(t *testing.T) {
	f := newFixture(t)
	f.create("web", "https:443:http:8080")
	for n := range 97 {
		f.ok("policy", f.policy("web", fmt.Sprint("p", n), "ProxyProtocolPolicyType", "ProxyProtocol=true"))
	}
	f.fails("one more", f.policy("web", "p97", "ProxyProtocolPolicyType", "ProxyProtocol=true"), "TooManyPolicies",
		"The quota for the number of policies for this load balancer has been reached")
}

func TestPolicyTypes(t *testing.T) {
	f := newFixture(t)
	out, err := f.DescribeLoadBalancerPolicyTypes(t.Context(), &sdk.DescribeLoadBalancerPolicyTypesInput{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range out.PolicyTypeDescriptions {
		a := p.PolicyAttributeTypeDescriptions[0]
		all = append(all, fmt.Sprint(*p.PolicyTypeName, ": ", len(p.PolicyAttributeTypeDescriptions), " ", *a.AttributeName, " ", *a.AttributeType, " ", *a.Cardinality))
	}
	same(t, "types", strings.Join(all, "\n"), strings.Join([]string{
		"ProxyProtocolPolicyType: 1 ProxyProtocol Boolean ONE",
		"PublicKeyPolicyType: 1 PublicKey String ONE",
		"AppCookieStickinessPolicyType: 1 CookieName String ONE",
		"LBCookieStickinessPolicyType: 1 CookieExpirationPeriod Long ZERO_OR_ONE",
		"SSLNegotiationPolicyType: 95 Reference-Security-Policy String ZERO_OR_ONE",
		"BackendServerAuthenticationPolicyType: 1 PublicKeyPolicyName PolicyName ONE_OR_MORE",
	}, "\n"))
	out, err = f.DescribeLoadBalancerPolicyTypes(t.Context(), &sdk.DescribeLoadBalancerPolicyTypesInput{PolicyTypeNames: []string{"ProxyProtocolPolicyType"}})
	if err != nil || len(out.PolicyTypeDescriptions) != 1 ||
		*out.PolicyTypeDescriptions[0].Description != "Policy that controls whether to include the IP address and port of the originating request for TCP messages. This policy operates on TCP/SSL listeners only" {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = f.DescribeLoadBalancerPolicyTypes(t.Context(), &sdk.DescribeLoadBalancerPolicyTypesInput{PolicyTypeNames: []string{"X"}})
	f.fails("no type", err, "PolicyTypeNotFound", "There is no policy type with name X")
}
