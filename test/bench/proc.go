package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory is what a process has in RAM, in MB. proc_pid_smaps_rollup(5).
type memory struct {
	rss     float64 // resident set size: all of its pages
	pss     float64 // proportional: a page that n processes share counts as an n-th
	private float64 // pages that it shares with none
}

func memoryOf(pid int) (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	m, err := parseRollup(string(data))
	if err != nil {
		return m, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return m, nil
}

// memoryOfAll is what several processes have together.
func memoryOfAll(pids []int) (sum memory, err error) {
	for _, pid := range pids {
		m, err := memoryOf(pid)
		if err != nil {
			return memory{}, err
		}
		sum.rss, sum.pss, sum.private = sum.rss+m.rss, sum.pss+m.pss, sum.private+m.private
	}
	return sum, nil
}

func parseRollup(text string) (m memory, err error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		var part *float64
		switch fields[0] {
		case "Rss:":
			part = &m.rss
		case "Pss:":
			part = &m.pss
		case "Private_Clean:", "Private_Dirty:":
			part = &m.private
		default:
			continue
		}
		kib, err := strconv.Atoi(fields[1])
		if err != nil {
			return m, fmt.Errorf("reading %s %w", fields[0], err)
		}
		*part += float64(kib) * 1024 / 1e6
	}
	if m.rss == 0 {
		return m, errors.New("there is none: it has ended")
	}
	return m, nil
}

// cpuSeconds is the CPU time that a process has used. proc_pid_stat(5).
func cpuSeconds(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	const ticks = 100 // USER_HZ
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return float64(user+system) / ticks, err
}
