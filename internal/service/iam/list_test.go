package iam

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
)

func TestPagesSurviveWrites(t *testing.T) {
	s, ctx := newService(t), t.Context()
	for _, n := range []string{"delta", "Alpha", "charlie", "Bravo", "echo"} {
		path := "/a/"
		if n == "echo" {
			path = "/b/"
		}
		must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: &n, Path: &path}))(t)
	}
	names := func(out *iamapi.ListUsersOutput) []string {
		return convert(out.Users, func(u *iamapi.User) string { return *u.UserName })
	}
	first := must(s.ListUsers(ctx, &iamapi.ListUsersInput{MaxItems: new(int32(2)), PathPrefix: new("/a/")}))(t)
	if diff := cmp.Diff([]string{"Alpha", "Bravo"}, names(first)); diff != "" || !*first.IsTruncated {
		t.Error(diff)
	}
	// The item that the marker stands for goes, one before it and one behind it come.
	must(s.DeleteUser(ctx, &iamapi.DeleteUserInput{UserName: new("bravo")}))(t)
	for _, n := range []string{"aaa", "Bz"} {
		must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: &n, Path: new("/a/")}))(t)
	}
	second := must(s.ListUsers(ctx, &iamapi.ListUsersInput{MaxItems: new(int32(3)), PathPrefix: new("/a/"), Marker: first.Marker}))(t)
	if diff := cmp.Diff([]string{"Bz", "charlie", "delta"}, names(second)); diff != "" || *second.IsTruncated || second.Marker != nil {
		t.Error(diff)
	}
	none := must(s.ListUsers(ctx, &iamapi.ListUsersInput{PathPrefix: new("/none/")}))(t)
	if none.Users == nil || len(none.Users) > 0 || *none.IsTruncated {
		t.Errorf("%+v", none)
	}
}

