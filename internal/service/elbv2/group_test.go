package elbv2_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
)

// groupText is what there is to know of a target group, on a line.
func groupText(g types.TargetGroup) string {
	return fmt.Sprint(*g.TargetGroupName, " ", g.Protocol, " ", *g.ProtocolVersion, " ", *g.Port, " ", *g.VpcId, " ", g.TargetType, " ", g.IpAddressType, " check ",
		g.HealthCheckProtocol, " ", *g.HealthCheckPort, " ", *g.HealthCheckPath, " ", *g.Matcher.HttpCode, " ", *g.HealthCheckEnabled, " ",
		*g.HealthCheckIntervalSeconds, " ", *g.HealthCheckTimeoutSeconds, " ", *g.HealthyThresholdCount, " ", *g.UnhealthyThresholdCount)
}

func TestTargetGroups(t *testing.T) {
	f := newFixture(t)
	web := f.createGroup("web")
	same(t, "again", f.createGroup("web"), web)
	describe := func(in sdk.DescribeTargetGroupsInput) ([]types.TargetGroup, error) {
		out, err := f.DescribeTargetGroups(t.Context(), &in)
		if err != nil {
			return nil, err
		}
		return out.TargetGroups, nil
	}
	text := func() string {
		t.Helper()
		all, err := describe(sdk.DescribeTargetGroupsInput{TargetGroupArns: []string{web}})
		if err != nil {
			t.Fatal(err)
		}
		return groupText(all[0])
	}
	same(t, "defaults", text(), "web HTTP HTTP1 8080 vpc-1 instance ipv4 check HTTP traffic-port / 200 true 30 5 5 2")
	modify := func(in sdk.ModifyTargetGroupInput) error {
		in.TargetGroupArn = &web
		_, err := f.ModifyTargetGroup(t.Context(), &in)
		return err
	}
	f.ok("modify", modify(sdk.ModifyTargetGroupInput{HealthCheckPort: new("9090"), HealthCheckPath: new("/healthz?a=b"), Matcher: &types.Matcher{HttpCode: new("200-299,401")}, HealthCheckProtocol: "HTTPS"}))
	f.ok("modify the rest", modify(sdk.ModifyTargetGroupInput{HealthCheckIntervalSeconds: new(int32(5)), HealthCheckTimeoutSeconds: new(int32(4)), HealthyThresholdCount: new(int32(2)), UnhealthyThresholdCount: new(int32(10)), HealthCheckEnabled: new(true)}))
	same(t, "modified", text(), "web HTTP HTTP1 8080 vpc-1 instance ipv4 check HTTPS 9090 /healthz?a=b 200-299,401 true 5 4 2 10")
	f.fails("timeout", modify(sdk.ModifyTargetGroupInput{HealthCheckTimeoutSeconds: new(int32(5))}), "ValidationError", "Health check interval must be greater than the timeout.")
	f.ok("back", modify(sdk.ModifyTargetGroupInput{HealthCheckPort: new("traffic-port")}))
	same(t, "back", text(), "web HTTP HTTP1 8080 vpc-1 instance ipv4 check HTTPS traffic-port /healthz?a=b 200-299,401 true 5 4 2 10")

	lb, api := f.create("web"), f.createGroup("api")
	listener, err := f.listen(lb, 80, web)
	f.ok("listen", err)
	all, err := describe(sdk.DescribeTargetGroupsInput{LoadBalancerArn: &lb})
	f.ok("of the load balancer", err)
	same(t, "of the load balancer", fmt.Sprint(len(all), *all[0].TargetGroupName, all[0].LoadBalancerArns), fmt.Sprint(1, "web", []string{lb}))
	all, err = describe(sdk.DescribeTargetGroupsInput{Names: []string{"web", "api"}})
	f.ok("by name", err)
	same(t, "by name", fmt.Sprint(*all[0].TargetGroupArn, len(all[0].LoadBalancerArns), *all[1].TargetGroupArn), fmt.Sprint(api, 0, web))
	var names []string
	for p := sdk.NewDescribeTargetGroupsPaginator(f.Client, &sdk.DescribeTargetGroupsInput{PageSize: new(int32(1))}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, *out.TargetGroups[0].TargetGroupName)
	}
	same(t, "pages", names, []string{"api", "web"})
	for _, tt := range []struct {
		in            sdk.DescribeTargetGroupsInput
		code, message string
	}{
		{sdk.DescribeTargetGroupsInput{Names: []string{"web", "z"}}, "TargetGroupNotFound", "One or more target groups not found"},
		{sdk.DescribeTargetGroupsInput{TargetGroupArns: []string{web + "0"}}, "TargetGroupNotFound", "One or more target groups not found"},
		{sdk.DescribeTargetGroupsInput{TargetGroupArns: []string{lb}}, "ValidationError", "'" + lb + "' is not a valid target group ARN"},
		{sdk.DescribeTargetGroupsInput{Names: []string{"a b"}}, "ValidationError", "Target group name 'a b' can only contain characters that are alphanumeric characters or hyphens(-)"},
		{sdk.DescribeTargetGroupsInput{Names: []string{"web"}, TargetGroupArns: []string{web}}, "ValidationError", "Target group names and target group ARNs cannot be specified at the same time"},
		{sdk.DescribeTargetGroupsInput{Names: []string{"web"}, LoadBalancerArn: &lb}, "ValidationError", "A load balancer ARN cannot be specified with target group names or target group ARNs at the same time"},
		{sdk.DescribeTargetGroupsInput{LoadBalancerArn: new(lb + "0")}, "LoadBalancerNotFound", "Load balancer '" + lb + "0' not found"},
	} {
		_, err := describe(tt.in)
		f.fails("describe", err, tt.code, tt.message)
	}

	remove := func() error {
		_, err := f.DeleteTargetGroup(t.Context(), &sdk.DeleteTargetGroupInput{TargetGroupArn: &web})
		return err
	}
	f.fails("in use", remove(), "ResourceInUse", "Target group '"+web+"' is currently in use by a listener or a rule")
	_, err = f.DeleteListener(t.Context(), &sdk.DeleteListenerInput{ListenerArn: &listener})
	f.ok("delete the listener", err)
	f.ok("delete", remove())
	f.ok("delete again", remove())
	f.fails("gone", modify(sdk.ModifyTargetGroupInput{}), "TargetGroupNotFound", "Target groups '"+web+"' not found")
	if f.createGroup("web") == web {
		t.Error("a later target group with the name has the same ARN")
	}
	f.ok("delete the one of before", remove())
	_, err = describe(sdk.DescribeTargetGroupsInput{Names: []string{"web"}})
	f.ok("the later one", err)
}

