package cloudwatch

import (
	"slices"
	"time"
)

// Evaluation is what an alarm's data say at a time.
type Evaluation struct {
	State, Reason string
	ReasonData    string // JSON
	// Value is the newest breaching datapoint's, or if there is none the newest's.
	Value float64
	// Known is false where no datapoint was seen.
	Known bool
}

// Sample is a datapoint of an alarm's metric.
type Sample struct {
	At    time.Time // the period's start
	Value float64
	Count float64 // of what was measured in the period; 0: an expression's
}

// window is what an alarm looks at: the evaluation range.
type window struct {
	end    time.Time
	period time.Duration
	n      int // periods
}

// spare is by how many periods the evaluation range is longer than N: what comes
// late, or not at all, is made up for by older data.
const spare = 2

// window is the alarm's evaluation range. Periods of more than a minute end at each
// minute, not at their whole multiples only.
func (a Alarm) window(at time.Time) window {
	p := a.period()
	return window{end: at.UTC().Truncate(min(p, time.Minute)), period: p, n: a.Periods + spare}
}

func (w window) start() time.Time { return w.end.Add(-time.Duration(w.n) * w.period) }

// at is the start of a period, 0 is the newest.
func (w window) at(i int) time.Time { return w.end.Add(-time.Duration(i+1) * w.period) }

// place puts the points into their periods, the newest first; nil is a gap.
func (w window) place(points []Sample) []*Sample {
	seen := make([]*Sample, w.n)
	for i := range points {
		behind := w.end.Sub(points[i].At)
		if at := int((behind+w.period-1)/w.period) - 1; behind > 0 && at < w.n {
			seen[at] = &points[i]
		}
	}
	return seen
}

// period is that of the alarm's datapoints: a metric's, or the longest that an
// expression reads.
func (a Alarm) period() time.Duration {
	longest := a.Period
	for _, q := range a.Metrics {
		longest = max(longest, queryPeriod(q))
	}
	if longest <= 0 {
		return time.Minute
	}
	return longest
}

// verdict is an evaluation before it is put into words.
type verdict struct {
	state string
	// considered are the datapoints that counted and the gaps that were filled, the
	// newest first.
	considered []evaluated
	filled     int // gaps that count as breaching or not, by Missing
}

// evaluated is a period that counted: a datapoint or a gap.
type evaluated struct {
	at time.Time
	*Sample
	breaching bool // of a datapoint
}

// Evaluate says which state the datapoints (in order, the newest last, what is
// missing as gaps) put an alarm in. Where they say nothing it is the state that the
// alarm has.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
func Evaluate(a Alarm, points []Sample, at time.Time) Evaluation {
	w := a.window(at)
	v := a.judge(w, w.place(points))
	e := Evaluation{State: v.state, Reason: a.Reason, ReasonData: a.ReasonData}
	if v.state != a.State {
		e.Reason, e.ReasonData = a.reason(v), a.reasonData(v, at)
	}
	for _, p := range v.considered {
		if p.Sample != nil && (!e.Known || p.breaching) {
			e.Value, e.Known = p.Value, true
			if p.breaching {
				break
			}
		}
	}
	return e
}

// judge decides by the periods of the window, the newest first.
func (a Alarm) judge(w window, seen []*Sample) verdict {
	v := verdict{state: a.State}
	breaching, oldest := 0, -1 // the oldest breaching one's place
	for i, p := range seen {
		if p == nil || len(v.considered) == a.Periods {
			continue
		}
		if a.tooFew(*p) {
			return verdict{state: a.State} // the state is not changed in such periods
		}
		b := a.crosses(p.Value)
		v.considered = append(v.considered, evaluated{p.At, p, b})
		if b {
			breaching++
			oldest = i
		}
	}
	came := len(v.considered)
	gaps := a.Periods - came
	switch {
	case gaps == 0:
		v.state = alarmIf(breaching >= a.needed())
	case a.Missing == "breaching":
		v.fill(w, seen, gaps)
		v.state = alarmIf(breaching+gaps >= a.needed())
	case a.Missing == "notBreaching":
		v.fill(w, seen, gaps)
		v.state = alarmIf(breaching >= a.needed())
	case came == 0 && a.Missing == "ignore":
	case came == 0:
		v.fill(w, seen, gaps)
		v.filled = 0
		v.state = InsufficientData
	case breaching >= a.needed():
		v.state = InAlarm
	case breaching < came:
		v.state = OK
	case oldest+1 >= a.needed() && a.Missing != "ignore":
		// All that came is breaching, since as long ago as would suffice.
		v.state = InAlarm
	default:
		// All that came is breaching, but the next datapoint may not be: too early.
	}
	return v
}

// fill counts the newest gaps in.
func (v *verdict) fill(w window, seen []*Sample, gaps int) {
	v.filled = gaps
	for i, p := range seen {
		if p == nil && gaps > 0 {
			gaps--
			v.considered = append(v.considered, evaluated{at: w.at(i)})
		}
	}
	slices.SortStableFunc(v.considered, func(a, b evaluated) int { return b.at.Compare(a.at) })
}

func alarmIf(b bool) string {
	if b {
		return InAlarm
	}
	return OK
}

// crosses says whether a value is on the alarm's side of the threshold.
func (a Alarm) crosses(v float64) bool {
	switch a.Comparison {
	case "GreaterThanOrEqualToThreshold":
		return v >= a.Threshold
	case "GreaterThanThreshold":
		return v > a.Threshold
	case "LessThanThreshold":
		return v < a.Threshold
	default: // LessThanOrEqualToThreshold
		return v <= a.Threshold
	}
}

// tooFew says whether a percentile is of too few measurements to say something, for
// an alarm that asks for that to be ignored.
func (a Alarm) tooFew(p Sample) bool {
	if a.LowSamples != "ignore" || a.Extended == "" {
		return false
	}
	s, err := parseStatistic(a.Extended)
	if err != nil || s.kind != percentile {
		return false
	}
	tail := min(s.low, 100-s.low) / 100
	return tail > 0 && p.Count < 10/tail
}
