package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/region"
)

// idleCPU is what an idle region may use, in percent of a core.
const idleCPU = 15

// scalingCPU is what one at rest may use that has an autoscaler, and pods.
const scalingCPU = 2 * idleCPU

// settle brings the region up and waits until it rests.
func (b bench) settle(ctx context.Context) error {
	if err := b.tarn(ctx, "up"); err != nil {
		return err
	}
	return b.rested(ctx)
}

// rested waits until a new region rests. It has images to unpack and caches to
// fill, and its add-ons' pods start after its nodes.
func (b bench) rested(ctx context.Context) error {
	err := b.tarn(ctx, "kubectl", "wait", "--namespace=kube-system", "--for=condition=Available", "deployment", "--all", "--timeout="+patience.String())
	if err != nil {
		return err
	}
	return b.calm(ctx, idleCPU)
}

// calm waits until the region uses less than so many percent of a core. One that
// never comes to rest is to be measured, too: it is waited for with patience.
func (b bench) calm(ctx context.Context, percent float64) error {
	for began := time.Now(); time.Since(began) < patience; {
		busy, err := b.cpu(ctx, 2*time.Second)
		if err != nil || busy < percent {
			return err
		}
	}
	return nil
}

// rest measures a region that nobody uses: its memory, and what it uses in each of
// so many stretches of time, one after the other.
func (b bench) rest(ctx context.Context, runs int, idle time.Duration) ([]row, error) {
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	cpu := row{what: "idle CPU, region, three nodes and their pods", unit: "% of a core", target: idleCPU}
	for range runs {
		percent, err := b.cpu(ctx, idle)
		if err != nil {
			return nil, err
		}
		cpu.values = append(cpu.values, percent)
	}
	groups, err := b.processes(ctx)
	if err != nil {
		return nil, err
	}
	const counted = ", shared pages counted once"
	const both, each = "region and control plane", "an instance, with kube-proxy and its pods' shims"
	sum, sumShared := row{what: both, unit: "MB", target: 450}, row{what: both + counted, unit: "MB", target: 450}
	one, oneShared := row{what: each, unit: "MB", target: 200}, row{what: each + counted, unit: "MB", target: 200}
	pods := row{what: "the pods of an instance, those of add-ons" + counted, unit: "MB"}
	var whole memory
	for _, g := range groups {
		size, err := memoryOfAll(g.pids)
		if err != nil {
			return nil, err
		}
		if !g.instance {
			whole.rss, whole.pss = whole.rss+size.rss, whole.pss+size.pss
			continue
		}
		one.values, oneShared.values = append(one.values, size.rss), append(oneShared.values, size.pss)
		if size, err = memoryOfAll(g.pods); err != nil {
			return nil, err
		}
		pods.values = append(pods.values, size.pss)
	}
	sum.values, sumShared.values = []float64{whole.rss}, []float64{whole.pss}
	return []row{sum, sumShared, one, oneShared, pods, cpu}, nil
}

// group is the processes of one part of the region.
type group struct {
	instance bool
	pids     []int // its own, the first one its main process
	pods     []int // those of an instance's pods
}

func (b bench) processes(ctx context.Context) ([]group, error) {
	out, err := exec.CommandContext(ctx, b.binary, "--data-dir", b.dir, "status", "-o", "json").Output()
	if err != nil {
		return nil, fmt.Errorf("asking for the region's processes: %w", err)
	}
	var status region.Status
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, err
	}
	var groups []group
	for _, p := range status.Processes {
		g := group{instance: strings.HasPrefix(p.Name, "i-"), pids: []int{p.PID}}
		if g.instance {
			if g.pids, g.pods, err = instanceProcesses(p.PID); err != nil {
				return nil, err
			}
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// cpu is the share of one core that all of the region uses, its pods included, in
// percent.
func (b bench) cpu(ctx context.Context, during time.Duration) (float64, error) {
	groups, err := b.processes(ctx)
	if err != nil {
		return 0, err
	}
	total := func() (sum float64, err error) {
		for _, g := range groups {
			used := cpuSeconds
			if g.instance {
				used = instanceCPUSeconds
			}
			s, err := used(g.pids[0])
			if err != nil {
				return 0, err
			}
			sum += s
		}
		return sum, nil
	}
	began := time.Now()
	before, err := total()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(during):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := total()
	return (after - before) / time.Since(began).Seconds() * 100, err
}
