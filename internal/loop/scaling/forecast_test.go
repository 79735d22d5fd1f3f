package scaling

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// load is a service's: more at noon than at night, less at weekends.
func load(t time.Time, growth, weekend float64) float64 {
	v := 400 + 250*math.Sin(2*math.Pi*float64(t.Hour()-6)/24)
	if d := t.Weekday(); d == time.Saturday || d == time.Sunday {
		v *= 1 - weekend
	}
	return v + growth*t.Sub(t0).Hours()
}

// hours are so many hours before t0 of a load, with noise of the relative size.
func hoursOf(n int, noise float64, f func(time.Time) float64) []Hour {
	r := rand.New(rand.NewPCG(7, 7))
	start := t0.Truncate(time.Hour).Add(-time.Duration(n) * time.Hour)
	var all []Hour
	for i := range n {
		at := start.Add(time.Duration(i) * time.Hour)
		all = append(all, Hour{At: at, Value: f(at) * (1 + noise*r.NormFloat64())})
	}
	return all
}

// off is the mean absolute error of a forecast, as a part of the mean load.
func off(forecast []Hour, f func(time.Time) float64) float64 {
	var err, sum float64
	for _, h := range forecast {
		err, sum = err+math.Abs(h.Value-f(h.At)), sum+f(h.At)
	}
	return err / sum
}

func TestExpect(t *testing.T) {
	for name, test := range map[string]struct {
		hours           int
		growth, weekend float64
		noise           float64
		bound           float64
	}{
		"a day":                   {24, 0, 0, 0, 0.001},
		"a day, noisy":            {24, 0, 0, 0.05, 0.06},
		"two weeks":               {14 * 24, 0, 0, 0.05, 0.04},
		"two weeks with weekends": {14 * 24, 0, 0.5, 0.05, 0.06},
		"it grows":                {7 * 24, 0.8, 0, 0.05, 0.05},
		"it grows, with weekends": {14 * 24, 0.8, 0.3, 0.05, 0.05},
	} {
		f := func(at time.Time) float64 { return load(at, test.growth, test.weekend) }
		forecast, ok := Expect(hoursOf(test.hours, test.noise, f), t0, ahead)
		if !ok || len(forecast) != ahead || !forecast[0].At.Equal(t0.Truncate(time.Hour)) || !forecast[47].At.Equal(t0.Truncate(time.Hour).Add(47*time.Hour)) {
			t.Fatalf("%s: %v, %v", name, ok, forecast)
		}
		if got := off(forecast, f); got > test.bound {
			t.Errorf("%s: it is off by %.3f, more than %.3f", name, got, test.bound)
		}
	}
}

// What the forecast is for: the rush is seen before it comes. Saying that all stays
// as it is would be off by more than half.
func TestExpectBeatsToday(t *testing.T) {
	f := func(at time.Time) float64 { return load(at, 0, 0) }
	history := hoursOf(7*24, 0.1, f)
	forecast, _ := Expect(history, t0, ahead)
	same := make([]Hour, len(forecast))
	for i, h := range forecast {
		same[i] = Hour{h.At, history[len(history)-1].Value}
	}
	if got, naive := off(forecast, f), off(same, f); got > naive/5 {
		t.Errorf("off by %.3f; by %.3f if it just stayed", got, naive)
	}
}

func TestExpectWithGaps(t *testing.T) {
	f := func(at time.Time) float64 { return load(at, 0, 0) }
	var some []Hour
	for i, h := range hoursOf(10*24, 0.02, f) {
		if i%7 != 3 && (i < 100 || i > 130) {
			some = append(some, h)
		}
	}
	forecast, ok := Expect(some, t0, ahead)
	if got := off(forecast, f); !ok || got > 0.05 {
		t.Errorf("off by %.3f, %v", got, ok)
	}
}

func TestExpectNothing(t *testing.T) {
	if _, ok := Expect(hoursOf(leastHistory-1, 0, func(time.Time) float64 { return 1 }), t0, ahead); ok {
		t.Error("of less than a day")
	}
	forecast, ok := Expect(hoursOf(7*24, 0, func(at time.Time) float64 { return max(0, -t0.Sub(at).Hours()) }), t0, ahead)
	for _, h := range forecast {
		if h.Value < 0 || math.IsNaN(h.Value) {
			t.Errorf("at %v: %v", h.At, h.Value)
		}
	}
	falling, _ := Expect(hoursOf(7*24, 0, func(at time.Time) float64 { return t0.Sub(at).Hours() }), t0, ahead)
	if !ok || falling[47].Value != 0 {
		t.Errorf("a load that ends: %v", falling[47])
	}
}

