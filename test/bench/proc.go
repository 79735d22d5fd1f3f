package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory is what a process has in RAM, in MB. proc_pid_smaps_rollup(5).
type memory struct {
	rss float64 // resident set size: all of its pages
	pss float64 // proportional: a page that n processes share counts as an n-th
}

func memoryOf(pid int) (memory, error) {
	var m memory
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return m, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "Rss:" && fields[0] != "Pss:" {
			continue
		}
		kib, err := strconv.Atoi(fields[1])
		if err != nil {
			return m, fmt.Errorf("reading %s of process %d: %w", fields[0], pid, err)
		}
		if mb := float64(kib) * 1024 / 1e6; fields[0] == "Rss:" {
			m.rss = mb
		} else {
			m.pss = mb
		}
	}
	if m.rss == 0 {
		return m, fmt.Errorf("process %d has no memory: it has ended", pid)
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

// cgroupMates are the processes in the same cgroup: an instance's own and the
// shims of its pods.
func cgroupMates(pid int) ([]int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		dir := "/sys/fs/cgroup"
		switch controllers {
		case "memory": // cgroup v1
			dir = filepath.Join(dir, "memory")
		case "": // cgroup v2, if it has controllers
			if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err != nil {
				continue
			}
		default:
			continue
		}
		procs, err := os.ReadFile(filepath.Join(dir, path, "cgroup.procs"))
		if err != nil {
			return nil, err
		}
		var pids []int
		for field := range strings.FieldsSeq(string(procs)) {
			p, err := strconv.Atoi(field)
			if err != nil {
				return nil, err
			}
			pids = append(pids, p)
		}
		return pids, nil
	}
	return nil, fmt.Errorf("process %d is in no memory cgroup", pid)
}
