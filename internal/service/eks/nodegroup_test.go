package eks_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestNodegroupLife(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	in := groupInput("lake", "g")
	in.ScalingConfig = &eksapi.NodegroupScalingConfig{MinSize: new(int32(3)), MaxSize: new(int32(5)), DesiredSize: new(int32(4))}
	in.InstanceTypes, in.DiskSize, in.CapacityType = []string{"t3.small", "t3.medium"}, new(int32(80)), "SPOT"
	in.Labels, in.Tags = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	in.Taints = []eksapi.Taint{{Key: new("k"), Value: new("v"), Effect: "NO_SCHEDULE"}}
	in.UpdateConfig = &eksapi.NodegroupUpdateConfig{MaxUnavailablePercentage: new(int32(50))}
	made := must(f, f.CreateNodegroup, in).Nodegroup
	n := f.group("lake", "g").Value
	want := &eksapi.Nodegroup{
		NodegroupName: new("g"), NodegroupArn: new("arn:aws:eks:ap-northeast-2:000000000000:nodegroup/lake/g/" + n.ID), ClusterName: new("lake"),
		Version: new("1.37"), ReleaseVersion: new("1.37.2-" + eks.ReleaseDate), CreatedAt: &f.now, ModifiedAt: &f.now, Status: "CREATING",
		CapacityType: "SPOT", ScalingConfig: in.ScalingConfig, InstanceTypes: in.InstanceTypes, Subnets: in.Subnets,
		AmiType: "AL2023_x86_64_STANDARD", NodeRole: new(nodeRole), Labels: in.Labels, Taints: in.Taints, Tags: in.Tags, DiskSize: new(int32(80)),
		Resources: &eksapi.NodegroupResources{AutoScalingGroups: []eksapi.AutoScalingGroup{{Name: new("eks-g-" + n.ID)}}},
		Health:    &eksapi.NodegroupHealth{Issues: []eksapi.Issue{}}, UpdateConfig: in.UpdateConfig,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made: %s", diff)
	}
	if n.InstanceType != "t3.small" || n.Taints[0] != (eks.Taint{Key: "k", Value: "v", Effect: "NoSchedule"}) || n.Unavailable() != 2 || n.Revision != 1 {
		t.Errorf("%+v", n)
	}
	f.progress("lake", "g", eks.Progress{Reached: true})
	want.Status = "ACTIVE"
	if diff := cmp.Diff(want, must(f, f.DescribeNodegroup, &eksapi.DescribeNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")}).Nodegroup); diff != "" {
		t.Errorf("active: %s", diff)
	}
	if got := must(f, f.ListNodegroups, &eksapi.ListNodegroupsInput{ClusterName: new("lake")}).Nodegroups; !cmp.Equal(got, []string{"g"}) {
		t.Error(got)
	}
	refuse(f, "the same name", f.CreateNodegroup, groupInput("lake", "g"), "ResourceInUseException", "NodeGroup already exists with name g and cluster name lake")

	// EKS lets the nodes' role in, and shuts it out after its last node group.
	entry := func() []string {
		return must(f, f.ListAccessEntries, &eksapi.ListAccessEntriesInput{ClusterName: new("lake")}).AccessEntries
	}
	f.activeGroup("lake", "h")
	if diff := cmp.Diff([]string{nodeRole, rootUser}, entry()); diff != "" {
		t.Errorf("entries: %s", diff)
	}
	e := must(f, f.DescribeAccessEntry, &eksapi.DescribeAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole)}).AccessEntry
	if *e.Type != "EC2_LINUX" || *e.Username != "system:node:{{EC2PrivateDNSName}}" || !cmp.Equal(e.KubernetesGroups, []string{"system:nodes"}) {
		t.Errorf("%+v", e)
	}
	for i, name := range []string{"g", "h"} {
		del := &eksapi.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: &name}
		if got := must(f, f.DeleteNodegroup, del).Nodegroup.Status; got != "DELETING" {
			t.Error(got)
		}
		must(f, f.DeleteNodegroup, del)
		f.progress("lake", name, eks.Progress{Reached: true}) // instances end
		f.progress("lake", name, eks.Progress{Empty: true})
		refuse(f, "gone", f.DeleteNodegroup, del, "ResourceNotFoundException", "No node group found for name: "+name+".")
		if got := entry(); len(got) != 2-i {
			t.Errorf("entries after %s: %v", name, got)
		}
	}
}

