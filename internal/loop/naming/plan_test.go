package naming

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/route53"
)

const (
	seoul   = "ap-northeast-2"
	elbZone = "ZWKZPGTI48KDX"
	lake    = "lake-1.ap-northeast-2.elb.amazonaws.com"
	hill    = "internal-hill-2.ap-northeast-2.elb.amazonaws.com"
)

var balancers = []loadbalancer.Placement{
	{
		Name: "lake", ID: "lake-id", DNSName: "Lake-1.ap-northeast-2.elb.amazonaws.com", Scheme: loadbalancer.InternetFacing, VPC: "vpc-1",
		HostAddress: netip.MustParseAddr("127.64.0.1"),
		Nodes:       []loadbalancer.Node{{Address: netip.MustParseAddr("192.168.0.5")}, {Address: netip.MustParseAddr("192.168.32.5")}},
	},
	{Name: "hill", ID: "hill-id", DNSName: hill, Scheme: loadbalancer.Internal, VPC: "vpc-1", Nodes: []loadbalancer.Node{{Address: netip.MustParseAddr("192.168.0.6")}}},
}

// zone is a hosted zone with its own records and others, which have a name (written as
// package dns does), a type and values each.
func zone(id, name string, sets ...route53.RecordSet) Zone {
	apex, err := route53.Name(name)
	if err != nil {
		panic(err)
	}
	z := Zone{HostedZone: route53.HostedZone{ID: id, Name: apex, Created: time.Unix(1, 0)}, Revision: 1}
	z.RecordSets = append(z.RecordSets,
		route53.RecordSet{Zone: id, Name: apex, Type: "NS", TTL: 172800, Values: []string{"ns-1.awsdns-01.org."}},
		route53.RecordSet{Zone: id, Name: apex, Type: "SOA", TTL: 900, Values: []string{"ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"}},
	)
	for _, r := range sets {
		r.Zone = id
		if r.Alias != nil && r.Alias.Zone == "" {
			r.Alias.Zone = id
		}
		z.RecordSets = append(z.RecordSets, r)
	}
	return z
}

func private(z Zone, vpcs ...string) Zone {
	z.Private = true
	for _, id := range vpcs {
		z.VPCs = append(z.VPCs, route53.VPC{Region: seoul, ID: id})
	}
	return z
}

func named(name string) string {
	name, err := route53.Name(name)
	if err != nil {
		panic(err)
	}
	return name
}

func record(name, rrtype string, values ...string) route53.RecordSet {
	return route53.RecordSet{Name: named(name), Type: rrtype, TTL: 300, Values: values}
}

func alias(name, target string) route53.RecordSet {
	r := route53.RecordSet{Name: named(name), Type: "A", Alias: &route53.Alias{Name: named(target)}}
	if strings.HasSuffix(target, ".amazonaws.com") {
		r.Alias.Zone = elbZone
	}
	return r
}

// set gives a record set its identifier and how it is chosen.
func set(r route53.RecordSet, id string, how func(*route53.RecordSet)) route53.RecordSet {
	r.SetIdentifier = id
	how(&r)
	return r
}

func weight(n int) func(*route53.RecordSet) { return func(r *route53.RecordSet) { r.Weight = &n } }
func latency(region string) func(*route53.RecordSet) {
	return func(r *route53.RecordSet) { r.Region = region }
}
func failover(role string) func(*route53.RecordSet) {
	return func(r *route53.RecordSet) { r.Failover = role }
}
func geo(g route53.GeoLocation) func(*route53.RecordSet) {
	return func(r *route53.RecordSet) { r.Geo = &g }
}
func multivalue(r *route53.RecordSet) { r.MultiValue = true }

// checked is set with a health check.
func checked(r route53.RecordSet, check string) route53.RecordSet {
	r.HealthCheck = check
	return r
}

func evaluated(r route53.RecordSet) route53.RecordSet {
	r.Alias.EvaluateHealth = true
	return r
}

