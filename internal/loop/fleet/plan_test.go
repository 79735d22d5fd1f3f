package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestSize(t *testing.T) {
	suspended := func(n int, process string) autoscaling.Group {
		g := sized(n)
		g.Suspended = []autoscaling.Suspended{{Process: process}}
		return g
	}
	later := sized(1)
	later.RetryAt = now.Add(time.Second)
	failed := func(n int, subnets ...string) autoscaling.Group {
		g := sized(n)
		g.FailedIn = subnets
		return g
	}
	for _, test := range []struct {
		name    string
		group   autoscaling.Group
		members []string
		want    []string
	}{
		{"from nothing, one in each zone", sized(3), nil, []string{"launch 1 in subnet-a", "launch 1 in subnet-b", "launch 1 in subnet-c"}},
		{"five over three zones", sized(5), nil, []string{"launch 1 in subnet-c", "launch 2 in subnet-a", "launch 2 in subnet-b"}},
		{"the empty zone first", sized(3), []string{"i-1 a InService", "i-2 c InService"}, []string{"launch 1 in subnet-b"}},
		{"nothing to do", sized(2), []string{"i-1 a InService", "i-2 b InService"}, nil},
		{"the oldest of the fullest zone goes", sized(2), []string{"i-1 a InService age=9s", "i-2 b InService age=5s", "i-3 b InService age=7s"},
			[]string{"i-3 Terminating, terminate"}},
		{"a zone that is no longer the group's, where it is the fullest", autoscaling.Group{Desired: 1, Subnets: []string{"subnet-a"}},
			[]string{"i-1 a InService age=9s", "i-2 z InService age=5s", "i-3 z InService age=7s"},
			[]string{"i-1 Terminating, terminate", "i-3 Terminating, terminate"}},
		{"to none", sized(0), []string{"i-1 a InService"}, []string{"i-1 Terminating, terminate"}},
		{"without a subnet nothing can be done", autoscaling.Group{Desired: 3, Subnets: []string{}}, nil, nil},
		{"what was stopped is replaced", sized(1), []string{"i-1 a InService stopped"}, []string{"i-1 Terminating, terminate", "launch 1 in subnet-a"}},
		{"what was terminated is replaced", sized(1), []string{"i-1 a InService terminated"}, []string{"i-1 Terminating gone", "launch 1 in subnet-a"}},
		{"what is not known any more is replaced", sized(1), []string{"i-1 a InService gone"}, []string{"i-1 Terminating gone", "launch 1 in subnet-a"}},
		{"what is said to be unhealthy is replaced", sized(1), []string{"i-1 a InService unhealthy"}, []string{"i-1 Terminating, terminate", "launch 1 in subnet-a"}},
		{"but not while that is suspended", suspended(1, autoscaling.ReplaceUnhealthy), []string{"i-1 a InService unhealthy"}, nil},
		{"nor is health looked at", suspended(1, autoscaling.HealthCheck), []string{"i-1 a InService stopped"}, nil},
		{"what is to end does not count", sized(1), []string{"i-1 a InService ending"}, []string{"i-1 Terminating, terminate", "launch 1 in subnet-a"}},
		{"what is protected stays", sized(0), []string{"i-1 a InService protected", "i-2 b InService"}, []string{"i-2 Terminating, terminate"}},
		{"protected in the fullest zone", sized(2), []string{"i-1 a InService protected", "i-2 a InService protected", "i-3 b InService"}, []string{"i-3 Terminating, terminate"}},
		{"standby does not count", sized(1), []string{"i-1 a Standby"}, []string{"launch 1 in subnet-a"}},
		{"launching is suspended", suspended(1, autoscaling.Launch), nil, nil},
		{"terminating is suspended", suspended(0, autoscaling.Terminate), []string{"i-1 a InService"}, nil},
		{"after a failure it waits", later, nil, nil},
		{"where launches failed none is tried", failed(3, "subnet-a"), []string{"i-1 b InService"}, []string{"launch 1 in subnet-b", "launch 1 in subnet-c"}},
		{"but where they all did", failed(2, "subnet-a", "subnet-b", "subnet-c"), []string{"i-1 a InService"}, []string{"launch 1 in subnet-b"}},
		{"nor is it moved there", failed(2, "subnet-a", "subnet-c"), []string{"i-1 b InService", "i-2 b InService"}, nil},
		{"weights", sized(4), []string{"i-1 a InService weight=3"}, []string{"launch 1 in subnet-b"}},
		{"weights do not go below", sized(4), []string{"i-1 a InService weight=3", "i-2 b InService weight=3"}, nil},
		{"an instance without a member", sized(1), []string{"i-1 a InService"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Plan(state(test.group, test.members...))
			if diff := gocmp.Diff(test.want, told(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if d := Plan(state(later)); !d.Wake.Equal(later.RetryAt) {
		t.Errorf("it wakes at %s", d.Wake)
	}
}

func TestAdoptsWhatItHasLaunched(t *testing.T) {
	s := state(sized(1), "i-1 a InService")
	s.Members = nil
	d := Plan(s)
	if diff := gocmp.Diff([]string{"i-1 InService new"}, told(d)); diff != "" {
		t.Fatal(diff)
	}
	a := d.Changes[0].Starts
	if a.Description != "Launching a new EC2 instance: i-1" || a.Cause != "At 2026-11-29T12:00:00Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 0 to 1." {
		t.Errorf("%+v", a)
	}
}

func TestCauses(t *testing.T) {
	g := sized(2)
	g.Reasons = []string{"At 2026-11-29T11:59:59Z a user request explicitly set group desired capacity changing the desired capacity from 1 to 2."}
	d := Plan(state(g, "i-1 a InService"))
	if want := g.Reasons[0] + "  At 2026-11-29T12:00:00Z an instance was started in response to a difference between desired and actual capacity, increasing the capacity from 1 to 2."; d.Launch[0].Cause != want || !d.Told {
		t.Errorf("%q, told: %t", d.Launch[0].Cause, d.Told)
	}
	g.Desired = 0
	d = Plan(state(g, "i-1 a InService"))
	if want := g.Reasons[0] + "  At 2026-11-29T12:00:00Z an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from 1 to 0.  At 2026-11-29T12:00:00Z instance i-1 was selected for termination."; d.Changes[0].Starts.Cause != want || !d.Told {
		t.Errorf("%q, told: %t", d.Changes[0].Starts.Cause, d.Told)
	}
	d = Plan(state(sized(1), "i-1 a InService stopped"))
	if want := "At 2026-11-29T12:00:00Z an instance was launched in response to an unhealthy instance needing to be replaced."; d.Launch[0].Cause != want {
		t.Errorf("%q", d.Launch[0].Cause)
	}
	if want := "At 2026-11-29T12:00:00Z an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped."; d.Changes[0].Starts.Cause != want {
		t.Errorf("%q", d.Changes[0].Starts.Cause)
	}
	d = Plan(state(sized(1), "i-1 a InService unhealthy"))
	if want := "At 2026-11-29T12:00:00Z an instance was taken out of service in response to a user health-check."; d.Changes[0].Starts.Cause != want {
		t.Errorf("%q", d.Changes[0].Starts.Cause)
	}
}

func TestTerminationPolicies(t *testing.T) {
	members := []string{
		"i-old a InService age=50m version=3", "i-new b InService age=1m version=2",
		"i-hour c InService age=119m version=3", "i-conf a InService age=40m configuration=later", "i-first b InService age=30m configuration=first", "i-other c InService age=20m template=lt-2",
	}
	for _, test := range []struct{ policies, want string }{
		{"OldestInstance", "i-hour"},
		{"NewestInstance", "i-new"},
		{"OldestLaunchConfiguration", "i-first"},
		{"OldestLaunchTemplate", "i-other"},
		{"ClosestToNextInstanceHour", "i-hour"},
		{"Default", "i-first"},
		{"OldestLaunchTemplate NewestInstance", "i-other"},
		{"AllocationStrategy NewestInstance", "i-new"},
	} {
		g := sized(5)
		g.TerminationPolicies = strings.Fields(test.policies)
		s := state(g, members...)
		s.Made = map[string]time.Time{"first": now.Add(-time.Hour), "later": now}
		s.Source.Version = "3"
		if diff := gocmp.Diff([]string{test.want + " Terminating, terminate"}, told(Plan(s))); diff != "" {
			t.Errorf("%s: %s", test.policies, diff)
		}
	}
}

func TestMixed(t *testing.T) {
	mixed := func(desired int, base, percent int32) autoscaling.Group {
		g := sized(desired)
		g.Mixed = &autoscalingapi.MixedInstancesPolicy{InstancesDistribution: &autoscalingapi.InstancesDistribution{
			OnDemandBaseCapacity: &base, OnDemandPercentageAboveBaseCapacity: &percent,
		}}
		return g
	}
	for _, test := range []struct {
		name    string
		group   autoscaling.Group
		members []string
		want    []string
	}{
		{"a base on demand, of the rest a quarter", mixed(6, 2, 25), nil,
			[]string{"launch 1 in subnet-a", "launch 1 in subnet-a spot", "launch 1 in subnet-b", "launch 1 in subnet-b spot", "launch 1 in subnet-c", "launch 1 in subnet-c spot"}},
		{"all spot", mixed(1, 0, 0), nil, []string{"launch 1 in subnet-a spot"}},
		{"of what there is too much goes", mixed(2, 1, 0), []string{"i-1 a InService spot", "i-2 b InService", "i-3 c InService"}, []string{"i-2 Terminating, terminate"}},
		{"the type of the lowest priority goes", mixed(1, 0, 100), []string{"i-1 a InService", "i-2 b InService type=t3.large"}, []string{"i-2 Terminating, terminate"}},
	} {
		s := state(test.group, test.members...)
		s.Source.Choices = append(s.Source.Choices, Choice{Type: "t3.large"})
		if diff := gocmp.Diff(test.want, told(Plan(s))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestDeletion(t *testing.T) {
	g := autoscaling.Group{Deleting: true, Hooks: []autoscaling.Hook{autoscaling.NewHook("h", autoscaling.Terminating)}}
	members := []string{"i-1 a InService protected", "i-2 b Pending pending", "i-3 c Standby", "i-4 a Warmed:Stopped stopped"}
	if diff := gocmp.Diff([]string{"i-1 Terminating:Wait", "i-2 Terminating:Wait", "i-3 Terminating:Wait", "i-4 Warmed:Terminating:Wait"}, told(Plan(state(g, members...)))); diff != "" {
		t.Error(diff)
	}
	g.Forced = true
	if diff := gocmp.Diff([]string{
		"i-1 Terminating, terminate", "i-2 Terminating, terminate", "i-3 Terminating, terminate", "i-4 Warmed:Terminating, terminate",
	}, told(Plan(state(g, members...)))); diff != "" {
		t.Error(diff)
	}
	last := state(g, "i-1 a Terminating:Proceed ending terminated")
	if diff := gocmp.Diff([]string{"i-1 Terminating:Proceed gone"}, told(Plan(last))); diff != "" {
		t.Error(diff)
	}
	last.Members = nil
	if diff := gocmp.Diff([]string{"removed"}, told(Plan(last))); diff != "" {
		t.Error(diff)
	}
}

// Plans that are carried out one after the other bring a group to its size, never
// launch and terminate at once, and rest there with the zones balanced.
func TestPlanReachesTheSize(t *testing.T) {
	zones := []string{"a", "b", "c"}
	for have := range 10 {
		for desired := range 10 {
			var members []string
			for i := range have {
				members = append(members, fmt.Sprintf("i-%d %s InService age=%dm", i, zones[i*i%3], i))
			}
			s := state(sized(desired), members...)
			if d := Plan(s); len(d.Launch) > 0 && len(d.Changes) > 0 {
				t.Errorf("from %d to %d: %v", have, desired, told(d))
			}
			run(t, &s, func(s State) {
				if n := serving(s); n < min(have, desired) {
					t.Fatalf("from %d to %d: %d are in service", have, desired, n)
				}
			})
			count := map[string]int{"a": 0, "b": 0, "c": 0}
			for _, m := range s.Members {
				count[m.Zone]++
			}
			if n := []int{count["a"], count["b"], count["c"]}; serving(s) != desired || slices.Max(n)-slices.Min(n) > 1 {
				t.Errorf("from %d to %d: %v", have, desired, count)
			}
		}
	}
}
