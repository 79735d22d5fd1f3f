package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrincipalFromARN(t *testing.T) {
	tests := map[string]Principal{
		"arn:aws:iam::123456789012:root":                  {Type: Root, Account: account, UserID: account},
		"arn:aws:iam::123456789012:user/a/b/ann":          {Type: User, Account: account, UserName: "ann"},
		"arn:aws:iam::123456789012:role/p/r":              {Type: AssumedRole, Account: account, RoleARN: "arn:aws:iam::123456789012:role/p/r"},
		"arn:aws:sts::123456789012:assumed-role/r/s":      {Type: AssumedRole, Account: account, RoleARN: "arn:aws:iam::123456789012:role/r"},
		"arn:aws-cn:sts::123456789012:assumed-role/r/s":   {Type: AssumedRole, Account: account, RoleARN: "arn:aws-cn:iam::123456789012:role/r"},
		"arn:aws:sts::123456789012:federated-user/f":      {Type: FederatedUser, Account: account},
		"arn:aws:sts::123456789012:assumed-role/r":        {},
		"arn:aws:sts::123456789012:user/r":                {},
		"arn:aws:iam::123456789012:group/g":               {},
		"arn:aws:iam::12345:user/u":                       {},
		"arn:aws:ec2:us-east-1:123456789012:instance/i-1": {},
		"":                                       {},
		"arn:aws:iam::123456789012:user/" + "\n": {},
		"arn:aws:iam::123456789012:assumed-role/r/s":         {},
		"xarn:aws:iam::123456789012:root":                    {},
		"arn:aws:iam::123456789012:roots":                    {},
		"arn:aws:sts:us-east-1:123456789012:assumed-role/r/": {},
	}
	for arn, want := range tests {
		got, ok := PrincipalFromARN(arn)
		if ok != (want.Account != "") {
			t.Errorf("%s: %v", arn, ok)
		}
		if ok {
			want.ARN = arn
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", arn, diff)
		}
	}
}
