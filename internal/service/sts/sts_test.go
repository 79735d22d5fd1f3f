package sts

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	stssdk "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/go-jose/go-jose/v4"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/wire"
)

const (
	account  = "123456789012"
	region   = "ap-northeast-2"
	annARN   = "arn:aws:iam::" + account + ":user/ann"
	roleARN  = "arn:aws:iam::" + account + ":role/team/app"
	otherARN = "arn:aws:iam::" + account + ":role/other"
	issuer   = "https://oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
	oidcARN  = "arn:aws:iam::" + account + ":oidc-provider/oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
	subject  = "system:serviceaccount:kube-system:cluster-autoscaler"
)

var (
	ann  = policy.Principal{Type: policy.User, ARN: annARN, Account: account, UserID: "AIDAJQABLZS4A3QDU576Q", UserName: "ann"}
	root = policy.Principal{Type: policy.Root, ARN: "arn:aws:iam::" + account + ":root", Account: account, UserID: account}
)

// fakeIAM is what the region gives STS of IAM and of the clusters.
type fakeIAM struct {
	roles    map[string]Role
	identity map[string]string // inline policy, by the ARN of a user or role
	managed  map[string]string
	gone     map[string]bool              // users, by ARN
	tags     map[string]map[string]string // of users, by ARN
	clients  []string                     // of the OIDC provider
	keys     []crypto.PublicKey
	keysErr  error
}

func (f *fakeIAM) Role(_ context.Context, arn string) (Role, error) {
	r, ok := f.roles[arn]
	if !ok {
		return Role{}, store.ErrNotFound
	}
	return r, nil
}

func (f *fakeIAM) Policies(_ context.Context, p policy.Principal) (*policy.Policies, error) {
	arn := p.ARN
	if p.RoleARN != "" {
		arn = p.RoleARN
	}
	if f.gone[arn] {
		return nil, store.ErrNotFound
	}
	out := new(policy.Policies)
	if doc := f.identity[arn]; doc != "" {
		out.Identity = []policy.Source{{ID: "inline", Policy: mustParse(policy.IdentityPolicy, doc)}}
	}
	return out, nil
}

func (f *fakeIAM) UserTags(_ context.Context, p policy.Principal) (map[string]string, error) {
	if f.gone[p.ARN] {
		return nil, store.ErrNotFound
	}
	return f.tags[p.ARN], nil
}

func (f *fakeIAM) ManagedPolicy(_ context.Context, arn string) (*policy.Policy, error) {
	doc, ok := f.managed[arn]
	if !ok {
		return nil, store.ErrNotFound
	}
	return policy.Parse(policy.IdentityPolicy, doc)
}

func (f *fakeIAM) OIDCProvider(_ context.Context, url string) (Provider, error) {
	if url != issuer || f.clients == nil {
		return Provider{}, store.ErrNotFound
	}
	return Provider{ARN: oidcARN, ClientIDs: f.clients}, nil
}

func (f *fakeIAM) Keys(_ context.Context, url string) (*jose.JSONWebKeySet, error) {
	if f.keysErr != nil || url != issuer {
		return nil, errors.Join(f.keysErr, store.ErrNotFound)
	}
	return KeySet(f.keys...)
}

func statement(effect, principal, actions, condition string) string {
	s := `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `",`
	if principal != "" {
		s += `"Principal":` + principal + `,`
	} else {
		s += `"Resource":"*",`
	}
	if condition != "" {
		s += `"Condition":` + condition + `,`
	}
	return s + `"Action":` + actions + `}]}`
}

func trust(principal, actions, condition string) *policy.Policy {
	return mustParse(policy.TrustPolicy, statement("Allow", principal, actions, condition))
}

