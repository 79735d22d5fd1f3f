package route53

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
)

// TestDNSAnswer implements route53api.Handler.
func (s *Service) TestDNSAnswer(ctx context.Context, in *route53api.TestDNSAnswerInput) (*route53api.TestDNSAnswerOutput, error) {
	if err := checkEnum(in.RecordType, types...); err != nil {
		return nil, err
	}
	it, err := s.zone(ctx, in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	if it.Value.Private {
		return nil, invalid("TestDNSAnswer is not supported for private hosted zones")
	}
	name, err := Name(api.Val(in.RecordName))
	if err != nil {
		return nil, message(route53api.InvalidInput, err)
	}
	if !below(name, it.Value.Name) {
		return nil, invalid("The record name %s is not in the hosted zone %s", name, it.Value.Name)
	}
	q := Question{Zone: it.Key, Name: DNSName(name), Type: dns.StringToType[string(in.RecordType)]}
	if q.Resolver, q.Client, err = askers(in); err != nil {
		return nil, err
	}
	rcode, answer, err := s.answerer.Answer(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &route53api.TestDNSAnswerOutput{
		Nameserver: &it.Value.NameServers[0], RecordName: &name, RecordType: in.RecordType, RecordData: []string{},
		ResponseCode: new(dns.RcodeToString[rcode]), Protocol: new("UDP"),
	}
	for _, rr := range answer {
		if rr.Header().Rrtype == q.Type {
			out.RecordData = append(out.RecordData, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
	}
	return out, nil
}

// askers reads who is to be thought to ask.
func askers(in *route53api.TestDNSAnswerInput) (resolver netip.Addr, client netip.Prefix, err error) {
	if in.ResolverIP != nil {
		if resolver, err = netip.ParseAddr(*in.ResolverIP); err != nil || resolver.Zone() != "" {
			return resolver, client, invalid("The ResolverIP %s is not an IP address", *in.ResolverIP)
		}
	}
	if in.EDNS0ClientSubnetIP == nil {
		if in.EDNS0ClientSubnetMask != nil {
			return resolver, client, invalid("EDNS0ClientSubnetMask is given without EDNS0ClientSubnetIP")
		}
		return resolver, client, nil
	}
	a, err := netip.ParseAddr(*in.EDNS0ClientSubnetIP)
	if err != nil || a.Zone() != "" {
		return resolver, client, invalid("The EDNS0ClientSubnetIP %s is not an IP address", *in.EDNS0ClientSubnetIP)
	}
	bits := 24
	if a.Is6() {
		bits = 64
	}
	if in.EDNS0ClientSubnetMask != nil {
		if bits, err = strconv.Atoi(*in.EDNS0ClientSubnetMask); err != nil {
			return resolver, client, invalid("The EDNS0ClientSubnetMask %s is not a number", *in.EDNS0ClientSubnetMask)
		}
	}
	if client, err = a.Prefix(bits); err != nil {
		return resolver, client, invalid("The EDNS0ClientSubnetMask %d is not one of %s", bits, a)
	}
	return resolver, client, nil
}
