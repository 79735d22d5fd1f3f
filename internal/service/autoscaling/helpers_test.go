package autoscaling_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = "ap-northeast-2"
	role    = "arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
	target  = "arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:targetgroup/tg/1"
)

// fixture is the service over a region, and AWS's own client.
type fixture struct {
	*sdk.Client
	*testing.T
	service *autoscaling.Service
	world   *world
	clock   time.Time
}

// world is what the service asks of other services.
type world struct {
	instances []autoscaling.Instance
	serving   []string // instances that load balancers have in service
	alarms    map[string]autoscaling.AlarmSpec
	acting    map[string][]string
	alarmErr  error
	forecast  *autoscaling.Forecast
}

var subnets = []autoscaling.Subnet{
	{ID: "subnet-a", VPC: "vpc-1", Zone: region + "a"}, {ID: "subnet-b", VPC: "vpc-1", Zone: region + "b"},
	{ID: "subnet-b2", VPC: "vpc-1", Zone: region + "b"}, {ID: "subnet-x", VPC: "vpc-2", Zone: region + "c"},
	{ID: "subnet-da", VPC: "vpc-d", Zone: region + "a"},
}

func (w *world) Subnets(_ context.Context, ids []string) ([]autoscaling.Subnet, error) {
	return filtered(subnets, func(s autoscaling.Subnet) bool { return slices.Contains(ids, s.ID) }), nil
}

func (w *world) DefaultSubnets(context.Context) ([]autoscaling.Subnet, error) {
	return subnets[4:], nil
}

func (w *world) Zones(context.Context) ([]string, error) {
	return []string{region + "a", region + "b", region + "c"}, nil
}

func (w *world) Template(_ context.Context, id, name, version string) (autoscaling.Template, error) {
	t := autoscaling.Template{ID: "lt-1", Name: "web", Version: 3, Image: "ami-1", Type: "t3.medium", Profile: "node"}
	switch {
	case id == "lt-bare":
		return autoscaling.Template{ID: id, Name: "bare", Version: 1}, nil
	case id != "lt-1" && name != "web":
		return t, api.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	case version == "99":
		return t, api.Errorf(http.StatusBadRequest, "InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version 99 for the launch template with ID lt-1.")
	}
	return t, nil
}

func (w *world) Instances(_ context.Context, ids []string) ([]autoscaling.Instance, error) {
	return filtered(w.instances, func(i autoscaling.Instance) bool { return slices.Contains(ids, i.ID) }), nil
}

func (w *world) Types(_ context.Context, names []string) ([]string, error) {
	return filtered(names, func(n string) bool { return strings.HasPrefix(n, "t3.") }), nil
}

func (w *world) Image(_ context.Context, id string) (bool, error) { return id == "ami-1", nil }

func (w *world) LoadBalancers(_ context.Context, names []string) ([]string, error) {
	return filtered(names, func(n string) bool { return strings.HasPrefix(n, "lb") }), nil
}

func (w *world) InService(_ context.Context, name string, instances []string) ([]string, bool, error) {
	return filtered(instances, func(i string) bool { return slices.Contains(w.serving, i) }), true, nil
}

// TargetGroups knows one, so that what needs one can be tested.
func (w *world) TargetGroups(_ context.Context, arns []string) ([]string, error) {
	return filtered(arns, func(a string) bool { return a == target }), nil
}

func (w *world) ProfileRole(_ context.Context, profile string) (string, bool, error) {
	return "arn:aws:iam::111122223333:role/node", profile == "node", nil
}

func (w *world) Role(_ context.Context, arn string) (bool, error) { return arn == role, nil }

func (w *world) ServiceLinkedRole(context.Context) (string, error) { return role, nil }

func (w *world) Put(_ context.Context, alarms []autoscaling.AlarmSpec) error {
	for _, a := range alarms {
		w.alarms[a.Name] = a
	}
	return w.alarmErr
}

func (w *world) Delete(_ context.Context, names []string) error {
	for _, n := range names {
		delete(w.alarms, n)
	}
	return w.alarmErr
}

func (w *world) Acting(context.Context, []string) (map[string][]string, error) { return w.acting, nil }

