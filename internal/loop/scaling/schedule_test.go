package scaling

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func at(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestTurnOf(t *testing.T) {
	hourly := autoscaling.ScheduledAction{Recurrence: "0 * * * *"}
	ending := autoscaling.ScheduledAction{Recurrence: "0 * * * *", End: at("2026-11-29T12:30:00Z")}
	once := autoscaling.ScheduledAction{Start: at("2026-11-29T12:00:00Z")}
	starting := autoscaling.ScheduledAction{Recurrence: "0 * * * *", Start: at("2026-11-29T11:30:00Z")}
	minutely := autoscaling.ScheduledAction{Recurrence: "* * * * *"}
	for name, test := range map[string]struct {
		action           autoscaling.ScheduledAction
		since, now       string
		wantAt, wantNext string
		over             bool
	}{
		"before":                    {hourly, "2026-11-29T11:00:00Z", "2026-11-29T11:59:59Z", "", "2026-11-29T12:00:00Z", false},
		"on time":                   {hourly, "2026-11-29T11:00:00Z", "2026-11-29T12:00:00Z", "2026-11-29T12:00:00Z", "2026-11-29T13:00:00Z", false},
		"done":                      {hourly, "2026-11-29T12:00:00Z", "2026-11-29T12:00:01Z", "", "2026-11-29T13:00:00Z", false},
		"two minutes late":          {hourly, "2026-11-29T11:00:00Z", "2026-11-29T12:02:00Z", "2026-11-29T12:00:00Z", "2026-11-29T13:00:00Z", false},
		"too late":                  {hourly, "2026-11-29T08:00:00Z", "2026-11-29T12:02:01Z", "", "2026-11-29T13:00:00Z", false},
		"several, the last":         {minutely, "2026-11-29T08:00:00Z", "2026-11-29T12:02:30Z", "2026-11-29T12:02:00Z", "2026-11-29T12:03:00Z", false},
		"the last time":             {ending, "2026-11-29T11:00:00Z", "2026-11-29T12:00:00Z", "2026-11-29T12:00:00Z", "", true},
		"over":                      {ending, "2026-11-29T12:00:00Z", "2026-11-29T12:10:00Z", "", "", true},
		"at its start":              {starting, "2026-11-29T11:00:00Z", "2026-11-29T11:30:00Z", "2026-11-29T11:30:00Z", "2026-11-29T12:00:00Z", false},
		"once, before":              {once, "", "2026-11-29T11:00:00Z", "", "2026-11-29T12:00:00Z", false},
		"once, an hour late":        {once, "", "2026-11-29T13:00:00Z", "2026-11-29T12:00:00Z", "", true},
		"once, the region was away": {once, "", "2026-11-29T13:00:01Z", "", "", true},
	} {
		got := TurnOf(test.action, at(test.since), at(test.now))
		if diff := gocmp.Diff(Turn{At: at(test.wantAt), Next: at(test.wantNext), Over: test.over}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestScheduled(t *testing.T) {
	for name, test := range map[string]struct {
		action  autoscaling.ScheduledAction
		want    [3]int
		reasons []string
		fails   bool
	}{
		"all": {autoscaling.ScheduledAction{Name: "x", Min: new(1), Max: new(5), Desired: new(2)}, [3]int{1, 5, 2}, []string{
			"At 2026-11-29T10:00:02Z a scheduled action update of AutoScalingGroup constraints to min: 1, max: 5, desired: 2 changing the desired capacity from 3 to 2.",
			"At 2026-11-29T10:00:02Z the scheduled action x executed. Setting desired capacity from 3 to 2.",
		}, false},
		"the maximum moves it": {autoscaling.ScheduledAction{Name: "x", Max: new(2)}, [3]int{1, 2, 2}, []string{
			"At 2026-11-29T10:00:02Z a scheduled action update of AutoScalingGroup constraints to min: 1, max: 2, desired: 2 changing the desired capacity from 3 to 2.",
			"At 2026-11-29T10:00:02Z the scheduled action x executed. Setting desired capacity from 3 to 2.",
		}, false},
		"bounds alone":   {autoscaling.ScheduledAction{Name: "x", Min: new(2), Max: new(9)}, [3]int{2, 9, 3}, nil, false},
		"out of bounds":  {autoscaling.ScheduledAction{Name: "x", Desired: new(9)}, [3]int{1, 4, 3}, nil, true},
		"bounds crossed": {autoscaling.ScheduledAction{Name: "x", Min: new(5)}, [3]int{1, 4, 3}, nil, true},
	} {
		g := autoscaling.Group{Min: 1, Max: 4, Desired: 3}
		err := Scheduled(&g, test.action, t0)
		if got := [3]int{g.Min, g.Max, g.Desired}; got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
		if diff := gocmp.Diff(test.reasons, g.Reasons); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
