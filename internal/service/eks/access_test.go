package eks_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const viewPolicy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"

func TestAccessEntries(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	create := func(in eksapi.CreateAccessEntryInput) *eksapi.CreateAccessEntryInput {
		in.ClusterName = new("lake")
		return &in
	}
	made := must(f, f.CreateAccessEntry, create(eksapi.CreateAccessEntryInput{
		PrincipalArn: new(nodeRole), KubernetesGroups: []string{"viewers"}, Tags: map[string]string{"a": "b"}})).AccessEntry
	item, err := f.AccessEntries.Get(f.ctx, "lake/"+nodeRole)
	if err != nil {
		t.Fatal(err)
	}
	want := &eksapi.AccessEntry{
		ClusterName: new("lake"), PrincipalArn: new(nodeRole), KubernetesGroups: []string{"viewers"}, Type: new("STANDARD"),
		AccessEntryArn: new("arn:aws:eks:ap-northeast-2:000000000000:access-entry/lake/role/000000000000/node/" + item.Value.ID),
		CreatedAt:      &f.now, ModifiedAt: &f.now, Tags: map[string]string{"a": "b"},
		Username: new("arn:aws:sts::000000000000:assumed-role/node/{{SessionName}}"),
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made: %s", diff)
	}
	if got := must(f, f.CreateAccessEntry, create(eksapi.CreateAccessEntryInput{PrincipalArn: new(user), ClientRequestToken: new("t")})).AccessEntry; *got.Username != user || got.KubernetesGroups == nil {
		t.Errorf("a user's: %+v", got)
	}
	must(f, f.CreateAccessEntry, create(eksapi.CreateAccessEntryInput{PrincipalArn: new(user), ClientRequestToken: new("t")}))
	refuse(f, "the same principal", f.CreateAccessEntry, create(eksapi.CreateAccessEntryInput{PrincipalArn: new(user)}), "ResourceInUseException", "The specified access entry resource is already in use on this cluster.")
	for _, test := range []struct {
		in   eksapi.CreateAccessEntryInput
		text string
	}{
		{eksapi.CreateAccessEntryInput{PrincipalArn: new("arn:aws:iam::000000000000:role/node")}, "The specified principalArn is invalid: invalid principal."},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new("arn:aws:sts::000000000000:assumed-role/node/x")}, "The principalArn parameter format is not valid"},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new("kim")}, "The principalArn parameter format is not valid"},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new(clusterRole), KubernetesGroups: []string{"system:masters"}}, "The kubernetes group name system:masters is invalid, it cannot start with system:"},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new(clusterRole), Username: new("system:admin")}, "it cannot start with system:"},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new(clusterRole), Username: new("{{SessionName}}")}, "colon"},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new(clusterRole), Type: new("EC2_LINUX"), KubernetesGroups: []string{"a"}}, "EC2_LINUX"},
		{eksapi.CreateAccessEntryInput{PrincipalArn: new(clusterRole), Type: new("OTHER")}, "OTHER"},
	} {
		refuse(f, test.text, f.CreateAccessEntry, create(test.in), "InvalidParameterException", test.text)
	}
	changed := must(f, f.UpdateAccessEntry, &eksapi.UpdateAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole), Username: new("node:{{SessionName}}"), KubernetesGroups: []string{}}).AccessEntry
	if *changed.Username != "node:{{SessionName}}" || len(changed.KubernetesGroups) != 0 {
		t.Errorf("%+v", changed)
	}
	must(f, f.DeleteAccessEntry, &eksapi.DeleteAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole)})
	refuse(f, "gone", f.DeleteAccessEntry, &eksapi.DeleteAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole)}, "ResourceNotFoundException", "The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'.")
}

