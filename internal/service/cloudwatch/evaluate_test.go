package cloudwatch_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
)

// drawn are samples as AWS's tables draw them, the newest last: X crosses 50, 0 does
// not, - is missing. The newest period ends at nine.
func drawn(picture string) []cloudwatch.Sample {
	var points []cloudwatch.Sample
	fields := strings.Fields(picture)
	for i, f := range fields {
		value := 60.0
		switch f {
		case "-":
			continue
		case "0":
			value = 40
		}
		points = append(points, cloudwatch.Sample{At: nine.Add(time.Duration(i-len(fields)) * time.Minute), Value: value, Count: 1})
	}
	return points
}

func threshold(m, n int) cloudwatch.Alarm {
	return cloudwatch.Alarm{
		Name: "a", Period: time.Minute, Periods: n, Datapoints: m, Statistic: "Average", Threshold: 50, Comparison: "GreaterThanThreshold", State: "before",
		Reason: "why before", ReasonData: "{}",
	}
}

// The tables of "Configuring how CloudWatch alarms treat missing data"; "" is to
// retain the current state.
func TestMissingData(t *testing.T) {
	const keep, ok, alarm, insufficient = "before", "OK", "ALARM", "INSUFFICIENT_DATA"
	for _, tt := range []struct {
		m, n                                     int
		picture                                  string
		missing, ignore, breaching, notBreaching string
	}{
		{3, 3, "0 - X - X", ok, ok, ok, ok},
		{3, 3, "0 - - - -", ok, ok, ok, ok},
		{3, 3, "- - - - -", insufficient, keep, alarm, ok},
		{3, 3, "0 X X - X", alarm, alarm, alarm, alarm},
		{3, 3, "- - X - -", alarm, keep, alarm, ok},

		{2, 3, "0 - X - X", alarm, alarm, alarm, alarm},
		{2, 3, "0 0 X 0 X", alarm, alarm, alarm, alarm},
		{2, 3, "0 - X - -", ok, ok, alarm, ok},
		{2, 3, "- - - - 0", ok, ok, alarm, ok},
		{2, 3, "- - - X -", alarm, keep, alarm, ok},

		// "Avoiding premature transitions to alarm state"
		{3, 3, "- - - - X", keep, keep, alarm, ok},
		{3, 3, "- - - X -", keep, keep, alarm, ok},
		{3, 3, "- - - X 0", ok, ok, ok, ok},
		{3, 3, "- - X - 0", ok, ok, ok, ok},

		{1, 1, "X", alarm, alarm, alarm, alarm},
		{1, 1, "X 0", ok, ok, ok, ok},
		{1, 1, "X - -", alarm, alarm, alarm, alarm},
		{1, 1, "X - - -", insufficient, keep, alarm, ok}, // too old
		{1, 3, "X - 0 0 -", alarm, alarm, alarm, alarm},
		{1, 3, "X 0 0 0 -", ok, ok, ok, ok},
	} {
		for missing, want := range map[string]string{"": tt.missing, "missing": tt.missing, "ignore": tt.ignore, "breaching": tt.breaching, "notBreaching": tt.notBreaching} {
			a := threshold(tt.m, tt.n)
			a.Missing = missing
			got := cloudwatch.Evaluate(a, drawn(tt.picture), nine.Add(30*time.Second))
			if got.State != want {
				t.Errorf("%d of %d, %s, %q: %s, want %s", tt.m, tt.n, tt.picture, missing, got.State, want)
			}
			if kept := got.Reason == "why before" && got.ReasonData == "{}"; kept != (want == keep) {
				t.Errorf("%d of %d, %s, %q: %s", tt.m, tt.n, tt.picture, missing, got.Reason)
			}
		}
	}
}

func TestComparisons(t *testing.T) {
	for comparison, want := range map[string]string{
		"GreaterThanThreshold": "0 0 X", "GreaterThanOrEqualToThreshold": "0 X X", "LessThanThreshold": "X 0 0", "LessThanOrEqualToThreshold": "X X 0",
	} {
		var got []string
		for _, v := range []float64{49, 50, 51} {
			a := threshold(0, 1)
			a.Comparison = comparison
			e := cloudwatch.Evaluate(a, []cloudwatch.Sample{{At: nine.Add(-time.Minute), Value: v}}, nine)
			got = append(got, map[string]string{"ALARM": "X", "OK": "0"}[e.State])
		}
		same(t, comparison, strings.Join(got, " "), want)
	}
}

