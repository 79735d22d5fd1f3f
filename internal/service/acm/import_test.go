package acm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
)

// issued is a certificate of the test's own, and its key.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// sign makes a certificate, by parent or self-signed.
func sign(t *testing.T, key crypto.Signer, parent *issued, change func(*x509.Certificate)) issued {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "shop.example.com"},
		DNSNames:     []string{"shop.example.com", "www.example.com"},
		NotBefore:    time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	if parent == nil {
		parent = &issued{cert: template, key: key}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key))
	return issued{must(x509.ParseCertificate(der)), key}
}

func ca(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject, c.DNSNames, c.ExtKeyUsage = pkix.Name{CommonName: name, Organization: []string{"Example Trust"}}, nil, nil
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}
}

func certs(all ...issued) []byte {
	var out []byte
	for _, i := range all {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw})...)
	}
	return out
}

func (i issued) pkcs8() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(i.key))})
}

func ec(curve elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(curve, rand.Reader)) }

// rsa2048 is the same key each time: one takes long to make.
var rsa2048 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func TestImport(t *testing.T) {
	f := newFixture(t)
	root := sign(t, ec(elliptic.P256()), nil, ca("root"))
	between := sign(t, ec(elliptic.P256()), &root, ca("between"))
	rsaKey := rsa2048()
	leaf := sign(t, rsaKey, &between, nil)
	self := sign(t, ec(elliptic.P521()), nil, nil)
	bare := sign(t, ec(elliptic.P256()), nil, func(c *x509.Certificate) {
		c.KeyUsage, c.ExtKeyUsage, c.DNSNames, c.Subject = 0, nil, nil, pkix.Name{Organization: []string{"Shop"}}
		c.IPAddresses = []net.IP{net.IPv4(203, 0, 113, 7)}
	})
	ecParameters := []byte("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIw==\n-----END EC PARAMETERS-----\n")
	for _, tc := range []struct {
		name             string
		cert, key, chain []byte
		algorithm        types.KeyAlgorithm
		issuer           string
		names            []string
		usages, purposes int
	}{
		{"of a CA", certs(leaf), leaf.pkcs8(), certs(between, root), "RSA-2048", "Example Trust", []string{"shop.example.com", "www.example.com"}, 2, 1},
		{"PKCS #1, without the root", certs(leaf), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), certs(between), "RSA-2048", "Example Trust", []string{"shop.example.com", "www.example.com"}, 2, 1},
		{"without its chain", certs(leaf), leaf.pkcs8(), nil, "RSA-2048", "Example Trust", []string{"shop.example.com", "www.example.com"}, 2, 1},
		{"self-signed, SEC 1 with parameters, words before", append([]byte("subject=/CN=shop\n"), certs(self)...), append(ecParameters, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(self.key.(*ecdsa.PrivateKey)))})...), nil, "EC-secp521r1", "shop.example.com", []string{"shop.example.com", "www.example.com"}, 2, 1},
		{"without extensions, for an address", certs(bare), bare.pkcs8(), nil, "EC-prime256v1", "Shop", []string{"203.0.113.7"}, 1, 1},
	} {
		out, err := f.ImportCertificate(t.Context(), &sdk.ImportCertificateInput{Certificate: tc.cert, PrivateKey: tc.key, CertificateChain: tc.chain, Tags: []types.Tag{{Key: new("name"), Value: new("v")}}})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		c := f.describe(*out.CertificateArn)
		if c.Type != types.CertificateTypeImported || c.Status != types.CertificateStatusIssued || !c.ImportedAt.Equal(f.now) || c.IssuedAt != nil || c.DomainValidationOptions != nil ||
			c.KeyAlgorithm != tc.algorithm || *c.Issuer != tc.issuer || !slices.Equal(c.SubjectAlternativeNames, tc.names) || *c.DomainName != tc.names[0] ||
			len(c.KeyUsages) != tc.usages || len(c.ExtendedKeyUsages) != tc.purposes || c.RenewalEligibility != types.RenewalEligibilityIneligible ||
			!c.NotAfter.Equal(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: %+v, issuer %s", tc.name, c, *c.Issuer)
		}
		got, err := f.GetCertificate(t.Context(), &sdk.GetCertificateInput{CertificateArn: out.CertificateArn})
		if err != nil || !strings.HasSuffix(string(tc.cert), *got.Certificate) || (got.CertificateChain == nil) != (tc.chain == nil) || got.CertificateChain != nil && *got.CertificateChain != string(tc.chain) {
			t.Errorf("%s: %+v, %v", tc.name, got, err)
		}
		pair, err := f.service.TLSCertificate(t.Context(), *out.CertificateArn)
		if err != nil || pair.Version != 1 {
			t.Errorf("%s: %v", tc.name, err)
		}
		_, err = f.ExportCertificate(t.Context(), &sdk.ExportCertificateInput{CertificateArn: out.CertificateArn, Passphrase: []byte("secret")})
		fails(t, tc.name+", exported", err, "ValidationException", "is not a private certificate")
	}
	if c := f.describe(*must(f.ImportCertificate(t.Context(), &sdk.ImportCertificateInput{Certificate: certs(bare), PrivateKey: bare.pkcs8()})).CertificateArn); c.KeyUsages[0].Name != types.KeyUsageNameAny || c.ExtendedKeyUsages[0].Name != types.ExtendedKeyUsageNameNone {
		t.Errorf("without extensions: %v, %v", c.KeyUsages, c.ExtendedKeyUsages)
	}
}

