package scaling

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// t0 is when the tests' situations are.
var t0 = time.Date(2026, 11, 29, 10, 0, 2, 0, time.UTC)

// members makes members of a short text, one letter for each: r is ready, w warms
// up (in service for ten seconds), p is pending, l leaves, e is to end, s is in
// standby, W is of the warm pool.
func members(text string) []autoscaling.Member {
	var all []autoscaling.Member
	for i, c := range text {
		m := autoscaling.Member{Group: "g", Instance: fmt.Sprintf("i-%d", i), State: autoscaling.InService, InService: t0.Add(-time.Hour)}
		switch c {
		case 'w':
			m.InService = t0.Add(-10 * time.Second)
		case 'p':
			m.State, m.InService = autoscaling.PendingWait, time.Time{}
		case 'l':
			m.State = autoscaling.TerminatingWait
		case 'e':
			m.Ending = true
		case 's':
			m.State = autoscaling.Standby
		case 'W':
			m.State, m.InService = autoscaling.WarmedStopped, time.Time{}
		}
		all = append(all, m)
	}
	return all
}

func TestCapacityOf(t *testing.T) {
	for _, test := range []struct {
		members string
		warmup  time.Duration
		want    Capacity
	}{
		{"", 0, Capacity{}},
		{"rrwp", time.Minute, Capacity{Ready: 2, Warming: 2}},
		{"rrwp", 5 * time.Second, Capacity{Ready: 3, Warming: 1}},
		{"rles", 0, Capacity{Ready: 1, Leaving: 2}},
		{"rWW", 0, Capacity{Ready: 1}},
	} {
		if got := CapacityOf(members(test.members), test.warmup, t0); got != test.want {
			t.Errorf("%q with a warm-up of %v: %+v, want %+v", test.members, test.warmup, got, test.want)
		}
	}
	weighted := members("rp")
	weighted[0].Weight, weighted[1].Weight = 4, 2
	if got := CapacityOf(weighted, 0, t0); got != (Capacity{Ready: 4, Warming: 2}) {
		t.Errorf("weighted: %+v", got)
	}
}

func TestWarmupOf(t *testing.T) {
	g := autoscaling.Group{Cooldown: 300 * time.Second, Warmup: -1}
	if got := WarmupOf(g, autoscaling.Policy{}); got != 300*time.Second {
		t.Errorf("of a group without one: %v", got)
	}
	g.Warmup = 0
	if got := WarmupOf(g, autoscaling.Policy{}); got != 0 {
		t.Errorf("of a group with 0: %v", got)
	}
	if got := WarmupOf(g, autoscaling.Policy{Warmup: new(time.Minute)}); got != time.Minute {
		t.Errorf("of a policy: %v", got)
	}
}

func step(from, to *float64, by int32) autoscalingapi.StepAdjustment {
	return autoscalingapi.StepAdjustment{MetricIntervalLowerBound: from, MetricIntervalUpperBound: to, ScalingAdjustment: &by}
}

func tracking(name string, target float64) autoscaling.Policy {
	return autoscaling.Policy{Group: "g", Name: name, Type: autoscaling.TargetTrackingScaling, Target: &autoscalingapi.TargetTrackingConfiguration{TargetValue: &target}}
}

// The policies of the tables.
var (
	steps = autoscaling.Policy{Group: "g", Name: "steps", Type: autoscaling.StepScaling, AdjustmentType: autoscaling.PercentChangeInCapacity, Steps: []autoscalingapi.StepAdjustment{
		step(new(0.0), new(10.0), 10), step(new(10.0), nil, 30),
	}}
	fewer = autoscaling.Policy{Group: "g", Name: "fewer", Type: autoscaling.StepScaling, AdjustmentType: autoscaling.ChangeInCapacity, Steps: []autoscalingapi.StepAdjustment{
		step(nil, new(0.0), -2),
	}}
	exact = autoscaling.Policy{Group: "g", Name: "exact", Type: autoscaling.StepScaling, AdjustmentType: autoscaling.ExactCapacity, Steps: []autoscalingapi.StepAdjustment{
		step(new(0.0), nil, 4),
	}}
	plus  = autoscaling.Policy{Group: "g", Name: "plus", Type: autoscaling.SimpleScaling, AdjustmentType: autoscaling.ChangeInCapacity, Adjustment: 1}
	minus = autoscaling.Policy{Group: "g", Name: "minus", Type: autoscaling.SimpleScaling, AdjustmentType: autoscaling.ChangeInCapacity, Adjustment: -1}
	half  = tracking("half", 50)
	third = tracking("third", 30)
)

