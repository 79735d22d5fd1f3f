package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is its own child: TARN_TEST_CHILD says what to do.
func TestMain(m *testing.M) {
	switch os.Getenv("TARN_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "serve": // runs until told to stop
		ctx, err := Child()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready", os.Getpid())
		<-ctx.Done()
		fmt.Println("stopped")
	case "fail":
		fmt.Println("the reason")
		os.Exit(3)
	case "stubborn":
		ctx, err := Child()
		if err != nil {
			os.Exit(1)
		}
		fmt.Println("ready", os.Getpid())
		<-ctx.Done()
		select {}
	case "parent": // starts a child and lives until killed
		dir := os.Args[1]
		if _, err := Start(spec(dir, "serve")); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("started")
		select {}
	}
}

func spec(dir, mode string) Spec {
	return Spec{
		Name:     mode,
		Path:     "/proc/self/exe",
		Args:     []string{mode},
		Env:      append(os.Environ(), "TARN_TEST_CHILD="+mode),
		LockFile: filepath.Join(dir, "lock"),
		LogFile:  filepath.Join(dir, "log"),
		Grace:    5 * time.Second,
		Logger:   slog.New(slog.DiscardHandler),
	}
}

// pids are the children that have said that they are ready, in order.
func pids(t *testing.T, dir string) []int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for line := range strings.Lines(string(data)) {
		if field, ok := strings.CutPrefix(strings.TrimSpace(line), "ready "); ok {
			pid, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// await polls, because a child's progress shows in files and the process table.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func exists(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestStopEndsTheChildInOrder(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(spec(dir, "serve"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the child", func() bool { return len(pids(t, dir)) == 1 })
	p.Stop()
	p.Stop()
	log, _ := os.ReadFile(p.LogFile())
	if !strings.HasSuffix(string(log), "stopped\n") {
		t.Errorf("the child did not end in order; its log: %s", log)
	}
	if s := p.Status(); s.PID != 0 || s.Restarts != 0 {
		t.Errorf("after Stop: %+v", s)
	}
}

func TestAKilledChildIsStartedAgain(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(spec(dir, "serve"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	await(t, "the child", func() bool { return len(pids(t, dir)) == 1 })
	if err := syscall.Kill(pids(t, dir)[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the second child", func() bool { return len(pids(t, dir)) == 2 })
	if s := p.Status(); s.Restarts != 1 || s.LastExit != "signal: killed" {
		t.Errorf("status %+v", s)
	}
}

func TestAChildThatDoesNotStopIsKilled(t *testing.T) {
	dir := t.TempDir()
	s := spec(dir, "stubborn")
	s.Grace = 50 * time.Millisecond
	p, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the child", func() bool { return len(pids(t, dir)) == 1 })
	pid := pids(t, dir)[0]
	p.Stop()
	if exists(pid) {
		t.Error("it is still there")
	}
}

func TestAwaitReadyTellsWhyAChildFails(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(spec(dir, "fail"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	err = p.AwaitReady(context.Background(), func(context.Context) error { return errors.New("not yet") })
	if err == nil {
		t.Fatal("ready")
	}
	for _, want := range []string{"exit status 3", "the reason", p.LogFile()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

func TestAChildEndsWithItsParentAndItsSuccessorWaits(t *testing.T) {
	dir := t.TempDir()
	parent := exec.Command("/proc/self/exe", dir)
	parent.Env = append(os.Environ(), "TARN_TEST_CHILD=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("parent said %q, %v", line, err)
	}
	await(t, "the child", func() bool { return len(pids(t, dir)) == 1 })
	first := pids(t, dir)[0]

	second, err := Start(spec(dir, "serve"))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	if n := len(pids(t, dir)); n != 1 {
		t.Errorf("%d children run beside each other", n)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	await(t, "the orphan's end", func() bool { return !exists(first) })
	await(t, "the successor", func() bool { return len(pids(t, dir)) == 2 })
}

func TestNextBackoff(t *testing.T) {
	for _, test := range []struct{ last, ran, want time.Duration }{
		{0, time.Hour, 0},
		{0, time.Second, firstBackoff},
		{firstBackoff, time.Second, 2 * firstBackoff},
		{lastBackoff, time.Second, lastBackoff},
		{lastBackoff, steady, 0},
	} {
		if got := nextBackoff(test.last, test.ran); got != test.want {
			t.Errorf("nextBackoff(%s, %s) = %s, want %s", test.last, test.ran, got, test.want)
		}
	}
}

func TestRotateLog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.log")
	f, err := openLog(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 5 {
		if _, err := fmt.Fprintf(f, "generation %d\n", i); err != nil {
			t.Fatal(err)
		}
		if err := rotateLog(file, 4, 3); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"": "", ".1": "generation 4\n", ".2": "generation 3\n", ".3": "generation 2\n"} {
		got, err := os.ReadFile(file + name)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", file+name, got, err, want)
		}
	}
	if _, err := os.Stat(file + ".4"); err == nil {
		t.Error("a fourth log is kept")
	}
}
