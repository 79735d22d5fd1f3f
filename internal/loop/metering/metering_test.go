package metering

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// fakeSink keeps what it is given.
type fakeSink struct {
	mu   sync.Mutex
	data []metrics.Datum
	err  error
}

func (s *fakeSink) Put(_ context.Context, data []metrics.Datum) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(s.data, data...)
	return s.err
}

// take is what was put since the last time.
func (s *fakeSink) take() []metrics.Datum {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.data
	s.data = nil
	return data
}

// fakeHost is a machine whose instances use half a vCPU, and get a byte per second.
type fakeHost struct {
	mu     sync.Mutex
	clock  time.Time
	gone   map[string]bool // have no cgroup
	silent map[string]bool // their processes have ended
	cut    bool            // the network cannot be read
}

func (h *fakeHost) Usage(id string) (instance.Usage, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone[id] {
		return instance.Usage{}, fmt.Errorf("reading: %w", fs.ErrNotExist)
	}
	return instance.Usage{CPU: h.clock.Sub(noon) / 2}, nil
}

func (h *fakeHost) Counters(string) (map[string]vpc.Counters, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut {
		return nil, errors.New("no netlink")
	}
	all := map[string]vpc.Counters{}
	for _, id := range []string{"i-1", "i-2"} {
		all["eni-"+id] = vpc.Counters{InBytes: uint64(h.clock.Sub(noon) / time.Second)}
	}
	return all, nil
}

func (h *fakeHost) Answers(id string) bool { return !h.silent[id] }

// fakeProxy answers one request more each time that it is asked.
type fakeProxy struct{ requests map[string]uint64 }

func (p *fakeProxy) Stats(id string) (proxy.Stats, bool) {
	n, ok := p.requests[id]
	if ok {
		p.requests[id]++
	}
	return proxy.Stats{RequestCount: n}, ok
}

func (p *fakeProxy) GroupStats(id, group string) (proxy.Stats, bool) {
	return p.Stats(id + " " + group)
}

// fixture is a loop whose rounds the test takes.
type fixture struct {
	*testing.T
	host *fakeHost
	sink *fakeSink
	said *strings.Builder
	loop *Loop
	now  time.Time
}

func items[T any](all ...T) (s store.Snapshot[T]) {
	for _, v := range all {
		s.Items = append(s.Items, store.Item[T]{Value: v})
	}
	return s
}

func running(id string) ec2.Instance {
	return ec2.Instance{ID: id, Type: "t3.medium", ImageID: "ami-1", VPC: "vpc-1", ENI: "eni-" + id, State: ec2.Running}
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{
		T: t, host: &fakeHost{clock: noon, gone: map[string]bool{}, silent: map[string]bool{}}, sink: &fakeSink{}, said: &strings.Builder{},
		now: noon.Add(30 * time.Second),
	}
	f.loop = New(Config{
		Sink: f.sink, Host: f.host, Proxy: &fakeProxy{map[string]uint64{"lb": 0}}, Logger: slog.New(slog.NewTextHandler(f.said, nil)),
	})
	f.loop.instances = items(running("i-1"))
	return f
}

// round takes a round, a second after the last, and returns what was put as lines.
func (f *fixture) round(part string) []string {
	f.now = f.now.Add(time.Second)
	f.host.clock = f.now
	f.loop.round(f.Context(), f.now)
	return lines(f.sink.take(), part)
}

func (f *fixture) want(what string, got []string, want ...string) {
	f.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		f.Errorf("%s: %s", what, diff)
	}
}

func TestRounds(t *testing.T) {
	f := newFixture(t)
	f.want("the first", f.round("CPUUtilization"))
	f.want("the second", f.round("{InstanceId=i-1} Percent"), "CPUUtilization{InstanceId=i-1} Percent 25×0.0167")
	f.want("the network", f.round("NetworkIn{InstanceId"), "NetworkIn{InstanceId=i-1} Bytes 60×0.0167")

	f.host.cut = true
	f.round("")
	f.want("without a network", f.round("{InstanceId=i-1} Bytes"), "EBSReadBytes{InstanceId=i-1} Bytes 0×0.0167", "EBSWriteBytes{InstanceId=i-1} Bytes 0×0.0167")
	if n := strings.Count(f.said.String(), "no netlink"); n != 1 {
		t.Errorf("that the network cannot be read was said %d times", n)
	}
	f.host.cut = false

	stopped := running("i-1")
	stopped.State = ec2.Stopped
	f.loop.instances = items(stopped)
	f.want("one that has stopped", f.round("{InstanceId"))
	if len(f.loop.readings) != 0 || len(f.loop.checks) != 0 {
		t.Errorf("kept of one that is gone: %v, %v", f.loop.readings, f.loop.checks)
	}
	f.sink.err = errors.New("disk full")
	f.loop.instances = items(running("i-1"))
	for range 3 {
		f.round("")
	}
	f.sink.err = nil
	f.round("")
	if got := f.said.String(); strings.Count(got, "disk full") != 1 || !strings.Contains(got, "goes on") {
		t.Errorf("said:\n%s", got)
	}
}

