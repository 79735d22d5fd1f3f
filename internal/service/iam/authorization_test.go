package iam

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestAuthorization(t *testing.T) {
	s, ctx := newService(t), t.Context()
	tags := []iamapi.Tag{{Key: new("Team"), Value: new("Blue")}}
	for _, in := range []any{
		&iamapi.CreateUserInput{UserName: new("ann"), Path: new("/dev/"), Tags: tags, PermissionsBoundary: new(admin)},
		&iamapi.CreateRoleInput{RoleName: new("node"), Path: new("/eks/"), AssumeRolePolicyDocument: new(ec2Role), Tags: tags},
		&iamapi.CreateGroupInput{GroupName: new("staff"), Path: new("/g/")},
		&iamapi.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(allowS3), Tags: tags},
	} {
		if _, err := s.call(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	k := must(s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")}))(t).AccessKey
	const iam = "arn:aws:iam::123456789012:"
	type keys = map[string][]string
	blue := keys{"iam:resourcetag/team": {"Blue"}, "aws:resourcetag/team": {"Blue"}}
	ann := keys{"iam:resourcetag/team": {"Blue"}, "aws:resourcetag/team": {"Blue"}, "iam:permissionsboundary": {admin}}
	with := func(k keys, more ...string) keys {
		out := keys{}
		for name, v := range k {
			out[name] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i]] = []string{more[i+1]}
		}
		return out
	}
	requested := keys{"aws:requesttag/cost": {"1"}, "aws:tagkeys": {"Cost"}}
	cost := []iamapi.Tag{{Key: new("Cost"), Value: new("1")}}
	one := func(action, resource string, context keys) []policy.Request {
		return []policy.Request{{Action: action, Resources: []string{resource}, Context: context}}
	}
	for i, c := range []struct {
		op   string
		in   any
		want []policy.Request
	}{
		{"GetUser", &iamapi.GetUserInput{UserName: new("ANN")}, one("iam:GetUser", iam+"user/dev/ann", ann)},
		{"GetUser", &iamapi.GetUserInput{}, one("iam:GetUser", iam+"user/dev/ann", ann)}, // who asks
		{"CreateAccessKey", &iamapi.CreateAccessKeyInput{}, one("iam:CreateAccessKey", iam+"user/dev/ann", ann)},
		{"GetUser", &iamapi.GetUserInput{UserName: new("nobody")}, one("iam:GetUser", iam+"user/nobody", nil)},
		{"GetRole", &iamapi.GetRoleInput{RoleName: new("node")}, one("iam:GetRole", iam+"role/eks/node", blue)},
		{"AddUserToGroup", &iamapi.AddUserToGroupInput{UserName: new("ann"), GroupName: new("staff")}, one("iam:AddUserToGroup", iam+"group/g/staff", nil)},
		{"AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: new("node"), PolicyArn: new(admin)}, one("iam:AttachRolePolicy", iam+"role/eks/node", with(blue, "iam:policyarn", admin))},
		{"DetachUserPolicy", &iamapi.DetachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)}, one("iam:DetachUserPolicy", iam+"user/dev/ann", with(ann, "iam:policyarn", admin))},
		{"PutRolePolicy", &iamapi.PutRolePolicyInput{RoleName: new("node"), PolicyName: new("x")}, one("iam:PutRolePolicy", iam+"role/eks/node", blue)},
		{"PutRolePermissionsBoundary", &iamapi.PutRolePermissionsBoundaryInput{RoleName: new("node"), PermissionsBoundary: new(admin)},
			one("iam:PutRolePermissionsBoundary", iam+"role/eks/node", with(blue, "iam:permissionsboundary", admin))},
		{"TagRole", &iamapi.TagRoleInput{RoleName: new("node"), Tags: cost}, one("iam:TagRole", iam+"role/eks/node", with(blue, "aws:requesttag/cost", "1", "aws:tagkeys", "Cost"))},
		{"UntagRole", &iamapi.UntagRoleInput{RoleName: new("node"), TagKeys: []string{"Cost"}}, one("iam:UntagRole", iam+"role/eks/node", with(blue, "aws:tagkeys", "Cost"))},
		{"GetPolicy", &iamapi.GetPolicyInput{PolicyArn: new(iam + "policy/own")}, one("iam:GetPolicy", iam+"policy/own", blue)},
		{"GetPolicy", &iamapi.GetPolicyInput{PolicyArn: new(admin)}, one("iam:GetPolicy", admin, nil)},
		{"GetOpenIDConnectProvider", &iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(iam + "oidc-provider/x.y")}, one("iam:GetOpenIDConnectProvider", iam+"oidc-provider/x.y", nil)},

		{"CreateRole", &iamapi.CreateRoleInput{RoleName: new("r"), Path: new("/p/"), PermissionsBoundary: new(admin)}, one("iam:CreateRole", iam+"role/p/r", keys{"iam:permissionsboundary": {admin}})},
		{"CreateRole", &iamapi.CreateRoleInput{RoleName: new("r"), Tags: cost}, append(one("iam:CreateRole", iam+"role/r", requested), one("iam:TagRole", iam+"role/r", requested)...)},
		{"CreateOpenIDConnectProvider", &iamapi.CreateOpenIDConnectProviderInput{Url: new("https://x.y/z"), Tags: cost},
			append(one("iam:CreateOpenIDConnectProvider", iam+"oidc-provider/x.y/z", requested), one("iam:TagOpenIDConnectProvider", iam+"oidc-provider/x.y/z", requested)...)},
		{"CreatePolicy", &iamapi.CreatePolicyInput{PolicyName: new("p")}, one("iam:CreatePolicy", iam+"policy/p", nil)},
		{"CreateServiceLinkedRole", &iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new("autoscaling.amazonaws.com"), CustomSuffix: new("x")},
			one("iam:CreateServiceLinkedRole", iam+"role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_x", keys{"iam:awsservicename": {"autoscaling.amazonaws.com"}})},
		{"UpdateUser", &iamapi.UpdateUserInput{UserName: new("ann"), NewUserName: new("eve")},
			[]policy.Request{{Action: "iam:UpdateUser", Resources: []string{iam + "user/dev/ann", iam + "user/dev/eve"}, Context: ann}}},
		{"UpdateGroup", &iamapi.UpdateGroupInput{GroupName: new("staff")}, one("iam:UpdateGroup", iam+"group/g/staff", nil)},
		{"AddRoleToInstanceProfile", &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: new("p"), RoleName: new("node")},
			append(one("iam:AddRoleToInstanceProfile", iam+"instance-profile/p", nil), one("iam:PassRole", iam+"role/eks/node", keys{"iam:passedtoservice": {"ec2.amazonaws.com"}})...)},
		{"GetAccessKeyLastUsed", &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: k.AccessKeyId}, one("iam:GetAccessKeyLastUsed", iam+"user/dev/ann", nil)},
		{"GetAccessKeyLastUsed", &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAIOSFODNN7EXAMPLE")}, one("iam:GetAccessKeyLastUsed", "*", nil)},
		{"ListRoles", &iamapi.ListRolesInput{}, one("iam:ListRoles", iam+"role/", nil)},
		{"ListUsers", &iamapi.ListUsersInput{PathPrefix: new("/dev/")}, one("iam:ListUsers", iam+"user/dev/", nil)},
		{"ListPolicies", &iamapi.ListPoliciesInput{}, one("iam:ListPolicies", "*", nil)},
		{"GetAccountSummary", &iamapi.GetAccountSummaryInput{}, one("iam:GetAccountSummary", "*", nil)},
		{"SimulatePrincipalPolicy", &iamapi.SimulatePrincipalPolicyInput{PolicySourceArn: new(iam + "user/dev/ann")}, one("iam:SimulatePrincipalPolicy", iam+"user/dev/ann", nil)},
	} {
		t.Run(fmt.Sprint(i, " ", c.op), func(t *testing.T) {
			ctx := caller.With(ctx, caller.Caller{Principal: policy.Principal{Type: policy.User, UserName: "ann", ARN: iam + "user/dev/ann"}})
			got, err := s.Authorization(ctx, c.op, c.in)
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	// No operation escapes.
	for _, op := range iamapi.Service.Operations {
		got, err := s.Authorization(ctx, op.Name, newInput(op))
		if err != nil || len(got) == 0 || got[0].Action != "iam:"+op.Name || len(got[0].Resources) == 0 {
			t.Errorf("%s: %+v, %v", op.Name, got, err)
		}
	}
	for name := range special {
		if iamapi.Service.Lookup(name) == nil {
			t.Errorf("%s is no operation", name)
		}
	}
}

// newInput is an input with nothing in it.
func newInput(op api.Operation) any { return reflect.New(op.Input).Interface() }
