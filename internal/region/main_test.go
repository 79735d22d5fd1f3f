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
	"github.com/tarn-eks/tarn/internal/registry"
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
		_ = l.Close() // not before: nobody else holds it against the garbage collector
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

// newRegion is a region without a data plane: it has a store, ports and the AWS
// services behind their endpoint, and could do with neither root nor network.
func newRegion(t *testing.T) *Region {
	t.Helper()
	s := storetest.Open(t)
	background, stop := context.WithCancel(t.Context())
	r := &Region{
		layout: layout(shortDir(t)), identity: Identity{Account: "000000000000", Region: "ap-northeast-2"},
		logger: slog.New(slog.DiscardHandler), progress: newProgress(),
		store: s, failed: make(chan error, 1), background: background, stop: stop,
		networks: map[string]*network{}, controlPlanes: map[string]*controlPlane{},
	}
	var err error
	for _, d := range doors {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*d.listener(&r.listen) = l
		*d.port(&r.identity.Ports) = l.Addr().(*net.TCPAddr).Port
	}
	if r.registry, err = registry.New(registry.Config{Dir: r.layout.registry(), Account: r.identity.Account}); err != nil {
		t.Fatal(err)
	}
	if err := r.openMetrics(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		r.tasks.Wait()
		for _, l := range r.listen.all() {
			l.Close()
		}
		if r.trail != nil {
			if err := r.trail.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := r.registry.Close(); err != nil {
			t.Error(err)
		}
		if err := r.metrics.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.openServices(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.openGateway(); err != nil {
		t.Fatal(err)
	}
	return r
}

// withNetwork gives the region the VPC that a file describes, as a record, and
// returns it with its subnets.
func (r *Region) withNetwork(t *testing.T, cc *eksctl.ClusterConfig) (ec2.VPC, []ec2.Subnet) {
	t.Helper()
	if err := r.createNetwork(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	vpcs, _, err := r.ec2.VPCs.List(t.Context(), "")
	if err != nil || len(vpcs) != 1 {
		t.Fatalf("%d VPCs, %v", len(vpcs), err)
	}
	items, _, err := r.ec2.Subnets.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var subnets []ec2.Subnet
	for _, s := range items {
		subnets = append(subnets, s.Value)
	}
	r.networks[vpcs[0].Key] = &network{record: vpcs[0].Value}
	return vpcs[0].Value, subnets
}

// withCluster gives the region the cluster that a file describes, as a record
// that says that it runs.
func (r *Region) withCluster(t *testing.T, cc *eksctl.ClusterConfig) eks.Cluster {
	t.Helper()
	r.withNetwork(t, cc)
	if err := r.createCluster(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	r.setCluster(cc.Name)
	item, err := r.eks.Clusters.Get(t.Context(), cc.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.eks.ClusterStarted(t.Context(), item.Value, eks.Endpoint{URL: "https://127.0.0.1:6443", CA: []byte("PEM")}); err != nil {
		t.Fatal(err)
	}
	if item, err = r.eks.Clusters.Get(t.Context(), cc.Name); err != nil {
		t.Fatal(err)
	}
	return item.Value
}

// call makes an AWS call as the account's root.
func call[O any](t *testing.T, r *Region, service, operation string, input any) *O {
	t.Helper()
	out, err := invoke[O](t.Context(), r, service, operation, input)
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	return out
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
