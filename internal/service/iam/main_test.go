package iam

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
)

const (
	account = "123456789012"
	ec2Role = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	allowS3 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}`
	admin   = "arn:aws:iam::aws:policy/AdministratorAccess"
)

func newService(t testing.TB) *Service {
	return New(Config{Client: storetest.Open(t).Client(), Account: account, Region: "ap-northeast-2"})
}

// endpoint is the service behind its wire protocol. Callers are who their access keys
// belong to; signatures are the gateway's to check.
type endpoint struct {
	*Service
	url string
}

func serve(t testing.TB) *endpoint {
	s := newService(t)
	svc := wire.New(wire.Config{API: iamapi.Service})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		id, _, _ := strings.Cut(credential, "/")
		owner, err := s.Key(r.Context(), id)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		req, err := svc.Parse(r)
		var out any
		if err == nil {
			ctx := caller.With(r.Context(), caller.Caller{Principal: owner.Principal, AccessKeyID: id})
			out, err = req.Op.Call(ctx, s, req.Input)
		}
		if err != nil {
			err = req.Protocol.WriteError(w, err, "id")
		} else {
			err = req.Protocol.WriteOutput(w, req.Op, out, "id")
		}
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return &endpoint{s, server.URL}
}

func (e *endpoint) client(id, secret string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: "ap-northeast-2", BaseEndpoint: &e.url, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		}),
	})
}

// root is a client with the account's own credentials.
func (e *endpoint) root(t testing.TB) *sdk.Client {
	t.Helper()
	id, secret, err := e.EnsureRootKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e.client(id, secret)
}

// must returns v, or ends the test.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code and text of an error, from either side of the wire.
func wording(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code + ": " + e.Message
	}
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func wantErr(t testing.TB, err error, want string) {
	t.Helper()
	if got := wording(err); got != want {
		t.Errorf("error\n got %s\nwant %s", got, want)
	}
}

// at sets the clock.
func (s *Service) at(now time.Time) { s.now = func() time.Time { return now } }
