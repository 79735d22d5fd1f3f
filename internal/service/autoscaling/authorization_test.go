package autoscaling_test

import (
	"reflect"
	"strings"
	"testing"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	f.create("web", 0, 3, 1)
	f.join("web", "i-1", autoscaling.InService)
	_, err := f.service.CreateOrUpdateTags(t.Context(), &autoscalingapi.CreateOrUpdateTagsInput{Tags: []autoscalingapi.Tag{{ResourceId: new("web"), Key: new("Stage"), Value: new("prod")}}})
	f.ok("tag", err)
	web, scope := f.service.ARN(f.group("web")), "arn:aws:autoscaling:ap-northeast-2:111122223333:"
	tagged := map[string][]string{"aws:resourcetag/stage": {"prod"}, "autoscaling:resourcetag/stage": {"prod"}}
	launching := []policy.Request{
		{Action: "ec2:RunInstances", Resources: []string{"arn:aws:ec2:ap-northeast-2:111122223333:launch-template/lt-1"}, Context: map[string][]string{}},
		{Action: "iam:PassRole", Resources: []string{"arn:aws:iam::111122223333:role/node"}, Context: map[string][]string{"iam:passedtoservice": {"ec2.amazonaws.com"}}},
	}
	created := map[string][]string{
		"autoscaling:minsize": {"1"}, "autoscaling:maxsize": {"2"}, "autoscaling:vpczoneidentifiers": {"subnet-a", "subnet-b"}, "autoscaling:loadbalancernames": {"lb1"},
		"autoscaling:launchtemplateversionspecified": {"false"}, "aws:requesttag/k": {"v"}, "aws:tagkeys": {"K"},
	}
	for _, tt := range []struct {
		operation string
		input     any
		want      []policy.Request
	}{
		{"DescribeAutoScalingGroups", &autoscalingapi.DescribeAutoScalingGroupsInput{}, []policy.Request{{Action: "autoscaling:DescribeAutoScalingGroups", Resources: []string{"*"}}}},
		{"SetDesiredCapacity", &autoscalingapi.SetDesiredCapacityInput{AutoScalingGroupName: new("web")},
			[]policy.Request{{Action: "autoscaling:SetDesiredCapacity", Resources: []string{web}, Context: tagged}}},
		{"TerminateInstanceInAutoScalingGroup", &autoscalingapi.TerminateInstanceInAutoScalingGroupInput{InstanceId: new("i-1")},
			[]policy.Request{{Action: "autoscaling:TerminateInstanceInAutoScalingGroup", Resources: []string{web}, Context: tagged}}},
		{"TerminateInstanceInAutoScalingGroup", &autoscalingapi.TerminateInstanceInAutoScalingGroupInput{InstanceId: new("i-9")},
			[]policy.Request{{Action: "autoscaling:TerminateInstanceInAutoScalingGroup", Resources: []string{scope + "autoScalingGroup:*:autoScalingGroupName/*"}, Context: map[string][]string{}}}},
		{"ExecutePolicy", &autoscalingapi.ExecutePolicyInput{PolicyName: new(scope + "scalingPolicy:1:autoScalingGroupName/web:policyName/p")},
			[]policy.Request{{Action: "autoscaling:ExecutePolicy", Resources: []string{web}, Context: tagged}}},
		{"DeleteTags", &autoscalingapi.DeleteTagsInput{Tags: []autoscalingapi.Tag{{ResourceId: new("web"), Key: new("Stage")}}},
			[]policy.Request{{Action: "autoscaling:DeleteTags", Resources: []string{web}, Context: map[string][]string{
				"aws:resourcetag/stage": {"prod"}, "autoscaling:resourcetag/stage": {"prod"}, "aws:requesttag/stage": {""}, "aws:tagkeys": {"Stage"}}}}},
		{"CreateLaunchConfiguration", &autoscalingapi.CreateLaunchConfigurationInput{LaunchConfigurationName: new("lc"), InstanceType: new("t3.large"), IamInstanceProfile: new("node")},
			[]policy.Request{{Action: "autoscaling:CreateLaunchConfiguration", Resources: []string{scope + "launchConfiguration:*:launchConfigurationName/lc"},
				Context: map[string][]string{"autoscaling:launchconfigurationname": {"lc"}, "autoscaling:instancetype": {"t3.large"}}}, launching[1]}},
		{"CreateAutoScalingGroup", &autoscalingapi.CreateAutoScalingGroupInput{
			AutoScalingGroupName: new("new"), MinSize: new(int32(1)), MaxSize: new(int32(2)), VPCZoneIdentifier: new("subnet-a,subnet-b"), LoadBalancerNames: []string{"lb1"},
			LaunchTemplate: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateName: new("web")}, Tags: []autoscalingapi.Tag{{Key: new("K"), Value: new("v")}}},
			[]policy.Request{
				{Action: "autoscaling:CreateAutoScalingGroup", Resources: []string{scope + "autoScalingGroup:*:autoScalingGroupName/new"}, Context: created},
				{Action: "autoscaling:CreateOrUpdateTags", Resources: []string{scope + "autoScalingGroup:*:autoScalingGroupName/new"}, Context: created},
				launching[0], launching[1],
			}},
	} {
		got, err := f.service.Authorization(t.Context(), tt.operation, tt.input)
		f.ok(tt.operation, err)
		for i := range tt.want {
			tt.want[i].ResourceAccount = account
		}
		same(t, tt.operation, got, tt.want)
	}
}

// Every operation of the API says what it needs.
func TestAuthorizationOfAll(t *testing.T) {
	f := newFixture(t)
	for _, op := range autoscalingapi.Service.Operations {
		requests, err := f.service.Authorization(t.Context(), op.Name, reflect.New(op.Input).Interface())
		if err != nil || len(requests) == 0 && !strings.HasSuffix(op.Name, "Tags") {
			t.Errorf("%s: %v, %v", op.Name, requests, err)
		}
		for _, r := range requests {
			if r.Action != "autoscaling:"+op.Name || len(r.Resources) != 1 || r.Context == nil && r.Resources[0] != "*" {
				t.Errorf("%s: %+v", op.Name, r)
			}
		}
	}
}
