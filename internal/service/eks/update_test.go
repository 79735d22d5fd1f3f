package eks_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestUpdateClusterConfig(t *testing.T) {
	for _, test := range []struct {
		name   string
		change eksapi.UpdateClusterConfigInput
		kind   string
		params map[string]string
		check  func(c *eksapi.Cluster) any
		want   any
	}{
		{"logging", eksapi.UpdateClusterConfigInput{Logging: &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{{Types: []eksapi.LogType{"audit"}, Enabled: new(true)}}}},
			"LoggingUpdate", map[string]string{"ClusterLogging": `{"clusterLogging":[{"types":["audit"],"enabled":true}]}`},
			func(c *eksapi.Cluster) any { return c.Logging.ClusterLogging[0].Types }, []eksapi.LogType{"audit"}},
		{"endpoint access", eksapi.UpdateClusterConfigInput{ResourcesVpcConfig: &eksapi.VpcConfigRequest{EndpointPrivateAccess: new(true), PublicAccessCidrs: []string{"1.2.3.4/32"}}},
			"EndpointAccessUpdate", map[string]string{"EndpointPublicAccess": "true", "EndpointPrivateAccess": "true", "PublicAccessCidrs": `["1.2.3.4/32"]`},
			func(c *eksapi.Cluster) any { return c.ResourcesVpcConfig.PublicAccessCidrs }, []string{"1.2.3.4/32"}},
		{"subnets", eksapi.UpdateClusterConfigInput{ResourcesVpcConfig: &eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-b", "subnet-c"}}},
			"VpcConfigUpdate", map[string]string{"Subnets": `["subnet-b","subnet-c"]`},
			func(c *eksapi.Cluster) any { return c.ResourcesVpcConfig.SubnetIds }, []string{"subnet-b", "subnet-c"}},
		{"access", eksapi.UpdateClusterConfigInput{AccessConfig: &eksapi.UpdateAccessConfigRequest{AuthenticationMode: "API"}},
			"AccessConfigUpdate", map[string]string{"AuthenticationMode": "API"},
			func(c *eksapi.Cluster) any { return c.AccessConfig.AuthenticationMode }, eksapi.AuthenticationModeApi},
		{"support", eksapi.UpdateClusterConfigInput{UpgradePolicy: &eksapi.UpgradePolicyRequest{SupportType: "STANDARD"}},
			"UpgradePolicyUpdate", map[string]string{"UpgradePolicy": `{"supportType":"STANDARD"}`},
			func(c *eksapi.Cluster) any { return c.UpgradePolicy.SupportType }, eksapi.SupportTypeStandard},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.active("lake")
			in := test.change
			in.Name = new("lake")
			before := f.cluster("lake")
			u := must(f, f.UpdateClusterConfig, &in).Update
			params := map[string]string{}
			for _, p := range u.Params {
				params[string(p.Type)] = *p.Value
			}
			if string(u.Type) != test.kind || u.Status != "InProgress" || cmp.Diff(test.params, params) != "" {
				t.Errorf("%s %s: %s", u.Type, u.Status, cmp.Diff(test.params, params))
			}
			refuse(f, "another one meanwhile", f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{Name: new("lake"), DeletionProtection: new(true)},
				"ResourceInUseException", "Cannot DeletionProtectionUpdate because cluster lake currently has update "+*u.Id+" in progress")
			// A start with what was before does not end it.
			if err := f.ClusterStarted(f.ctx, before, endpoint); err != nil || f.cluster("lake").Status != eks.Updating {
				t.Errorf("after a start of the old: %s, %v", f.cluster("lake").Status, err)
			}
			f.started("lake")
			if got := f.update("lake", "", "", u); got.Status != "Successful" || len(got.Errors) != 0 {
				t.Errorf("the update: %+v", got)
			}
			c := must(f, f.DescribeCluster, &eksapi.DescribeClusterInput{Name: new("lake")}).Cluster
			if c.Status != "ACTIVE" || cmp.Diff(test.want, test.check(c)) != "" {
				t.Errorf("%s: %s", c.Status, cmp.Diff(test.want, test.check(c)))
			}
		})
	}
}

