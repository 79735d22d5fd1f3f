package ec2_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const account = "000000000000"

// profiles is an IAM with the instance profile "nodes".
type profiles struct{}

func (profiles) InstanceProfile(_ context.Context, nameOrARN string) (ec2.Profile, error) {
	p := ec2.Profile{ARN: "arn:aws:iam::000000000000:instance-profile/nodes", ID: "AIPA0123456789ABCDEFG", Name: "nodes", RoleARN: "arn:aws:iam::000000000000:role/nodes"}
	if nameOrARN != p.Name && nameOrARN != p.ARN {
		return ec2.Profile{}, fmt.Errorf("instance profile %s: %w", nameOrARN, store.ErrNotFound)
	}
	return p, nil
}

// client is AWS's own client, which talks to the service over HTTP.
func client(t testing.TB, s *ec2.Service) *awsec2.Client {
	t.Helper()
	return awsec2.NewFromConfig(wiretest.Serve(t, wire.Config{API: ec2api.Service}, s, "ap-northeast-2"))
}

// wantCode wants an error of the API with the code, and with the words in its text.
func wantCode(t testing.TB, what string, err error, code, words string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Errorf("%s: %v, want %s", what, err, code)
		return
	}
	if e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), words) {
		t.Errorf("%s: %s: %s; want %s with %q", what, e.ErrorCode(), e.ErrorMessage(), code, words)
	}
}

// must takes the result of a call that may not fail: must(t)(c.DescribeX(…)).
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
