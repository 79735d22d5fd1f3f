package region

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/loop/filtering"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// paper is a firewall that is written down only.
type paper struct{}

func (paper) SetFirewall(string, vpc.Firewall) error { return nil }

// withFirewall starts the loop that says which interfaces the firewalls know.
func (r *Region) withFirewall() {
	r.filtering = &filtering.Loop{EC2: r.ec2, Firewall: paper{}, Logger: r.logger}
	r.run("security groups", r.filtering.Run)
}

func groupsNamed(t *testing.T, r *Region, name string) []ec2.SecurityGroup {
	t.Helper()
	items, _, err := r.ec2.SecurityGroups.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var found []ec2.SecurityGroup
	for _, g := range items {
		if g.Value.Name == name {
			found = append(found, g.Value)
		}
	}
	return found
}

func TestClusterSecurityGroup(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	network := clusterNetwork{r}
	check := func(id string) {
		t.Helper()
		groups := groupsNamed(t, r, c.SecurityGroupName())
		if len(groups) != 1 || groups[0].ID != id || groups[0].VPC != c.VPC {
			t.Fatalf("%s, among %+v", id, groups)
		}
		g := groups[0]
		if g.Tags["aws:eks:cluster-name"] != "eks-work" || g.Tags["kubernetes.io/cluster/eks-work"] != "owned" || g.Tags["Name"] != c.SecurityGroupName() {
			t.Errorf("tags %v", g.Tags)
		}
		in := slices.DeleteFunc(slices.Clone(g.Rules), func(r ec2.SecurityGroupRule) bool { return r.Egress })
		if len(in) != 1 || in[0].Group != id || in[0].Protocol != "-1" {
			t.Errorf("rules %+v", g.Rules)
		}
	}
	first, err := network.EnsureSecurityGroup(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	check(first)
	again, err := network.EnsureSecurityGroup(t.Context(), c)
	if err != nil || again != first {
		t.Errorf("the second time: %s, %v", again, err)
	}
	check(first)

	// A crash may have come before the rule.
	_, err = r.ec2.SecurityGroups.Modify(t.Context(), first, func(g *ec2.SecurityGroup) error {
		g.Rules = slices.DeleteFunc(g.Rules, func(r ec2.SecurityGroupRule) bool { return !r.Egress })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if again, err = network.EnsureSecurityGroup(t.Context(), c); err != nil || again != first {
		t.Errorf("after a crash: %s, %v", again, err)
	}
	check(first)

	// Another cluster of the name, as after a deletion, has its own.
	other := c
	other.ID = strings.Repeat("1", 32)
	id, err := network.EnsureSecurityGroup(t.Context(), other)
	if err != nil || id == first {
		t.Errorf("another cluster: %s, %v", id, err)
	}
	other.VPC = "vpc-0123456789abcdef0"
	if id, err = network.EnsureSecurityGroup(t.Context(), other); err == nil {
		t.Errorf("in a VPC that is not there: %s", id)
	}
}

func TestClusterInterface(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	r.withFirewall()
	network, ctx := clusterNetwork{r}, t.Context()
	var err error
	if c.Network.SecurityGroup, err = network.EnsureSecurityGroup(ctx, c); err != nil {
		t.Fatal(err)
	}
	groups := groupsNamed(t, r, "default")
	c.SecurityGroups = []string{groups[0].ID}
	id, address, err := network.EnsureInterface(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	item, err := r.ec2.ENIs.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	eni := item.Value
	if eni.Addresses[0] != address || eni.Description != "Amazon EKS eks-work" || eni.Requester != "amazon-eks" || eni.Subnet != c.Subnets[0] {
		t.Errorf("%+v", eni)
	}
	if want := []string{c.Network.SecurityGroup, groups[0].ID}; !slices.Equal(eni.SecurityGroups, want) {
		t.Errorf("security groups %v, want %v", eni.SecurityGroups, want)
	}
	// The record of it may not have been written before a crash.
	for range 2 {
		again, there, err := network.EnsureInterface(ctx, c)
		if err != nil || again != id || there != address {
			t.Errorf("again: %s %s, %v; want %s %s", again, there, err, id, address)
		}
	}
	other := c
	other.ID, other.Network.SecurityGroup, other.SecurityGroups = strings.Repeat("1", 32), groups[0].ID, nil
	otherID, there, err := network.EnsureInterface(ctx, other)
	if err != nil || otherID == id || there == address {
		t.Errorf("another cluster of the name: %s %s, %v", otherID, there, err)
	}

	c.Network.Interface, c.Network.Address = id, address
	for range 2 { // idempotent
		if err := network.Remove(ctx, c); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ec2.ENIs.Get(ctx, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("its interface is left: %v", err)
		}
		if left := groupsNamed(t, r, c.SecurityGroupName()); len(left) != 0 {
			t.Errorf("its security group is left: %+v", left)
		}
		if _, err := r.ec2.ENIs.Get(ctx, otherID); err != nil {
			t.Errorf("the other cluster's interface: %v", err)
		}
	}
}

// The first of the cluster's subnets that has an address left is taken.
func TestClusterInterfaceInAFullSubnet(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	r.withFirewall()
	group := groupsNamed(t, r, "default")[0].ID
	small := call[ec2api.CreateSubnetOutput](t, r, "ec2", "CreateSubnet", &ec2api.CreateSubnetInput{VpcId: &c.VPC, CidrBlock: new("192.168.255.0/28"), AvailabilityZone: new("ap-northeast-2a")})
	full := *small.Subnet.SubnetId
	for {
		_, err := r.ec2.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: full, SecurityGroups: []string{group}})
		if errors.Is(err, subnet.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Network.SecurityGroup = group
	c.Subnets = []string{full, c.Subnets[1]}
	id, _, err := clusterNetwork{r}.EnsureInterface(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if eni, err := r.ec2.ENIs.Get(t.Context(), id); err != nil || eni.Value.Subnet != c.Subnets[1] {
		t.Errorf("%+v, %v", eni.Value, err)
	}
	c.ID, c.Subnets = strings.Repeat("2", 32), c.Subnets[:1]
	if _, _, err := (clusterNetwork{r}).EnsureInterface(t.Context(), c); !errors.Is(err, subnet.ErrFull) {
		t.Errorf("in none but that: %v", err)
	}
}

// Nobody is told of an interface that the firewall does not know.
func TestClusterInterfaceWaitsForTheFirewall(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	r.filtering = &filtering.Loop{EC2: r.ec2, Firewall: paper{}, Logger: r.logger} // does not run
	c.Network.SecurityGroup = groupsNamed(t, r, "default")[0].ID
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the test says so")
	cancel(cause)
	made := make(chan error, 1)
	go func() {
		_, _, err := clusterNetwork{r}.EnsureInterface(t.Context(), c)
		made <- err
	}()
	for enis := r.ec2.ENIs.Follow(t.Context(), ""); ; {
		if s, ok := <-enis.C; !ok {
			t.Fatal(enis.Err())
		} else if len(s.Items) == 1 {
			break
		}
	}
	if _, _, err := (clusterNetwork{r}).EnsureInterface(ctx, c); !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("without a firewall: %v", err)
	}
	select {
	case err := <-made:
		t.Fatalf("it came back before: %v", err)
	default:
	}
	r.run("security groups", r.filtering.Run)
	if err := <-made; err != nil {
		t.Error(err)
	}
}

func TestRemoveOfAClusterThatGotNothing(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	if err := (clusterNetwork{r}).Remove(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestConfigure(t *testing.T) {
	taint := func(key, value, effect string) v1.Taint {
		return v1.Taint{Key: key, Value: value, Effect: v1.TaintEffect(effect)}
	}
	config := func(labels map[string]string, taints ...eks.Taint) eks.NodeConfig {
		return eks.NodeConfig{Labels: labels, Taints: taints}
	}
	foreign := taint("node.kubernetes.io/unreachable", "", "NoExecute")
	for _, test := range []struct {
		name       string
		labels     map[string]string
		taints     []v1.Taint
		was, want  eks.NodeConfig
		wantLabels map[string]string
		wantTaints []v1.Taint
	}{
		{
			name: "labels come, change and go", labels: map[string]string{"a": "1", "b": "1", "c": "1", "mine": "x"},
			was: config(map[string]string{"a": "1", "b": "1", "c": "1"}), want: config(map[string]string{"a": "1", "b": "2", "d": "4"}),
			wantLabels: map[string]string{"a": "1", "b": "2", "d": "4", "mine": "x"},
		},
		{
			name: "what somebody has changed is set again", labels: map[string]string{"a": "theirs"},
			was: config(map[string]string{"a": "1"}), want: config(map[string]string{"a": "1"}),
			wantLabels: map[string]string{"a": "1"},
		},
		{name: "a node without labels", want: config(map[string]string{"a": "1"}), wantLabels: map[string]string{"a": "1"}},
		{name: "nothing to nothing", wantLabels: map[string]string{}},
		{
			name: "taints come and go", taints: []v1.Taint{taint("k", "v", "NoSchedule"), foreign},
			was: config(nil, eks.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}), want: config(nil, eks.Taint{Key: "l", Effect: "NoExecute"}),
			wantLabels: map[string]string{}, wantTaints: []v1.Taint{foreign, taint("l", "", "NoExecute")},
		},
		{
			name: "a taint's value changes", taints: []v1.Taint{taint("k", "v", "NoSchedule")},
			was: config(nil, eks.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}), want: config(nil, eks.Taint{Key: "k", Value: "w", Effect: "NoSchedule"}),
			wantLabels: map[string]string{}, wantTaints: []v1.Taint{taint("k", "w", "NoSchedule")},
		},
		{
			name: "the same key with another effect is another taint", taints: []v1.Taint{taint("k", "theirs", "NoExecute")},
			was: config(nil, eks.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}), want: config(nil, eks.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}),
			wantLabels: map[string]string{}, wantTaints: []v1.Taint{taint("k", "theirs", "NoExecute"), taint("k", "v", "NoSchedule")},
		},
	} {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: test.labels}, Spec: v1.NodeSpec{Taints: test.taints}}
		for _, again := range []string{"", ", again"} {
			configure(node, test.was, test.want)
			if diff := cmp.Diff(test.wantLabels, node.Labels); diff != "" {
				t.Errorf("%s%s: %s", test.name, again, diff)
			}
			if !slices.Equal(node.Spec.Taints, test.wantTaints) {
				t.Errorf("%s%s: taints %v, want %v", test.name, again, node.Spec.Taints, test.wantTaints)
			}
		}
	}
}

