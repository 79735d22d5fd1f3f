package elb

import (
	"slices"
	"strings"
)

// defaultSecurityPolicy is on HTTPS and SSL listeners that were given none.
const defaultSecurityPolicy = "ELBSecurityPolicy-2016-08"

// The attributes of an SSL negotiation policy that are no ciphers.
const (
	referencePolicy = "Reference-Security-Policy"
	serverOrder     = "Server-Defined-Cipher-Order"
)

// protocols are the attributes for protocols, in AWS's order.
var protocols = []string{"Protocol-SSLv2", "Protocol-TLSv1", "Protocol-SSLv3", "Protocol-TLSv1.1", "Protocol-TLSv1.2"}

// ciphers are the attributes for ciphers, in AWS's order, which is the server's
// order of preference too.
var ciphers = strings.Fields(`
ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256
ECDHE-ECDSA-AES128-SHA ECDHE-RSA-AES128-SHA DHE-RSA-AES128-SHA
ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES256-SHA384 ECDHE-RSA-AES256-SHA384
ECDHE-RSA-AES256-SHA ECDHE-ECDSA-AES256-SHA
AES128-GCM-SHA256 AES128-SHA256 AES128-SHA AES256-GCM-SHA384 AES256-SHA256 AES256-SHA
DHE-DSS-AES128-SHA CAMELLIA128-SHA EDH-RSA-DES-CBC3-SHA DES-CBC3-SHA ECDHE-RSA-RC4-SHA RC4-SHA ECDHE-ECDSA-RC4-SHA
DHE-DSS-AES256-GCM-SHA384 DHE-RSA-AES256-GCM-SHA384 DHE-RSA-AES256-SHA256 DHE-DSS-AES256-SHA256
DHE-RSA-AES256-SHA DHE-DSS-AES256-SHA DHE-RSA-CAMELLIA256-SHA DHE-DSS-CAMELLIA256-SHA CAMELLIA256-SHA
EDH-DSS-DES-CBC3-SHA DHE-DSS-AES128-GCM-SHA256 DHE-RSA-AES128-GCM-SHA256 DHE-RSA-AES128-SHA256 DHE-DSS-AES128-SHA256
DHE-RSA-CAMELLIA128-SHA DHE-DSS-CAMELLIA128-SHA
ADH-AES128-GCM-SHA256 ADH-AES128-SHA ADH-AES128-SHA256 ADH-AES256-GCM-SHA384 ADH-AES256-SHA ADH-AES256-SHA256
ADH-CAMELLIA128-SHA ADH-CAMELLIA256-SHA ADH-DES-CBC3-SHA ADH-DES-CBC-SHA ADH-RC4-MD5 ADH-SEED-SHA
DES-CBC-SHA DHE-DSS-SEED-SHA DHE-RSA-SEED-SHA EDH-DSS-DES-CBC-SHA EDH-RSA-DES-CBC-SHA IDEA-CBC-SHA RC4-MD5 SEED-SHA
DES-CBC3-MD5 DES-CBC-MD5 RC2-CBC-MD5 PSK-AES256-CBC-SHA PSK-3DES-EDE-CBC-SHA KRB5-DES-CBC3-SHA KRB5-DES-CBC3-MD5
PSK-AES128-CBC-SHA PSK-RC4-SHA KRB5-RC4-SHA KRB5-RC4-MD5 KRB5-DES-CBC-SHA KRB5-DES-CBC-MD5
EXP-EDH-RSA-DES-CBC-SHA EXP-EDH-DSS-DES-CBC-SHA EXP-ADH-DES-CBC-SHA EXP-DES-CBC-SHA EXP-RC2-CBC-MD5
EXP-KRB5-RC2-CBC-SHA EXP-KRB5-DES-CBC-SHA EXP-KRB5-RC2-CBC-MD5 EXP-KRB5-DES-CBC-MD5
EXP-ADH-RC4-MD5 EXP-RC4-MD5 EXP-KRB5-RC4-SHA EXP-KRB5-RC4-MD5`)

