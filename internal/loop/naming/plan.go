package naming

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/route53"
)

// State is what the names are made of.
type State struct {
	Region        string
	VPCs          []string // ids
	Zones         []Zone
	LoadBalancers []loadbalancer.Placement
	// Healthy says what a health check has found, InService whether a load balancer
	// has an instance that takes requests. A function that is nil says yes.
	Healthy   func(check string) bool
	InService func(lb loadbalancer.Placement) bool
}

// Zone is a hosted zone with its record sets, by key, as it was at Revision.
type Zone struct {
	route53.HostedZone
	Revision   int64
	RecordSets []route53.RecordSet
}

// Answers are what the names mean.
type Answers struct {
	Views  map[string]*dns.Zones // the host's, and one for each VPC
	Names  map[string]string     // see FrontDoor
	Host   HostNames
	Failed map[string]error // by id of the hosted zone

	zones     map[string]*served // by id
	balancers *dns.Prepared      // their names, as the host sees them
	anyVPC    *dns.Zones         // what a VPC without private zones sees
}

// View returns the zones of a view. A VPC that was not in the state has no private
// zones.
func (a *Answers) View(view string) *dns.Zones {
	if z := a.Views[view]; z != nil {
		return z
	}
	return a.anyVPC
}

// has reports whether the answers have the zone as it is.
func (a *Answers) has(z Zone) bool {
	return a != nil && a.zones[z.ID] != nil && a.zones[z.ID].revision == z.Revision
}

// Plan decides what all names mean. Of the answers before, which may be nil, it takes
// over the zones that are the same.
//
// A public zone is everywhere, a private one in its VPCs. There it hides what public
// zones have at and below its name. Of public zones of one name the oldest counts:
// that is the one which a registrar knows.
func Plan(s State, before *Answers) *Answers {
	w := newWorld(s)
	a := &Answers{Views: map[string]*dns.Zones{}, Failed: map[string]error{}, zones: map[string]*served{}}
	var public []*served
	private := map[string][]*served{} // by VPC
	for _, z := range slices.SortedFunc(slices.Values(s.Zones), byAge) {
		var was *served
		if before != nil {
			was = before.zones[z.ID]
		}
		now := w.serve(z, was)
		a.zones[z.ID] = now
		if now.err != nil {
			a.Failed[z.ID] = now.err
		}
		switch {
		case now.zone == nil: // it never could be served
		case !z.Private:
			public = append(public, now)
		default:
			for _, v := range z.VPCs {
				if v.Region == s.Region {
					private[v.ID] = append(private[v.ID], now)
				}
			}
		}
	}
	public = slices.DeleteFunc(public, firstOfName())

	host := w.balancerZone(func(lb loadbalancer.Placement) []netip.Addr {
		if !lb.HostAddress.IsValid() {
			return nil
		}
		return []netip.Addr{lb.HostAddress}
	})
	inside := w.balancerZone(func(lb loadbalancer.Placement) (all []netip.Addr) {
		for _, n := range lb.Nodes {
			all = append(all, n.Address)
		}
		return all
	})
	a.balancers = host
	a.Views[HostView] = view(host, nil, public)
	internal := dns.InternalDomain(s.Region)
	visible := slices.DeleteFunc(slices.Clone(public), func(z *served) bool { return mdns.IsSubDomain(internal, z.zone.Name()) })
	a.anyVPC = view(inside, nil, visible)
	for _, id := range s.VPCs {
		a.Views[id] = a.anyVPC
		if len(private[id]) > 0 {
			a.Views[id] = view(inside, slices.DeleteFunc(private[id], firstOfName()), visible)
		}
	}
	w.lead(a, public)
	return a
}

func byAge(a, b Zone) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

// firstOfName returns a function that is true for a zone after another of its name.
func firstOfName() func(*served) bool {
	seen := map[string]bool{}
	return func(z *served) bool {
		defer func() { seen[z.zone.Name()] = true }()
		return seen[z.zone.Name()]
	}
}

// view puts together what one server answers from.
func view(balancers *dns.Prepared, private, public []*served) *dns.Zones {
	all, hidden := []*dns.Prepared{balancers}, map[string]bool{}
	for _, z := range private {
		hidden[z.zone.Name()] = true
		if z.zone.Name() != balancers.Name() {
			all = append(all, z.zone)
		}
	}
	for _, z := range public {
		if !covered(z.zone.Name(), hidden) && z.zone.Name() != balancers.Name() {
			all = append(all, z.zone)
		}
	}
	zones, err := dns.Assemble(all...)
	if err != nil {
		panic(err) // the names are distinct
	}
	return zones
}