func TestCreateTargetGroupFails(t *testing.T) {
	f := newFixture(t)
	f.createGroup("here")
	const notImplemented = "NotImplemented"
	matcher := "Health check matcher HTTP code '%s' must be values such as '200,202' or a range such as '200-299', within '200-499'"
	range1 := "1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value %s than or equal to %d"
	for _, tt := range []struct {
		name, code, message string
		change              func(*sdk.CreateTargetGroupInput)
	}{
		{"long name", "ValidationError", "Target group name '" + strings.Repeat("x", 33) + "' cannot be longer than '32' characters",
			func(in *sdk.CreateTargetGroupInput) { in.Name = new(strings.Repeat("x", 33)) }},
		{"hyphen", "ValidationError", "Target group name '-a' cannot begin or end with '-'", func(in *sdk.CreateTargetGroupInput) { in.Name = new("-a") }},
		{"no protocol", "ValidationError", "A protocol must be specified", func(in *sdk.CreateTargetGroupInput) { in.Protocol = "" }},
		{"no port", "ValidationError", "A port must be specified", func(in *sdk.CreateTargetGroupInput) { in.Port = nil }},
		{"no VPC", "ValidationError", "A VPC ID must be specified", func(in *sdk.CreateTargetGroupInput) { in.VpcId = nil }},
		{"no such VPC", "ValidationError", "The VPC ID 'vpc-9' is not found", func(in *sdk.CreateTargetGroupInput) { in.VpcId = new("vpc-9") }},
		{"port", "ValidationError", fmt.Sprintf(range1, 0, "port", "greater", 1), func(in *sdk.CreateTargetGroupInput) { in.Port = new(int32(0)) }},
		{"ip", notImplemented, "Tarn does not implement target groups with TargetType ip: use instance.", func(in *sdk.CreateTargetGroupInput) { in.TargetType = "ip" }},
		{"lambda", notImplemented, "Tarn does not implement target groups with TargetType lambda: use instance.", func(in *sdk.CreateTargetGroupInput) { in.TargetType = "lambda" }},
		{"alb", notImplemented, "Tarn does not implement target groups with TargetType alb: use instance.", func(in *sdk.CreateTargetGroupInput) { in.TargetType = "alb" }},
		{"TCP", notImplemented, "Tarn does not implement target groups with protocol TCP: use HTTP or HTTPS.", func(in *sdk.CreateTargetGroupInput) { in.Protocol = "TCP" }},
		{"FTP", "ValidationError", "1 validation error detected: Value 'FTP' at 'protocol' failed to satisfy constraint: Member must satisfy enum value set: [HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP, GENEVE]",
			func(in *sdk.CreateTargetGroupInput) { in.Protocol = "FTP" }},
		{"GRPC", notImplemented, "Tarn does not implement target groups with ProtocolVersion GRPC: use HTTP1.", func(in *sdk.CreateTargetGroupInput) { in.ProtocolVersion = new("GRPC") }},
		{"ipv6", notImplemented, "Tarn does not implement target groups with IpAddressType ipv6: use ipv4.", func(in *sdk.CreateTargetGroupInput) { in.IpAddressType = "ipv6" }},
		{"no check", "ValidationError", "Health check enabled must be true for target groups with target type 'instance'", func(in *sdk.CreateTargetGroupInput) { in.HealthCheckEnabled = new(false) }},
		{"check of TCP", "InvalidConfigurationRequest", "Health check protocol 'TCP' is not supported for target groups with protocol HTTP or HTTPS", func(in *sdk.CreateTargetGroupInput) { in.HealthCheckProtocol = "TCP" }},
		{"check port", "ValidationError", "Health check port '0' must be either 'traffic-port' or in the range 1-65535", func(in *sdk.CreateTargetGroupInput) { in.HealthCheckPort = new("0") }},
		{"path", "ValidationError", "Health check path 'healthz' must begin with a '/' character", func(in *sdk.CreateTargetGroupInput) { in.HealthCheckPath = new("healthz") }},
		{"long path", "ValidationError", "Health check path '/" + strings.Repeat("x", 1024) + "' must be between 1 and 1024 characters long",
			func(in *sdk.CreateTargetGroupInput) { in.HealthCheckPath = new("/" + strings.Repeat("x", 1024)) }},
		{"odd path", "ValidationError", "Health check path '/ HTTP/1.1' must be of printable ASCII characters without spaces", func(in *sdk.CreateTargetGroupInput) { in.HealthCheckPath = new("/ HTTP/1.1") }},
		{"no code", "ValidationError", "Health check matcher HTTP code cannot be empty", func(in *sdk.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: new("")} }},
		{"code", "ValidationError", fmt.Sprintf(matcher, "200-500"), func(in *sdk.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: new("200-500")} }},
		{"codes", "ValidationError", fmt.Sprintf(matcher, "200, 202"), func(in *sdk.CreateTargetGroupInput) { in.Matcher = &types.Matcher{HttpCode: new("200, 202")} }},
		{"code of GRPC", notImplemented, "Tarn does not implement Matcher.GrpcCode, which is for ProtocolVersion GRPC: use HttpCode.",
			func(in *sdk.CreateTargetGroupInput) { in.Matcher = &types.Matcher{GrpcCode: new("0")} }},
		{"interval", "ValidationError", fmt.Sprintf(range1, 301, "healthCheckIntervalSeconds", "less", 300), func(in *sdk.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = new(int32(301)) }},
		{"timeout", "ValidationError", fmt.Sprintf(range1, 1, "healthCheckTimeoutSeconds", "greater", 2), func(in *sdk.CreateTargetGroupInput) { in.HealthCheckTimeoutSeconds = new(int32(1)) }},
		{"healthy", "ValidationError", fmt.Sprintf(range1, 11, "healthyThresholdCount", "less", 10), func(in *sdk.CreateTargetGroupInput) { in.HealthyThresholdCount = new(int32(11)) }},
		{"unhealthy", "ValidationError", fmt.Sprintf(range1, 1, "unhealthyThresholdCount", "greater", 2), func(in *sdk.CreateTargetGroupInput) { in.UnhealthyThresholdCount = new(int32(1)) }},
		{"short interval", "ValidationError", "Health check interval must be greater than the timeout.", func(in *sdk.CreateTargetGroupInput) { in.HealthCheckIntervalSeconds = new(int32(5)) }},
		{"tag twice", "DuplicateTagKeys", "Tag key was specified more than once: k", func(in *sdk.CreateTargetGroupInput) { in.Tags = []types.Tag{{Key: new("k")}, {Key: new("k")}} }},
		{"there otherwise", "DuplicateTargetGroupName", "A target group with the same name 'here' exists, but with different settings",
			func(in *sdk.CreateTargetGroupInput) { in.Name, in.HealthCheckPath = new("here"), new("/healthz") }},
	} {
		in := &sdk.CreateTargetGroupInput{Name: new("new"), Protocol: "HTTP", Port: new(int32(8080)), VpcId: new("vpc-1")}
		tt.change(in)
		_, err := f.CreateTargetGroup(t.Context(), in)
		f.fails(tt.name, err, tt.code, tt.message)
	}
}

