package scaling

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// clock is set by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// machines are Instances that remember what was done to them.
type machines struct {
	done []string
	fail error
}

func (m *machines) Act(_ context.Context, what, instance string) error {
	m.done = append(m.done, what+" "+instance)
	return m.fail
}

// fixture is a region's services with a loop whose turns the test takes.
type fixture struct {
	*testing.T
	client   *clientv3.Client
	groups   *autoscaling.Service
	watch    *cloudwatch.Service
	outlooks *Outlooks
	data     *metrics.DB
	clock    *clock
	machines *machines
	loop     *Loop
	log      *bytes.Buffer
}

// minute is the fixtures' first: a whole minute, of the present because metrics are
// not kept for long.
func minute() time.Time { return time.Now().UTC().Truncate(time.Minute) }

func newFixture(t *testing.T, now time.Time) *fixture {
	t.Helper()
	f := &fixture{T: t, client: storetest.Open(t).Client(), clock: &clock{now: now}, machines: &machines{}, log: &bytes.Buffer{}}
	var err error
	if f.data, err = metrics.Open(t.TempDir(), metrics.Options{Now: f.clock.Now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.data.Close() })
	f.watch = cloudwatch.New(cloudwatch.Config{Client: f.client, Account: "000000000000", Region: "ap-northeast-2", Metrics: f.data, Now: f.clock.Now})
	f.outlooks = NewOutlooks(f.client)
	f.groups = autoscaling.New(autoscaling.Config{
		Client: f.client, Account: "000000000000", Region: "ap-northeast-2",
		Alarms: Alarms{f.watch}, Forecasts: f.outlooks, Now: f.clock.Now,
	})
	f.restart()
	return f
}

// restart makes a loop that knows only what is stored.
func (f *fixture) restart() {
	f.loop = New(Config{
		Client: f.client, AutoScaling: f.groups, CloudWatch: f.watch, Outlooks: f.outlooks, Instances: f.machines,
		Logger: slog.New(slog.NewTextHandler(f.log, nil)), Now: f.clock.Now,
	})
}

// turn takes a turn at a time, and returns when the loop wants the next.
func (f *fixture) turn(now time.Time) time.Time {
	f.Helper()
	f.clock.set(now)
	next, err := f.loop.turn(f.Context(), now)
	if err != nil {
		f.Fatal(err)
	}
	return next
}

// after takes a turn when the data of the period that ends then are in.
func (f *fixture) after(end time.Time) time.Time {
	f.Helper()
	return f.turn(end.Add(defaultSettle))
}

// group makes a group of so many instances that have long been in service.
func (f *fixture) group(g autoscaling.Group) {
	f.Helper()
	g.Warmup = -1
	if _, err := f.groups.CreateGroup(f.Context(), g); err != nil {
		f.Fatal(err)
	}
	for i := range g.Desired {
		f.member(g.Name, "i-"+string(rune('a'+i)), autoscaling.InService, f.clock.Now().Add(-24*time.Hour))
	}
}

func (f *fixture) member(group, instance string, state autoscaling.State, since time.Time) {
	f.Helper()
	m := autoscaling.Member{Group: group, Instance: instance, State: state, Since: since, Healthy: true}
	if state == autoscaling.InService {
		m.InService = since
	}
	if _, err := f.groups.Members.Create(f.Context(), m.Key(), m); err != nil {
		f.Fatal(err)
	}
}

// policy stores a policy, and returns its ARN.
func (f *fixture) policy(p autoscaling.Policy) string {
	f.Helper()
	p.ID = "id-of-" + p.Name
	if _, err := f.groups.Policies.Create(f.Context(), p.Key(), p); err != nil {
		f.Fatal(err)
	}
	return f.groups.PolicyARN(p)
}

// alarm makes an alarm on the metric Load of the namespace Test, over 50.
func (f *fixture) alarm(a cloudwatch.Alarm) {
	f.Helper()
	a.Owner = "test"
	if a.Rule == "" {
		a.Namespace, a.Metric, a.Statistic, a.Periods = "Test", "Load", "Average", 1
		if a.Period == 0 {
			a.Period = time.Minute
		}
		if a.Comparison == "" {
			a.Comparison, a.Threshold = "GreaterThanThreshold", 50
		}
	}
	if err := f.watch.PutOwned(f.Context(), a); err != nil {
		f.Fatal(err)
	}
}

// put says what the metric was in the second before a time.
func (f *fixture) put(end time.Time, value float64) {
	f.Helper()
	f.clock.set(end)
	if err := f.data.Put(f.Context(), []metrics.Datum{{ID: metrics.ID{Namespace: "Test", Name: "Load"}, At: end.Add(-time.Second), Unit: "None", Values: []float64{value}}}); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) desired(group string) int {
	f.Helper()
	it, err := f.groups.Groups.Get(f.Context(), group)
	if err != nil {
		f.Fatal(err)
	}
	return it.Value.Desired
}

func (f *fixture) reasons(group string) []string {
	f.Helper()
	it, err := f.groups.Groups.Get(f.Context(), group)
	if err != nil {
		f.Fatal(err)
	}
	return it.Value.Reasons
}

func (f *fixture) wantDesired(group string, want int) {
	f.Helper()
	if got := f.desired(group); got != want {
		f.Fatalf("the group %s has a desired capacity of %d, want %d\n%s", group, got, want, f.log)
	}
}

func (f *fixture) wantState(alarm, want string) cloudwatch.Alarm {
	f.Helper()
	it, err := f.watch.Alarms.Get(f.Context(), alarm)
	if err != nil {
		f.Fatal(err)
	}
	if it.Value.State != want {
		f.Fatalf("the alarm %s is %s (%s), want %s\n%s", alarm, it.Value.State, it.Value.Reason, want, f.log)
	}
	return it.Value
}

// actions are what the alarm's history says about its actions, the newest last.
func (f *fixture) actions(alarm string) []string {
	f.Helper()
	out, err := f.watch.DescribeAlarmHistory(f.Context(), &cloudwatchapi.DescribeAlarmHistoryInput{
		AlarmName: &alarm, HistoryItemType: cloudwatchapi.HistoryItemTypeAction, AlarmTypes: []cloudwatchapi.AlarmType{"MetricAlarm", "CompositeAlarm"},
		ScanBy: cloudwatchapi.ScanByTimestampAscending,
	})
	if err != nil {
		f.Fatal(err)
	}
	var all []string
	for _, item := range out.AlarmHistoryItems {
		all = append(all, *item.HistorySummary)
	}
	return all
}

func (f *fixture) wantActions(alarm string, want ...string) {
	f.Helper()
	got := f.actions(alarm)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		f.Errorf("the actions of %s are\n%s\nwant\n%s", alarm, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