// A check that fails is reported at once, and all of them each minute.
func TestStatusChecks(t *testing.T) {
	f := newFixture(t)
	const own = "StatusCheckFailed{InstanceId=i-1} Count "
	f.want("at first", f.round(own), own+"0×1")
	f.want("nothing has changed", f.round(own))
	f.host.silent["i-1"] = true
	f.want("its processes have ended", f.round("{InstanceId=i-1} Count 1"),
		"StatusCheckFailed_Instance{InstanceId=i-1} Count 1×1", own+"1×1")
	delete(f.host.silent, "i-1")
	f.host.gone["i-1"] = true
	f.want("it has no cgroup", f.round("{InstanceId=i-1} Count 1"),
		"StatusCheckFailed_System{InstanceId=i-1} Count 1×1", own+"1×1")
	delete(f.host.gone, "i-1")
	f.want("it is well again", f.round(own), own+"0×1")
	f.now = noon.Add(time.Minute - time.Second)
	f.want("a minute begins", f.round(own), own+"0×1")
}

// A network that cannot be read is no instance's fault.
func TestUnreadableNetworkFailsNoCheck(t *testing.T) {
	f := newFixture(t)
	f.host.cut = true
	f.want("the check", f.round("StatusCheckFailed{InstanceId"), "StatusCheckFailed{InstanceId=i-1} Count 0×1")
	f.host.cut = false
	unwired := running("i-9")
	f.loop.instances = items(unwired)
	f.want("no wire", f.round("StatusCheckFailed_System{InstanceId"), "StatusCheckFailed_System{InstanceId=i-9} Count 1×1")
}

// What an instance uses counts for its group from the end of its warm-up.
func TestWarmUp(t *testing.T) {
	f := newFixture(t)
	began := f.now
	f.loop.groups = items(autoscaling.Group{Name: "workers", Warmup: 3 * time.Second})
	f.loop.groups.Items[0].Key = "workers"
	member := func(s autoscaling.State, inService time.Time) {
		f.loop.members = items(autoscaling.Member{Group: "workers", Instance: "i-1", State: s, InService: inService})
	}
	const group = "CPUUtilization{AutoScalingGroupName"
	member(autoscaling.Pending, time.Time{})
	f.round("")
	f.want("pending", f.round(group))
	member(autoscaling.InService, began)
	f.want("warm", f.round(group), group+"=workers} Percent count 0.0167 sum 0.416667 min 25 max 25")
	member(autoscaling.InService, f.now)
	f.want("not warm yet", f.round(group))
	f.round("")
	f.want("just warm", f.round(group), group+"=workers} Percent count 0.0167 sum 0.416667 min 25 max 25")
	member(autoscaling.WarmedRunning, began)
	f.want("in the warm pool", f.round(group))
	f.loop.groups.Items[0].Value.Warmup = -1
	member(autoscaling.InService, f.now)
	f.want("no warm-up", f.round(group), group+"=workers} Percent count 0.0167 sum 0.416667 min 25 max 25")
}

// Sizes are reported when they change, and each minute.
func TestSizes(t *testing.T) {
	f := newFixture(t)
	set := func(g ...autoscaling.Group) { f.loop.groups = items(g...) }
	g := autoscaling.Group{Name: "workers", Desired: 2, Metrics: []string{"GroupDesiredCapacity", "GroupInServiceInstances"}}
	const desired, inService = "GroupDesiredCapacity{AutoScalingGroupName=workers} None ", "GroupInServiceInstances{AutoScalingGroupName=workers} None "
	set(g, autoscaling.Group{Name: "quiet"})
	f.want("at first", f.round(" None "), desired+"2×1", inService+"0×1")
	f.want("nothing has changed", f.round(" None "))
	f.loop.members = items(autoscaling.Member{Group: "workers", Instance: "i-1", State: autoscaling.InService})
	f.want("one is in service", f.round(" None "), desired+"2×1", inService+"1×1")
	g.Metrics = g.Metrics[:1]
	set(g)
	f.want("fewer metrics", f.round(" None "), desired+"2×1")
	f.now = noon.Add(time.Minute - time.Second)
	f.want("a minute begins", f.round(" None "), desired+"2×1")
	set()
	f.round("")
	if len(f.loop.sizes) != 0 {
		t.Errorf("kept of a group that is gone: %v", f.loop.sizes)
	}
}

func TestLoadBalancers(t *testing.T) {
	f := newFixture(t)
	f.loop.balancers = items(elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "web", ID: "lb", Zones: []string{"a"}}}, elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "later", ID: "none"}})
	f.want("the first", f.round("RequestCount"))
	f.want("the second", f.round("RequestCount{Load"), "RequestCount{LoadBalancerName=web} Count 1×1")
	f.loop.balancers = items[elb.LoadBalancer]()
	f.want("gone", f.round("RequestCount"))
	if len(f.loop.stats) != 0 {
		t.Errorf("kept of one that is gone: %v", f.loop.stats)
	}
}

