package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// SystemCgroup is the leaf, below an instance's cgroup, of what is not a pod.
const SystemCgroup = "system"

// cgroup is one control group. On cgroup v2 it is one directory; on v1, one in
// each hierarchy.
type cgroup struct {
	path    string   // below each hierarchy's root
	roots   []string // hierarchies
	unified bool
}

func newCgroup(path string) (cgroup, error) {
	return cgroupAt(cgroupRoot, path)
}

func cgroupAt(root, path string) (cgroup, error) {
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err == nil {
		return cgroup{path: path, roots: []string{root}, unified: true}, nil
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return cgroup{}, fmt.Errorf("looking for cgroups: %w", err)
	}
	g := cgroup{path: path}
	for _, e := range entries {
		// Links such as cpu -> cpu,cpuacct would name a hierarchy twice.
		dir := filepath.Join(root, e.Name())
		if !e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			g.roots = append(g.roots, dir)
		}
	}
	if len(g.roots) == 0 {
		return cgroup{}, fmt.Errorf("no cgroup hierarchy is mounted below %s: mount cgroup2 there", root)
	}
	return g, nil
}

// dirs are the cgroup's directories, one per hierarchy.
func (g cgroup) dirs() []string {
	dirs := make([]string, len(g.roots))
	for i, root := range g.roots {
		dirs[i] = filepath.Join(root, g.path)
	}
	return dirs
}

// create makes the cgroup with its leaf for the instance's own processes, and
// sets its limits.
func (g cgroup) create(c Capacity) error {
	for _, root := range g.roots {
		dir := root
		for part := range strings.SplitSeq(g.path, "/") {
			if g.unified && dir != root { // the root's are the machine's: BorrowControllers
				if err := enableControllers(dir); err != nil {
					return err
				}
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := makeCgroupDir(parent, dir); err != nil {
				return err
			}
		}
		if g.unified {
			if err := enableControllers(dir); err != nil {
				return err
			}
		}
		if err := makeCgroupDir(dir, filepath.Join(dir, SystemCgroup)); err != nil {
			return err
		}
	}
	for file, value := range limits(c, g.unified) {
		if err := g.set(file, value); err != nil {
			return err
		}
	}
	return g.weighRegion()
}

// weighRegion gives the region's cgroup, the parent of g, the weight of all its
// instances together. On v1 it has the machine's other processes as siblings,
// each with the weight of one vCPU: without, all nodes would get as much of a
// busy machine as one of those. On v2 its siblings are slices, and it is one.
func (g cgroup) weighRegion() error {
	if g.unified || filepath.Dir(g.path) == "." { // the root is the machine's
		return nil
	}
	for _, dir := range g.dirs() {
		instances, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "*", "cpu.shares"))
		if err != nil {
			return err
		}
		sum := 0
		for _, file := range instances {
			data, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it has just ended
			}
			if err != nil {
				return err
			}
			shares, err := strconv.Atoi(string(bytes.TrimSpace(data)))
			if err != nil {
				return fmt.Errorf("reading %s: %w", file, err)
			}
			sum += shares
		}
		if sum == 0 {
			continue // no instance is left, or it is another hierarchy
		}
		region := filepath.Join(filepath.Dir(dir), "cpu.shares")
		if err := writeControl(region, strconv.Itoa(sum)); err != nil {
			return fmt.Errorf("setting the weight of the region: %w", err)
		}
	}
	return nil
}

// limits are the files and values that hold an instance to its type. A vCPU
// weighs as much as a process that the machine runs by itself.
func limits(c Capacity, unified bool) map[string]string {
	const period = 100_000 // µs
	memory := strconv.FormatInt(int64(c.MemoryMiB)<<20, 10)
	quota := strconv.Itoa(c.VCPU * period)
	if unified {
		return map[string]string{
			"cpu.weight":      strconv.Itoa(min(c.VCPU*100, 10_000)),
			"cpu.max":         quota + " " + strconv.Itoa(period),
			"memory.max":      memory,
			"memory.swap.max": "0",
		}
	}
	return map[string]string{
		"cpu.shares":            strconv.Itoa(c.VCPU * 1024),
		"cpu.cfs_period_us":     strconv.Itoa(period),
		"cpu.cfs_quota_us":      quota,
		"memory.limit_in_bytes": memory,
	}
}

