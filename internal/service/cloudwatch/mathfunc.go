package cloudwatch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// functions by their names, with how many arguments they take. SEARCH and METRICS
// read more than their arguments: mathEval has them.
var functions = map[string]struct {
	least, most int
	call        func(e *mathEval, args []value) (value, error)
}{
	"ABS":             {1, 1, each(math.Abs)},
	"CEIL":            {1, 1, each(math.Ceil)},
	"FLOOR":           {1, 1, each(math.Floor)},
	"LOG":             {1, 1, each(math.Log)},
	"LOG10":           {1, 1, each(math.Log10)},
	"SUM":             {1, 1, aggregated("SUM")},
	"AVG":             {1, 1, aggregated("AVG")},
	"MIN":             {1, 1, aggregated("MIN")},
	"MAX":             {1, 1, aggregated("MAX")},
	"STDDEV":          {1, 1, aggregated("STDDEV")},
	"DATAPOINT_COUNT": {1, 1, aggregated("DATAPOINT_COUNT")},
	"RATE":            {1, 1, perSeries(rate)},
	"DIFF":            {1, 1, perSeries(func(s series) series { return steps(s, func(dv, _ float64) float64 { return dv }) })},
	"DIFF_TIME":       {1, 1, perSeries(func(s series) series { return steps(s, func(_, dt float64) float64 { return dt }) })},
	"RUNNING_SUM":     {1, 1, perSeries(runningSum)},
	"MINUTE":          {1, 1, dated(func(t time.Time) int { return t.Minute() })},
	"HOUR":            {1, 1, dated(func(t time.Time) int { return t.Hour() })},
	"DAY":             {1, 1, dated(func(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 })},
	"DATE":            {1, 1, dated(func(t time.Time) int { return t.Day() })},
	"MONTH":           {1, 1, dated(func(t time.Time) int { return int(t.Month()) })},
	"YEAR":            {1, 1, dated(func(t time.Time) int { return t.Year() })},
	"EPOCH":           {1, 1, dated(func(t time.Time) int { return int(t.Unix()) })},
	"PERIOD":          {1, 1, periodOf},
	"METRIC_COUNT":    {1, 1, metricCount},
	"TIME_SERIES":     {1, 1, timeSeries},
	"FIRST":           {1, 1, memberAt(func(int) int { return 0 })},
	"LAST":            {1, 1, memberAt(func(n int) int { return n - 1 })},
	"REMOVE_EMPTY":    {1, 1, removeEmpty},
	"SLICE":           {2, 3, sliceOf},
	"SORT":            {3, 4, sorted},
	"FILL":            {2, 2, fill},
	"IF":              {2, 3, conditional},
	arrayOf:           {0, maxQueries, gathered},
}

// unsupported are functions that AWS has and the region has not, with the reason.
var unsupported = map[string]string{
	"ANOMALY_DETECTION_BAND": "it needs a model that is learnt from weeks of data",
	"INSIGHT_RULE_METRIC":    "the region has no Contributor Insights",
	"SERVICE_QUOTA":          "the region has no Service Quotas",
	"DB_PERF_INSIGHTS":       "the region has no databases",
	"LAMBDA":                 "the region has no Lambda",
}

type function = func(e *mathEval, args []value) (value, error)

func unfit(args ...value) error {
	var kinds []string
	for _, a := range args {
		kinds = append(kinds, a.kind.String())
	}
	return fmt.Errorf("it cannot be used on %s", strings.Join(kinds, ", "))
}

// each computes every number by itself.
func each(f func(float64) float64) function {
	return func(e *mathEval, args []value) (value, error) {
		if args[0].kind == scalar {
			return numberValue(f(args[0].number)), nil
		}
		return perSeries(func(s series) series { return s.apply(f) })(e, args)
	}
}

func perSeries(f func(series) series) function {
	return func(_ *mathEval, args []value) (value, error) {
		v := args[0]
		if v.kind != single && v.kind != array {
			return v, unfit(v)
		}
		out := value{kind: v.kind}
		for _, s := range v.series {
			out.series = append(out.series, f(s))
		}
		return out, nil
	}
}

// aggregated makes a number of a time series, and a time series of an array.
func aggregated(name string) function {
	f := aggregates[name]
	return func(_ *mathEval, args []value) (value, error) {
		switch v := args[0]; v.kind {
		case single:
			return numberValue(f(v.series[0].values)), nil
		case array:
			return seriesValue(across(v.series, f)), nil
		case scalar:
			if name != "DATAPOINT_COUNT" && name != "STDDEV" {
				return v, nil
			}
		}
		return value{}, unfit(args...)
	}
}

