package acm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

// From the request to a TLS server, with AWS's own waiter.
func TestLifeOfACertificate(t *testing.T) {
	f := newFixture(t)
	ctx, arn := t.Context(), f.request("api.example.com", "*.api.example.com")
	_, err := f.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: &arn})
	fails(t, "get while pending", err, "RequestInProgressException", "has not yet been issued")
	if ok, err := f.service.Issued(ctx, arn); ok || err != nil {
		t.Errorf("pending: issued %t, %v", ok, err)
	}
	if _, err := f.service.TLSCertificate(ctx, arn); !errors.Is(err, acm.ErrNotIssued) {
		t.Errorf("pending: %v", err)
	}
	ready := make(chan error, 1)
	go func() {
		ready <- sdk.NewCertificateValidatedWaiter(f.Client, func(o *sdk.CertificateValidatedWaiterOptions) {
			o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond
		}).Wait(ctx, &sdk.DescribeCertificateInput{CertificateArn: &arn}, 20*time.Second)
	}()
	f.issue(arn)
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	c := f.describe(arn)
	if c.Status != types.CertificateStatusIssued || !c.IssuedAt.Equal(f.now) || *c.Issuer != "Tarn" || *c.Subject != "CN=api.example.com" ||
		*c.SignatureAlgorithm != "SHA256WITHECDSA" || !regexp.MustCompile(`^[0-9a-f]{2}(:[0-9a-f]{2})+$`).MatchString(*c.Serial) ||
		!c.NotBefore.Equal(time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)) || !c.NotAfter.Equal(time.Date(2027, 6, 14, 23, 59, 59, 0, time.UTC)) ||
		!slices.Equal(c.KeyUsages, []types.KeyUsage{{Name: types.KeyUsageNameDigitalSignature}}) ||
		len(c.ExtendedKeyUsages) != 1 || c.ExtendedKeyUsages[0].Name != types.ExtendedKeyUsageNameTlsWebServerAuthentication || *c.ExtendedKeyUsages[0].OID != "1.3.6.1.5.5.7.3.1" {
		t.Errorf("%+v", c)
	}
	for _, d := range c.DomainValidationOptions {
		if d.ValidationStatus != types.DomainStatusSuccess {
			t.Errorf("%s: %s", *d.DomainName, d.ValidationStatus)
		}
	}
	got, err := f.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: &arn})
	if err != nil || strings.Count(*got.Certificate, "BEGIN") != 1 || strings.Count(*got.CertificateChain, "BEGIN") != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	pair, err := f.service.TLSCertificate(ctx, arn)
	if err != nil || pair.Version != 1 {
		t.Fatalf("%d, %v", pair.Version, err)
	}
	loaded, err := tls.X509KeyPair(pair.Chain, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded.Certificate) != 2 { // clients have the root
		t.Errorf("a server sends %d certificates", len(loaded.Certificate))
	}
	if ok, err := f.service.Issued(ctx, arn); !ok || err != nil {
		t.Errorf("issued %t, %v", ok, err)
	}

	f.users[arn] = []string{"b", "a"}
	if c := f.describe(arn); !slices.Equal(c.InUseBy, []string{"a", "b"}) || c.RenewalEligibility != types.RenewalEligibilityEligible {
		t.Errorf("used by %v, %s", c.InUseBy, c.RenewalEligibility)
	}
	_, err = f.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: &arn})
	fails(t, "delete while in use", err, "ResourceInUseException", "Certificate "+arn+" in account "+account+" is in use.")
	delete(f.users, arn)
	if _, err := f.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: &arn}); err != nil {
		t.Fatal(err)
	}
	_, err = f.DeleteCertificate(ctx, &sdk.DeleteCertificateInput{CertificateArn: &arn})
	fails(t, "delete again", err, "ResourceNotFoundException", "Could not find certificate "+arn)
}

