package fleet

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// fixture is a loop, and the region it works in: three zones with a public and
// a private subnet each.
type fixture struct {
	*testing.T
	server  *store.Server
	ec2     *ec2.Service
	eks     *eks.Service
	subnets []ec2.Subnet
	log     log
	ended   chan struct{}
	stop    func() error // ends the loop, and returns what it said
}

// log is the loop's, and hands on its failures to who waits for them.
type log struct {
	bytes.Buffer // to be read when the loop has ended
	failed       chan struct{}
}

func (l *log) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("ERROR")) {
		select {
		case l.failed <- struct{}{}:
		default:
		}
	}
	return l.Buffer.Write(line)
}

func newFixture(t *testing.T, cidr string) *fixture {
	t.Helper()
	f := &fixture{T: t, server: storetest.Open(t), log: log{failed: make(chan struct{})}}
	f.eks = eks.New(f.server.Client())
	var err error
	if f.ec2, err = ec2.New(f.server.Client(), "ap-northeast-2"); err != nil {
		t.Fatal(err)
	}
	zones := []string{"ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"}
	if _, f.subnets, err = f.ec2.CreateVPC(t.Context(), netip.MustParsePrefix(cidr), zones, nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	loop := &Loop{EC2: f.ec2, EKS: f.eks, Logger: slog.New(slog.NewTextHandler(&f.log, nil)), Retry: time.Millisecond}
	f.ended = make(chan struct{})
	var err error
	go func() {
		defer close(f.ended)
		err = loop.Run(ctx)
	}()
	f.stop = func() error {
		cancel()
		f.awaitEnd()
		return err
	}
	f.Cleanup(func() { f.stop() })
}

func (f *fixture) awaitEnd() {
	f.Helper()
	select {
	case <-f.ended:
	case <-time.After(20 * time.Second):
		f.Fatalf("the loop does not end:\n%s", stacks())
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func (f *fixture) group(n eks.Nodegroup) eks.Nodegroup {
	f.Helper()
	n.Cluster, n.InstanceType = cmp.Or(n.Cluster, "eks-work"), cmp.Or(n.InstanceType, "t3.small")
	if n.Subnets == nil {
		n.Subnets = []string{f.subnets[0].ID, f.subnets[1].ID, f.subnets[2].ID}
	}
	made, err := f.eks.CreateNodegroup(f.Context(), n)
	if err != nil {
		f.Fatal(err)
	}
	return made
}

func (f *fixture) scale(name string, desired int) {
	f.Helper()
	if _, err := f.eks.ScaleNodegroup(f.Context(), "eks-work", name, eks.Scaling{Min: 0, Max: 10, Desired: desired}); err != nil {
		f.Fatal(err)
	}
}

// await waits until so many instances of the group are alive, and returns them.
func (f *fixture) await(cluster, group string, want int) []ec2.Instance {
	f.Helper()
	return f.awaitThat(fmt.Sprintf("%d instances of %s", want, group), cluster, group, func(alive []ec2.Instance) bool { return len(alive) == want })
}

func (f *fixture) awaitThat(what, cluster, group string, condition func([]ec2.Instance) bool) []ec2.Instance {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	follower := f.ec2.Instances.Follow(ctx, "")
	for snapshot := range follower.C {
		if alive := members(eks.Nodegroup{Cluster: cluster, Name: group}, snapshot.Items); condition(alive) {
			return alive
		}
	}
	f.Fatalf("waited in vain for %s: %v", what, follower.Err())
	return nil
}

// launched is how many instances there are and were.
func (f *fixture) launched() int {
	f.Helper()
	items, _, err := f.ec2.Instances.List(f.Context(), "")
	if err != nil {
		f.Fatal(err)
	}
	return len(items)
}

func perZone(instances []ec2.Instance) string {
	count := map[string]int{}
	for _, i := range instances {
		count[i.Zone[len(i.Zone)-1:]]++
	}
	return fmt.Sprint(count)
}

func TestKeepsTheSize(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(eks.Nodegroup{Name: "g", Min: 3, Max: 5, Desired: 3})
	f.start()
	three := f.await("eks-work", "g", 3)
	if got := perZone(three); got != "map[a:1 b:1 c:1]" {
		t.Errorf("three instances by zone: %s", got)
	}
	f.scale("g", 5)
	if got := perZone(f.await("eks-work", "g", 5)); got != "map[a:2 b:2 c:1]" {
		t.Errorf("five instances by zone: %s", got)
	}
	f.scale("g", 1)
	one := f.await("eks-work", "g", 1)

	// One that is gone is replaced.
	if err := f.ec2.TerminateInstance(t.Context(), one[0].ID, "the test says so"); err != nil {
		t.Fatal(err)
	}
	f.awaitThat("its successor", "eks-work", "g", func(alive []ec2.Instance) bool {
		return len(alive) == 1 && alive[0].ID != one[0].ID
	})
	f.scale("g", 0)
	f.await("eks-work", "g", 0)
	f.stop()
	if n := f.launched(); n != 6 {
		t.Errorf("%d instances were launched, want 6", n)
	}
	if f.log.Len() == 0 || strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("its log: %s", &f.log)
	}
}

func TestInstancesAreAsTheirGroup(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	taints := []eks.Taint{{Key: "dedicated", Value: "x", Effect: "NoSchedule"}}
	managed := f.group(eks.Nodegroup{Name: "managed", Managed: true, Spot: true, Max: 1, Desired: 1, VolumeGiB: 80, InstanceType: "t3.medium",
		Labels: map[string]string{"a": "b"}, Taints: taints, Tags: map[string]string{"c": "d"}})
	own := f.group(eks.Nodegroup{Name: "own", Max: 1, Desired: 1})
	ondemand := f.group(eks.Nodegroup{Name: "ondemand", Managed: true, Max: 1, Desired: 1})
	f.start()
	for _, test := range []struct {
		group        eks.Nodegroup
		labels, tags map[string]string
	}{
		{managed, map[string]string{
			"a": "b", "eks.amazonaws.com/nodegroup": "managed", "eks.amazonaws.com/capacityType": "SPOT",
		}, map[string]string{"c": "d", "eks:nodegroup-name": "managed"}},
		{own, map[string]string{}, nil},
		{ondemand, map[string]string{
			"eks.amazonaws.com/nodegroup": "ondemand", "eks.amazonaws.com/capacityType": "ON_DEMAND",
		}, map[string]string{"eks:nodegroup-name": "ondemand"}},
	} {
		i := f.await("eks-work", test.group.Name, 1)[0]
		tags := map[string]string{
			"Name": "eks-work-" + test.group.Name + "-Node", "aws:autoscaling:groupName": test.group.GroupName,
			"eks:cluster-name": "eks-work", "kubernetes.io/cluster/eks-work": "owned",
		}
		maps.Copy(tags, test.tags)
		if diff := gocmp.Diff(test.labels, i.Bootstrap.Labels); diff != "" {
			t.Errorf("labels of %s: %s", test.group.Name, diff)
		}
		if diff := gocmp.Diff(tags, i.Tags); diff != "" {
			t.Errorf("tags of %s: %s", test.group.Name, diff)
		}
		if i.Type != test.group.InstanceType || i.VolumeGiB != test.group.VolumeGiB || !slices.EqualFunc(i.Bootstrap.Taints, test.group.Taints, func(a ec2.Taint, b eks.Taint) bool { return a == ec2.Taint(b) }) {
			t.Errorf("%s: %+v", test.group.Name, i)
		}
	}
}

func TestLeavesOthersAlone(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	// The same name in another cluster, another name in the same one, and an
	// instance of nobody's.
	var others []string
	for _, b := range []ec2.Bootstrap{{Cluster: "other", Nodegroup: "g"}, {Cluster: "eks-work", Nodegroup: "h"}, {}} {
		made, err := f.ec2.RunInstances(t.Context(), ec2.RunInput{Type: "t3.small", Subnet: f.subnets[0].ID, Count: 2, Bootstrap: b})
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, made[0].ID, made[1].ID)
	}
	f.group(eks.Nodegroup{Name: "g", Min: 0, Max: 3, Desired: 2})
	f.start()
	f.await("eks-work", "g", 2)
	f.scale("g", 0)
	f.await("eks-work", "g", 0)
	f.stop()
	for _, id := range others {
		if i, err := f.ec2.Instances.Get(t.Context(), id); err != nil || !i.Value.Alive() {
			t.Errorf("%s: %+v, %v", id, i.Value, err)
		}
	}
	if n := f.launched(); n != len(others)+2 {
		t.Errorf("%d instances, want %d", n, len(others)+2)
	}
}

// What one group, or one of its subnets, cannot have keeps no other from theirs;
// and it is tried again although neither groups nor instances change.
func TestAFailureIsItsOwn(t *testing.T) {
	f := newFixture(t, "192.168.0.0/24") // 27 free addresses in a subnet, 12 for an instance
	var fill []string
	for range 16 {
		eni, err := f.ec2.CreateNetworkInterface(t.Context(), f.subnets[0].ID, "in the way")
		if err != nil {
			t.Fatal(err)
		}
		fill = append(fill, eni.ID)
	}
	f.group(eks.Nodegroup{Name: "a-impossible", InstanceType: "t3.nothing", Max: 1, Desired: 1})
	f.group(eks.Nodegroup{Name: "b-narrow", Max: 3, Desired: 3})
	f.group(eks.Nodegroup{Name: "c-fine", Max: 1, Desired: 1, Subnets: []string{f.subnets[3].ID}})
	f.start()
	f.await("eks-work", "c-fine", 1)
	if got := perZone(f.await("eks-work", "b-narrow", 2)); got != "map[b:1 c:1]" {
		t.Errorf("instances beside a full subnet, by zone: %s", got)
	}
	for range 10 { // more than there were changes
		select {
		case <-f.log.failed:
		case <-time.After(20 * time.Second):
			t.Fatal("it is not tried again")
		}
	}
	for _, id := range fill {
		if err := f.ec2.ENIs.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if got := perZone(f.await("eks-work", "b-narrow", 3)); got != "map[a:1 b:1 c:1]" {
		t.Errorf("instances by zone: %s", got)
	}
	f.stop()
	for _, want := range []string{"a-impossible", "t3.nothing", "b-narrow", "not enough free addresses"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("its log does not say %q: %s", want, &f.log)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(eks.Nodegroup{Name: "g", Max: 1, Desired: 1})
	f.start()
	f.await("eks-work", "g", 1)
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	if strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("the end is logged as a failure: %s", &f.log)
	}
	// A goroutine may be seen for a moment after its last statement.
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		all := stacks()
		if !strings.Contains(all, "fleet.(*Loop)") && !strings.Contains(all, ").follow(") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a goroutine stayed:\n%s", all)
		}
	}
}

func TestEndsWhenTheStoreIsDamaged(t *testing.T) {
	for _, key := range []string{"nodegroups/x/y", "instances/i-0"} {
		f := newFixture(t, "192.168.0.0/16")
		f.start()
		if _, err := f.server.Client().Put(t.Context(), "/tarn/"+key, "no JSON"); err != nil {
			t.Fatal(err)
		}
		f.awaitEnd()
		if err := f.stop(); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	}
}
