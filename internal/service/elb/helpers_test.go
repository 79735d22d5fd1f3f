package elb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/aws/smithy-go"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = "ap-northeast-2"
	issued  = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000001"
	other   = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000002"
	pending = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000003"
)

// fixture is the service over a region's network, and AWS's own client.
type fixture struct {
	*sdk.Client
	*testing.T
	service *elb.Service
	world   *world
}

// world is what the service asks of other services.
type world struct {
	subnets   []loadbalancer.Subnet
	defaults  []loadbalancer.Subnet
	gateways  []string
	groups    []loadbalancer.SecurityGroup
	instances []loadbalancer.Instance
	health    []elb.InstanceHealth
	err       error // of all of them
}

func (w *world) VPC(context.Context, string) (bool, error) { return true, w.err }

func (w *world) Subnets(_ context.Context, ids []string) ([]loadbalancer.Subnet, error) {
	return filtered(w.subnets, func(s loadbalancer.Subnet) bool { return slices.Contains(ids, s.ID) }), w.err
}

func (w *world) DefaultSubnets(context.Context) ([]loadbalancer.Subnet, error) {
	return w.defaults, nil
}

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

func (w *world) Health(context.Context, elb.LoadBalancer) ([]elb.InstanceHealth, error) {
	return w.health, nil
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
			subnet("subnet-full", "vpc-1", "c", 7), subnet("subnet-x", "vpc-2", "b", 200),
		},
		gateways: []string{"vpc-1"},
		groups: []loadbalancer.SecurityGroup{
			group("sg-default", "vpc-1", "default"), group("sg-1", "vpc-1", "web"), group("sg-2", "vpc-1", "more"),
			group("sg-x", "vpc-2", "default"),
		},
		instances: []loadbalancer.Instance{
			instance("i-1", "vpc-1", "a", "running"), instance("i-2", "vpc-1", "b", "running"), instance("i-3", "vpc-1", "c", "running"),
			instance("i-4", "vpc-1", "a", "stopped"), instance("i-x", "vpc-2", "a", "running"),
		},
	}}
	f.service = elb.New(elb.Config{
		Client: storetest.Open(t).Client(), Account: account, Region: region,
		Network: f.world, Instances: f.world, Certificates: f.world, Health: f.world,
		Now: func() time.Time { return time.Date(2026, 11, 29, 1, 2, 3, 456_789_000, time.UTC) },
	})
	cfg := wiretest.Serve(t, wire.Config{API: elbapi.Service}, f.service, region)
	f.Client = sdk.NewFromConfig(cfg)
	return f
}

// listener is a listener as clients write it: http:80:http:8080, https:443:http:8080.
func listener(text string) types.Listener {
	parts := strings.Split(text, ":")
	var port, instancePort int32
	if _, err := fmt.Sscan(parts[1]+" "+parts[3], &port, &instancePort); err != nil {
		panic(err)
	}
	l := types.Listener{Protocol: &parts[0], LoadBalancerPort: port, InstancePort: &instancePort}
	if parts[2] != "" {
		l.InstanceProtocol = &parts[2]
	}
	if p := strings.ToLower(parts[0]); p == "https" || p == "ssl" {
		l.SSLCertificateId = new(issued)
	}
	return l
}

// create makes a load balancer in both zones.
func (f *fixture) create(name string, listeners ...string) string {
	f.Helper()
	in := &sdk.CreateLoadBalancerInput{LoadBalancerName: &name, Subnets: []string{"subnet-a", "subnet-b"}}
	for _, l := range listeners {
		in.Listeners = append(in.Listeners, listener(l))
	}
	out, err := f.CreateLoadBalancer(f.Context(), in)
	if err != nil {
		f.Fatal(err)
	}
	return *out.DNSName
}

func (f *fixture) describe(name string) types.LoadBalancerDescription {
	f.Helper()
	out, err := f.DescribeLoadBalancers(f.Context(), &sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{name}})
	if err != nil {
		f.Fatal(err)
	}
	return out.LoadBalancerDescriptions[0]
}

// policy makes a policy: name type attribute=value …
func (f *fixture) policy(lb, name, kind string, attributes ...string) error {
	in := &sdk.CreateLoadBalancerPolicyInput{LoadBalancerName: &lb, PolicyName: &name, PolicyTypeName: &kind}
	for _, a := range attributes {
		n, v, _ := strings.Cut(a, "=")
		in.PolicyAttributes = append(in.PolicyAttributes, types.PolicyAttribute{AttributeName: &n, AttributeValue: &v})
	}
	_, err := f.CreateLoadBalancerPolicy(f.Context(), in)
	return err
}

func (f *fixture) onListener(lb string, port int32, policies ...string) error {
	_, err := f.SetLoadBalancerPoliciesOfListener(f.Context(), &sdk.SetLoadBalancerPoliciesOfListenerInput{
		LoadBalancerName: &lb, LoadBalancerPort: port, PolicyNames: append([]string{}, policies...),
	})
	return err
}

func (f *fixture) onBackend(lb string, port int32, policies ...string) error {
	_, err := f.SetLoadBalancerPoliciesForBackendServer(f.Context(), &sdk.SetLoadBalancerPoliciesForBackendServerInput{
		LoadBalancerName: &lb, InstancePort: &port, PolicyNames: append([]string{}, policies...),
	})
	return err
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

func instances(ids ...string) []types.Instance {
	var out []types.Instance
	for _, id := range ids {
		out = append(out, types.Instance{InstanceId: &id})
	}
	return out
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}
