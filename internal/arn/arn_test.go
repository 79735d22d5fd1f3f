package arn_test

import (
	"testing"

	"github.com/tarn-eks/tarn/internal/arn"
)

func TestParse(t *testing.T) {
	for s, want := range map[string]arn.ARN{
		"arn:aws:iam::000000000000:role/a/b":                     {Partition: "aws", Service: "iam", Account: "000000000000", Resource: "role/a/b"},
		"arn:aws:iam::aws:policy/AdministratorAccess":            {Partition: "aws", Service: "iam", Account: "aws", Resource: "policy/AdministratorAccess"},
		"arn:aws-cn:logs:cn-north-1:1:log-group:/a:log-stream:b": {Partition: "aws-cn", Service: "logs", Region: "cn-north-1", Account: "1", Resource: "log-group:/a:log-stream:b"},
	} {
		got, err := arn.Parse(s)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
		if got.String() != s {
			t.Errorf("%s became %s", s, got)
		}
	}
	for _, s := range []string{"", "arn", "arn:aws:iam::1:", "arn::iam::1:role/a", "arn:aws:::1:role/a", "x:aws:iam::1:role/a", "arn:aws:iam:role/a"} {
		if got, err := arn.Parse(s); err == nil {
			t.Errorf("%q was taken for %+v", s, got)
		}
	}
}

func TestScope(t *testing.T) {
	s := arn.Scope{Account: "000000000000", Region: "us-gov-west-1"}
	if got, want := s.Of("ec2", "instance/%s", "i-1"), "arn:aws-us-gov:ec2:us-gov-west-1:000000000000:instance/i-1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := s.Global("iam", "role/%s", "r"), "arn:aws-us-gov:iam::000000000000:role/r"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:iam::000000000000:role/a/b")
	f.Add("arn:aws:::::")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := arn.Parse(s); err == nil && a.String() != s {
			t.Errorf("%q became %q", s, a)
		}
	})
}
