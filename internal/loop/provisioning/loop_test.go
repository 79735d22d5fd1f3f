package provisioning

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestLife(t *testing.T) {
	f := newFixture(t)
	f.create("lake")
	c := f.active("lake")
	if c.Endpoint.URL != "https://lake" || !c.Network.Address.IsValid() || c.Issues != nil {
		t.Errorf("%+v", c)
	}
	group, err := f.ec2.SecurityGroups.Get(t.Context(), c.Network.SecurityGroup)
	if err != nil {
		t.Fatal(err)
	}
	if g := group.Value; g.Name != c.SecurityGroupName() || g.Tags["aws:eks:cluster-name"] != "lake" || g.Tags["kubernetes.io/cluster/lake"] != "owned" ||
		len(g.Rules) != 2 || g.Rules[0].Group != g.ID || g.Rules[0].Egress || !g.Rules[1].Egress {
		t.Errorf("%+v", g)
	}
	eni, err := f.ec2.ENIs.Get(t.Context(), c.Network.Interface)
	if err != nil || eni.Value.Description != "Amazon EKS lake" || !slices.Equal(eni.Value.SecurityGroups, []string{c.Network.SecurityGroup}) || eni.Value.Addresses[0] != c.Network.Address {
		t.Errorf("%+v, %v", eni.Value, err)
	}
	f.eventually("what a cluster begins with", func() bool { return f.host.has("lake coredns") && f.host.has("lake vpc-cni") })

	f.create("pond")
	f.active("pond")
	if _, err := f.eks.UpdateClusterConfig(t.Context(), &eksapi.UpdateClusterConfigInput{Name: new("lake"), ZonalShiftConfig: &eksapi.ZonalShiftConfigRequest{Enabled: new(true)}}); err != nil {
		t.Fatal(err)
	}
	f.active("lake")
	f.host.mu.Lock()
	if f.host.running["lake"] != 2 || f.host.running["pond"] != 1 {
		t.Errorf("running: %v", f.host.running)
	}
	f.host.mu.Unlock()

	f.delete("lake")
	f.gone("lake")
	f.active("pond")
	f.delete("pond")
	f.gone("pond")
	f.empty()
	f.stop()
	if len(f.host.running) != 0 || strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("running: %v; log: %s", f.host.running, f.log)
	}
}

// A region that starts again starts what there is, and says where it is now.
func TestStartsAgain(t *testing.T) {
	f := newFixture(t)
	f.create("lake")
	before := f.active("lake")
	f.stop()
	f.host.mu.Lock()
	clear(f.host.running)
	f.host.applied = nil
	f.host.mu.Unlock()
	f.start(vpc{f.ec2})
	f.eventually("its start", func() bool { return f.host.has("lake coredns") })
	if after := f.active("lake"); after.Network != before.Network {
		t.Errorf("%+v became %+v", before.Network, after.Network)
	}
}

// brittle dies after each step, before it can be recorded.
type brittle struct {
	vpc
	steps int
}

var errCrash = errors.New("crash")

func (b *brittle) step() error {
	if b.steps--; b.steps < 0 {
		return errCrash
	}
	return nil
}

func (b *brittle) EnsureSecurityGroup(ctx context.Context, c eks.Cluster) (string, error) {
	id, err := b.vpc.EnsureSecurityGroup(ctx, c)
	return id, errors.Join(err, b.step())
}

func (b *brittle) EnsureInterface(ctx context.Context, c eks.Cluster) (string, netip.Addr, error) {
	id, a, err := b.vpc.EnsureInterface(ctx, c)
	return id, a, errors.Join(err, b.step())
}

