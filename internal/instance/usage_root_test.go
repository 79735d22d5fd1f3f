package instance

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a process of a pod burns is the instance's, and nobody else's.
func TestUsageOfARealCgroup(t *testing.T) {
	g := realCgroup(t, Capacity{VCPU: 2, MemoryMiB: 512})
	m, err := NewMeter()
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Usage(g.path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "read line; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range g.dirs() {
		if err := writeControl(filepath.Join(dir, SystemCgroup, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := input.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	after, err := m.Usage(g.path)
	if err != nil {
		t.Fatal(err)
	}
	burnt, used := cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), after.CPU-before.CPU
	if used < burnt/2 || used > burnt+time.Second {
		t.Errorf("the cgroup used %v, its process %v", used, burnt)
	}
	top, _, _ := strings.Cut(g.path, "/")
	if whole, err := m.Usage(top); err != nil || whole.CPU < after.CPU {
		t.Errorf("the region's cgroup used %v, %v, and one instance %v", whole.CPU, err, after.CPU)
	}
}

func BenchmarkUsage(b *testing.B) {
	m, err := NewMeter()
	if err != nil {
		b.Skip(err)
	}
	if _, err := m.Usage(""); err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		if _, err := m.Usage(""); err != nil {
			b.Fatal(err)
		}
	}
}
