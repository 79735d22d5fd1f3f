package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

func TestAGroupsLife(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.boots()
	f.start()
	f.group(autoscaling.Group{Desired: 3, Tags: []autoscaling.Tag{{Key: "from", Value: "group", Propagate: true}, {Key: "kept", Value: "x"}}})
	three := f.inService(3)
	if got := perZone(three); got != "map[a:1 b:1 c:1]" {
		t.Errorf("by zone: %s", got)
	}
	i := f.instance(three[0].Instance)
	if i.Owner != "autoscaling" || i.Tags["team"] != "blue" || i.Tags["from"] != "group" || i.Tags["kept"] != "" || i.Tags["aws:autoscaling:groupName"] != "g" ||
		i.Tags["aws:ec2launchtemplate:id"] != f.template || i.Tags["aws:ec2launchtemplate:version"] != "1" {
		t.Errorf("%+v", i)
	}
	if m := three[0]; m.Template != f.template || m.TemplateName != "template" || m.Version != "1" || m.Type != "t3.small" || m.InService.IsZero() || !m.Healthy || m.Activity != "" {
		t.Errorf("%+v", m)
	}
	f.desire(1)
	one := f.inService(1)[0]
	if err := f.ec2.Terminate(t.Context(), one.Instance, "the test says so"); err != nil {
		t.Fatal(err)
	}
	f.await("another", func(all []autoscaling.Member) bool {
		return len(all) == 1 && all[0].Instance != one.Instance && all[0].State == autoscaling.InService
	})
	if err := f.scaling.DeleteGroup(t.Context(), "g", false); err != nil {
		t.Fatal(err)
	}
	await(f, f.scaling.Groups, "no group", func(all []autoscaling.Group) bool { return len(all) == 0 })
	if err := f.stop(); !errors.Is(err, context.Canceled) || strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("it ended with %v; its log: %s", err, &f.log)
	}
	var launched, terminated int
	for _, a := range f.activities() {
		if a.Status != autoscaling.Successful || a.Progress != 100 || a.End.IsZero() || a.Cause == "" || !strings.Contains(a.Details, `"Availability Zone":"ap-northeast-2`) {
			t.Errorf("%+v", a)
		}
		switch {
		case strings.HasPrefix(a.Description, "Launching a new EC2 instance: i-"):
			launched++
		case strings.HasPrefix(a.Description, "Terminating EC2 instance: i-"):
			terminated++
		}
	}
	if launched != 4 || terminated != 4 {
		t.Errorf("%d were launched, %d terminated", launched, terminated)
	}
	if a := f.activities()[0]; !strings.HasPrefix(a.Cause, "At 20") || !strings.Contains(a.Cause, "Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 3.  At ") {
		t.Errorf("the first cause: %s", a.Cause)
	}
}

// What the loop has launched is the group's, even if nothing was written of it.
func TestALaunchIsNotLost(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	var made []ec2.Instance
	for _, subnet := range f.subnets[:2] { // two zones: there is nothing to balance
		i, err := f.ec2.Launch(t.Context(), ec2.LaunchInput{Type: "t3.small", Subnet: subnet.ID, Count: 1, Tags: map[string]string{GroupTag: "g"}})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, i...)
	}
	f.group(autoscaling.Group{Desired: 2})
	f.boots()
	f.start()
	for _, m := range f.inService(2) {
		if !slices.ContainsFunc(made, func(i ec2.Instance) bool { return i.ID == m.Instance }) {
			t.Errorf("%s was launched besides", m.Instance)
		}
	}
}

func TestFailedLaunches(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(autoscaling.Group{Desired: 1, LaunchTemplate: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: &f.template, Version: new("7")}})
	f.boots()
	f.start()
	await(f, f.scaling.Groups, "three failures", func(all []autoscaling.Group) bool { return all[0].Failures >= 3 })
	f.version("t3.small")
	f.change(func(g *autoscaling.Group) { g.LaunchTemplate.Version = new("2") })
	f.inService(1)
	await(f, f.scaling.Groups, "no failure", func(all []autoscaling.Group) bool { return all[0].Failures == 0 && all[0].RetryAt.IsZero() })
	a := f.activities()[0]
	if a.Status != autoscaling.Failed || a.Message != "You must use a valid fully-formed launch template. Could not find the specified version 7 for the launch template with ID "+f.template+". Launching EC2 instance failed." ||
		!strings.HasPrefix(a.Description, "Launching a new EC2 instance.  Status Reason: You must use") {
		t.Errorf("%+v", a)
	}
}

