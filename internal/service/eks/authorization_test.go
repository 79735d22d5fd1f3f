package eks_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	in := clusterInput("lake")
	in.Tags = map[string]string{"team": "blue"}
	must(f, f.CreateCluster, in)
	f.started("lake")
	group := groupInput("lake", "g")
	group.Tags = map[string]string{"team": "red"}
	must(f, f.CreateNodegroup, group)
	id := f.group("lake", "g").Value.ID
	const prefix = "arn:aws:eks:ap-northeast-2:000000000000:"
	ofCluster := map[string][]string{"aws:resourcetag/team": {"blue"}}
	request := func(action string, context map[string][]string, resources ...string) policy.Request {
		if context == nil {
			context = map[string][]string{}
		}
		for i := range resources {
			if resources[i][:4] != "arn:" {
				resources[i] = prefix + resources[i]
			}
		}
		return policy.Request{Action: action, Resources: resources, ResourceAccount: "000000000000", Context: context}
	}
	pass := func(role string) policy.Request {
		return request("iam:PassRole", map[string][]string{"iam:passedtoservice": {"eks.amazonaws.com"}}, role)
	}
	for _, test := range []struct {
		operation string
		in        any
		want      []policy.Request
	}{
		{"ListClusters", &eksapi.ListClustersInput{}, []policy.Request{request("eks:ListClusters", nil, "cluster/*")}},
		{"ListAccessPolicies", &eksapi.ListAccessPoliciesInput{}, []policy.Request{request("eks:ListAccessPolicies", nil)}},
		{"DescribeCluster", &eksapi.DescribeClusterInput{Name: new("lake")}, []policy.Request{request("eks:DescribeCluster", ofCluster, "cluster/lake")}},
		{"DescribeCluster", &eksapi.DescribeClusterInput{Name: new("x")}, []policy.Request{request("eks:DescribeCluster", nil, "cluster/x")}},
		{"CreateCluster", &eksapi.CreateClusterInput{Name: new("x"), RoleArn: new(clusterRole), Tags: map[string]string{"b": "2", "a": "1"},
			AccessConfig: &eksapi.CreateAccessConfigRequest{AuthenticationMode: "API", BootstrapClusterCreatorAdminPermissions: new(false)}},
			[]policy.Request{request("eks:CreateCluster", map[string][]string{
				"aws:requesttag/a": {"1"}, "aws:requesttag/b": {"2"}, "aws:tagkeys": {"a", "b"},
				"eks:authenticationmode": {"API"}, "eks:bootstrapclustercreatoradminpermissions": {"false"},
			}, "cluster/x"), pass(clusterRole)}},
		{"CreateNodegroup", groupInput("lake", "h"), []policy.Request{request("eks:CreateNodegroup", ofCluster, "cluster/lake"), pass(nodeRole)}},
		{"DeleteNodegroup", &eksapi.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")},
			[]policy.Request{request("eks:DeleteNodegroup", map[string][]string{"aws:resourcetag/team": {"red"}}, "nodegroup/lake/g/"+id)}},
		{"DeleteNodegroup", &eksapi.DeleteNodegroupInput{ClusterName: new("lake"), NodegroupName: new("x")}, []policy.Request{request("eks:DeleteNodegroup", nil, "nodegroup/lake/x/*")}},
		{"ListUpdates", &eksapi.ListUpdatesInput{Name: new("lake")}, []policy.Request{request("eks:ListUpdates", ofCluster, "cluster/lake")}},
		{"ListUpdates", &eksapi.ListUpdatesInput{Name: new("lake"), AddonName: new("coredns")}, []policy.Request{request("eks:ListUpdates", nil, "addon/lake/coredns/*")}},
		{"CreateAccessEntry", &eksapi.CreateAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(user), KubernetesGroups: []string{"a"}, Type: new("STANDARD")},
			[]policy.Request{request("eks:CreateAccessEntry", map[string][]string{
				"aws:resourcetag/team": {"blue"}, "eks:principalarn": {user}, "eks:kubernetesgroups": {"a"}, "eks:accessentrytype": {"STANDARD"},
			}, "cluster/lake")}},
		{"AssociateAccessPolicy", &eksapi.AssociateAccessPolicyInput{ClusterName: new("lake"), PrincipalArn: new(user), PolicyArn: new(viewPolicy), AccessScope: &eksapi.AccessScope{Type: "namespace", Namespaces: []string{"a"}}},
			[]policy.Request{request("eks:AssociateAccessPolicy", map[string][]string{
				"eks:policyarn": {viewPolicy}, "eks:accessscope": {"namespace"}, "eks:namespaces": {"a"},
			}, "access-entry/lake/user/000000000000/kim/*")}},
		{"UntagResource", &eksapi.UntagResourceInput{ResourceArn: new(prefix + "cluster/lake"), TagKeys: []string{"team"}},
			[]policy.Request{request("eks:UntagResource", map[string][]string{"aws:resourcetag/team": {"blue"}, "aws:tagkeys": {"team"}}, "cluster/lake")}},
		{"TagResource", &eksapi.TagResourceInput{ResourceArn: new("arn:no")}, []policy.Request{request("eks:TagResource", nil, "arn:no")}},
	} {
		got, err := f.Authorization(t.Context(), test.operation, test.in)
		if err != nil {
			t.Errorf("%s: %v", test.operation, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.operation, diff)
		}
	}
}

// Every operation is authorized as itself, with whatever it is called.
func TestEveryOperationIsAuthorized(t *testing.T) {
	f := newFixture(t)
	for _, op := range eksapi.Service.Operations {
		got, err := f.Authorization(t.Context(), op.Name, reflect.New(op.Input).Interface())
		if err != nil || len(got) != 1 || got[0].Action != "eks:"+op.Name {
			t.Errorf("%s: %+v, %v", op.Name, got, err)
		}
		none := slices.Contains([]string{"ListAccessPolicies", "DescribeAddonVersions", "DescribeAddonConfiguration"}, op.Name)
		named := op.Name == "TagResource" || op.Name == "UntagResource" || op.Name == "ListTagsForResource"
		if err == nil && !named && (len(got[0].Resources) == 0) != none {
			t.Errorf("%s: resources %v", op.Name, got[0].Resources)
		}
	}
}