// steps computes from one datapoint to the next: of the values and of the seconds.
func steps(s series, f func(dv, dt float64) float64) series {
	out := s.like()
	for i := 1; i < len(s.times); i++ {
		out.add(s.times[i], f(s.values[i]-s.values[i-1], float64(s.times[i]-s.times[i-1])))
	}
	return out
}

func rate(s series) series {
	return steps(s, func(dv, dt float64) float64 { return dv / dt })
}

func runningSum(s series) series {
	total := 0.0
	return s.apply(func(v float64) float64 {
		total += v
		return total
	})
}

func dated(f func(time.Time) int) function {
	return perSeries(func(s series) series {
		out := s.like()
		for _, t := range s.times {
			out.add(t, float64(f(time.Unix(t, 0).UTC())))
		}
		return out
	})
}

func periodOf(_ *mathEval, args []value) (value, error) {
	if args[0].kind != single {
		return value{}, unfit(args...)
	}
	return numberValue(args[0].series[0].period.Seconds()), nil
}

func metricCount(_ *mathEval, args []value) (value, error) {
	if args[0].kind != array {
		return value{}, unfit(args...)
	}
	return numberValue(float64(len(args[0].series))), nil
}

// timeSeries repeats a number in each period.
func timeSeries(e *mathEval, args []value) (value, error) {
	if args[0].kind != scalar {
		return value{}, unfit(args...)
	}
	s, err := e.constant(args[0].number)
	return seriesValue(s), err
}

// memberAt is a member of an array.
func memberAt(index func(n int) int) function {
	return func(_ *mathEval, args []value) (value, error) {
		v := args[0]
		if v.kind != array {
			return v, unfit(v)
		}
		if len(v.series) == 0 {
			return arrayValue(nil), nil
		}
		return seriesValue(v.series[index(len(v.series))]), nil
	}
}

func removeEmpty(_ *mathEval, args []value) (value, error) {
	v := args[0]
	if v.kind != array {
		return v, unfit(v)
	}
	return arrayValue(slices.DeleteFunc(slices.Clone(v.series), func(s series) bool { return len(s.times) == 0 })), nil
}

// sliceOf is a part of an array: from a place, or to another.
func sliceOf(_ *mathEval, args []value) (value, error) {
	v := args[0]
	if v.kind != array || slices.ContainsFunc(args[1:], func(a value) bool { return a.kind != scalar }) {
		return v, unfit(args...)
	}
	place := func(a value) int { return int(min(max(a.number, 0), float64(len(v.series)))) }
	from, to := place(args[1]), len(v.series)
	if len(args) == 3 {
		to = max(place(args[2]), from)
	}
	return arrayValue(v.series[from:to]), nil
}

// sorted orders an array by a function of its members, and may cut it off.
func sorted(_ *mathEval, args []value) (value, error) {
	v := args[0]
	if v.kind != array || args[1].kind != text || args[2].kind != text || len(args) == 4 && args[3].kind != scalar {
		return v, unfit(args...)
	}
	by, order := strings.ToUpper(args[1].text), strings.ToUpper(args[2].text)
	f := aggregates[by]
	if f == nil || order != "ASC" && order != "DESC" {
		return v, fmt.Errorf("it sorts by AVG, MIN, MAX or SUM, and ASC or DESC")
	}
	out := slices.Clone(v.series)
	slices.SortStableFunc(out, func(a, b series) int {
		if len(a.values) == 0 || len(b.values) == 0 {
			return cmp.Compare(len(b.values), len(a.values)) // the empty last
		}
		c := cmp.Compare(f(a.values), f(b.values))
		if order == "DESC" {
			c = -c
		}
		return c
	})
	if len(args) == 4 {
		out = out[:int(min(max(args[3].number, 0), float64(len(out))))]
	}
	return arrayValue(out), nil
}

// gathered makes an array of time series, and of arrays.
func gathered(_ *mathEval, args []value) (value, error) {
	out := arrayValue(nil)
	for _, a := range args {
		if a.kind != single && a.kind != array {
			return out, fmt.Errorf("an array has time series, not %s", a.kind)
		}
		out.series = append(out.series, a.series...)
	}
	return out, nil
}
