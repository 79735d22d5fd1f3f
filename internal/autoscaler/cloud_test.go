package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
)

// account is a small AWS.
type account struct {
	groups     []autoscalingtypes.AutoScalingGroup
	activities []autoscalingtypes.Activity
	template   *ec2types.ResponseLaunchTemplateData
	types      map[string]ec2types.InstanceTypeInfo
	nodegroup  *ekstypes.Nodegroup
	noEC2      bool
	calls      []string
}

func (a *account) call(format string, args ...any) {
	a.calls = append(a.calls, fmt.Sprintf(format, args...))
}

func (a *account) DescribeAutoScalingGroups(_ context.Context, in *autoscaling.DescribeAutoScalingGroupsInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	var filters []string
	for _, f := range in.Filters {
		filters = append(filters, aws.ToString(f.Name)+"="+strings.Join(f.Values, ","))
	}
	a.call("describe %v %v %s", in.AutoScalingGroupNames, filters, aws.ToString(in.NextToken))
	out := &autoscaling.DescribeAutoScalingGroupsOutput{}
	for _, g := range a.groups {
		named := slices.Contains(in.AutoScalingGroupNames, *g.AutoScalingGroupName)
		tagged := len(in.Filters) > 0 && slices.ContainsFunc(g.Tags, func(t autoscalingtypes.TagDescription) bool { return *t.Key == in.Filters[0].Values[0] })
		if named || tagged {
			out.AutoScalingGroups = append(out.AutoScalingGroups, g)
		}
	}
	if in.NextToken == nil && len(out.AutoScalingGroups) > 1 { // one page for each group
		out.AutoScalingGroups, out.NextToken = out.AutoScalingGroups[:1], aws.String("more")
	} else if in.NextToken != nil {
		out.AutoScalingGroups = out.AutoScalingGroups[1:]
	}
	return out, nil
}

func (a *account) DescribeLaunchConfigurations(_ context.Context, in *autoscaling.DescribeLaunchConfigurationsInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeLaunchConfigurationsOutput, error) {
	return &autoscaling.DescribeLaunchConfigurationsOutput{LaunchConfigurations: []autoscalingtypes.LaunchConfiguration{{
		LaunchConfigurationName: &in.LaunchConfigurationNames[0], InstanceType: aws.String("t3.large"),
	}}}, nil
}

func (a *account) DescribeScalingActivities(context.Context, *autoscaling.DescribeScalingActivitiesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeScalingActivitiesOutput, error) {
	return &autoscaling.DescribeScalingActivitiesOutput{Activities: a.activities}, nil
}

func (a *account) SetDesiredCapacity(_ context.Context, in *autoscaling.SetDesiredCapacityInput, _ ...func(*autoscaling.Options)) (*autoscaling.SetDesiredCapacityOutput, error) {
	a.call("set %s %d %v", *in.AutoScalingGroupName, *in.DesiredCapacity, *in.HonorCooldown)
	return &autoscaling.SetDesiredCapacityOutput{}, nil
}

func (a *account) TerminateInstanceInAutoScalingGroup(_ context.Context, in *autoscaling.TerminateInstanceInAutoScalingGroupInput, _ ...func(*autoscaling.Options)) (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error) {
	a.call("terminate %s %v", *in.InstanceId, *in.ShouldDecrementDesiredCapacity)
	return &autoscaling.TerminateInstanceInAutoScalingGroupOutput{Activity: &autoscalingtypes.Activity{Description: aws.String("Terminating EC2 instance: " + *in.InstanceId)}}, nil
}

func (a *account) DescribeInstanceTypes(_ context.Context, in *ec2.DescribeInstanceTypesInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error) {
	a.call("types %v", in.InstanceTypes)
	if a.noEC2 {
		return nil, errors.New("AccessDenied")
	}
	out := &ec2.DescribeInstanceTypesOutput{}
	if t, ok := a.types[string(in.InstanceTypes[0])]; ok {
		out.InstanceTypes = append(out.InstanceTypes, t)
	}
	return out, nil
}

