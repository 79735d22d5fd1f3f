package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/instance"
)

// cgroups is where the machine's cgroups are mounted.
const cgroups = "/sys/fs/cgroup"

// instanceProcesses are the processes of the instance whose main process is given,
// which comes first: its own with the shims of its pods, and those of its pods.
func instanceProcesses(pid int) (own, pods []int, err error) {
	dir, err := instanceCgroup(pid, "memory")
	if err != nil {
		return nil, nil, err
	}
	system := filepath.Join(dir, instance.SystemCgroup)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		pids, err := processesIn(path)
		if path == system {
			own = pids
		} else {
			pods = append(pods, pids...)
		}
		return err
	})
	others := slices.DeleteFunc(own, func(other int) bool { return other == pid })
	return append([]int{pid}, others...), pods, err
}

// instanceCPUSeconds is the CPU time that the instance whose main process is given
// has used, with its pods and with what has ended since.
func instanceCPUSeconds(pid int) (float64, error) {
	dir, err := instanceCgroup(pid, "cpuacct")
	if err != nil {
		return 0, err
	}
	// v1: https://docs.kernel.org/admin-guide/cgroup-v1/cpuacct.html
	text, err := os.ReadFile(filepath.Join(dir, "cpuacct.usage"))
	if err == nil {
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		return float64(ns) / 1e9, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	// v2: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
	file := filepath.Join(dir, "cpu.stat")
	if text, err = os.ReadFile(file); err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if usage, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(usage), 10, 64)
			return float64(us) / 1e6, err
		}
	}
	return 0, fmt.Errorf("%s has no usage_usec", file)
}

// instanceCgroup is the directory of an instance's cgroup that the kernel keeps a
// controller's account in, by the instance's main process.
func instanceCgroup(pid int, controller string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	_, err = os.Stat(filepath.Join(cgroups, "cgroup.controllers"))
	path, ok := cgroupPath(string(text), controller, err == nil)
	if !ok || filepath.Base(path) != instance.SystemCgroup {
		return "", fmt.Errorf("process %d is in no instance's cgroup for %s", pid, controller)
	}
	return filepath.Dir(filepath.Join(cgroups, path)), nil
}

// cgroupPath is a process's cgroup below the mounts, by its /proc/PID/cgroup: of
// cgroup v2, or in the hierarchy of a controller on v1. cgroups(7).
func cgroupPath(text, controller string, unified bool) (string, bool) {
	for line := range strings.Lines(text) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		switch {
		case unified && controllers == "":
			return path, true
		case !unified && slices.Contains(strings.Split(controllers, ","), controller):
			return filepath.Join(controllers, path), true
		}
	}
	return "", false
}

// processesIn are the processes in a cgroup, without those below it.
func processesIn(dir string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