func call(p autoscaling.Policy, threshold float64, values ...float64) Call {
	return Call{Policy: p.Name, Alarm: p.Name + "-alarm", State: "ALARM", Threshold: threshold, Values: values}
}

func standing(c Call) Call {
	c.Standing = true
	return c
}

func ten(text string) string { return strings.Repeat("r", 10) + text }

func TestPlan(t *testing.T) {
	outOnly := half
	outOnly.Name, outOnly.Target = "out-only", &autoscalingapi.TargetTrackingConfiguration{TargetValue: new(50.0), DisableScaleIn: new(true)}
	off := half
	off.Name, off.Disabled = "off", true
	for name, test := range map[string]struct {
		members string
		desired int
		group   func(*autoscaling.Group)
		change  func(*Situation)
		calls   []Call
		want    int
		failed  string
	}{
		"nobody calls":   {members: "rr", desired: 2, want: 2},
		"unknown policy": {members: "rr", desired: 2, calls: []Call{{Policy: "gone", Values: []float64{99}}}, want: 2},

		// The examples of the user guide.
		"a step out":                           {members: ten(""), desired: 10, calls: []Call{call(steps, 60, 60)}, want: 11},
		"the same step while it warms up":      {members: ten("w"), desired: 11, calls: []Call{call(steps, 60, 62)}, want: 11},
		"the next step while it warms up":      {members: ten("w"), desired: 11, calls: []Call{call(steps, 60, 70)}, want: 13},
		"a step out while one is launched":     {members: ten("p"), desired: 11, calls: []Call{call(steps, 60, 62)}, want: 11},
		"steps up to the maximum":              {members: ten(""), desired: 10, group: func(g *autoscaling.Group) { g.Max = 12 }, calls: []Call{call(steps, 60, 90)}, want: 12},
		"in none of the steps":                 {members: ten(""), desired: 10, calls: []Call{call(steps, 60, 59)}, want: 10},
		"a step without data":                  {members: ten(""), desired: 10, calls: []Call{call(steps, 60)}, want: 10, failed: "steps: Metric data points must be provided"},
		"a step in":                            {members: ten(""), desired: 10, calls: []Call{call(fewer, 20, 10)}, want: 8},
		"a step in while they still leave":     {members: "rrrrrrrrll", desired: 8, calls: []Call{call(fewer, 20, 10)}, want: 8},
		"a step in while one warms up":         {members: ten("w"), desired: 11, calls: []Call{call(fewer, 20, 10)}, want: 11},
		"a step in while one is to come":       {members: ten(""), desired: 11, calls: []Call{call(fewer, 20, 10)}, want: 11},
		"a step in of a group that fails":      {members: ten(""), desired: 11, group: func(g *autoscaling.Group) { g.Failures = 3 }, calls: []Call{call(fewer, 20, 10)}, want: 8},
		"a step in to the minimum":             {members: "rr", desired: 2, group: func(g *autoscaling.Group) { g.Min = 1 }, calls: []Call{call(fewer, 20, 10)}, want: 1},
		"a step in below the minimum's launch": {members: "r", desired: 3, group: func(g *autoscaling.Group) { g.Min, g.Failures = 3, 1 }, calls: []Call{call(fewer, 20, 10)}, want: 3},
		"exactly, from below":                  {members: "rr", desired: 2, calls: []Call{call(exact, 1, 2)}, want: 4},
		"exactly, from above":                  {members: "rrrrrr", desired: 6, calls: []Call{call(exact, 1, 2)}, want: 4},

		"a simple policy":                      {members: "rr", desired: 2, calls: []Call{call(plus, 0)}, want: 3},
		"a simple policy in its cooldown":      {members: "rr", desired: 2, group: func(g *autoscaling.Group) { g.Scaled = t0.Add(-299 * time.Second) }, calls: []Call{call(plus, 0)}, want: 2},
		"a simple policy after its cooldown":   {members: "rr", desired: 2, group: func(g *autoscaling.Group) { g.Scaled = t0.Add(-300 * time.Second) }, calls: []Call{call(plus, 0)}, want: 3},
		"a cooldown of a policy's own":         {members: "rr", desired: 2, group: func(g *autoscaling.Group) { g.Scaled = t0.Add(-time.Minute) }, change: func(s *Situation) { s.Cooldown = new(time.Minute) }, calls: []Call{call(minus, 0)}, want: 1},
		"a simple policy during a launch":      {members: "rrp", desired: 3, calls: []Call{call(plus, 0)}, want: 3},
		"a simple policy before a launch":      {members: "rr", desired: 3, calls: []Call{call(plus, 0)}, want: 3},
		"a simple policy during a termination": {members: "rrl", desired: 2, calls: []Call{call(minus, 0)}, want: 2},
		"a simple policy before a termination": {members: "rrr", desired: 2, calls: []Call{call(minus, 0)}, want: 2},
		"a simple policy, those too many are protected": {members: "rrr", desired: 2, change: func(s *Situation) {
			for i := range s.Members {
				s.Members[i].Protected = true
			}
		}, calls: []Call{call(minus, 0)}, want: 1},
		"a simple policy, by weights": {members: "rr", desired: 5, change: func(s *Situation) {
			for i := range s.Members {
				s.Members[i].Weight = 3
			}
		}, calls: []Call{call(plus, 0)}, want: 6},
		"a simple policy of a group that fails": {members: "r", desired: 2, group: func(g *autoscaling.Group) { g.Failures = 1 }, calls: []Call{call(minus, 0)}, want: 1},
		"a simple policy at the maximum":        {members: ten(ten("")), desired: 20, calls: []Call{call(plus, 0)}, want: 20},

		"a target out":                    {members: "rr", desired: 2, calls: []Call{call(half, 50, 70)}, want: 3},
		"a target far out":                {members: "rrr", desired: 3, calls: []Call{call(half, 50, 100)}, want: 6},
		"a target exactly":                {members: "rrrrr", desired: 5, calls: []Call{call(half, 50, 60)}, want: 6},
		"a target out of bounds":          {members: "rrr", desired: 3, calls: []Call{call(half, 50, 1e300)}, want: 20},
		"a target that is met by now":     {members: "rr", desired: 2, calls: []Call{call(half, 50, 70, 20), call(minus, 0)}, want: 2},
		"a target by the newest value":    {members: "rr", desired: 2, calls: []Call{call(half, 50, 100, 100, 70)}, want: 3},
		"a target while one warms up":     {members: "rrw", desired: 3, calls: []Call{call(half, 50, 70)}, want: 3},
		"a target, warming, much more":    {members: "rrw", desired: 3, calls: []Call{call(half, 50, 100)}, want: 4},
		"a target from nothing":           {members: "", desired: 0, calls: []Call{call(half, 50, 51)}, want: 2},
		"a target in, gently":             {members: ten(ten("")), desired: 20, calls: []Call{call(half, 45, 5)}, want: 18},
		"a target in, by one":             {members: "rrrr", desired: 4, calls: []Call{call(half, 45, 1)}, want: 3},
		"a target in would be over it":    {members: "rr", desired: 2, calls: []Call{call(half, 45, 40)}, want: 2},
		"a target in while one leaves":    {members: "rrrl", desired: 3, calls: []Call{call(half, 45, 1)}, want: 3},
		"a target in while one warms up":  {members: "rrrw", desired: 4, calls: []Call{call(half, 45, 1)}, want: 4},
		"a target without data":           {members: "rrr", desired: 3, calls: []Call{call(half, 45)}, want: 3, failed: "half: Metric data points must be provided"},
		"a target that does not scale in": {members: "rrrr", desired: 4, calls: []Call{call(outOnly, 45, 1)}, want: 4},
		"a policy that is off":            {members: "rr", desired: 2, calls: []Call{call(off, 50, 100)}, want: 2},

		"two targets out: the larger":          {members: "rr", desired: 2, calls: []Call{call(half, 50, 70), call(third, 30, 90)}, want: 6},
		"in and out: out":                      {members: "rrrr", desired: 4, calls: []Call{call(half, 45, 1), call(third, 30, 33)}, want: 5},
		"in, and another stands for out":       {members: "rrrr", desired: 4, calls: []Call{call(half, 45, 1), standing(call(plus, 0))}, want: 4},
		"in by steps, a target stands out":     {members: "rrrr", desired: 4, calls: []Call{call(fewer, 20, 1), standing(call(half, 50, 80))}, want: 4},
		"what only stands does nothing":        {members: "rr", desired: 2, calls: []Call{standing(call(half, 50, 100))}, want: 2},
		"in by steps and a target: the larger": {members: ten(""), desired: 10, calls: []Call{call(half, 45, 1), call(fewer, 20, 1)}, want: 9},

		"suspended": {members: "rr", desired: 2, group: func(g *autoscaling.Group) {
			g.Suspended = []autoscaling.Suspended{{Process: autoscaling.AlarmNotification}}
		}, calls: []Call{call(half, 50, 100)}, want: 2},
		"being deleted":          {members: "rr", desired: 2, group: func(g *autoscaling.Group) { g.Deleting = true }, calls: []Call{call(half, 50, 100)}, want: 2},
		"in, down to a forecast": {members: ten(""), desired: 10, change: func(s *Situation) { s.Floor = 9 }, calls: []Call{call(fewer, 20, 1)}, want: 9},
		"at the forecast":        {members: ten(""), desired: 10, change: func(s *Situation) { s.Floor = 12 }, calls: []Call{call(fewer, 20, 1)}, want: 10},
	} {
		s := Situation{
			Group:    autoscaling.Group{Name: "g", Max: 20, Desired: test.desired, Cooldown: 300 * time.Second, Warmup: -1},
			Members:  members(test.members),
			Policies: []autoscaling.Policy{steps, fewer, exact, plus, minus, outOnly, off},
			Calls:    test.calls, Now: t0,
		}
		// Policies that track a target have a say even when nobody calls them: only
		// those that the case is about are there.
		for _, p := range []autoscaling.Policy{half, third} {
			if slices.ContainsFunc(test.calls, func(c Call) bool { return c.Policy == p.Name }) {
				s.Policies = append(s.Policies, p)
			}
		}
		if test.group != nil {
			test.group(&s.Group)
		}
		if test.change != nil {
			test.change(&s)
		}
		d := Plan(s)
		var failed string
		for policy, err := range d.Failed {
			failed += policy + ": " + err.Error()
		}
		if d.Desired != test.want || failed != test.failed || (d.Reason == "") != (test.want == test.desired) {
			t.Errorf("%s: %d (%s) %q, want %d %q", name, d.Desired, d.Reason, failed, test.want, test.failed)
		}
	}
}