func TestCreateNodegroupRefuses(t *testing.T) {
	f := newFixture(t)
	refuse(f, "no cluster", f.CreateNodegroup, groupInput("lake", "g"), "ResourceNotFoundException", "No cluster found for name: lake.")
	must(f, f.CreateCluster, clusterInput("lake"))
	refuse(f, "a cluster that is not there yet", f.CreateNodegroup, groupInput("lake", "g"), "InvalidRequestException", "Cluster 'lake' is not in ACTIVE status")
	f.started("lake")
	type in = *eksapi.CreateNodegroupInput
	size := func(low, high, want int32) func(in) {
		return func(i in) {
			i.ScalingConfig = &eksapi.NodegroupScalingConfig{MinSize: &low, MaxSize: &high, DesiredSize: &want}
		}
	}
	for _, test := range []struct {
		name   string
		change func(in)
		text   string
	}{
		{"a bad name", func(i in) { i.NodegroupName = new("a/b") }, "'a/b'"},
		{"a missing subnet", func(i in) { i.Subnets = []string{"subnet-x"} }, "The subnet ID 'subnet-x' does not exist"},
		{"another VPC", func(i in) { i.Subnets = []string{"subnet-other"} }, "not in the same VPC as the cluster"},
		{"an unknown type", func(i in) { i.InstanceTypes = []string{"t3.small", "t3.tiny"} }, "The following supplied instance types do not exist: [t3.tiny]"},
		{"too small", size(2, 3, 1), "minSize can't be greater than desiredSize"},
		{"too large", size(1, 3, 4), "desiredSize can't be greater than maxSize"},
		{"no room", size(0, 0, 0), "maxSize must be greater than or equal to 1"},
		{"negative", size(-1, 1, 0), "minSize must be"},
		{"another role", func(i in) { i.NodeRole = new(clusterRole) }, "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole " + clusterRole},
		{"a missing role", func(i in) { i.NodeRole = new("arn:aws:iam::000000000000:role/a/x") }, "The role with name x cannot be found."},
		{"an image of another kind", func(i in) { i.AmiType = "WINDOWS_CORE_2022_x86_64" }, "amiType"},
		{"another version", func(i in) { i.Version = new("1.36") }, "1.37"},
		{"another release", func(i in) { i.ReleaseVersion = new("1.37.2-20200101") }, "Requested release version 1.37.2-20200101 is not valid for kubernetes version 1.37"},
		{"a bad label", func(i in) { i.Labels = map[string]string{"a b": "c"} }, "a b"},
		{"a bad taint", func(i in) { i.Taints = []eksapi.Taint{{Key: new("a"), Effect: "NoSchedule"}} }, "NO_SCHEDULE"},
		{"a taint twice", func(i in) {
			i.Taints = []eksapi.Taint{{Key: new("a"), Effect: "NO_EXECUTE"}, {Key: new("a"), Value: new("b"), Effect: "NO_EXECUTE"}}
		}, "twice"},
		{"both manners of updates", func(i in) {
			i.UpdateConfig = &eksapi.NodegroupUpdateConfig{MaxUnavailable: new(int32(1)), MaxUnavailablePercentage: new(int32(1))}
		}, "not both"},
		{"a disk beside a template", func(i in) {
			i.LaunchTemplate, i.DiskSize = &eksapi.LaunchTemplateSpecification{Id: new("lt-1")}, new(int32(1))
		}, "Disk size must be specified within the launch template."},
		{"a login beside a template", func(i in) {
			i.LaunchTemplate, i.RemoteAccess = &eksapi.LaunchTemplateSpecification{Id: new("lt-1")}, &eksapi.RemoteAccessConfig{Ec2SshKey: new("k")}
		}, "Remote access configuration cannot be specified with a launch template."},
		{"a missing template", func(i in) {
			i.LaunchTemplate = &eksapi.LaunchTemplateSpecification{Name: new("x")}
		}, "Launch template x"},
		{"a template that EC2 refuses", func(i in) {
			i.LaunchTemplate = &eksapi.LaunchTemplateSpecification{Id: new("lt-bad")}
		}, "Invalid id: lt-bad"},
		{"types in the template and beside it", func(i in) {
			i.LaunchTemplate, i.InstanceTypes = &eksapi.LaunchTemplateSpecification{Name: new("template"), Version: new("2")}, []string{"t3.small"}
		}, "both the launch template and the API request"},
		{"a login without key", func(i in) { i.RemoteAccess = &eksapi.RemoteAccessConfig{} }, "ec2SshKey"},
		{"an unknown capacity", func(i in) { i.CapacityType = "CAPACITY_BLOCK" }, "capacityType"},
	} {
		i := groupInput("lake", "g")
		test.change(i)
		refuse(f, test.name, f.CreateNodegroup, i, "InvalidParameterException", test.text)
	}
	if n, err := count(f.Nodegroups)(f.ctx, ""); n != 0 || err != nil {
		t.Errorf("%d node groups, %v", n, err)
	}
}

