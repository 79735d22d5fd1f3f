package region

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/instance/shim"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

func TestCreateNetwork(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	for range 2 { // idempotent
		r.withNetwork(t, cc)
		if r.network.record.CIDR != cc.VPCCIDR || len(r.network.subnets) != 2*len(cc.Zones) {
			t.Errorf("VPC %s with %d subnets", r.network.record.CIDR, len(r.network.subnets))
		}
	}
	cc.VPCCIDR = netip.MustParsePrefix("10.0.0.0/16")
	if err := r.createNetwork(t.Context(), cc); err == nil || !strings.Contains(err.Error(), "192.168.0.0/16") || !strings.Contains(err.Error(), "10.0.0.0/16") {
		t.Errorf("another CIDR: %v", err)
	}
}

func TestCreateCluster(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	r.withNetwork(t, cc)
	var first eks.Cluster
	for n := range 2 { // idempotent
		if err := r.createCluster(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
		item, err := r.eks.Clusters.Get(t.Context(), "eks-work")
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = item.Value
		} else if item.Value.ID != first.ID || item.Value.Address != first.Address {
			t.Errorf("the second time it became %+v", item.Value)
		}
	}
	enis, _, err := r.ec2.ENIs.List(t.Context(), "")
	if err != nil || len(enis) != 1 || enis[0].Value.Addresses[0] != first.Address || enis[0].Value.Description != "Amazon EKS eks-work" {
		t.Errorf("network interfaces: %+v, %v", enis, err)
	}
	for _, id := range first.Subnets {
		i := slices.IndexFunc(r.network.subnets, func(s ec2.Subnet) bool { return s.ID == id })
		if i < 0 || !r.network.subnets[i].Public {
			t.Errorf("%s is no public subnet", id)
		}
	}
	if id, err := LoadIdentity(string(r.layout)); err != nil || id.Cluster != "eks-work" {
		t.Errorf("what is kept while the region is down: %+v, %v", id, err)
	}
	want, alive, err := r.wantedNodes(t.Context())
	if err != nil || want != 3 || len(alive) != 0 {
		t.Errorf("%d nodes are wanted, %d are alive, %v", want, len(alive), err)
	}
}

