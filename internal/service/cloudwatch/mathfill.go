package cloudwatch

import (
	"fmt"
	"strings"
)

// constant is a time series of one number, in each period that is asked for.
func (e *mathEval) constant(v float64) (series, error) {
	out := series{period: e.period}
	grid, err := e.grid(e.period)
	for _, t := range grid {
		out.add(t, v)
	}
	return out, err
}

// fill puts values where a time series has none: a number, those of another time
// series, the last one again, or what lies between its neighbours.
func fill(e *mathEval, args []value) (value, error) {
	v, by := args[0], args[1]
	mode := strings.ToUpper(by.text)
	if v.kind != single && v.kind != array || by.kind == array || by.kind == text && mode != "REPEAT" && mode != "LINEAR" {
		return v, unfit(args...)
	}
	out := value{kind: v.kind}
	for _, s := range v.series {
		filled := s.like()
		grid, err := e.grid(s.period)
		if err != nil {
			return v, err
		}
		for _, t := range grid {
			if have, ok := s.at(t); ok {
				filled.add(t, have)
				continue
			}
			var with float64
			ok := true
			switch {
			case by.kind == scalar:
				with = by.number
			case by.kind == single:
				with, ok = by.series[0].at(t)
			case mode == "REPEAT":
				if n := len(filled.values); n > 0 {
					with = filled.values[n-1]
				} else {
					ok = false
				}
			default:
				with, ok = interpolated(s, t)
			}
			if ok {
				filled.add(t, with)
			}
		}
		out.series = append(out.series, filled)
	}
	return out, nil
}

// interpolated lies between the datapoints before and after a time.
func interpolated(s series, t int64) (float64, bool) {
	after := 0
	for after < len(s.times) && s.times[after] < t {
		after++
	}
	if after == 0 || after == len(s.times) {
		return 0, false
	}
	t0, t1 := s.times[after-1], s.times[after]
	v0, v1 := s.values[after-1], s.values[after]
	return v0 + (v1-v0)*float64(t-t0)/float64(t1-t0), true
}

// conditional is IF(condition, then, else). Without an else there is nothing where
// the condition does not hold.
func conditional(e *mathEval, args []value) (value, error) {
	cond := args[0]
	for _, a := range args {
		if a.kind == text || a.kind == array {
			return value{}, unfit(args...)
		}
	}
	if cond.kind == scalar {
		if cond.number != 0 {
			return args[1], nil
		}
		if len(args) == 3 {
			return args[2], nil
		}
		return seriesValue(series{period: e.period}), nil
	}
	out := cond.series[0].like()
	for i, t := range cond.series[0].times {
		choice := args[1]
		if cond.series[0].values[i] == 0 {
			if len(args) < 3 {
				continue
			}
			choice = args[2]
		}
		if choice.kind == scalar {
			out.add(t, choice.number)
		} else if v, ok := choice.series[0].at(t); ok {
			out.add(t, v)
		}
	}
	return seriesValue(out), nil
}

// callError says in which function something was wrong.
func callError(name string, err error) error {
	if name == arrayOf {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}