// set writes a control file in the hierarchy that has it.
func (g cgroup) set(file, value string) error {
	for _, dir := range g.dirs() {
		err := writeControl(filepath.Join(dir, file), value)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("setting %s of cgroup %s to %s: %w", file, g.path, value, err)
		}
		return nil
	}
	if file == "memory.swap.max" { // a kernel without swap accounting has no such file
		return nil
	}
	return fmt.Errorf("setting %s of cgroup %s: no hierarchy has that file; the kernel lacks the controller %q", file, g.path, strings.SplitN(file, ".", 2)[0])
}

// writeControl writes a control file, and does not try to make one.
func writeControl(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func makeCgroupDir(parent, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making cgroup %s: %w", dir, err)
	}
	// On v1 a new cpuset has no CPUs or memory nodes, and takes no process.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		have, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || len(bytes.TrimSpace(have)) > 0 || isV2(dir) {
			continue
		}
		inherited, err := os.ReadFile(filepath.Join(parent, file))
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", file, parent, err)
		}
		if err := writeControl(filepath.Join(dir, file), string(bytes.TrimSpace(inherited))); err != nil {
			return fmt.Errorf("setting %s of %s: %w", file, dir, err)
		}
	}
	return nil
}

func isV2(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "cgroup.controllers"))
	return err == nil
}

// join moves this process into the cgroup's leaf.
func (g cgroup) join() error {
	for _, dir := range g.dirs() {
		if err := writeControl(filepath.Join(dir, SystemCgroup, "cgroup.procs"), strconv.Itoa(os.Getpid())); err != nil {
			return fmt.Errorf("joining cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// Join moves this process, and so all that it will start, into the instance's
// cgroup. It is the first thing the instance role does.
func (c Config) Join() error {
	g, err := newCgroup(c.Cgroup)
	if err != nil {
		return err
	}
	return g.join()
}

// processes are the ids of all processes in the cgroup and below it.
func (g cgroup) processes() ([]int, error) {
	var pids []int
	for _, dir := range g.dirs() {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || d.IsDir() || d.Name() != "cgroup.procs" {
				return err
			}
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil
			}
			if err != nil {
				return err
			}
			for field := range strings.FieldsSeq(string(data)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					return fmt.Errorf("reading %s: %w", path, err)
				}
				if pid > 0 { // 0: a process of another pid namespace
					pids = append(pids, pid)
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the processes of cgroup %s: %w", g.path, err)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// stop ends every process in the cgroup: SIGTERM, and SIGKILL to those still
// there after grace. It returns when there is none left.
func (g cgroup) stop(ctx context.Context, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	signal := unix.SIGTERM
	signalled := map[int]bool{}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		pids, err := g.processes()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if signal == unix.SIGTERM && !time.Now().Before(deadline) {
			signal = unix.SIGKILL
		}
		for _, pid := range pids {
			if signal == unix.SIGTERM && signalled[pid] {
				continue
			}
			signalled[pid] = true
			if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("ending process %d of cgroup %s: %w", pid, g.path, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d processes of cgroup %s to end: %w", len(pids), g.path, ctx.Err())
		case <-tick.C:
		}
	}
}

// remove deletes the cgroup and all below it. It has no process any more.
func (g cgroup) remove(ctx context.Context) error {
	for _, top := range g.dirs() {
		if err := removeCgroupDir(ctx, top); err != nil {
			return err
		}
	}
	return g.weighRegion()
}

func removeCgroupDir(ctx context.Context, top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("listing cgroup %s: %w", top, err)
	}
	for _, dir := range slices.Backward(dirs) {
		// A process that has just ended may hold its cgroup for a moment.
		for {
			err := unix.Rmdir(dir)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) {
				return fmt.Errorf("removing cgroup %s: %w", dir, err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("removing cgroup %s, which is still busy: %w", dir, ctx.Err())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return nil
}
