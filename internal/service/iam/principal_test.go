package iam

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

func sourceIDs(p *policy.Policies) []string {
	ids := convert(p.Identity, func(s *policy.Source) string { return s.ID })
	if p.Boundary.Policy != nil {
		ids = append(ids, "boundary "+p.Boundary.ID)
	}
	return ids
}

func TestKey(t *testing.T) {
	s, ctx := newService(t), t.Context()
	id, secret, err := s.EnsureRootKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if again, same, err := s.EnsureRootKey(ctx); err != nil || again != id || same != secret {
		t.Errorf("a second call made %s, %v", again, err)
	}
	root, err := s.Key(ctx, id)
	want := KeyOwner{ID: id, Secret: secret, Active: true, Principal: policy.Principal{
		Type: policy.Root, ARN: "arn:aws:iam::123456789012:root", Account: account, UserID: account,
	}}
	if diff := cmp.Diff(want, root); err != nil || diff != "" {
		t.Error(err, diff)
	}

	u := must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann"), Path: new("/a/")}))(t).User
	k := must(s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")}))(t).AccessKey
	owner := must(s.Key(ctx, *k.AccessKeyId))(t)
	want = KeyOwner{ID: *k.AccessKeyId, Secret: *k.SecretAccessKey, Active: true, Principal: policy.Principal{
		Type: policy.User, ARN: "arn:aws:iam::123456789012:user/a/ann", Account: account, UserName: "ann", UserID: *u.UserId,
	}}
	if diff := cmp.Diff(want, owner); diff != "" {
		t.Error(diff)
	}
	// What is remembered follows each write at once.
	must(s.UpdateAccessKey(ctx, &iamapi.UpdateAccessKeyInput{UserName: new("ann"), AccessKeyId: k.AccessKeyId, Status: "Inactive"}))(t)
	if must(s.Key(ctx, *k.AccessKeyId))(t).Active {
		t.Error("still active")
	}
	must(s.UpdateUser(ctx, &iamapi.UpdateUserInput{UserName: new("ann"), NewUserName: new("anna")}))(t)
	if p := must(s.Key(ctx, *k.AccessKeyId))(t).Principal; p.UserName != "anna" || p.ARN != "arn:aws:iam::123456789012:user/a/anna" {
		t.Errorf("%+v", p)
	}
	must(s.DeleteAccessKey(ctx, &iamapi.DeleteAccessKeyInput{UserName: new("anna"), AccessKeyId: k.AccessKeyId}))(t)
	for _, id := range []string{*k.AccessKeyId, "AKIAIOSFODNN7EXAMPLE", ""} {
		if _, err := s.Key(ctx, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("key %q: %v", id, err)
		}
	}
}

func TestPolicies(t *testing.T) {
	s, ctx := newService(t), t.Context()
	u := must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("Ann")}))(t).User
	ann := policy.Principal{Type: policy.User, ARN: *u.Arn, Account: account, UserName: "Ann", UserID: *u.UserId}
	want := func(p policy.Principal, want ...string) {
		t.Helper()
		got, err := s.Policies(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]string{}, want...), sourceIDs(got)); diff != "" {
			t.Error(diff)
		}
	}
	may := func(p policy.Principal, action string) bool {
		t.Helper()
		policies := must(s.Policies(ctx, p))(t)
		d := policy.Evaluate(&policy.Request{Principal: p, Action: action}, policies)
		return d.Allowed()
	}
	want(ann)
	own := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(allowS3)}))(t).Policy
	must(s.AttachUserPolicy(ctx, &iamapi.AttachUserPolicyInput{UserName: new("Ann"), PolicyArn: own.Arn}))(t)
	must(s.PutUserPolicy(ctx, &iamapi.PutUserPolicyInput{UserName: new("Ann"), PolicyName: new("x"), PolicyDocument: new(allowS3)}))(t)
	must(s.CreateGroup(ctx, &iamapi.CreateGroupInput{GroupName: new("Staff")}))(t)
	must(s.AddUserToGroup(ctx, &iamapi.AddUserToGroupInput{UserName: new("Ann"), GroupName: new("Staff")}))(t)
	must(s.AttachGroupPolicy(ctx, &iamapi.AttachGroupPolicyInput{GroupName: new("Staff"), PolicyArn: new(admin)}))(t)
	must(s.PutGroupPolicy(ctx, &iamapi.PutGroupPolicyInput{GroupName: new("Staff"), PolicyName: new("y"), PolicyDocument: new(allowS3)}))(t)
	want(ann, "user_Ann_x", "own", "group_Staff_y", "AdministratorAccess")
	must(s.UpdateGroup(ctx, &iamapi.UpdateGroupInput{GroupName: new("Staff"), NewGroupName: new("crew")}))(t)
	must(s.PutUserPermissionsBoundary(ctx, &iamapi.PutUserPermissionsBoundaryInput{UserName: new("Ann"), PermissionsBoundary: own.Arn}))(t)
	want(ann, "user_Ann_x", "own", "group_crew_y", "AdministratorAccess", "boundary own")
	if !may(ann, "s3:ListBucket") || may(ann, "ec2:RunInstances") {
		t.Error("the boundary does not bound")
	}
	// Another default version applies at once.
	ec2 := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"}]}`
	must(s.CreatePolicyVersion(ctx, &iamapi.CreatePolicyVersionInput{PolicyArn: own.Arn, PolicyDocument: &ec2, SetAsDefault: new(true)}))(t)
	if may(ann, "s3:ListBucket") || !may(ann, "ec2:RunInstances") {
		t.Error("the old version applies")
	}
	must(s.RemoveUserFromGroup(ctx, &iamapi.RemoveUserFromGroupInput{UserName: new("Ann"), GroupName: new("CREW")}))(t)
	want(ann, "user_Ann_x", "own", "boundary own")

	for _, p := range []policy.Principal{{}, {Type: policy.Root}, {Type: policy.Service, Service: "ec2.amazonaws.com"}, {Type: policy.WebIdentity}} {
		want(p)
	}
}

