package scaling

import (
	"strings"
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

func TestScheduleNext(t *testing.T) {
	for name, test := range map[string]struct {
		action      autoscaling.ScheduledAction
		after, want string
	}{
		"once":         {autoscaling.ScheduledAction{Start: at("2026-11-29T12:00:00Z")}, "2026-11-29T10:00:00Z", "2026-11-29T12:00:00Z"},
		"once, over":   {autoscaling.ScheduledAction{Start: at("2026-11-29T12:00:00Z")}, "2026-11-29T12:00:00Z", ""},
		"every day":    {autoscaling.ScheduledAction{Recurrence: "30 18 * * *"}, "2026-11-29T18:30:00Z", "2026-11-30T18:30:00Z"},
		"on weekdays":  {autoscaling.ScheduledAction{Recurrence: "0 9 * * 1-5"}, "2026-11-27T09:00:00Z", "2026-11-30T09:00:00Z"},
		"on Sunday, 7": {autoscaling.ScheduledAction{Recurrence: "0 9 * * 7"}, "2026-11-27T09:00:00Z", "2026-11-29T09:00:00Z"},
		"by a name":    {autoscaling.ScheduledAction{Recurrence: "0 9 * * MON"}, "2026-11-29T09:00:00Z", "2026-11-30T09:00:00Z"},
		"in Seoul":     {autoscaling.ScheduledAction{Recurrence: "0 9 * * *", TimeZone: "Asia/Seoul"}, "2026-11-29T10:00:00Z", "2026-11-30T00:00:00Z"},
		"in summer":    {autoscaling.ScheduledAction{Recurrence: "0 9 * * *", TimeZone: "Europe/Berlin"}, "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"},
		"in winter":    {autoscaling.ScheduledAction{Recurrence: "0 9 * * *", TimeZone: "Europe/Berlin"}, "2026-12-01T00:00:00Z", "2026-12-01T08:00:00Z"},
		"not before":   {autoscaling.ScheduledAction{Recurrence: "0 * * * *", Start: at("2026-11-29T12:00:00Z")}, "2026-11-29T10:00:00Z", "2026-11-29T12:00:00Z"},
		"until":        {autoscaling.ScheduledAction{Recurrence: "0 * * * *", End: at("2026-11-29T12:00:00Z")}, "2026-11-29T11:30:00Z", "2026-11-29T12:00:00Z"},
		"not after":    {autoscaling.ScheduledAction{Recurrence: "0 * * * *", End: at("2026-11-29T12:00:00Z")}, "2026-11-29T12:00:00Z", ""},
		"never at all": {autoscaling.ScheduledAction{Recurrence: "0 0 30 2 *"}, "2026-11-29T12:00:00Z", ""},
	} {
		s, err := ScheduleOf(test.action)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := s.Next(at(test.after)); !got.Equal(at(test.want)) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestScheduleOfRefuses(t *testing.T) {
	for want, action := range map[string]autoscaling.ScheduledAction{
		"neither a start nor a recurrence": {},
		"recurrence":                       {Recurrence: "0 0 * *"},
		"time zone":                        {Recurrence: "0 0 * * *", TimeZone: "Mars/Olympus"},
	} {
		if _, err := ScheduleOf(action); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", action, err, want)
		}
	}
}

func TestTurnOf(t *testing.T) {
	hourly := autoscaling.ScheduledAction{Recurrence: "0 * * * *"}
	ending := autoscaling.ScheduledAction{Recurrence: "0 * * * *", End: at("2026-11-29T12:30:00Z")}
	once := autoscaling.ScheduledAction{Start: at("2026-11-29T12:00:00Z")}
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
		"once, before":              {once, "", "2026-11-29T11:00:00Z", "", "2026-11-29T12:00:00Z", false},
		"once, an hour late":        {once, "", "2026-11-29T13:00:00Z", "2026-11-29T12:00:00Z", "", true},
		"once, the region was away": {once, "", "2026-11-29T13:00:01Z", "", "", true},
	} {
		s, err := ScheduleOf(test.action)
		if err != nil {
			t.Fatal(err)
		}
		got := TurnOf(s, at(test.since), at(test.now))
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
