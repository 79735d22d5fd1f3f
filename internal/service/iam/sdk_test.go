package iam

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"
)

func TestUsersAndKeysThroughSDK(t *testing.T) {
	e := serve(t)
	ctx, root := t.Context(), e.root(t)

	me := must(root.GetUser(ctx, &sdk.GetUserInput{}))(t).User
	if *me.Arn != "arn:aws:iam::123456789012:root" || *me.UserId != account || me.CreateDate == nil || me.UserName != nil {
		t.Errorf("root is %+v", me)
	}
	u := must(root.CreateUser(ctx, &sdk.CreateUserInput{
		UserName: aws.String("Bob"), Path: aws.String("/dev/"), Tags: []types.Tag{{Key: aws.String("z"), Value: aws.String("1")}, {Key: aws.String("a"), Value: aws.String("")}},
	}))(t).User
	if *u.Arn != "arn:aws:iam::123456789012:user/dev/Bob" || !regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`).MatchString(*u.UserId) || *u.Tags[0].Key != "z" {
		t.Errorf("created %+v", u)
	}
	k := must(root.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{UserName: aws.String("Bob")}))(t).AccessKey
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(*k.AccessKeyId) || len(*k.SecretAccessKey) != 40 || k.Status != types.StatusTypeActive || *k.UserName != "Bob" {
		t.Errorf("key %+v", k)
	}

	// Bob's own calls name nobody.
	bob := e.client(*k.AccessKeyId, *k.SecretAccessKey)
	self := must(bob.GetUser(ctx, &sdk.GetUserInput{}))(t).User
	if *self.UserName != "Bob" || *self.UserId != *u.UserId || len(self.Tags) != 2 || *self.Tags[0].Key != "a" {
		t.Errorf("self is %+v", self)
	}
	second := must(bob.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{}))(t).AccessKey
	_, err := bob.CreateAccessKey(ctx, &sdk.CreateAccessKeyInput{})
	wantErr(t, err, "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2")
	must(bob.UpdateAccessKey(ctx, &sdk.UpdateAccessKeyInput{AccessKeyId: second.AccessKeyId, Status: types.StatusTypeInactive}))(t)

	// A new name: keys, tags and id stay.
	must(root.UpdateUser(ctx, &sdk.UpdateUserInput{UserName: aws.String("bob"), NewUserName: aws.String("Robert"), NewPath: aws.String("/")}))(t)
	self = must(bob.GetUser(ctx, &sdk.GetUserInput{}))(t).User
	if *self.Arn != "arn:aws:iam::123456789012:user/Robert" || *self.UserId != *u.UserId {
		t.Errorf("renamed to %+v", self)
	}
	keys := must(bob.ListAccessKeys(ctx, &sdk.ListAccessKeysInput{}))(t).AccessKeyMetadata
	if len(keys) != 2 || *keys[0].AccessKeyId != *k.AccessKeyId || keys[1].Status != types.StatusTypeInactive || *keys[1].UserName != "Robert" {
		t.Errorf("keys %+v", keys)
	}
	_, err = root.GetUser(ctx, &sdk.GetUserInput{UserName: aws.String("Bob")})
	wantErr(t, err, "NoSuchEntity: The user with name Bob cannot be found.")

	_, err = root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("Robert")})
	wantErr(t, err, "DeleteConflict: Cannot delete entity, must delete access keys first.")
	_, err = root.DeleteAccessKey(ctx, &sdk.DeleteAccessKeyInput{AccessKeyId: k.AccessKeyId})
	wantErr(t, err, "NoSuchEntity: The Access Key with id "+*k.AccessKeyId+" cannot be found.") // it is not root's
	for _, id := range []*string{k.AccessKeyId, second.AccessKeyId} {
		must(root.DeleteAccessKey(ctx, &sdk.DeleteAccessKeyInput{UserName: aws.String("Robert"), AccessKeyId: id}))(t)
	}
	if _, err := bob.GetUser(ctx, &sdk.GetUserInput{}); err == nil {
		t.Error("a deleted key still works")
	}
	must(root.DeleteUser(ctx, &sdk.DeleteUserInput{UserName: aws.String("Robert")}))(t)
	if users := must(root.ListUsers(ctx, &sdk.ListUsersInput{}))(t).Users; users == nil || len(users) > 0 {
		t.Errorf("left %+v", users)
	}
}

func TestRolesThroughSDK(t *testing.T) {
	e := serve(t)
	ctx, c := t.Context(), e.root(t)
	name := aws.String("node")
	r := must(c.CreateRole(ctx, &sdk.CreateRoleInput{
		RoleName: name, Path: aws.String("/eks/"), AssumeRolePolicyDocument: aws.String(ec2Role), Description: aws.String("nodes"),
		MaxSessionDuration: aws.Int32(7200), PermissionsBoundary: aws.String(admin),
	}))(t).Role
	if *r.Arn != "arn:aws:iam::123456789012:role/eks/node" || !strings.HasPrefix(*r.RoleId, "AROA") || len(*r.RoleId) != 21 || r.Description != nil {
		t.Errorf("created %+v", r)
	}
	r = must(c.GetRole(ctx, &sdk.GetRoleInput{RoleName: name}))(t).Role
	if trust, err := url.QueryUnescape(*r.AssumeRolePolicyDocument); err != nil || trust != ec2Role || strings.ContainsAny(*r.AssumeRolePolicyDocument, "{:+ ") {
		t.Errorf("trust policy %s", *r.AssumeRolePolicyDocument)
	}
	if *r.MaxSessionDuration != 7200 || *r.Description != "nodes" || r.RoleLastUsed == nil || *r.PermissionsBoundary.PermissionsBoundaryArn != admin || r.PermissionsBoundary.PermissionsBoundaryType != "Policy" {
		t.Errorf("got %+v", r)
	}

	p := must(c.CreatePolicy(ctx, &sdk.CreatePolicyInput{PolicyName: aws.String("read"), Path: aws.String("/own/"), PolicyDocument: aws.String(allowS3)}))(t).Policy
	for _, arn := range []string{*p.Arn, "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy", *p.Arn} {
		must(c.AttachRolePolicy(ctx, &sdk.AttachRolePolicyInput{RoleName: name, PolicyArn: &arn}))(t)
	}
	must(c.PutRolePolicy(ctx, &sdk.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("in line"[:2]), PolicyDocument: aws.String(allowS3)}))(t)
	attached := must(c.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: name}))(t).AttachedPolicies
	want := []types.AttachedPolicy{
		{PolicyName: aws.String("AmazonEKSWorkerNodePolicy"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy")},
		{PolicyName: aws.String("read"), PolicyArn: p.Arn},
	}
	if diff := cmp.Diff(want, attached, cmp.AllowUnexported(types.AttachedPolicy{})); diff != "" {
		t.Error(diff)
	}
	if own := must(c.ListAttachedRolePolicies(ctx, &sdk.ListAttachedRolePoliciesInput{RoleName: name, PathPrefix: aws.String("/own/")}))(t).AttachedPolicies; len(own) != 1 {
		t.Errorf("below /own/: %+v", own)
	}
	inline := must(c.GetRolePolicy(ctx, &sdk.GetRolePolicyInput{RoleName: name, PolicyName: aws.String("in")}))(t)
	if d, _ := url.QueryUnescape(*inline.PolicyDocument); d != allowS3 {
		t.Errorf("inline %s", d)
	}
	if n := must(c.GetPolicy(ctx, &sdk.GetPolicyInput{PolicyArn: p.Arn}))(t).Policy.AttachmentCount; *n != 1 {
		t.Errorf("attached %d times", *n)
	}
	users := must(c.ListEntitiesForPolicy(ctx, &sdk.ListEntitiesForPolicyInput{PolicyArn: aws.String(admin)}))(t)
	if len(users.PolicyRoles) != 1 || *users.PolicyRoles[0].RoleId != *r.RoleId {
		t.Errorf("the boundary is used by %+v", users)
	}

	must(c.CreateInstanceProfile(ctx, &sdk.CreateInstanceProfileInput{InstanceProfileName: name}))(t)
	must(c.AddRoleToInstanceProfile(ctx, &sdk.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name}))(t)
	profile := must(c.GetInstanceProfile(ctx, &sdk.GetInstanceProfileInput{InstanceProfileName: name}))(t).InstanceProfile
	if len(profile.Roles) != 1 || *profile.Roles[0].Arn != *r.Arn || profile.Tags == nil {
		t.Errorf("profile %+v", profile)
	}
	if list := must(c.ListInstanceProfilesForRole(ctx, &sdk.ListInstanceProfilesForRoleInput{RoleName: name}))(t).InstanceProfiles; len(list) != 1 {
		t.Errorf("profiles %+v", list)
	}

	// Everything in the way of the role's end, one after the other.
	steps := []struct {
		conflict string
		undo     func() error
	}{
		{"must detach all policies first", func() error {
			_, err := c.DetachRolePolicy(ctx, &sdk.DetachRolePolicyInput{RoleName: name, PolicyArn: p.Arn})
			return err
		}},
		{"must detach all policies first", func() error {
			_, err := c.DetachRolePolicy(ctx, &sdk.DetachRolePolicyInput{RoleName: name, PolicyArn: attached[0].PolicyArn})
			return err
		}},
		{"must delete policies first", func() error {
			_, err := c.DeleteRolePolicy(ctx, &sdk.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("in")})
			return err
		}},
		{"must remove roles from instance profile first", func() error {
			_, err := c.DeleteInstanceProfile(ctx, &sdk.DeleteInstanceProfileInput{InstanceProfileName: name})
			wantErr(t, err, "DeleteConflict: Cannot delete entity, must remove roles from instance profile first.")
			_, err = c.RemoveRoleFromInstanceProfile(ctx, &sdk.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name, RoleName: name})
			return err
		}},
	}
	for _, s := range steps {
		_, err := c.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name})
		wantErr(t, err, "DeleteConflict: Cannot delete entity, "+s.conflict+".")
		if err := s.undo(); err != nil {
			t.Fatal(err)
		}
	}
	must(c.DeleteRole(ctx, &sdk.DeleteRoleInput{RoleName: name}))(t)
	must(c.DeletePolicy(ctx, &sdk.DeletePolicyInput{PolicyArn: p.Arn}))(t)
	must(c.DeleteInstanceProfile(ctx, &sdk.DeleteInstanceProfileInput{InstanceProfileName: name}))(t)
}

func TestSimulateThroughSDK(t *testing.T) {
	e := serve(t)
	ctx, c := t.Context(), e.root(t)
	must(c.CreateUser(ctx, &sdk.CreateUserInput{UserName: aws.String("ann")}))(t)
	must(c.CreateGroup(ctx, &sdk.CreateGroupInput{GroupName: aws.String("readers")}))(t)
	must(c.AddUserToGroup(ctx, &sdk.AddUserToGroupInput{GroupName: aws.String("readers"), UserName: aws.String("ann")}))(t)
	must(c.PutGroupPolicy(ctx, &sdk.PutGroupPolicyInput{GroupName: aws.String("readers"), PolicyName: aws.String("list"), PolicyDocument: aws.String(allowS3)}))(t)
	ann := aws.String("arn:aws:iam::123456789012:user/ann")
	sim := must(c.SimulatePrincipalPolicy(ctx, &sdk.SimulatePrincipalPolicyInput{
		PolicySourceArn: ann, ActionNames: []string{"s3:ListBucket", "s3:GetObject"}, MaxItems: aws.Int32(1),
	}))(t)
	got := sim.EvaluationResults
	if len(got) != 1 || got[0].EvalDecision != types.PolicyEvaluationDecisionTypeAllowed || *got[0].EvalResourceName != "*" || !sim.IsTruncated {
		t.Fatalf("%+v", sim)
	}
	if m := got[0].MatchedStatements; len(m) != 1 || *m[0].SourcePolicyId != "group_readers_list" || m[0].SourcePolicyType != "IAM Policy" || m[0].StartPosition.Line != 1 {
		t.Errorf("matched %+v", m)
	}
	sim = must(c.SimulatePrincipalPolicy(ctx, &sdk.SimulatePrincipalPolicyInput{
		PolicySourceArn: ann, ActionNames: []string{"s3:ListBucket", "s3:GetObject"}, Marker: sim.Marker,
	}))(t)
	if got := sim.EvaluationResults; len(got) != 1 || got[0].EvalDecision != types.PolicyEvaluationDecisionTypeImplicitDeny || *got[0].EvalActionName != "s3:GetObject" {
		t.Errorf("%+v", got)
	}

	deny := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}","Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`
	custom := must(c.SimulateCustomPolicy(ctx, &sdk.SimulateCustomPolicyInput{
		PolicyInputList: []string{allowS3, deny}, ActionNames: []string{"s3:ListBucket"}, ResourceArns: []string{"arn:aws:s3:::ann"}, CallerArn: ann,
		ContextEntries: []types.ContextEntry{{ContextKeyName: aws.String("aws:SecureTransport"), ContextKeyType: "boolean", ContextKeyValues: []string{"false"}}},
	}))(t).EvaluationResults
	if len(custom) != 1 || custom[0].EvalDecision != types.PolicyEvaluationDecisionTypeExplicitDeny || *custom[0].MatchedStatements[0].SourcePolicyId != "PolicyInputList.2" {
		t.Errorf("%+v", custom)
	}
	keys := must(c.GetContextKeysForPrincipalPolicy(ctx, &sdk.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: ann, PolicyInputList: []string{deny}}))(t).ContextKeyNames
	if diff := cmp.Diff([]string{"aws:SecureTransport", "aws:username"}, keys); diff != "" {
		t.Error(diff)
	}
	for arn, want := range map[string]string{
		"arn:aws:iam::123456789012:user/nobody":   "NoSuchEntity: The user with name nobody cannot be found.",
		"arn:aws:iam::123456789012:user/dev/ann":  "NoSuchEntity: The user with name ann cannot be found.",
		"arn:aws:iam::123456789012:group/nothing": "NoSuchEntity: The group with name nothing cannot be found.",
		"arn:aws:iam::210987654321:user/ann":      "InvalidInput: Invalid Entity Arn: arn:aws:iam::210987654321:user/ann",
		"arn:aws:s3:::some-bucket-here":           "InvalidInput: Invalid Entity Arn: arn:aws:s3:::some-bucket-here",
	} {
		_, err := c.SimulatePrincipalPolicy(ctx, &sdk.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: []string{"s3:GetObject"}})
		wantErr(t, err, want)
	}
}
