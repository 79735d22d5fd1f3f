package scaling

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestScheduledActions(t *testing.T) {
	now := at("2026-11-29T11:59:30Z")
	f := newFixture(t, now)
	f.group(autoscaling.Group{Name: "g", Min: 1, Max: 5, Desired: 2})
	f.group(autoscaling.Group{Name: "s", Max: 5, Suspended: []autoscaling.Suspended{{Process: autoscaling.ScheduledActions}}})
	for _, a := range []autoscaling.ScheduledAction{
		{Group: "g", Name: "noon", Recurrence: "0 12 * * *", Desired: new(4)},
		{Group: "g", Name: "after", Start: at("2026-11-29T12:30:00Z"), Max: new(3)},
		{Group: "s", Name: "noon", Recurrence: "0 12 * * *", Desired: new(4)},
		{Group: "gone", Name: "noon", Start: at("2026-11-29T12:00:00Z"), Desired: new(4)},
	} {
		if _, err := f.groups.Scheduled.Create(t.Context(), a.Key(), a); err != nil {
			t.Fatal(err)
		}
	}
	if next := f.turn(now); !next.Equal(at("2026-11-29T12:00:00Z")) {
		t.Errorf("the next is at %v", next)
	}
	f.wantDesired("g", 2)
	f.turn(at("2026-11-29T12:00:00Z"))
	f.wantDesired("g", 4)
	f.wantDesired("s", 0)
	if got := f.reasons("g"); len(got) != 3 || !strings.Contains(got[2], "the scheduled action noon executed. Setting desired capacity from 2 to 4.") {
		t.Errorf("reasons: %q", got)
	}

	// A person changes the size; a restart does not change it back.
	if err := f.groups.SetDesired(t.Context(), "g", 2, "a person says so"); err != nil {
		t.Fatal(err)
	}
	f.turn(at("2026-11-29T12:00:20Z"))
	f.wantDesired("g", 2)
	f.restart()
	f.turn(at("2026-11-29T12:00:30Z"))
	f.wantDesired("g", 2)

	// The region was away when the other's time came.
	f.restart()
	f.turn(at("2026-11-29T13:10:00Z"))
	if g, err := f.groups.Groups.Get(t.Context(), "g"); err != nil || g.Value.Max != 3 {
		t.Errorf("%+v, %v", g.Value, err)
	}
	items, _, err := f.groups.Scheduled.List(t.Context(), "")
	var left []string
	for _, it := range items {
		left = append(left, it.Key)
	}
	if diff := gocmp.Diff([]string{"g/noon", "s/noon"}, left); diff != "" || err != nil {
		t.Errorf("left: %s, %v", diff, err)
	}
	f.turn(at("2026-11-30T12:00:01Z"))
	f.wantDesired("g", 2) // 4 is out of bounds now
	if !strings.Contains(f.log.String(), "must be between") {
		t.Errorf("log: %s", f.log)
	}
}

// A recurring action that is made, or changed, just after its time waits for the
// next.
func TestScheduledActionIsNew(t *testing.T) {
	f := newFixture(t, at("2026-11-29T12:00:30Z"))
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 1})
	a := autoscaling.ScheduledAction{Group: "g", Name: "x", Recurrence: "0 * * * *", Desired: new(4)}
	if _, err := f.groups.Scheduled.Create(t.Context(), a.Key(), a); err != nil {
		t.Fatal(err)
	}
	if next := f.turn(at("2026-11-29T12:00:30Z")); !next.Equal(at("2026-11-29T13:00:00Z")) {
		t.Errorf("the next is at %v", next)
	}
	f.turn(at("2026-11-29T13:00:00Z"))
	f.wantDesired("g", 4)
	if _, err := f.groups.Scheduled.Modify(t.Context(), a.Key(), func(a *autoscaling.ScheduledAction) error {
		a.Recurrence, a.Desired = "1 * * * *", new(6)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.turn(at("2026-11-29T13:01:10Z"))
	f.wantDesired("g", 4)
	f.turn(at("2026-11-29T14:01:00Z"))
	f.wantDesired("g", 6)
}