func TestImportIsRefused(t *testing.T) {
	f := newFixture(t)
	root := sign(t, ec(elliptic.P256()), nil, ca("root"))
	between := sign(t, ec(elliptic.P256()), &root, ca("between"))
	leaf := sign(t, ec(elliptic.P256()), &between, nil)
	stranger := sign(t, ec(elliptic.P256()), nil, ca("between"))
	at := func(from, to time.Time) issued {
		return sign(t, leaf.key, nil, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to })
	}
	old, young := at(f.now.AddDate(-1, 0, 0), f.now.AddDate(0, 0, -1)), at(f.now.AddDate(0, 0, 1), f.now.AddDate(1, 0, 0))
	nameless := sign(t, leaf.key, nil, func(c *x509.Certificate) {
		c.DNSNames, c.Subject = nil, pkix.Name{Organization: []string{"Shop"}}
	})
	p224 := sign(t, ec(elliptic.P224()), nil, nil)
	locked := []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	legacy := []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	for _, tc := range []struct {
		name             string
		cert, key, chain []byte
		message          string
	}{
		{"nothing", []byte{}, leaf.pkcs8(), nil, "Value at 'certificate' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"large key", certs(leaf), make([]byte, 5121), nil, "Value at 'privateKey' failed to satisfy constraint: Member must have length less than or equal to 5120"},
		{"DER", leaf.cert.Raw, leaf.pkcs8(), nil, "The certificate is not PEM-encoded or is not valid."},
		{"damaged", []byte(strings.Replace(string(certs(leaf)), "M", "N", 1)), leaf.pkcs8(), nil, "The certificate is not PEM-encoded or is not valid."},
		{"key as certificate", leaf.pkcs8(), leaf.pkcs8(), nil, "The certificate is not PEM-encoded or is not valid."},
		{"two", certs(leaf, between), leaf.pkcs8(), nil, "The certificate field contains more than one certificate. You can specify only one certificate in this field."},
		{"cut off", append(certs(leaf), "-----BEGIN CERTIFICATE-----\nAAAA"...), leaf.pkcs8(), nil, "The certificate is not PEM-encoded or is not valid."},
		{"certificate as key", certs(leaf), certs(leaf), nil, "The private key is not PEM-encoded or is not valid."},
		{"two keys", certs(leaf), append(leaf.pkcs8(), leaf.pkcs8()...), nil, "The private key is not PEM-encoded or is not valid."},
		{"locked key", certs(leaf), locked, nil, "The private key is encrypted"},
		{"key locked as of old", certs(leaf), legacy, nil, "The private key is encrypted"},
		{"another's key", certs(leaf), root.pkcs8(), nil, "The private key does not match"},
		{"P-224", certs(p224), p224.pkcs8(), nil, "The key algorithm or the length of the key is not supported."},
		{"expired", certs(old), old.pkcs8(), nil, "The certificate has expired, is not valid."},
		{"not yet", certs(young), young.pkcs8(), nil, "The certificate is not in effect yet, is not valid."},
		{"no name", certs(nameless), nameless.pkcs8(), nil, "names no domain"},
		{"chain is no PEM", certs(leaf), leaf.pkcs8(), []byte("x"), "The certificate chain is not PEM-encoded or is not valid."},
		{"root alone", certs(leaf), leaf.pkcs8(), certs(root), "Could not validate the certificate with the certificate chain."},
		{"another CA of the same name", certs(leaf), leaf.pkcs8(), certs(stranger), "Could not validate the certificate with the certificate chain."},
		{"chain in reverse", certs(leaf), leaf.pkcs8(), certs(root, between), "Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate is: -1"},
		{"chain with a stranger", certs(leaf), leaf.pkcs8(), certs(between, stranger), "The index within the chain of the invalid certificate is: 0"},
		{"itself in its chain", certs(leaf), leaf.pkcs8(), certs(leaf, between), "The index within the chain of the invalid certificate is: -1"},
	} {
		_, err := f.ImportCertificate(t.Context(), &sdk.ImportCertificateInput{Certificate: tc.cert, PrivateKey: tc.key, CertificateChain: tc.chain})
		fails(t, tc.name, err, "ValidationException", tc.message)
	}
	if all, _, err := f.service.Certificates.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%d certificates, %v", len(all), err)
	}
}

