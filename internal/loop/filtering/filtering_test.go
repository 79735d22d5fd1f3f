package filtering

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// fakeFirewall notes what it is told.
type fakeFirewall struct {
	calls chan call // every one

	mu   sync.Mutex
	fail map[string]error // by VPC
}

type call struct {
	vpc string
	f   vpc.Firewall
}

func (w *fakeFirewall) SetFirewall(id string, f vpc.Firewall) error {
	w.calls <- call{id, f}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fail[id]
}

func (w *fakeFirewall) failWith(id string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = map[string]error{id: err}
}

type fixture struct {
	*testing.T
	ec2      *ec2.Service
	firewall *fakeFirewall
	loop     *Loop
	stop     func() error
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, firewall: &fakeFirewall{calls: make(chan call, 10000)}}
	var err error
	f.ec2, err = ec2.New(ec2.Config{Client: storetest.Open(t).Client(), Account: "000000000000", Region: "ap-northeast-2"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	f.loop = &Loop{EC2: f.ec2, Firewall: f.firewall, Logger: slog.New(slog.DiscardHandler), Retry: time.Millisecond}
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- f.loop.Run(ctx) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	f.Cleanup(func() { f.stop() })
}

func create[T any](f *fixture, c *store.Collection[T], id string, v T) {
	f.Helper()
	if _, err := c.Create(f.Context(), id, v); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) group(id, vpc string, rules ...ec2.SecurityGroupRule) {
	f.Helper()
	create(f, f.ec2.SecurityGroups, id, ec2.SecurityGroup{ID: id, VPC: vpc, Rules: rules})
}

func (f *fixture) eni(id, vpc, addr string, groups ...string) {
	f.Helper()
	create(f, f.ec2.ENIs, id, ec2.NetworkInterface{ID: id, VPC: vpc, Addresses: addrs(addr), SecurityGroups: groups})
}

func (f *fixture) await(id string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	if err := f.loop.Await(ctx, id); err != nil {
		f.Fatalf("waited in vain for %s: %v", id, err)
	}
}

// last waits until a VPC's firewall is as the condition says.
func (f *fixture) last(id string, condition func(vpc.Firewall) bool) {
	f.Helper()
	for {
		select {
		case c := <-f.firewall.calls:
			if c.vpc == id && condition(c.f) {
				return
			}
		case <-time.After(20 * time.Second):
			f.Fatal("waited in vain for a firewall")
		}
	}
}

var anything = ec2.SecurityGroupRule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: world}

// The first firewall of a VPC has all that the store had: after a restart of
// the region none that is poorer comes between.
func TestStartsComplete(t *testing.T) {
	f := newFixture(t)
	var ids []string
	for n := range 50 {
		addr := netip.AddrFrom4([4]byte{192, 168, 1, byte(n)})
		id := "eni-" + addr.String()
		f.group("sg-"+addr.String(), "vpc-1", anything)
		f.eni(id, "vpc-1", addr.String(), "sg-"+addr.String())
		ids = append(ids, id)
	}
	f.start()
	for _, id := range ids {
		f.await(id)
	}
	first := <-f.firewall.calls
	if len(first.f.Groups) != 50 || len(first.f.Interfaces) != 50 {
		t.Errorf("the first firewall has %d groups and %d interfaces", len(first.f.Groups), len(first.f.Interfaces))
	}
	for _, i := range first.f.Interfaces {
		if len(i.Groups) != 1 {
			t.Errorf("the first firewall closes %s", i.ID)
		}
	}
}

func TestFollowsChanges(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.group("sg-1", "vpc-1")
	f.eni("eni-1", "vpc-1", "192.168.0.10", "sg-1")
	f.await("eni-1")
	if _, err := f.ec2.SecurityGroups.Modify(t.Context(), "sg-1", func(g *ec2.SecurityGroup) error {
		g.Rules = append(g.Rules, anything)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.last("vpc-1", func(w vpc.Firewall) bool { return len(w.Groups) == 1 && len(w.Groups[0].Ingress) == 1 })
	if err := f.ec2.ENIs.Delete(t.Context(), "eni-1"); err != nil {
		t.Fatal(err)
	}
	f.last("vpc-1", func(w vpc.Firewall) bool { return len(w.Interfaces) == 0 })
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.loop.Await(ctx, "eni-1"); !errors.Is(err, context.Canceled) {
		t.Errorf("an interface that is gone: %v", err)
	}
}

// A VPC whose firewall cannot be set is tried again, and hinders no other.
func TestTriesAgain(t *testing.T) {
	f := newFixture(t)
	f.firewall.failWith("vpc-1", errors.New("no network yet"))
	for _, n := range []string{"1", "2"} {
		f.group("sg-"+n, "vpc-"+n)
		f.eni("eni-"+n, "vpc-"+n, "192.168.0.10", "sg-"+n) // VPCs may overlap
	}
	f.start()
	f.await("eni-2")
	for range 3 {
		f.last("vpc-1", func(vpc.Firewall) bool { return true })
	}
	if _, ok := f.loop.look("eni-1"); ok {
		t.Error("eni-1 counts as covered")
	}
	f.firewall.failWith("vpc-1", nil)
	f.await("eni-1")
}

// The firewall of a VPC has what is in that VPC only.
func TestVPCsAreApart(t *testing.T) {
	f := newFixture(t)
	f.group("sg-1", "vpc-1", anything)
	f.group("sg-2", "vpc-2")
	f.eni("eni-1", "vpc-1", "192.168.0.10", "sg-1")
	f.eni("eni-2", "vpc-2", "192.168.0.10", "sg-2")
	f.start()
	f.await("eni-1")
	f.await("eni-2")
	got := map[string]vpc.Firewall{}
	for range 2 {
		c := <-f.firewall.calls
		got[c.vpc] = c.f
	}
	for id, n := range map[string]string{"vpc-1": "1", "vpc-2": "2"} {
		w := got[id]
		ok := len(w.Groups) == 1 && len(w.Interfaces) == 1 && w.Groups[0].ID == "sg-"+n &&
			reflect.DeepEqual(w.Interfaces[0], vpc.Interface{ID: "eni-" + n, Addresses: addrs("192.168.0.10"), Groups: []string{"sg-" + n}})
		if !ok {
			t.Errorf("%s: %+v", id, w)
		}
	}
}

// Whoever waits for many interfaces that come one by one is told of each.
func TestAwaitManyAtOnce(t *testing.T) {
	f := newFixture(t)
	f.group("sg-1", "vpc-1")
	f.start()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var waiting sync.WaitGroup
	ids := []string{"eni-a", "eni-b", "eni-c", "eni-d"}
	for _, id := range ids {
		waiting.Go(func() {
			if err := f.loop.Await(ctx, id); err != nil {
				t.Errorf("waited in vain for %s: %v", id, err)
			}
		})
	}
	for n, id := range slices.Backward(ids) {
		f.eni(id, "vpc-1", netip.AddrFrom4([4]byte{192, 168, 2, byte(n)}).String(), "sg-1")
	}
	waiting.Wait()
}
