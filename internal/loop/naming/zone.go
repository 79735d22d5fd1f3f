package naming

import (
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/route53"
)

// served is a hosted zone as the servers have it.
type served struct {
	revision int64
	sets     []route53.RecordSet
	heard    map[question]bool // what was asked about health, and the answers
	zone     *dns.Prepared     // nil if it never could be served
	err      error             // why it is not the one of this revision
	names    []string          // those with records
	leading  []string          // those of them that may have addresses, or lead to some
}

// question is about the health of one thing.
type question struct{ check, balancer string }

// world is a state, ready to look things up in.
type world struct {
	State
	balancers map[string]loadbalancer.Placement // by DNS name, in lower case
}

func newWorld(s State) *world {
	w := &world{State: s, balancers: make(map[string]loadbalancer.Placement, len(s.LoadBalancers))}
	for _, lb := range s.LoadBalancers {
		w.balancers[strings.ToLower(lb.DNSName)] = lb
	}
	return w
}

// ask answers a question about health. A load balancer of another region is the
// world's business and counts as well.
func (w *world) ask(q question) bool {
	if q.check != "" {
		return w.Healthy == nil || w.Healthy(q.check)
	}
	lb, ok := w.balancers[q.balancer]
	if !ok {
		return !strings.HasSuffix(q.balancer, "."+loadbalancer.Domain(w.Region))
	}
	return w.InService == nil || w.InService(lb)
}

// serve makes a hosted zone into one that servers have. What it was before is kept if
// nothing has changed, and its records if the new ones cannot be served.
func (w *world) serve(z Zone, was *served) *served {
	if was != nil && was.revision == z.Revision && w.same(was.heard) {
		return was
	}
	now := &served{revision: z.Revision, sets: z.RecordSets, heard: map[question]bool{}}
	zone, err := w.translate(z, now)
	if err == nil {
		now.zone, err = dns.Prepare(zone)
	}
	if err != nil {
		now.err = err
		if was != nil {
			now.zone, now.names, now.leading = was.zone, was.names, was.leading
		}
	}
	return now
}

func (w *world) same(heard map[question]bool) bool {
	for q, answer := range heard {
		if w.ask(q) != answer {
			return false
		}
	}
	return true
}

// place is where record sets are that are chosen from together.
type place struct{ name, rrtype string }

// translate makes DNS of record sets, choosing those that are not chosen at random.
func (w *world) translate(z Zone, now *served) (dns.Zone, error) {
	j := &judge{world: w, heard: now.heard, sets: make(map[place][]*route53.RecordSet, len(z.RecordSets))}
	order := make([]place, 0, len(z.RecordSets))
	for i := range z.RecordSets {
		r := &z.RecordSets[i]
		at := place{r.Name, r.Type}
		if j.sets[at] == nil {
			order = append(order, at)
		}
		j.sets[at] = append(j.sets[at], r)
	}
	out := dns.Zone{Name: route53.DNSName(z.Name), Records: make([]mdns.RR, 0, len(z.RecordSets))}
	names, leading := make([]string, 0, len(order)), make([]string, 0, len(order))
	last := place{}
	name := ""
	for _, at := range order {
		if at.name != last.name {
			name = route53.DNSName(at.name)
			names = append(names, name)
		}
		last = at
		group := j.sets[at]
		if at.rrtype == "CNAME" || at.rrtype == "A" {
			leading = append(leading, name)
		}
		if len(group) == 1 && group[0].SetIdentifier == "" && group[0].Alias == nil {
			rrs, err := group[0].RRs()
			if err != nil {
				return dns.Zone{}, fmt.Errorf("%s %s: %w", at.name, at.rrtype, err)
			}
			out.Records = append(out.Records, rrs...)
			continue
		}
		set, err := j.choose(name, at.rrtype, group, z.ID)
		if err != nil {
			return dns.Zone{}, fmt.Errorf("%s %s: %w", at.name, at.rrtype, err)
		}
		out.Sets = append(out.Sets, set)
	}
	now.names, now.leading = names, leading
	return out, nil
}

// choose makes one set of the record sets of a name and type.
func (j *judge) choose(name, rrtype string, group []*route53.RecordSet, zone string) (dns.Set, error) {
	set := dns.Set{Name: name, Type: mdns.StringToType[rrtype], Policy: dns.Weighted}
	if group[0].MultiValue {
		set.Policy = dns.Multivalue
	}
	for _, r := range j.route(group) {
		var o dns.Option
		if r.Weight != nil {
			o.Weight = uint32(*r.Weight)
		}
		switch {
		case r.Alias == nil:
			rrs, err := r.RRs()
			if err != nil {
				return dns.Set{}, err
			}
			o.Records = rrs
		default:
			o.Alias, o.Within = route53.DNSName(r.Alias.Name), r.Alias.Zone == zone
		}
		set.Options = append(set.Options, o)
	}
	return set, nil
}
