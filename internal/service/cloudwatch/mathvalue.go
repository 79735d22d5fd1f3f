package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// series is a time series: values by the second in which their period begins, in
// order.
type series struct {
	id     string // that a sort is stable by, and the default label
	label  string
	period time.Duration
	times  []int64
	values []float64
	metric *metricSource // of a metric itself, for labels
}

// at finds the value of a time.
func (s series) at(t int64) (float64, bool) {
	i, ok := slices.BinarySearch(s.times, t)
	if !ok {
		return 0, false
	}
	return s.values[i], true
}

// add appends a value that is a number; what is none is no datapoint.
func (s *series) add(t int64, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	s.times = append(s.times, t)
	s.values = append(s.values, v)
}

// like is an empty series in place of another.
func (s series) like() series { return series{id: s.id, label: s.label, period: s.period} }

// apply computes each value anew.
func (s series) apply(f func(float64) float64) series {
	out := s.like()
	for i, t := range s.times {
		out.add(t, f(s.values[i]))
	}
	return out
}

// value is what an expression comes to: a number, a time series, or an array of
// those. A string is for functions only.
type value struct {
	kind   valueKind
	number float64
	series []series // one of kind single
	text   string
}

type valueKind int

const (
	scalar valueKind = iota
	single
	array
	text
)

func (k valueKind) String() string {
	return [...]string{"a number", "a time series", "an array of time series", "a string"}[k]
}

func numberValue(v float64) value { return value{kind: scalar, number: v} }
func seriesValue(s series) value  { return value{kind: single, series: []series{s}} }
func arrayValue(s []series) value { return value{kind: array, series: s} }
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// operate computes one of the binary operators on numbers.
func operate(op string, l, r float64) float64 {
	switch op {
	case "+":
		return l + r
	case "-":
		return l - r
	case "*":
		return l * r
	case "/":
		return l / r // by 0: no datapoint
	case "^":
		return math.Pow(l, r)
	case "==":
		return truth(l == r)
	case "!=":
		return truth(l != r)
	case "<":
		return truth(l < r)
	case "<=":
		return truth(l <= r)
	case ">":
		return truth(l > r)
	case ">=":
		return truth(l >= r)
	case "AND", "&&":
		return truth(l != 0 && r != 0)
	default: // OR
		return truth(l != 0 || r != 0)
	}
}

// combine computes an operator on two values. Of two time series it has what both
// have at the same time; an array is computed member by member.
func combine(op string, l, r value) (value, error) {
	if l.kind == text || r.kind == text || l.kind == array && r.kind == array {
		return value{}, fmt.Errorf("the operator %s cannot be used on %s and %s", op, l.kind, r.kind)
	}
	if l.kind == scalar && r.kind == scalar {
		return numberValue(operate(op, l.number, r.number)), nil
	}
	out := value{kind: max(l.kind, r.kind)}
	n := max(len(l.series), len(r.series))
	if out.kind == array && (l.kind == array && len(l.series) == 0 || r.kind == array && len(r.series) == 0) {
		n = 0
	}
	member := func(v value, i int) series {
		if v.kind == single {
			return v.series[0]
		}
		return v.series[i]
	}
	for i := range n {
		switch {
		case l.kind == scalar:
			out.series = append(out.series, member(r, i).apply(func(x float64) float64 { return operate(op, l.number, x) }))
		case r.kind == scalar:
			out.series = append(out.series, member(l, i).apply(func(x float64) float64 { return operate(op, x, r.number) }))
		default:
			a, b := member(l, i), member(r, i)
			s := a.like()
			if l.kind == single && r.kind == array {
				s = b.like()
			}
			s.period = max(a.period, b.period)
			for j, t := range a.times {
				if v, ok := b.at(t); ok {
					s.add(t, operate(op, a.values[j], v))
				}
			}
			out.series = append(out.series, s)
		}
	}
	return out, nil
}

// aggregate is a function of many values.
type aggregate func(values []float64) float64

func sumOf(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

func meanOf(v []float64) float64 { return sumOf(v) / float64(len(v)) }

func deviation(v []float64) float64 {
	mean, s := meanOf(v), 0.0
	for _, x := range v {
		s += (x - mean) * (x - mean)
	}
	return math.Sqrt(s / float64(len(v)))
}

func countOf(v []float64) float64 { return float64(len(v)) }

func extreme(pick func([]float64) float64) aggregate {
	return func(v []float64) float64 {
		if len(v) == 0 {
			return math.NaN()
		}
		return pick(v)
	}
}

var aggregates = map[string]aggregate{
	"SUM": sumOf, "AVG": meanOf, "STDDEV": deviation, "DATAPOINT_COUNT": countOf,
	"MIN": extreme(func(v []float64) float64 { return slices.Min(v) }),
	"MAX": extreme(func(v []float64) float64 { return slices.Max(v) }),
}

// across aggregates an array to one time series: at each time what is there.
func across(all []series, f aggregate) series {
	out := series{}
	at := map[int64][]float64{}
	for _, s := range all {
		out.period = max(out.period, s.period)
		for i, t := range s.times {
			at[t] = append(at[t], s.values[i])
		}
	}
	times := make([]int64, 0, len(at))
	for t := range at {
		times = append(times, t)
	}
	slices.Sort(times)
	for _, t := range times {
		out.add(t, f(at[t]))
	}
	return out
}