// securityPolicies are the predefined ones, the latest first, with what they
// enable beside what all since 2014 have: the first nineteen ciphers without
// DHE-RSA-AES128-SHA.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-security-policy-table.html
var securityPolicies = []struct {
	name    string
	enables func(attribute string) bool
}{
	{"ELBSecurityPolicy-2016-08", modern(tls10+tls11, "")},
	{"ELBSecurityPolicy-TLS-1-2-2017-01", func(a string) bool { return modern("", "")(a) && !strings.HasSuffix(a, "-SHA") }},
	{"ELBSecurityPolicy-TLS-1-1-2017-01", modern(tls11, "")},
	{"ELBSecurityPolicy-2015-05", modern(tls10+tls11, "DES-CBC3-SHA")},
	{"ELBSecurityPolicy-2015-03", modern(tls10+tls11, "DHE-RSA-AES128-SHA DHE-DSS-AES128-SHA DES-CBC3-SHA")},
	{"ELBSecurityPolicy-2015-02", modern(tls10+tls11, "DHE-RSA-AES128-SHA DHE-DSS-AES128-SHA")},
	{"ELBSecurityPolicy-2014-10", modern(tls10+tls11, "DHE-RSA-AES128-SHA DHE-DSS-AES128-SHA ECDHE-RSA-RC4-SHA RC4-SHA")},
	{"ELBSecurityPolicy-2014-01", modern(tls10+tls11, "DHE-RSA-AES128-SHA DHE-DSS-AES128-SHA ECDHE-RSA-RC4-SHA RC4-SHA Protocol-SSLv3")},
	{"ELBSecurityPolicy-2011-08", only("Protocol-SSLv3 Protocol-TLSv1 DHE-RSA-AES128-SHA AES128-SHA AES256-SHA" +
		" DHE-DSS-AES128-SHA CAMELLIA128-SHA EDH-RSA-DES-CBC3-SHA DES-CBC3-SHA RC4-SHA")},
}

const (
	tls10 = "Protocol-TLSv1 "
	tls11 = "Protocol-TLSv1.1 "
)

func only(attributes string) func(string) bool {
	set := strings.Fields(attributes)
	return func(a string) bool { return slices.Contains(set, a) }
}

func modern(versions, more string) func(string) bool {
	added := only(versions + more)
	return func(a string) bool {
		return added(a) || a == "Protocol-TLSv1.2" || a == serverOrder ||
			slices.Contains(ciphers[:19], a) && a != "DHE-RSA-AES128-SHA"
	}
}

// isPredefined says whether there is a predefined security policy of that name.
func isPredefined(name string) bool {
	for _, p := range securityPolicies {
		if p.name == name {
			return true
		}
	}
	return false
}

// predefined is a predefined security policy as a load balancer has it.
func predefined(name string) Policy { return reference(name, name) }

// reference is a policy that does what a predefined one does.
func reference(name, predefined string) Policy {
	for _, p := range securityPolicies {
		if p.name == predefined {
			return Policy{Name: name, Type: SSLNegotiation,
				Attributes: append([]PolicyAttribute{{referencePolicy, predefined}}, negotiation(p.enables)...)}
		}
	}
	return Policy{}
}

// negotiation are the attributes of an SSL negotiation policy, all of them.
func negotiation(enables func(attribute string) bool) []PolicyAttribute {
	var all []PolicyAttribute
	for _, names := range [][]string{protocols, {serverOrder}, ciphers} {
		for _, name := range names {
			value := "false"
			if enables(name) {
				value = "true"
			}
			all = append(all, PolicyAttribute{name, value})
		}
	}
	return all
}

// Negotiation is what an SSL negotiation policy enables: protocols (TLSv1.2),
// ciphers by OpenSSL's names, both in AWS's order, and whether the server's order
// of ciphers counts.
func (p Policy) Negotiation() (versions, suites []string, order bool) {
	for _, a := range p.Attributes {
		if a.Value != "true" {
			continue
		}
		version, ok := strings.CutPrefix(a.Name, "Protocol-")
		switch {
		case ok:
			versions = append(versions, version)
		case a.Name == serverOrder:
			order = true
		default:
			suites = append(suites, a.Name)
		}
	}
	return versions, suites, order
}

// SecurityPolicy is the SSL negotiation policy of an HTTPS or SSL listener, which
// is the default one if it has none of its own.
func (lb *LoadBalancer) SecurityPolicy(l Listener) Policy {
	for _, name := range l.Policies {
		if p, ok := lb.Policy(name); ok && p.Type == SSLNegotiation {
			return p
		}
	}
	return predefined(defaultSecurityPolicy)
}