func TestPolicyVersions(t *testing.T) {
	s, ctx := newService(t), t.Context()
	arn := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(allowS3), Description: new("d")}))(t).Policy.Arn
	for i := range 4 {
		v := must(s.CreatePolicyVersion(ctx, &iamapi.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: new(allowS3), SetAsDefault: new(i == 1)}))(t).PolicyVersion
		if *v.VersionId != fmt.Sprint("v", i+2) || *v.IsDefaultVersion != (i == 1) || v.Document != nil {
			t.Errorf("%+v", v)
		}
	}
	list := func() (out []string) {
		var marker *string
		for {
			page := must(s.ListPolicyVersions(ctx, &iamapi.ListPolicyVersionsInput{PolicyArn: arn, MaxItems: new(int32(2)), Marker: marker}))(t)
			for _, v := range page.Versions {
				name := *v.VersionId
				if *v.IsDefaultVersion {
					name += "*"
				}
				out = append(out, name)
			}
			if marker = page.Marker; marker == nil {
				return out
			}
		}
	}
	if diff := cmp.Diff([]string{"v5", "v4", "v3*", "v2", "v1"}, list()); diff != "" {
		t.Error(diff)
	}
	must(s.SetDefaultPolicyVersion(ctx, &iamapi.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: new("v1")}))(t)
	must(s.DeletePolicyVersion(ctx, &iamapi.DeletePolicyVersionInput{PolicyArn: arn, VersionId: new("v5")}))(t)
	must(s.CreatePolicyVersion(ctx, &iamapi.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: new(allowS3)}))(t)
	if diff := cmp.Diff([]string{"v6", "v4", "v3", "v2", "v1*"}, list()); diff != "" { // numbers are not given twice
		t.Error(diff)
	}
	_, err := s.DeletePolicy(ctx, &iamapi.DeletePolicyInput{PolicyArn: arn})
	wantErr(t, err, "DeleteConflict: This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	for _, v := range []string{"v6", "v4", "v3", "v2"} {
		must(s.DeletePolicyVersion(ctx, &iamapi.DeletePolicyVersionInput{PolicyArn: arn, VersionId: &v}))(t)
	}
	must(s.DeletePolicy(ctx, &iamapi.DeletePolicyInput{PolicyArn: arn}))(t)
	if left, _, err := s.versions.List(ctx, ""); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestManagedPolicies(t *testing.T) {
	s, ctx := newService(t), t.Context()
	must(s.CreateGroup(ctx, &iamapi.CreateGroupInput{GroupName: new("g")}))(t)
	must(s.AttachGroupPolicy(ctx, &iamapi.AttachGroupPolicyInput{GroupName: new("g"), PolicyArn: new(admin)}))(t)
	must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new("Bounds"), Path: new("/x/"), PolicyDocument: new(allowS3)}))(t)
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("u"), PermissionsBoundary: new("arn:aws:iam::123456789012:policy/x/Bounds")}))(t)
	p := must(s.GetPolicy(ctx, &iamapi.GetPolicyInput{PolicyArn: new(admin)}))(t).Policy
	if *p.AttachmentCount != 1 || *p.DefaultVersionId != "v1" || *p.Description != "Provides full access to AWS services and resources." || len(*p.PolicyId) != 21 || p.Tags == nil {
		t.Errorf("%+v", p)
	}
	v := must(s.GetPolicyVersion(ctx, &iamapi.GetPolicyVersionInput{PolicyArn: new(admin), VersionId: new("v1")}))(t).PolicyVersion
	if d, err := url.QueryUnescape(*v.Document); err != nil || !strings.Contains(d, `"Version"`) || !*v.IsDefaultVersion {
		t.Errorf("%+v", v)
	}
	_, err := s.DeletePolicy(ctx, &iamapi.DeletePolicyInput{PolicyArn: new(admin)})
	if !strings.HasPrefix(wording(err), "AccessDenied: ") {
		t.Error(err)
	}
	for i, c := range []struct {
		in   iamapi.ListPoliciesInput
		want []string // "AWS" for all of AWS's
	}{
		{iamapi.ListPoliciesInput{Scope: "Local"}, []string{"Bounds"}},
		{iamapi.ListPoliciesInput{OnlyAttached: new(true)}, []string{"AdministratorAccess", "Bounds"}},
		{iamapi.ListPoliciesInput{PolicyUsageFilter: "PermissionsPolicy"}, []string{"AdministratorAccess"}},
		{iamapi.ListPoliciesInput{PolicyUsageFilter: "PermissionsBoundary"}, []string{"Bounds"}},
		{iamapi.ListPoliciesInput{PathPrefix: new("/x/")}, []string{"Bounds"}},
		{iamapi.ListPoliciesInput{Scope: "AWS", OnlyAttached: new(true)}, []string{"AdministratorAccess"}},
	} {
		got := convert(must(s.ListPolicies(ctx, &c.in))(t).Policies, func(p *iamapi.Policy) string { return *p.PolicyName })
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Error(i, diff)
		}
	}
	all := convert(must(s.ListPolicies(ctx, &iamapi.ListPoliciesInput{}))(t).Policies, func(p *iamapi.Policy) string { return key(*p.PolicyName) })
	if !slices.IsSorted(all) || len(all) < 10 || !slices.Contains(all, "bounds") {
		t.Errorf("%v", all)
	}
}

