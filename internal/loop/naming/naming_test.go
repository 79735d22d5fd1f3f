package naming

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/healthcheck"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/service/route53"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// fakeRegion is what the loop acts on: a server per view, and notes of the rest.
type fakeRegion struct {
	mu      sync.Mutex
	servers map[string]*dns.Server
	fail    map[string]error
	given   int
	names   map[string]string
	host    HostNames
}

func (r *fakeRegion) SetHosted(view string, z *dns.Zones) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given++
	if err := r.fail[view]; err != nil {
		return err
	}
	if r.servers[view] == nil {
		return fmt.Errorf("%w: %s", ErrNoView, view)
	}
	r.servers[view].SetHosted(z)
	return nil
}

func (r *fakeRegion) SetNames(names map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = names
}

func (r *fakeRegion) SetHost(h HostNames) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host = h
	return nil
}

func (r *fakeRegion) open(view string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.servers[view] = dns.New(dns.Config{Logger: slog.New(slog.DiscardHandler)})
}

func (r *fakeRegion) failWith(view string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail[view] = err
}

// ask returns the first record that a view has, without its name, or the rcode.
func (r *fakeRegion) ask(view, name, rrtype string) string {
	r.mu.Lock()
	s := r.servers[view]
	r.mu.Unlock()
	res := s.Ask(context.Background(), new(mdns.Msg).SetQuestion(name, mdns.StringToType[rrtype]))
	if len(res.Answer) == 0 {
		return mdns.RcodeToString[res.Rcode]
	}
	return strings.TrimPrefix(res.Answer[0].String(), res.Answer[0].Header().String())
}

func (r *fakeRegion) name(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.names[name]
}

type fixture struct {
	*testing.T
	*fakeRegion
	client  *clientv3.Client
	route53 *route53.Service
	elb     *elb.Service
	elbv2   *elbv2.Service
	ec2     *ec2.Service
	loop    *Loop
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		T: t, client: storetest.Open(t).Client(),
		fakeRegion: &fakeRegion{servers: map[string]*dns.Server{}, fail: map[string]error{}},
	}
	f.open(HostView)
	var err error
	if f.ec2, err = ec2.New(ec2.Config{Client: f.client, Account: "000000000000", Region: seoul}); err != nil {
		t.Fatal(err)
	}
	f.loop = &Loop{
		Region: seoul, EC2: f.ec2, Views: f, FrontDoor: f, Host: f,
		Logger: slog.New(slog.DiscardHandler), Retry: time.Millisecond,
	}
	f.elb = elb.New(elb.Config{Client: f.client, Account: "000000000000", Region: seoul})
	f.route53 = route53.New(route53.Config{
		Client: f.client, Account: "000000000000", Region: seoul,
		Applied: f.loop, Checker: f.loop, Answerer: f.loop, LoadBalancers: exists{},
	})
	f.elbv2 = elbv2.New(elbv2.Config{Client: f.client, Account: "000000000000", Region: seoul})
	f.loop.Route53, f.loop.ELB, f.loop.ELBv2 = f.route53, f.elb, f.elbv2
	return f
}

// exists stands for load balancers that are there when somebody asks.
type exists struct{}

func (exists) LoadBalancerExists(context.Context, string) (bool, error) { return true, nil }

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- f.loop.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Errorf("the loop ended with %v", err)
		}
	})
}

// commit writes a zone with record sets as Route 53 does, and returns the revision.
func (f *fixture) commit(z Zone) int64 {
	f.Helper()
	rev, err := f.write(z)
	if err != nil {
		f.Fatal(err)
	}
	return rev
}

