package elbv2_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer/loadbalancertest"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = loadbalancertest.Region
	base    = "arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:"
	issued  = loadbalancertest.Issued
	other   = loadbalancertest.Other
	pending = loadbalancertest.Pending
)

// fixture is the service over a region's network, and AWS's own client.
type fixture struct {
	*sdk.Client
	*testing.T
	service *elbv2.Service
	world   *world
}

// world is what the service asks of others.
type world struct {
	*loadbalancertest.World
	health []elbv2.TargetHealth
}

func (w *world) TargetHealth(context.Context, elbv2.LoadBalancer, elbv2.TargetGroup) ([]elbv2.TargetHealth, error) {
	return w.health, w.Err
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, world: &world{World: loadbalancertest.New()}}
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