func TestTargetGroupAttributes(t *testing.T) {
	f := newFixture(t)
	arn := f.createGroup("web")
	const all = `deregistration_delay.timeout_seconds=300
load_balancing.algorithm.anomaly_mitigation=off
load_balancing.algorithm.type=round_robin
load_balancing.cross_zone.enabled=use_load_balancer_configuration
slow_start.duration_seconds=0
stickiness.app_cookie.cookie_name=
stickiness.app_cookie.duration_seconds=86400
stickiness.enabled=false
stickiness.lb_cookie.duration_seconds=86400
stickiness.type=lb_cookie
target_group_health.dns_failover.minimum_healthy_targets.count=1
target_group_health.dns_failover.minimum_healthy_targets.percentage=off
target_group_health.unhealthy_state_routing.minimum_healthy_targets.count=1
target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage=off`
	described := func() string {
		out, err := f.DescribeTargetGroupAttributes(t.Context(), &sdk.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, a := range out.Attributes {
			lines = append(lines, *a.Key+"="+*a.Value)
		}
		return strings.Join(lines, "\n")
	}
	set := func(texts ...string) error {
		in := &sdk.ModifyTargetGroupAttributesInput{TargetGroupArn: &arn}
		for _, a := range attributes(texts) {
			in.Attributes = append(in.Attributes, types.TargetGroupAttribute(a))
		}
		_, err := f.ModifyTargetGroupAttributes(t.Context(), in)
		return err
	}
	same(t, "new", described(), all)
	f.ok("all as they are", set(strings.Split(all, "\n")...))
	for _, tt := range []struct{ text, code, message string }{
		{"x=y", "ValidationError", "Target group attribute key 'x' is not recognized"},
		{"deregistration_delay.timeout_seconds=3601", "ValidationError", "The value '3601' of the attribute 'deregistration_delay.timeout_seconds' must be a number from 0 to 3600"},
		{"slow_start.duration_seconds=29", "ValidationError", "The value '29' of the attribute 'slow_start.duration_seconds' must be 0 or a number from 30 to 900"},
		{"slow_start.duration_seconds=901", "ValidationError", "The value '901' of the attribute 'slow_start.duration_seconds' must be a number from 0 to 900"},
		{"load_balancing.algorithm.type=weighted_random", "NotImplemented", "Tarn does not implement load_balancing.algorithm.type weighted_random: use round_robin or least_outstanding_requests."},
		{"load_balancing.algorithm.type=random", "ValidationError", "The value 'random' of the attribute 'load_balancing.algorithm.type' must be round_robin, least_outstanding_requests or weighted_random"},
		{"stickiness.type=app_cookie", "NotImplemented", "Tarn does not implement stickiness.type app_cookie: use lb_cookie."},
		{"stickiness.type=source_ip", "ValidationError", "The value 'source_ip' of the attribute 'stickiness.type' must be lb_cookie or app_cookie"},
		{"stickiness.lb_cookie.duration_seconds=0", "ValidationError", "The value '0' of the attribute 'stickiness.lb_cookie.duration_seconds' must be a number from 1 to 604800"},
		{"load_balancing.cross_zone.enabled=false", "NotImplemented", "Tarn does not implement the attribute load_balancing.cross_zone.enabled with the value 'false': it is 'use_load_balancer_configuration'."},
	} {
		f.fails(tt.text, set("stickiness.enabled=true", tt.text), tt.code, tt.message)
	}
	same(t, "after all that", described(), all)
	f.ok("set", set("deregistration_delay.timeout_seconds=0", "slow_start.duration_seconds=30", "stickiness.enabled=true", "stickiness.lb_cookie.duration_seconds=604800"))
	f.fails("slow start", set("load_balancing.algorithm.type=least_outstanding_requests"), "InvalidConfigurationRequest",
		"You cannot enable both slow start and least outstanding requests algorithm on a target group")
	f.ok("no slow start", set("load_balancing.algorithm.type=least_outstanding_requests", "slow_start.duration_seconds=0"))
	want := strings.NewReplacer("delay.timeout_seconds=300", "delay.timeout_seconds=0", "round_robin", "least_outstanding_requests",
		"stickiness.enabled=false", "stickiness.enabled=true", "lb_cookie.duration_seconds=86400", "lb_cookie.duration_seconds=604800").Replace(all)
	same(t, "set", described(), want)
}

// What another service fails with is not taken for an answer of its.
func TestOthersFail(t *testing.T) {
	f := newFixture(t)
	lb, web := f.create("web"), f.createGroup("web")
	_, err := f.listen(lb, 80, web)
	f.ok("listen", err)
	f.world.Err = errors.New("the store is gone")
	list := []elbv2api.TargetDescription{{Id: new("i-1")}}
	_, create := f.service.CreateLoadBalancer(t.Context(), &elbv2api.CreateLoadBalancerInput{Name: new("new"), Subnets: []string{"subnet-a"}})
	_, subnets := f.service.SetSubnets(t.Context(), &elbv2api.SetSubnetsInput{LoadBalancerArn: &lb, Subnets: []string{"subnet-a"}})
	_, groups := f.service.SetSecurityGroups(t.Context(), &elbv2api.SetSecurityGroupsInput{LoadBalancerArn: &lb, SecurityGroups: []string{"sg-1"}})
	_, vpc := f.service.CreateTargetGroup(t.Context(), &elbv2api.CreateTargetGroupInput{Name: new("new"), Protocol: "HTTP", Port: new(int32(80)), VpcId: new("vpc-1")})
	_, register := f.service.RegisterTargets(t.Context(), &elbv2api.RegisterTargetsInput{TargetGroupArn: &web, Targets: list})
	_, health := f.service.DescribeTargetHealth(t.Context(), &elbv2api.DescribeTargetHealthInput{TargetGroupArn: &web, Targets: list})
	_, listener := f.service.CreateListener(t.Context(), &elbv2api.CreateListenerInput{
		LoadBalancerArn: &lb, Protocol: "HTTPS", Port: new(int32(443)), Certificates: []elbv2api.Certificate{{CertificateArn: new(issued)}},
		DefaultActions: []elbv2api.Action{{Type: "forward", TargetGroupArn: &web}},
	})
	for what, err := range map[string]error{"create": create, "subnets": subnets, "groups": groups, "vpc": vpc, "register": register, "health": health, "listener": listener} {
		if !errors.Is(err, f.world.Err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