// Targets scale in only together.
func TestTargetsAgree(t *testing.T) {
	s := Situation{
		Group:    autoscaling.Group{Name: "g", Max: 20, Desired: 4},
		Members:  members("rrrr"),
		Policies: []autoscaling.Policy{half, third}, Now: t0,
		Calls: []Call{call(half, 45, 1)},
	}
	if d := Plan(s); d.Desired != 4 {
		t.Errorf("one of two: %+v", d)
	}
	s.Calls = append(s.Calls, standing(call(third, 27, 20)))
	if d := Plan(s); d.Desired != 3 || d.Policy != "half" {
		t.Errorf("one, the other stands for it: %+v", d)
	}
	s.Policies[1].Target = &autoscalingapi.TargetTrackingConfiguration{TargetValue: new(30.0), DisableScaleIn: new(true)}
	s.Calls = s.Calls[:1]
	if d := Plan(s); d.Desired != 3 {
		t.Errorf("the other never scales in: %+v", d)
	}
}

func TestReason(t *testing.T) {
	d := Plan(Situation{
		Group: autoscaling.Group{Name: "g", Max: 5, Desired: 2}, Members: members("rr"), Policies: []autoscaling.Policy{half}, Now: t0,
		Calls: []Call{{Policy: "half", Alarm: "TargetTracking-g-AlarmHigh-1", State: "ALARM", Threshold: 50, Values: []float64{70}}},
	})
	want := "At 2026-11-29T10:00:02Z a monitor alarm TargetTracking-g-AlarmHigh-1 in state ALARM triggered policy half changing the desired capacity from 2 to 3."
	if d.Reason != want {
		t.Errorf("%s\nwant\n%s", d.Reason, want)
	}
}

