package cloudwatch

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/metrics"
)

// statisticKind is what a statistic computes.
type statisticKind int

const (
	sampleCount statisticKind = iota
	average
	sum
	minimum
	maximum
	percentile   // p99
	trimmedMean  // tm90, TM(10%:90%), IQM
	winsorized   // wm
	trimmedCount // tc
	trimmedSum   // ts
	percentileOf // PR(100:500)
)

// statistic is one that CloudWatch has, parsed. The bounds of the trimmed ones are
// percentages, or with absolute values.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
type statistic struct {
	kind      statisticKind
	low, high float64
	absolute  bool
}

var simpleStatistics = map[string]statisticKind{
	"SampleCount": sampleCount, "Average": average, "Sum": sum, "Minimum": minimum, "Maximum": maximum,
}

var trimmedKinds = map[string]statisticKind{
	"tm": trimmedMean, "wm": winsorized, "tc": trimmedCount, "ts": trimmedSum, "pr": percentileOf,
}

var (
	shortStatistic = regexp.MustCompile(`^(?i)(p|tm|wm|tc|ts)(\d{1,3}(?:\.\d{1,10})?)$`)
	rangeStatistic = regexp.MustCompile(`^(?i)(tm|wm|tc|ts|pr)\(([^:()]*):([^:()]*)\)$`)
)

// parseStatistic reads Average, p99.9, tm90, TM(10%:90%), PR(:300), IQM …
func parseStatistic(text string) (statistic, error) {
	bad := fmt.Errorf("%q is no statistic", text)
	if kind, ok := simpleStatistics[text]; ok {
		return statistic{kind: kind}, nil
	}
	if strings.EqualFold(text, "iqm") {
		return statistic{kind: trimmedMean, low: 25, high: 75}, nil
	}
	if m := shortStatistic.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil || n > 100 {
			return statistic{}, bad
		}
		if strings.EqualFold(m[1], "p") {
			return statistic{kind: percentile, low: n, high: n}, nil
		}
		return statistic{kind: trimmedKinds[strings.ToLower(m[1])], high: n}, nil
	}
	m := rangeStatistic.FindStringSubmatch(text)
	if m == nil || m[2] == "" && m[3] == "" {
		return statistic{}, bad
	}
	s := statistic{kind: trimmedKinds[strings.ToLower(m[1])]}
	percent := strings.HasSuffix(m[2], "%") || strings.HasSuffix(m[3], "%")
	s.absolute = !percent
	if s.low, s.high = 0, 100; s.absolute {
		s.low, s.high = math.Inf(-1), math.Inf(1)
	}
	for i, bound := range []*float64{&s.low, &s.high} {
		text := m[2+i]
		if text == "" {
			continue
		}
		digits, isPercent := strings.CutSuffix(text, "%")
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || isPercent != percent || percent && (n < 0 || n > 100) {
			return statistic{}, bad
		}
		*bound = n
	}
	if s.low >= s.high || s.kind == percentileOf && percent {
		return statistic{}, bad
	}
	return s, nil
}

// simple says whether the statistic is one of the five that need no single values.
func (s statistic) simple() bool { return s.kind <= maximum }

// of computes the statistic of a period. It is unknown where statistic sets hide the
// values that it needs.
func (s statistic) of(p metrics.Point) (float64, bool) {
	switch s.kind {
	case sampleCount:
		return p.Count, true
	case average:
		return p.Sum / p.Count, p.Count > 0
	case sum:
		return p.Sum, true
	case minimum:
		return p.Min, true
	case maximum:
		return p.Max, true
	}
	if !p.Known || len(p.Values) == 0 {
		return 0, false
	}
	switch s.kind {
	case percentile:
		return quantile(p.Values, s.high/100), true
	case winsorized:
		return s.winsorizedMean(p), true
	}
	count, total := s.trim(p)
	switch s.kind {
	case trimmedCount:
		return count, true
	case trimmedSum:
		return total, true
	case percentileOf:
		return count / p.Count * 100, true
	default:
		return total / count, count > 0
	}
}

// trim is the weight and the sum of what lies between the bounds. Of a value at a
// bound that is a percentage, a part of its weight does.
func (s statistic) trim(p metrics.Point) (count, total float64) {
	low, high := p.Count*s.low/100, p.Count*s.high/100
	below := 0.0
	for _, v := range p.Values {
		weight := v.Count
		if s.absolute {
			if v.Value <= s.low || v.Value > s.high {
				weight = 0
			}
		} else {
			weight = min(below+v.Count, high) - max(below, low)
		}
		below += v.Count
		if weight > 0 {
			count += weight
			total += weight * v.Value
		}
	}
	return count, total
}

// winsorizedMean is the mean with what lies outside of the bounds moved to them.
func (s statistic) winsorizedMean(p metrics.Point) float64 {
	low, high := s.low, s.high
	if !s.absolute {
		low, high = quantile(p.Values, s.low/100), quantile(p.Values, s.high/100)
	}
	total := 0.0
	for _, v := range p.Values {
		total += v.Count * min(max(v.Value, low), high)
	}
	return total / p.Count
}

// quantile is the value below which the share q of the sorted values lies; between
// two of them it is interpolated.
func quantile(values []metrics.Weighted, q float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v.Count
	}
	rank := q * max(total-1, 0)
	below := 0.0
	for i, v := range values {
		last := below + v.Count - 1 // the rank of the value's last occurrence
		if rank <= last || i == len(values)-1 {
			return v.Value
		}
		if next := values[i+1].Value; rank < last+1 {
			return v.Value + (rank-last)*(next-v.Value)
		}
		below += v.Count
	}
	return 0 // there are no values
}
