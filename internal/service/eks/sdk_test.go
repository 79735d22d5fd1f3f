package eks_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

// client is AWS's own client of the service, over HTTP, without signatures.
func (f *fixture) client() *sdk.Client {
	return sdk.NewFromConfig(wiretest.Serve(f, wire.Config{API: eksapi.Service}, f.Service, "ap-northeast-2"))
}

// A lesson's calls, with the client and its waiters; the test stands for the loops.
func TestSDK(t *testing.T) {
	f := newFixture(t)
	c, ctx := f.client(), t.Context()
	made, err := c.CreateCluster(ctx, &sdk.CreateClusterInput{
		Name: new("lake"), RoleArn: new(clusterRole), ResourcesVpcConfig: &types.VpcConfigRequest{SubnetIds: []string{"subnet-a", "subnet-b"}},
		AccessConfig: &types.CreateAccessConfigRequest{AuthenticationMode: types.AuthenticationModeApi},
	})
	if err != nil || made.Cluster.Status != types.ClusterStatusCreating || !made.Cluster.CreatedAt.Equal(f.now) {
		t.Fatalf("%+v, %v", made, err)
	}
	_, err = c.CreateCluster(ctx, &sdk.CreateClusterInput{Name: new("lake"), RoleArn: new(clusterRole), ResourcesVpcConfig: &types.VpcConfigRequest{}})
	if inUse, ok := errors.AsType[*types.ResourceInUseException](err); !ok || aws.ToString(inUse.ClusterName) != "lake" {
		t.Errorf("the same cluster again: %v", err)
	}
	lake := &sdk.DescribeClusterInput{Name: new("lake")}
	quick := func(o *sdk.ClusterActiveWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond }
	ready := make(chan error)
	go func() { ready <- sdk.NewClusterActiveWaiter(c, quick).Wait(ctx, lake, 20*time.Second) }()
	f.started("lake")
	if err := <-ready; err != nil {
		t.Fatal(err)
	}

	_, err = c.CreateNodegroup(ctx, &sdk.CreateNodegroupInput{
		ClusterName: new("lake"), NodegroupName: new("g"), NodeRole: new(nodeRole), Subnets: []string{"subnet-a"},
		Taints: []types.Taint{{Key: new("k"), Effect: types.TaintEffectNoExecute}},
	})
	if err != nil {
		t.Fatal(err)
	}
	group := &sdk.DescribeNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")}
	quickGroup := func(o *sdk.NodegroupActiveWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond }
	go func() { ready <- sdk.NewNodegroupActiveWaiter(c, quickGroup).Wait(ctx, group, 20*time.Second) }()
	f.progress("lake", "g", eks.Progress{Reached: true})
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	shown, err := c.DescribeNodegroup(ctx, group)
	if err != nil || *shown.Nodegroup.ScalingConfig.DesiredSize != 2 || shown.Nodegroup.Taints[0].Effect != types.TaintEffectNoExecute {
		t.Errorf("%+v, %v", shown, err)
	}
	u, err := c.UpdateNodegroupConfig(ctx, &sdk.UpdateNodegroupConfigInput{
		ClusterName: new("lake"), NodegroupName: new("g"), ScalingConfig: &types.NodegroupScalingConfig{MinSize: new(int32(0)), DesiredSize: new(int32(0))}})
	if err != nil || u.Update.Status != types.UpdateStatusInProgress {
		t.Errorf("%+v, %v", u, err)
	}
	addon, err := c.CreateAddon(ctx, &sdk.CreateAddonInput{ClusterName: new("lake"), AddonName: new("vpc-cni")})
	if err != nil || addon.Addon.Status != types.AddonStatusCreating {
		t.Errorf("%+v, %v", addon, err)
	}
	entry, err := c.DescribeAccessEntry(ctx, &sdk.DescribeAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole)})
	if err != nil || *entry.AccessEntry.PrincipalArn != nodeRole {
		t.Errorf("an entry whose principal has a path: %+v, %v", entry, err)
	}
	_, err = c.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: shown.Nodegroup.NodegroupArn, Tags: map[string]string{"a b": "c/d"}})
	if err != nil {
		t.Error(err)
	}
	tags, err := c.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: shown.Nodegroup.NodegroupArn})
	if err != nil || tags.Tags["a b"] != "c/d" {
		t.Errorf("%+v, %v", tags, err)
	}

	if _, err := c.DeleteNodegroup(ctx, &sdk.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")}); err != nil {
		t.Fatal(err)
	}
	quickGone := func(o *sdk.NodegroupDeletedWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond
	}
	go func() { ready <- sdk.NewNodegroupDeletedWaiter(c, quickGone).Wait(ctx, group, 20*time.Second) }()
	f.progress("lake", "g", eks.Progress{Empty: true})
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteCluster(ctx, &sdk.DeleteClusterInput{Name: new("lake")}); err != nil {
		t.Fatal(err)
	}
	quickEnd := func(o *sdk.ClusterDeletedWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond }
	go func() { ready <- sdk.NewClusterDeletedWaiter(c, quickEnd).Wait(ctx, lake, 20*time.Second) }()
	if err := f.ForgetCluster(ctx, f.cluster("lake")); err != nil {
		t.Fatal(err)
	}
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
}
