package instance

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test binary is its own child: TARN_TEST_CHILD says what to do.
func TestMain(m *testing.M) {
	if mode := os.Getenv("TARN_TEST_CHILD"); mode != "" {
		child(mode)
		return
	}
	os.Exit(m.Run())
}

// child joins the cgroup TARN_TEST_CGROUP, says so, and stays until it is ended.
func child(mode string) {
	if mode == "name" { // says what it was run as
		fmt.Println(filepath.Base(os.Args[0]))
		return
	}
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	if group := os.Getenv("TARN_TEST_CGROUP"); group != "" {
		if err := (Config{Cgroup: group}).Join(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test is gone
}

// startChild starts a child and waits until it is ready. It ends with the test.
func startChild(t *testing.T, mode, group string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "TARN_TEST_CHILD="+mode, "TARN_TEST_CGROUP="+group)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	line := make([]byte, 256)
	n, _ := out.Read(line)
	if string(line[:n]) != "ready\n" {
		t.Fatalf("the child said %q", line[:n])
	}
	return cmd
}

func testConfig() Config {
	return Config{
		ID: "i-0123456789abcdef0", NodeName: "ip-192-168-12-34.ap-northeast-2.compute.internal",
		Region: "ap-northeast-2", Zone: "ap-northeast-2a",
		Capacity: Capacity{VCPU: 2, MemoryMiB: 4096, MaxPods: 17, ReservedCPUMilli: 70, ReservedMemoryMiB: 442, VolumeGiB: 80},
		Address:  netip.MustParseAddr("192.168.12.34"), PodAddresses: []netip.Addr{netip.MustParseAddr("192.168.12.35")},
		MTU: 9001, Resolver: netip.MustParseAddr("192.168.0.2"), ClusterDNS: netip.MustParseAddr("10.100.0.10"),
		Labels: map[string]string{"a": "b"}, Taints: []Taint{{"k", "v", "NoSchedule"}},
		Registry: "http://192.168.0.3", PauseImage: "example/pause:3.10", Cgroup: "tarn-0/i-0123456789abcdef0",
	}
}

// tree makes files below dir. A name that ends in a slash is a directory, one
// with an arrow a link.
func tree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		var err error
		if from, to, ok := strings.Cut(name, " -> "); ok {
			err = os.Symlink(to, filepath.Join(dir, from))
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, file ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(file...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
