// Command bench measures a region and prints a table: how long it takes to come
// up, to have an application answer over HTTPS, and to have an extra instance;
// what it needs while idle; how fast it answers AWS's clients, and scales; and
// how its load balancer does beside others. It starts regions of its own, needs
// root, and is never part of a test.
//
//	go run ./test/bench -tarn bin/tarn
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tarn-eks/tarn/internal/eksctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) > 0 && roles[args[0]] != nil {
		return roles[args[0]](ctx, args[1:], stdout)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	tarn := flags.String("tarn", "bin/tarn", "the binary to measure")
	planner := flags.String("planner", "bin/autoscaler.test", "the test binary of internal/autoscaler, which `make bench` builds")
	runs := flags.Int("n", 5, "how often to measure each time")
	idle := flags.Duration("idle", 30*time.Second, "how long to watch an idle region")
	load := flags.Duration("load", 10*time.Second, "how long to send requests each time")
	only := flags.String("only", "", "measure one part: "+partNames)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only != "" && !slices.Contains(strings.Split(partNames, ", "), *only) {
		return fmt.Errorf("there is no part %q: the parts are %s", *only, partNames)
	}
	if *runs < 1 {
		return errors.New("-n must be at least 1")
	}
	if os.Geteuid() != 0 && *only != "balancing" && *only != "planning" {
		return errors.New("regions need root: run it with sudo")
	}
	binary, err := filepath.Abs(*tarn)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tb")
	if err != nil {
		return err
	}
	b := bench{binary: binary, dir: filepath.Join(dir, "d"), scratch: dir}
	defer func() {
		if _, err := os.Stat(b.dir); err == nil {
			_ = b.tarn(context.WithoutCancel(ctx), "delete")
		}
		_ = os.RemoveAll(dir)
	}()
	var (
		rows     []row
		compared []comparison
	)
	parts := []struct {
		name    string
		measure func() ([]row, error)
	}{
		{"start", func() ([]row, error) { return b.starts(ctx, *runs) }},
		{"https", func() ([]row, error) { return b.https(ctx, *runs) }},
		{"rest", func() ([]row, error) { return b.rest(ctx, *runs, *idle) }},
		{"calls", func() ([]row, error) { return b.calls(ctx, *runs, *load) }},
		{"scaling", func() ([]row, error) { return b.scaling(ctx, *runs) }},
		{"planning", func() ([]row, error) { return planning(ctx, *planner, *runs) }},
		{"balancing", func() (_ []row, err error) {
			compared, err = balancing(ctx, b.scratch, *runs, *load)
			return nil, err
		}},
	}
	for _, p := range parts {
		if *only != "" && *only != p.name {
			continue
		}
		more, err := p.measure()
		if err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
		rows = append(rows, more...)
	}
	return errors.Join(printTable(stdout, rows), printComparisons(stdout, compared))
}

// partNames are the parts in the order in which they are measured.
const partNames = "start, https, rest, calls, scaling, planning, balancing"

type bench struct{ binary, dir, scratch string }

func (b bench) tarn(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, b.binary, append([]string{"--data-dir", b.dir}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("tarn %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// timed is how long a command takes, in seconds.
func (b bench) timed(ctx context.Context, args ...string) (float64, error) {
	began := time.Now()
	err := b.tarn(ctx, args...)
	return time.Since(began).Seconds(), err
}

// starts measures how long a region and an extra instance take to come up.
func (b bench) starts(ctx context.Context, runs int) ([]row, error) {
	up := row{what: "tarn up, from nothing to three Ready nodes", unit: "s", target: 12}
	again := row{what: "tarn up, after tarn down", unit: "s", target: 12}
	extra := row{what: "an extra instance, from start to Ready", unit: "s", target: 3}
	larger := filepath.Join(b.scratch, "four.yaml")
	file := strings.Replace(string(eksctl.BuiltIn), "desiredCapacity: 3", "desiredCapacity: 4", 1)
	if file == string(eksctl.BuiltIn) {
		return nil, errors.New("the built-in cluster file has no desiredCapacity of 3")
	}
	smaller := filepath.Join(b.scratch, "three.yaml")
	if err := errors.Join(os.WriteFile(larger, []byte(file), 0o644), os.WriteFile(smaller, eksctl.BuiltIn, 0o644)); err != nil {
		return nil, err
	}
	for i := range runs {
		if i > 0 {
			if err := b.tarn(ctx, "delete"); err != nil {
				return nil, err
			}
		}
		steps := []struct {
			row  *row
			args []string
		}{
			{&up, []string{"up"}},
			{nil, []string{"down"}},
			{&again, []string{"up"}},
			{&extra, []string{"up", "-f", larger}},
			{nil, []string{"up", "-f", smaller}},
		}
		for _, s := range steps {
			took, err := b.timed(ctx, s.args...)
			if err != nil {
				return nil, err
			}
			if s.row != nil {
				s.row.values = append(s.row.values, took)
			}
		}
	}
	return []row{up, again, extra}, nil
}
