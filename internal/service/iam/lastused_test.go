package iam

import (
	"context"
	"sync"
	"testing"
	"time"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestLastUsed(t *testing.T) {
	client, ctx := storetest.Open(t).Client(), t.Context()
	open := func() *Service { return New(Config{Client: client, Account: account, Region: "ap-northeast-2"}) }
	s := open()
	when := time.Date(2026, 11, 22, 10, 0, 0, 5, time.UTC)
	s.at(when)
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t)
	k := must(s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")}))(t).AccessKey
	r := must(s.CreateRole(ctx, &iamapi.CreateRoleInput{RoleName: new("node"), AssumeRolePolicyDocument: new(ec2Role)}))(t).Role
	get := func(s *Service) *iamapi.AccessKeyLastUsed {
		t.Helper()
		out := must(s.GetAccessKeyLastUsed(ctx, &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: k.AccessKeyId}))(t)
		if *out.UserName != "ann" {
			t.Errorf("the key of %s", *out.UserName)
		}
		return out.AccessKeyLastUsed
	}
	if u := get(s); u.LastUsedDate != nil || *u.ServiceName != "N/A" || *u.Region != "N/A" {
		t.Errorf("unused: %+v", u)
	}
	session := policy.Principal{Type: policy.AssumedRole, RoleARN: *r.Arn, UserID: *r.RoleId + ":i-1"}
	before, err := client.Get(ctx, "x") // for the revision
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		s.Touch(must(s.Key(ctx, *k.AccessKeyId))(t).Principal, *k.AccessKeyId, "ec2", "ap-northeast-2")
		s.Touch(session, "ASIA1234567890123456", "sts", "us-east-1")
	}
	after, err := client.Get(ctx, "x")
	if err != nil || after.Header.Revision != before.Header.Revision {
		t.Errorf("uses cost %d writes, %v", after.Header.Revision-before.Header.Revision, err)
	}
	check := func(s *Service) {
		t.Helper()
		if u := get(s); u.LastUsedDate == nil || !u.LastUsedDate.Equal(when.Truncate(time.Second)) || *u.ServiceName != "ec2" || *u.Region != "ap-northeast-2" {
			t.Errorf("used: %+v", u)
		}
		if u := must(s.GetRole(ctx, &iamapi.GetRoleInput{RoleName: new("node")}))(t).Role.RoleLastUsed; u.LastUsedDate == nil || *u.Region != "us-east-1" {
			t.Errorf("role: %+v", u)
		}
	}
	check(s) // at once

	// Run writes before it ends.
	ended, end := context.WithCancel(ctx)
	end()
	if err := s.Run(ended); err != nil {
		t.Fatal(err)
	}
	check(open())

	// What was deleted meanwhile leaves nothing behind.
	s.Touch(session, "ASIA1234567890123456", "sts", "us-east-1")
	s.Touch(policy.Principal{Type: policy.User}, *k.AccessKeyId, "ec2", "ap-northeast-2")
	other := open()
	must(other.DeleteAccessKey(ctx, &iamapi.DeleteAccessKeyInput{UserName: new("ann"), AccessKeyId: k.AccessKeyId}))(t)
	must(other.DeleteRole(ctx, &iamapi.DeleteRoleInput{RoleName: new("node")}))(t)
	if err := s.flush(ctx); err != nil {
		t.Fatal(err)
	}
	if left, _, err := s.used.items.List(ctx, ""); err != nil || len(left) > 0 {
		t.Errorf("left %+v, %v", left, err)
	}
}

// A use is told while it is being written, too.
func TestLastUsedWhileItIsWritten(t *testing.T) {
	client, ctx := storetest.Open(t).Client(), t.Context()
	s := New(Config{Client: client, Account: account, Region: "ap-northeast-2"})
	must(s.CreateUser(ctx, &iamapi.CreateUserInput{UserName: new("ann")}))(t)
	k := must(s.CreateAccessKey(ctx, &iamapi.CreateAccessKeyInput{UserName: new("ann")}))(t).AccessKey
	when := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for range 20 {
		when = when.Add(time.Second)
		s.at(when)
		s.Touch(policy.Principal{Type: policy.User}, *k.AccessKeyId, "ec2", "ap-northeast-2")
		var writing sync.WaitGroup
		written := make(chan struct{})
		writing.Go(func() {
			defer close(written)
			if err := s.flush(ctx); err != nil {
				t.Error(err)
			}
		})
		for open := true; open; {
			select {
			case <-written:
				open = false // and look once more
			default:
			}
			u := must(s.GetAccessKeyLastUsed(ctx, &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: k.AccessKeyId}))(t).AccessKeyLastUsed
			if u.LastUsedDate == nil || !u.LastUsedDate.Equal(when) {
				t.Fatalf("used at %v, and told %v", when, u.LastUsedDate)
			}
		}
		writing.Wait()
	}
	if len(s.used.fresh) > 0 {
		t.Errorf("not written: %v", s.used.fresh)
	}
}