func TestUpdateClusterRefuses(t *testing.T) {
	f := newFixture(t)
	logging := &eksapi.Logging{ClusterLogging: []eksapi.LogSetup{{Types: []eksapi.LogType{"api"}, Enabled: new(false)}}}
	must(f, f.CreateCluster, clusterInput("lake"))
	refuse(f, "a new one", f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{Name: new("lake"), DeletionProtection: new(true)}, "InvalidRequestException", "ACTIVE")
	f.started("lake")
	for _, test := range []struct {
		name string
		in   eksapi.UpdateClusterConfigInput
		text string
	}{
		{"nothing", eksapi.UpdateClusterConfigInput{}, "must name what to change"},
		{"two things", eksapi.UpdateClusterConfigInput{Logging: logging, DeletionProtection: new(true)}, "Only one type of update can be allowed."},
		{"logging as it is", eksapi.UpdateClusterConfigInput{Logging: logging}, "No changes needed for the logging config provided"},
		{"endpoint access as it is", eksapi.UpdateClusterConfigInput{ResourcesVpcConfig: &eksapi.VpcConfigRequest{EndpointPublicAccess: new(true)}},
			"Cluster is already at the desired configuration with endpointPrivateAccess: false , endpointPublicAccess: true, and Public Endpoint Restrictions: [0.0.0.0/0]"},
		{"the mode as it is", eksapi.UpdateClusterConfigInput{AccessConfig: &eksapi.UpdateAccessConfigRequest{AuthenticationMode: "API_AND_CONFIG_MAP"}},
			"Unsupported authentication mode update from API_AND_CONFIG_MAP to API_AND_CONFIG_MAP"},
		{"the mode back", eksapi.UpdateClusterConfigInput{AccessConfig: &eksapi.UpdateAccessConfigRequest{AuthenticationMode: "CONFIG_MAP"}},
			"Unsupported authentication mode update from API_AND_CONFIG_MAP to CONFIG_MAP"},
		{"another VPC", eksapi.UpdateClusterConfigInput{ResourcesVpcConfig: &eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-ten", "subnet-ten2"}}}, "the cluster's VPC"},
	} {
		in := test.in
		in.Name = new("lake")
		refuse(f, test.name, f.UpdateClusterConfig, &in, "InvalidParameterException", test.text)
	}
	version := func(v string) *eksapi.UpdateClusterVersionInput {
		return &eksapi.UpdateClusterVersionInput{Name: new("lake"), Version: &v}
	}
	refuse(f, "the version that it has", f.UpdateClusterVersion, version("1.37"), "InvalidParameterException", "Unsupported Kubernetes minor version update from 1.37 to 1.37")
	refuse(f, "a version that there is not", f.UpdateClusterVersion, version("1.38"), "InvalidParameterException", "unsupported Kubernetes version 1.38")
	if got := f.cluster("lake"); got.Status != eks.Active || got.Generation != 1 {
		t.Errorf("a refused update left %+v", got)
	}

	// A cluster that an older Tarn made can be moved to this one's version.
	if _, err := f.Clusters.Modify(f.ctx, "lake", func(c *eks.Cluster) error { c.Version = "1.36"; return nil }); err != nil {
		t.Fatal(err)
	}
	u := must(f, f.UpdateClusterVersion, version("1.37")).Update
	f.started("lake")
	if got := f.update("lake", "", "", u); got.Status != "Successful" || got.Type != "VersionUpdate" || f.cluster("lake").Version != "1.37" {
		t.Errorf("%+v of %s", got, f.cluster("lake").Version)
	}
}

func TestUpdateFails(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	u := must(f, f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{Name: new("lake"), DeletionProtection: new(true)}).Update
	if err := f.ClusterTrouble(f.ctx, f.cluster("lake"), eks.Issue{Code: "Other", Message: "it does not start"}, true); err != nil {
		t.Fatal(err)
	}
	got := f.update("lake", "", "", u)
	want := []eksapi.ErrorDetail{{ErrorCode: "Unknown", ErrorMessage: new("it does not start")}}
	if diff := cmp.Diff(want, got.Errors); diff != "" || got.Status != "Failed" || f.cluster("lake").Status != eks.Active {
		t.Errorf("%s: %s", got.Status, diff)
	}
}

func TestListUpdates(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	f.activeGroup("lake", "g")
	var ids []string
	for i := range 3 {
		u := must(f, f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{
			Name: new("lake"), DeletionProtection: new(i%2 == 0), ClientRequestToken: new(string(rune('a' + i)))}).Update
		f.started("lake")
		ids = append(ids, *u.Id)
		f.now = f.now.Add(1000)
		f.now = f.now.Add(1_000_000)
	}
	scale := &eksapi.UpdateNodegroupConfigInput{ClusterName: new("lake"), NodegroupName: new("g"), ScalingConfig: &eksapi.NodegroupScalingConfig{MaxSize: new(int32(9))}, ClientRequestToken: new("t")}
	ofGroup := must(f, f.UpdateNodegroupConfig, scale).Update
	if again := must(f, f.UpdateNodegroupConfig, scale).Update; *again.Id != *ofGroup.Id {
		t.Error("the same call again made another update")
	}
	list := func(in *eksapi.ListUpdatesInput) (all []string) {
		in.Name, in.MaxResults = new("lake"), new(int32(2))
		for {
			out := must(f, f.ListUpdates, in)
			all = append(all, out.UpdateIds...)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return all
			}
		}
	}
	if diff := cmp.Diff(ids, list(&eksapi.ListUpdatesInput{})); diff != "" {
		t.Errorf("the cluster's: %s", diff)
	}
	if diff := cmp.Diff([]string{*ofGroup.Id}, list(&eksapi.ListUpdatesInput{NodegroupName: new("g")})); diff != "" {
		t.Errorf("the node group's: %s", diff)
	}
	refuse(f, "a missing group's", f.ListUpdates, &eksapi.ListUpdatesInput{Name: new("lake"), NodegroupName: new("x")}, "ResourceNotFoundException", "No node group found for name: x.")
	refuse(f, "the group's update as the cluster's", f.DescribeUpdate, &eksapi.DescribeUpdateInput{Name: new("lake"), UpdateId: ofGroup.Id}, "ResourceNotFoundException", *ofGroup.Id)
	// They end with the node group.
	must(f, f.DeleteNodegroup, &eksapi.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")})
	if got := f.update("lake", "g", "", ofGroup).Status; got != "Cancelled" {
		t.Errorf("the update of a node group that is deleted is %s", got)
	}
	f.progress("lake", "g", eks.Progress{Empty: true})
	if n, err := count(f.Updates)(f.ctx, "lake/"); err != nil || n != 3 {
		t.Errorf("%d updates are left, %v", n, err)
	}
}