// What the loop says counts only as long as it is about what goes on.
func TestTheLoopIsLate(t *testing.T) {
	f := newFixture(t)
	ctx, arn := t.Context(), f.request("example.com")
	f.issue(arn)
	it, err := f.service.Ended(ctx, id(arn), acmapi.CertificateStatusPendingValidation, acmapi.CertificateStatusValidationTimedOut, "")
	if err != nil || it.Value.Status != acmapi.CertificateStatusIssued {
		t.Errorf("a deadline after it was issued: %s, %v", it.Value.Status, err)
	}
	before := f.record(arn).Material
	pair, _ := f.service.TLSCertificate(ctx, arn)
	block, _ := pem.Decode(pair.Key)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for version, what := range []string{"a second certificate", "a renewal that nobody began"} {
		it, err := f.service.Issue(ctx, id(arn), int64(version), []byte(before.Certificate), nil, key.(*ecdsa.PrivateKey))
		if err != nil || it.Value.Material.Version != 1 || !bytes.Equal(it.Value.Material.SealedKey, before.SealedKey) {
			t.Errorf("%s: %+v, %v", what, it.Value.Material, err)
		}
	}
	if _, err := f.service.Shown(ctx, "none", nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of a certificate that is gone: %v", err)
	}

	timed := f.request("a.example.com", "b.example.com")
	if _, err := f.service.Shown(ctx, id(timed), []string{"a.example.com"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.service.Ended(ctx, id(timed), acmapi.CertificateStatusPendingValidation, acmapi.CertificateStatusValidationTimedOut, ""); err != nil {
		t.Fatal(err)
	}
	c := f.describe(timed)
	d := c.DomainValidationOptions
	if c.Status != types.CertificateStatusValidationTimedOut || d[0].ValidationStatus != types.DomainStatusSuccess || d[1].ValidationStatus != types.DomainStatusFailed {
		t.Errorf("%s: %s, %s", c.Status, d[0].ValidationStatus, d[1].ValidationStatus)
	}
}

func TestRenewal(t *testing.T) {
	f := newFixture(t)
	ctx, arn := t.Context(), f.request("example.com")
	f.issue(arn)
	_, err := f.RenewCertificate(ctx, &sdk.RenewCertificateInput{CertificateArn: &arn})
	fails(t, "not exported", err, "ValidationException", "is not eligible for renewal")
	first, err := f.service.TLSCertificate(ctx, arn)
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []acmapi.RenewalStatus{acmapi.RenewalStatusPendingAutoRenewal, acmapi.RenewalStatusPendingValidation} {
		if _, err := f.service.Renews(ctx, id(arn), status); err != nil {
			t.Fatal(err)
		}
		s := f.describe(arn).RenewalSummary
		if string(s.RenewalStatus) != string(status) || !s.UpdatedAt.Equal(f.now) || s.DomainValidationOptions[0].ValidationStatus != types.DomainStatusPendingValidation || s.DomainValidationOptions[0].ResourceRecord == nil {
			t.Errorf("%s: %+v", status, s)
		}
		if pair, err := f.service.TLSCertificate(ctx, arn); err != nil || pair.Version != 1 {
			t.Errorf("meanwhile: %d, %v", pair.Version, err)
		}
	}
	f.now = f.now.AddDate(0, 5, 10)
	f.issue(arn)
	c := f.describe(arn)
	if c.RenewalSummary.RenewalStatus != types.RenewalStatusSuccess || c.Status != types.CertificateStatusIssued || !c.IssuedAt.Equal(f.now) || !c.NotAfter.After(f.now.AddDate(0, 6, 0)) {
		t.Errorf("%+v", c)
	}
	second, err := f.service.TLSCertificate(ctx, arn)
	if err != nil || second.Version != 2 || bytes.Equal(first.Key, second.Key) || bytes.Equal(first.Chain, second.Chain) {
		t.Errorf("renewed: %d, %v", second.Version, err)
	}

	// By request, once the key is in somebody's hands.
	f.change(arn, func(c *acm.Certificate) { c.Exportable, c.Exported = true, true })
	if _, err := f.RenewCertificate(ctx, &sdk.RenewCertificateInput{CertificateArn: &arn}); err != nil {
		t.Fatal(err)
	}
	if s := f.describe(arn).RenewalSummary; s.RenewalStatus != types.RenewalStatusPendingAutoRenewal || s.DomainValidationOptions[0].ValidationStatus != types.DomainStatusPendingValidation {
		t.Errorf("%+v", s)
	}
	// It expires before its domains are validated again.
	if _, err := f.service.Ended(ctx, id(arn), acmapi.CertificateStatusIssued, acmapi.CertificateStatusExpired, ""); err != nil {
		t.Fatal(err)
	}
	c = f.describe(arn)
	if c.Status != types.CertificateStatusExpired || c.RenewalSummary.RenewalStatus != types.RenewalStatusFailed || c.RenewalEligibility != types.RenewalEligibilityIneligible {
		t.Errorf("%s, %s", c.Status, c.RenewalSummary.RenewalStatus)
	}
	if _, err := f.service.TLSCertificate(ctx, arn); err != nil {
		t.Errorf("what a load balancer goes on with: %v", err)
	}
	if ok, err := f.service.Issued(ctx, arn); ok || err != nil {
		t.Errorf("for a new load balancer: %t, %v", ok, err)
	}
}

// Nobody who reads the store, or a copy of it, has a private key.
func TestKeysAreSealed(t *testing.T) {
	f := newFixture(t)
	arn := f.request("example.com")
	key := f.issue(arn)
	pkcs8, sec1 := must(x509.MarshalPKCS8PrivateKey(key)), must(x509.MarshalECPrivateKey(key))
	raw := must(key.Bytes())
	got, err := f.etcd.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) == 0 {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		for what, secret := range map[string][]byte{"PKCS #8": pkcs8, "SEC 1": sec1, "the scalar": raw} {
			for _, form := range [][]byte{secret, []byte(base64.StdEncoding.EncodeToString(secret)), []byte(base64.RawStdEncoding.EncodeToString(secret))} {
				if bytes.Contains(kv.Value, form) {
					t.Errorf("%s has %s of the key", kv.Key, what)
				}
			}
		}
		if bytes.Contains(kv.Value, []byte("PRIVATE KEY")) {
			t.Errorf("%s has a private key in PEM", kv.Key)
		}
	}
	// The test can find a key: it is there, sealed, in the same form.
	sealed, err := json.Marshal(f.record(arn).Material.SealedKey)
	if err != nil || !slices.ContainsFunc(got.Kvs, func(kv *mvccpb.KeyValue) bool { return bytes.Contains(kv.Value, sealed) }) {
		t.Errorf("the sealed key is not in the store: %v", err)
	}

	// It does not open in another's record, nor under another region's key, nor changed.
	other := f.request("other.example.com")
	f.issue(other)
	f.change(other, func(c *acm.Certificate) { c.Material.SealedKey = f.record(arn).Material.SealedKey })
	if _, err := f.service.TLSCertificate(t.Context(), other); err == nil {
		t.Error("one certificate's key opens as another's")
	}
	stranger := must(acm.New(acm.Config{Client: f.etcd, Account: account, Region: region, Key: bytes.Repeat([]byte("x"), 32), Users: f.users}))
	if _, err := stranger.TLSCertificate(t.Context(), arn); err == nil || !strings.Contains(err.Error(), "another key than the region's") {
		t.Errorf("under another key: %v", err)
	}
	f.change(arn, func(c *acm.Certificate) { c.Material.SealedKey[20] ^= 1 })
	if _, err := f.service.TLSCertificate(t.Context(), arn); err == nil {
		t.Error("a key that was changed opens")
	}
	f.change(arn, func(c *acm.Certificate) { c.Material.SealedKey = nil })
	if _, err := f.service.TLSCertificate(t.Context(), arn); err == nil {
		t.Error("no key opens")
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := acm.New(acm.Config{Client: f.etcd, Key: make([]byte, n)}); err == nil {
			t.Errorf("a key of %d bytes is taken", n)
		}
	}
}