func TestNodegroupDefaults(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	for i, test := range []struct {
		in              *eksapi.NodegroupScalingConfig
		low, high, want int
	}{
		{nil, 2, 2, 2},
		{&eksapi.NodegroupScalingConfig{}, 1, 2, 2},
		{&eksapi.NodegroupScalingConfig{MaxSize: new(int32(1))}, 1, 1, 1},
		{&eksapi.NodegroupScalingConfig{MinSize: new(int32(4))}, 4, 4, 4},
		{&eksapi.NodegroupScalingConfig{MinSize: new(int32(0)), DesiredSize: new(int32(0)), MaxSize: new(int32(1))}, 0, 1, 0},
	} {
		name := fmt.Sprint("g", i)
		in := groupInput("lake", name)
		in.ScalingConfig = test.in
		must(f, f.CreateNodegroup, in)
		n := f.group("lake", name).Value
		if n.Scaling() != (eks.Scaling{Min: test.low, Max: test.high, Desired: test.want}) {
			t.Errorf("%+v: %+v", test.in, n.Scaling())
		}
		if n.InstanceType != "t3.medium" || n.VolumeGiB != 20 || n.Unavailable() != 1 || n.Spot {
			t.Errorf("%+v", n)
		}
	}
}

func TestUpdateNodegroupConfig(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	in := groupInput("lake", "g")
	in.Labels = map[string]string{"a": "1", "b": "2"}
	in.Taints = []eksapi.Taint{{Key: new("k"), Value: new("v"), Effect: "NO_SCHEDULE"}, {Key: new("k"), Effect: "NO_EXECUTE"}}
	must(f, f.CreateNodegroup, in)
	change := func(c eksapi.UpdateNodegroupConfigInput) *eksapi.UpdateNodegroupConfigInput {
		c.ClusterName, c.NodegroupName = new("lake"), new("g")
		return &c
	}
	scale := func(low, high, want *int32) *eksapi.UpdateNodegroupConfigInput {
		return change(eksapi.UpdateNodegroupConfigInput{ScalingConfig: &eksapi.NodegroupScalingConfig{MinSize: low, MaxSize: high, DesiredSize: want}})
	}
	refuse(f, "a new one", f.UpdateNodegroupConfig, scale(new(int32(1)), nil, nil), "ResourceInUseException", "not in Active State")
	f.progress("lake", "g", eks.Progress{Reached: true})
	for _, test := range []struct {
		in   *eksapi.UpdateNodegroupConfigInput
		text string
	}{
		{change(eksapi.UpdateNodegroupConfigInput{}), "must name what to change"},
		{scale(new(int32(3)), new(int32(4)), nil), "Minimum capacity 3 can't be greater than desired size 2"},
		{scale(nil, nil, new(int32(3))), "Desired capacity 3 can't be greater than max size 2"},
		{scale(new(int32(3)), nil, nil), "Minimum capacity 3 can't be greater than max size 2"},
		{change(eksapi.UpdateNodegroupConfigInput{Labels: &eksapi.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"a": ""}, RemoveLabels: []string{"a"}}}), "at once"},
	} {
		refuse(f, test.text, f.UpdateNodegroupConfig, test.in, "InvalidParameterException", test.text)
	}

	u := must(f, f.UpdateNodegroupConfig, scale(new(int32(1)), new(int32(6)), new(int32(5)))).Update
	params := map[string]string{}
	for _, p := range u.Params {
		params[string(p.Type)] = *p.Value
	}
	if u.Type != "ConfigUpdate" || !maps.Equal(params, map[string]string{"MinSize": "1", "MaxSize": "6", "DesiredSize": "5"}) {
		t.Errorf("%s %v", u.Type, params)
	}
	if n := f.group("lake", "g").Value; n.Status != eks.Updating || n.Scaling() != (eks.Scaling{Min: 1, Max: 6, Desired: 5}) {
		t.Errorf("%+v", n)
	}
	f.progress("lake", "g", eks.Progress{}) // on the way
	if got := f.update("lake", "g", "", u).Status; got != "InProgress" {
		t.Error(got)
	}
	f.progress("lake", "g", eks.Progress{Reached: true})
	if got := f.update("lake", "g", "", u).Status; got != "Successful" || f.group("lake", "g").Value.Status != eks.Active {
		t.Error(got)
	}

	u = must(f, f.UpdateNodegroupConfig, change(eksapi.UpdateNodegroupConfigInput{
		Labels: &eksapi.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"a": "9", "c": "3"}, RemoveLabels: []string{"b"}},
		Taints: &eksapi.UpdateTaintsPayload{
			AddOrUpdateTaints: []eksapi.Taint{{Key: new("k"), Value: new("w"), Effect: "NO_SCHEDULE"}},
			RemoveTaints:      []eksapi.Taint{{Key: new("k"), Effect: "NO_EXECUTE"}},
		},
		UpdateConfig: &eksapi.NodegroupUpdateConfig{MaxUnavailable: new(int32(3))},
	})).Update
	n := f.group("lake", "g").Value
	want := eks.NodeConfig{Labels: map[string]string{"a": "9", "c": "3"}, Taints: []eks.Taint{{Key: "k", Value: "w", Effect: "NoSchedule"}}}
	if diff := cmp.Diff(want, n.Config()); diff != "" || n.Unavailable() != 3 {
		t.Errorf("%d: %s", n.Unavailable(), diff)
	}
	was := &eks.NodeConfig{Labels: in.Labels, Taints: []eks.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}, {Key: "k", Effect: "NoExecute"}}}
	if diff := cmp.Diff(was, n.Applied); diff != "" {
		t.Errorf("what the nodes carry: %s", diff)
	}
	if len(u.Params) != 5 || *u.Params[2].Value != `[{"effect":"NO_SCHEDULE","value":"w","key":"k"}]` {
		t.Errorf("%+v", u.Params)
	}
	if err := f.ConfigApplied(f.ctx, n); err != nil || f.group("lake", "g").Value.Applied != nil {
		t.Errorf("applied: %v", err)
	}
	f.progress("lake", "g", eks.Progress{Issues: []eks.Issue{{Code: "AsgInstanceLaunchFailures", Message: "full"}}, GivenUp: true})
	got := f.update("lake", "g", "", u)
	if got.Status != "Failed" || len(got.Errors) != 1 || got.Errors[0].ErrorCode != "NodeCreationFailure" || f.group("lake", "g").Value.Status != eks.Degraded {
		t.Errorf("%+v", got)
	}
}

