package eks_test

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

func TestClusterLife(t *testing.T) {
	f := newFixture(t)
	in := clusterInput("lake")
	in.ResourcesVpcConfig.SecurityGroupIds = []string{"sg-1"}
	in.Tags = map[string]string{"a": "b"}
	in.Logging = &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{{Types: []eksapi.LogType{"scheduler", "api"}, Enabled: new(true)}}}
	made := must(f, f.CreateCluster, in).Cluster
	want := &eksapi.Cluster{
		Name: new("lake"), Arn: new("arn:aws:eks:ap-northeast-2:000000000000:cluster/lake"), CreatedAt: &f.now,
		Version: new("1.37"), RoleArn: new(clusterRole), Status: "CREATING", PlatformVersion: new("eks.1"),
		ResourcesVpcConfig: &eksapi.VpcConfigResponse{
			SubnetIds: []string{"subnet-a", "subnet-b"}, SecurityGroupIds: []string{"sg-1"}, VpcId: new("vpc-1"),
			EndpointPublicAccess: new(true), EndpointPrivateAccess: new(false), PublicAccessCidrs: []string{"0.0.0.0/0"},
		},
		KubernetesNetworkConfig: &eksapi.KubernetesNetworkConfigResponse{ServiceIpv4Cidr: new("10.100.0.0/16"), IpFamily: "ipv4"},
		Logging: &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{
			{Types: []eksapi.LogType{"api", "scheduler"}, Enabled: new(true)},
			{Types: []eksapi.LogType{"audit", "authenticator", "controllerManager"}, Enabled: new(false)},
		}},
		CertificateAuthority: &eksapi.Certificate{}, Health: &eksapi.ClusterHealth{Issues: []eksapi.ClusterIssue{}},
		AccessConfig:     &eksapi.AccessConfigResponse{AuthenticationMode: "API_AND_CONFIG_MAP", BootstrapClusterCreatorAdminPermissions: new(true)},
		UpgradePolicy:    &eksapi.UpgradePolicyResponse{SupportType: "EXTENDED"},
		ZonalShiftConfig: &eksapi.ZonalShiftConfigResponse{Enabled: new(false)}, DeletionProtection: new(false),
		Tags: map[string]string{"a": "b"},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made: %s", diff)
	}
	if got := must(f, f.DescribeCluster, &eksapi.DescribeClusterInput{Name: new("lake")}).Cluster; cmp.Diff(made, got) != "" {
		t.Errorf("described: %s", cmp.Diff(made, got))
	}
	c := f.cluster("lake")
	if !regexp.MustCompile(`^[0-9A-F]{32}$`).MatchString(c.ID) || !regexp.MustCompile(`^eks-cluster-sg-lake-\d{10}$`).MatchString(c.SecurityGroupName()) {
		t.Errorf("id %s, group %s", c.ID, c.SecurityGroupName())
	}

	f.started("lake")
	got := must(f, f.DescribeCluster, &eksapi.DescribeClusterInput{Name: new("lake")}).Cluster
	want.Status, want.Endpoint = "ACTIVE", new("https://127.0.0.1:6443")
	want.CertificateAuthority.Data = new("UEVN")
	want.Identity = &eksapi.Identity{Oidc: &eksapi.OIDC{Issuer: new("https://oidc.eks.ap-northeast-2.amazonaws.com/id/" + c.ID)}}
	want.ResourcesVpcConfig.ClusterSecurityGroupId = new("sg-c")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("active: %s", diff)
	}

	if got := must(f, f.DeleteCluster, &eksapi.DeleteClusterInput{Name: new("lake")}).Cluster.Status; got != "DELETING" {
		t.Errorf("status %s", got)
	}
	// A start that ends late does not bring it back.
	if err := f.ClusterStarted(f.ctx, c, endpoint); err != nil || f.cluster("lake").Status != eks.Deleting {
		t.Errorf("after a late start: %s, %v", f.cluster("lake").Status, err)
	}
	if err := f.ForgetCluster(f.ctx, c); err != nil {
		t.Fatal(err)
	}
	refuse(f, "gone", f.DescribeCluster, &eksapi.DescribeClusterInput{Name: new("lake")}, "ResourceNotFoundException", "No cluster found for name: lake.")
	for name, left := range map[string]func(context.Context, string) (int, error){
		"access entries": count(f.AccessEntries), "updates": count(f.Updates), "add-ons": count(f.Addons),
	} {
		if n, err := left(f.ctx, ""); err != nil || n != 0 {
			t.Errorf("%d %s are left, %v", n, name, err)
		}
	}
	// Another one of the name is another one.
	must(f, f.CreateCluster, clusterInput("lake"))
	if err := f.ForgetCluster(f.ctx, c); err != nil {
		t.Error(err)
	}
	if err := f.ClusterStarted(f.ctx, c, endpoint); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("starting what was deleted: %v", err)
	}
	if f.cluster("lake").Status != eks.Creating {
		t.Error("the second cluster was taken for the first")
	}
}

