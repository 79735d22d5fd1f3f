package region

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestInZones(t *testing.T) {
	subnets := []ec2.Subnet{{ID: "1", Zone: "a"}, {ID: "2", Zone: "b"}, {ID: "3", Zone: "c"}, {ID: "4", Zone: "a"}}
	for _, test := range []struct {
		zones string
		want  []string
	}{
		{"a", []string{"1", "4"}},
		{"c b", []string{"3", "2"}}, // as the file orders them
		{"b d", []string{"2"}},
		{"", nil},
	} {
		if got := inZones(subnets, strings.Fields(test.zones)); !slices.Equal(got, test.want) {
			t.Errorf("%q: %v, want %v", test.zones, got, test.want)
		}
	}
}

func TestMinor(t *testing.T) {
	for version, want := range map[string]string{"1.37.2": "1.37", "1.37": "1.37", "1": "1", "": "", "1.37.2-eks.1": "1.37"} {
		if got := minor(version); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

func TestClusterInput(t *testing.T) {
	cc := &eksctl.ClusterConfig{
		Name: "c", Version: "1.37.2", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"), Tags: map[string]string{"a": "b"},
		CloudWatch: eksctl.CloudWatch{LogTypes: []string{"api", "audit"}},
	}
	want := &eksapi.CreateClusterInput{
		Name: new("c"), Version: new("1.37"), RoleArn: new("arn:role"), Tags: map[string]string{"a": "b"},
		ResourcesVpcConfig:      &eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-1", "subnet-2"}},
		KubernetesNetworkConfig: &eksapi.KubernetesNetworkConfigRequest{ServiceIpv4Cidr: new("10.100.0.0/16")},
		AccessConfig: &eksapi.CreateAccessConfigRequest{
			AuthenticationMode: eksapi.AuthenticationModeApiAndConfigMap, BootstrapClusterCreatorAdminPermissions: new(true),
		},
		Logging: &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{{Types: []eksapi.LogType{eksapi.LogTypeApi, eksapi.LogTypeAudit}, Enabled: new(true)}}},
	}
	if diff := cmp.Diff(want, clusterInput(cc, []string{"subnet-1", "subnet-2"}, "arn:role")); diff != "" {
		t.Error(diff)
	}
	cc.CloudWatch.LogTypes = nil
	if in := clusterInput(cc, nil, ""); in.Logging != nil {
		t.Errorf("no types of logs: %+v", in.Logging)
	}
}

// everything is a node group with something in every field.
func everything() eksctl.NodeGroup {
	return eksctl.NodeGroup{
		Name: "g", Managed: true, InstanceType: "m5.large", Spot: true, Min: 1, Max: 5, Desired: 2, VolumeSizeGiB: 30,
		Labels: map[string]string{"l": "m"}, Tags: map[string]string{"t": "u"},
		Taints: []eksctl.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}, {Key: "e", Effect: "NoExecute"}, {Key: "p", Effect: "PreferNoSchedule"}},
	}
}

func TestNodegroupInput(t *testing.T) {
	want := &eksapi.CreateNodegroupInput{
		ClusterName: new("c"), NodegroupName: new("g"), NodeRole: new("arn:role"), Subnets: []string{"subnet-1"},
		InstanceTypes: []string{"m5.large"}, DiskSize: new(int32(30)), CapacityType: eksapi.CapacityTypesSpot,
		ScalingConfig: &eksapi.NodegroupScalingConfig{MinSize: new(int32(1)), MaxSize: new(int32(5)), DesiredSize: new(int32(2))},
		Labels:        map[string]string{"l": "m"}, Tags: map[string]string{"t": "u"},
		Taints: []eksapi.Taint{
			{Key: new("k"), Value: new("v"), Effect: eksapi.TaintEffectNoSchedule},
			{Key: new("e"), Value: new(""), Effect: eksapi.TaintEffectNoExecute},
			{Key: new("p"), Value: new(""), Effect: eksapi.TaintEffectPreferNoSchedule},
		},
	}
	g := everything()
	if diff := cmp.Diff(want, nodegroupInput("c", g, []string{"subnet-1"}, "arn:role")); diff != "" {
		t.Error(diff)
	}
	g.Spot, g.Min, g.Max, g.Desired = false, 0, 1, 0
	in := nodegroupInput("c", g, nil, "")
	if in.CapacityType != eksapi.CapacityTypesOnDemand {
		t.Errorf("capacity %s", in.CapacityType)
	}
	if diff := cmp.Diff(&eksapi.NodegroupScalingConfig{MinSize: new(int32(0)), MaxSize: new(int32(1)), DesiredSize: new(int32(0))}, in.ScalingConfig); diff != "" {
		t.Error(diff)
	}
}

