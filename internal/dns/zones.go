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
	Sets    []Set    // whose records are chosen anew for each answer
}

// Zones is an immutable set of zones, ready to answer from. The zero value has none.
type Zones struct {
	byName map[string]*zone
}

// Prepared is a zone that is ready to answer from. It may be in many sets of zones.
type Prepared struct{ zone *zone }

// Name returns the apex, in lower case and with its last dot.
func (p *Prepared) Name() string { return p.zone.apex }

type zone struct {
	apex      string
	soa       *dns.SOA
	names     map[string]node // every existing name; nil for one that is only on the way to another
	cuts      int             // names below the apex that have an NS
	wildcards int             // names that begin with an asterisk
}

// node is what there is at a name: an rrset per type.
type node []rrset

// rrset is all records of a name and type: rrs, or what set chooses.
type rrset struct {
	rrtype uint16
	rrs    []dns.RR
	set    *Set
}

func (n node) get(rrtype uint16) *rrset {
	for i := range n {
		if n[i].rrtype == rrtype {
			return &n[i]
		}
	}
	return nil
}

// NewZones indexes zones; see [Prepare] and [Assemble].
func NewZones(zones ...Zone) (*Zones, error) {
	prepared := make([]*Prepared, 0, len(zones))
	for _, z := range zones {
		p, err := Prepare(z)
		if err != nil {
			return nil, err
		}
		prepared = append(prepared, p)
	}
	return Assemble(prepared...)
}

// Assemble puts zones together; none may be of another's name.
func Assemble(zones ...*Prepared) (*Zones, error) {
	set := &Zones{byName: make(map[string]*zone, len(zones))}
	for _, p := range zones {
		if set.byName[p.zone.apex] != nil {
			return nil, fmt.Errorf("zone %s: given twice", p.zone.apex)
		}
		set.byName[p.zone.apex] = p.zone
	}
	return set, nil
}

// Prepare indexes a zone. It refuses what a server could not answer from rightly: a zone without its
// SOA, a record outside of its zone, other records beside a CNAME, a wildcard that delegates, a set
// that does not fit. The records must not change afterwards.
func Prepare(z Zone) (*Prepared, error) {
	name := dns.CanonicalName(z.Name)
	if _, ok := dns.IsDomainName(name); !ok || name == "." {
		return nil, fmt.Errorf("zone %q: not a name that a zone can have", z.Name)
	}
	index := &zone{apex: name, names: make(map[string]node, len(z.Records)+len(z.Sets))}
	for _, rr := range z.Records {
		if err := index.addRecord(rr); err != nil {
			return nil, fmt.Errorf("zone %s: %w", name, err)
		}
	}
	for _, set := range z.Sets {
		if err := index.addSet(set); err != nil {
			return nil, fmt.Errorf("zone %s: %w", name, err)
		}
	}
	if err := index.check(); err != nil {
		return nil, fmt.Errorf("zone %s: %w", name, err)
	}
	return &Prepared{index}, nil
}

func (z *zone) addRecord(rr dns.RR) error {
	h := rr.Header()
	owner := dns.CanonicalName(h.Name)
	if soa, ok := rr.(*dns.SOA); ok {
		if owner != z.apex || z.soa != nil {
			return fmt.Errorf("SOA at %s: want one, at the apex", owner)
		}
		z.soa = soa
	}
	have, err := z.at(owner, h.Rrtype)
	if err != nil {
		return err
	}
	have.rrs = append(have.rrs, rr)
	return nil
}

func (z *zone) addSet(set Set) error {
	set, err := set.prepare()
	if err != nil {
		return err
	}
	have, err := z.at(set.Name, set.Type)
	if err != nil {
		return err
	}
	if have.rrs != nil || have.set != nil {
		return fmt.Errorf("%s %s: other records beside a set", set.Name, dns.TypeToString[set.Type])
	}
	have.set = &set
	return nil
}

// at returns the rrset of a name and type, making it, and the names on the way to it, if need be.
func (z *zone) at(owner string, rrtype uint16) (*rrset, error) {
	if !dns.IsSubDomain(z.apex, owner) {
		return nil, fmt.Errorf("%s is not in it", owner)
	}
	there, exists := z.names[owner]
	if have := there.get(rrtype); have != nil {
		return have, nil
	}
	there = append(there, rrset{rrtype: rrtype})
	z.names[owner] = there
	if !exists {
		z.count(owner)
	}
	if rrtype == dns.TypeNS && owner != z.apex {
		if strings.HasPrefix(owner, "*.") {
			return nil, fmt.Errorf("%s: a wildcard cannot delegate", owner) // RFC 4592 section 4.2
		}
		z.cuts++
	}
	for name := owner; !exists && name != z.apex; { // the names between exist too (RFC 8020)
		off, _ := dns.NextLabel(name, 0)
		name = name[off:]
		if _, exists = z.names[name]; !exists {
			z.names[name] = nil
			z.count(name)
		}
	}
	return &there[len(there)-1], nil
}

func (z *zone) count(name string) {
	if strings.HasPrefix(name, "*.") {
		z.wildcards++
	}
}

func (z *zone) check() error {
	if z.soa == nil {
		return fmt.Errorf("no SOA")
	}
	for owner, there := range z.names {
		if c := there.get(dns.TypeCNAME); c != nil && (len(there) > 1 || len(c.rrs) > 1) {
			return fmt.Errorf("%s: other records beside a CNAME", owner)
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

// place is where a name is in a zone.
type place struct {
	node   node
	exists bool
	// synthesized says that the node is a wildcard's, and its records are to bear the name asked for.
	synthesized bool
	// cut is the name at or above this one where another zone begins; "" when there is none. Nothing
	// else is known then.
	cut string
}

// locate finds a (canonical) name that is in the zone. What a type is asked of matters at a cut: its DS
// is on this side.
func (z *zone) locate(name string, qtype uint16) place {
	if z.cuts > 0 {
		if cut := z.cutAbove(name); cut != "" && (cut != name || qtype != dns.TypeDS) {
			return place{cut: cut}
		}
	}
	if there, ok := z.names[name]; ok {
		return place{node: there, exists: true}
	}
	if z.wildcards == 0 {
		return place{}
	}
	// RFC 4592 section 3.3.1: the wildcard counts only right below the closest name that exists.
	for off, end := dns.NextLabel(name, 0); !end; off, end = dns.NextLabel(name, off) {
		if _, ok := z.names[name[off:]]; ok {
			there, ok := z.names["*."+name[off:]]
			return place{node: there, exists: ok, synthesized: ok}
		}
	}
	return place{}
}

// cutAbove returns the highest name, at or above the given one and below the apex, that has an NS.
func (z *zone) cutAbove(name string) string {
	cut := ""
	for off, end := 0, false; !end && name[off:] != z.apex; off, end = dns.NextLabel(name, off) {
		if z.names[name[off:]].get(dns.TypeNS) != nil {
			cut = name[off:]
		}
	}
	return cut
}

// referral returns the NS records at a cut, and the addresses that the zone has of them.
func (z *zone) referral(cut string) (ns []*dns.NS, glue []dns.RR) {
	set := z.names[cut].get(dns.TypeNS)
	for _, rr := range set.rrs {
		server, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		ns = append(ns, server)
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if have := z.names[dns.CanonicalName(server.Ns)].get(t); have != nil {
				glue = append(glue, have.rrs...)
			}
		}
	}
	return ns, glue
}

// negative is the SOA record of a negative answer, which lives as long as the shorter of its two times
// (RFC 2308).
func (z *zone) negative() *dns.SOA {
	soa := *z.soa
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &soa
}
