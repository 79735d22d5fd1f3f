package elbv2_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func TestListeners(t *testing.T) {
	f := newFixture(t)
	lb, web, api := f.create("web"), f.createGroup("web"), f.createGroup("api")
	plain, err := f.listen(lb, 80, web)
	f.ok("listen", err)
	again, err := f.listen(lb, 80, web)
	f.ok("listen again", err)
	same(t, "again", again, plain)
	_, err = f.listen(lb, 80, api)
	f.fails("other group", err, "DuplicateListener", "A listener already exists on this port for this load balancer '"+lb+"'")
	secure, err := f.listen(lb, 443, web)
	f.ok("listen with TLS", err)
	same(t, "listeners", f.listeners(lb), "HTTP:80 web, HTTPS:443 "+issued+" ELBSecurityPolicy-2016-08 web")
	if !regexp.MustCompile(`^` + strings.Replace(lb, ":loadbalancer/", ":listener/", 1) + `/[0-9a-f]{16}$`).MatchString(plain) {
		t.Errorf("the ARN is %s", plain)
	}

	modify := func(in sdk.ModifyListenerInput) error {
		_, err := f.ModifyListener(t.Context(), &in)
		return err
	}
	f.fails("port that is taken", modify(sdk.ModifyListenerInput{ListenerArn: &plain, Port: new(int32(443))}),
		"DuplicateListener", "A listener already exists on this port for this load balancer '"+lb+"'")
	f.fails("TLS without certificate", modify(sdk.ModifyListenerInput{ListenerArn: &plain, Protocol: "HTTPS"}),
		"ValidationError", "A certificate must be specified for HTTPS listeners")
	f.ok("certificate, policy and group", modify(sdk.ModifyListenerInput{ListenerArn: &secure, Port: new(int32(8443)),
		Certificates: certificates(other), SslPolicy: new("ELBSecurityPolicy-TLS13-1-2-2021-06"), DefaultActions: forward(api)}))
	same(t, "changed", f.listeners(lb), "HTTP:80 web, HTTPS:8443 "+other+" ELBSecurityPolicy-TLS13-1-2-2021-06 api")
	f.ok("no TLS any more", modify(sdk.ModifyListenerInput{ListenerArn: &secure, Protocol: "HTTP"}))
	same(t, "changed again", f.listeners(lb), "HTTP:80 web, HTTP:8443 api")

	gone := sdk.DeleteListenerInput{ListenerArn: &secure}
	_, err = f.DeleteListener(t.Context(), &gone)
	f.ok("delete", err)
	_, err = f.DeleteListener(t.Context(), &gone)
	f.fails("delete again", err, "ListenerNotFound", "Listener '"+secure+"' not found")
	f.fails("modify", modify(sdk.ModifyListenerInput{ListenerArn: &secure}), "ListenerNotFound", "Listener '"+secure+"' not found")
	same(t, "left", f.listeners(lb), "HTTP:80 web")
	_, err = f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerArn: &lb})
	f.ok("delete the load balancer", err)
	f.fails("its listener", modify(sdk.ModifyListenerInput{ListenerArn: &plain}), "ListenerNotFound", "Listener '"+plain+"' not found")
}