func TestUserTags(t *testing.T) {
	s, ctx := newService(t), t.Context()
	u := must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("Ann"), Tags: []iamapi.Tag{{Key: new("Team"), Value: new("blue")}}}))(t).User
	ann := policy.Principal{Type: policy.User, ARN: *u.Arn, Account: account, UserName: "Ann", UserID: *u.UserId}
	want := func(tags map[string]string) {
		t.Helper()
		if diff := cmp.Diff(tags, must(s.UserTags(ctx, ann))(t)); diff != "" {
			t.Error(diff)
		}
	}
	want(map[string]string{"Team": "blue"})
	must(s.TagUser(ctx, &iamapi.TagUserInput{UserName: new("Ann"), Tags: []iamapi.Tag{{Key: new("Team"), Value: new("red")}}}))(t)
	want(map[string]string{"Team": "red"}) // at once
	must(s.DeleteUser(ctx, &iamapi.DeleteUserInput{UserName: new("Ann")}))(t)
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("Ann")}))(t)
	for _, p := range []policy.Principal{ann, {Type: policy.User}} {
		if _, err := s.UserTags(ctx, p); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestRecreatedIsAnother(t *testing.T) {
	s, ctx := newService(t), t.Context()
	create := func() policy.Principal {
		r := must(s.CreateRole(ctx, &iamapi.CreateRoleInput{RoleName: new("node"), Path: new("/eks/"), AssumeRolePolicyDocument: new(ec2Role)}))(t).Role
		return policy.Principal{
			Type: policy.AssumedRole, ARN: "arn:aws:sts::123456789012:assumed-role/node/i-1", RoleARN: *r.Arn, Account: account, UserID: *r.RoleId + ":i-1",
		}
	}
	first := create()
	must(s.Policies(ctx, first))(t)
	must(s.DeleteRole(ctx, &iamapi.DeleteRoleInput{RoleName: new("node")}))(t)
	if _, err := s.Policies(ctx, first); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session of a deleted role: %v", err)
	}
	second := create()
	must(s.Policies(ctx, second))(t)
	if _, err := s.Policies(ctx, first); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session of the role's predecessor: %v", err)
	}
	second.UserID = "" // as the simulator asks
	must(s.Policies(ctx, second))(t)
	second.RoleARN = "arn:aws:iam::123456789012:role/node"
	if _, err := s.Policies(ctx, second); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a role of another path: %v", err)
	}
	u := must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t).User
	must(s.DeleteUser(ctx, &iamapi.DeleteUserInput{UserName: new("ann")}))(t)
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t)
	if _, err := s.Policies(ctx, policy.Principal{Type: policy.User, UserName: "ann", UserID: *u.UserId}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the user's predecessor: %v", err)
	}
}

