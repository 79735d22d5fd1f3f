package elb

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// policyType is what a policy of a type may have.
type policyType struct {
	name, description string
	attributes        []attributeType
}

type attributeType struct{ name, kind, defaults, cardinality string }

// Cardinalities of attributes, in AWS's words.
const (
	one       = "ONE"
	zeroOrOne = "ZERO_OR_ONE"
	oneOrMore = "ONE_OR_MORE"
)

// policyTypes are all there are.
var policyTypes = []policyType{
	{ProxyProtocol, "Policy that controls whether to include the IP address and port of the originating request for TCP messages. This policy operates on TCP/SSL listeners only",
		[]attributeType{{"ProxyProtocol", "Boolean", "", one}}},
	{PublicKey, "Policy containing a list of public keys to accept when authenticating the back-end server(s). This policy cannot be applied directly to back-end servers or listeners but must be part of a BackendServerAuthenticationPolicyType.",
		[]attributeType{{"PublicKey", "String", "", one}}},
	{AppCookieStickiness, "Stickiness policy with session lifetimes controlled by the lifetime of the application-generated cookie. This policy can be associated only with HTTP/HTTPS listeners.",
		[]attributeType{{"CookieName", "String", "", one}}},
	{LBCookieStickiness, "Stickiness policy with session lifetimes controlled by the browser (user-agent) or a specified expiration period. This policy can be associated only with HTTP/HTTPS listeners.",
		[]attributeType{{"CookieExpirationPeriod", "Long", "", zeroOrOne}}},
	{SSLNegotiation, "Listener policy that defines the ciphers and protocols that will be accepted by the load balancer. This policy can be associated only with HTTPS/SSL listeners.",
		negotiationTypes()},
	{BackendServerAuthentication, "Policy that controls authentication to back-end server(s) and contains one or more policies, such as an instance of a PublicKeyPolicyType. This policy can be associated only with back-end servers that are using HTTPS/SSL.",
		[]attributeType{{"PublicKeyPolicyName", "PolicyName", "", oneOrMore}}},
}

func negotiationTypes() []attributeType {
	all := []attributeType{{referencePolicy, "String", "", zeroOrOne}}
	for _, a := range reference("", defaultSecurityPolicy).Attributes[1:] {
		all = append(all, attributeType{a.Name, "Boolean", a.Value, zeroOrOne})
	}
	return all
}

func findPolicyType(name string) (policyType, error) {
	i := slices.IndexFunc(policyTypes, func(t policyType) bool { return t.name == name })
	if i < 0 {
		return policyType{}, elbapi.PolicyTypeNotFoundException.New("There is no policy type with name %s", name)
	}
	return policyTypes[i], nil
}

// DescribeLoadBalancerPolicyTypes implements elbapi.Handler.
func (s *Service) DescribeLoadBalancerPolicyTypes(_ context.Context, in *elbapi.DescribeLoadBalancerPolicyTypesInput) (*elbapi.DescribeLoadBalancerPolicyTypesOutput, error) {
	wanted := policyTypes
	if len(in.PolicyTypeNames) > 0 {
		wanted = nil
		for _, name := range unique(in.PolicyTypeNames) {
			t, err := findPolicyType(name)
			if err != nil {
				return nil, err
			}
			wanted = append(wanted, t)
		}
	}
	out := &elbapi.DescribeLoadBalancerPolicyTypesOutput{}
	for _, t := range wanted {
		d := elbapi.PolicyTypeDescription{PolicyTypeName: &t.name, Description: &t.description}
		for _, a := range t.attributes {
			described := elbapi.PolicyAttributeTypeDescription{AttributeName: &a.name, AttributeType: &a.kind, Cardinality: &a.cardinality}
			if a.defaults != "" {
				described.DefaultValue = &a.defaults
			}
			d.PolicyAttributeTypeDescriptions = append(d.PolicyAttributeTypeDescriptions, described)
		}
		out.PolicyTypeDescriptions = append(out.PolicyTypeDescriptions, d)
	}
	return out, nil
}