func (a *account) DescribeLaunchTemplateVersions(_ context.Context, in *ec2.DescribeLaunchTemplateVersionsInput, _ ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
	a.call("template %s%s %v", aws.ToString(in.LaunchTemplateId), aws.ToString(in.LaunchTemplateName), in.Versions)
	if a.template == nil {
		return nil, errors.New("AccessDenied")
	}
	return &ec2.DescribeLaunchTemplateVersionsOutput{LaunchTemplateVersions: []ec2types.LaunchTemplateVersion{{LaunchTemplateData: a.template}}}, nil
}

func (a *account) DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	return &ec2.DescribeImagesOutput{Images: []ec2types.Image{{Architecture: ec2types.ArchitectureValuesX8664, VirtualizationType: ec2types.VirtualizationTypeHvm}}}, nil
}

func (a *account) GetInstanceTypesFromInstanceRequirements(_ context.Context, in *ec2.GetInstanceTypesFromInstanceRequirementsInput, _ ...func(*ec2.Options)) (*ec2.GetInstanceTypesFromInstanceRequirementsOutput, error) {
	a.call("requirements %d-%d vCPU %v", *in.InstanceRequirements.VCpuCount.Min, *in.InstanceRequirements.VCpuCount.Max, in.ArchitectureTypes)
	return &ec2.GetInstanceTypesFromInstanceRequirementsOutput{InstanceTypes: []ec2types.InstanceTypeInfoFromInstanceRequirements{{InstanceType: aws.String("m5.large")}}}, nil
}

func (a *account) DescribeNodegroup(_ context.Context, in *eks.DescribeNodegroupInput, _ ...func(*eks.Options)) (*eks.DescribeNodegroupOutput, error) {
	a.call("nodegroup %s %s", *in.ClusterName, *in.NodegroupName)
	return &eks.DescribeNodegroupOutput{Nodegroup: a.nodegroup}, nil
}

func (a *account) cloud(cfg CloudConfig) *Cloud {
	cfg.AutoScaling, cfg.EC2, cfg.EKS, cfg.Metrics = a, a, a, NewMetrics(false)
	return NewCloud(cfg)
}