func TestAddonsWithoutAControlPlane(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	err := controlPlanes{r}.ApplyAddons(t.Context(), c, []eks.Addon{{Name: "coredns"}})
	if err == nil || !strings.Contains(err.Error(), "eks-work") {
		t.Errorf("%v", err)
	}
	// Those that are part of each node need none.
	if err := r.applyAddon(t.Context(), r.describe(c), eks.Addon{Name: "kube-proxy"}); err != nil {
		t.Error(err)
	}
	if err := r.applyAddon(t.Context(), r.describe(c), eks.Addon{Name: "coredns", Configuration: "{"}); err == nil {
		t.Error("with values that are no JSON")
	}
	// One that is to be kept is not touched when the add-on goes.
	if err := r.applyAddon(t.Context(), r.describe(c), eks.Addon{Name: "coredns", Status: eks.Deleting, Preserve: true}); err != nil {
		t.Error(err)
	}
}

func TestDescribe(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	c.Network.Address = netip.MustParseAddr("192.168.0.10")
	got := r.describe(c)
	if got.Name != "eks-work" || got.ID != c.ID || got.Address != c.Network.Address || got.LocalAddress != "127.0.0.1:6443" ||
		got.ServiceCIDR != c.ServiceCIDR || got.Dir != r.layout.cluster("eks-work") || got.Etcd != r.store.Endpoint() {
		t.Errorf("%+v", got)
	}
	found, err := r.clusterConfig(t.Context(), "eks-work")
	if err != nil || found.ID != c.ID {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := r.clusterConfig(t.Context(), "other"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	// A node of a cluster that is gone has no Node to delete.
	if err := r.deleteNode(t.Context(), "other", "ip-1"); err != nil {
		t.Error(err)
	}
}