func TestCrashLeavesNothing(t *testing.T) {
	for steps := range 2 {
		f := newFixture(t)
		f.stop()
		f.start(&brittle{vpc{f.ec2}, steps})
		f.create("lake")
		f.await("lake", "FAILED", func(c eks.Cluster) bool { return c.Status == eks.Failed })
		f.delete("lake") // what was made is not recorded
		f.gone("lake")
		f.empty()

		f.create("lake")
		c := f.await("lake", "FAILED", func(c eks.Cluster) bool { return c.Status == eks.Failed })
		f.stop()
		f.start(vpc{f.ec2})
		if err := f.eks.RetryCluster(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		f.active("lake")
		if enis, _, err := f.ec2.ENIs.List(t.Context(), ""); err != nil || len(enis) != 1 {
			t.Errorf("%d interfaces, %v", len(enis), err)
		}
	}
}

func TestFailures(t *testing.T) {
	f := newFixture(t)
	f.host.set(func(act string) error {
		if act == "start lake" || act == "stop lake" {
			return errors.New("no memory is left")
		}
		return nil
	})
	f.create("lake")
	f.create("pond")
	c := f.await("lake", "FAILED", func(c eks.Cluster) bool { return c.Status == eks.Failed })
	if len(c.Issues) != 1 || !strings.Contains(c.Issues[0].Message, "starting the control plane: no memory is left") {
		t.Errorf("%+v", c.Issues)
	}
	f.active("pond")
	// It does not begin with the failures that it had.
	attempts := 0
	f.host.set(func(act string) error {
		if act == "start lake" {
			if attempts++; attempts < 3 {
				return errors.New("no memory is left")
			}
		}
		return nil
	})
	if err := f.eks.RetryCluster(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	f.active("lake")

	f.host.set(func(act string) error {
		if act == "stop lake" {
			return errors.New("it does not end")
		}
		return nil
	})
	f.delete("lake")
	f.await("lake", "in trouble", func(c eks.Cluster) bool { return c.Status == eks.Deleting && len(c.Issues) > 0 })
	f.host.set(nil)
	f.gone("lake")
}

// A failed update leaves a cluster that runs as before, and is still tried.
func TestUpdateFailsAndRecovers(t *testing.T) {
	f := newFixture(t)
	f.create("lake")
	f.active("lake")
	f.host.set(func(act string) error { return errors.New("busy") })
	u, err := f.eks.UpdateClusterConfig(t.Context(), &eksapi.UpdateClusterConfigInput{Name: new("lake"), ZonalShiftConfig: &eksapi.ZonalShiftConfigRequest{Enabled: new(true)}})
	if err != nil {
		t.Fatal(err)
	}
	f.await("lake", "ACTIVE with an issue", func(c eks.Cluster) bool { return c.Status == eks.Active && len(c.Issues) == 1 })
	got, err := f.eks.DescribeUpdate(t.Context(), &eksapi.DescribeUpdateInput{Name: new("lake"), UpdateId: u.Update.Id})
	if err != nil || got.Update.Status != "Failed" {
		t.Errorf("%+v, %v", got, err)
	}
	f.host.set(nil)
	f.await("lake", "well", func(c eks.Cluster) bool { return c.Status == eks.Active && c.Issues == nil })
}

// Deleting a cluster ends a start that nobody needs any more, and another
// cluster does not wait for it.
func TestDeletionEndsAStart(t *testing.T) {
	f := newFixture(t)
	f.create("slow")
	f.create("lake")
	f.active("lake")
	f.delete("slow")
	f.gone("slow")
	f.delete("lake")
	f.gone("lake")
	f.empty()
}

func TestDeletionWaitsForNodes(t *testing.T) {
	f := newFixture(t)
	f.create("lake")
	f.active("lake")
	n, err := f.eks.CreateSelfManaged(t.Context(), eks.Nodegroup{Cluster: "lake", Name: "own", InstanceType: "t3.small"})
	if err != nil {
		t.Fatal(err)
	}
	f.delete("lake")
	group := await(f, f.eks.Nodegroups, n.Key(), "DELETING", func(n eks.Nodegroup) bool { return n.Status == eks.Deleting })
	f.create("pond") // something else that happens
	f.active("pond")
	f.host.mu.Lock()
	if f.host.running["lake"] == 0 {
		t.Error("the control plane ended before its nodes")
	}
	f.host.mu.Unlock()
	item, err := f.eks.Nodegroups.Get(t.Context(), group.Key())
	if err == nil {
		err = f.eks.NodegroupProgress(t.Context(), item, eks.Progress{Empty: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	f.gone("lake")
}

func TestAddons(t *testing.T) {
	f := newFixture(t)
	few := &eks.AddonError{Code: eksapi.AddonIssueCodeInsufficientNumberOfReplicas, Message: "0 of 2"}
	conflict := &eks.AddonError{Code: eksapi.AddonIssueCodeConfigurationConflict, Message: "changed"}
	f.create("lake")
	f.active("lake")
	create := func(name string) {
		t.Helper()
		if _, err := f.eks.CreateAddon(t.Context(), &eksapi.CreateAddonInput{ClusterName: new("lake"), AddonName: &name}); err != nil {
			t.Fatal(err)
		}
	}
	status := func(name string, want eks.Status) {
		t.Helper()
		await(f, f.eks.Addons, "lake/"+name, string(want), func(a eks.Addon) bool { return a.Status == want })
	}
	f.host.set(func(act string) error {
		switch act {
		case "apply coredns":
			return few
		case "apply kube-proxy":
			return conflict
		}
		return nil
	})
	create("coredns")
	create("kube-proxy")
	create("vpc-cni")
	status("vpc-cni", eks.Active)
	status("kube-proxy", eks.CreateFailed)
	status("coredns", eks.Degraded)
	f.host.set(nil)
	status("coredns", eks.Active) // it was tried on

	if _, err := f.eks.DeleteAddon(t.Context(), &eksapi.DeleteAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}); err != nil {
		t.Fatal(err)
	}
	await(f, f.eks.Addons, "lake/coredns", "nothing", func(a eks.Addon) bool { return a.Name == "" })
	if !f.host.has("lake coredns DELETING") {
		t.Errorf("applied: %v", f.host.applied)
	}
}

func TestEndsWhenTheStoreIsDamaged(t *testing.T) {
	f := newFixture(t)
	f.stop()
	client := storetest.Open(t).Client()
	if _, err := client.Put(t.Context(), "/tarn/clusters/x", "no JSON"); err != nil {
		t.Fatal(err)
	}
	service, err := eks.New(eks.Config{Client: client, Version: "1.37.2"})
	if err != nil {
		t.Fatal(err)
	}
	loop := &Loop{EKS: service, Host: f.host, Network: vpc{f.ec2}, Logger: slog.New(slog.DiscardHandler)}
	ended := make(chan error)
	go func() { ended <- loop.Run(t.Context()) }()
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the loop does not end")
	}
}
