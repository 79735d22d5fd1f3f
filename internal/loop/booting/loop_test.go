package booting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// fakeHost notes what it is asked for. Its hooks run before the answer.
type fakeHost struct {
	onBoot, onHalt, onEnd func(ctx context.Context, id string) error

	mu    sync.Mutex     // guards the fields below
	calls []string       // "boot i-…", in the order in which they began
	now   map[string]int // calls that run now, by instance
	twice []string       // instances with two calls at once
}

func (h *fakeHost) Boot(ctx context.Context, i ec2.Instance) error {
	return h.call(ctx, "boot ", i.ID, h.onBoot)
}

func (h *fakeHost) Halt(ctx context.Context, i ec2.Instance) error {
	return h.call(ctx, "halt ", i.ID, h.onHalt)
}

func (h *fakeHost) End(ctx context.Context, i ec2.Instance) error {
	return h.call(ctx, "end ", i.ID, h.onEnd)
}

func (h *fakeHost) Forget(ctx context.Context, i ec2.Instance) error {
	return h.call(ctx, "forget ", i.ID, nil)
}

func (h *fakeHost) call(ctx context.Context, verb, id string, hook func(context.Context, string) error) error {
	h.mu.Lock()
	h.calls = append(h.calls, verb+id)
	if h.now == nil {
		h.now = map[string]int{}
	}
	if h.now[id]++; h.now[id] > 1 {
		h.twice = append(h.twice, id)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.now[id]--
		h.mu.Unlock()
	}()
	if hook == nil {
		return nil
	}
	return hook(ctx, id)
}

// of are the calls for an instance.
func (h *fakeHost) of(id string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var calls []string
	for _, c := range h.calls {
		if strings.HasSuffix(c, " "+id) {
			calls = append(calls, strings.TrimSuffix(c, " "+id))
		}
	}
	return calls
}

// fixture is a loop, and the region it works in.
type fixture struct {
	*testing.T
	server *store.Server
	ec2    *ec2.Service
	host   *fakeHost
	home   ec2.Subnet
	retry  time.Duration
	ended  chan struct{}
	stop   func() error // ends the loop, and returns what it said
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, server: storetest.Open(t), host: &fakeHost{}, retry: time.Millisecond}
	var err error
	if f.ec2, err = ec2.New(ec2.Config{Client: f.server.Client(), Account: "000000000000", Region: "ap-northeast-2"}); err != nil {
		t.Fatal(err)
	}
	_, subnets, err := f.ec2.CreateVPC(t.Context(), netip.MustParsePrefix("192.168.0.0/16"), []string{"ap-northeast-2a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.home = subnets[0]
	return f
}

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	loop := &Loop{EC2: f.ec2, Host: f.host, Logger: slog.New(slog.DiscardHandler), Retry: f.retry}
	f.ended = make(chan struct{})
	var err error
	go func() {
		defer close(f.ended)
		err = loop.Run(ctx)
	}()
	f.stop = func() error {
		f.Helper()
		cancel()
		receive(f.T, "the loop's end", f.ended)
		return err
	}
	f.Cleanup(func() {
		f.stop()
		if len(f.host.twice) > 0 {
			f.Errorf("the host was asked for two things at once about %v", f.host.twice)
		}
	})
}

func (f *fixture) launch(n int) []string {
	f.Helper()
	instances, err := f.ec2.Launch(f.Context(), ec2.LaunchInput{Type: "t3.small", Subnet: f.home.ID, Count: n})
	if err != nil {
		f.Fatal(err)
	}
	ids := make([]string, n)
	for i, instance := range instances {
		ids[i] = instance.ID
	}
	return ids
}

// await waits until the instances are as the condition says.
func (f *fixture) await(what string, condition func(store.Snapshot[ec2.Instance]) bool) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	follower := f.ec2.Instances.Follow(ctx, "")
	for snapshot := range follower.C {
		if condition(snapshot) {
			return
		}
	}
	f.Fatalf("waited in vain for %s: %v", what, follower.Err())
}

func (f *fixture) awaitState(want ec2.State, ids ...string) {
	f.Helper()
	f.await("the state "+string(want), func(s store.Snapshot[ec2.Instance]) bool {
		return !slices.ContainsFunc(ids, func(id string) bool {
			item, _ := s.Get(id)
			return item.Value.State != want
		})
	})
}

