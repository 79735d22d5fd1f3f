package naming

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/healthcheck"
	"github.com/tarn-eks/tarn/internal/service/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

// asked are the health checks as the checker has them.
func asked(items []store.Item[route53.HealthCheck]) []healthcheck.Check {
	checks := make([]healthcheck.Check, 0, len(items))
	for _, item := range items {
		h := item.Value
		c := healthcheck.Check{
			ID: item.Key, Port: uint16(h.Port), Host: h.Domain, Path: h.Path, SNI: h.SNI,
			Agent:    "Amazon-Route53-Health-Check-Service (ref " + item.Key + "; report http://amzn.to/1vsZADi)",
			Interval: time.Duration(h.Interval) * time.Second, Threshold: h.Threshold,
			Inverted: h.Inverted, Disabled: h.Disabled, Children: h.Children, AtLeast: h.HealthThreshold,
		}
		c.Address, _ = netip.ParseAddr(h.IPAddress) // "" is none
		switch h.Type {
		case "HTTP":
			c.Kind = healthcheck.HTTP
		case "HTTPS":
			c.Kind = healthcheck.HTTPS
		case "HTTP_STR_MATCH":
			c.Kind, c.Search = healthcheck.HTTP, h.SearchString
		case "HTTPS_STR_MATCH":
			c.Kind, c.Search = healthcheck.HTTPS, h.SearchString
		case "TCP":
			c.Kind = healthcheck.TCP
		case "CALCULATED":
			c.Kind = healthcheck.Calculated
		}
		checks = append(checks, c)
	}
	return checks
}

// Observations are what the one checker that there is has seen: it stands in the
// check's region that is next to this one. It is for Route 53.
func (l *Loop) Observations(ctx context.Context, id string) (last, failures []route53.Observation, err error) {
	item, err := l.Route53.HealthChecks.Get(ctx, id)
	if err != nil || l.Checks == nil {
		return nil, nil, err
	}
	among := item.Value.Regions
	if len(among) == 0 {
		for _, region := range route53.CheckerRegions {
			among = append(among, string(region))
		}
	}
	region := slices.MinFunc(among, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(l.Region, a), distance(l.Region, b)), cmp.Compare(a, b))
	})
	describe := func(o *healthcheck.Observation) []route53.Observation {
		if o == nil {
			return nil
		}
		from := o.From
		if !from.IsValid() { // there was no connection: it would have been from this machine
			from = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		return []route53.Observation{{Region: region, Address: from, Status: o.Status, Time: o.Time}}
	}
	seen, failure := l.Checks.Look(id)
	return describe(seen), describe(failure), nil
}

// Ranges are where the checker connects from: it is for endpoints on this machine, and
// in the world if there is one. It is for Route 53.
func (l *Loop) Ranges() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// Answer answers a question about a hosted zone as its name servers would: with what
// the zone itself has. It is for Route 53. The resolver and the client make no
// difference, everybody is where the region is.
func (l *Loop) Answer(ctx context.Context, q route53.Question) (rcode int, answer []mdns.RR, err error) {
	l.mu.Lock()
	current := l.current
	l.mu.Unlock()
	if current == nil || current.zones[q.Zone] == nil || current.zones[q.Zone].zone == nil {
		return 0, nil, errors.New("the hosted zone is not served yet")
	}
	zone := current.zones[q.Zone].zone
	parts := []*dns.Prepared{zone}
	if zone.Name() != current.balancers.Name() {
		parts = append(parts, current.balancers)
	}
	zones, err := dns.Assemble(parts...)
	if err != nil {
		return 0, nil, err
	}
	server := dns.New(dns.Config{Logger: slog.New(slog.DiscardHandler)})
	server.SetHosted(zones)
	ask := func(qtype uint16) *mdns.Msg {
		m := new(mdns.Msg).SetQuestion(q.Name, qtype)
		m.RecursionDesired = false
		return server.Ask(ctx, m)
	}
	// Where a CNAME leads is for the resolver to find out.
	if res := ask(mdns.TypeCNAME); q.Type != mdns.TypeANY && res.Rcode == mdns.RcodeSuccess && len(res.Answer) > 0 {
		return res.Rcode, res.Answer, nil
	}
	res := ask(q.Type)
	return res.Rcode, res.Answer, nil
}
