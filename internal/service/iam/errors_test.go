package iam

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
)

// call calls an operation of the service as the wire does.
func (s *Service) call(ctx context.Context, in any) (any, error) {
	name := strings.TrimSuffix(reflect.TypeOf(in).Elem().Name(), "Input")
	return iamapi.Service.Lookup(name).Call(ctx, s, in)
}

func TestErrors(t *testing.T) {
	s, ctx := newService(t), t.Context()
	document := func(n int) *string {
		return new(strings.Replace(allowS3, "s3:ListBucket", "s3:"+strings.Repeat("x", n), 1) + strings.Repeat(" ", 100))
	}
	trust := func(principal string) *string {
		return new(strings.Replace(ec2Role, `"Service":"ec2.amazonaws.com"`, principal, 1))
	}
	p := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(allowS3)}))(t).Policy
	full := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new("full"), PolicyDocument: new(allowS3)}))(t).Policy
	for range 4 {
		must(s.CreatePolicyVersion(ctx, &iamapi.CreatePolicyVersionInput{PolicyArn: full.Arn, PolicyDocument: new(allowS3)}))(t)
	}
	for _, in := range []any{
		&iamapi.CreateUserInput{UserName: new("ann")},
		&iamapi.CreateGroupInput{GroupName: new("staff")},
		&iamapi.AddUserToGroupInput{GroupName: new("staff"), UserName: new("ann")},
		&iamapi.CreateRoleInput{RoleName: new("node"), AssumeRolePolicyDocument: new(ec2Role)},
		&iamapi.CreateRoleInput{RoleName: new("trusting"), AssumeRolePolicyDocument: trust(`"AWS":["arn:aws:iam::123456789012:role/node","arn:aws:iam::123456789012:root","arn:aws:sts::123456789012:assumed-role/node/me"]`)},
		&iamapi.AttachRolePolicyInput{RoleName: new("node"), PolicyArn: full.Arn},
		&iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new("eks.amazonaws.com")},
		&iamapi.CreateInstanceProfileInput{InstanceProfileName: new("node")},
		&iamapi.CreateOpenIDConnectProviderInput{Url: new("https://example.com/id")},
		&iamapi.CreateAccountAliasInput{AccountAlias: new("lake")},
	} {
		if _, err := s.call(ctx, in); err != nil {
			t.Fatalf("%T: %v", in, err)
		}
	}
	const gone = "arn:aws:iam::123456789012:policy/gone"
	const provider = "arn:aws:iam::123456789012:oidc-provider/gone.example.com"
	for i, c := range []struct {
		in   any
		want string
	}{
		{&iamapi.CreateUserInput{UserName: new("ANN")}, "EntityAlreadyExists: User with name ANN already exists."},
		{&iamapi.CreateGroupInput{GroupName: new("Staff")}, "EntityAlreadyExists: Group with name Staff already exists."},
		{&iamapi.CreateRoleInput{RoleName: new("node"), AssumeRolePolicyDocument: new(ec2Role)}, "EntityAlreadyExists: Role with name node already exists."},
		{&iamapi.CreateInstanceProfileInput{InstanceProfileName: new("node")}, "EntityAlreadyExists: Instance Profile node already exists."},
		{&iamapi.CreatePolicyInput{PolicyName: new("OWN"), Path: new("/x/"), PolicyDocument: new(allowS3)}, "EntityAlreadyExists: A policy called OWN already exists. Duplicate names are not allowed."},
		{&iamapi.CreateOpenIDConnectProviderInput{Url: new("https://example.com/id/")}, "EntityAlreadyExists: Provider with url https://example.com/id already exists."},
		{&iamapi.CreateAccountAliasInput{AccountAlias: new("lake")}, "EntityAlreadyExists: The account alias lake already exists."},

		{&iamapi.GetUserInput{}, "ValidationError: Must specify userName when calling with non-User credentials"},
		{&iamapi.GetUserInput{UserName: new("bob")}, "NoSuchEntity: The user with name bob cannot be found."},
		{&iamapi.DeleteGroupInput{GroupName: new("crew")}, "NoSuchEntity: The group with name crew cannot be found."},
		{&iamapi.GetRoleInput{RoleName: new("other")}, "NoSuchEntity: The role with name other cannot be found."},
		{&iamapi.GetRolePolicyInput{RoleName: new("node"), PolicyName: new("x")}, "NoSuchEntity: The role policy with name x cannot be found."},
		{&iamapi.DeleteUserPolicyInput{UserName: new("ann"), PolicyName: new("x")}, "NoSuchEntity: The user policy with name x cannot be found."},
		{&iamapi.GetInstanceProfileInput{InstanceProfileName: new("x")}, "NoSuchEntity: Instance Profile x cannot be found."},
		{&iamapi.RemoveRoleFromInstanceProfileInput{InstanceProfileName: new("node"), RoleName: new("node")}, "NoSuchEntity: Role node in Instance Profile node cannot be found."},
		{&iamapi.GetPolicyInput{PolicyArn: new(gone)}, "NoSuchEntity: Policy " + gone + " was not found."},
		{&iamapi.GetPolicyInput{PolicyArn: new("arn:aws:iam::123456789012:policy/x/own")}, "NoSuchEntity: Policy arn:aws:iam::123456789012:policy/x/own was not found."},
		{&iamapi.GetPolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v9")}, "NoSuchEntity: Policy " + *p.Arn + " version v9 does not exist or is not attachable."},
		{&iamapi.SetDefaultPolicyVersionInput{PolicyArn: new(gone), VersionId: new("v1")}, "NoSuchEntity: Policy " + gone + " version v1 does not exist or is not attachable."},
		{&iamapi.AttachRolePolicyInput{RoleName: new("node"), PolicyArn: new(gone)}, "NoSuchEntity: Policy " + gone + " does not exist or is not attachable."},
		{&iamapi.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new("longpolicynamebutnoarn")}, "ValidationError: ARN longpolicynamebutnoarn is not valid."},
		{&iamapi.DetachRolePolicyInput{RoleName: new("node"), PolicyArn: p.Arn}, "NoSuchEntity: Policy " + *p.Arn + " was not found."},
		{&iamapi.PutRolePermissionsBoundaryInput{RoleName: new("node"), PermissionsBoundary: new(gone)}, "NoSuchEntity: Scope ARN: " + gone + " does not exist or is not attachable."},
		{&iamapi.PutUserPermissionsBoundaryInput{UserName: new("ann"), PermissionsBoundary: new("arn:aws:iam::123456789012:not_a_policy/x")}, "InvalidInput: ARN arn:aws:iam::123456789012:not_a_policy/x is not valid."},
		{&iamapi.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(provider)}, "NoSuchEntity: OpenIDConnect Provider not found for arn " + provider},
		{&iamapi.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(provider)}, "NoSuchEntity: OpenId connect Provider " + provider + " cannot be found."},
		{&iamapi.CreateOpenIDConnectProviderInput{Url: new("http://example.com")}, "ValidationError: Invalid Open ID Connect Provider URL"},
		{&iamapi.DeleteAccountAliasInput{AccountAlias: new("pond")}, "NoSuchEntity: The account alias with name pond cannot be found."},
		{&iamapi.DeleteAccessKeyInput{UserName: new("ann"), AccessKeyId: new("AKIAIOSFODNN7EXAMPLE")}, "NoSuchEntity: The Access Key with id AKIAIOSFODNN7EXAMPLE cannot be found."},
		{&iamapi.GetAccessKeyLastUsedInput{AccessKeyId: new("AKIAIOSFODNN7EXAMPLE")}, "AccessDenied: User:  is not authorized to perform iam:GetAccessKeyLastUsed on resource: access key AKIAIOSFODNN7EXAMPLE"},

		{&iamapi.DeleteUserInput{UserName: new("ann")}, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{&iamapi.DeleteGroupInput{GroupName: new("staff")}, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{&iamapi.DeletePolicyInput{PolicyArn: full.Arn}, "DeleteConflict: Cannot delete a policy attached to entities."},
		{&iamapi.DeletePolicyVersionInput{PolicyArn: p.Arn, VersionId: new("v1")}, "DeleteConflict: Cannot delete the default version of a policy."},

		{&iamapi.CreatePolicyVersionInput{PolicyArn: full.Arn, PolicyDocument: new(allowS3)}, "LimitExceeded: A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."},
		{&iamapi.CreatePolicyInput{PolicyName: new("big"), PolicyDocument: document(6144)}, "LimitExceeded: Cannot exceed quota for PolicySize: 6144"},
		{&iamapi.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("big"), PolicyDocument: document(2048)}, "LimitExceeded: Maximum policy size of 2048 bytes exceeded for user ann"},
		{&iamapi.UpdateAssumeRolePolicyInput{RoleName: new("node"), PolicyDocument: trust(`"Service":["ec2.amazonaws.com"` + strings.Repeat(`,"ec2.amazonaws.com"`, 100) + `]`)}, "LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048"},

		{&iamapi.PutRolePolicyInput{RoleName: new("node"), PolicyName: new("x"), PolicyDocument: new("{")}, "MalformedPolicyDocument: Syntax errors in policy."},
		{&iamapi.UpdateAssumeRolePolicyInput{RoleName: new("node"), PolicyDocument: new(`{"Version"`)}, "MalformedPolicyDocument: This policy contains invalid Json"},
		{&iamapi.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trust(`"AWS":"arn:aws:iam::123456789012:role/none"`)}, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/none"`},
		{&iamapi.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trust(`"AWS":"arn:aws:iam::123456789012:user/path/ann"`)}, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:user/path/ann"`},
		{&iamapi.CreateRoleInput{RoleName: new("x"), AssumeRolePolicyDocument: trust(`"AWS":"arn:aws:iam::999999999999:role/node"`)}, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"arn:aws:iam::999999999999:role/node"`},

		{&iamapi.TagRoleInput{RoleName: new("node"), Tags: []iamapi.Tag{{Key: new("a"), Value: new("")}, {Key: new("A"), Value: new("")}}}, "InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{&iamapi.TagPolicyInput{PolicyArn: p.Arn, Tags: []iamapi.Tag{{Key: new("a"), Value: new("")}, {Key: new("a"), Value: new("")}}}, "InvalidInput: Duplicate tag keys found."},
		{&iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new("eks.amazonaws.com")}, "InvalidInput: Service role name AWSServiceRoleForAmazonEKS has been taken in this account, please try a different suffix."},
		{&iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new("eks.amazonaws.com"), CustomSuffix: new("x")}, "InvalidInput: Custom suffix is not allowed for eks.amazonaws.com"},
		{&iamapi.DeleteRoleInput{RoleName: new("AWSServiceRoleForAmazonEKS")}, "UnmodifiableEntity: Cannot perform the operation on the protected role 'AWSServiceRoleForAmazonEKS' - this role is only modifiable by AWS"},
		{&iamapi.AttachRolePolicyInput{RoleName: new("AWSServiceRoleForAmazonEKS"), PolicyArn: new(admin)}, "UnmodifiableEntity: Cannot perform the operation on the protected role 'AWSServiceRoleForAmazonEKS' - this role is only modifiable by AWS"},
		{&iamapi.ListRolesInput{Marker: new("!")}, "ValidationError: Invalid Marker."},
	} {
		t.Run(fmt.Sprintf("%d %T", i, c.in), func(t *testing.T) {
			_, err := s.call(ctx, c.in)
			wantErr(t, err, c.want)
		})
	}
}

func TestQuotas(t *testing.T) {
	s, ctx := newService(t), t.Context()
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t)
	for i := range 11 {
		name := new(fmt.Sprint("x", i))
		must(s.CreateGroup(ctx, &iamapi.CreateGroupInput{GroupName: name}))(t)
		p := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: name, PolicyDocument: new(allowS3)}))(t).Policy
		_, groupErr := s.AddUserToGroup(ctx, &iamapi.AddUserToGroupInput{GroupName: name, UserName: new("ann")})
		_, policyErr := s.AttachUserPolicy(ctx, &iamapi.AttachUserPolicyInput{PolicyArn: p.Arn, UserName: new("ann")})
		if i < 10 {
			wantErr(t, groupErr, "")
			wantErr(t, policyErr, "")
			continue
		}
		wantErr(t, groupErr, "LimitExceeded: Cannot exceed quota for GroupsPerUser: 10")
		wantErr(t, policyErr, "LimitExceeded: Cannot exceed quota for PoliciesPerUser: 10")
		if n := must(s.GetPolicy(ctx, &iamapi.GetPolicyInput{PolicyArn: p.Arn}))(t).Policy.AttachmentCount; *n != 0 {
			t.Errorf("a refused attachment counts: %d", *n)
		}
	}
	var tags []iamapi.Tag
	for i := range 50 {
		tags = append(tags, iamapi.Tag{Key: new(fmt.Sprint("k", i)), Value: new("")})
	}
	must(s.TagUser(ctx, &iamapi.TagUserInput{UserName: new("ann"), Tags: tags}))(t)
	must(s.TagUser(ctx, &iamapi.TagUserInput{UserName: new("ann"), Tags: []iamapi.Tag{{Key: new("K1"), Value: new("new")}}}))(t)
	_, err := s.TagUser(ctx, &iamapi.TagUserInput{UserName: new("ann"), Tags: []iamapi.Tag{{Key: new("more"), Value: new("")}}})
	wantErr(t, err, "LimitExceeded: The number of tags has reached the maximum limit.")
	s.groups.quota.limit = 11
	_, err = s.CreateGroup(ctx, &iamapi.CreateGroupInput{GroupName: new("twelfth")})
	wantErr(t, err, "LimitExceeded: Cannot exceed quota for GroupsPerAccount: 11")
}

func TestCheck(t *testing.T) {
	tag := func(k, v string) []iamapi.Tag { return []iamapi.Tag{{Key: &k, Value: &v}} }
	const one = "ValidationError: 1 validation error detected: Value at "
	for i, c := range []struct {
		in   any
		want string
	}{
		{&iamapi.GetRoleInput{RoleName: new("node-1.a@b=c,d+e_F")}, ""},
		{&iamapi.GetRoleInput{RoleName: new("a b")}, "ValidationError: The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"},
		{&iamapi.GetRoleInput{RoleName: new(strings.Repeat("r", 65))}, one + "'roleName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{&iamapi.GetUserInput{UserName: new(strings.Repeat("u", 128))}, ""},
		{&iamapi.CreateUserInput{UserName: new(strings.Repeat("u", 65))}, one + "'userName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		{&iamapi.GetUserInput{UserName: new("")}, `ValidationError: 2 validation errors detected: Value at 'userName' failed to satisfy constraint: Member must have length greater than or equal to 1; Value at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`},
		{&iamapi.CreateRoleInput{RoleName: new("r"), Path: new("x")}, one + `'path' failed to satisfy constraint: Member must satisfy regular expression pattern: (\u002F)|(\u002F[\u0021-\u007E]+\u002F)`},
		{&iamapi.CreateRoleInput{RoleName: new("r"), Path: new("/")}, ""},
		{&iamapi.CreateRoleInput{RoleName: new("r"), Path: new("/a/b/"), MaxSessionDuration: new(int32(43200))}, ""},
		{&iamapi.CreateRoleInput{RoleName: new("r"), MaxSessionDuration: new(int32(60))}, one + "'maxSessionDuration' failed to satisfy constraint: Member must have value greater than or equal to 3600"},
		{&iamapi.ListRolesInput{MaxItems: new(int32(0))}, one + "'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{&iamapi.ListRolesInput{MaxItems: new(int32(1001))}, one + "'maxItems' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{&iamapi.GetPolicyVersionInput{VersionId: new("1")}, one + `'versionId' failed to satisfy constraint: Member must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`},
		{&iamapi.AttachRolePolicyInput{PolicyArn: new("short")}, one + "'policyArn' failed to satisfy constraint: Member must have length greater than or equal to 20"},
		{&iamapi.CreateRoleInput{Tags: make([]iamapi.Tag, 51)}, one + "'tags' failed to satisfy constraint: Member must have length less than or equal to 50"},
		{&iamapi.TagRoleInput{Tags: tag(strings.Repeat("k", 129), "")}, one + "'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{&iamapi.TagRoleInput{Tags: tag("k", strings.Repeat("v", 257))}, one + "'tags.1.member.value' failed to satisfy constraint: Member must have length less than or equal to 256"},
		{&iamapi.TagRoleInput{Tags: tag("k!", "값 1")}, one + `'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`},
		{&iamapi.UntagRoleInput{TagKeys: []string{"a", "!"}}, one + `'tagKeys' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+, Member must not be null]`},
		{&iamapi.CreateOpenIDConnectProviderInput{Url: new(strings.Repeat("u", 256)), ClientIDList: []string{""}, ThumbprintList: []string{"x"}},
			"ValidationError: 3 validation errors detected: Value at 'url' failed to satisfy constraint: Member must have length less than or equal to 255; " +
				"Value at 'clientIDList' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 1]; " +
				"Value at 'thumbprintList' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 40, Member must have length greater than or equal to 40]"},
		{&iamapi.UpdateAccessKeyInput{Status: "Off"}, one + "'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]"},
		{&iamapi.CreateAccountAliasInput{AccountAlias: new("my-lake1")}, ""},
		{&iamapi.CreateAccountAliasInput{AccountAlias: new("my--lake")}, one + "'accountAlias' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$"},
		{&iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new("a b")}, "ValidationError: The specified value for aWSServiceName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"},
		{&iamapi.CreatePolicyInput{PolicyName: new("p"), Path: new("/a!/"), PolicyDocument: new("{}\n")}, one + `'path' failed to satisfy constraint: Member must satisfy regular expression pattern: ((/[A-Za-z0-9\.,\+@=_-]+)*)/`},
		{&iamapi.PutRolePolicyInput{PolicyDocument: new("가")}, one + `'policyDocument' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`},
	} {
		t.Run(fmt.Sprintf("%d %T", i, c.in), func(t *testing.T) { wantErr(t, check(c.in), c.want) })
	}
}