// AWS's sentences, most of them from alarms on AWS.
func TestReasons(t *testing.T) {
	newest := func(values ...float64) []cloudwatch.Sample { // the newest first
		var out []cloudwatch.Sample
		for i, v := range values {
			out = append([]cloudwatch.Sample{{At: nine.Add(-time.Duration(i+1) * time.Minute), Value: v, Count: 2}}, out...)
		}
		return out
	}
	for _, tt := range []struct {
		m, n    int
		missing string
		points  []cloudwatch.Sample
		want    string
	}{
		{1, 1, "", newest(91), "Threshold Crossed: 1 out of the last 1 datapoints [91.0 (29/11/26 08:59:00)] was greater than the threshold (50.0) (minimum 1 datapoint for OK -> ALARM transition)."},
		{2, 2, "", newest(5, 91), "Threshold Crossed: 1 out of the last 2 datapoints [5.0 (29/11/26 08:59:00)] was not greater than the threshold (50.0) (minimum 1 datapoint for ALARM -> OK transition)."},
		{2, 3, "", newest(91.25, 5, 60), "Threshold Crossed: 2 out of the last 3 datapoints [91.25 (29/11/26 08:59:00), 60.0 (29/11/26 08:57:00)] were greater than the threshold (50.0) (minimum 2 datapoints for OK -> ALARM transition)."},
		{5, 5, "", newest(65, 64, 63, 62, 61), "Threshold Crossed: 5 out of the last 5 datapoints were greater than the threshold (50.0). The most recent datapoints which crossed the threshold: [65.0 (29/11/26 08:59:00), 64.0 (29/11/26 08:58:00), 63.0 (29/11/26 08:57:00), 62.0 (29/11/26 08:56:00), 61.0 (29/11/26 08:55:00)] (minimum 5 datapoints for OK -> ALARM transition)."},
		{0, 1, "", newest(21.5e6), "Threshold Crossed: 1 datapoint [2.15E7 (29/11/26 08:59:00)] was greater than the threshold (50.0)."},
		{0, 1, "", newest(0), "Threshold Crossed: 1 datapoint [0.0 (29/11/26 08:59:00)] was not greater than the threshold (50.0)."},
		{0, 3, "", newest(65, 64, 63), "Threshold Crossed: 3 datapoints [65.0 (29/11/26 08:59:00), 64.0 (29/11/26 08:58:00), 63.0 (29/11/26 08:57:00)] were greater than the threshold (50.0)."},
		{0, 1, "", nil, "Insufficient Data: 1 datapoint was unknown."},
		{0, 2, "missing", nil, "Insufficient Data: 2 datapoints were unknown."},
		{0, 2, "breaching", nil, "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as [Breaching]."},
		{1, 1, "notBreaching", nil, "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as [NonBreaching]."},
		{0, 8, "breaching", newest(2), "Threshold Crossed: 1 datapoint [2.0 (29/11/26 08:59:00)] was not greater than the threshold (50.0) and 7 missing datapoints were treated as [Breaching]."},
		{2, 3, "breaching", newest(2), "Threshold Crossed: 1 datapoint was received for 3 periods and 2 missing datapoints were treated as [Breaching]."},
	} {
		a := threshold(tt.m, tt.n)
		a.Missing = tt.missing
		same(t, tt.want, cloudwatch.Evaluate(a, tt.points, nine).Reason, tt.want)
	}
}

