package iam

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
)

// together runs the functions at the same time.
func together(fs ...func()) {
	var wg sync.WaitGroup
	for _, f := range fs {
		wg.Go(f)
	}
	wg.Wait()
}

// Deleting against attaching: whoever wins, no count and no reference is left dangling.
func TestDeleteAgainstAttach(t *testing.T) {
	s, ctx := newService(t), t.Context()
	for i := range 40 {
		role, profile := new(fmt.Sprint("role", i)), new(fmt.Sprint("profile", i))
		p := must(s.CreatePolicy(ctx, &iamapi.CreatePolicyInput{PolicyName: role, PolicyDocument: new(allowS3)}))(t).Policy
		must(s.CreateRole(ctx, &iamapi.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: new(ec2Role)}))(t)
		must(s.CreateInstanceProfile(ctx, &iamapi.CreateInstanceProfileInput{InstanceProfileName: profile}))(t)
		var deleted, gone, attached, bounded, added error
		together(
			func() { _, deleted = s.DeleteRole(ctx, &iamapi.DeleteRoleInput{RoleName: role}) },
			func() { _, gone = s.DeletePolicy(ctx, &iamapi.DeletePolicyInput{PolicyArn: p.Arn}) },
			func() {
				_, attached = s.AttachRolePolicy(ctx, &iamapi.AttachRolePolicyInput{RoleName: role, PolicyArn: p.Arn})
			},
			func() {
				_, bounded = s.PutRolePermissionsBoundary(ctx, &iamapi.PutRolePermissionsBoundaryInput{RoleName: role, PermissionsBoundary: p.Arn})
			},
			func() {
				_, added = s.AddRoleToInstanceProfile(ctx, &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: profile, RoleName: role})
			},
		)
		for _, err := range []error{deleted, gone, attached, bounded, added} {
			if err != nil && !iamapi.NoSuchEntityException.Is(err) && !iamapi.DeleteConflictException.Is(err) {
				t.Fatal(err)
			}
		}
		it, err := s.policies.find(ctx, *role)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.roles.find(ctx, *role)
		if err != nil {
			t.Fatal(err)
		}
		if (r == nil) != (deleted == nil) || (it == nil) != (gone == nil) {
			t.Fatalf("role %v after %v, policy %v after %v", r, deleted, it, gone)
		}
		var wantAttached, wantBound int
		var wantRole string
		if r != nil {
			wantAttached = len(r.Value.Attached)
			if r.Value.Boundary != "" {
				wantBound = 1
			}
			if len(r.Value.Profiles) > 0 {
				wantRole = r.Key
			}
		}
		if it != nil && (it.Value.Attachments != wantAttached || it.Value.Boundaries != wantBound) {
			t.Errorf("the policy counts %d and %d, the role has %d and %d", it.Value.Attachments, it.Value.Boundaries, wantAttached, wantBound)
		}
		if it == nil && wantAttached+wantBound > 0 {
			t.Error("the role has a policy that is gone")
		}
		if in := must(s.InstanceProfile(ctx, *profile))(t); in.Role != wantRole {
			t.Errorf("the profile holds %q, want %q", in.Role, wantRole)
		}
	}
}

// Limits hold when everybody comes at once, and nothing is lost.
func TestLimitsAgainstEachOther(t *testing.T) {
	s, ctx := newService(t), t.Context()
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t)
	errs := make([]error, 8)
	var calls []func()
	for i := range errs {
		calls = append(calls, func() {
			_, errs[i] = s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")})
		}, func() {
			if _, err := s.TagUser(ctx, &iamapi.TagUserInput{UserName: new("ann"), Tags: []iamapi.Tag{{Key: new(fmt.Sprint(i)), Value: new("")}}}); err != nil {
				t.Error(err)
			}
		}, func() {
			if _, _, err := s.EnsureRootKey(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	together(calls...)
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !iamapi.LimitExceededException.Is(err) {
			t.Error(err)
		}
	}
	u := must(s.users.get(ctx, "ann"))(t).Value
	if made != 2 || len(u.Keys) != 2 || len(u.Tags) != len(errs) {
		t.Errorf("%d keys were made, %d are there, and %d tags", made, len(u.Keys), len(u.Tags))
	}
	if a := must(s.readAccount(ctx))(t); len(a.Value.Keys) != 1 {
		t.Errorf("root has %d keys", len(a.Value.Keys))
	}
	if keys, _, err := s.keys.List(ctx, ""); err != nil || len(keys) != 3 {
		t.Errorf("%d keys are stored, %v", len(keys), err)
	}
}

// A reader never sees what a finished write has changed.
func TestRememberedIsNeverStale(t *testing.T) {
	s, ctx := newService(t), t.Context()
	u := must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t).User
	k := must(s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")}))(t).AccessKey
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				owner, err := s.Key(ctx, *k.AccessKeyId)
				if err == nil {
					_, err = s.Policies(ctx, owner.Principal)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 60 {
		want := i % 3
		var err error
		switch want {
		case 0:
			_, err = s.PutUserPolicy(ctx, &iamapi.PutUserPolicyInput{UserName: new("ann"), PolicyName: new("x"), PolicyDocument: new(allowS3)})
			want = 1
		case 1:
			_, err = s.AttachUserPolicy(ctx, &iamapi.AttachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)})
			want = 2
		case 2:
			_, e1 := s.DetachUserPolicy(ctx, &iamapi.DetachUserPolicyInput{UserName: new("ann"), PolicyArn: new(admin)})
			_, e2 := s.DeleteUserPolicy(ctx, &iamapi.DeleteUserPolicyInput{UserName: new("ann"), PolicyName: new("x")})
			err = errors.Join(e1, e2)
			want = 0
		}
		if err != nil {
			t.Fatal(err)
		}
		owner := must(s.Key(ctx, *k.AccessKeyId))(t)
		if owner.Principal.UserID != *u.UserId {
			t.Fatalf("%+v", owner)
		}
		if got := must(s.Policies(ctx, owner.Principal))(t); len(got.Identity) != want {
			t.Fatalf("write %d: %d policies, want %d", i, len(got.Identity), want)
		}
	}
	close(done)
	readers.Wait()
}