func TestReimport(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	usage := func(u x509.KeyUsage, purposes ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.KeyUsage, c.ExtKeyUsage = u, purposes }
	}
	const server, client, code = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageCodeSigning
	const sig, enc = x509.KeyUsageDigitalSignature, x509.KeyUsageKeyEncipherment
	p256 := func() crypto.Signer { return ec(elliptic.P256()) }
	rsaKey := rsa2048()
	for _, tc := range []struct {
		name          string
		before, after issued
		message       string // "" if it may
	}{
		{"same usages", sign(t, p256(), nil, usage(sig, server)), sign(t, p256(), nil, usage(sig, server)), ""},
		{"more usages", sign(t, p256(), nil, usage(sig, server)), sign(t, p256(), nil, usage(sig|enc, server, client)), ""},
		{"no client authentication any more", sign(t, p256(), nil, usage(sig, server, client)), sign(t, p256(), nil, usage(sig, server)), ""},
		{"ECDSA without key encipherment", sign(t, p256(), nil, usage(sig|enc, server)), sign(t, p256(), nil, usage(sig, server)), ""},
		{"RSA without key encipherment", sign(t, rsaKey, nil, usage(sig|enc, server)), sign(t, rsaKey, nil, usage(sig, server)), "Key usages of the certificate cannot be removed"},
		{"a purpose less", sign(t, p256(), nil, usage(sig, server, code)), sign(t, p256(), nil, usage(sig, server)), "Extended key usages of the certificate cannot be removed"},
		{"a key usage where there was none", sign(t, p256(), nil, usage(0, server)), sign(t, p256(), nil, usage(sig, server)), "cannot be added"},
		{"purposes where there were none", sign(t, p256(), nil, usage(sig)), sign(t, p256(), nil, usage(sig, server)), "cannot be added"},
		{"another kind of key", sign(t, p256(), nil, nil), sign(t, rsaKey, nil, nil), "key type and size"},
		{"another size of key", sign(t, p256(), nil, nil), sign(t, ec(elliptic.P384()), nil, nil), "key type and size"},
	} {
		out, err := f.ImportCertificate(ctx, &sdk.ImportCertificateInput{Certificate: certs(tc.before), PrivateKey: tc.before.pkcs8()})
		if err != nil {
			t.Fatal(err)
		}
		arn := *out.CertificateArn
		f.users[arn] = []string{"lb"}
		_, err = f.ImportCertificate(ctx, &sdk.ImportCertificateInput{CertificateArn: &arn, Certificate: certs(tc.after), PrivateKey: tc.after.pkcs8()})
		want, version := tc.after, int64(2)
		if tc.message != "" {
			fails(t, tc.name, err, "ValidationException", tc.message)
			want, version = tc.before, 1
		} else if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		got, _ := f.GetCertificate(ctx, &sdk.GetCertificateInput{CertificateArn: &arn})
		pair, err := f.service.TLSCertificate(ctx, arn)
		if err != nil || *got.Certificate != string(certs(want)) || pair.Version != version || string(pair.Key) != string(want.pkcs8()) {
			t.Errorf("%s: another certificate, version %d, %v", tc.name, pair.Version, err)
		}
		if uses := f.describe(arn).InUseBy; !slices.Equal(uses, []string{"lb"}) {
			t.Errorf("%s: used by %v", tc.name, uses)
		}
	}
	one := sign(t, p256(), nil, nil)
	requested := f.request("example.com")
	in := func(arn string) *sdk.ImportCertificateInput {
		return &sdk.ImportCertificateInput{CertificateArn: &arn, Certificate: certs(one), PrivateKey: one.pkcs8()}
	}
	_, err := f.ImportCertificate(ctx, in(requested))
	fails(t, "over one of ACM's", err, "ValidationException", "is not an imported certificate")
	_, err = f.ImportCertificate(ctx, in(prefix+"12345678-1234-1234-1234-123456789012"))
	fails(t, "over none", err, "ResourceNotFoundException", "Could not find certificate")
	tagged := in(*must(f.ImportCertificate(ctx, &sdk.ImportCertificateInput{Certificate: certs(one), PrivateKey: one.pkcs8()})).CertificateArn)
	tagged.Tags = []types.Tag{{Key: new("k")}}
	_, err = f.ImportCertificate(ctx, tagged)
	fails(t, "with tags", err, "ValidationException", "Tagging is not permitted on re-import.")
}
