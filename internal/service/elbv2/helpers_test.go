package elbv2_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = "ap-northeast-2"
	base    = "arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:"
	issued  = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000001"
	other   = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000002"
	pending = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000003"
)

// fixture is the service over a region's network, and AWS's own client.
type fixture struct {
	*sdk.Client
	*testing.T
	service *elbv2.Service
	world   *world
}

// world is what the service asks of other services.
type world struct {
	subnets   []loadbalancer.Subnet
	gateways  []string
	groups    []loadbalancer.SecurityGroup
	instances []loadbalancer.Instance
	health    []elbv2.TargetHealth
	err       error // of all of them
}

func (w *world) VPC(_ context.Context, id string) (bool, error) {
	return id == "vpc-1" || id == "vpc-2", w.err
}

func (w *world) Subnets(_ context.Context, ids []string) ([]loadbalancer.Subnet, error) {
	return filtered(w.subnets, func(s loadbalancer.Subnet) bool { return slices.Contains(ids, s.ID) }), w.err
}

func (w *world) DefaultSubnets(context.Context) ([]loadbalancer.Subnet, error) { return nil, nil }

func (w *world) InternetGateway(_ context.Context, vpc string) (bool, error) {
	return slices.Contains(w.gateways, vpc), nil
}

func (w *world) SecurityGroups(_ context.Context, ids []string) ([]loadbalancer.SecurityGroup, error) {
	return filtered(w.groups, func(g loadbalancer.SecurityGroup) bool { return slices.Contains(ids, g.ID) }), w.err
}

func (w *world) DefaultGroup(_ context.Context, vpc string) (loadbalancer.SecurityGroup, error) {
	for _, g := range w.groups {
		if g.VPC == vpc && g.Name == "default" {
			return g, nil
		}
	}
	return loadbalancer.SecurityGroup{}, fmt.Errorf("%s has no default group", vpc)
}

func (w *world) Instances(_ context.Context, ids []string) ([]loadbalancer.Instance, error) {
	return filtered(w.instances, func(i loadbalancer.Instance) bool { return slices.Contains(ids, i.ID) }), w.err
}

func (w *world) Issued(_ context.Context, arn string) (bool, error) {
	return arn == issued || arn == other, w.err
}

func (w *world) TargetHealth(context.Context, elbv2.LoadBalancer, elbv2.TargetGroup) ([]elbv2.TargetHealth, error) {
	return w.health, w.err
}

func filtered[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !keep(v) })
}

func subnet(id, vpc, zone string, free int) loadbalancer.Subnet {
	return loadbalancer.Subnet{ID: id, VPC: vpc, Zone: region + zone, Free: free}
}

func group(id, vpc, name string) loadbalancer.SecurityGroup {
	return loadbalancer.SecurityGroup{ID: id, VPC: vpc, Name: name}
}

func instance(id, vpc, zone, state string) loadbalancer.Instance {
	return loadbalancer.Instance{ID: id, VPC: vpc, Zone: region + zone, State: state}
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, world: &world{
		subnets: []loadbalancer.Subnet{
			subnet("subnet-a", "vpc-1", "a", 200), subnet("subnet-b", "vpc-1", "b", 200), subnet("subnet-a2", "vpc-1", "a", 200),
			subnet("subnet-c", "vpc-1", "c", 8), subnet("subnet-full", "vpc-1", "c", 7),
			subnet("subnet-x", "vpc-2", "a", 200), subnet("subnet-y", "vpc-2", "b", 200),
		},
		gateways: []string{"vpc-1"},
		groups: []loadbalancer.SecurityGroup{
			group("sg-default", "vpc-1", "default"), group("sg-1", "vpc-1", "web"), group("sg-2", "vpc-1", "more"),
			group("sg-x", "vpc-2", "default"),
		},
		instances: []loadbalancer.Instance{
			instance("i-1", "vpc-1", "a", "running"), instance("i-2", "vpc-1", "b", "running"), instance("i-3", "vpc-1", "c", "running"),
			instance("i-4", "vpc-1", "a", "stopped"), instance("i-5", "vpc-1", "a", "pending"), instance("i-e", "vpc-2", "a", "running"),
		},
	}}
	f.service = elbv2.New(elbv2.Config{
		Client: storetest.Open(t).Client(), Account: account, Region: region,
		Network: f.world, Instances: f.world, Certificates: f.world, Health: f.world,
		Now: func() time.Time { return time.Date(2026, 11, 29, 1, 2, 3, 456_789_000, time.UTC) },
	})
	f.Client = sdk.NewFromConfig(wiretest.Serve(t, wire.Config{API: elbv2api.Service}, f.service, region))
	return f
}