// covered reports whether a name is one of those, or below one.
func covered(name string, names map[string]bool) bool {
	for off, end := 0, false; !end && len(names) > 0; off, end = mdns.NextLabel(name, off) {
		if names[name[off:]] {
			return true
		}
	}
	return false
}

// What AWS says of the zone that has its load balancers' names. A name that is asked
// for before its load balancer has an address is not to be waited for: the answer
// that there is none lives shorter than AWS's 60 s.
const (
	balancerTTL      = 60 // of addresses, and of aliases to them
	balancerNegative = 5
)

// balancerZone is the zone of the load balancers' own names, with their addresses.
func (w *world) balancerZone(addresses func(loadbalancer.Placement) []netip.Addr) *dns.Prepared {
	apex := mdns.Fqdn(loadbalancer.Domain(w.Region))
	header := func(name string, rrtype uint16, ttl uint32) mdns.RR_Header {
		return mdns.RR_Header{Name: name, Rrtype: rrtype, Class: mdns.ClassINET, Ttl: ttl}
	}
	z := dns.Zone{Name: apex, Records: []mdns.RR{&mdns.SOA{
		Hdr: header(apex, mdns.TypeSOA, 60), Ns: "ns-1119.awsdns-11.org.", Mbox: "awsdns-hostmaster.amazon.com.",
		Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: balancerNegative,
	}}}
	for _, name := range slices.Sorted(maps.Keys(w.balancers)) {
		if !mdns.IsSubDomain(apex, name+".") {
			continue
		}
		for _, name := range []string{name + ".", "dualstack." + name + "."} {
			set := dns.Set{Name: name, Type: mdns.TypeA} // without an address the name exists all the same
			for _, a := range addresses(w.balancers[strings.TrimPrefix(strings.TrimSuffix(name, "."), "dualstack.")]) {
				rr := &mdns.A{Hdr: header(name, mdns.TypeA, balancerTTL), A: a.AsSlice()}
				if len(set.Options) == 0 {
					set.Options = []dns.Option{{}}
				}
				set.Options[0].Records = append(set.Options[0].Records, rr)
			}
			z.Sets = append(z.Sets, set)
		}
	}
	prepared, err := dns.Prepare(z)
	if err != nil {
		panic(fmt.Sprintf("the load balancers' zone: %v", err)) // their names are host names, each once
	}
	return prepared
}

// lead finds the names that lead to load balancers, and the addresses of all.
func (w *world) lead(a *Answers, public []*served) {
	a.Names = map[string]string{}
	a.Host.Addresses = map[string][]netip.Addr{}
	a.Host.Zones = []string{loadbalancer.Domain(w.Region)}
	for name, lb := range w.balancers {
		for _, name := range []string{name, "dualstack." + name} {
			a.Names[name] = lb.ID
			if lb.HostAddress.IsValid() {
				a.Host.Addresses[name] = []netip.Addr{lb.HostAddress}
			}
		}
	}
	host := a.Views[HostView]
	for _, z := range public {
		a.Host.Zones = append(a.Host.Zones, strings.TrimSuffix(z.zone.Name(), "."))
		wildcards := false
		for _, name := range z.leading {
			names, addresses := host.Lead(name)
			if len(names) == 0 || names[0] != name {
				continue
			}
			end := strings.TrimSuffix(names[len(names)-1], ".")
			lb, ok := w.balancers[strings.TrimPrefix(end, "dualstack.")]
			wildcard := strings.HasPrefix(name, "*.")
			name = strings.TrimSuffix(name, ".")
			if ok {
				a.Names[name] = lb.ID
				wildcards = wildcards || wildcard
			}
			if len(addresses) > 0 && !wildcard {
				a.Host.Addresses[name] = addresses
			}
		}
		if !wildcards {
			continue
		}
		for _, name := range z.names { // what exists is not what a wildcard means
			name = strings.TrimSuffix(name, ".")
			if _, ok := a.Names[name]; !ok && underWildcard(name, a.Names) {
				a.Names[name] = ""
			}
		}
	}
	slices.Sort(a.Host.Zones)
}

// underWildcard reports whether a wildcard among the names matches a host name.
func underWildcard(name string, names map[string]string) bool {
	for {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return false
		}
		if names["*."+rest] != "" {
			return true
		}
		name = rest
	}
}
