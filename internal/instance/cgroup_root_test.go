package instance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// realCgroup is a cgroup of the machine's own, with a name of this test's. At
// the end nothing may be left of it.
func realCgroup(t *testing.T, c Capacity) cgroup {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	record := filepath.Join(t.TempDir(), "controllers")
	if err := BorrowControllers(record); err != nil {
		t.Fatal(err)
	}
	top := fmt.Sprintf("tarn-test-%d-%s", os.Getpid(), t.Name())
	g, err := newCgroup(top + "/i-0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := RemoveCgroups(ctx, top); err != nil {
			t.Error(err)
		}
		for _, root := range g.roots {
			if _, err := os.Stat(filepath.Join(root, top)); err == nil {
				t.Errorf("%s is left in %s", top, root)
			}
		}
		if err := ReturnControllers(record); err != nil {
			t.Error(err)
		}
	})
	if err := g.create(c); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g cgroup) value(t *testing.T, file string) string {
	t.Helper()
	for _, dir := range g.dirs() {
		if data, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	t.Errorf("%s is in no hierarchy", file)
	return ""
}

func TestCreateSetsTheLimits(t *testing.T) {
	c := Capacity{VCPU: 1, MemoryMiB: 256}
	g := realCgroup(t, c)
	for range 2 { // level-triggered: it may be there already
		for file, want := range limits(c, g.unified) {
			if file == "memory.swap.max" {
				continue // not every kernel has it
			}
			if got := g.value(t, file); got != want {
				t.Errorf("%s is %q, want %q", file, got, want)
			}
		}
		if err := g.create(c); err != nil {
			t.Fatal(err)
		}
	}
	if pids, err := g.processes(); err != nil || len(pids) != 0 {
		t.Errorf("processes of a new cgroup: %v, %v", pids, err)
	}
}

// state is how a child ended, once Wait has returned.
func state(t *testing.T, cmd *exec.Cmd) syscall.WaitStatus {
	t.Helper()
	_ = cmd.Wait()
	return cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func TestJoinAndStop(t *testing.T) {
	g := realCgroup(t, Capacity{VCPU: 1, MemoryMiB: 256})
	polite, stubborn := startChild(t, "polite", g.path), startChild(t, "stubborn", g.path)
	pids := []int{polite.Process.Pid, stubborn.Process.Pid}
	slices.Sort(pids)
	if got, err := g.processes(); err != nil || !slices.Equal(got, pids) {
		t.Fatalf("processes %v, %v, want %v", got, err, pids)
	}
	// In every hierarchy, in the leaf that is not for pods.
	lines := strings.Split(strings.TrimSpace(read(t, "/proc", fmt.Sprint(polite.Process.Pid), "cgroup")), "\n")
	inside := 0
	for _, line := range lines {
		if strings.HasSuffix(line, "/"+g.path+"/"+SystemCgroup) {
			inside++
		}
	}
	if inside != len(g.roots) {
		t.Errorf("it has joined %d of %d hierarchies: %q", inside, len(g.roots), lines)
	}

	// A cgroup in use is not removed, and the error says so.
	expired, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.remove(expired); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("removing a cgroup in use: %v", err)
	}
	if err := g.stop(expired, time.Hour); err == nil || !strings.Contains(err.Error(), g.path) {
		t.Errorf("stopping in no time: %v", err)
	}

	const grace = 200 * time.Millisecond
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- g.stop(t.Context(), grace) }()
	if s := state(t, polite); !s.Signaled() || s.Signal() != syscall.SIGTERM {
		t.Errorf("a process that ends when asked to: %v", s)
	}
	if s := state(t, stubborn); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Errorf("a process that does not: %v", s)
	}
	if took := time.Since(began); took < grace {
		t.Errorf("it had only %s, want %s", took, grace)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if pids, err := g.processes(); err != nil || len(pids) != 0 {
		t.Errorf("processes after stop: %v, %v", pids, err)
	}

	// As pods do, and as a second attempt finds it.
	for _, dir := range g.dirs() {
		if err := os.MkdirAll(filepath.Join(dir, "kubepods", "pod1"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := g.remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, dir := range g.dirs() {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s is still there", dir)
			}
		}
	}
}

func TestStopWithoutGrace(t *testing.T) {
	g := realCgroup(t, Capacity{VCPU: 1, MemoryMiB: 256})
	polite := startChild(t, "polite", g.path)
	ended := make(chan error, 1)
	go func() { ended <- g.stop(t.Context(), 0) }()
	if s := state(t, polite); s.Signal() != syscall.SIGKILL {
		t.Errorf("%v", s)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