func TestNodegroupsFollowTheFile(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	cc.NodeGroups[0].Taints = []eksctl.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}}
	r.withNetwork(t, cc)
	if err := r.createCluster(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	get := func() eks.Nodegroup {
		t.Helper()
		item, err := r.eks.Nodegroups.Get(t.Context(), "eks-work/eks-work-nodegroup")
		if err != nil {
			t.Fatal(err)
		}
		return item.Value
	}
	before := get()
	if before.InstanceType != "t3.medium" || !before.Managed || before.Desired != 3 || before.VolumeGiB != 20 || len(before.Subnets) != 3 || before.Taints[0].Key != "k" {
		t.Errorf("%+v", before)
	}

	cc.NodeGroups[0].Min, cc.NodeGroups[0].Desired, cc.NodeGroups[0].Max = 1, 4, 6
	if err := r.createCluster(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	want := before
	want.Min, want.Desired, want.Max = 1, 4, 6
	if diff := cmp.Diff(want, get()); diff != "" {
		t.Error(diff)
	}

	// A group that the file leaves out stays, and is named.
	cc.NodeGroups[0].Name = "new"
	from := r.progress.count()
	if err := r.createCluster(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	events, _ := r.progress.after(from)
	if len(events) != 1 || events[0].State != Warning || !strings.Contains(events[0].Detail, "eks-work-nodegroup") {
		t.Errorf("%+v", events)
	}
	if diff := cmp.Diff(want, get()); diff != "" {
		t.Error(diff)
	}
}

func TestUnchangeable(t *testing.T) {
	have := eks.Nodegroup{
		Name: "g", InstanceType: "t3.medium", VolumeGiB: 20, Managed: true, Min: 1, Max: 3, Desired: 2,
		Subnets: []string{"a", "b"}, Labels: map[string]string{"a": "b"}, Taints: []eks.Taint{{Key: "k"}},
		GroupName: "eks-g-1",
	}
	for _, test := range []struct {
		change func(*eks.Nodegroup)
		field  string // empty: allowed
	}{
		{func(*eks.Nodegroup) {}, ""},
		{func(n *eks.Nodegroup) { n.Min, n.Max, n.Desired, n.GroupName = 2, 9, 8, "" }, ""},
		{func(n *eks.Nodegroup) { n.InstanceType = "m5.large" }, "instanceType"},
		{func(n *eks.Nodegroup) { n.VolumeGiB = 30 }, "volumeSize"},
		{func(n *eks.Nodegroup) { n.Managed = false }, "managed"},
		{func(n *eks.Nodegroup) { n.Spot = true }, "spot"},
		{func(n *eks.Nodegroup) { n.Subnets = []string{"a"} }, "availabilityZones"},
		{func(n *eks.Nodegroup) { n.Labels = nil }, "labels"},
		{func(n *eks.Nodegroup) { n.Taints = []eks.Taint{{Key: "l"}} }, "taints"},
	} {
		want := have
		test.change(&want)
		err := unchangeable(have, want)
		if (err == nil) != (test.field == "") || err != nil && (!strings.Contains(err.Error(), test.field) || !strings.Contains(err.Error(), "node group g")) {
			t.Errorf("%q: %v", test.field, err)
		}
	}
	all := unchangeable(have, eks.Nodegroup{Name: "g", InstanceType: "m5.large"})
	if all == nil || !strings.Contains(all.Error(), "instanceType") || !strings.Contains(all.Error(), "taints") {
		t.Errorf("not all at once: %v", all)
	}
}

func TestMachineOfAnInstance(t *testing.T) {
	if _, err := shim.Binary(); err != nil {
		t.Skip(err)
	}
	r := newRegion(t)
	h := &host{layout: r.layout, region: "ap-northeast-2", cidr: netip.MustParsePrefix("192.168.0.0/16")}
	i := ec2.Instance{
		ID: "i-1", Type: "t3.medium", Zone: "ap-northeast-2a", PrivateDNSName: "ip-192-168-1-2.ap-northeast-2.compute.internal",
		Address: addr("192.168.1.2"), PodAddresses: []netip.Addr{addr("192.168.1.3")}, VolumeGiB: 20,
		Bootstrap: ec2.Bootstrap{Labels: map[string]string{"mine": "x"}, Taints: []ec2.Taint{{Key: "k", Effect: "NoSchedule"}}, MaxPods: 17},
	}
	m, err := h.machine(i, cluster.Config{ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	want := instance.Config{
		ID: "i-1", NodeName: i.PrivateDNSName, Region: "ap-northeast-2", Zone: "ap-northeast-2a",
		Capacity: instance.Capacity{VCPU: 2, MemoryMiB: 4096, MaxPods: 17, ReservedCPUMilli: 70, ReservedMemoryMiB: 442, VolumeGiB: 20},
		Address:  i.Address, PodAddresses: i.PodAddresses, MTU: 9001, Resolver: addr("192.168.0.2"), ClusterDNS: addr("10.100.0.10"),
		Labels: map[string]string{
			"mine": "x", "beta.kubernetes.io/instance-type": "t3.medium", "node.kubernetes.io/instance-type": "t3.medium",
			"failure-domain.beta.kubernetes.io/region": "ap-northeast-2", "topology.kubernetes.io/region": "ap-northeast-2",
			"failure-domain.beta.kubernetes.io/zone": "ap-northeast-2a", "topology.kubernetes.io/zone": "ap-northeast-2a",
		},
		Taints: []instance.Taint{{Key: "k", Effect: "NoSchedule"}}, Registry: "http://192.168.0.3",
		PauseImage: "602401143452.dkr.ecr.ap-northeast-2.amazonaws.com/eks/pause:3.10", Cgroup: r.layout.cgroup() + "/i-1",
	}
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if diff := cmp.Diff(want, m.Config, equal); diff != "" {
		t.Error(diff)
	}
	if len(i.Bootstrap.Labels) != 1 {
		t.Error("the instance's own labels were changed")
	}
	// What ends it must find what was made.
	if left := h.remains("i-1"); left.Namespaces != m.Namespaces || left.Config.Cgroup != m.Config.Cgroup {
		t.Errorf("%+v remain of %+v", left.Namespaces, m.Namespaces)
	}
	i.Type = "t3.nothing"
	if _, err := h.machine(i, cluster.Config{}); err == nil {
		t.Error("a machine of no type")
	}
}

// The metadata service knows who asks by any of its addresses; the resolver has
// a name for the primary one.
func TestDirectory(t *testing.T) {
	r := newRegion(t)
	n := &network{record: ec2.VPC{ID: "vpc-1", CIDR: netip.MustParsePrefix("192.168.0.0/16")}, subnets: []ec2.Subnet{
		{ID: "subnet-1", CIDR: netip.MustParsePrefix("192.168.0.0/19")}, {ID: "subnet-2", CIDR: netip.MustParsePrefix("192.168.32.0/19")}}}
	item := func(id string, state ec2.State, first, pod string) store.Item[ec2.Instance] {
		return store.Item[ec2.Instance]{Key: id, Value: ec2.Instance{
			ID: id, Type: "t3.medium", State: state, Subnet: "subnet-2", Address: addr(first), PodAddresses: []netip.Addr{addr(pod)}}}
	}
	directory, primary := r.directory(n, store.Snapshot[ec2.Instance]{Items: []store.Item[ec2.Instance]{
		item("i-1", ec2.Running, "192.168.32.10", "192.168.32.11"),
		item("i-2", ec2.Pending, "192.168.32.20", "192.168.32.21"),
		item("i-3", ec2.ShuttingDown, "192.168.32.30", "192.168.32.31"),
		item("i-4", ec2.Terminated, "192.168.32.10", "192.168.32.11"), // had i-1's addresses before
	}})
	if want := []netip.Addr{addr("192.168.32.10"), addr("192.168.32.20")}; !slices.Equal(primary, want) {
		t.Errorf("named: %v, want %v", primary, want)
	}
	for address, id := range map[string]string{
		"192.168.32.10": "i-1", "192.168.32.11": "i-1", "192.168.32.20": "i-2", "192.168.32.21": "i-2", "192.168.32.30": "", "192.168.32.31": "",
	} {
		if got := directory[addr(address)].ID; got != id {
			t.Errorf("%s is %q, want %q", address, got, id)
		}
	}
	if got := directory[addr("192.168.32.10")].Interfaces[0].SubnetCIDR.String(); got != "192.168.32.0/19" {
		t.Errorf("subnet %s", got)
	}
}

func TestBackgroundFailures(t *testing.T) {
	r := newRegion(t)
	r.run("resolver", func(context.Context) error { return errors.New("the cause") })
	if err := <-r.Failed(); err.Error() != "resolver: the cause" {
		t.Error(err)
	}
	r.run("registry", func(context.Context) error { return nil })
	if err := <-r.Failed(); err.Error() != "registry: ended by itself" {
		t.Error(err)
	}
	r.run("late", func(ctx context.Context) error { <-ctx.Done(); return errors.New("only because the region stops") })
	r.stop()
	r.tasks.Wait()
	select {
	case err := <-r.Failed():
		t.Error(err)
	default:
	}
}

func TestAtLeast(t *testing.T) {
	var out strings.Builder
	logger := atLeast(slog.LevelWarn, slog.New(slog.NewTextHandler(&out, nil)))
	for _, l := range []*slog.Logger{logger, logger.With("a", 1), logger.WithGroup("g")} {
		l.Info("quiet")
		l.Warn("loud")
	}
	if strings.Contains(out.String(), "quiet") || strings.Count(out.String(), "loud") != 3 {
		t.Error(out.String())
	}
}
