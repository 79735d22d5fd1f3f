package elbv2_test

import (
	"fmt"
	"strings"
	"testing"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	lb, web := f.create("web"), f.createGroup("web")
	listener, err := f.listen(lb, 80, web)
	f.ok("listen", err)
	_, err = f.service.AddTags(t.Context(), &elbv2api.AddTagsInput{ResourceArns: []string{lb}, Tags: []elbv2api.Tag{{Key: new("Stage"), Value: new("prod")}}})
	f.ok("tag", err)
	const elb = "elasticloadbalancing:"
	type keys = map[string][]string
	request := func(action, arn string, context keys) policy.Request {
		return policy.Request{Action: elb + action, Resources: []string{arn}, ResourceAccount: account, Context: context}
	}
	with := func(k keys, more ...string) keys {
		all := keys{}
		for key, v := range k {
			all[key] = v
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = []string{more[i+1]}
		}
		return all
	}
	tagged := keys{"aws:resourcetag/stage": {"prod"}, elb + "resourcetag/stage": {"prod"}}
	tags := []elbv2api.Tag{{Key: new("K"), Value: new("v")}}
	asked := keys{"aws:requesttag/k": {"v"}, "aws:tagkeys": {"K"}}
	placed := with(asked, elb+"subnet", "subnet-a", elb+"securitygroup", "sg-1", elb+"scheme", "internet-facing")
	secured := with(asked, elb+"listenerprotocol", "HTTPS", elb+"securitypolicy", "ELBSecurityPolicy-2016-08")
	for _, tt := range []struct {
		operation string
		input     any
		want      []policy.Request
	}{
		{"DescribeTargetHealth", &elbv2api.DescribeTargetHealthInput{TargetGroupArn: &web}, []policy.Request{request("DescribeTargetHealth", "*", nil)}},
		{"DeleteLoadBalancer", &elbv2api.DeleteLoadBalancerInput{LoadBalancerArn: &lb}, []policy.Request{request("DeleteLoadBalancer", lb, tagged)}},
		{"DeleteLoadBalancer", &elbv2api.DeleteLoadBalancerInput{LoadBalancerArn: new(lb + "0")}, []policy.Request{request("DeleteLoadBalancer", lb+"0", keys{})}},
		{"CreateLoadBalancer", &elbv2api.CreateLoadBalancerInput{Name: new("new"), Subnets: []string{"subnet-a"}, SecurityGroups: []string{"sg-1"}, Tags: tags}, []policy.Request{
			request("CreateLoadBalancer", base+"loadbalancer/app/new/*", placed),
			request("AddTags", base+"loadbalancer/app/new/*", with(placed, elb+"createaction", "CreateLoadBalancer")),
		}},
		{"CreateTargetGroup", &elbv2api.CreateTargetGroupInput{Name: new("new"), Tags: tags}, []policy.Request{
			request("CreateTargetGroup", base+"targetgroup/new/*", asked),
			request("AddTags", base+"targetgroup/new/*", with(asked, elb+"createaction", "CreateTargetGroup")),
		}},
		{"CreateListener", &elbv2api.CreateListenerInput{LoadBalancerArn: &lb, Protocol: "HTTPS", SslPolicy: new("ELBSecurityPolicy-2016-08"), Tags: tags}, []policy.Request{
			request("CreateListener", lb, with(secured, "aws:resourcetag/stage", "prod", elb+"resourcetag/stage", "prod")),
			request("AddTags", strings.Replace(lb, ":loadbalancer/", ":listener/", 1)+"/*", with(secured, elb+"createaction", "CreateListener")),
		}},
		{"ModifyListener", &elbv2api.ModifyListenerInput{ListenerArn: &listener, Protocol: "HTTP"}, []policy.Request{
			request("ModifyListener", listener, keys{elb + "listenerprotocol": {"HTTP"}})}},
		{"RegisterTargets", &elbv2api.RegisterTargetsInput{TargetGroupArn: &web}, []policy.Request{request("RegisterTargets", web, keys{})}},
		{"SetSubnets", &elbv2api.SetSubnetsInput{LoadBalancerArn: new("x"), SubnetMappings: []elbv2api.SubnetMapping{{SubnetId: new("subnet-a")}}},
			[]policy.Request{request("SetSubnets", "x", keys{elb + "subnet": {"subnet-a"}})}},
		{"RemoveTags", &elbv2api.RemoveTagsInput{ResourceArns: []string{lb, web}, TagKeys: []string{"Stage"}}, []policy.Request{
			request("RemoveTags", lb, with(tagged, "aws:tagkeys", "Stage")), request("RemoveTags", web, keys{"aws:tagkeys": {"Stage"}})}},
	} {
		got, err := f.service.Authorization(t.Context(), tt.operation, tt.input)
		f.ok(tt.operation, err)
		same(t, tt.operation, got, tt.want)
	}
}

// Every operation of the API says what it needs.
func TestAuthorizationOfAll(t *testing.T) {
	f := newFixture(t)
	for _, op := range elbv2api.Service.Operations {
		requests, err := f.service.Authorization(t.Context(), op.Name, newInput(op.Input))
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