func (f *fixture) write(z Zone) (int64, error) {
	ctx := f.Context()
	var ops []store.Op
	put := func(r route53.RecordSet) error {
		it, err := f.route53.RecordSets.Get(ctx, r.Key())
		if errors.Is(err, store.ErrNotFound) {
			ops = append(ops, f.route53.RecordSets.CreateOp(r.Key(), r))
			return nil
		}
		it.Value = r
		ops = append(ops, f.route53.RecordSets.UpdateOp(it))
		return err
	}
	for _, r := range z.RecordSets {
		if err := put(r); err != nil {
			return 0, err
		}
	}
	it, err := f.route53.HostedZones.Get(ctx, z.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		ops = append(ops, f.route53.HostedZones.CreateOp(z.ID, z.HostedZone))
	case err != nil:
		return 0, err
	default:
		it.Value = z.HostedZone
		it.Value.Change = fmt.Sprint(it.Revision)
		ops = append(ops, f.route53.HostedZones.UpdateOp(it))
	}
	return store.Commit(ctx, f.client, ops...)
}

// applied waits until the loop says that it is at a revision.
func (f *fixture) applied(rev int64) {
	f.Helper()
	f.until(fmt.Sprintf("revision %d is applied", rev), func() bool { return f.loop.Applied() >= rev })
}

// until waits until something holds, looking whenever the zones change.
func (f *fixture) until(what string, holds func() bool) {
	f.Helper()
	limit := time.After(20 * time.Second)
	for {
		changed := f.loop.Changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-limit:
			f.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestFollows(t *testing.T) {
	f := newFixture(t)
	f.open("vpc-1")
	if _, err := f.ec2.VPCs.Create(t.Context(), "vpc-1", ec2.VPC{ID: "vpc-1"}); err != nil {
		t.Fatal(err)
	}
	first := f.commit(zone("Z1", "example.com", record("a.example.com", "A", "192.0.2.1"), evaluated(alias("www.example.com", lake))))
	f.start()
	f.applied(first)
	if got := f.ask(HostView, "a.example.com.", "A"); got != "192.0.2.1" {
		t.Errorf("got %s", got)
	}

	// A load balancer, before and after it listens.
	lb := balancers[0]
	lb.HostAddress, lb.Nodes = netip.Addr{}, nil
	if _, err := f.elb.LoadBalancers.Create(t.Context(), lb.Name, elb.LoadBalancer{Placement: lb}); err != nil {
		t.Fatal(err)
	}
	f.until("the front door knows the name", func() bool { return f.name("www.example.com") == lb.ID })
	if got := f.ask(HostView, "www.example.com.", "A"); got != "NOERROR" {
		t.Errorf("got %s", got)
	}
	if _, err := f.elb.LoadBalancers.Modify(t.Context(), lb.Name, func(lb *elb.LoadBalancer) error { lb.Placement = balancers[0]; return nil }); err != nil {
		t.Fatal(err)
	}
	f.until("the host has the address", func() bool { return f.ask(HostView, "www.example.com.", "A") == "127.64.0.1" })
	app := loadbalancer.Placement{Name: "app", ID: "app-id", Type: loadbalancer.Application, DNSName: "app-3.ap-northeast-2.elb.amazonaws.com", HostAddress: netip.MustParseAddr("127.64.0.9")}
	if _, err := f.elbv2.LoadBalancers.Create(t.Context(), "app", elbv2.LoadBalancer{Placement: app}); err != nil {
		t.Fatal(err)
	}
	f.until("an Application Load Balancer has its name", func() bool {
		return f.ask(HostView, app.DNSName+".", "A") == "127.64.0.9" && f.name(app.DNSName) == "app-id"
	})
	f.until("the VPC has the address", func() bool { return strings.HasPrefix(f.ask("vpc-1", "www.example.com.", "A"), "192.168.") })
	f.until("the host is told", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.host.Addresses["www.example.com"]) == 1 && len(f.host.Zones) == 2
	})

	// A private zone comes, changes its VPC, and goes.
	f.applied(f.commit(private(zone("Z2", "example.com", record("a.example.com", "A", "10.0.0.1")), "vpc-1")))
	if host, vpc := f.ask(HostView, "a.example.com.", "A"), f.ask("vpc-1", "a.example.com.", "A"); host != "192.0.2.1" || vpc != "10.0.0.1" {
		t.Errorf("host %s, VPC %s", host, vpc)
	}
	moved := private(zone("Z2", "example.com"), "vpc-9")
	moved.RecordSets = nil
	f.applied(f.commit(moved))
	if got := f.ask("vpc-1", "a.example.com.", "A"); got != "192.0.2.1" {
		t.Errorf("a zone of another VPC answers: %s", got)
	}
	if err := f.route53.HostedZones.Delete(t.Context(), "Z1"); err != nil {
		t.Fatal(err)
	}
	f.until("the zone is gone", func() bool { return f.ask(HostView, "a.example.com.", "A") == "SERVFAIL" })
}