func TestLookups(t *testing.T) {
	s, ctx := newService(t), t.Context()
	must(s.CreateRole(ctx, &iamapi.CreateRoleInput{RoleName: new("Node"), Path: new("/eks/"), AssumeRolePolicyDocument: new(ec2Role)}))(t)
	must(s.CreateInstanceProfile(ctx, &iamapi.CreateInstanceProfileInput{InstanceProfileName: new("p")}))(t)
	if p := must(s.InstanceProfile(ctx, "p"))(t); p.RoleARN != "" || p.ID == "" {
		t.Errorf("%+v", p)
	}
	must(s.AddRoleToInstanceProfile(ctx, &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: new("p"), RoleName: new("node")}))(t)
	if p := must(s.InstanceProfile(ctx, "arn:aws:iam::123456789012:instance-profile/p"))(t); p.RoleARN != "arn:aws:iam::123456789012:role/eks/Node" {
		t.Errorf("%+v", p)
	}
	r := must(s.Role(ctx, "arn:aws:iam::123456789012:role/eks/Node"))(t)
	must(s.Policies(ctx, policy.Principal{Type: policy.AssumedRole, RoleARN: r.ARN, UserID: r.ID + ":x"}))(t)
	if trust, err := s.TrustPolicy(r); err != nil || trust.Kind() != policy.TrustPolicy || r.MaxSession() != time.Hour {
		t.Errorf("%+v, %v", r, err)
	}
	for _, name := range []string{"", "other", "arn:aws:iam::123456789012:role/Node", "arn:aws:iam::123456789012:role/eks/node", "arn:aws:iam::123456789012:user/eks/Node", "arn:"} {
		if _, err := s.Role(ctx, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("role %q: %v", name, err)
		}
	}
	for arn, want := range map[string]bool{
		"arn:aws:iam::123456789012:root":                     true,
		"arn:aws:iam::123456789012:role/eks/Node":            true,
		"arn:aws:sts::123456789012:assumed-role/Node/i-1":    true,
		"arn:aws:iam::123456789012:role/Node":                false,
		"arn:aws:iam::123456789012:user/nobody":              false,
		"arn:aws:iam::123456789012:instance-profile/p":       false,
		"arn:aws:iam::999999999999:root":                     false,
		"arn:aws-cn:iam::123456789012:role/eks/Node":         false,
		"arn:aws:sts::123456789012:assumed-role/nothing/i-1": false,
		"Node": false,
	} {
		if got := must(s.PrincipalExists(ctx, arn))(t); got != want {
			t.Errorf("%s exists: %v", arn, got)
		}
	}
	own := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new("own"), PolicyDocument: new(allowS3)}))(t).Policy
	if p := must(s.ManagedPolicy(ctx, *own.Arn))(t); p.Document() != allowS3 {
		t.Errorf("%s", p.Document())
	}
	if p := must(s.ManagedPolicy(ctx, admin))(t); p.Len() != 1 {
		t.Errorf("%s", p.Document())
	}
	if _, err := s.ManagedPolicy(ctx, *own.Arn+"2"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}

	// Who writes past the service says so.
	if err := s.roles.items.Delete(ctx, "node"); err != nil {
		t.Fatal(err)
	}
	s.Forget()
	if _, err := s.Policies(ctx, policy.Principal{Type: policy.AssumedRole, RoleARN: r.ARN, UserID: r.ID + ":x"}); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	must(s.CreateOpenIDConnectProvider(ctx, &iamapi.CreateOpenIDConnectProviderInput{
		Url: new("https://oidc.eks.ap-northeast-2.amazonaws.com/id/AB12"), ClientIDList: []string{"sts.amazonaws.com"},
	}))(t)
	for _, url := range []string{"https://oidc.eks.ap-northeast-2.amazonaws.com/id/AB12", "https://oidc.eks.ap-northeast-2.amazonaws.com/id/AB12/"} {
		p := must(s.OIDCProvider(ctx, url))(t)
		if p.ARN != "arn:aws:iam::123456789012:oidc-provider/oidc.eks.ap-northeast-2.amazonaws.com/id/AB12" || len(p.ClientIDs) != 1 {
			t.Errorf("%+v", p)
		}
	}
	for _, url := range []string{"", "http://oidc.eks.ap-northeast-2.amazonaws.com/id/AB12", "https://oidc.eks.ap-northeast-2.amazonaws.com/id/other"} {
		if _, err := s.OIDCProvider(ctx, url); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("issuer %q: %v", url, err)
		}
	}
}

// BenchmarkAuthenticate is what the gateway asks for each request of a user with two
// managed policies: remembered, and read anew from the store after a write.
func BenchmarkAuthenticate(b *testing.B) {
	s, ctx := newService(b), b.Context()
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(b)
	k := must(s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")}))(b).AccessKey
	for i := range 2 {
		p := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: new(fmt.Sprint("p", i)), PolicyDocument: new(allowS3)}))(b).Policy
		must(s.AttachUserPolicy(ctx, &iamapi.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: p.Arn}))(b)
	}
	once := func(b *testing.B) {
		owner, err := s.Key(ctx, *k.AccessKeyId)
		if err != nil {
			b.Fatal(err)
		}
		p, err := s.Policies(ctx, owner.Principal)
		if err != nil || len(p.Identity) != 2 {
			b.Fatal(p, err)
		}
		s.Touch(owner.Principal, owner.ID, "iam", "ap-northeast-2")
	}
	b.Run("remembered", func(b *testing.B) {
		for b.Loop() {
			once(b)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				once(b)
			}
		})
	})
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			s.epoch.Add(1)
			once(b)
		}
	})
}