func count[T any](c *store.Collection[T]) func(context.Context, string) (int, error) {
	return func(ctx context.Context, prefix string) (int, error) {
		items, _, err := c.List(ctx, prefix)
		return len(items), err
	}
}

func TestCreateClusterRefuses(t *testing.T) {
	f := newFixture(t)
	type change = func(*eksapi.CreateClusterInput)
	vpc := func(to eksapi.VpcConfigRequest) change {
		return func(in *eksapi.CreateClusterInput) { in.ResourcesVpcConfig = &to }
	}
	cidr := func(c string) change {
		return func(in *eksapi.CreateClusterInput) {
			in.KubernetesNetworkConfig = &eksapi.KubernetesNetworkConfigRequest{ServiceIpv4Cidr: &c}
		}
	}
	ab := []string{"subnet-a", "subnet-b"}
	for _, test := range []struct {
		name   string
		change change
		text   string
	}{
		{"a bad name", func(in *eksapi.CreateClusterInput) { in.Name = new("-x") }, "The cluster name '-x'"},
		{"an old version", func(in *eksapi.CreateClusterInput) { in.Version = new("1.30") }, "unsupported Kubernetes version 1.30: this region has 1.37"},
		{"a patch version", func(in *eksapi.CreateClusterInput) { in.Version = new("1.37.2") }, "unsupported Kubernetes version"},
		{"no subnets", vpc(eksapi.VpcConfigRequest{}), "subnets can not be empty"},
		{"one zone", vpc(eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-a", "subnet-a2"}}), "Subnets specified must be in at least two different AZs"},
		{"a missing subnet", vpc(eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-a", "subnet-x"}}), "The subnet ID 'subnet-x' does not exist"},
		{"two VPCs", vpc(eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-a", "subnet-other"}}), "must belong to the same VPC"},
		{"a full subnet", vpc(eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-a", "subnet-full"}}), "need at least 5 IPs"},
		{"a missing group", vpc(eksapi.VpcConfigRequest{SubnetIds: ab, SecurityGroupIds: []string{"sg-x"}}), "The security group 'sg-x' does not exist"},
		{"another VPC's group", vpc(eksapi.VpcConfigRequest{SubnetIds: ab, SecurityGroupIds: []string{"sg-other"}}), "are not in the same VPC"},
		{"no access", vpc(eksapi.VpcConfigRequest{SubnetIds: ab, EndpointPublicAccess: new(false)}), "Private and public endpoint access cannot be false"},
		{"a bad public CIDR", vpc(eksapi.VpcConfigRequest{SubnetIds: ab, PublicAccessCidrs: []string{"1.2.3.4"}}), "publicAccessCidrs"},
		{"the VPC's CIDR", cidr("192.168.0.0/20"), "overlaps"},
		{"a public CIDR", cidr("8.8.0.0/16"), "must be within"},
		{"a small CIDR", cidr("10.0.0.0/28"), "between /24 and /12"},
		{"half a CIDR", cidr("10.0.0.1/16"), "not a valid"},
		{"a missing role", func(in *eksapi.CreateClusterInput) { in.RoleArn = new("arn:aws:iam::000000000000:role/x") },
			"Role with arn: arn:aws:iam::000000000000:role/x, could not be assumed because it does not exist or the trusted entity is not correct"},
		{"a role for others", func(in *eksapi.CreateClusterInput) { in.RoleArn = new(nodeRole) }, "could not be assumed"},
		{"IPv6", func(in *eksapi.CreateClusterInput) {
			in.KubernetesNetworkConfig = &eksapi.KubernetesNetworkConfigRequest{IpFamily: "ipv6"}
		}, "ipFamily"},
		{"Outposts", func(in *eksapi.CreateClusterInput) { in.OutpostConfig = &eksapi.OutpostConfigRequest{} }, "Outposts"},
		{"an unknown log", func(in *eksapi.CreateClusterInput) {
			in.Logging = &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{{Types: []eksapi.LogType{"etcd"}, Enabled: new(true)}}}
		}, "etcd"},
		{"an unknown mode", func(in *eksapi.CreateClusterInput) { in.AccessConfig.AuthenticationMode = "NONE" }, "authenticationMode"},
		{"a cluster nobody can enter", func(in *eksapi.CreateClusterInput) {
			in.AccessConfig = &eksapi.CreateAccessConfigRequest{BootstrapClusterCreatorAdminPermissions: new(false)}
		}, "must be true if cluster authentication mode is set to CONFIG_MAP"},
		{"AWS's tag", func(in *eksapi.CreateClusterInput) { in.Tags = map[string]string{"aws:x": ""} }, "reserved"},
		{"a key that is none", func(in *eksapi.CreateClusterInput) {
			in.EncryptionConfig = []eksapi.EncryptionConfig{{Resources: []string{"secrets"}, Provider: &eksapi.Provider{KeyArn: new("x")}}}
		}, "KMS"},
		{"unknown support", func(in *eksapi.CreateClusterInput) {
			in.UpgradePolicy = &eksapi.UpgradePolicyRequest{SupportType: "NEVER"}
		}, "supportType"},
	} {
		in := clusterInput("lake")
		test.change(in)
		refuse(f, test.name, f.CreateCluster, in, "InvalidParameterException", test.text)
	}
	must(f, f.CreateCluster, clusterInput("lake"))
	refuse(f, "the same name", f.CreateCluster, clusterInput("lake"), "ResourceInUseException", "Cluster already exists with name: lake")
	_, err := f.CreateCluster(f.ctx, clusterInput("lake"))
	e, _ := errors.AsType[*api.Error](err)
	if d, ok := e.Detail.(*eksapi.ResourceInUseExceptionDetail); !ok || api.Val(d.ClusterName) != "lake" {
		t.Errorf("the error's detail: %+v", e.Detail)
	}
}

func TestServiceRangeAvoidsTheVPC(t *testing.T) {
	f := newFixture(t)
	in := clusterInput("lake")
	in.ResourcesVpcConfig.SubnetIds = []string{"subnet-ten", "subnet-ten2"}
	if got := *must(f, f.CreateCluster, in).Cluster.KubernetesNetworkConfig.ServiceIpv4Cidr; got != "172.20.0.0/16" {
		t.Error(got)
	}
}

func TestClusterQuota(t *testing.T) {
	f := newFixture(t)
	for i := range 100 {
		must(f, f.CreateCluster, clusterInput("c"+string(rune('a'+i/26))+string(rune('a'+i%26))))
	}
	refuse(f, "one more", f.CreateCluster, clusterInput("more"), "ResourceLimitExceededException", "100")
	out := must(f, f.ListClusters, &eksapi.ListClustersInput{MaxResults: new(int32(99))})
	if len(out.Clusters) != 99 || out.Clusters[0] != "caa" || out.NextToken == nil {
		t.Fatalf("the first page: %d, %v", len(out.Clusters), out.NextToken)
	}
	// What comes and goes in between shifts nothing.
	if err := f.Clusters.Delete(f.ctx, "caa"); err != nil {
		t.Fatal(err)
	}
	out = must(f, f.ListClusters, &eksapi.ListClustersInput{NextToken: out.NextToken})
	if diff := cmp.Diff([]string{"cdv"}, out.Clusters); diff != "" || out.NextToken != nil {
		t.Error(diff, out.NextToken)
	}
	for _, in := range []*eksapi.ListClustersInput{{MaxResults: new(int32(0))}, {MaxResults: new(int32(101))}, {NextToken: new("!")}} {
		refuse(f, "a bad page", f.ListClusters, in, "InvalidParameterException", "")
	}
}

func TestClientToken(t *testing.T) {
	f := newFixture(t)
	in := clusterInput("lake")
	in.ClientRequestToken = new("token")
	first := must(f, f.CreateCluster, in).Cluster
	f.now = f.now.Add(time.Hour)
	if diff := cmp.Diff(first, must(f, f.CreateCluster, in).Cluster); diff != "" {
		t.Errorf("the same call again: %s", diff)
	}
	other := clusterInput("lake")
	other.ClientRequestToken = new("token")
	other.Tags = map[string]string{"a": "b"}
	refuse(f, "the same token for another call", f.CreateCluster, other, "ResourceInUseException", "already exists")
}

func TestOneOfManyMakesTheCluster(t *testing.T) {
	f := newFixture(t)
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		made int
	)
	for range 8 {
		wait.Go(func() {
			_, err := f.CreateCluster(f.ctx, clusterInput("lake"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !eksapi.ResourceInUseException.Is(err) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if made != 1 {
		t.Errorf("%d clusters were made", made)
	}
}

// A node group and the end of its cluster, at once: one of them is refused.
func TestDeletionAndNodegroupExclude(t *testing.T) {
	f := newFixture(t)
	for range 20 {
		c := f.active("lake")
		var wait sync.WaitGroup
		var groupErr, deleteErr error
		wait.Go(func() { _, groupErr = f.CreateNodegroup(f.ctx, groupInput("lake", "g")) })
		wait.Go(func() { _, deleteErr = f.DeleteCluster(f.ctx, &eksapi.DeleteClusterInput{Name: new("lake")}) })
		wait.Wait()
		if (groupErr == nil) == (deleteErr == nil) {
			t.Fatalf("node group: %v, deletion: %v", groupErr, deleteErr)
		}
		if deleteErr == nil {
			if !eksapi.InvalidRequestException.Is(groupErr) {
				t.Error(groupErr)
			}
		} else {
			if !eksapi.ResourceInUseException.Is(deleteErr) {
				t.Error(deleteErr)
			}
			must(f, f.DeleteNodegroup, &eksapi.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")})
			f.progress("lake", "g", eks.Progress{Empty: true})
			must(f, f.DeleteCluster, &eksapi.DeleteClusterInput{Name: new("lake")})
		}
		if err := f.ForgetCluster(f.ctx, c); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeleteClusterRefuses(t *testing.T) {
	f := newFixture(t)
	del := &eksapi.DeleteClusterInput{Name: new("lake")}
	refuse(f, "a missing one", f.DeleteCluster, del, "ResourceNotFoundException", "No cluster found for name: lake.")
	f.active("lake")
	f.activeGroup("lake", "g")
	refuse(f, "with a node group", f.DeleteCluster, del, "ResourceInUseException", "Cluster has nodegroups attached")
	must(f, f.DeleteNodegroup, &eksapi.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")})
	refuse(f, "with a node group that ends", f.DeleteCluster, del, "ResourceInUseException", "Cluster has nodegroups attached")
	f.progress("lake", "g", eks.Progress{Empty: true})
	must(f, f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{Name: new("lake"), DeletionProtection: new(true)})
	f.started("lake")
	refuse(f, "a protected one", f.DeleteCluster, del, "InvalidRequestException", "deletion protection")
	must(f, f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{Name: new("lake"), DeletionProtection: new(false)})
	refuse(f, "in an update", f.DeleteCluster, del, "ResourceInUseException", "currently has an update in progress")
	f.started("lake")
	// Self-managed nodes are no reason: they end with it.
	if _, err := f.CreateSelfManaged(f.ctx, eks.Nodegroup{Cluster: "lake", Name: "own", InstanceType: "t3.small", Desired: 1, Max: 1}); err != nil {
		t.Fatal(err)
	}
	must(f, f.DeleteCluster, del)
	must(f, f.DeleteCluster, del)
	if got := f.group("lake", "own").Value.Status; got != eks.Deleting {
		t.Errorf("the self-managed group is %s", got)
	}
	refuse(f, "a group for what ends", f.CreateNodegroup, groupInput("lake", "h"), "InvalidRequestException", "Cluster 'lake' is not in ACTIVE status")
	refuse(f, "an add-on for what ends", f.CreateAddon, &eksapi.CreateAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}, "InvalidRequestException", "ACTIVE")
	refuse(f, "an entry for what ends", f.CreateAccessEntry, &eksapi.CreateAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(user)}, "InvalidRequestException", "ACTIVE")
}

func TestClusterFails(t *testing.T) {
	f := newFixture(t)
	must(f, f.CreateCluster, clusterInput("lake"))
	c := f.cluster("lake")
	issue := eks.Issue{Code: "Other", Message: "no room"}
	trouble := func(final bool) eks.Cluster {
		t.Helper()
		if err := f.ClusterTrouble(f.ctx, c, issue, final); err != nil {
			t.Fatal(err)
		}
		return f.cluster("lake")
	}
	if got := trouble(false); got.Status != eks.Creating || len(got.Issues) != 1 {
		t.Errorf("after a first failure: %s %v", got.Status, got.Issues)
	}
	if got := trouble(true); got.Status != eks.Failed {
		t.Errorf("after the last failure: %s", got.Status)
	}
	shown := must(f, f.DescribeCluster, &eksapi.DescribeClusterInput{Name: new("lake")}).Cluster
	if diff := cmp.Diff([]eksapi.ClusterIssue{{Code: "Other", Message: new("no room")}}, shown.Health.Issues); diff != "" {
		t.Error(diff)
	}
	if err := f.RetryCluster(f.ctx, c); err != nil || f.cluster("lake").Status != eks.Creating {
		t.Errorf("tried again: %s, %v", f.cluster("lake").Status, err)
	}
	f.started("lake")
	if got := f.cluster("lake"); got.Status != eks.Active || got.Issues != nil {
		t.Errorf("started: %+v", got)
	}
	// What ran once does not become FAILED.
	if got := trouble(true); got.Status != eks.Active || len(got.Issues) != 1 {
		t.Errorf("a running one in trouble: %s %v", got.Status, got.Issues)
	}
}

func TestCreatorsEntry(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		cluster string
		p       policy.Principal
		change  func(*eksapi.CreateClusterInput)
		want    []string
	}{
		{"by-root", policy.Principal{ARN: rootUser}, nil, []string{rootUser}},
		{"by-session", policy.Principal{ARN: "arn:aws:sts::000000000000:assumed-role/node/x", RoleARN: nodeRole}, nil, []string{nodeRole}},
		{"by-tarn", policy.Principal{}, nil, []string{}},
		{"without", policy.Principal{ARN: user}, func(in *eksapi.CreateClusterInput) {
			in.AccessConfig.BootstrapClusterCreatorAdminPermissions = new(false)
		}, []string{}},
	} {
		in := clusterInput(test.cluster)
		if test.change != nil {
			test.change(in)
		}
		if _, err := f.CreateCluster(as(f.ctx, test.p), in); err != nil {
			t.Fatal(err)
		}
		got := must(f, f.ListAccessEntries, &eksapi.ListAccessEntriesInput{ClusterName: &test.cluster}).AccessEntries
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.cluster, diff)
		}
		for _, p := range got {
			policies := must(f, f.ListAssociatedAccessPolicies, &eksapi.ListAssociatedAccessPoliciesInput{ClusterName: &test.cluster, PrincipalArn: &p}).AssociatedAccessPolicies
			if len(policies) != 1 || *policies[0].PolicyArn != "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy" || policies[0].AccessScope.Type != "cluster" {
				t.Errorf("%s: %+v", test.cluster, policies)
			}
		}
	}
}
