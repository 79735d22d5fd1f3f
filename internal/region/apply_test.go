package region

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

func TestCreateNetwork(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	for range 2 { // idempotent
		v, subnets := r.withNetwork(t, cc)
		if v.CIDR != cc.VPCCIDR || len(subnets) != 2*len(cc.Zones) {
			t.Errorf("VPC %s with %d subnets", v.CIDR, len(subnets))
		}
		found, err := r.vpcOf(t.Context(), cc.Name)
		if err != nil || found.ID != v.ID {
			t.Errorf("the VPC of the cluster is %s, %v, want %s", found.ID, err, v.ID)
		}
		public, err := r.publicSubnets(t.Context(), v.ID)
		if err != nil || len(public) != len(cc.Zones) {
			t.Errorf("%d public subnets, %v", len(public), err)
		}
		if names := r.networkNames(); names != v.ID+" 192.168.0.0/16" {
			t.Errorf("people read %q", names)
		}
	}
	if _, err := r.vpcOf(t.Context(), "another"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the VPC of another cluster: %v", err)
	}
	if public, err := r.publicSubnets(t.Context(), "vpc-0"); err != nil || len(public) != 0 {
		t.Errorf("public subnets of another VPC: %v, %v", public, err)
	}
	cc.VPCCIDR = netip.MustParsePrefix("10.0.0.0/16")
	if err := r.createNetwork(t.Context(), cc); err == nil || !strings.Contains(err.Error(), "192.168.0.0/16") || !strings.Contains(err.Error(), "10.0.0.0/16") {
		t.Errorf("another CIDR: %v", err)
	}
}

func TestCreateCluster(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	_, subnets := r.withNetwork(t, cc)
	var first eks.Cluster
	for n := range 2 { // idempotent
		if err := r.createCluster(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
		item, err := r.eks.Clusters.Get(t.Context(), "eks-work")
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = item.Value
		} else if diff := cmp.Diff(first, item.Value, sameAddress); diff != "" {
			t.Errorf("the second time it became another one: %s", diff)
		}
	}
	if first.Status != eks.Creating || first.ServiceCIDR != cc.ServiceCIDR || !slices.Equal(first.LogTypes, cc.CloudWatch.LogTypes) || first.AuthenticationMode != "API_AND_CONFIG_MAP" {
		t.Errorf("%+v", first)
	}
	var zones []string
	for _, id := range first.Subnets {
		i := slices.IndexFunc(subnets, func(s ec2.Subnet) bool { return s.ID == id })
		if i < 0 || !subnets[i].Public {
			t.Errorf("%s is no public subnet", id)
			continue
		}
		zones = append(zones, subnets[i].Zone)
	}
	if !slices.Equal(zones, cc.Zones) {
		t.Errorf("zones %v, want %v", zones, cc.Zones)
	}
	role, err := r.iam.Role(t.Context(), first.RoleARN)
	if err != nil || !slices.Equal(role.Attached, []string{"arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}) {
		t.Errorf("its role: %+v, %v", role, err)
	}
	// Who made it is root, who may enter it.
	a, err := r.access(t.Context(), "eks-work")
	if err != nil || a.Creator != "arn:aws:iam::000000000000:root" || len(a.Entries) != 1 {
		t.Errorf("access: %+v, %v", a, err)
	}
	// An Up that ends here is to be done again whole.
	if Exists(string(r.layout)) {
		t.Error("the cluster is the region's before its node groups are made")
	}
	r.setCluster(cc.Name)
	if err := r.rememberCluster(); err != nil {
		t.Fatal(err)
	}
	if id, err := LoadIdentity(string(r.layout)); err != nil || id.Cluster != "eks-work" {
		t.Errorf("what is kept while the region is down: %+v, %v", id, err)
	}
}

// A cluster that cannot be made is not the region's.
func TestCreateClusterThatIsRefused(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	r.withNetwork(t, cc)
	cc.Version = "1.2.3"
	if err := r.createCluster(t.Context(), cc); err == nil || !strings.Contains(err.Error(), "cluster eks-work") || !strings.Contains(err.Error(), "1.2") {
		t.Errorf("%v", err)
	}
	if Exists(string(r.layout)) {
		t.Error("it is kept")
	}
}

func TestUpWithoutACluster(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	if err := r.check(t.Context(), cc); err != nil {
		t.Errorf("a new region: %v", err)
	}
	r.withCluster(t, cc)
	if err := r.check(t.Context(), cc); err != nil {
		t.Errorf("the same file again: %v", err)
	}
	other := *cc
	other.Name = "another"
	if err := r.check(t.Context(), &other); err == nil || !strings.Contains(err.Error(), "eks-work") || !strings.Contains(err.Error(), "another") {
		t.Errorf("another cluster: %v", err)
	}
	other = *cc
	other.Region = "us-east-1"
	if err := r.check(t.Context(), &other); err == nil || !strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("another region: %v", err)
	}
}