func TestApplicationLoadBalancers(t *testing.T) {
	f := newFixture(t)
	f.loop.cfg.Proxy = &fakeProxy{map[string]uint64{"lb": 0, "lb targetgroup/web/tg": 0}}
	f.loop.applications = items(elbv2.LoadBalancer{Placement: loadbalancer.Placement{Name: "shop", ID: "lb", Type: loadbalancer.Application}})
	f.loop.targets = items(
		elbv2.TargetGroup{Name: "web", ID: "tg", Targets: []elbv2.Target{{ID: "i-1", Port: 80}}},
		elbv2.TargetGroup{Name: "other", ID: "of another", Targets: []elbv2.Target{{ID: "i-1", Port: 80}}})
	f.want("the first", f.round("RequestCount"))
	f.want("the second", f.round("RequestCount{"),
		"RequestCount{LoadBalancer=app/shop/lb,TargetGroup=targetgroup/web/tg} Count 60×0.0167", "RequestCount{LoadBalancer=app/shop/lb} Count 60×0.0167")
	f.loop.applications = items[elbv2.LoadBalancer]()
	f.want("gone", f.round("RequestCount"))
	if len(f.loop.stats) != 0 {
		t.Errorf("kept of one that is gone: %v", f.loop.stats)
	}
}

func TestUntilNext(t *testing.T) {
	for at, want := range map[time.Duration]time.Duration{
		0: time.Second, time.Millisecond: 999 * time.Millisecond, 400 * time.Millisecond: 600 * time.Millisecond,
		999 * time.Millisecond: 1001 * time.Millisecond, 600 * time.Millisecond: 1400 * time.Millisecond,
	} {
		if got := untilNext(noon.Add(at)); got != want {
			t.Errorf("%s past the second: %s, want %s", at, got, want)
		}
	}
}

// The loop finds by itself what is in the store.
func TestRun(t *testing.T) {
	client := storetest.Open(t).Client()
	service, err := ec2.New(ec2.Config{Client: client, Account: "000000000000", Region: "ap-northeast-2"})
	if err != nil {
		t.Fatal(err)
	}
	groups := autoscaling.New(autoscaling.Config{Client: client, Account: "000000000000", Region: "ap-northeast-2"})
	if _, err := service.Instances.Create(t.Context(), "i-1", running("i-1")); err != nil {
		t.Fatal(err)
	}
	group := autoscaling.Group{Name: "workers", Desired: 2, Metrics: []string{"GroupDesiredCapacity"}}
	if _, err := groups.Groups.Create(t.Context(), "workers", group); err != nil {
		t.Fatal(err)
	}
	member := autoscaling.Member{Group: "workers", Instance: "i-1", State: autoscaling.InService, InService: noon}
	if _, err := groups.Members.Create(t.Context(), member.Key(), member); err != nil {
		t.Fatal(err)
	}
	sink := make(channel, 100)
	l := New(Config{
		Sink: sink, EC2: service, AutoScaling: groups, Host: &fakeHost{clock: noon}, Proxy: &fakeProxy{},
		ELB:    elb.New(elb.Config{Client: client, Account: "000000000000", Region: "ap-northeast-2"}),
		ELBv2:  elbv2.New(elbv2.Config{Client: client, Account: "000000000000", Region: "ap-northeast-2"}),
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	missing := []string{
		"GroupDesiredCapacity{AutoScalingGroupName=workers}", "StatusCheckFailed{InstanceId=i-1}",
		"CPUUtilization{AutoScalingGroupName=workers}", "NetworkIn{InstanceId=i-1}",
	}
	deadline := time.After(20 * time.Second)
	for len(missing) > 0 {
		select {
		case data := <-sink:
			missing = slices.DeleteFunc(missing, func(series string) bool { return len(lines(data, series)) > 0 })
		case <-deadline:
			t.Fatalf("waited in vain for %v", missing)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
}

type channel chan []metrics.Datum

func (c channel) Put(_ context.Context, data []metrics.Datum) error {
	select {
	case c <- data:
	default:
	}
	return nil
}

// BenchmarkRound is what five instances cost each second, without their readings:
// those are BenchmarkUsage of instance and BenchmarkCounters of vpc.
func BenchmarkRound(b *testing.B) {
	host := &fakeHost{clock: noon}
	l := New(Config{Sink: make(channel), Host: host, Proxy: &fakeProxy{map[string]uint64{"lb": 0}}, Logger: slog.New(slog.DiscardHandler)})
	for n := range 5 {
		i := running(fmt.Sprintf("i-%d", n))
		i.ENI = "eni-i-1"
		l.instances.Items = append(l.instances.Items, store.Item[ec2.Instance]{Value: i})
		l.members.Items = append(l.members.Items, store.Item[autoscaling.Member]{Value: autoscaling.Member{Group: "workers", Instance: i.ID, State: autoscaling.InService, InService: noon}})
	}
	l.groups.Items = append(l.groups.Items, store.Item[autoscaling.Group]{Key: "workers", Value: autoscaling.Group{Name: "workers"}})
	l.balancers = items(elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "web", ID: "lb", Zones: []string{"a", "b"}}, Instances: []string{"i-1"}})
	now := noon
	for b.Loop() {
		now = now.Add(time.Second)
		l.round(b.Context(), now)
	}
}
