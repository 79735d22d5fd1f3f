package region

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// serveControl serves a region's control socket, and returns a client and a
// channel that says when the region was asked to stop.
func serveControl(t *testing.T, r *Region) (*Client, <-chan struct{}) {
	t.Helper()
	dir := string(r.layout)
	l, err := ListenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{}, 9)
	control := NewControl(r, func() { stopped <- struct{}{} })
	served := make(chan error, 1)
	go func() { served <- control.Serve(l) }()
	t.Cleanup(func() {
		if err := control.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	client, err := Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.http.CloseIdleConnections)
	return client, stopped
}

func TestControlStatus(t *testing.T) {
	r := newRegion(t)
	client, _ := serveControl(t, r)
	s, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Region != "ap-northeast-2" || s.Account != "000000000000" || s.Cluster != nil || s.Instances == nil || s.Nodegroups == nil || s.LoadBalancers == nil {
		t.Errorf("before there is a cluster: %+v", s)
	}
	if len(s.Processes) != 1 || s.Processes[0].PID != os.Getpid() {
		t.Errorf("processes %+v", s.Processes)
	}

	cc := builtIn()
	r.withCluster(t, cc)
	if err := r.applyNodegroups(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	subnets, _, err := r.ec2.Subnets.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.ec2.Launch(t.Context(), ec2.LaunchInput{
		Type: "t3.medium", Subnet: subnets[0].Key, Count: 1, Bootstrap: ec2.Bootstrap{Cluster: cc.Name, Nodegroup: "g"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = client.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := &ClusterStatus{Name: "eks-work", Version: cluster.Version, Endpoint: "https://127.0.0.1:6443", DNS: "192.168.0.2", CA: r.layout.cluster("eks-work") + "/pki/ca.crt"}
	if diff := cmp.Diff(want, s.Cluster); diff != "" {
		t.Error(diff)
	}
	if s.Endpoint != "http://"+r.listen.endpoint.Addr().String() {
		t.Errorf("the AWS endpoint is %s", s.Endpoint)
	}
	if s.DNS != r.listen.dns.Addr().String() || s.Registry != r.listen.registry.Addr().String() || s.Kubeconfig != filepath.Join(string(r.layout), "kubeconfig") {
		t.Errorf("%+v", s)
	}
	i := made[0]
	wantInstance := []InstanceStatus{{
		ID: i.ID, Type: "t3.medium", State: ec2.Pending, Zone: i.Zone, Address: i.Address.String(), Name: i.PrivateDNSName,
		Nodegroup: "g", Launched: i.Launched,
	}}
	if diff := cmp.Diff(wantInstance, s.Instances); diff != "" {
		t.Error(diff)
	}
	if len(s.Nodegroups) != 1 || s.Nodegroups[0].Desired != 3 || !strings.HasPrefix(s.Nodegroups[0].AutoScalingGroup, "eks-eks-work-nodegroup-") {
		t.Errorf("%+v", s.Nodegroups)
	}
}

func TestControlUpTellsWhatItRefuses(t *testing.T) {
	r := newRegion(t)
	r.progress.emit(Event{Step: "store", State: StepDone})
	client, _ := serveControl(t, r)
	var seen []Event
	up := func(name, file string) error {
		seen = nil
		return client.Up(t.Context(), name, []byte(file), time.Minute, func(e Event) { seen = append(seen, e) })
	}
	// What the file says is checked before anything starts.
	err := up("bad.yaml", "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata:\n  nmae: x\n")
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:4") || !strings.Contains(err.Error(), "nmae") {
		t.Errorf("a file with a mistake: %v", err)
	}
	if len(seen) != 0 {
		t.Errorf("%+v", seen)
	}
	// The first to be heard sees the region's own start.
	if err := up("", ""); err == nil || !strings.Contains(err.Error(), "no cluster yet") {
		t.Errorf("as before, and there was nothing before: %v", err)
	}
	if diff := cmp.Diff([]Event{{Step: "store", State: StepDone}}, seen); diff != "" {
		t.Error(diff)
	}
	other := strings.ReplaceAll(string(eksctl.BuiltIn), "ap-northeast-2", "us-east-1")
	if err := up("other.yaml", other); err == nil || !strings.Contains(err.Error(), "us-east-1") || !strings.Contains(err.Error(), "ap-northeast-2") {
		t.Errorf("a file of another region: %v", err)
	}
	if len(seen) != 0 {
		t.Errorf("the second one sees the start again: %+v", seen)
	}
	r.identity.Cluster = "eks-work"
	if _, err := r.eks.Clusters.Create(t.Context(), "eks-work", eks.Cluster{Name: "eks-work"}); err != nil {
		t.Fatal(err)
	}
	named := strings.ReplaceAll(string(eksctl.BuiltIn), "eks-work\n", "another\n")
	if err := up("named.yaml", named); err == nil || !strings.Contains(err.Error(), "eks-work") || !strings.Contains(err.Error(), "another") {
		t.Errorf("a file of another cluster: %v", err)
	}
}

// A client learns that the region is gone, and does not take it for an end.
func TestControlUpWhenTheRegionEnds(t *testing.T) {
	r := newRegion(t)
	r.progress.emit(Event{Step: "store"})
	r.applying.Lock() // Up waits for another one
	defer r.applying.Unlock()
	l, err := ListenControl(string(r.layout))
	if err != nil {
		t.Fatal(err)
	}
	control := NewControl(r, func() {})
	served := make(chan error, 1)
	go func() { served <- control.Serve(l) }()
	client, err := Dial(string(r.layout))
	if err != nil {
		t.Fatal(err)
	}
	err = client.Up(t.Context(), "", nil, time.Minute, func(Event) {
		if err := control.Close(); err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("%v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestControlDown(t *testing.T) {
	client, stopped := serveControl(t, newRegion(t))
	if err := client.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stopped:
	default:
		t.Error("the region was not asked to stop")
	}
}

func TestDialFindsNothing(t *testing.T) {
	dir := shortDir(t)
	if _, err := Dial(dir); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), dir) {
		t.Errorf("no region: %v", err)
	}
	// A region that was killed leaves its socket.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: layout(dir).controlSocket()})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Dial(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("the socket of a region that was killed: %v", err)
	}
	again, err := ListenControl(dir)
	if err != nil {
		t.Fatalf("the next region: %v", err)
	}
	defer again.Close()
	if info, err := os.Stat(layout(dir).controlSocket()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("who may open the socket: %v, %v", info.Mode(), err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 120))
	if err := os.MkdirAll(layout(long).run(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenControl(long); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a path that is too long: %v", err)
	}
}