func TestAccessPolicies(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	must(f, f.CreateAccessEntry, &eksapi.CreateAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(user)})
	must(f, f.CreateAccessEntry, &eksapi.CreateAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole), Type: new("EC2_LINUX")})
	in := func(principal, policy, scope string, namespaces ...string) *eksapi.AssociateAccessPolicyInput {
		return &eksapi.AssociateAccessPolicyInput{ClusterName: new("lake"), PrincipalArn: &principal, PolicyArn: &policy,
			AccessScope: &eksapi.AccessScope{Type: eksapi.AccessScopeType(scope), Namespaces: namespaces}}
	}
	must(f, f.AssociateAccessPolicy, in(user, viewPolicy, "cluster"))
	must(f, f.AssociateAccessPolicy, in(user, viewPolicy, "namespace", "a", "b*"))
	got := must(f, f.ListAssociatedAccessPolicies, &eksapi.ListAssociatedAccessPoliciesInput{ClusterName: new("lake"), PrincipalArn: new(user)}).AssociatedAccessPolicies
	want := []eksapi.AssociatedAccessPolicy{{
		PolicyArn: new(viewPolicy), AccessScope: &eksapi.AccessScope{Type: "namespace", Namespaces: []string{"a", "b*"}}, AssociatedAt: &f.now, ModifiedAt: &f.now,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	list := &eksapi.ListAccessEntriesInput{ClusterName: new("lake"), AssociatedPolicyArn: new(viewPolicy)}
	if got := must(f, f.ListAccessEntries, list).AccessEntries; !cmp.Equal(got, []string{user}) {
		t.Errorf("who may view: %v", got)
	}
	for _, test := range []struct {
		in   *eksapi.AssociateAccessPolicyInput
		text string
	}{
		{in(user, "arn:aws:iam::aws:policy/AmazonEKSViewPolicy", "cluster"), "The policyArn parameter format is not valid"},
		{in(user, "arn:aws:eks::aws:cluster-access-policy/Other", "cluster"), "list-access-policies"},
		{in(user, viewPolicy, "cluster", "a"), "Namespaces cannot"},
		{in(user, viewPolicy, "namespace"), "Namespaces must"},
		{in(user, viewPolicy, "region"), "region"},
		{in(nodeRole, viewPolicy, "cluster"), `This operation can only be performed on Access Entries with a type of "STANDARD".`},
	} {
		refuse(f, test.text, f.AssociateAccessPolicy, test.in, "InvalidParameterException", test.text)
	}
	off := &eksapi.DisassociateAccessPolicyInput{ClusterName: new("lake"), PrincipalArn: new(user), PolicyArn: new(viewPolicy)}
	must(f, f.DisassociateAccessPolicy, off)
	refuse(f, "once more", f.DisassociateAccessPolicy, off, "ResourceNotFoundException", "not associated")
	all := must(f, f.ListAccessPolicies, &eksapi.ListAccessPoliciesInput{}).AccessPolicies
	if len(all) != 5 || *all[4].Arn != viewPolicy || *all[4].Name != "AmazonEKSViewPolicy" {
		t.Errorf("%d policies", len(all))
	}
}

// With access by ConfigMap alone, entries do not count, and the API has none of
// them; the creator's waits.
func TestConfigMapAccess(t *testing.T) {
	f := newFixture(t)
	in := clusterInput("lake")
	in.AccessConfig = nil
	if _, err := f.CreateCluster(as(f.ctx, policy.Principal{ARN: user}), in); err != nil {
		t.Fatal(err)
	}
	f.started("lake")
	f.activeGroup("lake", "g")
	const text = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation."
	refuse(f, "list", f.ListAccessEntries, &eksapi.ListAccessEntriesInput{ClusterName: new("lake")}, "InvalidRequestException", text)
	refuse(f, "create", f.CreateAccessEntry, &eksapi.CreateAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(clusterRole)}, "InvalidRequestException", text)
	if e, err := f.Entry(f.ctx, f.cluster("lake"), user); err != nil || len(e.Policies) != 1 {
		t.Errorf("the creator's: %+v, %v", e, err)
	}
	if _, err := f.Entry(f.ctx, f.cluster("lake"), nodeRole); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the nodes': %v", err)
	}
	must(f, f.UpdateClusterConfig, &eksapi.UpdateClusterConfigInput{Name: new("lake"), AccessConfig: &eksapi.UpdateAccessConfigRequest{AuthenticationMode: "API_AND_CONFIG_MAP"}})
	f.started("lake")
	if got := must(f, f.ListAccessEntries, &eksapi.ListAccessEntriesInput{ClusterName: new("lake")}).AccessEntries; !cmp.Equal(got, []string{user}) {
		t.Errorf("entries: %v", got)
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	f.activeGroup("lake", "g")
	addon := must(f, f.CreateAddon, &eksapi.CreateAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}).Addon
	entry := must(f, f.DescribeAccessEntry, &eksapi.DescribeAccessEntryInput{ClusterName: new("lake"), PrincipalArn: new(nodeRole)}).AccessEntry
	group := must(f, f.DescribeNodegroup, &eksapi.DescribeNodegroupInput{ClusterName: new("lake"), NodegroupName: new("g")}).Nodegroup
	for _, arn := range []*string{new(f.ClusterARN("lake")), group.NodegroupArn, addon.AddonArn, entry.AccessEntryArn} {
		must(f, f.TagResource, &eksapi.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "1", "b": "2"}})
		must(f, f.TagResource, &eksapi.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"a": "3"}})
		must(f, f.UntagResource, &eksapi.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"b", "x"}})
		got := must(f, f.ListTagsForResource, &eksapi.ListTagsForResourceInput{ResourceArn: arn}).Tags
		if diff := cmp.Diff(map[string]string{"a": "3"}, got); diff != "" {
			t.Errorf("%s: %s", *arn, diff)
		}
		refuse(f, "AWS's own", f.TagResource, &eksapi.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"AWS:x": ""}}, "BadRequestException", "reserved")
	}
	for arn, code := range map[string]string{
		"x": "BadRequestException",
		"arn:aws:eks:ap-northeast-2:000000000000:fargateprofile/lake/x/y": "BadRequestException",
		"arn:aws:eks:us-east-1:000000000000:cluster/lake":                 "BadRequestException",
		"arn:aws:eks:ap-northeast-2:000000000000:cluster/other":           "NotFoundException",
		"arn:aws:eks:ap-northeast-2:000000000000:nodegroup/lake/g/x":      "NotFoundException",
		*entry.AccessEntryArn + "x":                                       "NotFoundException",
	} {
		refuse(f, arn, f.ListTagsForResource, &eksapi.ListTagsForResourceInput{ResourceArn: &arn}, code, "")
	}
}
