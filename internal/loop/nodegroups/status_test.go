package nodegroups

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// awaitGroup waits until the node group is as said; it is zero when it is gone.
func (f *fixture) awaitGroup(name, what string, is func(eks.Nodegroup) bool) eks.Nodegroup {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	var last eks.Nodegroup
	follower := f.eks.Nodegroups.Follow(ctx, "")
	for snapshot := range follower.C {
		item, _ := snapshot.Get("eks-work/" + name)
		if last = item.Value; is(last) {
			return last
		}
	}
	f.Fatalf("node group %s did not become %s: %+v", name, what, last)
	return last
}

func (f *fixture) awaitStatus(name string, want eks.Status) eks.Nodegroup {
	f.Helper()
	return f.awaitGroup(name, string(want), func(n eks.Nodegroup) bool { return n.Status == want })
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

func (f *fixture) managed(n string, size int32) {
	f.Helper()
	_, err := f.eks.CreateNodegroup(f.Context(), &eksapi.CreateNodegroupInput{
		ClusterName: new("eks-work"), NodegroupName: &n, NodeRole: new(role), Subnets: []string{f.subnets[0].ID, f.subnets[1].ID},
		InstanceTypes: []string{"t3.small"},
		ScalingConfig: &eksapi.NodegroupScalingConfig{MinSize: new(int32(0)), MaxSize: new(int32(5)), DesiredSize: &size},
	})
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) updateEnded(update *eksapi.Update, want eksapi.UpdateStatus) {
	f.Helper()
	got, err := f.eks.DescribeUpdate(f.Context(), &eksapi.DescribeUpdateInput{Name: new("eks-work"), NodegroupName: new("g"), UpdateId: update.Id})
	if err != nil || got.Update.Status != want {
		f.Errorf("the update: %+v, %v", got, err)
	}
}

func TestStatusesOfANodegroup(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.managed("g", 2)
	f.start()
	pending := f.await("eks-work", "g", 2)
	if n := f.awaitStatus("g", eks.Creating); n.Update != "" {
		t.Errorf("%+v", n)
	}
	f.boots()
	n := f.awaitStatus("g", eks.Active)
	if pending[0].Profile.RoleARN != role {
		t.Errorf("the profile: %+v", pending[0].Profile)
	}

	scaled, err := f.eks.UpdateNodegroupConfig(t.Context(), &eksapi.UpdateNodegroupConfigInput{ClusterName: new("eks-work"), NodegroupName: new("g"),
		ScalingConfig: &eksapi.NodegroupScalingConfig{DesiredSize: new(int32(3))},
		Labels:        &eksapi.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"a": "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	f.awaitStatus("g", eks.Active)
	f.updateEnded(scaled.Update, "Successful")
	if got := f.await("eks-work", "g", 3); len(got) != 3 {
		t.Errorf("%d instances", len(got))
	}
	f.nodes.mu.Lock()
	if len(f.nodes.got) == 0 || !strings.HasSuffix(f.nodes.got[0], "map[] map[a:b]") {
		t.Errorf("the nodes were given %v", f.nodes.got)
	}
	f.nodes.mu.Unlock()

	rolled, err := f.eks.UpdateNodegroupVersion(t.Context(), &eksapi.UpdateNodegroupVersionInput{ClusterName: new("eks-work"), NodegroupName: new("g"), Force: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	f.awaitStatus("g", eks.Active)
	f.updateEnded(rolled.Update, "Successful")
	if n := f.launched(); n != 6 {
		t.Errorf("%d instances were launched, want 6", n)
	}
	// The labels made version 2 of the launch template.
	for _, i := range f.await("eks-work", "g", 3) {
		if i.Tags["aws:ec2launchtemplate:version"] != "3" || slices.ContainsFunc(pending, func(old ec2.Instance) bool { return old.ID == i.ID }) {
			t.Errorf("%s was not replaced", i.ID)
		}
	}

	if _, err := f.eks.DeleteNodegroup(t.Context(), &eksapi.DeleteNodegroupInput{ClusterName: new("eks-work"), NodegroupName: new("g")}); err != nil {
		t.Fatal(err)
	}
	f.awaitGroup("g", "nothing", func(n eks.Nodegroup) bool { return n.Name == "" })
	f.await("eks-work", "g", 0)
	f.profiles.mu.Lock()
	defer f.profiles.mu.Unlock()
	if _, left := f.made[n.InstanceProfile()]; left {
		t.Error("its instance profile is left")
	}
}

func TestFailuresOfANodegroup(t *testing.T) {
	f := newFixture(t, "192.168.0.0/24") // 27 free addresses in a subnet, 12 for an instance
	f.managed("g", 5)
	f.start()
	f.boots()
	n := f.awaitStatus("g", eks.CreateFailed)
	if len(n.Issues) != 1 || n.Issues[0].Code != "AsgInstanceLaunchFailures" || !slices.Equal(n.Issues[0].Resources, []string{n.GroupName}) ||
		!strings.HasPrefix(n.Issues[0].Message, "Could not launch On-Demand Instances. InsufficientFreeAddressesInSubnet - ") ||
		!strings.HasSuffix(n.Issues[0].Message, ". Launching EC2 instance failed.") {
		t.Errorf("%+v", n.Issues)
	}
	if _, err := f.eks.ScaleNodegroup(t.Context(), "eks-work", "g", eks.Scaling{Min: 0, Max: 5, Desired: 2}); err != nil {
		t.Fatal(err)
	}
	if n := f.awaitStatus("g", eks.Active); n.Issues != nil {
		t.Errorf("%+v", n.Issues)
	}

	f.profiles.setFail(errors.New("IAM is away"))
	u, err := f.eks.UpdateNodegroupConfig(t.Context(), &eksapi.UpdateNodegroupConfigInput{ClusterName: new("eks-work"), NodegroupName: new("g"),
		ScalingConfig: &eksapi.NodegroupScalingConfig{DesiredSize: new(int32(3))}})
	if err != nil {
		t.Fatal(err)
	}
	n = f.awaitStatus("g", eks.Degraded)
	if len(n.Issues) != 1 || n.Issues[0].Code != "IamInstanceProfileNotFound" || !strings.Contains(n.Issues[0].Message, "IAM is away") {
		t.Errorf("%+v", n.Issues)
	}
	f.updateEnded(u.Update, "Failed")
	f.profiles.setFail(nil)
	f.awaitStatus("g", eks.Active)
}

func TestLaunchTemplate(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	group, err := f.ec2.CreateSecurityGroup(t.Context(), &ec2api.CreateSecurityGroupInput{GroupName: new("mine"), Description: new("x"), VpcId: &f.subnets[0].VPC})
	if err != nil {
		t.Fatal(err)
	}
	made, err := f.ec2.CreateLaunchTemplate(t.Context(), &ec2api.CreateLaunchTemplateInput{
		LaunchTemplateName: new("template"),
		LaunchTemplateData: &ec2api.RequestLaunchTemplateData{
			InstanceType: "t3.large", SecurityGroupIds: []string{*group.GroupId},
			BlockDeviceMappings: []ec2api.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: new("/dev/xvda"), Ebs: &ec2api.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: new(int32(33))}}},
			MetadataOptions:     &ec2api.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: new(int32(3))},
			TagSpecifications:   []ec2api.LaunchTemplateTagSpecificationRequest{{ResourceType: "instance", Tags: []ec2api.Tag{{Key: new("team"), Value: new("blue")}}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.eks.CreateNodegroup(t.Context(), &eksapi.CreateNodegroupInput{
		ClusterName: new("eks-work"), NodegroupName: new("g"), NodeRole: new(role), Subnets: []string{f.subnets[0].ID},
		LaunchTemplate: &eksapi.LaunchTemplateSpecification{Id: made.LaunchTemplate.LaunchTemplateId},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.start()
	i := f.await("eks-work", "g", 2)[0]
	if i.Type != "t3.large" || i.VolumeGiB != 33 || i.Metadata.HopLimit != 3 || i.Tags["team"] != "blue" || !slices.Equal(i.SecurityGroups, []string{*group.GroupId}) ||
		i.Bootstrap.Labels["eks.amazonaws.com/nodegroup"] != "g" {
		t.Errorf("%+v", i)
	}
}