func TestListenerFails(t *testing.T) {
	f := newFixture(t)
	lb, web, used := f.create("web"), f.createGroup("web"), f.createGroup("used")
	_, err := f.listen(f.create("first"), 80, used)
	f.ok("use", err)
	elsewhere, err := f.CreateTargetGroup(t.Context(), &sdk.CreateTargetGroupInput{Name: new("elsewhere"), Protocol: "HTTP", Port: new(int32(80)), VpcId: new("vpc-2")})
	if err != nil {
		t.Fatal(err)
	}
	missing, foreign := base+"targetgroup/none/0123456789abcdef", *elsewhere.TargetGroups[0].TargetGroupArn
	const notImplemented = "NotImplemented"
	tuple := func(arn string, weight int32) types.TargetGroupTuple {
		return types.TargetGroupTuple{TargetGroupArn: &arn, Weight: &weight}
	}
	forwardTo := func(c types.ForwardActionConfig) []types.Action {
		return []types.Action{{Type: "forward", ForwardConfig: &c}}
	}
	for _, tt := range []struct {
		name, code, message string
		change              func(*sdk.CreateListenerInput)
	}{
		{"no load balancer", "LoadBalancerNotFound", "Load balancer '" + base + "loadbalancer/app/none/0123456789abcdef' not found",
			func(in *sdk.CreateListenerInput) {
				in.LoadBalancerArn = new(base + "loadbalancer/app/none/0123456789abcdef")
			}},
		{"no protocol", "ValidationError", "A protocol must be specified", func(in *sdk.CreateListenerInput) { in.Protocol = "" }},
		{"no port", "ValidationError", "A port must be specified", func(in *sdk.CreateListenerInput) { in.Port = nil }},
		{"port", "ValidationError", "1 validation error detected: Value '65536' at 'port' failed to satisfy constraint: Member must have value less than or equal to 65535",
			func(in *sdk.CreateListenerInput) { in.Port = new(int32(65536)) }},
		{"protocol", "UnsupportedProtocol", "Protocol 'TCP' is not supported for Application Load Balancers: it must be HTTP or HTTPS",
			func(in *sdk.CreateListenerInput) { in.Protocol = "TCP" }},
		{"no certificate", "ValidationError", "A certificate must be specified for HTTPS listeners", func(in *sdk.CreateListenerInput) { in.Protocol = "HTTPS" }},
		{"pending certificate", "CertificateNotFound", "Certificate '" + pending + "' not found",
			func(in *sdk.CreateListenerInput) { in.Protocol, in.Certificates = "HTTPS", certificates(pending) }},
		{"two certificates", notImplemented, "Tarn does not implement more than one certificate of a listener: use one that has all the names.",
			func(in *sdk.CreateListenerInput) { in.Protocol, in.Certificates = "HTTPS", certificates(issued, other) }},
		{"certificate for HTTP", "ValidationError", "A certificate cannot be specified for HTTP listeners",
			func(in *sdk.CreateListenerInput) { in.Certificates = certificates(issued) }},
		{"policy for HTTP", "ValidationError", "An SSL policy cannot be specified for HTTP listeners",
			func(in *sdk.CreateListenerInput) { in.SslPolicy = new("ELBSecurityPolicy-2016-08") }},
		{"no policy", "SSLPolicyNotFound", "SSL policy 'strong' not found",
			func(in *sdk.CreateListenerInput) {
				in.Protocol, in.Certificates, in.SslPolicy = "HTTPS", certificates(issued), new("strong")
			}},
		{"ALPN", notImplemented, "Tarn does not implement AlpnPolicy, which is for TLS listeners of Network Load Balancers.",
			func(in *sdk.CreateListenerInput) { in.AlpnPolicy = []string{"HTTP2Only"} }},
		{"mutual", notImplemented, "Tarn does not implement MutualAuthentication with Mode verify: use off.",
			func(in *sdk.CreateListenerInput) {
				in.MutualAuthentication = &types.MutualAuthenticationAttributes{Mode: new("verify")}
			}},
		{"no action", "ValidationError", "A default action must be specified", func(in *sdk.CreateListenerInput) { in.DefaultActions = []types.Action{} }},
		{"redirect", notImplemented, "Tarn does not implement actions of type redirect: use forward.",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions = []types.Action{{Type: "redirect", RedirectConfig: &types.RedirectActionConfig{StatusCode: "HTTP_301"}}}
			}},
		{"authentication", notImplemented, "Tarn does not implement actions of type authenticate-oidc: use forward.",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions = append([]types.Action{{Type: "authenticate-oidc"}}, in.DefaultActions...)
			}},
		{"unknown action", "ValidationError", "1 validation error detected: Value 'drop' at 'defaultActions.1.member.type' failed to satisfy constraint: Member must satisfy enum value set: [forward, authenticate-oidc, authenticate-cognito, redirect, fixed-response]",
			func(in *sdk.CreateListenerInput) { in.DefaultActions[0].Type = "drop" }},
		{"two actions", "InvalidLoadBalancerAction", "Exactly one action of type forward must be specified, and 2 were",
			func(in *sdk.CreateListenerInput) { in.DefaultActions = append(in.DefaultActions, in.DefaultActions...) }},
		{"no group in it", "ValidationError", "A target group ARN must be specified for actions of type forward",
			func(in *sdk.CreateListenerInput) { in.DefaultActions[0].TargetGroupArn = nil }},
		{"several groups", notImplemented, "Tarn does not implement forward actions to 2 target groups: use one.",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions = forwardTo(types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{tuple(web, 1), tuple(used, 2)}})
			}},
		{"no weight", notImplemented, "Tarn does not implement forward actions to a target group with weight 0, which gets nothing: use another weight, or delete the listener.",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions = forwardTo(types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{tuple(web, 0)}})
			}},
		{"weight", "ValidationError", "1 validation error detected: Value '1000' at 'defaultActions.1.member.forwardConfig.targetGroups.1.member.weight' failed to satisfy constraint: Member must have value less than or equal to 999",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions = forwardTo(types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{tuple(web, 1000)}})
			}},
		{"sticky groups", notImplemented, "Tarn does not implement TargetGroupStickinessConfig of forward actions: use the target group's attribute stickiness.enabled.",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions = forwardTo(types.ForwardActionConfig{
					TargetGroups: []types.TargetGroupTuple{tuple(web, 1)}, TargetGroupStickinessConfig: &types.TargetGroupStickinessConfig{Enabled: new(true), DurationSeconds: new(int32(60))},
				})
			}},
		{"two opinions", "InvalidLoadBalancerAction", "TargetGroupArn and ForwardConfig must have the same target group if both are specified",
			func(in *sdk.CreateListenerInput) {
				in.DefaultActions[0].ForwardConfig = &types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{tuple(used, 1)}}
			}},
		{"no such group", "TargetGroupNotFound", "Target groups '" + missing + "' not found",
			func(in *sdk.CreateListenerInput) { in.DefaultActions = forward(missing) }},
		{"no ARN", "ValidationError", "'web' is not a valid target group ARN", func(in *sdk.CreateListenerInput) { in.DefaultActions = forward("web") }},
		{"other VPC", "InvalidConfigurationRequest", "Target group '" + foreign + "' is in a different VPC than load balancer '" + lb + "'",
			func(in *sdk.CreateListenerInput) { in.DefaultActions = forward(foreign) }},
		{"used", "TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: " + used,
			func(in *sdk.CreateListenerInput) { in.DefaultActions = forward(used) }},
	} {
		in := &sdk.CreateListenerInput{LoadBalancerArn: &lb, Protocol: "HTTP", Port: new(int32(80)), DefaultActions: forward(web)}
		tt.change(in)
		_, err := f.CreateListener(t.Context(), in)
		f.fails(tt.name, err, tt.code, tt.message)
	}
	same(t, "after all that", f.listeners(lb), "")
	_, err = f.CreateListener(t.Context(), &sdk.CreateListenerInput{LoadBalancerArn: &lb, Protocol: "HTTP", Port: new(int32(80)),
		DefaultActions:       forwardTo(types.ForwardActionConfig{TargetGroups: []types.TargetGroupTuple{tuple(web, 7)}, TargetGroupStickinessConfig: &types.TargetGroupStickinessConfig{Enabled: new(false)}}),
		MutualAuthentication: &types.MutualAuthenticationAttributes{Mode: new("off")},
	})
	f.ok("what is the same as TargetGroupArn", err)
	for port := range int32(49) {
		if _, err := f.listen(lb, 1000+port, web); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.listen(lb, 2000, web)
	f.fails("one too many", err, "TooManyListeners", "The maximum number of listeners has been reached")
}

