package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// residentMB is a process's proportional set size in MB: pages that several
// processes share, such as the binary's, count once for all of them.
// proc_pid_smaps_rollup(5).
func residentMB(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "Pss:" {
			kib, err := strconv.Atoi(fields[1])
			return float64(kib) * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d has no Pss", pid)
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
