package elb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/aws/smithy-go"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer/loadbalancertest"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = loadbalancertest.Region
	issued  = loadbalancertest.Issued
	other   = loadbalancertest.Other
	pending = loadbalancertest.Pending
)

// fixture is the service over a region's network, and AWS's own client.
type fixture struct {
	*sdk.Client
	*testing.T
	service *elb.Service
	world   *world
}

// world is what the service asks of others.
type world struct {
	*loadbalancertest.World
	health []elb.InstanceHealth
}

func (w *world) Health(context.Context, elb.LoadBalancer) ([]elb.InstanceHealth, error) {
	return w.health, w.Err
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, world: &world{World: loadbalancertest.New()}}
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