func TestDescribeListeners(t *testing.T) {
	f := newFixture(t)
	lb, web := f.create("web"), f.createGroup("web")
	arns := map[int32]string{}
	for _, port := range []int32{8080, 443, 80} {
		arn, err := f.listen(lb, port, web)
		f.ok("listen", err)
		arns[port] = arn
	}
	var ports []int32
	for p := sdk.NewDescribeListenersPaginator(f.Client, &sdk.DescribeListenersInput{LoadBalancerArn: &lb, PageSize: new(int32(2))}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range out.Listeners {
			ports = append(ports, *l.Port)
		}
	}
	same(t, "pages", ports, []int32{80, 443, 8080})
	missing := strings.Replace(lb, ":loadbalancer/", ":listener/", 1) + "/0123456789abcdef"
	for _, tt := range []struct {
		in            sdk.DescribeListenersInput
		code, message string
	}{
		{sdk.DescribeListenersInput{}, "ValidationError", "You must specify either listener ARNs or a load balancer ARN"},
		{sdk.DescribeListenersInput{LoadBalancerArn: &lb, ListenerArns: []string{arns[80]}}, "ValidationError", "Listener ARNs and a load balancer ARN cannot be specified at the same time"},
		{sdk.DescribeListenersInput{ListenerArns: []string{arns[80], missing}}, "ListenerNotFound", "One or more listeners not found"},
		{sdk.DescribeListenersInput{ListenerArns: []string{lb}}, "ValidationError", "'" + lb + "' is not a valid listener ARN"},
	} {
		_, err := f.DescribeListeners(t.Context(), &tt.in)
		f.fails("describe", err, tt.code, tt.message)
	}

	out, err := f.DescribeRules(t.Context(), &sdk.DescribeRulesInput{ListenerArn: new(arns[443])})
	if err != nil {
		t.Fatal(err)
	}
	rule := out.Rules[0]
	same(t, "rule", fmt.Sprint(len(out.Rules), *rule.Priority, *rule.IsDefault, len(rule.Conditions), *rule.Actions[0].TargetGroupArn, *rule.Actions[0].ForwardConfig.TargetGroups[0].Weight),
		fmt.Sprint(1, "default", true, 0, web, 1))
	if !strings.HasPrefix(*rule.RuleArn, strings.Replace(arns[443], ":listener/", ":listener-rule/", 1)+"/") {
		t.Errorf("the rule is %s", *rule.RuleArn)
	}
	again, err := f.DescribeRules(t.Context(), &sdk.DescribeRulesInput{RuleArns: []string{*rule.RuleArn}})
	f.ok("by ARN", err)
	same(t, "by ARN", *again.Rules[0].RuleArn, *rule.RuleArn)
	for _, tt := range []struct {
		in            sdk.DescribeRulesInput
		code, message string
	}{
		{sdk.DescribeRulesInput{}, "ValidationError", "You must specify either listener rule ARNs or a listener ARN"},
		{sdk.DescribeRulesInput{ListenerArn: &missing, RuleArns: []string{"x"}}, "ValidationError", "Listener rule ARNs and a listener ARN cannot be specified at the same time"},
		{sdk.DescribeRulesInput{ListenerArn: &missing}, "ListenerNotFound", "One or more listeners not found"},
		{sdk.DescribeRulesInput{RuleArns: []string{*rule.RuleArn + "0"}}, "RuleNotFound", "One or more rules not found"},
		{sdk.DescribeRulesInput{RuleArns: []string{"x"}}, "ValidationError", "'x' is not a valid listener rule ARN"},
	} {
		_, err := f.DescribeRules(t.Context(), &tt.in)
		f.fails("describe rules", err, tt.code, tt.message)
	}
}

