package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// refreshed is a group of so many instances of version 1 that launches version 2,
// with a refresh.
func refreshed(n int, prefs autoscalingapi.RefreshPreferences, members ...string) State {
	for i := len(members); i < n; i++ {
		members = append(members, fmt.Sprintf("i-%d %c InService age=%dm", i, 'a'+i%3, 60+i))
	}
	s := state(sized(n), members...)
	s.Group.Warmup = -1
	s.Source.Version, s.Source.Choices[0].Version = "2", "2"
	s.Refresh = &autoscaling.Refresh{Group: "g", ID: "r", Status: autoscaling.RefreshPending, Start: now, Preferences: prefs}
	return s
}

func TestRefresh(t *testing.T) {
	for _, test := range []struct {
		name           string
		size           int
		prefs          autoscalingapi.RefreshPreferences
		members        []string
		least, most    int // that serve, that there are
		replaced, left int
		takes          time.Duration // at least
		status, config string
	}{
		{name: "one at a time in a small group", size: 3, least: 2, most: 3, replaced: 3},
		{name: "half of it", size: 4, prefs: autoscalingapi.RefreshPreferences{MinHealthyPercentage: new(int32(50))}, least: 2, most: 4, replaced: 4},
		{name: "all at once", size: 4, prefs: autoscalingapi.RefreshPreferences{MinHealthyPercentage: new(int32(0))}, least: 0, most: 4, replaced: 4},
		{name: "new before old", size: 4, prefs: autoscalingapi.RefreshPreferences{MinHealthyPercentage: new(int32(100)), MaxHealthyPercentage: new(int32(150))}, least: 4, most: 6, replaced: 4},
		{name: "with warm-up", size: 3, prefs: autoscalingapi.RefreshPreferences{InstanceWarmup: new(int32(300))}, least: 2, most: 3, replaced: 3, takes: 15 * time.Minute},
		{name: "what matches stays", size: 3, prefs: autoscalingapi.RefreshPreferences{SkipMatching: new(true)}, members: []string{"i-9 a InService version=2"}, least: 2, most: 3, replaced: 2},
		{name: "with checkpoints", size: 4, prefs: autoscalingapi.RefreshPreferences{MinHealthyPercentage: new(int32(0)), CheckpointPercentages: []int32{25, 100}, CheckpointDelay: new(int32(600))}, least: 0, most: 4, replaced: 4, takes: 10 * time.Minute},
		{name: "to the last checkpoint", size: 4, prefs: autoscalingapi.RefreshPreferences{CheckpointPercentages: []int32{50}, CheckpointDelay: new(int32(600))}, least: 3, most: 4, replaced: 2, left: 2, takes: 10 * time.Minute},
		{name: "what is protected is waited for", size: 2, members: []string{"i-9 a InService protected"}, least: 1, most: 2, replaced: 1, left: 1, takes: time.Hour, status: autoscaling.RefreshFailed},
		{name: "or ignored", size: 2, prefs: autoscalingapi.RefreshPreferences{ScaleInProtectedInstances: "Ignore"}, members: []string{"i-9 a InService protected"}, least: 1, most: 2, replaced: 1},
		{name: "or replaced", size: 2, prefs: autoscalingapi.RefreshPreferences{ScaleInProtectedInstances: "Refresh"}, members: []string{"i-9 a InService protected"}, least: 1, most: 2, replaced: 2},
		{name: "none", size: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := refreshed(test.size, test.prefs, test.members...)
			var last autoscaling.Refresh
			run(t, &s, func(s State) {
				if s.Refresh != nil {
					last = *s.Refresh
				}
				there := 0
				for _, m := range s.Members {
					if m.Counts() {
						there++
					}
				}
				if n := serving(s); n < test.least || there > test.most {
					t.Fatalf("%d serve, %d are there", n, there)
				}
				if d := Plan(s); d.Refresh != nil {
					last = *d.Refresh
				}
			})
			if want := cmp.Or(test.status, autoscaling.RefreshSuccessful); last.Status != want || last.ToUpdate != test.left || last.Total-last.ToUpdate != test.replaced {
				t.Errorf("%+v", last)
			}
			fresh := 0
			for _, m := range s.Members {
				if m.Version == "2" && m.Instance != "i-9" {
					fresh++
				}
			}
			if fresh != test.replaced || serving(s) != test.size {
				t.Errorf("%d are new, %d serve", fresh, serving(s))
			}
			if took := s.Now.Sub(now); took < test.takes || test.takes == 0 && took > 0 {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestRefreshIsCancelled(t *testing.T) {
	s := refreshed(3, autoscalingapi.RefreshPreferences{})
	d := Plan(s) // one ends
	carry(&s, d, 0)
	s.Refresh.Status = autoscaling.RefreshCancelling
	var last autoscaling.Refresh
	run(t, &s, func(s State) {
		if d := Plan(s); d.Refresh != nil {
			last = *d.Refresh
		}
	})
	fresh := 0
	for _, m := range s.Members {
		if m.Version == "2" {
			fresh++
		}
	}
	if last.Status != autoscaling.RefreshCancelled || last.ToUpdate != 2 || fresh != 1 || serving(s) != 3 {
		t.Errorf("%+v; %d are new", last, fresh)
	}
}

func TestRefreshWatchesAlarms(t *testing.T) {
	s := refreshed(3, autoscalingapi.RefreshPreferences{})
	carry(&s, Plan(s), 0)
	s.Alarm = "sick"
	if d := Plan(s); d.Refresh.Status != autoscaling.RefreshFailed || d.Refresh.Reason != "The CloudWatch alarm sick is in ALARM." || d.Refresh.End.IsZero() {
		t.Errorf("%+v", d.Refresh)
	}
	s.Refresh.Preferences.AutoRollback = new(true)
	s.Refresh.Previous = &autoscalingapi.DesiredConfiguration{}
	d := Plan(s)
	if d.Refresh.Status != autoscaling.RollbackInProgress {
		t.Errorf("with auto rollback: %+v", d.Refresh)
	}
	s.Refresh = d.Refresh // which the alarm does not concern
	if d := Plan(s); d.Refresh.Status != autoscaling.RollbackInProgress {
		t.Errorf("rolling back: %+v", d.Refresh)
	}
}

func TestRefreshGoesBack(t *testing.T) {
	before := &autoscalingapi.DesiredConfiguration{LaunchTemplate: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1"), Version: new("1")}}
	s := refreshed(3, autoscalingapi.RefreshPreferences{AutoRollback: new(true)})
	s.Refresh.Previous = before
	// The first that ends is not followed by another.
	carry(&s, Plan(s), 0)
	s.Group.RetryAt = now.Add(2 * time.Hour)
	var last autoscaling.Refresh
	run(t, &s, func(s State) {
		if d := Plan(s); d.Refresh != nil {
			last = *d.Refresh
		}
	}, now.Add(90*time.Minute))
	if last.Status != autoscaling.RollbackInProgress || last.Rollback == nil || last.Rollback.Reason == "" {
		t.Fatalf("%+v", last)
	}
	s.Group.RetryAt = time.Time{}
	s.Source.Version, s.Source.Choices[0].Version = "1", "1"
	run(t, &s, func(s State) {
		if d := Plan(s); d.Refresh != nil {
			last = *d.Refresh
		}
	})
	if last.Status != autoscaling.RollbackSuccessful || last.ToUpdate != last.Total || serving(s) != 3 {
		t.Errorf("%+v; %d serve", last, serving(s))
	}
}

func TestRefreshCountsWhatIsLeft(t *testing.T) {
	s := refreshed(2, autoscalingapi.RefreshPreferences{})
	s.Refresh.Previous = &autoscalingapi.DesiredConfiguration{LaunchTemplate: &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: new("lt-1"), Version: new("1")}}
	var left []int
	seen := func(s State) {
		if d := Plan(s); d.Refresh != nil && (len(left) == 0 || left[len(left)-1] != d.Refresh.ToUpdate) {
			left = append(left, d.Refresh.ToUpdate)
		}
	}
	run(t, &s, seen)
	if !slices.Equal(left, []int{2, 1, 0}) {
		t.Errorf("left: %v", left)
	}
	// A rollback counts back.
	s = refreshed(2, autoscalingapi.RefreshPreferences{CheckpointPercentages: []int32{50, 100}, CheckpointDelay: new(int32(3600))})
	left = nil
	run(t, &s, seen, now.Add(time.Minute))
	s.Refresh.RollBack("because", now)
	s.Source.Version, s.Source.Choices[0].Version = "1", "1"
	run(t, &s, seen)
	if !slices.Equal(left, []int{2, 1, 2}) {
		t.Errorf("there and back: %v", left)
	}
}

func TestRefreshOfWarmPool(t *testing.T) {
	for _, policy := range []autoscalingapi.RefreshPreferences{{}, {MinHealthyPercentage: new(int32(0))}, {SkipMatching: new(true)}} {
		s := refreshed(2, policy, "i-1 a InService age=1h", "i-2 b InService age=1h", "i-3 a Warmed:Stopped stopped", "i-4 b Warmed:Stopped stopped")
		s.Group.Max, s.Group.WarmPool = 4, &autoscaling.WarmPool{MaxPrepared: -1, State: "Stopped"}
		var last autoscaling.Refresh
		run(t, &s, func(s State) {
			if d := Plan(s); d.Refresh != nil {
				last = *d.Refresh
			}
			old := 0
			for _, m := range s.Members {
				switch {
				case m.Version != "1" || m.Ending:
				case !m.Warm():
					old++
					if m.Instance != "i-1" && m.Instance != "i-2" {
						t.Fatalf("one that is to be replaced went into service: %+v", m)
					}
				}
				if m.Warm() && m.Ending && m.Version == "1" && old > 0 {
					t.Fatalf("the warm pool came first: %+v", s.Members)
				}
			}
		})
		if last.Status != autoscaling.RefreshSuccessful || last.Total != 4 || last.Pool != 2 || last.ToUpdate != 0 || last.PoolToUpdate != 0 {
			t.Errorf("%+v", last)
		}
		warm := 0
		for _, m := range s.Members {
			if m.Version != "2" {
				t.Errorf("%s is left", m.Instance)
			}
			if m.State == autoscaling.WarmedStopped {
				warm++
			}
		}
		if serving(s) != 2 || warm != 2 {
			t.Errorf("%+v", s.Members)
		}
	}
}