func TestReason(t *testing.T) {
	c := eks.Cluster{Issues: []eks.Issue{{Message: "a"}, {Message: "b"}}}
	if got := reason(c); got != "a; b" {
		t.Error(got)
	}
}

func TestWantedNodes(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	if err := r.applyNodegroups(t.Context(), cc); err != nil {
		t.Fatal(err)
	}
	launch := func(b ec2.Bootstrap) ec2.Instance {
		t.Helper()
		made, err := r.ec2.Launch(t.Context(), ec2.LaunchInput{Type: "t3.small", Subnet: c.Subnets[0], Count: 1, Bootstrap: b})
		if err != nil {
			t.Fatal(err)
		}
		return made[0]
	}
	member := launch(ec2.Bootstrap{Cluster: "eks-work", Nodegroup: "eks-work-nodegroup"})
	launch(ec2.Bootstrap{Cluster: "eks-work"}) // joined by its user data
	launch(ec2.Bootstrap{})
	launch(ec2.Bootstrap{Cluster: "other", Nodegroup: "g"})
	ended := launch(ec2.Bootstrap{Cluster: "eks-work", Nodegroup: "eks-work-nodegroup"})
	if err := r.ec2.Terminate(t.Context(), ended.ID, "the test says so"); err != nil {
		t.Fatal(err)
	}
	want, alive, err := r.wantedNodes(t.Context(), "eks-work")
	if err != nil || want != 3 || len(alive) != 1 || alive[0].ID != member.ID {
		t.Errorf("%d nodes are wanted, %+v are alive, %v", want, alive, err)
	}
	if want, alive, err = r.wantedNodes(t.Context(), "eks"); err != nil || want != 0 || len(alive) != 0 {
		t.Errorf("of a cluster whose name another one begins with: %d, %v, %v", want, alive, err)
	}
}

func TestBackgroundFailures(t *testing.T) {
	r := newRegion(t)
	r.run("resolver", func(context.Context) error { return errors.New("the cause") })
	if err := <-r.Failed(); err.Error() != "resolver: the cause" {
		t.Error(err)
	}
	r.run("registry", func(context.Context) error { return nil })
	if err := <-r.Failed(); err.Error() != "registry: ended by itself" {
		t.Error(err)
	}
	r.run("late", func(ctx context.Context) error { <-ctx.Done(); return errors.New("only because the region stops") })
	r.stop()
	r.tasks.Wait()
	select {
	case err := <-r.Failed():
		t.Error(err)
	default:
	}
}

func TestAtLeast(t *testing.T) {
	var out strings.Builder
	logger := atLeast(slog.LevelWarn, slog.New(slog.NewTextHandler(&out, nil)))
	for _, l := range []*slog.Logger{logger, logger.With("a", 1), logger.WithGroup("g")} {
		l.Info("quiet")
		l.Warn("loud")
	}
	if strings.Contains(out.String(), "quiet") || strings.Count(out.String(), "loud") != 3 {
		t.Error(out.String())
	}
}
