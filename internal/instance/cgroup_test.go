package instance

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLimits(t *testing.T) {
	for _, test := range []struct {
		name    string
		c       Capacity
		unified bool
		want    map[string]string
	}{
		{"t3.medium on v1", Capacity{VCPU: 2, MemoryMiB: 4096}, false, map[string]string{
			"cpu.shares": "2048", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "200000", "memory.limit_in_bytes": "4294967296",
		}},
		{"t3.medium on v2", Capacity{VCPU: 2, MemoryMiB: 4096}, true, map[string]string{
			"cpu.weight": "200", "cpu.max": "200000 100000", "memory.max": "4294967296", "memory.swap.max": "0",
		}},
		// More than 2^31 bytes and microseconds: nothing overflows.
		{"m5.24xlarge on v2", Capacity{VCPU: 96, MemoryMiB: 393216}, true, map[string]string{
			"cpu.weight": "9600", "cpu.max": "9600000 100000", "memory.max": "412316860416", "memory.swap.max": "0",
		}},
		{"t3.nano on v1", Capacity{VCPU: 2, MemoryMiB: 512}, false, map[string]string{
			"cpu.shares": "2048", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "200000", "memory.limit_in_bytes": "536870912",
		}},
	} {
		if got := limits(test.c, test.unified); !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// v1 is a tree as distributions mount cgroup v1: controllers that share a
// hierarchy, links by each one's name, and the unified hierarchy beside them.
var v1 = map[string]string{
	"cpu,cpuacct/cgroup.procs":        "",
	"cpu,cpuacct/g/cpu.cfs_quota_us":  "-1",
	"cpu,cpuacct/g/cpu.cfs_period_us": "100000",
	"cpu -> cpu,cpuacct":              "",
	"cpuacct -> cpu,cpuacct":          "",
	"memory/cgroup.procs":             "",
	"memory/g/memory.limit_in_bytes":  "9223372036854771712",
	"systemd/cgroup.procs":            "",
	"unified/cgroup.procs":            "",
	"unified/cgroup.controllers":      "",
	"not-a-hierarchy/x":               "",
	"a-file":                          "",
}

var v2 = map[string]string{"cgroup.controllers": "cpu memory", "cgroup.procs": "", "g/cpu.max": "max 100000", "g/memory.max": "max", "some.slice/cgroup.procs": ""}

func TestCgroupAt(t *testing.T) {
	for _, test := range []struct {
		name    string
		files   map[string]string
		roots   []string // below the root
		unified bool
	}{
		{"v1", v1, []string{"cpu,cpuacct", "memory", "systemd", "unified"}, false},
		{"v2", v2, []string{"."}, true},
		{"none is mounted", map[string]string{"a/b/": ""}, nil, false},
	} {
		root := t.TempDir()
		tree(t, root, test.files)
		g, err := cgroupAt(root, "tarn-0/i-1")
		if (err == nil) != (test.roots != nil) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), root) {
				t.Errorf("%s: %v does not say where", test.name, err)
			}
			continue
		}
		var roots, dirs []string
		for _, r := range test.roots {
			roots = append(roots, filepath.Join(root, r))
			dirs = append(dirs, filepath.Join(root, r, "tarn-0/i-1"))
		}
		if g.unified != test.unified || !slices.Equal(g.roots, roots) || !slices.Equal(g.dirs(), dirs) {
			t.Errorf("%s: %+v with %v", test.name, g, g.dirs())
		}
	}
	if _, err := cgroupAt(filepath.Join(t.TempDir(), "missing"), "x"); err == nil {
		t.Error("cgroups in a directory that does not exist")
	}
}

func TestSetFindsTheHierarchy(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  map[string]string // file: value
	}{
		"v1": {v1, map[string]string{"cpu,cpuacct/g/cpu.cfs_quota_us": "200000", "memory/g/memory.limit_in_bytes": "99"}},
		"v2": {v2, map[string]string{"g/cpu.max": "200000 100000", "g/memory.max": "99"}},
	} {
		root := t.TempDir()
		tree(t, root, test.files)
		g, err := cgroupAt(root, "g")
		if err != nil {
			t.Fatal(err)
		}
		for file, value := range test.want {
			// A control file takes each write for itself; this one keeps its length.
			if err := os.Truncate(filepath.Join(root, file), 0); err != nil {
				t.Fatal(err)
			}
			if err := g.set(filepath.Base(file), value); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := read(t, root, file); got != value {
				t.Errorf("%s: %s is %q, want %q", name, file, got, value)
			}
		}
		// A kernel without swap accounting is fine, one without a controller not.
		if err := g.set("memory.swap.max", "0"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := g.set("pids.max", "10"); err == nil || !strings.Contains(err.Error(), `"pids"`) {
			t.Errorf("%s: a controller that is missing: %v", name, err)
		}
		if left, err := filepath.Glob(filepath.Join(root, "*", "g", "pids.max")); err != nil || left != nil {
			t.Errorf("%s: made %v", name, left)
		}
	}
}