func TestAccountDetails(t *testing.T) {
	s, ctx := newService(t), t.Context()
	for _, in := range []any{
		&iamapi.CreateUserInput{UserName: new("u")},
		&iamapi.CreateGroupInput{GroupName: new("g")},
		&iamapi.AddUserToGroupInput{UserName: new("u"), GroupName: new("g")},
		&iamapi.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(ec2Role)},
		&iamapi.PutRolePolicyInput{RoleName: new("r"), PolicyName: new("in"), PolicyDocument: new(allowS3)},
		&iamapi.CreateInstanceProfileInput{InstanceProfileName: new("ip")},
		&iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: new("ip"), RoleName: new("r")},
		&iamapi.CreatePolicyInput{PolicyName: new("p"), PolicyDocument: new(allowS3)},
		&iamapi.AttachUserPolicyInput{UserName: new("u"), PolicyArn: new(admin)},
		&iamapi.AttachUserPolicyInput{UserName: new("u"), PolicyArn: new("arn:aws:iam::123456789012:policy/p")},
		&iamapi.CreateOpenIDConnectProviderInput{Url: new("https://x.y")},
	} {
		if _, err := s.call(ctx, in); err != nil {
			t.Fatalf("%T: %v", in, err)
		}
	}
	got, pages := map[string]int{}, 0
	var marker *string
	for more := true; more; pages++ {
		out := must(s.GetAccountAuthorizationDetails(ctx, &iamapi.GetAccountAuthorizationDetailsInput{MaxItems: new(int32(2)), Marker: marker}))(t)
		for _, u := range out.UserDetailList {
			got["user "+*u.UserName+" in "+strings.Join(u.GroupList, ",")] = len(u.AttachedManagedPolicies)
		}
		for _, g := range out.GroupDetailList {
			got["group "+*g.GroupName]++
		}
		for _, r := range out.RoleDetailList {
			got["role "+*r.RoleName+" in "+*r.InstanceProfileList[0].InstanceProfileName] = len(r.RolePolicyList)
		}
		for _, p := range out.Policies {
			got["policy "+*p.PolicyName] = len(p.PolicyVersionList)
		}
		marker, more = out.Marker, *out.IsTruncated
	}
	want := map[string]int{"user u in g": 2, "group g": 1, "role r in ip": 1, "policy p": 1, "policy AdministratorAccess": 1}
	if diff := cmp.Diff(want, got); diff != "" || pages != 3 {
		t.Error(pages, diff)
	}
	only := must(s.GetAccountAuthorizationDetails(ctx, &iamapi.GetAccountAuthorizationDetailsInput{Filter: []iamapi.EntityType{"Group"}}))(t)
	if len(only.GroupDetailList) != 1 || only.UserDetailList == nil || len(only.UserDetailList)+len(only.Policies) > 0 {
		t.Errorf("%+v", only)
	}

	sum := must(s.GetAccountSummary(ctx, &iamapi.GetAccountSummaryInput{}))(t).SummaryMap
	for k, want := range map[string]int32{
		"Users": 1, "Groups": 1, "Roles": 1, "Policies": 1, "InstanceProfiles": 1, "Providers": 1, "AccountAccessKeysPresent": 0,
		"PolicyVersionsInUse": 1, "AttachedPoliciesPerRoleQuota": 10, "GroupPolicySizeQuota": 5120,
	} {
		if sum[k] != want {
			t.Errorf("%s is %d, want %d (%v)", k, sum[k], want, slices.Sorted(maps.Keys(sum)))
		}
	}
}

func TestOIDCProviders(t *testing.T) {
	s, ctx := newService(t), t.Context()
	arn := must(s.CreateOpenIDConnectProvider(ctx, &iamapi.CreateOpenIDConnectProviderInput{
		Url: new("https://x.y/id/A"), ThumbprintList: []string{strings.Repeat("b", 40)},
	}))(t).OpenIDConnectProviderArn
	for _, id := range []string{"one", "two", "one"} {
		must(s.AddClientIDToOpenIDConnectProvider(ctx, &iamapi.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: &id}))(t)
	}
	must(s.RemoveClientIDFromOpenIDConnectProvider(ctx, &iamapi.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn, ClientID: new("one")}))(t)
	must(s.UpdateOpenIDConnectProviderThumbprint(ctx, &iamapi.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: arn, ThumbprintList: []string{}}))(t)
	_, err := s.UpdateOpenIDConnectProviderThumbprint(ctx, &iamapi.UpdateOpenIDConnectProviderThumbprintInput{
		OpenIDConnectProviderArn: arn, ThumbprintList: slices.Repeat([]string{strings.Repeat("c", 40)}, 6),
	})
	wantErr(t, err, "InvalidInput: Thumbprint list must contain fewer than 5 entries.")
	p := must(s.GetOpenIDConnectProvider(ctx, &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
	if *p.Url != "x.y/id/A" || !slices.Equal(p.ClientIDList, []string{"two"}) || p.ThumbprintList == nil || len(p.ThumbprintList) > 0 {
		t.Errorf("%+v", p)
	}
	list := must(s.ListOpenIDConnectProviders(ctx, &iamapi.ListOpenIDConnectProvidersInput{}))(t).OpenIDConnectProviderList
	if len(list) != 1 || *list[0].Arn != *arn {
		t.Errorf("%+v", list)
	}
	must(s.DeleteOpenIDConnectProvider(ctx, &iamapi.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}))(t)
}