// The types of a mixed group are tried in their order.
func TestTypes(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(autoscaling.Group{Desired: 2, Mixed: &autoscalingapi.MixedInstancesPolicy{
		LaunchTemplate: &autoscalingapi.LaunchTemplate{
			LaunchTemplateSpecification: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: &f.template},
			Overrides:                   []autoscalingapi.LaunchTemplateOverrides{{InstanceType: new("t3.nothing")}, {InstanceType: new("t3.large"), WeightedCapacity: new("1")}},
		},
		InstancesDistribution: &autoscalingapi.InstancesDistribution{OnDemandBaseCapacity: new(int32(1)), OnDemandPercentageAboveBaseCapacity: new(int32(0))},
	}})
	f.boots()
	f.start()
	spot := 0
	for _, m := range f.inService(2) {
		if f.instance(m.Instance).Spot != "" {
			spot++
		}
		if m.Type != "t3.large" || m.Weight != 1 {
			t.Errorf("%+v", m)
		}
	}
	if spot != 1 {
		t.Errorf("%d spot instances", spot)
	}
}

func TestLaunchConfiguration(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	if _, err := f.scaling.Configurations.Create(t.Context(), "conf", autoscaling.LaunchConfiguration{Name: "conf", Type: "t3.medium", SpotPrice: "0.1"}); err != nil {
		t.Fatal(err)
	}
	f.group(autoscaling.Group{Desired: 1, LaunchConfiguration: "conf"})
	f.boots()
	f.start()
	m := f.inService(1)[0]
	if i := f.instance(m.Instance); m.Configuration != "conf" || m.Type != "t3.medium" || i.Spot == "" || i.Tags["aws:ec2launchtemplate:id"] != "" {
		t.Errorf("%+v, %+v", m, i)
	}
}

func TestHooksHoldInstances(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(autoscaling.Group{Desired: 1, Hooks: []autoscaling.Hook{autoscaling.NewHook("in", autoscaling.Launching), autoscaling.NewHook("out", autoscaling.Terminating)}})
	f.boots()
	f.start()
	state := func(want autoscaling.State) autoscaling.Member {
		t.Helper()
		return f.await(string(want), func(all []autoscaling.Member) bool { return len(all) == 1 && all[0].State == want })[0]
	}
	m := state(autoscaling.PendingWait)
	await(f, f.scaling.Activities, "one in its hook", func(all []autoscaling.Activity) bool {
		return len(all) == 1 && all[0].Status == autoscaling.MidLifecycleAction
	})
	f.changeMember(m.Instance, func(m *autoscaling.Member) { m.Complete("in", autoscaling.Continue) })
	state(autoscaling.InService)
	f.desire(0)
	state(autoscaling.TerminatingWait)
	if i := f.instance(m.Instance); i.State != ec2.Running {
		t.Errorf("it is %s", i.State)
	}
	f.changeMember(m.Instance, func(m *autoscaling.Member) { m.Complete("out", autoscaling.Continue) })
	f.inService(0)
}

// A load balancer has what is in service, and no request is cut off.
func TestLoadBalancersDrain(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.slow = true
	f.group(autoscaling.Group{Desired: 2, LoadBalancers: []string{"lb"}})
	f.boots()
	f.start()
	two := f.inService(2)
	f.awaitRegistered(2)
	f.desire(1)
	gone := f.await("draining", func(all []autoscaling.Member) bool {
		return slices.ContainsFunc(all, func(m autoscaling.Member) bool { return m.State == autoscaling.TerminatingNow && m.Activity != "" })
	})
	leaving := gone[slices.IndexFunc(gone, func(m autoscaling.Member) bool { return m.State == autoscaling.TerminatingNow })].Instance
	await(f, f.scaling.Activities, "one that drains", func(all []autoscaling.Activity) bool {
		return slices.ContainsFunc(all, func(a autoscaling.Activity) bool { return a.Status == autoscaling.Draining })
	})
	if i := f.instance(leaving); i.State != ec2.Running {
		t.Errorf("it is %s", i.State)
	}
	f.set(func() { f.lb.Draining = nil })
	left := f.inService(1)
	if left[0].Instance == leaving || !slices.ContainsFunc(two, func(m autoscaling.Member) bool { return m.Instance == left[0].Instance }) {
		t.Errorf("left: %+v", left)
	}
	// Taken from the group while the region is down, it loses the group's instances.
	_ = f.stop()
	f.change(func(g *autoscaling.Group) { g.LoadBalancers, g.Leaving = nil, []string{"lb"} })
	f.start()
	f.awaitRegistered(0)
	f.desire(2)
	f.inService(2)
	if again := f.registered(); len(again) > 0 {
		t.Errorf("it has got them again: %v", again)
	}
	f.set(func() { f.lb.Draining = nil })
	await(f, f.scaling.Groups, "that no load balancer leaves", func(all []autoscaling.Group) bool { return len(all[0].Leaving) == 0 })
	f.desire(1)
	left = f.inService(1)
	f.change(func(g *autoscaling.Group) { g.LoadBalancers = []string{"lb"} })
	f.awaitRegistered(1)
	f.set(func() { f.lb.Failing = f.lb.Registered })
	f.change(func(g *autoscaling.Group) { g.HealthCheck = "ELB" })
	f.await("another", func(all []autoscaling.Member) bool {
		return slices.ContainsFunc(all, func(m autoscaling.Member) bool {
			return m.Instance != left[0].Instance && m.State == autoscaling.InService
		})
	})
}