func TestReasonData(t *testing.T) {
	a := threshold(0, 2)
	a.Unit, a.Missing = "Percent", "breaching"
	points := []cloudwatch.Sample{{At: nine.Add(-2 * time.Minute), Value: 60, Count: 3}, {At: nine.Add(-time.Minute), Value: 70.5, Count: 1}}
	e := cloudwatch.Evaluate(a, points, nine.Add(1234*time.Millisecond))
	same(t, "data", e.ReasonData, `{"version":"1.0","queryDate":"2026-11-29T09:00:01.234+0000","startDate":"2026-11-29T08:58:00.000+0000","unit":"Percent","statistic":"Average","period":60,`+
		`"recentDatapoints":[60.0,70.5],"threshold":50.0,"evaluatedDatapoints":[{"timestamp":"2026-11-29T08:59:00.000+0000","sampleCount":1.0,"value":70.5},`+
		`{"timestamp":"2026-11-29T08:58:00.000+0000","sampleCount":3.0,"value":60.0}]}`)
	if !e.Known || e.Value != 70.5 {
		t.Errorf("%+v", e)
	}
	e = cloudwatch.Evaluate(a, nil, nine)
	same(t, "no data", e.ReasonData, `{"version":"1.0","queryDate":"2026-11-29T09:00:00.000+0000","unit":"Percent","statistic":"Average","period":60,`+
		`"recentDatapoints":[],"threshold":50.0,"evaluatedDatapoints":[{"timestamp":"2026-11-29T08:59:00.000+0000"},{"timestamp":"2026-11-29T08:58:00.000+0000"}]}`)
	if e.Known {
		t.Errorf("%+v", e)
	}
}

// The value is the newest breaching one's, if there is one.
func TestValue(t *testing.T) {
	for picture, want := range map[string]float64{"X 0 0": 60, "0 0 0": 40, "- - X": 60, "X - 0": 60} {
		if e := cloudwatch.Evaluate(threshold(1, 3), drawn(picture), nine); e.Value != want || !e.Known {
			t.Errorf("%s: %+v", picture, e)
		}
	}
}

// A percentile of too few measurements changes nothing where the alarm says so.
func TestLowSamples(t *testing.T) {
	for _, tt := range []struct {
		extended, low string
		count         float64
		want          string
	}{
		{"p90", "ignore", 99, "before"}, {"p90", "ignore", 100, "ALARM"}, {"p10", "ignore", 99, "before"}, {"p90", "evaluate", 1, "ALARM"}, {"tm90", "ignore", 1, "ALARM"},
	} {
		a := threshold(0, 1)
		a.Statistic, a.Extended, a.LowSamples = "", tt.extended, tt.low
		e := cloudwatch.Evaluate(a, []cloudwatch.Sample{{At: nine.Add(-time.Minute), Value: 60, Count: tt.count}}, nine)
		same(t, tt.extended+tt.low, e.State, tt.want)
	}
}

// Periods of five minutes end at each minute.
func TestPeriodsEndEachMinute(t *testing.T) {
	a := threshold(0, 1)
	a.Period = 5 * time.Minute
	e := cloudwatch.Evaluate(a, []cloudwatch.Sample{{At: nine.Add(-3 * time.Minute), Value: 60}}, nine.Add(2*time.Minute))
	same(t, "reason", e.Reason, "Threshold Crossed: 1 datapoint [60.0 (29/11/26 08:57:00)] was greater than the threshold (50.0).")
}

func TestNextEvaluation(t *testing.T) {
	second := func(n int) time.Time { return nine.Add(time.Duration(n) * time.Second) }
	suppressed := cloudwatch.Alarm{Rule: "TRUE", Suppressed: "WaitPeriod", SuppressedSince: second(5), SuppressorWait: 20 * time.Second}
	for _, tt := range []struct {
		alarm cloudwatch.Alarm
		after time.Time
		want  time.Time
	}{
		{cloudwatch.Alarm{Period: time.Minute}, nine, second(60)},
		{cloudwatch.Alarm{Period: time.Minute}, second(59), second(60)},
		{cloudwatch.Alarm{Period: 5 * time.Minute}, second(61), second(120)},
		{cloudwatch.Alarm{Period: 10 * time.Second}, second(1), second(10)},
		{cloudwatch.Alarm{Period: 30 * time.Second}, second(30), second(60)},
		{cloudwatch.Alarm{Period: time.Second}, second(3), second(4)},
		{cloudwatch.Alarm{Period: 5 * time.Second}, second(3).Add(time.Millisecond), second(5)},
		{cloudwatch.Alarm{Rule: "TRUE"}, second(1), second(60)},
		{suppressed, second(6), second(25)},
		{suppressed, second(25), second(26)},
	} {
		if got := cloudwatch.NextEvaluation(tt.alarm, tt.after); !got.Equal(tt.want) {
			t.Errorf("%+v after %s: %s, want %s", tt.alarm, tt.after, got, tt.want)
		}
	}
}