func TestNames(t *testing.T) {
	f := newFixture(t)
	lb, web := f.create("Web"), f.createGroup("web")
	_, err := f.listen(lb, 443, web)
	f.ok("listen", err)
	name := *f.describe(lb).DNSName
	for text, want := range map[string]bool{
		name: true, strings.ToUpper(name) + ".": true, "dualstack." + strings.ToLower(name): true,
		"x" + name: false, "a." + name: false, "www.example.com": false, "": false,
	} {
		found, ok, err := f.service.ByDNSName(t.Context(), text)
		if err != nil || ok != want || ok && found.Name != "Web" {
			t.Errorf("%q: %v %v %v", text, found.Name, ok, err)
		}
	}
	for certificate, want := range map[string][]string{issued: {lb}, other: nil} {
		users, err := f.service.InUse(t.Context(), certificate)
		f.ok("in use", err)
		same(t, "users", users, want)
	}
	found, ok, err := f.service.BalancerOf(t.Context(), web)
	if err != nil || !ok || f.service.ARN(found) != lb {
		t.Errorf("%+v, %v, %v", found, ok, err)
	}
	_, ok, err = f.service.BalancerOf(t.Context(), web+"0")
	if err != nil || ok {
		t.Errorf("%v, %v", ok, err)
	}
	g, err := f.service.TargetGroup(t.Context(), web)
	f.ok("target group", err)
	same(t, "ARN", f.service.TargetGroupARN(g), web)
	same(t, "label", base+g.Label(), web)
	_, err = f.service.TargetGroup(t.Context(), web+"0")
	if err == nil || err.Error() != "TargetGroupNotFound: Target groups '"+web+"0' not found" {
		t.Error(err)
	}
}

// A target group gets one load balancer, even if many want it at once, and is not
// deleted meanwhile.
func TestOneBalancer(t *testing.T) {
	f := newFixture(t)
	web := f.createGroup("web")
	var balancers []string
	for n := range 8 {
		balancers = append(balancers, f.create(fmt.Sprint("lb", n)))
	}
	var made sync.WaitGroup
	var mu sync.Mutex
	refusals := 0
	for _, lb := range balancers {
		made.Go(func() {
			if _, err := f.listen(lb, 80, web); err != nil {
				f.fails("one too many", err, "TargetGroupAssociationLimit", "The following target groups cannot be associated with more than one load balancer: "+web)
				mu.Lock()
				refusals++
				mu.Unlock()
			}
		})
	}
	made.Wait()
	same(t, "refusals", refusals, 7)
	_, err := f.DeleteTargetGroup(t.Context(), &sdk.DeleteTargetGroupInput{TargetGroupArn: &web})
	f.fails("delete", err, "ResourceInUse", "Target group '"+web+"' is currently in use by a listener or a rule")
}