func TestAggregation(t *testing.T) {
	for how, want := range map[string]float64{"Minimum": 1, "Maximum": 6, "Average": 3, "": 3} {
		if got := aggregate(how, []float64{1, 2, 6}); got != want {
			t.Errorf("%s: %v, want %v", how, got, want)
		}
	}
}

// Whatever alarms say, in whatever order, and however far instances are: a size is
// within the bounds, and never smaller while a policy whose alarm calls wants more.
func TestPlanKeepsBounds(t *testing.T) {
	policies := []autoscaling.Policy{steps, fewer, exact, plus, minus, half, third}
	states := "rrrrwple"
	property := func(seed uint64) bool {
		r := rand.New(rand.NewPCG(seed, 1))
		low := r.IntN(4)
		g := autoscaling.Group{Name: "g", Min: low, Max: low + r.IntN(12), Warmup: -1, Cooldown: time.Duration(r.IntN(300)) * time.Second}
		g.Desired = g.Min + r.IntN(g.Max-g.Min+1)
		now := t0
		for range 40 {
			now = now.Add(time.Duration(r.IntN(90)) * time.Second)
			var all strings.Builder
			for range r.IntN(14) {
				all.WriteByte(states[r.IntN(len(states))])
			}
			g.Failures, g.Scaled = r.IntN(2), now.Add(-time.Duration(r.IntN(600))*time.Second)
			s := Situation{Group: g, Members: members(all.String()), Policies: policies, Now: now, Floor: r.IntN(20)}
			for range r.IntN(6) {
				p := policies[r.IntN(len(policies))]
				c := call(p, 50, r.NormFloat64()*100)
				c.Standing = r.IntN(3) == 0
				s.Calls = append(s.Calls, c)
			}
			d := Plan(s)
			if d.Desired < g.Min || d.Desired > g.Max || (d.Reason == "") != (d.Desired == g.Desired) {
				t.Logf("%+v of %+v", d, s)
				return false
			}
			if d.Desired < g.Desired {
				if d.Desired < min(s.Floor, g.Desired) {
					t.Logf("below the forecast %d: %+v", s.Floor, d)
					return false
				}
				for _, c := range s.Calls { // alone, with room, would it want more?
					alone := s
					c.Standing = false
					alone.Calls, alone.Group.Max = []Call{c}, 1000
					if Plan(alone).Desired > g.Desired {
						t.Logf("in by %s, while %s wants more: %+v", d.Policy, c.Policy, s)
						return false
					}
				}
			}
			g.Desired = d.Desired
		}
		return true
	}
	if err := quick.Check(property, &quick.Config{MaxCount: 300}); err != nil {
		t.Error(err)
	}
}