func TestTheRegionWeighsAsMuchAsItsInstances(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{
		"cpu/cgroup.procs": "", "cpu/cpu.shares": "1024", "cpu/tarn/cpu.shares": "1024",
		"cpu/tarn/i-1/cpu.shares": "2048\n", "cpu/tarn/i-2/cpu.shares": "4096\n",
		"memory/cgroup.procs": "", "memory/tarn/i-1/memory.limit_in_bytes": "1",
	})
	for _, path := range []string{"tarn/i-1", "i-1"} {
		g, err := cgroupAt(root, path)
		if err == nil {
			err = g.weighRegion()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, root, "cpu", "tarn", "cpu.shares"); got != "6144" {
		t.Errorf("the region's weight is %s", got)
	}
	if got := read(t, root, "cpu", "cpu.shares"); got != "1024" {
		t.Errorf("the machine's weight is %s", got)
	}
}

func TestProcesses(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{
		"cpu/cgroup.procs":                 "1\n2\n", // the machine's own
		"cpu/g/cgroup.procs":               "",
		"cpu/g/system/cgroup.procs":        "30\n4\n",
		"cpu/g/kubepods/pod1/cgroup.procs": "500\n0\n", // 0: of another pid namespace
		"cpu/g/tasks":                      "77\n",
		"memory/cgroup.procs":              "1\n",
		"memory/g/system/cgroup.procs":     "4\n30\n6\n",
		"pids/cgroup.procs":                "1\n", // without the cgroup
	})
	g, err := cgroupAt(root, "g")
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := g.processes(); err != nil || !slices.Equal(pids, []int{4, 6, 30, 500}) {
		t.Errorf("%v, %v", pids, err)
	}
	none, err := cgroupAt(root, "missing")
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := none.processes(); err != nil || pids != nil {
		t.Errorf("of a cgroup that does not exist: %v, %v", pids, err)
	}
	tree(t, root, map[string]string{"memory/g/system/cgroup.procs": "4\nx\n"})
	if pids, err := g.processes(); err == nil {
		t.Errorf("no number: %v", pids)
	}
}

// A new cpuset of v1 is empty, and takes no process until it has CPUs.
func TestCpusetIsInherited(t *testing.T) {
	for _, test := range []struct {
		name, have, want string
		unified          bool
	}{
		{"empty", "\n", "0-3", false},
		{"set already", "1\n", "1\n", false},
		{"empty on v2, where it means all", "\n", "\n", true},
	} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "g")
		tree(t, parent, map[string]string{"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n", "g/cpuset.cpus": test.have, "g/cpuset.mems": "0\n"})
		if test.unified {
			tree(t, dir, map[string]string{"cgroup.controllers": "cpuset\n"})
		}
		if err := makeCgroupDir(parent, dir); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, "cpuset.cpus"); strings.TrimSpace(got) != strings.TrimSpace(test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestBorrowControllers(t *testing.T) {
	root, record := t.TempDir(), filepath.Join(t.TempDir(), "controllers")
	if err := borrowControllers(root, record); err != nil { // v1
		t.Error(err)
	}
	if _, err := os.Stat(record); err == nil {
		t.Error("on v1 controllers were borrowed")
	}
	tree(t, root, map[string]string{"cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma\n"})
	enabled := filepath.Join(root, "cgroup.subtree_control")
	// The first time, after a crash before any was enabled, and after one later.
	for _, now := range []string{"cpu memory pids\n", "cpu memory pids\n", "cpuset cpu io memory hugetlb pids rdma\n"} {
		if err := os.WriteFile(enabled, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := borrowControllers(root, record); err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(read(t, record)); !slices.Equal(got, []string{"cpuset", "io", "hugetlb", "rdma"}) {
			t.Errorf("borrowed %v", got)
		}
	}
}

func TestReturnControllers(t *testing.T) {
	root, record := t.TempDir(), filepath.Join(t.TempDir(), "controllers")
	if err := returnControllers(root, record); err != nil {
		t.Errorf("nothing was borrowed: %v", err)
	}
	tree(t, filepath.Dir(record), map[string]string{"controllers": "cpuset\nio"})
	// A pipe keeps one write after the other, as the kernel takes them.
	control := filepath.Join(root, "cgroup.subtree_control")
	if err := unix.Mkfifo(control, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(control, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := returnControllers(root, record); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 64)
	n, err := pipe.Read(got)
	if err != nil || string(got[:n]) != "-cpuset-io" {
		t.Errorf("%q, %v", got[:n], err)
	}
	if _, err := os.Stat(record); err == nil {
		t.Error("the record stays")
	}
}