// When the loop claims a revision, the servers answer as it says: for zones and record
// sets that change at the same time.
func TestAppliedIsTrue(t *testing.T) {
	f := newFixture(t)
	f.start()
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			id, name := fmt.Sprintf("Z%d", w), fmt.Sprintf("w%d.test", w)
			for i := range 25 {
				want := fmt.Sprintf("192.0.2.%d", i)
				rev, err := f.write(zone(id, name, record("a."+name, "A", want)))
				if err != nil {
					t.Error(err)
					return
				}
				for f.loop.Applied() < rev {
					changed := f.loop.Changed()
					if f.loop.Applied() >= rev {
						break
					}
					select {
					case <-changed:
					case <-time.After(20 * time.Second):
						t.Errorf("revision %d was never applied", rev)
						return
					}
				}
				if got := f.ask(HostView, "a."+name+".", "A"); got != want {
					t.Errorf("at revision %d, which is said to be applied, %s is %s, want %s", rev, name, got, want)
					return
				}
			}
		})
	}
	writers.Wait()
}

// What the API says is in sync is what DNS answers.
func TestChangesOfTheAPI(t *testing.T) {
	f := newFixture(t)
	// Before the loop: a change in sync says nothing of load balancers, and the store
	// tells of one that was made while a watch begins 100 ms later.
	if _, err := f.elb.LoadBalancers.Create(t.Context(), "lake", elb.LoadBalancer{Placement: balancers[0]}); err != nil {
		t.Fatal(err)
	}
	f.start()
	made, err := f.route53.CreateHostedZone(t.Context(), &route53api.CreateHostedZoneInput{Name: new("example.com"), CallerReference: new("1")})
	if err != nil {
		t.Fatal(err)
	}
	inSync := func(id *string) {
		t.Helper()
		f.until("the change is in sync", func() bool {
			out, err := f.route53.GetChange(t.Context(), &route53api.GetChangeInput{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			return out.ChangeInfo.Status == route53api.ChangeStatusInsync
		})
	}
	inSync(made.ChangeInfo.Id)
	if got := f.ask(HostView, "example.com.", "SOA"); !strings.HasSuffix(got, "awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400") {
		t.Errorf("got %s", got)
	}
	change := func(action route53api.ChangeAction, set route53api.ResourceRecordSet) {
		t.Helper()
		out, err := f.route53.ChangeResourceRecordSets(t.Context(), &route53api.ChangeResourceRecordSetsInput{
			HostedZoneId: made.HostedZone.Id,
			ChangeBatch:  &route53api.ChangeBatch{Changes: []route53api.Change{{Action: action, ResourceRecordSet: &set}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		inSync(out.ChangeInfo.Id)
	}
	www := route53api.ResourceRecordSet{
		Name: new("*.example.com"), Type: "A",
		AliasTarget: &route53api.AliasTarget{DNSName: new(lake), HostedZoneId: new(elbZone), EvaluateTargetHealth: new(false)},
	}
	change("CREATE", www)
	if got := f.ask(HostView, "www.example.com.", "A"); got != "127.64.0.1" {
		t.Errorf("got %s", got)
	}
	if got := f.name("*.example.com"); got != "lake-id" {
		t.Errorf("the front door has %q", got)
	}
	for i := range 5 {
		change("UPSERT", route53api.ResourceRecordSet{
			Name: new("_x.example.com"), Type: "TXT", TTL: new(int64(60)),
			ResourceRecords: []route53api.ResourceRecord{{Value: new(fmt.Sprintf(`"%d\052"`, i))}},
		})
		if got := f.ask(HostView, "_x.example.com.", "TXT"); got != fmt.Sprintf(`"%d*"`, i) {
			t.Errorf("got %s", got)
		}
	}
	tested, err := f.route53.TestDNSAnswer(t.Context(), &route53api.TestDNSAnswerInput{
		HostedZoneId: made.HostedZone.Id, RecordName: new("a.example.com"), RecordType: "A",
	})
	if err != nil || len(tested.RecordData) != 1 || tested.RecordData[0] != "127.64.0.1" {
		t.Errorf("TestDNSAnswer: %+v, %v", tested, err)
	}
	change("DELETE", www)
	if got := f.ask(HostView, "www.example.com.", "A"); got != "NXDOMAIN" {
		t.Errorf("got %s", got)
	}
}

// A server that fails holds the claim back; one that is not there does not, and gets
// its zones when it comes.
func TestViewsThatFail(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"vpc-1", "vpc-2"} {
		if _, err := f.ec2.VPCs.Create(t.Context(), id, ec2.VPC{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	f.open("vpc-1")
	f.start()
	f.applied(f.commit(zone("Z1", "example.com", record("a.example.com", "A", "192.0.2.1"))))

	f.failWith("vpc-1", errors.New("not now"))
	rev := f.commit(zone("Z1", "example.com", record("a.example.com", "A", "192.0.2.2")))
	f.until("the host has the change", func() bool { return f.ask(HostView, "a.example.com.", "A") == "192.0.2.2" })
	f.mu.Lock()
	before := f.given
	f.mu.Unlock()
	f.until("it is tried again", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.given > before+9
	})
	if f.loop.Applied() >= rev {
		t.Error("a change counts as applied that one server does not have")
	}
	f.failWith("vpc-1", nil)
	f.applied(rev)
	if got := f.ask("vpc-1", "a.example.com.", "A"); got != "192.0.2.2" {
		t.Errorf("got %s", got)
	}

	f.open("vpc-2")
	f.until("the new server has its zones", func() bool { return f.ask("vpc-2", "a.example.com.", "A") == "192.0.2.2" })
	s := dns.New(dns.Config{Logger: slog.New(slog.DiscardHandler)})
	s.SetHosted(f.loop.View("vpc-3"))
	if res := s.Ask(t.Context(), new(mdns.Msg).SetQuestion("a.example.com.", mdns.TypeA)); len(res.Answer) != 1 {
		t.Errorf("a server that asks by itself: %v", res)
	}
}

// A zone that cannot be served holds the claim back.
func TestAppliedWithoutAFailedZone(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.applied(f.commit(zone("Z1", "one.test", record("a.one.test", "A", "192.0.2.1"))))
	bad := f.commit(zone("Z1", "one.test", record("a.one.test", "A", "nonsense")))
	other := f.commit(zone("Z2", "two.test", record("a.two.test", "A", "192.0.2.2")))
	f.until("the other zone is served", func() bool { return f.ask(HostView, "a.two.test.", "A") == "192.0.2.2" })
	if got := f.loop.Applied(); got >= bad {
		t.Errorf("revision %d is said to be applied, %d cannot be", got, bad)
	}
	f.applied(f.commit(zone("Z1", "one.test", record("a.one.test", "A", "192.0.2.3"))))
	if f.loop.Applied() < other {
		t.Error("not all is applied")
	}
}

// inService is the health of load balancers as a test has it.
type inService struct{ yes atomic.Bool }

func (h *inService) InService(loadbalancer.Placement) bool { return h.yes.Load() }

func TestHealthChanges(t *testing.T) {
	f := newFixture(t)
	health := new(inService)
	f.loop.Health = health
	checker := healthcheck.New(healthcheck.Config{
		Changed: f.loop.Trigger,
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no") },
	})
	defer checker.Close()
	f.loop.Checks = checker
	if _, err := f.route53.HealthChecks.Create(t.Context(), "check", route53.HealthCheck{ID: "check", HealthCheckConfig: route53.HealthCheckConfig{
		Type: "HTTP", Domain: "no.test", Port: 80, Interval: 10, Threshold: 1,
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.elb.LoadBalancers.Create(t.Context(), "lake", elb.LoadBalancer{Placement: balancers[0]}); err != nil {
		t.Fatal(err)
	}
	f.commit(zone("Z1", "example.com",
		set(evaluated(alias("a.example.com", lake)), "1", failover(route53.Primary)), set(record("a.example.com", "A", "192.0.2.2"), "2", failover(route53.Secondary)),
		set(checked(record("b.example.com", "A", "192.0.2.1"), "check"), "1", failover(route53.Primary)), set(record("b.example.com", "A", "192.0.2.2"), "2", failover(route53.Secondary)),
	))
	f.start()
	is := func(name, address string) {
		t.Helper()
		f.until(name+" is "+address, func() bool { return f.ask(HostView, name, "A") == address })
	}
	is("a.example.com.", "192.0.2.2")
	health.yes.Store(true)
	f.loop.Trigger()
	is("a.example.com.", "127.64.0.1")
	is("b.example.com.", "192.0.2.2") // the checker has found out by itself
	last, failures, err := f.loop.Observations(t.Context(), "check")
	if err != nil || len(last) != 1 || len(failures) != 1 || last[0].Region != "ap-northeast-1" || last[0].Status != "Failure: DNS resolution failed: no" {
		t.Errorf("observed %+v, %+v, %v", last, failures, err)
	}
	if _, err := f.route53.HealthChecks.Modify(t.Context(), "check", func(h *route53.HealthCheck) error { h.Inverted = true; return nil }); err != nil {
		t.Fatal(err)
	}
	is("b.example.com.", "192.0.2.1")
	if err := f.route53.HealthChecks.Delete(t.Context(), "check"); err != nil {
		t.Fatal(err)
	}
	is("b.example.com.", "192.0.2.1")
}

func TestAsked(t *testing.T) {
	for _, tc := range []struct {
		config route53.HealthCheckConfig
		want   healthcheck.Check
	}{
		{route53.HealthCheckConfig{Type: "HTTPS", IPAddress: "192.0.2.1", Port: 443, Domain: "www.test", Path: "/a", SNI: true, Interval: 30, Threshold: 3},
			healthcheck.Check{Kind: healthcheck.HTTPS, Address: netip.MustParseAddr("192.0.2.1"), Port: 443, Host: "www.test", Path: "/a", SNI: true, Interval: 30 * time.Second, Threshold: 3}},
		{route53.HealthCheckConfig{Type: "HTTP_STR_MATCH", Domain: "www.test", Port: 80, SearchString: "x", Interval: 10, Threshold: 1, Inverted: true, Disabled: true},
			healthcheck.Check{Kind: healthcheck.HTTP, Host: "www.test", Port: 80, Search: "x", Interval: 10 * time.Second, Threshold: 1, Inverted: true, Disabled: true}},
		{route53.HealthCheckConfig{Type: "HTTPS_STR_MATCH", Domain: "www.test", Port: 443, SearchString: "x", Interval: 10, Threshold: 1},
			healthcheck.Check{Kind: healthcheck.HTTPS, Host: "www.test", Port: 443, Search: "x", Interval: 10 * time.Second, Threshold: 1}},
		{route53.HealthCheckConfig{Type: "TCP", IPAddress: "2001:db8::1", Port: 22, Interval: 10, Threshold: 1},
			healthcheck.Check{Kind: healthcheck.TCP, Address: netip.MustParseAddr("2001:db8::1"), Port: 22, Interval: 10 * time.Second, Threshold: 1}},
		{route53.HealthCheckConfig{Type: "CALCULATED", Children: []string{"a", "b"}, HealthThreshold: 2},
			healthcheck.Check{Kind: healthcheck.Calculated, Children: []string{"a", "b"}, AtLeast: 2}},
	} {
		got := asked([]store.Item[route53.HealthCheck]{{Key: "id", Value: route53.HealthCheck{HealthCheckConfig: tc.config}}})[0]
		tc.want.ID, tc.want.Agent = "id", "Amazon-Route53-Health-Check-Service (ref id; report http://amzn.to/1vsZADi)"
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tc.want) {
			t.Errorf("%s:\n%+v, want\n%+v", tc.config.Type, got, tc.want)
		}
	}
}
