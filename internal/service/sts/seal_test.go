package sts

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/sigv4"
)

type issuersFunc func() (*jose.JSONWebKeySet, error)

func (f issuersFunc) Keys(context.Context, string) (*jose.JSONWebKeySet, error) { return f() }

func TestSeal(t *testing.T) {
	aead, err := newAEAD([]byte(strings.Repeat("k", keySize)))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAEAD([]byte(strings.Repeat("o", keySize)))
	if err != nil {
		t.Fatal(err)
	}
	want := &session{
		Secret: "s", Issued: 1, Expires: 2, RoleARN: roleARN, RoleID: "AROA", Name: "n", Instance: "i-1", Provider: "p",
		Subject: "sub", Root: true, UserARN: annARN, UserID: "AIDA", UserName: "ann", Policy: "{}", PolicyARNs: []string{"a"},
		Tags: map[string]string{"k": "v"}, Transitive: []string{"k"}, SourceIdentity: "x",
	}
	token, err := seal(aead, "ASIA1", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := unseal(aead, "ASIA1", token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	if _, err := unseal(aead, "ASIA2", token); !errors.Is(err, errToken) {
		t.Errorf("with another access key: %v", err)
	}
	if _, err := unseal(other, "ASIA1", token); !errors.Is(err, errToken) {
		t.Errorf("with another region's key: %v", err)
	}
	for i := range token { // every character counts
		b := []byte(token)
		if b[i]++; b[i] == '{' || b[i] == ':' || b[i] == '[' {
			b[i] = 'A'
		}
		if _, err := unseal(aead, "ASIA1", string(b)); !errors.Is(err, errToken) {
			t.Fatalf("character %d changed from %c to %c: %v", i, token[i], b[i], err)
		}
		if _, err := unseal(aead, "ASIA1", token[:i]); !errors.Is(err, errToken) {
			t.Fatalf("cut after %d: %v", i, err)
		}
	}
	if _, err := newAEAD([]byte("short")); err == nil {
		t.Error("a short key seals")
	}
	for range 3 { // nonces differ
		again, err := seal(aead, "ASIA1", want)
		if err != nil || again == token {
			t.Errorf("sealed twice alike: %v", err)
		}
	}
}

// TestTokenSize: clients put tokens into URLs; kubectl's, doubly encoded, has to
// stay below the 4 KiB that aws-iam-authenticator takes.
func TestTokenSize(t *testing.T) {
	now := start
	s := newService(t, fixture(), &now)
	c, err := s.issue(&session{
		RoleARN: roleARN, RoleID: "AROAAPPAPPAPPAPPAPPA1", Name: "i-0123456789abcdef0", Instance: "i-0123456789abcdef0",
		Provider: oidcARN, Subject: subject,
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.SessionToken) > 700 {
		t.Errorf("the token has %d characters", len(c.SessionToken))
	}
}

func TestInflate(t *testing.T) {
	if _, err := inflate(deflate(make([]byte, maxOpened+1))); err == nil {
		t.Error("inflated beyond the limit")
	}
	if got, err := inflate(deflate(make([]byte, maxOpened))); err != nil || len(got) != maxOpened {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func FuzzOpen(f *testing.F) {
	now := start
	iam := fixture()
	s := newService(f, iam, &now)
	// Each of the fuzzer's processes has a key of its own, and so knows one valid token.
	key := make([]byte, keySize)
	rand.Read(key)
	var err error
	if s.aead, err = newAEAD(key); err != nil {
		f.Fatal(err)
	}
	c, err := s.issue(&session{RoleARN: roleARN, RoleID: iam.roles[roleARN].ID, Name: "n"}, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.AccessKeyID, c.SessionToken)
	f.Fuzz(func(t *testing.T, id, token string) {
		_, err := s.Open(context.Background(), id, token)
		if token == c.SessionToken && id == c.AccessKeyID {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, sigv4.ErrUnknownKey) {
			t.Fatalf("%q %q: %v", id, token, err)
		}
	})
}

// FuzzInflate takes what only the holder of the key can write, and must stay
// within its limits all the same.
func FuzzInflate(f *testing.F) {
	f.Add(deflate([]byte(`{"k":"s"}`)))
	f.Add(deflate(make([]byte, maxOpened+1)))
	f.Fuzz(func(t *testing.T, packed []byte) {
		if plain, err := inflate(packed); err == nil && len(plain) > maxOpened {
			t.Fatal("too much")
		}
	})
}

func FuzzWebIdentityToken(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2EiLCJzdWIiOiJzIiwiYXVkIjoiYSIsImV4cCI6MSwiaWF0IjoxfQ.c2ln")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		parsed, err := parseToken(token)
		if err != nil {
			return
		}
		if parsed.claims.Issuer == "" || parsed.claims.Subject == "" || len(parsed.audiences()) == 0 || parsed.claims.Expiry == nil {
			t.Fatalf("a token without required claims was taken: %q", token)
		}
		if parsed.verify(&jose.JSONWebKeySet{}) == nil {
			t.Fatal("verified without a key")
		}
	})
}

func FuzzKeyID(f *testing.F) {
	f.Add("ASIAY34FZKBOKMUTVV7A")
	f.Fuzz(func(t *testing.T, id string) {
		if account, ok := accountOf(id); ok && (len(account) != 12 || slices.ContainsFunc([]byte(account), func(b byte) bool { return b < '0' || b > '9' })) {
			t.Fatalf("%q is of account %q", id, account)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	now := start
	iam := fixture()
	s := newService(b, iam, &now)
	c, err := s.issue(&session{RoleARN: roleARN, RoleID: iam.roles[roleARN].ID, Name: "n", Policy: statement("Allow", "", `"ec2:*"`, "")}, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	for _, cached := range []bool{true, false} {
		name := map[bool]string{true: "seen", false: "new"}[cached]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !cached {
					s.opened.Purge()
				}
				if _, err := s.Open(b.Context(), c.AccessKeyID, c.SessionToken); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
