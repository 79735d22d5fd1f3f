package dns

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// Lead returns the names that a host name leads to by CNAMEs and aliases, itself first, and the IPv4
// addresses at the last of them: what an answer has, if at each choice the option with the greatest
// weight is taken, the first of several. Nobody is asked: a name in none of the zones, or in a zone that
// is delegated, is the end. A name that does not exist leads nowhere.
func (z *Zones) Lead(host string) (names []string, addresses []netip.Addr) {
	name := dns.CanonicalName(host)
	var in *zone // where name is looked up if it is there; nil for the zone that is next to it
	for len(names) < maxSteps {
		if in == nil || !dns.IsSubDomain(in.apex, name) {
			in = find(name, z)
		}
		if in == nil {
			return append(names, name), nil
		}
		at := in.locate(name, dns.TypeA)
		if at.cut != "" {
			return append(names, name), nil
		}
		if !at.exists {
			return names, nil
		}
		names = append(names, name)
		set := at.node.get(dns.TypeA)
		if set == nil {
			set = at.node.get(dns.TypeCNAME)
		}
		if set == nil {
			return names, nil
		}
		rrs := set.rrs
		if set.set != nil {
			if len(set.set.Options) == 0 {
				return names, nil
			}
			likely := slices.MaxFunc(set.set.Options, func(a, b Option) int { return cmp.Compare(a.Weight, b.Weight) })
			if likely.Alias != "" {
				name = likely.Alias
				if !likely.Within {
					in = nil
				}
				continue
			}
			rrs = likely.Records
		}
		if c, ok := rrs[0].(*dns.CNAME); ok {
			name, in = dns.CanonicalName(c.Target), nil
			continue
		}
		for _, rr := range rrs {
			if a, ok := rr.(*dns.A); ok {
				if addr, ok := netip.AddrFromSlice(a.A); ok {
					addresses = append(addresses, addr.Unmap())
				}
			}
		}
		return names, addresses
	}
	return nil, nil
}
