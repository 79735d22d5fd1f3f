package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test run main in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("PAUSE_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	main()
}

func TestReapsOrphansAndStops(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			// The shell starts two processes and becomes pause, which
			// inherits them as its children, as process 1 inherits orphans.
			cmd := exec.Command("/bin/sh", "-c", `true & sleep 0.05 & exec "$0"`, os.Args[0])
			cmd.Env = append(os.Environ(), "PAUSE_TEST_CHILD=1")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			waitChildless(t, cmd.Process.Pid)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("after %v: %v", sig, err)
			}
		})
	}
}

// waitChildless waits until the process runs pause's code and has no children,
// ended ones included.
func waitChildless(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			t.Skipf("this kernel does not list a process's children: %v", err)
		}
		self, _ := os.Executable()
		if exe == self && len(bytes.TrimSpace(children)) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d (%s) still has children %s", pid, exe, children)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
