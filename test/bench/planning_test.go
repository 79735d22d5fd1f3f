package main

import (
	"maps"
	"testing"
)

func TestParseBenchmark(t *testing.T) {
	want := map[string]float64{"ns/op": 712345678, "MiB-from-system": 210.5, "nodes": 68}
	for _, tt := range []struct {
		name, out string
		want      map[string]float64
	}{
		{"two processors", "goos: linux\nBenchmarkPlan-2 \t       1\t 712345678 ns/op\t       210.5 MiB-from-system\t        68.00 nodes\nPASS\n", want},
		{"one processor", "BenchmarkPlan \t       1\t 712345678 ns/op\t       210.5 MiB-from-system\t        68.00 nodes\nPASS\n", want},
		{"another", "BenchmarkPlanScaleDown-2 \t       1\t 712345678 ns/op\nPASS\n", nil},
		{"a failure", "--- FAIL: BenchmarkPlan\n    bench_test.go:62: 0 nodes, 1000 pods stuck\nFAIL\n", nil},
		{"no number", "BenchmarkPlan-2 1 many ns/op\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseBenchmark(tt.out, "BenchmarkPlan")
			if !maps.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
				t.Errorf("%v, %v; want %v", got, err, tt.want)
			}
		})
	}
}
