package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
)

// plan is the benchmark that measures a plan.
const plan = "BenchmarkPlan"

// planning measures how long the Cluster Autoscaler takes to decide about a large
// cluster, and what it needs for that. The scheduler's plug-ins are in its test
// binary, not in this program, and each run has a process of its own.
func planning(ctx context.Context, planner string, runs int) ([]row, error) {
	took := row{what: "a plan for 1,000 nodes, 30,000 pods and 1,000 Pending", unit: "s", target: 1}
	memory := row{what: "the same, memory had from the system", unit: "MiB", target: 1024}
	for range runs {
		cmd := exec.CommandContext(ctx, planner, "-test.run=^$", "-test.bench=^"+plan+"$", "-test.benchtime=1x")
		out, err := cmd.CombinedOutput()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is missing: `make bench` builds it", planner)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", planner, err, out)
		}
		measured, err := parseBenchmark(string(out), plan)
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
		took.values = append(took.values, measured["ns/op"]/1e9)
		memory.values = append(memory.values, measured["MiB-from-system"])
	}
	return []row{took, memory}, nil
}

// parseBenchmark reads what a Go benchmark has measured, by unit.
// https://go.dev/design/14313-benchmark-format
func parseBenchmark(out, name string) (map[string]float64, error) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] != name && !strings.HasPrefix(fields[0], name+"-") {
			continue
		}
		values := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			values[fields[i+1]] = value
		}
		return values, nil
	}
	return nil, fmt.Errorf("%s has measured nothing", name)
}
