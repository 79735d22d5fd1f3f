package provisioning

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// host is a Host and the Roles of a service: it notes what it is told, and fails
// as it is told.
type host struct {
	mu      sync.Mutex // guards all below
	running map[string]int
	applied []string // add-on, and its status
	fail    func(act string) error
	block   chan struct{} // Start of "slow" waits for it
}

func (h *host) failure(act string) error {
	if h.fail == nil {
		return nil
	}
	return h.fail(act)
}

func (h *host) Start(ctx context.Context, c eks.Cluster) (eks.Endpoint, error) {
	if c.Name == "slow" {
		select {
		case <-h.block:
		case <-ctx.Done():
			return eks.Endpoint{}, ctx.Err()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.failure("start " + c.Name); err != nil {
		return eks.Endpoint{}, err
	}
	if !c.Network.Address.IsValid() || c.Network.SecurityGroup == "" {
		return eks.Endpoint{}, fmt.Errorf("started with %+v", c.Network)
	}
	h.running[c.Name] = c.Generation
	return eks.Endpoint{URL: "https://" + c.Name, CA: []byte("PEM")}, nil
}

func (h *host) Stop(_ context.Context, c eks.Cluster) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, c.Name)
	return h.failure("stop " + c.Name)
}

func (h *host) ApplyAddons(_ context.Context, c eks.Cluster, addons []eks.Addon) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range addons {
		if err := h.failure("apply " + a.Name); err != nil {
			return err
		}
		h.applied = append(h.applied, strings.TrimSpace(c.Name+" "+a.Name+" "+string(a.Status)))
	}
	return nil
}

func (h *host) set(fail func(act string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = fail
}

func (h *host) has(applied string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.applied, applied)
}

type roles struct{}

func (roles) Trust(context.Context, string, string) (exists, trusts bool, err error) {
	return true, true, nil
}
func (roles) Exists(context.Context, string) (bool, error) { return true, nil }

// network is the service's view of a VPC of EC2's.
type network struct{ ec2 *ec2.Service }

func (n network) Subnets(ctx context.Context, ids []string) ([]eks.Subnet, error) {
	items, _, err := n.ec2.Subnets.List(ctx, "")
	var list []eks.Subnet
	for _, i := range items {
		if slices.Contains(ids, i.Key) {
			list = append(list, eks.Subnet{ID: i.Key, VPC: i.Value.VPC, Zone: i.Value.Zone, Free: 100})
		}
	}
	return list, err
}

func (network) SecurityGroups(context.Context, []string) (map[string]string, error) { return nil, nil }
func (network) LaunchTemplate(context.Context, string, string, string) (eks.LaunchTemplate, error) {
	return eks.LaunchTemplate{}, store.ErrNotFound
}

// fixture is a region of a loop with its host.
type fixture struct {
	*testing.T
	eks     *eks.Service
	ec2     *ec2.Service
	host    *host
	subnets []string
	log     *bytes.Buffer // to be read when the loop has ended
	stop    func()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	client := storetest.Open(t).Client()
	f := &fixture{T: t, host: &host{running: map[string]int{}, block: make(chan struct{})}, log: &bytes.Buffer{}}
	var err error
	if f.ec2, err = ec2.New(ec2.Config{Client: client, Account: "000000000000", Region: "ap-northeast-2"}); err != nil {
		t.Fatal(err)
	}
	_, subnets, err := f.ec2.CreateVPC(t.Context(), netip.MustParsePrefix("192.168.0.0/16"), []string{"ap-northeast-2a", "ap-northeast-2b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subnets {
		f.subnets = append(f.subnets, s.ID)
	}
	f.eks, err = eks.New(eks.Config{
		Client: client, Account: "000000000000", Region: "ap-northeast-2", Version: "1.37.2", Network: network{f.ec2}, Roles: roles{}})
	if err != nil {
		t.Fatal(err)
	}
	f.start(vpc{f.ec2})
	return f
}

// start starts the loop; it ends with the test, or by stop.
func (f *fixture) start(n Network) {
	ctx, cancel := context.WithCancel(f.Context())
	loop := &Loop{
		EKS: f.eks, Host: f.host, Network: n, Retry: time.Millisecond, Attempts: 3,
		Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	ended := make(chan error, 1)
	go func() { ended <- loop.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				f.Errorf("the loop ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			f.Fatal("the loop does not end")
		}
	})
	f.Cleanup(f.stop)
}

func (f *fixture) create(name string) {
	f.Helper()
	_, err := f.eks.CreateCluster(f.Context(), &eksapi.CreateClusterInput{
		Name: &name, RoleArn: new("arn:aws:iam::000000000000:role/r"),
		ResourcesVpcConfig: &eksapi.VpcConfigRequest{SubnetIds: f.subnets[:2]},
	})
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) delete(name string) {
	f.Helper()
	if _, err := f.eks.DeleteCluster(f.Context(), &eksapi.DeleteClusterInput{Name: &name}); err != nil {
		f.Fatal(err)
	}
}

// await waits until the cluster is as said; it is zero when it is gone.
func (f *fixture) await(name, what string, is func(eks.Cluster) bool) eks.Cluster {
	f.Helper()
	return await(f, f.eks.Clusters, name, what, is)
}

func await[T any](f *fixture, c *store.Collection[T], key, what string, is func(T) bool) T {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	var last T
	follower := c.Follow(ctx, "")
	for s := range follower.C {
		item, _ := s.Get(key)
		if last = item.Value; is(last) {
			return last
		}
	}
	f.Fatalf("%s did not become %s: %+v", key, what, last)
	return last
}

func (f *fixture) active(name string) eks.Cluster {
	f.Helper()
	return f.await(name, "ACTIVE", func(c eks.Cluster) bool { return c.Status == eks.Active })
}

func (f *fixture) gone(name string) {
	f.Helper()
	f.await(name, "nothing", func(c eks.Cluster) bool { return c.Name == "" })
}

// empty wants nothing of any cluster in the VPC.
func (f *fixture) empty() {
	f.Helper()
	enis, _, err := f.ec2.ENIs.List(f.Context(), "")
	if err != nil || len(enis) != 0 {
		f.Errorf("interfaces that are left: %v, %v", enis, err)
	}
	groups, _, err := f.ec2.SecurityGroups.List(f.Context(), "")
	if err != nil || len(groups) != 1 { // the default one
		f.Errorf("security groups that are left: %v, %v", groups, err)
	}
}

func (f *fixture) eventually(what string, is func() bool) {
	f.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("waited in vain for %s", what)
		}
	}
}
