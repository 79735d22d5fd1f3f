package acm_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/smithy-go"
	clientv3 "go.etcd.io/etcd/client/v3"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = "ap-northeast-2"
	prefix  = "arn:aws:acm:ap-northeast-2:111122223333:certificate/"
)

var regionKey = []byte("0123456789abcdef0123456789abcdef")

// users is what uses certificates, by their ARNs.
type users map[string][]string

func (u users) InUse(_ context.Context, certificate string) ([]string, error) {
	return u[certificate], nil
}

// fixture is a service whose clock stands still unless it is moved, and AWS's
// own client for it.
type fixture struct {
	*sdk.Client
	t       *testing.T
	etcd    *clientv3.Client
	service *acm.Service
	users   users
	now     time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, etcd: storetest.Open(t).Client(), users: users{}, now: time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)}
	f.service = must(acm.New(acm.Config{
		Client: f.etcd, Account: account, Region: region, Key: regionKey, Users: f.users, Now: func() time.Time { return f.now },
	}))
	cfg := wiretest.Serve(t, wire.Config{API: acmapi.Service, MaxBody: 4 << 20}, f.service, region)
	f.Client = sdk.NewFromConfig(cfg)
	return f
}

// request asks for a certificate, validated by DNS, and returns its ARN.
func (f *fixture) request(names ...string) string {
	f.t.Helper()
	in := &sdk.RequestCertificateInput{DomainName: &names[0], ValidationMethod: types.ValidationMethodDns}
	if len(names) > 1 {
		in.SubjectAlternativeNames = names[1:]
	}
	out, err := f.RequestCertificate(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return *out.CertificateArn
}

func (f *fixture) describe(arn string) *types.CertificateDetail {
	f.t.Helper()
	out, err := f.DescribeCertificate(f.t.Context(), &sdk.DescribeCertificateInput{CertificateArn: &arn})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Certificate
}

func id(arn string) string { return strings.TrimPrefix(arn, prefix) }

func (f *fixture) record(arn string) acm.Certificate {
	f.t.Helper()
	it, err := f.service.Certificates.Get(f.t.Context(), id(arn))
	if err != nil {
		f.t.Fatal(err)
	}
	return it.Value
}

// authority is the same each time: its keys take long to make.
var authority = sync.OnceValue(func() *pki.Authority {
	dir := must(os.MkdirTemp("", "authority"))
	defer os.RemoveAll(dir)
	return must(pki.EnsureAuthority(dir, "root"))
})

// issue does what the loop does, and returns the private key.
func (f *fixture) issue(arn string) *ecdsa.PrivateKey {
	f.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := f.record(arn)
	if _, err := f.service.Shown(f.t.Context(), c.ID, c.Names); err != nil {
		f.t.Fatal(err)
	}
	from := f.now.Truncate(24 * time.Hour)
	leaf, chain, err := authority().Sign(pki.ServerRequest{
		CommonName: c.Names[0], DNSNames: c.Names, NotBefore: from, NotAfter: from.Add(198*24*time.Hour - time.Second),
	}, crypto.PublicKey(&key.PublicKey))
	if err != nil {
		f.t.Fatal(err)
	}
	var version int64
	if c.Material != nil {
		version = c.Material.Version
	}
	it, err := f.service.Issue(f.t.Context(), c.ID, version, leaf, chain, key)
	if err != nil || it.Value.Material == nil || it.Value.Material.Version != version+1 {
		f.t.Fatalf("%+v, %v", it, err)
	}
	return key
}

// change writes a record as only the region itself could.
func (f *fixture) change(arn string, change func(*acm.Certificate)) {
	f.t.Helper()
	_, err := f.service.Certificates.Modify(f.t.Context(), id(arn), func(c *acm.Certificate) error {
		change(c)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fails checks an error's code and words.
func fails(t *testing.T, what string, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("%s: %v\nwant %s: %s", what, err, code, message)
	}
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