func TestUpdateNodegroupVersion(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	f.activeGroup("lake", "plain")
	in := groupInput("lake", "custom")
	in.LaunchTemplate = &eksapi.LaunchTemplateSpecification{Name: new("template")}
	must(f, f.CreateNodegroup, in)
	f.progress("lake", "custom", eks.Progress{Reached: true})
	version := func(group string, in eksapi.UpdateNodegroupVersionInput) *eksapi.UpdateNodegroupVersionInput {
		in.ClusterName, in.NodegroupName = new("lake"), &group
		return &in
	}
	template := func(id, v string) *eksapi.LaunchTemplateSpecification {
		return &eksapi.LaunchTemplateSpecification{Id: &id, Version: &v}
	}
	for text, in := range map[string]*eksapi.UpdateNodegroupVersionInput{
		"Requested release version 1.36.0-20200101 is not valid": version("plain", eksapi.UpdateNodegroupVersionInput{ReleaseVersion: new("1.36.0-20200101")}),
		"should be equal to Cluster kubernetes version":          version("plain", eksapi.UpdateNodegroupVersionInput{Version: new("1.38")}),
		"created without one":                                    version("plain", eksapi.UpdateNodegroupVersionInput{LaunchTemplate: template("lt-1", "2")}),
		"could not be found":                                     version("custom", eksapi.UpdateNodegroupVersionInput{LaunchTemplate: template("lt-1", "9")}),
	} {
		refuse(f, text, f.UpdateNodegroupVersion, in, "InvalidParameterException", text)
	}
	for _, test := range []struct {
		name  string
		group string
		in    eksapi.UpdateNodegroupVersionInput
		rolls bool
	}{
		{"nothing newer", "plain", eksapi.UpdateNodegroupVersionInput{}, false},
		{"forced", "plain", eksapi.UpdateNodegroupVersionInput{Force: new(true)}, true},
		{"the template as it is", "custom", eksapi.UpdateNodegroupVersionInput{LaunchTemplate: template("lt-1", "1")}, false},
		{"the template's next version", "custom", eksapi.UpdateNodegroupVersionInput{LaunchTemplate: template("lt-1", "2")}, true},
	} {
		before := f.group("lake", test.group).Value.Revision
		u := must(f, f.UpdateNodegroupVersion, version(test.group, test.in)).Update
		n := f.group("lake", test.group).Value
		if rolls := n.Revision != before; rolls != test.rolls || u.Type != "VersionUpdate" || n.Status != eks.Updating {
			t.Errorf("%s: replaces nodes: %t; %s, %s", test.name, rolls, u.Type, n.Status)
		}
		f.progress("lake", test.group, eks.Progress{Reached: true})
		if got := f.update("lake", test.group, "", u).Status; got != "Successful" {
			t.Errorf("%s: %s", test.name, got)
		}
	}
	if n := f.group("lake", "custom").Value; n.InstanceType != "m5.large" || n.Template.Version != "2" {
		t.Errorf("%+v", n)
	}
}