func fixture() *fakeIAM {
	byAccount := `{"AWS":"` + account + `"}`
	return &fakeIAM{
		roles: map[string]Role{
			roleARN: {
				ARN: roleARN, ID: "AROAAPPAPPAPPAPPAPPA1", Name: "app", MaxSession: 2 * time.Hour,
				Trust: trust(byAccount, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, ""),
			},
			otherARN: {
				ARN: otherARN, ID: "AROAOTHEROTHEROTHER11", Name: "other",
				Trust: trust(byAccount, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`, ""),
			},
		},
		tags: map[string]map[string]string{annARN: {"Team": "blue"}},
		identity: map[string]string{
			annARN:  statement("Allow", "", `"sts:*"`, ""),
			roleARN: statement("Allow", "", `"sts:*"`, ""),
		},
		managed: map[string]string{"arn:aws:iam::aws:policy/ReadOnlyAccess": statement("Allow", "", `"*:Describe*"`, "")},
		clients: []string{"sts.amazonaws.com"},
	}
}

var start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func newService(t testing.TB, iam *fakeIAM, now *time.Time) *Service {
	t.Helper()
	s, err := New(Config{
		Account: account, Region: region, Key: []byte(strings.Repeat("k", keySize)),
		Roles: iam, Policies: iam, Providers: iam, Issuers: iam,
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return *now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// as is a context of a call by a principal with long-term credentials.
func as(p policy.Principal) context.Context {
	return caller.With(context.Background(), caller.Caller{Principal: p, AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SourceIP: "192.0.2.1"})
}

// holding is a context of a call with temporary credentials, as the gateway makes it.
func holding(t *testing.T, s *Service, c *stsapi.Credentials) context.Context {
	t.Helper()
	o, err := s.Open(context.Background(), *c.AccessKeyId, *c.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	return caller.With(context.Background(), o.Credential.Caller)
}

func check(t *testing.T, err error, status int, code, message string) {
	t.Helper()
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Status != status || e.Code != code || e.Message != message {
		t.Errorf("error %v\nwant %d %s: %s", err, status, code, message)
	}
}

// TestSDK signs in with the real client: a user assumes a role and calls with what
// she got, over HTTP, with signatures checked as the gateway does.
func TestSDK(t *testing.T) {
	now := time.Now()
	s := newService(t, fixture(), &now)
	verifier := sigv4.New(sigv4.Config{})
	codec := wire.New(wire.Config{API: stsapi.Service})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol := codec.Detect(r)
		var who caller.Caller
		claimed, _ := sigv4.Claimed(r)
		_, err := verifier.Verify(r, now, func(id string) (sigv4.Secret, error) {
			if claimed.SessionToken == "" {
				who = caller.Caller{Principal: ann, AccessKeyID: id}
				return sigv4.Secret{SecretAccessKey: "annsecret"}, nil
			}
			o, err := s.Open(r.Context(), id, claimed.SessionToken)
			who = o.Credential.Caller
			return o.Credential.Secret, err
		})
		if e, ok := errors.AsType[*sigv4.Error](err); ok {
			protocol.WriteError(w, api.Errorf(e.Status, e.Code, "%s", e.Message), "id")
			return
		}
		req, err := codec.Parse(r)
		if err != nil {
			protocol.WriteError(w, err, "id")
			return
		}
		out, err := req.Op.Call(caller.With(r.Context(), who), s, req.Input)
		if err != nil {
			req.Protocol.WriteError(w, err, "id")
			return
		}
		req.Protocol.WriteOutput(w, req.Op, out, "id")
	}))
	defer server.Close()
	client := func(id, secret, token string) *stssdk.Client {
		return stssdk.New(stssdk.Options{
			Region: region, BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
			}),
		})
	}
	user := client("AKIAIOSFODNN7EXAMPLE", "annsecret", "")
	got, err := user.AssumeRole(t.Context(), &stssdk.AssumeRoleInput{RoleArn: aws.String(roleARN), RoleSessionName: aws.String("s-1")})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:sts::123456789012:assumed-role/app/s-1"; *got.AssumedRoleUser.Arn != want {
		t.Errorf("assumed %s, want %s", *got.AssumedRoleUser.Arn, want)
	}
	c := got.Credentials
	if !c.Expiration.Equal(now.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("expires %s, %s from now", c.Expiration, c.Expiration.Sub(now))
	}
	me, err := client(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken).GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if *me.Arn != *got.AssumedRoleUser.Arn || *me.UserId != "AROAAPPAPPAPPAPPAPPA1:s-1" || *me.Account != account {
		t.Errorf("identity %s %s %s", *me.Arn, *me.UserId, *me.Account)
	}
	for name, bad := range map[string]*stssdk.Client{
		"another secret":    client(*c.AccessKeyId, *c.SecretAccessKey+"x", *c.SessionToken),
		"another key id":    client("ASIAQAAAAAAAAAAAAAAA", *c.SecretAccessKey, *c.SessionToken),
		"a spoilt token":    client(*c.AccessKeyId, *c.SecretAccessKey, (*c.SessionToken)[:40]+"A"+(*c.SessionToken)[41:]+"AAAA"),
		"no token of ours":  client(*c.AccessKeyId, *c.SecretAccessKey, "FwoGZXIvYXdzE"),
		"somebody's secret": client(*c.AccessKeyId, "annsecret", *c.SessionToken),
	} {
		_, err := bad.GetCallerIdentity(t.Context(), nil)
		if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != "InvalidClientTokenId" && e.ErrorCode() != "SignatureDoesNotMatch" {
			t.Errorf("%s: %v", name, err)
		}
	}
	now = now.Add(time.Hour)
	_, err = client(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken).GetCallerIdentity(t.Context(), nil)
	if err == nil {
		t.Error("expired credentials still work")
	}
}

func TestGetSessionToken(t *testing.T) {
	now, iam := start, fixture()
	s := newService(t, iam, &now)
	out, err := s.GetSessionToken(as(ann), &stsapi.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Credentials.Expiration.Sub(now); got != 12*time.Hour {
		t.Errorf("a user's session lasts %s", got)
	}
	ctx := holding(t, s, out.Credentials)
	if got := caller.From(ctx); got.Principal != ann || got.Session == nil || got.Session.IssuerARN != "" {
		t.Errorf("the session is %+v", got)
	}
	iam.gone = map[string]bool{annARN: true}
	if _, err := s.Open(ctx, *out.Credentials.AccessKeyId, *out.Credentials.SessionToken); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("the session of a deleted user: %v", err)
	}
	_, err = s.GetSessionToken(ctx, &stsapi.GetSessionTokenInput{})
	check(t, err, 403, "AccessDenied", "Cannot call GetSessionToken with session credentials")

	out, err = s.GetSessionToken(as(root), &stsapi.GetSessionTokenInput{DurationSeconds: new(int32(7200))})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Credentials.Expiration.Sub(now); got != time.Hour {
		t.Errorf("root's session lasts %s", got)
	}
	if got := caller.From(holding(t, s, out.Credentials)).Principal; got != root {
		t.Errorf("root's session is %+v", got)
	}
	_, err = s.GetSessionToken(as(ann), &stsapi.GetSessionTokenInput{DurationSeconds: new(int32(899))})
	check(t, err, 400, "ValidationError", "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900")
	_, err = s.GetSessionToken(as(ann), &stsapi.GetSessionTokenInput{TokenCode: new("123456")})
	check(t, err, 403, "AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
}

func TestGetAccessKeyInfo(t *testing.T) {
	now := start
	s := newService(t, fixture(), &now)
	temporary, err := newKeyID("000000000042")
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		temporary:              "000000000042",
		"ASIAY34FZKBOKMUTVV7A": "609629065308", // the example of AWS's own documents
	} {
		out, err := s.GetAccessKeyInfo(as(ann), &stsapi.GetAccessKeyInfoInput{AccessKeyId: &id})
		if err != nil || *out.Account != want {
			t.Errorf("%s: %v, want %s", id, err, want)
		}
	}
	_, err = s.GetAccessKeyInfo(as(ann), &stsapi.GetAccessKeyInfoInput{AccessKeyId: new("AKIAAAAAAAAAAAAAAAAA")})
	check(t, err, 400, "ValidationError", "The access key ID AKIAAAAAAAAAAAAAAAAA is not valid")
}

func TestKeyID(t *testing.T) {
	seen := map[string]bool{}
	for _, want := range []string{"000000000000", account, "999999999999"} {
		for range 50 {
			id, err := newKeyID(want)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := accountOf(id); !ok || got != want || len(id) != 20 || seen[id] {
				t.Fatalf("%s: account %s", id, got)
			}
			seen[id] = true
		}
	}
	if _, err := newKeyID("x"); err == nil {
		t.Error("an account that is no number has key ids")
	}
}

func TestDecodeAuthorizationMessage(t *testing.T) {
	now := start
	s := newService(t, fixture(), &now)
	_, err := s.DecodeAuthorizationMessage(as(ann), &stsapi.DecodeAuthorizationMessageInput{EncodedMessage: new("x")})
	check(t, err, 400, "InvalidAuthorizationMessageException", "Message is not valid")
	s.cfg.Decode = func(m string) (string, error) { return "decoded " + m, nil }
	out, err := s.DecodeAuthorizationMessage(as(ann), &stsapi.DecodeAuthorizationMessageInput{EncodedMessage: new("x")})
	if err != nil || *out.DecodedMessage != "decoded x" {
		t.Errorf("%v, %v", out, err)
	}
}

func TestAuthorization(t *testing.T) {
	now := start
	s := newService(t, fixture(), &now)
	for _, op := range stsapi.Service.Operations {
		requests, err := s.Authorization(t.Context(), op.Name, nil)
		if err != nil {
			t.Errorf("%s: %v", op.Name, err)
		}
		for _, r := range requests {
			if r.Action != "sts:"+op.Name {
				t.Errorf("%s needs %s", op.Name, r.Action)
			}
		}
	}
	if _, err := s.Authorization(t.Context(), "Invent", nil); err == nil {
		t.Error("an operation that does not exist was authorized")
	}
}