// resolve asks zones as a client does: the rcode if it is not NOERROR, and the records
// of the answer, sorted.
func resolve(t *testing.T, z *dns.Zones, name, rrtype string) string {
	t.Helper()
	s := dns.New(dns.Config{Logger: slog.New(slog.DiscardHandler)})
	s.SetHosted(z)
	res := s.Ask(t.Context(), new(mdns.Msg).SetQuestion(mdns.Fqdn(name), mdns.StringToType[rrtype]))
	var lines []string
	for _, rr := range res.Answer {
		lines = append(lines, strings.Join(strings.Fields(rr.String()), " "))
	}
	slices.Sort(lines)
	if res.Rcode != mdns.RcodeSuccess {
		lines = append([]string{mdns.RcodeToString[res.Rcode]}, lines...)
	}
	return strings.Join(lines, "\n")
}

func TestViews(t *testing.T) {
	older := zone("ZOLD", "twice.test", record("a.twice.test", "A", "192.0.2.1"))
	older.Created = time.Unix(0, 0)
	a := Plan(State{
		Region: seoul, VPCs: []string{"vpc-1", "vpc-2"}, LoadBalancers: balancers,
		Zones: []Zone{
			zone("Z1", "example.com",
				alias("example.com", lake), alias("api.example.com", "dualstack."+lake), alias("inner.example.com", hill),
				record("www.example.com", "CNAME", "api.example.com"),
				record("*.example.com", "TXT", `"any \052 one"`),
				record(`odd\052name.example.com`, "A", "192.0.2.9"),
			),
			zone("Z2", "sub.example.com", record("a.sub.example.com", "A", "192.0.2.2")),
			private(zone("Z3", "example.com", record("only.example.com", "A", "10.0.0.1"), alias("api.example.com", lake)), "vpc-1"),
			zone("Z4", "twice.test", record("a.twice.test", "A", "192.0.2.4")), older,
			zone("Z5", "ap-northeast-2.compute.internal", record("a.ap-northeast-2.compute.internal", "A", "192.0.2.5")),
			zone("Z6", "app.localhost", alias("api.app.localhost", lake)),
		},
	}, nil)
	if len(a.Failed) != 0 {
		t.Fatal(a.Failed)
	}
	for _, tc := range []struct{ view, name, rrtype, want string }{
		{"host", "example.com", "A", "example.com. 60 IN A 127.64.0.1"},
		{"host", "api.example.com", "A", "api.example.com. 60 IN A 127.64.0.1"},
		{"host", "api.example.com", "AAAA", ""},
		{"host", "www.example.com", "A", "api.example.com. 60 IN A 127.64.0.1\nwww.example.com. 300 IN CNAME api.example.com."},
		{"host", "inner.example.com", "A", ""}, // not listening on the host yet
		{"host", "x.example.com", "TXT", `x.example.com. 300 IN TXT "any * one"`},
		{"host", "odd*name.example.com", "A", "odd*name.example.com. 300 IN A 192.0.2.9"},
		{"host", "only.example.com", "A", ""}, // the wildcard has it exist
		{"host", "a.sub.example.com", "A", "a.sub.example.com. 300 IN A 192.0.2.2"},
		{"host", "a.twice.test", "A", "a.twice.test. 300 IN A 192.0.2.1"},
		{"host", lake, "A", lake + ". 60 IN A 127.64.0.1"},
		{"host", "dualstack." + lake, "A", "dualstack." + lake + ". 60 IN A 127.64.0.1"},
		{"host", "gone-3.ap-northeast-2.elb.amazonaws.com", "A", "NXDOMAIN"},
		{"host", "api.app.localhost", "A", "api.app.localhost. 60 IN A 127.64.0.1"},
		{"host", "a.ap-northeast-2.compute.internal", "A", "a.ap-northeast-2.compute.internal. 300 IN A 192.0.2.5"},

		// The private zone hides the public ones of its name and below.
		{"vpc-1", "only.example.com", "A", "only.example.com. 300 IN A 10.0.0.1"},
		{"vpc-1", "api.example.com", "A", "api.example.com. 60 IN A 192.168.0.5\napi.example.com. 60 IN A 192.168.32.5"},
		{"vpc-1", "www.example.com", "A", "NXDOMAIN"},
		{"vpc-1", "a.sub.example.com", "A", "NXDOMAIN"},
		{"vpc-1", "api.app.localhost", "A", "api.app.localhost. 60 IN A 192.168.0.5\napi.app.localhost. 60 IN A 192.168.32.5"},
		{"vpc-1", hill, "A", hill + ". 60 IN A 192.168.0.6"},
		{"vpc-1", "a.ap-northeast-2.compute.internal", "A", "NXDOMAIN"}, // instances' names are not a public zone's
		{"vpc-2", "only.example.com", "A", ""},
		{"vpc-2", "inner.example.com", "A", "inner.example.com. 60 IN A 192.168.0.6"},
		{"vpc-2", "a.sub.example.com", "A", "a.sub.example.com. 300 IN A 192.0.2.2"},
		{"vpc-unheard-of", "a.sub.example.com", "A", "a.sub.example.com. 300 IN A 192.0.2.2"},
	} {
		if got := resolve(t, a.View(tc.view), tc.name, tc.rrtype); got != tc.want {
			t.Errorf("%s: %s %s\n%s\nwant\n%s", tc.view, tc.name, tc.rrtype, got, tc.want)
		}
	}
	wantNames := map[string]string{
		lake: "lake-id", "dualstack." + lake: "lake-id", hill: "hill-id", "dualstack." + hill: "hill-id",
		"example.com": "lake-id", "api.example.com": "lake-id", "www.example.com": "lake-id", "inner.example.com": "hill-id",
		"api.app.localhost": "lake-id",
	}
	if diff := cmp.Diff(wantNames, a.Names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	wantZones := []string{"ap-northeast-2.compute.internal", "ap-northeast-2.elb.amazonaws.com", "app.localhost", "example.com", "sub.example.com", "twice.test"}
	if diff := cmp.Diff(wantZones, a.Host.Zones); diff != "" {
		t.Errorf("zones (-want +got):\n%s", diff)
	}
	host := map[string]string{}
	for name, addresses := range a.Host.Addresses {
		host[name] = fmt.Sprint(addresses)
	}
	wantHost := map[string]string{
		lake: "[127.64.0.1]", "dualstack." + lake: "[127.64.0.1]",
		"example.com": "[127.64.0.1]", "api.example.com": "[127.64.0.1]", "www.example.com": "[127.64.0.1]", "api.app.localhost": "[127.64.0.1]",
		"a.sub.example.com": "[192.0.2.2]", "a.twice.test": "[192.0.2.1]", "a.ap-northeast-2.compute.internal": "[192.0.2.5]",
		"odd*name.example.com": "[192.0.2.9]",
	}
	if diff := cmp.Diff(wantHost, host); diff != "" {
		t.Errorf("host names (-want +got):\n%s", diff)
	}
}

// A name that exists is not what a wildcard means, at the front door either.
func TestWildcardNames(t *testing.T) {
	a := Plan(State{Region: seoul, LoadBalancers: balancers, Zones: []Zone{zone("Z1", "example.com",
		alias("*.example.com", lake), record("db.example.com", "A", "192.0.2.1"), record("_acme.example.com", "TXT", `"x"`),
		record("away.example.com", "CNAME", "www.example.org"), record("here.example.com", "CNAME", "anything.example.com"),
		alias("hill.example.com", hill),
	)}}, nil)
	maps.DeleteFunc(a.Names, func(name, _ string) bool { return strings.HasSuffix(name, ".amazonaws.com") })
	want := map[string]string{
		"*.example.com": "lake-id", "here.example.com": "lake-id", "hill.example.com": "hill-id",
		"db.example.com": "", "_acme.example.com": "", "away.example.com": "",
	}
	if diff := cmp.Diff(want, a.Names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, ok := a.Host.Addresses["*.example.com"]; ok {
		t.Error("a list of hosts has a wildcard")
	}
}

func TestRouting(t *testing.T) {
	a := func(address string) route53.RecordSet { return record("www.example.com", "A", address) }
	for _, tc := range []struct {
		name   string
		region string // seoul if ""
		sets   []route53.RecordSet
		ill    []string // health checks, and DNS names of load balancers
		want   []string // the addresses that may come
	}{
		{"one", "", []route53.RecordSet{a("192.0.2.1")}, nil, []string{"192.0.2.1"}},
		{"one that is ill is all there is", "", []route53.RecordSet{checked(a("192.0.2.1"), "a")}, []string{"a"}, []string{"192.0.2.1"}},

		{"weighted", "", []route53.RecordSet{set(a("192.0.2.1"), "1", weight(1)), set(a("192.0.2.2"), "2", weight(1)), set(a("192.0.2.3"), "3", weight(0))},
			nil, []string{"192.0.2.1", "192.0.2.2"}},
		{"weighted, one ill", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", weight(1)), set(a("192.0.2.2"), "2", weight(1))},
			[]string{"a"}, []string{"192.0.2.2"}},
		{"weighted, only that of weight 0 well", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", weight(1)), set(a("192.0.2.2"), "2", weight(0))},
			[]string{"a"}, []string{"192.0.2.2"}},
		{"weighted, all ill", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", weight(1)), set(checked(a("192.0.2.2"), "b"), "2", weight(1))},
			[]string{"a", "b"}, []string{"192.0.2.1", "192.0.2.2"}},
		{"weighted, all weights 0", "", []route53.RecordSet{set(a("192.0.2.1"), "1", weight(0)), set(a("192.0.2.2"), "2", weight(0))},
			nil, []string{"192.0.2.1", "192.0.2.2"}},

		{"latency, this region", "", []route53.RecordSet{set(a("192.0.2.1"), "1", latency("ap-northeast-1")), set(a("192.0.2.2"), "2", latency(seoul))},
			nil, []string{"192.0.2.2"}},
		{"latency, the nearest", "", []route53.RecordSet{set(a("192.0.2.1"), "1", latency("us-west-2")), set(a("192.0.2.2"), "2", latency("ap-southeast-1")), set(a("192.0.2.3"), "3", latency("eu-west-1"))},
			nil, []string{"192.0.2.2"}},
		{"latency, the nearest is ill", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", latency(seoul)), set(a("192.0.2.2"), "2", latency("us-east-1"))},
			[]string{"a"}, []string{"192.0.2.2"}},
		{"latency, all ill", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", latency(seoul)), set(checked(a("192.0.2.2"), "a"), "2", latency("us-east-1"))},
			[]string{"a"}, []string{"192.0.2.1"}},
		{"latency, a region that nobody knows", "zz-north-9", []route53.RecordSet{set(a("192.0.2.1"), "1", latency("eu-west-1")), set(a("192.0.2.2"), "2", latency("zz-north-9"))},
			nil, []string{"192.0.2.2"}},

		{"failover", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary))},
			nil, []string{"192.0.2.1"}},
		{"failover, the primary one ill", "", []route53.RecordSet{set(a("192.0.2.2"), "1", failover(route53.Secondary)), set(checked(a("192.0.2.1"), "a"), "2", failover(route53.Primary))},
			[]string{"a"}, []string{"192.0.2.2"}},
		{"failover, both ill", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", failover(route53.Primary)), set(checked(a("192.0.2.2"), "a"), "2", failover(route53.Secondary))},
			[]string{"a"}, []string{"192.0.2.1"}},
		{"failover, only a secondary one", "", []route53.RecordSet{set(a("192.0.2.2"), "2", failover(route53.Secondary))}, nil, []string{"192.0.2.2"}},

		{"geolocation, the country", "", []route53.RecordSet{
			set(a("192.0.2.1"), "1", geo(route53.GeoLocation{Country: "*"})), set(a("192.0.2.2"), "2", geo(route53.GeoLocation{Continent: "AS"})),
			set(a("192.0.2.3"), "3", geo(route53.GeoLocation{Country: "KR"})), set(a("192.0.2.4"), "4", geo(route53.GeoLocation{Country: "US", Subdivision: "VA"}))},
			nil, []string{"192.0.2.3"}},
		{"geolocation, the country is ill", "", []route53.RecordSet{
			set(a("192.0.2.1"), "1", geo(route53.GeoLocation{Country: "*"})), set(a("192.0.2.2"), "2", geo(route53.GeoLocation{Continent: "AS"})),
			set(checked(a("192.0.2.3"), "a"), "3", geo(route53.GeoLocation{Country: "KR"}))},
			[]string{"a"}, []string{"192.0.2.2"}},
		{"geolocation, all ill", "", []route53.RecordSet{
			set(checked(a("192.0.2.1"), "a"), "1", geo(route53.GeoLocation{Country: "*"})), set(checked(a("192.0.2.2"), "a"), "2", geo(route53.GeoLocation{Continent: "AS"}))},
			[]string{"a"}, []string{"192.0.2.2"}},
		{"geolocation, everywhere else", "", []route53.RecordSet{
			set(a("192.0.2.1"), "1", geo(route53.GeoLocation{Country: "*"})), set(a("192.0.2.2"), "2", geo(route53.GeoLocation{Continent: "EU"}))},
			nil, []string{"192.0.2.1"}},
		{"geolocation, nowhere", "", []route53.RecordSet{set(a("192.0.2.2"), "2", geo(route53.GeoLocation{Continent: "EU"}))}, nil, nil},
		{"geolocation, the state", "us-east-1", []route53.RecordSet{
			set(a("192.0.2.1"), "1", geo(route53.GeoLocation{Country: "US"})), set(a("192.0.2.2"), "2", geo(route53.GeoLocation{Country: "US", Subdivision: "VA"})),
			set(a("192.0.2.3"), "3", geo(route53.GeoLocation{Country: "US", Subdivision: "CA"}))},
			nil, []string{"192.0.2.2"}},
		{"geolocation, a region that nobody knows", "zz-north-9", []route53.RecordSet{
			set(a("192.0.2.1"), "1", geo(route53.GeoLocation{Country: "*"})), set(a("192.0.2.2"), "2", geo(route53.GeoLocation{Continent: "AS"}))},
			nil, []string{"192.0.2.1"}},

		{"multivalue", "", []route53.RecordSet{set(a("192.0.2.1"), "1", multivalue), set(checked(a("192.0.2.2"), "a"), "2", multivalue), set(a("192.0.2.3"), "3", multivalue)},
			[]string{"a"}, []string{"192.0.2.1", "192.0.2.3"}},
		{"multivalue, all ill", "", []route53.RecordSet{set(checked(a("192.0.2.1"), "a"), "1", multivalue), set(checked(a("192.0.2.2"), "a"), "2", multivalue)},
			[]string{"a"}, []string{"192.0.2.1", "192.0.2.2"}},

		{"an alias does not look at the load balancer", "", []route53.RecordSet{
			set(alias("www.example.com", lake), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary))},
			[]string{lake}, []string{"127.64.0.1"}},
		{"an alias looks at the load balancer", "", []route53.RecordSet{
			set(evaluated(alias("www.example.com", "dualstack."+lake)), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary))},
			[]string{lake}, []string{"192.0.2.2"}},
		{"an alias to a load balancer that is gone", "", []route53.RecordSet{
			set(evaluated(alias("www.example.com", "gone-9.ap-northeast-2.elb.amazonaws.com")), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary))},
			nil, []string{"192.0.2.2"}},
		{"an alias to records that are ill", "", []route53.RecordSet{
			set(evaluated(alias("www.example.com", "pool.example.com")), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary)),
			set(checked(record("pool.example.com", "A", "192.0.2.8"), "a"), "1", weight(1)), set(checked(record("pool.example.com", "A", "192.0.2.9"), "b"), "2", weight(1))},
			[]string{"a", "b"}, []string{"192.0.2.2"}},
		{"an alias to records of which one is well", "", []route53.RecordSet{
			set(evaluated(alias("www.example.com", "pool.example.com")), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary)),
			set(checked(record("pool.example.com", "A", "192.0.2.8"), "a"), "1", weight(1)), set(checked(record("pool.example.com", "A", "192.0.2.9"), "b"), "2", weight(1))},
			[]string{"a"}, []string{"192.0.2.9"}},
		{"aliases of each other", "", []route53.RecordSet{
			set(evaluated(alias("www.example.com", "pool.example.com")), "1", failover(route53.Primary)), set(a("192.0.2.2"), "2", failover(route53.Secondary)),
			evaluated(alias("pool.example.com", "www.example.com"))},
			nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := State{
				Region: seoul, LoadBalancers: balancers, Zones: []Zone{zone("Z1", "example.com", tc.sets...)},
				Healthy:   func(check string) bool { return !slices.Contains(tc.ill, check) },
				InService: func(lb loadbalancer.Placement) bool { return !slices.Contains(tc.ill, strings.ToLower(lb.DNSName)) },
			}
			if tc.region != "" {
				s.Region = tc.region
			}
			answers := Plan(s, nil)
			if len(answers.Failed) > 0 {
				t.Fatal(answers.Failed)
			}
			seen := map[string]bool{}
			for range 100 {
				for line := range strings.Lines(resolve(t, answers.Views[HostView], "www.example.com", "A")) {
					if fields := strings.Fields(line); len(fields) == 5 {
						seen[fields[4]] = true
					}
				}
			}
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(seen))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is the same is taken over, and what health says anew is not.
func TestPlanAgain(t *testing.T) {
	ill := false
	s := State{Region: seoul, LoadBalancers: balancers, Healthy: func(string) bool { return !ill }, Zones: []Zone{
		zone("Z1", "one.test", record("a.one.test", "A", "192.0.2.1")),
		zone("Z2", "two.test",
			set(checked(record("a.two.test", "A", "192.0.2.1"), "a"), "1", failover(route53.Primary)),
			set(record("a.two.test", "A", "192.0.2.2"), "2", failover(route53.Secondary))),
		zone("Z3", "three.test", record("a.three.test", "A", "192.0.2.1")),
	}}
	first := Plan(s, nil)
	ill = true
	s.Zones[2] = zone("Z3", "three.test", record("a.three.test", "A", "192.0.2.3"))
	s.Zones[2].Revision = 2
	second := Plan(s, first)
	if second.zones["Z1"] != first.zones["Z1"] {
		t.Error("a zone that did not change was made anew")
	}
	for name, want := range map[string]string{"a.one.test": "192.0.2.1", "a.two.test": "192.0.2.2", "a.three.test": "192.0.2.3"} {
		if got := resolve(t, second.Views[HostView], name, "A"); !strings.HasSuffix(got, " "+want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	s.Zones = s.Zones[1:]
	if got := resolve(t, Plan(s, second).Views[HostView], "a.one.test", "A"); got != "SERVFAIL" { // forwarded to nobody
		t.Errorf("a zone that is gone: %s", got)
	}
}

// A zone that cannot be served keeps what it had, and the others are served.
func TestFailedZone(t *testing.T) {
	good := zone("Z1", "one.test", record("a.one.test", "A", "192.0.2.1"))
	other := zone("Z2", "two.test", record("a.two.test", "A", "192.0.2.2"))
	first := Plan(State{Region: seoul, Zones: []Zone{good}}, nil)
	bad := zone("Z1", "one.test", record("a.one.test", "A", "192.0.2.9"), record("b.one.test", "A", "nonsense"))
	bad.Revision = 2
	second := Plan(State{Region: seoul, Zones: []Zone{bad, other}}, first)
	if err := second.Failed["Z1"]; err == nil || !strings.Contains(err.Error(), "b.one.test. A") || len(second.Failed) != 1 {
		t.Errorf("failed: %v", second.Failed)
	}
	if got := resolve(t, second.Views[HostView], "a.one.test", "A"); !strings.HasSuffix(got, "192.0.2.1") {
		t.Errorf("got %s", got)
	}
	if got := resolve(t, second.Views[HostView], "a.two.test", "A"); !strings.HasSuffix(got, "192.0.2.2") {
		t.Errorf("got %s", got)
	}
	never := Plan(State{Region: seoul, Zones: []Zone{bad}}, nil)
	if got := resolve(t, never.Views[HostView], "a.one.test", "A"); got != "SERVFAIL" {
		t.Errorf("a zone that never could be served: %s", got)
	}
}

func TestAnswer(t *testing.T) {
	l := &Loop{}
	ask := func(q route53.Question) (int, string, error) {
		rcode, rrs, err := l.Answer(context.Background(), q)
		return rcode, fmt.Sprint(rrs), err
	}
	if _, _, err := ask(route53.Question{Zone: "Z1", Name: "www.example.com.", Type: mdns.TypeA}); err == nil {
		t.Error("an answer before there is a zone")
	}
	l.current = Plan(State{Region: seoul, LoadBalancers: balancers, Zones: []Zone{
		zone("Z1", "example.com", alias("www.example.com", lake), record("out.example.com", "CNAME", "www.example.org"), record("a.sub.example.com", "A", "192.0.2.1")),
		zone("Z2", "sub.example.com"),
	}}, nil)
	for _, tc := range []struct {
		name  string
		qtype uint16
		rcode int
		want  string
	}{
		{"www.example.com.", mdns.TypeA, mdns.RcodeSuccess, "[www.example.com.\t60\tIN\tA\t127.64.0.1]"},
		{"out.example.com.", mdns.TypeA, mdns.RcodeSuccess, "[out.example.com.\t300\tIN\tCNAME\twww.example.org.]"},
		{"a.sub.example.com.", mdns.TypeA, mdns.RcodeSuccess, "[a.sub.example.com.\t300\tIN\tA\t192.0.2.1]"},
		{"no.example.com.", mdns.TypeA, mdns.RcodeNameError, "[]"},
	} {
		rcode, got, err := ask(route53.Question{Zone: "Z1", Name: tc.name, Type: tc.qtype})
		if err != nil || rcode != tc.rcode || got != tc.want {
			t.Errorf("%s: %d %s %v, want %d %s", tc.name, rcode, got, err, tc.rcode, tc.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct{ region, nearer, farther string }{
		{seoul, seoul, "ap-northeast-3"},
		{seoul, "ap-northeast-1", "ap-southeast-1"},
		{seoul, "us-west-2", "us-east-1"},
		{"us-east-1", "us-east-2", "us-west-1"},
		{"eu-west-1", "eu-west-2", "us-east-1"},
		{"us-west-2", "ap-northeast-1", "ap-south-1"},
		{seoul, "sa-east-1", "zz-north-9"},
	} {
		if distance(tc.region, tc.nearer) >= distance(tc.region, tc.farther) {
			t.Errorf("from %s: %s is not nearer than %s", tc.region, tc.nearer, tc.farther)
		}
	}
}

// BenchmarkPlan is a change of one record in a zone of 10,000, and one of another zone.
func BenchmarkPlan(b *testing.B) {
	var sets []route53.RecordSet
	for i := range 10_000 {
		name := fmt.Sprintf("host-%d.example.com", i)
		switch i % 3 {
		case 0:
			sets = append(sets, record(name, "A", "192.0.2.1"))
		case 1:
			sets = append(sets, alias(name, lake))
		case 2:
			sets = append(sets, record(name, "CNAME", "host-1.example.com"))
		}
	}
	s := State{Region: seoul, LoadBalancers: balancers, VPCs: []string{"vpc-1", "vpc-2"}, Zones: []Zone{
		zone("Z1", "example.com", sets...), zone("Z2", "example.org", record("a.example.org", "A", "192.0.2.1")),
	}}
	for i, name := range []string{"in it", "elsewhere"} {
		b.Run(name, func(b *testing.B) {
			before := Plan(s, nil)
			for b.Loop() {
				s.Zones[i].Revision++
				if before = Plan(s, before); len(before.Failed) > 0 {
					b.Fatal(before.Failed)
				}
			}
		})
	}
}
