package region

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// The test binary is its own child: TARN_TEST_CHILD says what to do.
func TestMain(m *testing.M) {
	switch os.Getenv("TARN_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "listen": // holds a loopback port until the test is gone
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(l.Addr().(*net.TCPAddr).Port, os.Getpid())
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "preflight":
		fmt.Println(Preflight("/"))
	}
}

// runChild starts a program that is this test's binary, and returns the first
// line that it says. It ends with the test.
func runChild(t *testing.T, program, mode string, attr *syscall.SysProcAttr) string {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "TARN_TEST_CHILD="+mode)
	cmd.SysProcAttr = attr
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
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", mode, err)
	}
	return strings.TrimSpace(line)
}

// newRegion is a region without a data plane: it has a store and ports, and
// could do with neither root nor network.
func newRegion(t *testing.T) *Region {
	t.Helper()
	s := storetest.Open(t)
	background, stop := context.WithCancel(t.Context())
	r := &Region{
		layout: layout(shortDir(t)), identity: Identity{Account: "000000000000", Region: "ap-northeast-2"},
		logger: slog.New(slog.DiscardHandler), progress: newProgress(),
		store: s, eks: eks.New(s.Client()), failed: make(chan error, 1), background: background, stop: stop,
		controlPlanes: map[string]*proc.Process{},
	}
	var err error
	if r.ec2, err = ec2.New(s.Client(), r.identity.Region); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*net.Listener{&r.listen.api, &r.listen.registry} {
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		stop()
		r.tasks.Wait()
		r.listen.api.Close()
		r.listen.registry.Close()
	})
	return r
}

// withNetwork gives the region the VPC that a file describes, as a record.
func (r *Region) withNetwork(t *testing.T, cc *eksctl.ClusterConfig) {
	t.Helper()
	if err := r.createNetwork(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	vpcs, _, err := r.ec2.VPCs.List(t.Context(), "")
	if err != nil || len(vpcs) != 1 {
		t.Fatalf("%d VPCs, %v", len(vpcs), err)
	}
	subnets, _, err := r.ec2.Subnets.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	r.network = &network{record: vpcs[0].Value, host: &host{processes: map[string]*proc.Process{}}}
	for _, s := range subnets {
		r.network.subnets = append(r.network.subnets, s.Value)
	}
}

// shortDir is a data directory short enough for a unix socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Dir(storetest.Socket(t))
	if err := os.MkdirAll(layout(dir).run(), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func builtIn() *eksctl.ClusterConfig { return eksctl.Default(cluster.Version) }

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