// create makes a load balancer in two zones, and returns its ARN.
func (f *fixture) create(name string) string {
	f.Helper()
	out, err := f.CreateLoadBalancer(f.Context(), &sdk.CreateLoadBalancerInput{Name: &name, Subnets: []string{"subnet-a", "subnet-b"}})
	if err != nil {
		f.Fatal(err)
	}
	return *out.LoadBalancers[0].LoadBalancerArn
}

// createGroup makes a target group for HTTP at port 8080, and returns its ARN.
func (f *fixture) createGroup(name string) string {
	f.Helper()
	out, err := f.CreateTargetGroup(f.Context(), &sdk.CreateTargetGroupInput{
		Name: &name, Protocol: "HTTP", Port: new(int32(8080)), VpcId: new("vpc-1"),
	})
	if err != nil {
		f.Fatal(err)
	}
	return *out.TargetGroups[0].TargetGroupArn
}

// listen makes a listener that forwards to a target group, and returns its ARN. One
// at port 443 is for HTTPS.
func (f *fixture) listen(balancer string, port int32, group string) (string, error) {
	in := &sdk.CreateListenerInput{LoadBalancerArn: &balancer, Protocol: "HTTP", Port: &port, DefaultActions: forward(group)}
	if port == 443 {
		in.Protocol, in.Certificates = "HTTPS", certificates(issued)
	}
	out, err := f.CreateListener(f.Context(), in)
	if err != nil {
		return "", err
	}
	return *out.Listeners[0].ListenerArn, nil
}

func forward(group string) []types.Action {
	return []types.Action{{Type: "forward", TargetGroupArn: &group}}
}

func certificates(arns ...string) []types.Certificate {
	var out []types.Certificate
	for _, arn := range arns {
		out = append(out, types.Certificate{CertificateArn: &arn})
	}
	return out
}

func (f *fixture) describe(arn string) types.LoadBalancer {
	f.Helper()
	out, err := f.DescribeLoadBalancers(f.Context(), &sdk.DescribeLoadBalancersInput{LoadBalancerArns: []string{arn}})
	if err != nil {
		f.Fatal(err)
	}
	return out.LoadBalancers[0]
}

// listeners are a load balancer's listeners, as text.
func (f *fixture) listeners(balancer string) string {
	f.Helper()
	out, err := f.DescribeListeners(f.Context(), &sdk.DescribeListenersInput{LoadBalancerArn: &balancer})
	if err != nil {
		f.Fatal(err)
	}
	var all []string
	for _, l := range out.Listeners {
		text := fmt.Sprintf("%s:%d", l.Protocol, *l.Port)
		for _, c := range l.Certificates {
			text += " " + *c.CertificateArn + " " + *l.SslPolicy
		}
		all = append(all, text+" "+strings.Split(*l.DefaultActions[0].TargetGroupArn, "/")[1])
	}
	return strings.Join(all, ", ")
}

// register registers targets: i-1, i-2:9090.
func (f *fixture) register(group string, texts ...string) error {
	_, err := f.RegisterTargets(f.Context(), &sdk.RegisterTargetsInput{TargetGroupArn: &group, Targets: targets(texts...)})
	return err
}

func targets(texts ...string) []types.TargetDescription {
	var out []types.TargetDescription
	for _, text := range texts {
		id, port, ok := strings.Cut(text, ":")
		d := types.TargetDescription{Id: &id}
		if ok {
			d.Port = new(int32)
			if _, err := fmt.Sscan(port, d.Port); err != nil {
				panic(err)
			}
		}
		out = append(out, d)
	}
	return out
}

func (f *fixture) ok(what string, err error) {
	f.Helper()
	if err != nil {
		f.Errorf("%s: %v", what, err)
	}
}

// fails checks an error's code and text.
func (f *fixture) fails(what string, err error, code, message string) {
	f.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || e.ErrorMessage() != message {
		f.Errorf("%s: %v\nwant %s: %s", what, err, code, message)
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}
