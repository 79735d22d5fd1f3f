package fleet

import (
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

func TestLifecycle(t *testing.T) {
	hooked := sized(1)
	hooked.Hooks = []autoscaling.Hook{autoscaling.NewHook("in", autoscaling.Launching), autoscaling.NewHook("out", autoscaling.Terminating)}
	for _, test := range []struct {
		name   string
		group  autoscaling.Group
		member string
		want   []string
	}{
		{"it boots", sized(1), "i-1 a Pending pending", nil},
		{"it runs", sized(1), "i-1 a Pending", []string{"i-1 InService"}},
		{"its hooks begin at once", hooked, "i-1 a Pending pending", []string{"i-1 Pending:Wait"}},
		{"after its hooks it may have to boot", hooked, "i-1 a Pending:Proceed pending", nil},
		{"after its hooks", hooked, "i-1 a Pending:Proceed", []string{"i-1 InService"}},
		{"from the warm pool", sized(1), "i-1 a Pending stopped", []string{"i-1 Pending, start"}},
		{"it ends", sized(0), "i-1 a InService", []string{"i-1 Terminating, terminate"}},
		{"its end was asked for, and not heard", sized(0), "i-1 a Terminating:Proceed ending", []string{"i-1 Terminating:Proceed, terminate"}},
		{"it is about to", sized(0), "i-1 a Terminating:Proceed ending shutting-down", nil},
		{"it has ended", sized(0), "i-1 a Terminating:Proceed ending terminated", []string{"i-1 Terminating:Proceed gone"}},
		{"before its end its hooks", autoscaling.Group{Hooks: hooked.Hooks}, "i-1 a InService", []string{"i-1 Terminating:Wait"}},
		{"into standby", sized(0), "i-1 a EnteringStandby", []string{"i-1 Standby"}},
		{"out of standby to its end", sized(0), "i-1 a Standby ending", []string{"i-1 Terminating, terminate"}},
		{"detached", sized(0), "i-1 a Detaching", []string{"i-1 Detaching, untag"}},
		{"and without its tag", sized(0), "i-1 a Detaching untagged", []string{"i-1 Detaching gone"}},
		{"attached", sized(1), "i-1 a Pending untagged", []string{"i-1 InService, tag"}},
		{"ended while it was to come", sized(0), "i-1 a Pending terminated", []string{"i-1 Terminating gone"}},
		{"gone from standby", sized(0), "i-1 a Standby terminated", []string{"i-1 Terminating gone"}},
	} {
		s := state(test.group, test.member)
		if diff := gocmp.Diff(test.want, told(Plan(s))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestHooks(t *testing.T) {
	g := sized(1)
	h := autoscaling.NewHook("in", autoscaling.Launching)
	h.SetHeartbeat(time.Minute)
	g.Hooks = []autoscaling.Hook{h}
	s := state(g, "i-1 a Pending")
	d := Plan(s)
	m := d.Changes[0].Member
	if len(m.Waits) != 1 || m.Waits[0].Hook != "in" || m.Waits[0].Token == "" || d.Changes[0].Status != "MidLifecycleAction" {
		t.Fatalf("%+v", d.Changes)
	}
	s.Members[0] = m
	if d := Plan(s); len(d.Changes) > 0 || !d.Wake.Equal(now.Add(time.Minute)) {
		t.Errorf("while it waits: %v, until %s", told(d), d.Wake)
	}
	done := s
	done.Members = slices.Clone(s.Members)
	done.Members[0].Waits = slices.Clone(m.Waits)
	done.Members[0].Complete("in", autoscaling.Continue)
	if d := Plan(done); !slices.Equal(told(d), []string{"i-1 InService"}) || d.Changes[0].Status != autoscaling.Successful {
		t.Errorf("completed: %v", told(d))
	}
	// By default it is abandoned: another one takes its place.
	s.Now = now.Add(time.Minute)
	d = Plan(s)
	if diff := gocmp.Diff([]string{"i-1 Terminating, terminate"}, told(d)); diff != "" {
		t.Fatal(diff)
	}
	if c := d.Changes[0]; !strings.HasSuffix(c.Message, "was abandoned: Heartbeat Timeout") || c.Starts.Description != "Terminating EC2 instance: i-1" {
		t.Errorf("%+v", c)
	}
	s.Members[0] = d.Changes[0].Member
	if diff := gocmp.Diff([]string{"i-1 Terminating, terminate", "launch 1 in subnet-a"}, told(Plan(s))); diff != "" {
		t.Error(diff)
	}
}

func TestLoadBalancers(t *testing.T) {
	g := autoscaling.Group{Desired: 1, LoadBalancers: []string{"lb"}, HealthCheck: "ELB", GracePeriod: 10 * time.Minute}
	suspended := g
	suspended.Suspended = []autoscaling.Suspended{{Process: autoscaling.AddToLoadBalancer}}
	none, leaving := g, g
	none.Desired = 0
	leaving.LoadBalancers, leaving.Leaving = nil, []string{"lb"}
	behind := g // a target group
	behind.LoadBalancers, behind.TargetGroups = nil, []string{"lb"}
	for _, test := range []struct {
		name     string
		group    autoscaling.Group
		member   string
		balancer Balancer
		want     []string
	}{
		{"in service it is registered", g, "i-1 a Pending", Balancer{}, []string{"i-1 InService", "register lb[i-1]"}},
		{"once", g, "i-1 a InService", Balancer{Registered: []string{"i-1"}}, nil},
		{"others stay", g, "i-1 a InService", Balancer{Registered: []string{"i-1", "i-9"}}, nil},
		{"while that is suspended it is not", suspended, "i-1 a Pending", Balancer{}, []string{"i-1 InService"}},
		{"before it ends it is taken out", none, "i-1 a InService", Balancer{Registered: []string{"i-1"}}, []string{"deregister lb[i-1]", "i-1 Terminating"}},
		{"and drained", none, "i-1 a Terminating ending", Balancer{Draining: []string{"i-1"}}, []string{"i-1 Terminating"}},
		{"and then it ends", none, "i-1 a Terminating ending", Balancer{}, []string{"i-1 Terminating, terminate"}},
		{"before standby too", none, "i-1 a EnteringStandby", Balancer{Registered: []string{"i-1"}}, []string{"deregister lb[i-1]", "i-1 EnteringStandby"}},
		{"it fails its checks in the grace period", g, "i-1 a InService age=5m", Balancer{Registered: []string{"i-1"}, Failing: []string{"i-1"}}, nil},
		{"and after it", g, "i-1 a InService age=15m", Balancer{Registered: []string{"i-1"}, Failing: []string{"i-1"}},
			[]string{"deregister lb[i-1]", "i-1 Terminating", "launch 1 in subnet-a"}},
		{"a target group's checks count, too", behind, "i-1 a InService age=15m", Balancer{Registered: []string{"i-1"}, Failing: []string{"i-1"}},
			[]string{"deregister lb[i-1]", "i-1 Terminating", "launch 1 in subnet-a"}},
		{"from one that was detached it is taken", leaving, "i-1 a InService", Balancer{Registered: []string{"i-1", "i-9"}}, []string{"deregister lb[i-1]"}},
		{"and not judged by it", leaving, "i-1 a InService age=15m", Balancer{Registered: []string{"i-1"}, Failing: []string{"i-1"}}, []string{"deregister lb[i-1]"}},
		{"and drained", leaving, "i-1 a InService", Balancer{Draining: []string{"i-1"}}, nil},
		{"and then that has left", leaving, "i-1 a InService", Balancer{Registered: []string{"i-9"}}, []string{"left lb"}},
	} {
		s := state(test.group, test.member)
		s.Balancers = map[string]Balancer{"lb": test.balancer}
		d := Plan(s)
		if diff := gocmp.Diff(test.want, told(d)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if strings.Contains(test.name, "grace period") && !d.Wake.Equal(now.Add(5*time.Minute)) {
			t.Errorf("%s: it wakes at %s", test.name, d.Wake)
		}
	}
}

func TestLifetime(t *testing.T) {
	g := sized(3)
	g.MaxInstanceLifetime = 24 * time.Hour
	s := state(g, "i-1 a InService age=25h", "i-2 b InService age=26h", "i-3 c InService age=1h")
	d := Plan(s)
	if diff := gocmp.Diff([]string{"i-2 Terminating, terminate", "launch 1 in subnet-b"}, told(d)); diff != "" {
		t.Error(diff)
	}
	run(t, &s, func(s State) {
		if serving(s) < 2 {
			t.Fatalf("two at once: %+v", s.Members)
		}
	}, now.Add(time.Hour))
	for _, m := range s.Members {
		if m.Instance == "i-1" || m.Instance == "i-2" {
			t.Errorf("%s is left", m.Instance)
		}
	}
}

func TestWarmPool(t *testing.T) {
	pool := func(desired int, w autoscaling.WarmPool) autoscaling.Group {
		return autoscaling.Group{Desired: desired, Max: 4, WarmPool: &w}
	}
	all := autoscaling.WarmPool{MaxPrepared: -1, State: "Stopped"}
	reuse := all
	reuse.Reuse = true
	for _, test := range []struct {
		name    string
		group   autoscaling.Group
		members []string
		want    []string
	}{
		{"as many as the group may become", pool(2, all), []string{"i-1 a InService", "i-2 b InService"}, []string{"launch 1 in subnet-a warm", "launch 1 in subnet-c warm"}},
		{"at least", pool(4, autoscaling.WarmPool{Min: 1, MaxPrepared: -1, State: "Running"}), []string{"i-1 a InService", "i-2 b InService", "i-3 c InService", "i-4 a InService"}, []string{"launch 1 in subnet-b warm"}},
		{"it runs, and is stopped", pool(4, autoscaling.WarmPool{Min: 1, State: "Stopped"}), []string{"i-1 a InService", "i-2 b InService", "i-3 c InService", "i-4 a InService", "i-5 a Warmed:Pending"}, []string{"i-5 Warmed:Pending, stop"}},
		{"it is stopped", pool(4, autoscaling.WarmPool{Min: 1, State: "Stopped"}), []string{"i-1 a InService", "i-2 b InService", "i-3 c InService", "i-4 a InService", "i-5 a Warmed:Pending:Proceed stopped"}, []string{"i-5 Warmed:Stopped"}},
		{"it goes into service first", pool(4, all), []string{"i-1 a InService", "i-2 b InService", "i-3 c InService", "i-5 a Warmed:Stopped stopped"}, []string{"i-5 Pending, start"}},
		{"too many", pool(4, all), []string{"i-1 a InService", "i-2 b InService", "i-3 c InService", "i-4 a InService", "i-5 a Warmed:Stopped stopped"}, []string{"i-5 Warmed:Terminating, terminate"}},
		{"it goes back", pool(3, reuse), []string{"i-1 a InService", "i-2 b InService", "i-3 c InService", "i-4 a InService age=2h"}, []string{"i-4 Warmed:Pending, stop"}},
	} {
		if diff := gocmp.Diff(test.want, told(Plan(state(test.group, test.members...)))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	gone := pool(0, autoscaling.WarmPool{Deleting: true, MaxPrepared: -1})
	if d := Plan(state(gone)); !d.PoolRemoved {
		t.Error("a warm pool that is empty is not removed")
	}
	s := state(pool(1, all))
	run(t, &s, func(State) {})
	stopped := 0
	for _, m := range s.Members {
		if m.State == autoscaling.WarmedStopped && s.Instances[m.Instance].State == ec2.Stopped {
			stopped++
		}
	}
	if serving(s) != 1 || stopped != 3 {
		t.Errorf("%+v", s.Members)
	}
}
