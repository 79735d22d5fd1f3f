package fleet

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// fixture is a loop, and the region it works in: three zones with a public and a
// private subnet each, and a launch template.
type fixture struct {
	*testing.T
	server   *store.Server
	ec2      *ec2.Service
	scaling  *autoscaling.Service
	subnets  []ec2.Subnet
	template string // id
	balancers
	ahead atomic.Int64 // of the clock
	log   lines
	ended chan error
	stop  func() error // ends the loop, and returns what it said
}

// lines are a log that many write.
type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(line)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}

func newFixture(t *testing.T, cidr string) *fixture {
	t.Helper()
	f := &fixture{T: t, server: storetest.Open(t)}
	var err error
	if f.ec2, err = ec2.New(ec2.Config{Client: f.server.Client(), Account: "000000000000", Region: "ap-northeast-2"}); err != nil {
		t.Fatal(err)
	}
	f.scaling = autoscaling.New(autoscaling.Config{Client: f.server.Client(), Account: "000000000000", Region: "ap-northeast-2", Now: f.now})
	zones := []string{"ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"}
	if _, f.subnets, err = f.ec2.CreateVPC(t.Context(), netip.MustParsePrefix(cidr), zones, nil); err != nil {
		t.Fatal(err)
	}
	made, err := f.ec2.CreateLaunchTemplate(t.Context(), &ec2api.CreateLaunchTemplateInput{
		LaunchTemplateName: new("template"), LaunchTemplateData: &ec2api.RequestLaunchTemplateData{
			InstanceType: "t3.small",
			TagSpecifications: []ec2api.LaunchTemplateTagSpecificationRequest{{ResourceType: "instance", Tags: []ec2api.Tag{
				{Key: new("team"), Value: new("blue")}, {Key: new("from"), Value: new("template")}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.template = *made.LaunchTemplate.LaunchTemplateId
	return f
}

func (f *fixture) now() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }

// version adds a version to the launch template.
func (f *fixture) version(instanceType string) {
	f.Helper()
	_, err := f.ec2.CreateLaunchTemplateVersion(f.Context(), &ec2api.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: &f.template, LaunchTemplateData: &ec2api.RequestLaunchTemplateData{InstanceType: ec2api.InstanceType(instanceType)},
	})
	if err != nil {
		f.Fatal(err)
	}
}

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	loop := &Loop{
		AutoScaling: f.scaling, EC2: f.ec2, Client: f.server.Client(), Balancers: &f.balancers,
		Alarms: store.NewCollection[cloudwatch.Alarm](f.server.Client(), "alarms"),
		Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Retry: time.Millisecond, Now: f.now,
	}
	f.ended = make(chan error, 1)
	go func() { f.ended <- loop.Run(ctx) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return f.awaitEnd()
	})
	f.Cleanup(func() { _ = f.stop() })
}

func (f *fixture) awaitEnd() error {
	select {
	case err := <-f.ended:
		f.ended <- err
		return err
	case <-time.After(20 * time.Second):
		f.Error("the loop does not end")
		return nil
	}
}

// boots makes every instance reach the state that it is on its way to, as
// loop/booting does, until the test ends.
func (f *fixture) boots() {
	ctx, cancel := context.WithCancel(f.Context())
	follower := f.ec2.Instances.Follow(ctx, "")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for snapshot := range follower.C {
			for _, item := range snapshot.Items {
				var err error
				switch item.Value.State {
				case ec2.Pending:
					err = f.ec2.MarkRunning(ctx, item.Key)
				case ec2.Stopping:
					err = f.ec2.MarkStopped(ctx, item.Key)
				case ec2.ShuttingDown:
					err = f.ec2.MarkTerminated(ctx, item.Key)
				}
				if err != nil && ctx.Err() == nil {
					f.Errorf("%s: %v", item.Key, err)
				}
			}
		}
	}()
	f.Cleanup(func() { cancel(); <-ended })
}

// group makes a group of three zones.
func (f *fixture) group(g autoscaling.Group) {
	f.Helper()
	g.Max, g.Warmup = 10, -1
	if g.Name == "" {
		g.Name = "g"
	}
	if g.Subnets == nil {
		g.Subnets = []string{f.subnets[0].ID, f.subnets[1].ID, f.subnets[2].ID}
	}
	if g.Mixed == nil && g.LaunchConfiguration == "" && g.LaunchTemplate == nil {
		g.LaunchTemplate = &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: &f.template, Version: new("$Latest")}
	}
	if _, err := f.scaling.CreateGroup(f.Context(), g); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) desire(n int) {
	f.Helper()
	if err := f.scaling.SetDesired(f.Context(), "g", n, autoscaling.Sentence(f.now(), "a user request explicitly set group desired capacity changing the desired capacity to %d", n)); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) change(change func(*autoscaling.Group)) {
	f.Helper()
	if _, err := f.scaling.Groups.Modify(f.Context(), "g", func(g *autoscaling.Group) error { change(g); return nil }); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) changeMember(id string, change func(*autoscaling.Member)) {
	f.Helper()
	key := autoscaling.Member{Group: "g", Instance: id}.Key()
	if _, err := f.scaling.Members.Modify(f.Context(), key, func(m *autoscaling.Member) error { change(m); return nil }); err != nil {
		f.Fatal(err)
	}
}

