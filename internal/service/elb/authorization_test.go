package elb_test

import (
	"fmt"
	"testing"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	_, err := f.service.AddTags(t.Context(), &elbapi.AddTagsInput{LoadBalancerNames: []string{"web"}, Tags: []elbapi.Tag{{Key: new("Stage"), Value: new("prod")}}})
	f.ok("tag", err)
	arn := "arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:loadbalancer/"
	tagged := map[string][]string{"aws:resourcetag/stage": {"prod"}, "elasticloadbalancing:resourcetag/stage": {"prod"}}
	for _, tt := range []struct {
		operation string
		input     any
		want      []policy.Request
	}{
		{"DescribeLoadBalancers", &elbapi.DescribeLoadBalancersInput{LoadBalancerNames: []string{"web"}},
			[]policy.Request{{Action: "elasticloadbalancing:DescribeLoadBalancers", Resources: []string{"*"}}}},
		{"DeleteLoadBalancer", &elbapi.DeleteLoadBalancerInput{LoadBalancerName: new("web")},
			[]policy.Request{{Action: "elasticloadbalancing:DeleteLoadBalancer", Resources: []string{arn + "web"}, Context: tagged}}},
		{"DeleteLoadBalancer", &elbapi.DeleteLoadBalancerInput{LoadBalancerName: new("none")},
			[]policy.Request{{Action: "elasticloadbalancing:DeleteLoadBalancer", Resources: []string{arn + "none"}, Context: map[string][]string{}}}},
		{"CreateLoadBalancer", &elbapi.CreateLoadBalancerInput{LoadBalancerName: new("new"), Subnets: []string{"subnet-a"},
			Listeners: []elbapi.Listener{{Protocol: new("http")}, {Protocol: new("SSL")}}, Tags: []elbapi.Tag{{Key: new("K"), Value: new("v")}}},
			[]policy.Request{
				{Action: "elasticloadbalancing:CreateLoadBalancer", Resources: []string{arn + "new"}, Context: map[string][]string{
					"elasticloadbalancing:subnet": {"subnet-a"}, "elasticloadbalancing:listenerprotocol": {"HTTP", "SSL"}, "elasticloadbalancing:scheme": {"internet-facing"},
					"aws:requesttag/k": {"v"}, "aws:tagkeys": {"K"},
				}},
				{Action: "elasticloadbalancing:AddTags", Resources: []string{arn + "new"}, Context: map[string][]string{
					"elasticloadbalancing:subnet": {"subnet-a"}, "elasticloadbalancing:listenerprotocol": {"HTTP", "SSL"}, "elasticloadbalancing:scheme": {"internet-facing"},
					"aws:requesttag/k": {"v"}, "aws:tagkeys": {"K"}, "elasticloadbalancing:createaction": {"CreateLoadBalancer"},
				}},
			}},
		{"RemoveTags", &elbapi.RemoveTagsInput{LoadBalancerNames: []string{"web"}, Tags: []elbapi.TagKeyOnly{{Key: new("Stage")}}},
			[]policy.Request{{Action: "elasticloadbalancing:RemoveTags", Resources: []string{arn + "web"}, Context: map[string][]string{
				"aws:tagkeys": {"Stage"}, "aws:resourcetag/stage": {"prod"}, "elasticloadbalancing:resourcetag/stage": {"prod"}}}}},
		{"ApplySecurityGroupsToLoadBalancer", &elbapi.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: new("x"), SecurityGroups: []string{"sg-1"}},
			[]policy.Request{{Action: "elasticloadbalancing:ApplySecurityGroupsToLoadBalancer", Resources: []string{arn + "x"},
				Context: map[string][]string{"elasticloadbalancing:securitygroup": {"sg-1"}}}}},
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
	for _, op := range elbapi.Service.Operations {
		input := newInput(op.Input)
		requests, err := f.service.Authorization(t.Context(), op.Name, input)
		if err != nil {
			t.Errorf("%s: %v", op.Name, err)
		}
		for _, r := range requests {
			if r.Action != "elasticloadbalancing:"+op.Name || len(r.Resources) != 1 || r.Context == nil && r.Resources[0] != "*" {
				t.Errorf("%s: %s", op.Name, fmt.Sprintf("%+v", r))
			}
		}
	}
}