func TestNeeded(t *testing.T) {
	hour := t0.Truncate(time.Hour)
	// 60 samples an hour of two instances at 50 % have a sum of 6000.
	load, metric := []Hour{{hour, 6000}, {hour.Add(time.Hour), 9000}}, []Hour{{hour, 50}, {hour.Add(time.Hour), 50}}
	capacity := []Hour{{hour, 2}, {hour.Add(time.Hour), 3}}
	if got := Ratio(load, metric, capacity); math.Abs(got-60) > 1e-9 {
		t.Errorf("ratio: %v", got)
	}
	if got := Ratio(load, nil, capacity); got != 0 {
		t.Errorf("ratio of nothing: %v", got)
	}
	got := Needed([]Hour{{hour, 6000}, {hour.Add(time.Hour), 6001}, {hour.Add(2 * time.Hour), 0}}, 50, 60)
	if diff := gocmp.Diff([]Hour{{hour, 2}, {hour.Add(time.Hour), 3}, {hour.Add(2 * time.Hour), 0}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAheadOf(t *testing.T) {
	hour := at("2026-11-29T10:00:00Z")
	o := Outlook{Capacity: []Hour{{hour, 3}, {hour.Add(time.Hour), 8}, {hour.Add(2 * time.Hour), 2}}}
	raise := autoscalingapi.PredictiveScalingConfiguration{
		MaxCapacityBreachBehavior: autoscalingapi.PredictiveScalingMaxCapacityBreachBehaviorIncreaseMaxCapacity, MaxCapacityBuffer: new(int32(10)),
	}
	for name, test := range map[string]struct {
		config autoscalingapi.PredictiveScalingConfiguration
		now    string
		want   Ahead
	}{
		"in the hour":         {now: "2026-11-29T10:54:59Z", want: Ahead{hour, 3, 5, at("2026-11-29T10:55:00Z")}},
		"before the next":     {now: "2026-11-29T10:55:00Z", want: Ahead{hour.Add(time.Hour), 5, 5, at("2026-11-29T11:55:00Z")}},
		"a buffer of its own": {autoscalingapi.PredictiveScalingConfiguration{SchedulingBufferTime: new(int32(600))}, "2026-11-29T10:50:00Z", Ahead{hour.Add(time.Hour), 5, 5, at("2026-11-29T11:50:00Z")}},
		"no buffer":           {autoscalingapi.PredictiveScalingConfiguration{SchedulingBufferTime: new(int32(0))}, "2026-11-29T10:59:59Z", Ahead{hour, 3, 5, at("2026-11-29T11:00:00Z")}},
		"it raises the most":  {raise, "2026-11-29T10:55:00Z", Ahead{hour.Add(time.Hour), 8, 9, at("2026-11-29T11:55:00Z")}},
		"not before less":     {now: "2026-11-29T11:55:00Z", want: Ahead{hour.Add(2 * time.Hour), 5, 5, at("2026-11-29T12:55:00Z")}},
		"beyond the forecast": {now: "2026-11-29T20:00:00Z", want: Ahead{at("2026-11-29T20:00:00Z"), 0, 5, at("2026-11-29T20:55:00Z")}},
	} {
		if diff := gocmp.Diff(test.want, AheadOf(o, test.config, autoscaling.Group{Max: 5}, at(test.now))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPrepare(t *testing.T) {
	g := autoscaling.Group{Max: 5, Desired: 4}
	if (Ahead{Capacity: 3, Max: 5}).Prepare(&g, "p", t0) || g.Desired != 4 {
		t.Errorf("a forecast scaled in: %+v", g)
	}
	if !(Ahead{Capacity: 8, Max: 9, Hour: at("2026-11-29T11:00:00Z")}).Prepare(&g, "p", t0) || g.Desired != 8 || g.Max != 9 || len(g.Reasons) != 1 {
		t.Errorf("%+v", g)
	}
}

// Newer forecasts replace what they speak of; what has passed stays a week.
func TestRenewed(t *testing.T) {
	hour := t0.Truncate(time.Hour)
	o := Outlook{Load: []Hour{{hour.Add(-8 * 24 * time.Hour), 1}, {hour.Add(-time.Hour), 2}, {hour, 3}, {hour.Add(time.Hour), 4}}}
	o = o.Renewed(t0, []Hour{{hour, 5}}, []Hour{{hour, 6}})
	if diff := gocmp.Diff(Outlook{Made: t0, Load: []Hour{{hour.Add(-time.Hour), 2}, {hour, 5}}, Capacity: []Hour{{hour, 6}}}, o); diff != "" {
		t.Error(diff)
	}
}
