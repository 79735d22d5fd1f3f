package elbv2_test

import (
	"fmt"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/loadbalancer/loadbalancertest"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

func (f *fixture) targets(group string) string {
	f.Helper()
	g, err := f.service.TargetGroup(f.Context(), group)
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprint(g.Targets)
}

func TestTargets(t *testing.T) {
	f := newFixture(t)
	web := f.createGroup("web")
	deregister := func(texts ...string) error {
		_, err := f.DeregisterTargets(t.Context(), &sdk.DeregisterTargetsInput{TargetGroupArn: &web, Targets: targets(texts...)})
		return err
	}
	f.ok("register", f.register(web, "i-2", "i-1:9090", "i-1", "i-2:8080"))
	f.ok("again", f.register(web, "i-1", "i-3:7"))
	same(t, "registered", f.targets(web), "[{i-2 8080} {i-1 9090} {i-1 8080} {i-3 7}]")
	for _, tt := range []struct {
		targets       []types.TargetDescription
		code, message string
	}{
		{targets("i-1:80", "10.0.0.1"), "ValidationError", "Instance ID '10.0.0.1' is not valid"},
		{targets("i-1:80", "i-8", "i-9"), "InvalidTarget", "The following instances do not exist: 'i-8', 'i-9'"},
		{targets("i-1:80", "i-e"), "InvalidTarget", "The following targets are not in the target group VPC 'vpc-1': 'i-e'"},
		{targets("i-1:80", "i-4", "i-5:80", "i-5"), "InvalidTarget", "The following targets are not in a running state and cannot be registered: 'i-4', 'i-5'"},
		{targets("i-1:0"), "ValidationError", "1 validation error detected: Value '0' at 'targets.1.member.port' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{[]types.TargetDescription{{Id: new("i-1"), AvailabilityZone: new("all")}}, "ValidationError", "You cannot specify an Availability Zone for targets of type instance"},
		{[]types.TargetDescription{}, "ValidationError", "A target must be specified"},
	} {
		_, err := f.RegisterTargets(t.Context(), &sdk.RegisterTargetsInput{TargetGroupArn: &web, Targets: tt.targets})
		f.fails("register", err, tt.code, tt.message)
	}
	f.fails("no group", f.register(web+"0", "i-1"), "TargetGroupNotFound", "Target groups '"+web+"0' not found")
	same(t, "after all that", f.targets(web), "[{i-2 8080} {i-1 9090} {i-1 8080} {i-3 7}]")

	f.ok("deregister one port, and what is not there", deregister("i-1:9090", "i-3:8", "i-9"))
	same(t, "left", f.targets(web), "[{i-2 8080} {i-1 8080} {i-3 7}]")
	f.world.Machines = nil // they are terminated
	f.ok("deregister at the group's port", deregister("i-3", "i-2"))
	same(t, "another port stays", f.targets(web), "[{i-1 8080} {i-3 7}]")
	f.ok("deregister the other", deregister("i-3:7"))
	same(t, "left at last", f.targets(web), "[{i-1 8080}]")
	f.fails("no id", deregister("x"), "ValidationError", "Instance ID 'x' is not valid")

	for n := range 1001 {
		f.world.Machines = append(f.world.Machines, loadbalancertest.Instance(fmt.Sprintf("i-%x", 0x1000+n), "vpc-1", "a", "running"))
	}
	var many []string
	for _, i := range f.world.Machines {
		many = append(many, i.ID)
	}
	f.fails("too many", f.register(web, many[:1000]...), "TooManyTargets", "The maximum number of targets has been reached")
	f.ok("as many as may be", f.register(web, many[:999]...))
}

// healths are targets' health, a line for each.
func (f *fixture) healths(group string, texts ...string) (string, error) {
	out, err := f.DescribeTargetHealth(f.Context(), &sdk.DescribeTargetHealthInput{TargetGroupArn: &group, Targets: targets(texts...)})
	if err != nil {
		return "", err
	}
	var lines string
	for _, d := range out.TargetHealthDescriptions {
		h := d.TargetHealth
		lines += fmt.Sprintf("%s:%d check %s: %s %s", *d.Target.Id, *d.Target.Port, *d.HealthCheckPort, h.State, h.Reason)
		if h.Description != nil {
			lines += " " + *h.Description
		}
		lines += "\n"
	}
	return lines, nil
}

func TestTargetHealth(t *testing.T) {
	f := newFixture(t)
	lb, web := f.create("web"), f.createGroup("web")
	f.world.Machines[3].State = "running" // i-4
	f.ok("register", f.register(web, "i-1", "i-2", "i-3", "i-4", "i-1:9090"))
	f.world.Machines[3].State = "stopped"
	check := func(what, want string, texts ...string) {
		t.Helper()
		got, err := f.healths(web, texts...)
		f.ok(what, err)
		same(t, what, got, want)
	}
	check("unused", `i-2:8080 check 8080: unused Target.NotInUse Target group is not configured to receive traffic from the load balancer
i-5:8080 check 8080: unused Target.NotRegistered Target is not registered to the target group
i-2:9 check 9: unused Target.NotRegistered Target is not registered to the target group
`, "i-2", "i-5", "i-2:9", "i-2:8080")
	_, err := f.listen(lb, 80, web)
	f.ok("listen", err)
	f.world.health = []elbv2.TargetHealth{
		{Target: elbv2.Target{ID: "i-9", Port: 8080}, State: "draining", Reason: "Target.DeregistrationInProgress", Description: "Target deregistration is in progress"},
		{Target: elbv2.Target{ID: "i-1", Port: 9090}, State: "unhealthy", Reason: "Target.Timeout", Description: "Request timed out"},
		{Target: elbv2.Target{ID: "i-1", Port: 8080}, State: "healthy"},
		{Target: elbv2.Target{ID: "i-4", Port: 8080}, State: "healthy"},
	}
	check("all", `i-1:8080 check 8080: healthy 
i-2:8080 check 8080: initial Elb.RegistrationInProgress Target registration is in progress
i-3:8080 check 8080: unused Target.NotInUse Target is in an Availability Zone that is not enabled for the load balancer
i-4:8080 check 8080: unused Target.InvalidState Target is in the stopped state
i-1:9090 check 9090: unhealthy Target.Timeout Request timed out
i-9:8080 check 8080: draining Target.DeregistrationInProgress Target deregistration is in progress
`)
	_, err = f.ModifyTargetGroup(t.Context(), &sdk.ModifyTargetGroupInput{TargetGroupArn: &web, HealthCheckPort: new("15021")})
	f.ok("check port", err)
	check("every port of an instance", `i-1:8080 check 15021: healthy 
i-1:9090 check 15021: unhealthy Target.Timeout Request timed out
i-9:8080 check 15021: draining Target.DeregistrationInProgress Target deregistration is in progress
`, "i-1", "i-9")
	f.world.Machines = []loadbalancer.Instance{loadbalancertest.Instance("i-1", "vpc-1", "a", "running")}
	check("terminated", "i-2:8080 check 15021: unused Target.InvalidState Target is in the terminated state\n", "i-2")
	_, err = f.healths(web, "i-1", "i-7", "i-9:9")
	f.fails("no instances", err, "InvalidTarget", "The following instances do not exist: 'i-7', 'i-9'")
	_, err = f.healths(web, "web")
	f.fails("no id", err, "ValidationError", "Instance ID 'web' is not valid")
	_, err = f.healths(web + "0")
	f.fails("no group", err, "TargetGroupNotFound", "Target groups '"+web+"0' not found")
	_, err = f.DescribeTargetHealth(t.Context(), &sdk.DescribeTargetHealthInput{TargetGroupArn: &web, Include: []types.DescribeTargetHealthInputIncludeEnum{"AnomalyDetection"}})
	f.fails("anomalies", err, "NotImplemented", "Tarn does not implement Include AnomalyDetection: anomalies are found with load_balancing.algorithm.type weighted_random alone.")
}