// readPolicy makes a policy of a request's attributes. What it refers to is not
// looked for.
func readPolicy(name, kind string, in []elbapi.PolicyAttribute) (Policy, error) {
	if name == "" || len(name) > 128 || !nameChars.MatchString(name) {
		return Policy{}, invalid("Policy names are of 1 to 128 letters, digits and dashes, and '%s' is not", name)
	}
	t, err := findPolicyType(kind)
	if err != nil {
		return Policy{}, err
	}
	p := Policy{Name: name, Type: kind}
	for _, a := range in {
		read, err := t.read(api.Val(a.AttributeName), api.Val(a.AttributeValue))
		if err != nil {
			return Policy{}, err
		}
		p.Attributes = append(p.Attributes, read)
	}
	for _, a := range t.attributes {
		n := len(p.Values(a.name))
		if n == 0 && (a.cardinality == one || a.cardinality == oneOrMore) {
			return Policy{}, refused("Policy attribute %s must be specified for policy type %s", a.name, kind)
		}
		if n > 1 && a.cardinality != oneOrMore {
			return Policy{}, refused("Policy attribute %s cannot be specified more than once for policy type %s", a.name, kind)
		}
	}
	if kind == SSLNegotiation {
		return completed(p)
	}
	return p, nil
}

// read checks one attribute of the type.
func (t policyType) read(name, value string) (PolicyAttribute, error) {
	i := slices.IndexFunc(t.attributes, func(a attributeType) bool { return a.name == name })
	if i < 0 {
		return PolicyAttribute{}, refused("Policy attribute %s is not supported for policy type %s", name, t.name)
	}
	bad := func(must string) (PolicyAttribute, error) {
		return PolicyAttribute{}, refused("Value '%s' of policy attribute %s %s", value, name, must)
	}
	switch kind := t.attributes[i].kind; {
	case kind == "Boolean":
		value = strings.ToLower(value)
		if value != "true" && value != "false" {
			return bad("must be true or false")
		}
	case kind == "Long":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 0 {
			return bad("must be a number of seconds, 0 or more")
		}
		value = strconv.FormatInt(n, 10)
	case name == "CookieName" && !isToken(value):
		return bad("must be a name that a cookie may have")
	case name == "PublicKey":
		if _, err := ParsePublicKey(value); err != nil {
			return PolicyAttribute{}, refused("Public key of the policy is not valid: %v", err)
		}
	}
	return PolicyAttribute{name, value}, nil
}

// isToken says whether s may name a cookie: https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// completed gives an SSL negotiation policy all attributes that there are.
func completed(p Policy) (Policy, error) {
	if name := p.Value(referencePolicy); name != "" {
		if len(p.Attributes) > 1 {
			return Policy{}, refused("Policy attribute %s cannot be specified with others", referencePolicy)
		}
		if !isPredefined(name) {
			return Policy{}, refused("There is no predefined security policy with name %s", name)
		}
		return reference(p.Name, name), nil
	}
	p.Attributes = negotiation(func(attribute string) bool { return p.Value(attribute) == "true" })
	versions, suites, _ := p.Negotiation()
	switch {
	case len(versions) == 0:
		return Policy{}, refused("An SSL negotiation policy must enable at least one protocol")
	case len(suites) == 0:
		return Policy{}, refused("An SSL negotiation policy must enable at least one cipher")
	}
	return p, nil
}

// ParsePublicKey reads a PublicKey attribute: a SubjectPublicKeyInfo in base64, as
// a PEM file has it, with or without the lines around it. The result is DER.
func ParsePublicKey(text string) ([]byte, error) {
	var body strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
			body.WriteString(line)
		}
	}
	der, err := base64.StdEncoding.DecodeString(body.String())
	if err != nil {
		return nil, fmt.Errorf("it is not in base64: %w", err)
	}
	if _, err := x509.ParsePKIXPublicKey(der); err != nil {
		return nil, err
	}
	return der, nil
}