func (f *fixture) terminate(id string) {
	f.Helper()
	if err := f.ec2.Terminate(f.Context(), id, "the test says so"); err != nil {
		f.Fatal(err)
	}
}

// reboot asks for it as clients do.
func (f *fixture) reboot(id string) {
	f.Helper()
	if _, err := f.ec2.RebootInstances(f.Context(), &ec2api.RebootInstancesInput{InstanceIds: []string{id}}); err != nil {
		f.Fatal(err)
	}
}

// receive waits for something that has to happen.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s:\n%s", what, stacks())
		panic("unreachable")
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func (f *fixture) checkCalls(id string, want ...string) {
	f.Helper()
	if got := f.host.of(id); !slices.Equal(got, want) {
		f.Errorf("the host was asked to %v %s, want %v", got, id, want)
	}
}

func TestBootsWhatIsPendingOnce(t *testing.T) {
	f := newFixture(t)
	ids := f.launch(10)
	f.start()
	ids = append(ids, f.launch(10)...)
	f.awaitState(ec2.Running, ids...)
	f.stop()
	for _, id := range ids {
		f.checkCalls(id, "boot")
	}
}

func TestBootsWhatRanBefore(t *testing.T) {
	f := newFixture(t)
	id := f.launch(1)[0]
	if err := f.ec2.MarkRunning(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	attempts := make(chan int, 9)
	f.host.onBoot = func(_ context.Context, which string) error {
		if which != id {
			return nil
		}
		n := len(f.host.of(id))
		attempts <- n
		if n == 1 {
			return errors.New("not yet")
		}
		return nil
	}
	f.start()
	receive(t, "the boot", attempts)
	receive(t, "the next attempt", attempts)
	f.awaitState(ec2.Running, f.launch(1)...) // the loop has gone round since
	f.stop()
	f.checkCalls(id, "boot", "boot")
}

func TestTriesAgain(t *testing.T) {
	f := newFixture(t)
	failures := map[string]int{}
	var mu sync.Mutex
	failTwice := func(_ context.Context, id string) error {
		mu.Lock()
		defer mu.Unlock()
		if failures[id]++; failures[id]%3 != 0 {
			return fmt.Errorf("failure %d", failures[id])
		}
		return nil
	}
	f.host.onBoot, f.host.onEnd = failTwice, failTwice
	id := f.launch(1)[0]
	f.start()
	f.awaitState(ec2.Running, id)
	f.checkCalls(id, "boot", "boot", "boot")
	f.terminate(id)
	f.awaitState(ec2.Terminated, id)
	f.stop()
	f.checkCalls(id, "boot", "boot", "boot", "end", "end", "end")
}

// What happens elsewhere does not shorten the pause after a failure; a new state
// of the instance itself does.
func TestPausesAfterAFailure(t *testing.T) {
	f := newFixture(t)
	f.retry = time.Hour
	id := f.launch(1)[0]
	failed := make(chan string, 9)
	f.host.onBoot = func(_ context.Context, which string) error {
		if which != id {
			return nil
		}
		failed <- id
		return errors.New("no")
	}
	f.start()
	receive(t, "the failure", failed)
	f.awaitState(ec2.Running, f.launch(2)...)
	f.awaitState(ec2.Running, f.launch(2)...)
	f.checkCalls(id, "boot")
	f.terminate(id)
	f.awaitState(ec2.Terminated, id)
	f.stop()
	f.checkCalls(id, "boot", "end")
}

func TestEndsWhatShutsDown(t *testing.T) {
	f := newFixture(t)
	ids := f.launch(6)
	f.terminate(ids[0]) // before the loop starts, and before it was booted
	f.start()
	f.awaitState(ec2.Running, ids[1:]...)
	for _, id := range ids[1:5] {
		f.terminate(id)
	}
	f.awaitState(ec2.Terminated, ids[:5]...)
	f.stop()
	f.checkCalls(ids[0], "end")
	for _, id := range ids[1:5] {
		f.checkCalls(id, "boot", "end")
	}
	f.checkCalls(ids[5], "boot")
	enis, _, err := f.ec2.ENIs.List(t.Context(), "")
	if err != nil || len(enis) != 1 || enis[0].Value.Instance != ids[5] {
		t.Errorf("network interfaces: %v, %v; want that of the instance which runs", enis, err)
	}
}

// A stopped instance has its disk and addresses, and boots when it is started.
func TestHaltsWhatStops(t *testing.T) {
	f := newFixture(t)
	ids := f.launch(2)
	failed := false
	f.host.onHalt = func(context.Context, string) error { // one at a time: only ids[0] stops
		if !failed {
			failed = true
			return errors.New("not yet")
		}
		return nil
	}
	f.start()
	f.awaitState(ec2.Running, ids...)
	if err := f.ec2.Stop(t.Context(), ids[0], "the test says so"); err != nil {
		t.Fatal(err)
	}
	f.awaitState(ec2.Stopped, ids[0])
	f.awaitState(ec2.Running, f.launch(1)...) // the loop has gone round since
	f.checkCalls(ids[0], "boot", "halt", "halt")
	stopped, err := f.ec2.Instances.Get(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if eni, err := f.ec2.ENIs.Get(t.Context(), stopped.Value.ENI); err != nil || eni.Value.Addresses[0] != stopped.Value.Address {
		t.Errorf("its network interface: %+v, %v", eni.Value, err)
	}
	if err := f.ec2.Start(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	f.awaitState(ec2.Running, ids[0])
	f.terminate(ids[0])
	f.awaitState(ec2.Terminated, ids[0])
	f.stop()
	f.checkCalls(ids[0], "boot", "halt", "halt", "boot", "end")
	f.checkCalls(ids[1], "boot")
}

func TestHaltsWhatWasStoppingBefore(t *testing.T) {
	f := newFixture(t)
	id := f.launch(1)[0]
	if err := f.ec2.MarkRunning(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := f.ec2.Stop(t.Context(), id, "the test says so"); err != nil {
		t.Fatal(err)
	}
	f.start()
	f.awaitState(ec2.Stopped, id)
	f.stop()
	f.checkCalls(id, "halt")
}

// booted is what tells a test of each time that an instance was booted.
func (f *fixture) booted(id string) <-chan int {
	boots := make(chan int, 9)
	f.host.onBoot = func(_ context.Context, which string) error {
		if which == id {
			boots <- len(f.host.of(id))
		}
		return nil
	}
	return boots
}

func TestReboots(t *testing.T) {
	f := newFixture(t)
	id := f.launch(1)[0]
	boots := f.booted(id)
	f.start()
	receive(t, "the boot", boots)
	f.awaitState(ec2.Running, id)
	for range 2 {
		f.reboot(id)
		receive(t, "the next boot", boots)
	}
	f.awaitState(ec2.Running, f.launch(1)...) // the loop has gone round since
	f.stop()
	f.checkCalls(id, "boot", "halt", "boot", "halt", "boot")
	if item, err := f.ec2.Instances.Get(t.Context(), id); err != nil || item.Value.State != ec2.Running {
		t.Errorf("state %s, %v", item.Value.State, err)
	}
}

// Who reboots twice while the first one is under way has it rebooted once more.
func TestRebootsThatComeTogether(t *testing.T) {
	f := newFixture(t)
	id := f.launch(1)[0]
	boots := f.booted(id)
	halts, release := make(chan string, 9), make(chan struct{})
	f.host.onHalt = func(ctx context.Context, id string) error {
		halts <- id
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.start()
	receive(t, "the boot", boots)
	f.awaitState(ec2.Running, id)
	f.reboot(id)
	receive(t, "the halt", halts)
	f.reboot(id)
	f.reboot(id)
	f.awaitState(ec2.Running, f.launch(1)...) // the loop has seen both
	close(release)
	receive(t, "the first reboot's boot", boots)
	receive(t, "the second one's", boots)
	f.awaitState(ec2.Running, f.launch(1)...)
	f.stop()
	f.checkCalls(id, "boot", "halt", "boot", "halt", "boot")
}

// A reboot of which only the halt succeeded is not forgotten, and one from
// before this region was over with it.
func TestRebootsAfterAFailure(t *testing.T) {
	f := newFixture(t)
	id := f.launch(1)[0]
	if err := f.ec2.MarkRunning(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.reboot(id)
	boots := make(chan int, 9)
	f.host.onBoot = func(_ context.Context, which string) error {
		if which != id {
			return nil
		}
		n := len(f.host.of(id))
		boots <- n
		if n == 3 { // boot, halt, boot
			return errors.New("not yet")
		}
		return nil
	}
	f.start()
	receive(t, "the boot", boots)
	f.awaitState(ec2.Running, f.launch(1)...) // the loop has gone round since
	f.checkCalls(id, "boot")
	f.reboot(id)
	receive(t, "the reboot", boots)
	receive(t, "the next attempt", boots)
	f.awaitState(ec2.Running, f.launch(1)...)
	f.stop()
	f.checkCalls(id, "boot", "halt", "boot", "halt", "boot")
}

// While one instance is slow, others go on; and what comes next for the slow
// one waits until it is done.
func TestOneThingAtATimeForEachInstance(t *testing.T) {
	f := newFixture(t)
	ids := f.launch(2)
	began, release := make(chan string, 9), make(chan struct{})
	f.host.onBoot = func(ctx context.Context, id string) error {
		if id != ids[0] && id != ids[1] {
			return nil
		}
		began <- id
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.start()
	if a, b := receive(t, "a boot", began), receive(t, "another boot at the same time", began); a == b {
		t.Errorf("%s is booted twice", a)
	}
	f.terminate(ids[0])
	f.awaitState(ec2.Running, f.launch(3)...)
	f.checkCalls(ids[0], "boot")
	close(release)
	f.awaitState(ec2.Terminated, ids[0])
	f.awaitState(ec2.Running, ids[1])
	f.stop()
	f.checkCalls(ids[0], "boot", "end")
	f.checkCalls(ids[1], "boot")
}

func TestForgetsWhatEndedLongAgo(t *testing.T) {
	f := newFixture(t)
	ids := f.launch(3)
	for i, ago := range []time.Duration{2 * time.Hour, keepTerminated + time.Second, time.Minute} {
		_, err := f.ec2.Instances.Modify(t.Context(), ids[i], func(v *ec2.Instance) error {
			v.State, v.Ended = ec2.Terminated, time.Now().Add(-ago)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	f.start()
	f.await("the old ones to be forgotten", func(s store.Snapshot[ec2.Instance]) bool { return len(s.Items) == 1 })
	f.awaitState(ec2.Running, f.launch(1)...)
	f.awaitState(ec2.Terminated, ids[2])
	f.stop()
	for _, id := range ids[:2] {
		f.checkCalls(id, "forget")
	}
	f.checkCalls(ids[2])
}

func TestEndsWithItsContext(t *testing.T) {
	f := newFixture(t)
	began := make(chan string, 9)
	left := make(chan struct{})
	f.host.onBoot = func(ctx context.Context, id string) error {
		began <- id
		<-ctx.Done()
		time.Sleep(20 * time.Millisecond) // a host that takes its time
		close(left)
		return ctx.Err()
	}
	id := f.launch(1)[0]
	f.start()
	receive(t, "the boot", began)
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	select {
	case <-left:
	default:
		t.Error("the loop ended before what it had begun")
	}
	if item, err := f.ec2.Instances.Get(t.Context(), id); err != nil || item.Value.State != ec2.Pending {
		t.Errorf("state %s, %v", item.Value.State, err)
	}
	// A goroutine may be seen for a moment after its last statement.
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		all := stacks()
		if !strings.Contains(all, "booting.(*Loop)") && !strings.Contains(all, ").follow(") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a goroutine stayed:\n%s", all)
		}
	}
}

func TestEndsWhenTheStoreIsDamaged(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.awaitState(ec2.Running, f.launch(1)...)
	if _, err := f.server.Client().Put(t.Context(), "/tarn/instances/i-0", "no JSON"); err != nil {
		t.Fatal(err)
	}
	receive(t, "the loop's end", f.ended)
	if err := f.stop(); err == nil || !strings.Contains(err.Error(), "i-0") {
		t.Errorf("the loop ended with %v", err)
	}
}

// An instance whose halt failed has not been rebooted.
func TestRebootsWhatDidNotHalt(t *testing.T) {
	f := newFixture(t)
	id := f.launch(1)[0]
	halts := make(chan int, 9)
	f.host.onHalt = func(context.Context, string) error {
		n := len(f.host.of(id))
		halts <- n
		if n == 2 { // boot, halt
			return errors.New("not yet")
		}
		return nil
	}
	f.start()
	f.awaitState(ec2.Running, id)
	f.reboot(id)
	receive(t, "the halt", halts)
	receive(t, "the next attempt", halts)
	f.awaitState(ec2.Running, f.launch(1)...)
	f.stop()
	f.checkCalls(id, "boot", "halt", "halt", "boot")
}
