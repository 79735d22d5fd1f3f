package cloudwatch

import (
	"math"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/metrics"
)

// point is a period with these values, once each.
func point(values ...float64) metrics.Point {
	p := metrics.Point{Known: true, Statistics: metrics.Statistics{Min: math.Inf(1), Max: math.Inf(-1)}}
	for _, v := range values {
		p.Values = append(p.Values, metrics.Weighted{Value: v, Count: 1})
		p.Count, p.Sum, p.Min, p.Max = p.Count+1, p.Sum+v, min(p.Min, v), max(p.Max, v)
	}
	return p
}

func TestStatistics(t *testing.T) {
	ten := point(1, 2, 3, 4, 5, 6, 7, 8, 9, 100)
	weighted := metrics.Point{Known: true, Statistics: metrics.Statistics{Count: 10, Sum: 28, Min: 1, Max: 10},
		Values: []metrics.Weighted{{Value: 1, Count: 8}, {Value: 10, Count: 2}}}
	for _, tt := range []struct {
		name string
		of   metrics.Point
		want float64
	}{
		{"SampleCount", ten, 10}, {"Sum", ten, 145}, {"Average", ten, 14.5}, {"Minimum", ten, 1}, {"Maximum", ten, 100},
		{"p0", ten, 1}, {"p50", ten, 5.5}, {"p100", ten, 100}, {"p90", ten, 18.1}, {"P10", ten, 1.9}, {"p99.9", point(7), 7},
		{"p70", weighted, 1}, {"p80", weighted, 2.8}, {"p95", weighted, 10},
		{"tm90", ten, 5}, {"TM(10%:90%)", ten, 5.5}, {"tm95", ten, 95.0 / 9.5}, {"TM(:5)", ten, 3}, {"TM(5:100)", ten, 26},
		{"IQM", point(1, 2, 3, 4), 2.5}, {"iqm", point(1, 2, 3, 4), 2.5},
		{"tc90", ten, 9}, {"TC(10%:90%)", ten, 8}, {"TC(2:8)", ten, 6}, {"ts90", ten, 45}, {"TS(80%:)", ten, 109},
		{"wm90", ten, (45 + 18.1) / 10}, {"WM(:5)", ten, (1 + 2 + 3 + 4 + 5*6) / 10.0},
		{"PR(:5)", ten, 50}, {"PR(5:)", ten, 50}, {"PR(4:6)", ten, 20},
	} {
		s, err := parseStatistic(tt.name)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, ok := s.of(tt.of); !ok || math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, ok, tt.want)
		}
	}
	for _, name := range []string{"", "average", "p", "p101", "p-1", "pr90", "TM()", "TM(:)", "TM(90%:10%)", "TM(10%:90)", "TM(a:b)", "PR(10%:20%)", "TM(NaN:1)", "q50", "xIQM"} {
		if s, err := parseStatistic(name); err == nil {
			t.Errorf("%q is %+v", name, s)
		}
	}
	hidden := metrics.Point{Statistics: metrics.Statistics{Count: 2, Sum: 3, Min: 1, Max: 2}}
	for name, known := range map[string]bool{"Average": true, "p50": false, "tm90": false, "PR(:5)": false} {
		if s, _ := parseStatistic(name); s.simple() != known {
			t.Errorf("%s: simple is %v", name, s.simple())
		} else if _, ok := s.of(hidden); ok != known {
			t.Errorf("%s of a statistic set: %v", name, ok)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0.0", 50: "50.0", -1.5: "-1.5", 0.001: "0.001", 0.00025: "2.5E-4", 9999999: "9999999.0", 1e7: "1.0E7", 1.25e21: "1.25E21"} {
		if got := number(v); got != want {
			t.Errorf("%v: %s", v, got)
		}
	}
}

func TestWordsOf(t *testing.T) {
	for text, want := range map[string]string{
		"CPUUtilization": "cpu utilization", "AWS/EC2": "aws ec 2", "i-0ab": "i 0 ab", "pod_cpu_usage": "pod cpu usage", "DiskReadOps": "disk read ops", "": "",
	} {
		if got := strings.Join(wordsOf(text), " "); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// What is an expression can be written in parentheses too, with the same meaning.
func FuzzParseMath(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseMath(text)
		if err != nil {
			return
		}
		if n == nil {
			t.Fatalf("%q is nothing", text)
		}
		depth, nodes := 0, 0
		walk(n, func(mathNode) { nodes++ })
		if nodes > len(text) {
			t.Errorf("%q has %d nodes, %d deep", text, nodes, depth)
		}
		if _, err := parseMath("(" + text + ")"); err != nil && len(text) < maxExpression-2 && !strings.Contains(err.Error(), "nested") {
			t.Errorf("%q is an expression, and in parentheses: %v", text, err)
		}
	})
}

// What is a search answers for any metric.
func FuzzParseSearch(f *testing.F) {
	id := metrics.ID{Namespace: "AWS/EC2", Name: "CPUUtilization", Dimensions: map[string]string{"InstanceId": "i-1"}}
	f.Fuzz(func(t *testing.T, text string) {
		x, err := parseSearch(text)
		if err != nil {
			return
		}
		if x.matches(id) && x.schema && len(x.dimensions) != 1 {
			t.Errorf("%q: a metric of one dimension is one of %q", text, x.dimensions)
		}
		x.matches(metrics.ID{})
	})
}

// What is a statistic is a number, of any values.
func FuzzParseStatistic(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseStatistic(text)
		if err != nil {
			return
		}
		for _, p := range []metrics.Point{point(1), point(1, 2, 3), point(-5, -5, 0, 100)} {
			if v, ok := s.of(p); ok && (math.IsNaN(v) || math.IsInf(v, 0)) {
				t.Errorf("%q of %v is %v", text, p.Values, v)
			}
		}
	})
}
