package dns

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Zone is what a server is to know with authority: the records at and below a name.
type Zone struct {
	Name    string   // of the apex; case and the last dot do not matter
	Records []dns.RR // with exactly one SOA, at the apex
}

// Zones is an immutable set of zones, ready to answer from. The zero value has none.
type Zones struct {
	byName map[string]*zone
}

type zone struct {
	soa   *dns.SOA
	names map[string][]dns.RR // every existing name; no records for one that is only on the way to another
}

// NewZones indexes zones. It refuses what the server could not answer from rightly: a zone without
// its SOA, a record outside of its zone, other records beside a CNAME, wildcards and delegations.
// The records must not change afterwards.
func NewZones(zones ...Zone) (*Zones, error) {
	set := &Zones{byName: make(map[string]*zone, len(zones))}
	for _, z := range zones {
		name := dns.CanonicalName(z.Name)
		if _, ok := dns.IsDomainName(name); !ok || name == "." {
			return nil, fmt.Errorf("zone %q: not a name that a zone can have", z.Name)
		}
		if set.byName[name] != nil {
			return nil, fmt.Errorf("zone %s: given twice", name)
		}
		index, err := newZone(name, z.Records)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", name, err)
		}
		set.byName[name] = index
	}
	return set, nil
}

func newZone(apex string, records []dns.RR) (*zone, error) {
	z := &zone{names: make(map[string][]dns.RR, len(records))}
	for _, rr := range records {
		owner := dns.CanonicalName(rr.Header().Name)
		if !dns.IsSubDomain(apex, owner) {
			return nil, fmt.Errorf("%s is not in it", owner)
		}
		switch rr := rr.(type) {
		case *dns.SOA:
			if owner != apex || z.soa != nil {
				return nil, fmt.Errorf("SOA at %s: want one, at the apex", owner)
			}
			z.soa = rr
		case *dns.NS:
			if owner != apex {
				return nil, fmt.Errorf("NS at %s: delegations are not supported", owner)
			}
		}
		if strings.HasPrefix(owner, "*.") {
			return nil, fmt.Errorf("%s: wildcards are not supported", owner)
		}
		z.names[owner] = append(z.names[owner], rr)
		for name := owner; name != apex; { // the names between exist too (RFC 8020)
			off, _ := dns.NextLabel(name, 0)
			name = name[off:]
			if _, ok := z.names[name]; !ok {
				z.names[name] = nil
			}
		}
	}
	if z.soa == nil {
		return nil, fmt.Errorf("no SOA")
	}
	for owner, rrs := range z.names {
		if cname(rrs) != nil && len(rrs) > 1 {
			return nil, fmt.Errorf("%s: other records beside a CNAME", owner)
		}
	}
	return z, nil
}

func cname(rrs []dns.RR) *dns.CNAME {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok {
			return c
		}
	}
	return nil
}

// find returns the zone with the longest name that the (canonical) name is at or below, preferring
// the set named first, or nil.
func find(name string, sets ...*Zones) *zone {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		for _, set := range sets {
			if z := set.byName[name[off:]]; z != nil {
				return z
			}
		}
	}
	return nil
}

// answer adds what the zone knows about a (canonical) name in it. When that is a CNAME, it returns
// the name to go on with.
func (z *zone) answer(name string, qtype uint16, res *dns.Msg) (next string) {
	rrs, exists := z.names[name]
	if c := cname(rrs); c != nil && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
		res.Answer = append(res.Answer, c)
		return dns.CanonicalName(c.Target)
	}
	found := false
	for _, rr := range rrs {
		if t := rr.Header().Rrtype; t == qtype || qtype == dns.TypeANY {
			res.Answer = append(res.Answer, rr)
			found = true
		}
	}
	if !found {
		if !exists {
			res.Rcode = dns.RcodeNameError
		}
		soa := *z.soa // RFC 2308: a negative answer lives as long as the shorter of the two
		soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
		res.Ns = append(res.Ns, &soa)
	}
	return ""
}