// awaitRegistered waits until the load balancer has so many instances.
func (f *fixture) awaitRegistered(n int) {
	f.Helper()
	for {
		changed := f.Changed()
		if len(f.registered()) == n {
			return
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			f.Fatalf("registered are %v, want %d", f.registered(), n)
		}
	}
}

func TestStandbyAttachDetach(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(autoscaling.Group{Desired: 1})
	f.boots()
	f.start()
	one := f.inService(1)[0]
	f.changeMember(one.Instance, func(m *autoscaling.Member) { m.State = autoscaling.EnteringStandby })
	f.change(func(g *autoscaling.Group) { g.Desired = 0 })
	f.await("in standby", func(all []autoscaling.Member) bool { return len(all) == 1 && all[0].State == autoscaling.Standby })
	f.changeMember(one.Instance, func(m *autoscaling.Member) { m.State = autoscaling.Detaching })
	f.inService(0)
	if i := f.instance(one.Instance); i.State != ec2.Running || i.Tags[GroupTag] != "" {
		t.Errorf("detached: %+v", i)
	}
	f.change(func(g *autoscaling.Group) {
		g.Desired = 1
		g.Suspended = []autoscaling.Suspended{{Process: autoscaling.Launch}}
	})
	m := autoscaling.Member{Group: "g", Instance: one.Instance, Zone: one.Zone, Subnet: one.Subnet, Type: one.Type, State: autoscaling.Pending, Healthy: true}
	if _, err := f.scaling.Members.Create(t.Context(), m.Key(), m); err != nil {
		t.Fatal(err)
	}
	f.inService(1)
	await(f, f.ec2.Instances, "tagged", func(all []ec2.Instance) bool { return all[0].Tags[GroupTag] == "g" })
}

func TestWarmPoolServesFirst(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(autoscaling.Group{Desired: 1, WarmPool: &autoscaling.WarmPool{Min: 1, State: "Stopped"}})
	f.boots()
	f.start()
	stopped := func(m autoscaling.Member) bool { return m.State == autoscaling.WarmedStopped }
	all := f.await("one in service and one stopped", func(all []autoscaling.Member) bool {
		return len(all) == 2 && slices.ContainsFunc(all, stopped) && slices.ContainsFunc(all, func(m autoscaling.Member) bool { return m.State == autoscaling.InService })
	})
	waiting := all[slices.IndexFunc(all, stopped)].Instance
	f.desire(2)
	f.await("two in service and another stopped", func(all []autoscaling.Member) bool {
		return len(all) == 3 && slices.ContainsFunc(all, stopped) && slices.ContainsFunc(all, func(m autoscaling.Member) bool { return m.Instance == waiting && m.State == autoscaling.InService })
	})
	f.change(func(g *autoscaling.Group) { g.WarmPool.Deleting = true })
	f.inService(2)
	await(f, f.scaling.Groups, "no warm pool", func(all []autoscaling.Group) bool { return all[0].WarmPool == nil })
}

func TestRefreshBringsTheDesiredConfiguration(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(autoscaling.Group{Desired: 2, LaunchTemplate: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: &f.template, Version: new("1")}})
	f.boots()
	f.start()
	f.inService(2)
	f.version("t3.medium")
	want := &autoscalingapi.DesiredConfiguration{LaunchTemplate: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: &f.template, Version: new("2")}}
	r := autoscaling.Refresh{Group: "g", ID: "r", Status: autoscaling.RefreshPending, Start: f.now(), Desired: want}
	if _, err := f.scaling.Refreshes.Create(t.Context(), r.Key(), r); err != nil {
		t.Fatal(err)
	}
	await(f, f.scaling.Refreshes, "done", func(all []autoscaling.Refresh) bool { return all[0].Status == autoscaling.RefreshSuccessful })
	for _, m := range f.inService(2) {
		if m.Version != "2" || m.Type != "t3.medium" {
			t.Errorf("%+v", m)
		}
	}
	await(f, f.scaling.Groups, "of version 2", func(all []autoscaling.Group) bool { return *all[0].LaunchTemplate.Version == "2" })
}

func TestEndsWhenTheStoreIsDamaged(t *testing.T) {
	for _, key := range []string{"auto-scaling-groups/x", "instances/i-0"} {
		f := newFixture(t, "192.168.0.0/16")
		f.start()
		if _, err := f.server.Client().Put(t.Context(), "/tarn/"+key, "no JSON"); err != nil {
			t.Fatal(err)
		}
		if err := f.awaitEnd(); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	}
}