// await waits until the members are as said, and returns them.
func (f *fixture) await(what string, are func([]autoscaling.Member) bool) []autoscaling.Member {
	f.Helper()
	return await(f, f.scaling.Members, "members that are "+what, are)
}

// inService waits until so many are, and no other is there.
func (f *fixture) inService(n int) []autoscaling.Member {
	f.Helper()
	return f.await(strconv.Itoa(n)+" in service", func(all []autoscaling.Member) bool {
		return len(all) == n && !slices.ContainsFunc(all, func(m autoscaling.Member) bool { return m.State != autoscaling.InService })
	})
}

func await[T any](f *fixture, c *store.Collection[T], what string, are func([]T) bool) []T {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	var last []T
	for snapshot := range c.Follow(ctx, "").C {
		last = nil
		for _, item := range snapshot.Items {
			last = append(last, item.Value)
		}
		if are(last) {
			return last
		}
	}
	f.Fatalf("waited in vain for %s: %+v\nlog: %s", what, last, &f.log)
	return nil
}

func (f *fixture) instance(id string) ec2.Instance {
	f.Helper()
	i, err := f.ec2.Instances.Get(f.Context(), id)
	if err != nil {
		f.Fatal(err)
	}
	return i.Value
}

// activities are those of the group that have ended, the oldest first.
func (f *fixture) activities() []autoscaling.Activity {
	f.Helper()
	items, _, err := f.scaling.Activities.List(f.Context(), autoscaling.Prefix("g"))
	if err != nil {
		f.Fatal(err)
	}
	var list []autoscaling.Activity
	for _, item := range items {
		list = append(list, item.Value)
	}
	return list
}

func perZone(members []autoscaling.Member) string {
	count := map[string]int{}
	for _, m := range members {
		count[m.Zone[len(m.Zone)-1:]]++
	}
	return fmt.Sprint(count)
}

// balancers are one load balancer named lb.
type balancers struct {
	mu      sync.Mutex
	lb      Balancer
	slow    bool // what leaves drains until it is told
	changed chan struct{}
}

func (b *balancers) State(_ context.Context, names []string) (map[string]Balancer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]Balancer{}
	if slices.Contains(names, "lb") {
		all["lb"] = Balancer{slices.Clone(b.lb.Registered), slices.Clone(b.lb.Failing), slices.Clone(b.lb.Draining)}
	}
	return all, nil
}

func (b *balancers) Register(_ context.Context, _ string, instances []string) error {
	b.set(func() { b.lb.Registered = append(b.lb.Registered, instances...) })
	return nil
}

func (b *balancers) Deregister(_ context.Context, _ string, instances []string) error {
	b.set(func() {
		b.lb.Registered = slices.DeleteFunc(b.lb.Registered, func(id string) bool { return slices.Contains(instances, id) })
		if b.slow {
			b.lb.Draining = append(b.lb.Draining, instances...)
		}
	})
	return nil
}

func (b *balancers) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

func (b *balancers) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *balancers) registered() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lb.Registered)
}
