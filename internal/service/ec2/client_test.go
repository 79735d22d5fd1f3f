package ec2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/wire"
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
	w := wire.New(wire.Config{API: ec2api.Service})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		req, err := w.Parse(r)
		if err != nil {
			req.Protocol.WriteError(rw, err, "request")
			return
		}
		out, err := req.Op.Call(r.Context(), s, req.Input)
		if err != nil {
			req.Protocol.WriteError(rw, err, "request")
			return
		}
		req.Protocol.WriteOutput(rw, req.Op, out, "request")
	}))
	t.Cleanup(server.Close)
	return awsec2.New(awsec2.Options{
		Region: "ap-northeast-2", BaseEndpoint: &server.URL, RetryMaxAttempts: 1, HTTPClient: whole{server.Client()},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

// whole reads responses to their ends before the SDK sees them: it closes the
// request's body when a response begins, which net/http may take for a failure.
type whole struct{ *http.Client }

func (c whole) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp, err
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
