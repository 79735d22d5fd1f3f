package sts

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

type claims map[string]any

func (c claims) with(key string, value any) claims {
	out := maps.Clone(c)
	if value == nil {
		delete(out, key)
	} else {
		out[key] = value
	}
	return out
}

// serviceAccount is what Kubernetes puts into a pod's projected token.
func serviceAccount(now time.Time) claims {
	return claims{
		"iss": issuer, "sub": subject, "aud": []string{"sts.amazonaws.com"},
		"exp": now.Add(24 * time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
		"kubernetes.io": map[string]any{"namespace": "kube-system"},
	}
}

func sign(t testing.TB, key crypto.Signer, alg jose.SignatureAlgorithm, keyID string, what any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if keyID != "" {
		options.WithHeader("kid", keyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(what)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(plain)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func keyID(t testing.TB, key crypto.Signer) string {
	t.Helper()
	set, err := KeySet(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return set.Keys[0].KeyID
}

func TestWebIdentity(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	good := serviceAccount(now)
	host := strings.TrimPrefix(issuer, "https://")
	irsa := func(sub, aud string) *policy.Policy {
		return trust(`{"Federated":"`+oidcARN+`"}`, `"sts:AssumeRoleWithWebIdentity"`,
			`{"StringEquals":{"`+host+`:sub":"`+sub+`","`+host+`:aud":"`+aud+`"}}`)
	}
	signed := func(c claims) string { return sign(t, rsaKey, jose.RS256, keyID(t, rsaKey), c) }
	noKey := "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
	notJWT := "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"

	for _, c := range []struct {
		name    string
		token   string
		change  func(*fakeIAM)
		trust   *policy.Policy
		status  int // 0: allowed
		code    string
		message string
	}{
		{name: "RS256", token: signed(good)},
		{name: "ES256", token: sign(t, ecKey, jose.ES256, keyID(t, ecKey), good)},
		{name: "no kid", token: sign(t, rsaKey, jose.RS256, "", good)},
		{name: "one of many", token: signed(good.with("aud", []string{"x", "sts.amazonaws.com"}))},
		{
			name: "another service account", token: signed(good), trust: irsa("system:serviceaccount:default:default", "sts.amazonaws.com"),
			status: 403, code: "AccessDenied", message: "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		},
		{
			name: "another audience in the trust policy", token: signed(good), trust: irsa(subject, "x"),
			status: 403, code: "AccessDenied", message: "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		},
		{
			name: "trusts accounts only", token: signed(good), trust: trust(`{"AWS":"*"}`, `["sts:AssumeRole","sts:AssumeRoleWithWebIdentity"]`, ""),
			status: 403, code: "AccessDenied", message: "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		},
		{
			name: "no role", token: signed(good), change: func(f *fakeIAM) { delete(f.roles, roleARN) },
			status: 403, code: "AccessDenied", message: "Not authorized to perform sts:AssumeRoleWithWebIdentity",
		},
		{
			name: "no provider", token: signed(good.with("iss", "https://example.com/x")),
			status: 400, code: "InvalidIdentityToken", message: "No OpenIDConnect provider found in your account for https://example.com/x",
		},
		{
			name: "wrong audience", token: signed(good.with("aud", "https://kubernetes.default.svc")),
			status: 400, code: "InvalidIdentityToken", message: "Incorrect token audience",
		},
		{
			name: "authorized party", token: signed(good.with("azp", "somebody")),
			status: 400, code: "InvalidIdentityToken", message: "Incorrect token audience",
		},
		{
			name: "unknown key", token: sign(t, stranger, jose.RS256, keyID(t, stranger), good),
			status: 400, code: "InvalidIdentityToken", message: noKey,
		},
		{
			name: "issuer without keys", token: signed(good), change: func(f *fakeIAM) { f.keysErr = store.ErrNotFound },
			status: 400, code: "InvalidIdentityToken", message: noKey,
		},
		{
			name: "another's signature", token: sign(t, stranger, jose.RS256, keyID(t, rsaKey), good),
			status: 400, code: "InvalidIdentityToken", message: "Token signature invalid",
		},
		{
			name: "no signature", token: "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.",
			status: 400, code: "InvalidIdentityToken", message: notJWT,
		},
		{name: "no token", token: "ya29.a0", status: 400, code: "InvalidIdentityToken", message: notJWT},
		{name: "no subject", token: signed(good.with("sub", nil)), status: 400, code: "InvalidIdentityToken", message: "Missing a required claim: sub"},
		{name: "no end", token: signed(good.with("exp", nil)), status: 400, code: "InvalidIdentityToken", message: "Missing a required claim: exp"},
		{
			name: "expired", token: signed(good.with("exp", now.Unix())),
			status: 400, code: "ExpiredTokenException",
			message: fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), now.Unix()),
		},
		{
			name: "from the future", token: signed(good.with("iat", now.Add(time.Hour).Unix())), status: 400, code: "InvalidIdentityToken",
			message: fmt.Sprintf("Token is not valid yet: current date/time %d must not be before %d", now.Unix(), now.Add(time.Hour).Unix()),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			iam := fixture()
			iam.keys = []crypto.PublicKey{ecKey.Public(), rsaKey.Public()}
			role := iam.roles[roleARN]
			role.Trust = irsa(subject, "sts.amazonaws.com")
			if c.trust != nil {
				role.Trust = c.trust
			}
			iam.roles[roleARN] = role
			if c.change != nil {
				c.change(iam)
			}
			s := newService(t, iam, &now)
			out, err := s.AssumeRoleWithWebIdentity(t.Context(), &stsapi.AssumeRoleWithWebIdentityInput{
				RoleArn: new(roleARN), RoleSessionName: new("botocore-session-1"), WebIdentityToken: &c.token,
			})
			if c.status != 0 {
				check(t, err, c.status, c.code, c.message)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if *out.Provider != oidcARN || *out.Audience != "sts.amazonaws.com" || *out.SubjectFromWebIdentityToken != subject {
				t.Errorf("answer: %s %s %s", *out.Provider, *out.Audience, *out.SubjectFromWebIdentityToken)
			}
			who := caller.From(holding(t, s, out.Credentials))
			if who.Principal.RoleARN != roleARN || who.Session.Provider != oidcARN || who.Session.Subject != subject {
				t.Errorf("caller %+v, session %+v", who, who.Session)
			}
		})
	}
}

func TestWebIdentityUnreachable(t *testing.T) {
	now := start
	iam := fixture()
	s := newService(t, iam, &now)
	s.cfg.Issuers = issuersFunc(func() (*jose.JSONWebKeySet, error) { return nil, errors.New("connection refused") })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, key, jose.ES256, "", serviceAccount(now))
	_, err = s.AssumeRoleWithWebIdentity(t.Context(), &stsapi.AssumeRoleWithWebIdentityInput{
		RoleArn: new(roleARN), RoleSessionName: new("session"), WebIdentityToken: &token,
	})
	check(t, err, 400, "IDPCommunicationError", "The identity provider that was asked to verify the incoming identity token could not be reached.")
	_, err = s.AssumeRoleWithWebIdentity(t.Context(), &stsapi.AssumeRoleWithWebIdentityInput{
		RoleArn: new(roleARN), RoleSessionName: new("session"), WebIdentityToken: &token, ProviderId: new("www.amazon.com"),
	})
	check(t, err, 400, "ValidationError", "ProviderId is for OAuth 2.0 access tokens, of which the region has no provider. Leave it out for OpenID Connect tokens.")
}

func TestKeySet(t *testing.T) {
	if _, err := KeySet("no key"); err == nil {
		t.Error("a string has a key set")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := KeySet(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var back jose.JSONWebKeySet
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if k := back.Key(set.Keys[0].KeyID); len(k) != 1 || !key.PublicKey.Equal(k[0].Key) || k[0].Algorithm != "ES256" || k[0].Use != "sig" {
		t.Errorf("served as %s", text)
	}
}