func TestSelfManaged(t *testing.T) {
	want := eks.Nodegroup{
		Cluster: "c", Name: "g", RoleARN: "arn:role", InstanceType: "m5.large", Spot: true, Min: 1, Max: 5, Desired: 2, VolumeGiB: 30,
		Labels: map[string]string{"l": "m"}, Tags: map[string]string{"t": "u"}, Subnets: []string{"subnet-1"},
		Taints: []eks.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}, {Key: "e", Effect: "NoExecute"}, {Key: "p", Effect: "PreferNoSchedule"}},
	}
	if diff := cmp.Diff(want, selfManaged("c", everything(), []string{"subnet-1"}, "arn:role")); diff != "" {
		t.Error(diff)
	}
}

func TestUnchangeable(t *testing.T) {
	have := eks.Nodegroup{
		Name: "g", InstanceType: "t3.medium", VolumeGiB: 20, Managed: true, Min: 1, Max: 3, Desired: 2,
		Subnets: []string{"a", "b"}, Labels: map[string]string{"a": "b"}, Taints: []eks.Taint{{Key: "k"}},
		GroupName: "eks-g-1",
	}
	same := eksctl.NodeGroup{
		Name: "g", InstanceType: "t3.medium", VolumeSizeGiB: 20, Managed: true, Min: 1, Max: 3, Desired: 2,
		Labels: map[string]string{"a": "b"}, Taints: []eksctl.Taint{{Key: "k"}},
	}
	for _, test := range []struct {
		change func(*eksctl.NodeGroup)
		field  string // empty: allowed
	}{
		{func(*eksctl.NodeGroup) {}, ""},
		{func(n *eksctl.NodeGroup) { n.Min, n.Max, n.Desired = 2, 9, 8 }, ""},
		{func(n *eksctl.NodeGroup) { n.Tags = map[string]string{"a": "b"} }, ""},
		{func(n *eksctl.NodeGroup) { n.InstanceType = "m5.large" }, "instanceType"},
		{func(n *eksctl.NodeGroup) { n.VolumeSizeGiB = 30 }, "volumeSize"},
		{func(n *eksctl.NodeGroup) { n.Managed = false }, "managed"},
		{func(n *eksctl.NodeGroup) { n.Spot = true }, "spot"},
		{func(n *eksctl.NodeGroup) { n.Labels = nil }, "labels"},
		{func(n *eksctl.NodeGroup) { n.Taints = []eksctl.Taint{{Key: "l"}} }, "taints"},
		{func(n *eksctl.NodeGroup) { n.Taints = nil }, "taints"},
	} {
		want := same
		test.change(&want)
		err := unchangeable(have, want, []string{"a", "b"})
		if (err == nil) != (test.field == "") || err != nil && (!strings.Contains(err.Error(), test.field) || !strings.Contains(err.Error(), "another name")) {
			t.Errorf("%q: %v", test.field, err)
		}
	}
	if err := unchangeable(have, same, []string{"a"}); err == nil || !strings.Contains(err.Error(), "availabilityZones") {
		t.Errorf("other zones: %v", err)
	}
	all := unchangeable(have, eksctl.NodeGroup{Name: "g", InstanceType: "m5.large"}, nil)
	if all == nil || !strings.Contains(all.Error(), "instanceType") || !strings.Contains(all.Error(), "taints") {
		t.Errorf("not all at once: %v", all)
	}
	// What the store has no items of is what the file has none of.
	bare := eks.Nodegroup{Labels: map[string]string{}, Taints: []eks.Taint{}, Subnets: []string{}}
	if err := unchangeable(bare, eksctl.NodeGroup{}, nil); err != nil {
		t.Error(err)
	}
}

func TestNodegroupsFollowTheFile(t *testing.T) {
	for _, managed := range []bool{true, false} {
		name := "self-managed"
		if managed {
			name = "managed"
		}
		t.Run(name, func(t *testing.T) {
			r, cc := newRegion(t), builtIn()
			cc.NodeGroups[0].Taints = []eksctl.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}}
			cc.NodeGroups[0].Managed = managed
			r.withCluster(t, cc)
			followsTheFile(t, r, cc)
		})
	}
}