func asg(name string, desired int32, tags map[string]string) autoscalingtypes.AutoScalingGroup {
	g := autoscalingtypes.AutoScalingGroup{
		AutoScalingGroupName: &name, MinSize: aws.Int32(1), MaxSize: aws.Int32(9), DesiredCapacity: &desired, AvailabilityZones: []string{"ap-northeast-2b", "ap-northeast-2a"},
		LaunchTemplate: &autoscalingtypes.LaunchTemplateSpecification{LaunchTemplateId: aws.String("lt-1"), Version: aws.String("3")},
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		g.Tags = append(g.Tags, autoscalingtypes.TagDescription{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return g
}

func TestGroups(t *testing.T) {
	a := &account{template: &ec2types.ResponseLaunchTemplateData{InstanceType: "t3.medium"}}
	one := asg("one", 2, nil)
	for id, state := range map[string]string{
		"i-1": "InService", "i-2": "Pending:Wait", "i-3": "Terminating:Wait", "i-4": "Standby", "i-5": "Warmed:Stopped", "i-6": "Detaching",
	} {
		one.Instances = append(one.Instances, autoscalingtypes.Instance{InstanceId: &id, LifecycleState: autoscalingtypes.LifecycleState(state)})
	}
	a.groups = []autoscalingtypes.AutoScalingGroup{one, asg("two", 0, map[string]string{
		"k8s.io/cluster-autoscaler/enabled":                                                 "true",
		"k8s.io/cluster-autoscaler/node-template/autoscaling-options/scaledownunneededtime": "90s",
		"k8s.io/cluster-autoscaler/node-template/resources/example.com/thing":               "4",
	}), asg("three", 0, nil)}
	c := a.cloud(CloudConfig{
		Groups:   []Spec{{Name: "one", Min: 2, Max: 4}, {Name: "absent", Min: 0, Max: 1}},
		Discover: []map[string]string{{"k8s.io/cluster-autoscaler/enabled": ""}, {"k8s.io/cluster-autoscaler/enabled": "true"}},
	})
	groups, err := c.Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range groups {
		slices.SortFunc(g.Instances, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
		got = append(got, fmt.Sprintf("%s %d:%d:%d %v", g.Name, g.Min, g.Desired, g.Max, g.Instances))
	}
	want := []string{"one 2:2:4 [{i-1 false} {i-2 false} {i-3 true}]", "two 1:0:9 []"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if g := groups[1]; g.Override.UnneededTime == nil || *g.Override.UnneededTime != 90*time.Second || g.Override.UnreadyTime != nil {
		t.Errorf("the group's own options: %+v", g.Override)
	}
	if q := groups[1].Overlay["example.com/thing"]; q.Value() != 4 {
		t.Errorf("the group's own resources: %v", groups[1].Overlay)
	}
	for _, call := range []string{"describe [one absent] [] ", "describe [] [tag-key=k8s.io/cluster-autoscaler/enabled] "} {
		if !slices.Contains(a.calls, call) {
			t.Errorf("no call %q among %q", call, a.calls)
		}
	}
}

func TestResizeAndTerminate(t *testing.T) {
	a := &account{}
	c := a.cloud(CloudConfig{})
	if err := errors.Join(c.Resize(t.Context(), "g", 4), c.Terminate(t.Context(), "i-1")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(a.calls); got != "[set g 4 false terminate i-1 true]" {
		t.Error(got)
	}
}

func TestLaunchError(t *testing.T) {
	failed, ok := autoscalingtypes.ScalingActivityStatusCodeFailed, autoscalingtypes.ScalingActivityStatusCodeSuccessful
	ago := func(d time.Duration, code autoscalingtypes.ScalingActivityStatusCode) autoscalingtypes.Activity {
		return autoscalingtypes.Activity{StartTime: new(time.Now().Add(-d)), StatusCode: code, StatusMessage: aws.String("no capacity")}
	}
	for _, c := range []struct {
		name       string
		set        bool
		activities []autoscalingtypes.Activity
		want       string
	}{
		{"since the size was set", true, []autoscalingtypes.Activity{ago(-time.Second, failed)}, "no capacity"},
		{"before that", true, []autoscalingtypes.Activity{ago(time.Hour, failed)}, ""},
		{"the last attempt, of who else set it", false, []autoscalingtypes.Activity{ago(time.Hour, failed)}, "no capacity"},
		{"not the last", false, []autoscalingtypes.Activity{ago(time.Minute, ok), ago(time.Hour, failed)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &account{groups: []autoscalingtypes.AutoScalingGroup{asg("g", 2, nil)}, activities: c.activities}
			cloud := a.cloud(CloudConfig{Groups: []Spec{{Name: "g", Max: 9}}})
			if c.set {
				if err := cloud.Resize(t.Context(), "g", 2); err != nil {
					t.Fatal(err)
				}
			}
			groups, err := cloud.Groups(t.Context())
			if err != nil || groups[0].LaunchError != c.want {
				t.Errorf("%q, %v, want %q", groups[0].LaunchError, err, c.want)
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	arm := ec2types.InstanceTypeInfo{
		InstanceType: "g5g.xlarge", VCpuInfo: &ec2types.VCpuInfo{DefaultVCpus: aws.Int32(4)}, MemoryInfo: &ec2types.MemoryInfo{SizeInMiB: aws.Int64(8192)},
		NetworkInfo:   &ec2types.NetworkInfo{MaximumNetworkInterfaces: aws.Int32(4), Ipv4AddressesPerInterface: aws.Int32(15)},
		ProcessorInfo: &ec2types.ProcessorInfo{SupportedArchitectures: []ec2types.ArchitectureType{"arm64"}},
		GpuInfo:       &ec2types.GpuInfo{Gpus: []ec2types.GpuDeviceInfo{{Count: aws.Int32(1)}}},
	}
	mixed := asg("g", 0, nil)
	mixed.LaunchTemplate = nil
	mixed.MixedInstancesPolicy = &autoscalingtypes.MixedInstancesPolicy{LaunchTemplate: &autoscalingtypes.LaunchTemplate{
		LaunchTemplateSpecification: &autoscalingtypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String("lt")},
		Overrides:                   []autoscalingtypes.LaunchTemplateOverrides{{InstanceType: aws.String("g5g.xlarge")}, {InstanceType: aws.String("m5.large")}},
	}}
	byNeed := asg("g", 0, nil)
	byNeed.LaunchTemplate = nil
	byNeed.MixedInstancesPolicy = &autoscalingtypes.MixedInstancesPolicy{LaunchTemplate: &autoscalingtypes.LaunchTemplate{
		LaunchTemplateSpecification: &autoscalingtypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String("lt")},
		Overrides: []autoscalingtypes.LaunchTemplateOverrides{{InstanceRequirements: &autoscalingtypes.InstanceRequirements{
			VCpuCount: &autoscalingtypes.VCpuCountRequest{Min: aws.Int32(2), Max: aws.Int32(4)}, MemoryMiB: &autoscalingtypes.MemoryMiBRequest{Min: aws.Int32(4096)},
		}}},
	}}
	byName := asg("g", 0, nil)
	byName.LaunchTemplate, byName.LaunchConfigurationName = nil, aws.String("lc")
	for _, c := range []struct {
		name    string
		group   autoscalingtypes.AutoScalingGroup
		account account
		want    string
		call    string
	}{
		{
			name: "launch template", group: asg("g", 0, nil), account: account{template: &ec2types.ResponseLaunchTemplateData{InstanceType: "t3.medium"}},
			want: "t3.medium amd64 ap-northeast-2b ap-northeast-2 cpu 1930m memory 3554Mi pods 17 gpu 0 taints []", call: "template lt-1 [3]",
		},
		{
			name: "without permission for EC2's types, from the table", group: asg("g", 0, nil),
			account: account{template: &ec2types.ResponseLaunchTemplateData{InstanceType: "t3.medium"}, noEC2: true},
			want:    "t3.medium amd64 ap-northeast-2b ap-northeast-2 cpu 1930m memory 3554Mi pods 17 gpu 0 taints []",
		},
		{name: "without permission for launch templates", group: asg("g", 0, nil), want: "nothing"},
		{
			name: "launch configuration", group: byName,
			want: "t3.large amd64 ap-northeast-2b ap-northeast-2 cpu 1930m memory 7452Mi pods 35 gpu 0 taints []",
		},
		{
			name: "mixed instances: the first type, with a GPU", group: mixed, account: account{types: map[string]ec2types.InstanceTypeInfo{"g5g.xlarge": arm}},
			want: "g5g.xlarge arm64 ap-northeast-2b ap-northeast-2 cpu 3920m memory 7199Mi pods 58 gpu 1 taints []",
		},
		{
			name: "by what is required", group: byNeed, account: account{template: &ec2types.ResponseLaunchTemplateData{ImageId: aws.String("ami-1")}},
			want: "m5.large amd64 ap-northeast-2b ap-northeast-2 cpu 1930m memory 7518Mi pods 29 gpu 0 taints []", call: "requirements 2-4 vCPU [x86_64]",
		},
		{
			name: "tags and the managed node group",
			group: asg("g", 0, map[string]string{
				"eks:cluster-name": "eks-work", "eks:nodegroup-name": "ng",
				"k8s.io/cluster-autoscaler/node-template/label/tier":      "spot",
				"k8s.io/cluster-autoscaler/node-template/taint/dedicated": "x:NoSchedule",
				"k8s.io/cluster-autoscaler/node-template/taint/bad":       "x:Never",
			}),
			account: account{template: &ec2types.ResponseLaunchTemplateData{InstanceType: "t3.medium"}, nodegroup: &ekstypes.Nodegroup{
				Labels: map[string]string{"team": "a"}, CapacityType: "ON_DEMAND", Taints: []ekstypes.Taint{{Key: aws.String("cold"), Effect: ekstypes.TaintEffectNoExecute}},
			}},
			want: "t3.medium amd64 ap-northeast-2b ap-northeast-2 cpu 1930m memory 3554Mi pods 17 gpu 0 taints [cold=:NoExecute dedicated=x:NoSchedule]" +
				" team=a tier=spot eks.amazonaws.com/nodegroup=ng eks.amazonaws.com/capacityType=ON_DEMAND",
			call: "nodegroup eks-work ng",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.account.groups = []autoscalingtypes.AutoScalingGroup{c.group}
			cloud := c.account.cloud(CloudConfig{Groups: []Spec{{Name: "g", Max: 9}}})
			for range 2 { // the second time nothing is asked
				groups, err := cloud.Groups(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := describe(groups[0].Template); got != c.want {
					t.Errorf("%s\nwant %s", got, c.want)
				}
			}
			if n := len(slices.DeleteFunc(slices.Clone(c.account.calls), func(s string) bool { return s != c.call })); c.call != "" && n != 1 {
				t.Errorf("%q was asked %d times: %q", c.call, n, c.account.calls)
			}
		})
	}
}

func describe(n *corev1.Node) string {
	if n == nil {
		return "nothing"
	}
	var taints []string
	for _, taint := range n.Spec.Taints {
		taints = append(taints, taint.ToString())
	}
	slices.Sort(taints)
	for i, s := range taints {
		if !strings.Contains(s, "=") { // a taint without a value has no equals sign
			taints[i] = strings.Replace(s, ":", "=:", 1)
		}
	}
	a := n.Status.Allocatable
	gpus := a[gpu]
	s := fmt.Sprintf("%s %s %s %s cpu %s memory %s pods %s gpu %s taints %v", n.Labels[corev1.LabelInstanceTypeStable], n.Labels[corev1.LabelArchStable],
		n.Labels[corev1.LabelTopologyZone], n.Labels[corev1.LabelTopologyRegion], a.Cpu(), a.Memory(), a.Pods(), gpus.String(), taints)
	for _, l := range []string{"team", "tier", "eks.amazonaws.com/nodegroup", "eks.amazonaws.com/capacityType"} {
		if v, ok := n.Labels[l]; ok {
			s += " " + l + "=" + v
		}
	}
	return s
}

func TestSpecs(t *testing.T) {
	for text, want := range map[string]string{
		"3:5:eks-work":  "{eks-work 3 5} <nil>",
		"0:0:a:b":       "{a:b 0 0} <nil>",
		"eks-work":      "{ 0 0} wrong nodes configuration: eks-work",
		"x:5:eks-work":  "{ 0 0} failed to set min size: x, expected integer",
		"1:x:eks-work":  "{ 0 0} failed to set max size: x, expected integer",
		"-1:5:eks-work": "{ 0 0} invalid node group spec: min size must be >= 0",
		"5:3:eks-work":  "{ 0 0} invalid node group spec: max size must be greater or equal to min size",
		"1:3:":          "{ 0 0} invalid node group spec: name must not be blank",
	} {
		s, err := ParseSpec(text)
		if got := fmt.Sprint(s, " ", err); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"asg:tag=k8s.io/cluster-autoscaler/enabled,k8s.io/cluster-autoscaler/c=owned": "map[k8s.io/cluster-autoscaler/c:owned k8s.io/cluster-autoscaler/enabled:] <nil>",
		"asg":        "map[] invalid node group auto discovery spec specified via --node-group-auto-discovery: asg",
		"mig:tag=a":  "map[] unsupported discoverer specified: mig",
		"asg:tag":    "map[] invalid key=value pair [tag]",
		"asg:name=a": `map[] unsupported parameter key "name" is specified for discoverer "asg". The only supported key is "tag"`,
		"asg:tag=":   "map[] tag value not supplied",
	} {
		tags, err := ParseDiscovery(text)
		if got := fmt.Sprint(tags, " ", err); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"3:5:eks-work", "asg:tag=a,b=c", "::", "1:2:x:y", "99999999999999999999:1:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSpec(text); err == nil && (s.Min < 0 || s.Max < s.Min || s.Name == "") {
			t.Errorf("%q is %+v", text, s)
		}
		if tags, err := ParseDiscovery(text); err == nil && len(tags) == 0 {
			t.Errorf("%q finds nothing", text)
		}
	})
}

func FuzzParsePriorities(f *testing.F) {
	for _, s := range []string{"10:\n- .*\n", "10: [\"a\", \"(\"]", "a: b", "", "10:", "- x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := ParsePriorities(text); err == nil && p == nil {
			t.Errorf("%q is nothing, and no error", text)
		}
	})
}