func TestSelfManaged(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	n, err := f.CreateSelfManaged(f.ctx, eks.Nodegroup{Cluster: "lake", Name: "own", InstanceType: "t3.small", Min: 1, Max: 3, Desired: 2})
	if err != nil || n.GroupName == "" || n.Status != eks.Creating {
		t.Fatalf("%+v, %v", n, err)
	}
	if got := must(f, f.ListNodegroups, &eksapi.ListNodegroupsInput{ClusterName: new("lake")}).Nodegroups; len(got) != 0 {
		t.Errorf("the API shows %v", got)
	}
	refuse(f, "describing it", f.DescribeNodegroup, &eksapi.DescribeNodegroupInput{ClusterName: new("lake"), NodegroupName: new("own")}, "ResourceNotFoundException", "own")
	if n, err := f.ScaleNodegroup(f.ctx, "lake", "own", eks.Scaling{Min: 0, Max: 9, Desired: 4}); err != nil || n.Desired != 4 {
		t.Errorf("scaled: %+v, %v", n, err)
	}
	for _, to := range []eks.Scaling{{Min: 2, Max: 3, Desired: 1}, {Min: 1, Max: 3, Desired: 4}, {Min: 4, Max: 3, Desired: 4}, {Min: -1, Max: 3}, {}} {
		if n, err := f.ScaleNodegroup(f.ctx, "lake", "own", to); err == nil {
			t.Errorf("scaled to %+v: %+v", to, n.Scaling())
		}
	}
}
