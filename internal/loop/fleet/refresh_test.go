package fleet

import (
	"cmp"
	"fmt"
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
		replaced       int
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
		{name: "to the last checkpoint", size: 4, prefs: autoscalingapi.RefreshPreferences{CheckpointPercentages: []int32{50}, CheckpointDelay: new(int32(600))}, least: 3, most: 4, replaced: 2, takes: 10 * time.Minute},
		{name: "what is protected is waited for", size: 2, members: []string{"i-9 a InService protected"}, least: 1, most: 2, replaced: 1, takes: time.Hour, status: autoscaling.RefreshFailed},
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
			if want := cmp.Or(test.status, autoscaling.RefreshSuccessful); last.Status != want || want == autoscaling.RefreshSuccessful && last.Percentage < 50 {
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
	if last.Status != autoscaling.RefreshCancelled || fresh != 1 || serving(s) != 3 {
		t.Errorf("%+v; %d are new", last, fresh)
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
	if last.Status != autoscaling.RollbackSuccessful || serving(s) != 3 {
		t.Errorf("%+v; %d serve", last, serving(s))
	}
}