func followsTheFile(t *testing.T, r *Region, cc *eksctl.ClusterConfig) {
	get := func() eks.Nodegroup {
		t.Helper()
		item, err := r.eks.Nodegroups.Get(t.Context(), "eks-work/eks-work-nodegroup")
		if err != nil {
			t.Fatal(err)
		}
		return item.Value
	}
	apply := func() {
		t.Helper()
		if err := r.applyNodegroups(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
	}
	settle := func() { // as the node group loop does
		t.Helper()
		item, err := r.eks.Nodegroups.Get(t.Context(), "eks-work/eks-work-nodegroup")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.eks.NodegroupProgress(t.Context(), item, eks.Progress{Reached: true}); err != nil {
			t.Fatal(err)
		}
	}
	group := &cc.NodeGroups[0]
	apply()
	before := get()
	if before.InstanceType != "t3.medium" || before.Managed != group.Managed || before.Desired != 3 || before.VolumeGiB != 20 || len(before.Subnets) != 3 || before.Taints[0] != (eks.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}) {
		t.Errorf("%+v", before)
	}
	wanted := nodeRole("eks-work", *group)
	role, err := r.iam.Role(t.Context(), before.RoleARN)
	if err != nil || role.Name != wanted.name || len(role.Attached) != len(wanted.policies) || len(role.Inline) != len(wanted.inline) || role.Tags[eksctlNodegroup] != "eks-work-nodegroup" {
		t.Errorf("its role: %+v, %v", role, err)
	}
	apply()
	if diff := cmp.Diff(before, get()); diff != "" {
		t.Errorf("the same file again: %s", diff)
	}

	// A size that was wrong can be mended while the group is not made yet.
	group.Min, group.Desired, group.Max = 1, 2, 6
	apply()
	if got := get(); got.Scaling() != (eks.Scaling{Min: 1, Max: 6, Desired: 2}) || got.Status != eks.Creating {
		t.Errorf("while it was made it became %+v", got)
	}
	settle()
	group.Min, group.Desired, group.Max = 1, 4, 7
	apply()
	changed := get()
	want := before
	want.Min, want.Desired, want.Max, want.Resized = 1, 4, 7, true
	want.Status, want.Modified, want.Update = changed.Status, changed.Modified, changed.Update
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Error(diff)
	}
	if updated := changed.Status == eks.Updating && changed.Update != ""; updated != group.Managed {
		t.Errorf("status %s, update %q", changed.Status, changed.Update)
	}
	settle()
	settled := get()

	group.InstanceType = "m5.large"
	if err := r.applyNodegroups(t.Context(), cc); err == nil || !strings.Contains(err.Error(), "eks-work-nodegroup") || !strings.Contains(err.Error(), "instanceType") {
		t.Errorf("another type: %v", err)
	}
	group.InstanceType = "t3.medium"
	from := r.progress.count()
	group.Tags = map[string]string{"other": "x"}
	apply()
	if events, _ := r.progress.after(from); len(events) != 1 || events[0].State != Warning || !strings.Contains(events[0].Detail, "tags") {
		t.Errorf("other tags: %+v", events)
	}

	// A group that the file leaves out stays, and is named.
	group.Name = "new"
	from = r.progress.count()
	apply()
	if events, _ := r.progress.after(from); len(events) != 1 || events[0].State != Warning || !strings.Contains(events[0].Detail, "eks-work-nodegroup") {
		t.Errorf("%+v", events)
	}
	if diff := cmp.Diff(settled, get()); diff != "" {
		t.Error(diff)
	}
}

// The cluster's issuer is known to IAM where the file says withOIDC.
func TestOIDCProvider(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	cc.NodeGroups = nil
	cc.IAM.WithOIDC = false
	if err := r.applyNodegroups(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	if p, err := (stsProviders{r.iam}).OIDCProvider(t.Context(), r.eks.Issuer(c)); err == nil {
		t.Errorf("without: %+v", p)
	}
	cc.IAM.WithOIDC = true
	for range 2 { // idempotent
		if err := r.applyNodegroups(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
	}
	p, err := stsProviders{r.iam}.OIDCProvider(t.Context(), r.eks.Issuer(c))
	if want := "arn:aws:iam::000000000000:oidc-provider/oidc.eks.ap-northeast-2.amazonaws.com/id/" + c.ID; err != nil || p.ARN != want || !slices.Equal(p.ClientIDs, []string{"sts.amazonaws.com"}) {
		t.Errorf("%+v, %v, want %s", p, err, want)
	}
	if got := r.describe(c).Issuer(); got != r.eks.Issuer(c) {
		t.Errorf("the API server signs as %s, and EKS says %s", got, r.eks.Issuer(c))
	}
	if minor(cluster.Version) != c.Version {
		t.Errorf("the cluster is %s, the control plane %s", c.Version, cluster.Version)
	}
}