func (w *world) Forecast(_ context.Context, p autoscaling.Policy, _ autoscaling.Group, start, end time.Time) (autoscaling.Forecast, bool, error) {
	if w.forecast == nil {
		return autoscaling.Forecast{}, false, nil
	}
	return *w.forecast, true, nil
}

func filtered[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !keep(v) })
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, clock: time.Date(2026, 11, 29, 1, 2, 3, 456_789_000, time.UTC), world: &world{
		alarms: map[string]autoscaling.AlarmSpec{},
		instances: []autoscaling.Instance{
			{ID: "i-run", Type: "t3.large", VPC: "vpc-1", Subnet: "subnet-a", Zone: region + "a", State: "running", Image: "ami-1", Key: "k", SecurityGroups: []string{"sg-1"}, Profile: "node"},
			{ID: "i-stopped", Type: "t3.large", VPC: "vpc-1", Subnet: "subnet-a", Zone: region + "a", State: "stopped", Image: "ami-1"},
			{ID: "i-far", Type: "t3.large", VPC: "vpc-2", Subnet: "subnet-x", Zone: region + "c", State: "running", Image: "ami-1"},
		},
	}}
	w := f.world
	f.service = autoscaling.New(autoscaling.Config{
		Client: storetest.Open(t).Client(), Account: account, Region: region, Network: w, Templates: w, Instances: w, Balancers: w,
		Identity: w, Alarms: w, Forecasts: w, Now: func() time.Time { return f.clock },
	})
	cfg := wiretest.Serve(t, wire.Config{API: autoscalingapi.Service}, f.service, region)
	f.Client = sdk.NewFromConfig(cfg)
	return f
}

// template is the launch template of the world.
func template() *types.LaunchTemplateSpecification {
	return &types.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1"), Version: new("3")}
}

// create makes a group in two zones.
func (f *fixture) create(name string, least, most, desired int32) {
	f.Helper()
	_, err := f.CreateAutoScalingGroup(f.Context(), &sdk.CreateAutoScalingGroupInput{
		AutoScalingGroupName: &name, LaunchTemplate: template(), MinSize: &least, MaxSize: &most, DesiredCapacity: &desired,
		VPCZoneIdentifier: new("subnet-a,subnet-b"),
	})
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) describe(name string) types.AutoScalingGroup {
	f.Helper()
	out, err := f.DescribeAutoScalingGroups(f.Context(), &sdk.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		f.Fatal(err)
	}
	if len(out.AutoScalingGroups) != 1 {
		f.Fatalf("there are %d groups %s", len(out.AutoScalingGroups), name)
	}
	return out.AutoScalingGroups[0]
}

// group is the record.
func (f *fixture) group(name string) autoscaling.Group {
	f.Helper()
	it, err := f.service.Groups.Get(f.Context(), name)
	if err != nil {
		f.Fatal(err)
	}
	return it.Value
}

// join makes a member, as loop fleet does.
func (f *fixture) join(group, instance string, state autoscaling.State) autoscaling.Member {
	f.Helper()
	m := autoscaling.Member{
		Group: group, Instance: instance, Type: "t3.medium", Zone: region + "a", Subnet: "subnet-a", Template: "lt-1", TemplateName: "web", Version: "3",
		State: state, Since: f.clock, InService: f.clock, Healthy: true,
	}
	if _, err := f.service.Members.Create(f.Context(), m.Key(), m); err != nil {
		f.Fatal(err)
	}
	return m
}

func (f *fixture) member(group, instance string) autoscaling.Member {
	f.Helper()
	it, err := f.service.Members.Get(f.Context(), autoscaling.Member{Group: group, Instance: instance}.Key())
	if err != nil {
		f.Fatal(err)
	}
	return it.Value
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
	if own, ok := errors.AsType[*api.Error](err); ok { // not through the client
		e = &smithy.GenericAPIError{Code: own.Code, Message: own.Message}
	} else {
		errors.As(err, &e)
	}
	if e == nil || e.ErrorCode() != code || e.ErrorMessage() != message {
		f.Errorf("%s: %v\nwant %s: %s", what, err, code, message)
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}
