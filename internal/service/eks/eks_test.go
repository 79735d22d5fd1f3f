package eks_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// network is a VPC with subnets a, b and c in three zones, a full one, and one
// in another VPC.
type network struct{}

func (network) Subnets(_ context.Context, ids []string) ([]eks.Subnet, error) {
	vpc := []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	all := map[string]eks.Subnet{
		"subnet-a":     {VPC: "vpc-1", Zone: "a", Free: 100, VPCCIDRs: vpc},
		"subnet-a2":    {VPC: "vpc-1", Zone: "a", Free: 100, VPCCIDRs: vpc},
		"subnet-b":     {VPC: "vpc-1", Zone: "b", Free: 100, VPCCIDRs: vpc},
		"subnet-c":     {VPC: "vpc-1", Zone: "c", Free: 100, VPCCIDRs: vpc},
		"subnet-full":  {VPC: "vpc-1", Zone: "d", Free: 4, VPCCIDRs: vpc},
		"subnet-other": {VPC: "vpc-2", Zone: "b", Free: 100, VPCCIDRs: vpc},
		"subnet-ten":   {VPC: "vpc-3", Zone: "a", Free: 100, VPCCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}},
		"subnet-ten2":  {VPC: "vpc-3", Zone: "b", Free: 100, VPCCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}},
	}
	var found []eks.Subnet
	for id, s := range all {
		for _, want := range ids {
			if id == want {
				s.ID = id
				found = append(found, s)
				break
			}
		}
	}
	return found, nil
}

func (network) SecurityGroups(_ context.Context, ids []string) (map[string]string, error) {
	found := map[string]string{}
	for _, id := range ids {
		if vpc, ok := map[string]string{"sg-1": "vpc-1", "sg-other": "vpc-2"}[id]; ok {
			found[id] = vpc
		}
	}
	return found, nil
}

func (network) LaunchTemplate(_ context.Context, id, name, version string) (eks.LaunchTemplate, error) {
	if id == "lt-bad" {
		return eks.LaunchTemplate{}, api.Errorf(400, "InvalidLaunchTemplateId.Malformed", "Invalid id: lt-bad")
	}
	if id != "lt-1" && name != "template" || version == "9" {
		return eks.LaunchTemplate{}, fmt.Errorf("launch template %s%s: %w", id, name, store.ErrNotFound)
	}
	if version == "" || version == "$Default" {
		version = "1"
	}
	t := eks.LaunchTemplate{ID: "lt-1", Name: "template", Version: version}
	if version == "2" {
		t.InstanceType = "m5.large"
	}
	return t, nil
}

const (
	clusterRole = "arn:aws:iam::000000000000:role/cluster"
	nodeRole    = "arn:aws:iam::000000000000:role/path/node"
	user        = "arn:aws:iam::000000000000:user/kim"
	rootUser    = "arn:aws:iam::000000000000:root"
)

// roles has a role for clusters, one for nodes, and a user.
type roles struct{}

func (roles) Trust(_ context.Context, role, service string) (exists, trusts bool, err error) {
	want, ok := map[string]string{clusterRole: "eks.amazonaws.com", nodeRole: "ec2.amazonaws.com"}[role]
	return ok, want == service, nil
}

func (roles) Exists(_ context.Context, principal string) (bool, error) {
	return principal == clusterRole || principal == nodeRole || principal == user, nil
}

// fixture is a service whose clock stands still unless it is moved.
type fixture struct {
	*testing.T
	*eks.Service
	ctx context.Context // of a call of the account's root
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)}
	f.ctx = as(t.Context(), policy.Principal{Type: policy.Root, ARN: rootUser, Account: "000000000000"})
	var err error
	f.Service, err = eks.New(eks.Config{
		Client: storetest.Open(t).Client(), Account: "000000000000", Region: "ap-northeast-2", Version: "1.37.2",
		Network: network{}, Roles: roles{}, Now: func() time.Time { return f.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func as(ctx context.Context, p policy.Principal) context.Context {
	return caller.With(ctx, caller.Caller{Principal: p})
}

func clusterInput(name string) *eksapi.CreateClusterInput {
	return &eksapi.CreateClusterInput{
		Name: &name, RoleArn: new(clusterRole),
		ResourcesVpcConfig: &eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-a", "subnet-b"}},
		AccessConfig:       &eksapi.CreateAccessConfigRequest{AuthenticationMode: eksapi.AuthenticationModeApiAndConfigMap},
	}
}

// must is for calls that may not fail.
func must[I, O any](f *fixture, call func(context.Context, *I) (*O, error), in *I) *O {
	f.Helper()
	out, err := call(f.ctx, in)
	if err != nil {
		f.Fatalf("%T: %v", in, err)
	}
	return out
}

// refuse is for calls that must fail, with a code and a text.
func refuse[I, O any](f *fixture, what string, call func(context.Context, *I) (*O, error), in *I, code, text string) {
	f.Helper()
	_, err := call(f.ctx, in)
	if api.Code(err) != code || !strings.Contains(err.Error(), text) {
		f.Errorf("%s: %v, want %s: %s", what, err, code, text)
	}
}

func (f *fixture) cluster(name string) eks.Cluster {
	f.Helper()
	item, err := f.Clusters.Get(f.ctx, name)
	if err != nil {
		f.Fatal(err)
	}
	return item.Value
}

var endpoint = eks.Endpoint{URL: "https://127.0.0.1:6443", CA: []byte("PEM")}

// active makes a cluster, and does what the loop does.
func (f *fixture) active(name string) eks.Cluster {
	f.Helper()
	must(f, f.CreateCluster, clusterInput(name))
	f.started(name)
	return f.cluster(name)
}

func (f *fixture) started(name string) {
	f.Helper()
	c := f.cluster(name)
	c, err := f.SetClusterNetwork(f.ctx, c, eks.ClusterNetwork{
		SecurityGroup: "sg-c", Interface: "eni-c", Address: netip.MustParseAddr("192.168.0.9")})
	if err == nil {
		err = f.ClusterStarted(f.ctx, c, endpoint)
	}
	if err != nil {
		f.Fatal(err)
	}
}

func groupInput(cluster, name string) *eksapi.CreateNodegroupInput {
	return &eksapi.CreateNodegroupInput{
		ClusterName: &cluster, NodegroupName: &name, NodeRole: new(nodeRole), Subnets: []string{"subnet-a", "subnet-b"},
	}
}

func (f *fixture) group(cluster, name string) store.Item[eks.Nodegroup] {
	f.Helper()
	item, err := f.Nodegroups.Get(f.ctx, cluster+"/"+name)
	if err != nil {
		f.Fatal(err)
	}
	return item
}

func (f *fixture) progress(cluster, name string, p eks.Progress) {
	f.Helper()
	if err := f.NodegroupProgress(f.ctx, f.group(cluster, name), p); err != nil {
		f.Fatal(err)
	}
}

// activeGroup makes a node group, and does what the loop does.
func (f *fixture) activeGroup(cluster, name string) {
	f.Helper()
	must(f, f.CreateNodegroup, groupInput(cluster, name))
	f.progress(cluster, name, eks.Progress{Reached: true})
}

func (f *fixture) update(cluster, group, addon string, u *eksapi.Update) *eksapi.Update {
	f.Helper()
	in := &eksapi.DescribeUpdateInput{Name: &cluster, UpdateId: u.Id}
	if group != "" {
		in.NodegroupName = &group
	}
	if addon != "" {
		in.AddonName = &addon
	}
	return must(f, f.DescribeUpdate, in).Update
}
