package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// certificates reads PEM.
func certificates(t *testing.T, text []byte) []*x509.Certificate {
	t.Helper()
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return all
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all, text = append(all, cert), rest
	}
}

func TestAuthoritySigns(t *testing.T) {
	a, err := EnsureAuthority(t.TempDir(), "Tarn Region CA 000000000000 ap-northeast-2")
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tc := range []struct {
		name      string
		key       crypto.Signer
		signature x509.SignatureAlgorithm
		usage     x509.KeyUsage
	}{
		{"RSA", rsaKey, x509.SHA256WithRSA, x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
		{"ECDSA", ecKey, x509.ECDSAWithSHA256, x509.KeyUsageDigitalSignature},
	} {
		leafPEM, chainPEM, err := a.Sign(ServerRequest{
			CommonName: "api.example.com", DNSNames: []string{"api.example.com", "*.example.com"},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(198 * 24 * time.Hour),
		}, tc.key.Public())
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		leaf, chain := certificates(t, leafPEM)[0], certificates(t, chainPEM)
		if len(chain) != 2 || !chain[1].Equal(a.Root.Cert) {
			t.Fatalf("%s: the chain has %d certificates", tc.name, len(chain))
		}
		if leaf.SignatureAlgorithm != tc.signature || leaf.KeyUsage != tc.usage || leaf.IsCA || len(leaf.SubjectKeyId) != 20 || leaf.Subject.String() != "CN=api.example.com" {
			t.Errorf("%s: %s, usage %b, CA %t, subject %s", tc.name, leaf.SignatureAlgorithm, leaf.KeyUsage, leaf.IsCA, leaf.Subject)
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(a.Root.Cert)
		between.AddCert(chain[0])
		for _, name := range []string{"api.example.com", "other.example.com"} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name}); err != nil {
				t.Errorf("%s: verify %s: %v", tc.name, name, err)
			}
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "example.com"}); err == nil {
			t.Errorf("%s: a name that was not asked for verifies", tc.name)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			t.Errorf("%s: a server's certificate verifies as a client's", tc.name)
		}
		if tc.name == "RSA" && leaf.NotAfter.Sub(now) < 197*24*time.Hour {
			t.Errorf("ends at %s", leaf.NotAfter)
		}
	}
	leafPEM, _, err := a.Sign(ServerRequest{CommonName: "a.example.com", NotBefore: now, NotAfter: now.AddDate(100, 0, 0)}, ecKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	if certificates(t, leafPEM)[0].NotAfter.After(a.Root.Cert.NotAfter) {
		t.Error("a certificate outlives its CA")
	}
}

// An issuer cannot make another CA, nor sign for anything but servers.
func TestIssuersAreBound(t *testing.T) {
	a, err := EnsureAuthority(t.TempDir(), "root")
	if err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []*CA{a.rsa, a.ecdsa} {
		c := issuer.Cert
		if !c.MaxPathLenZero || !slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || len(c.DNSNames) > 0 {
			t.Errorf("%s: path length %d, purposes %v, names %v", c.Subject, c.MaxPathLen, c.ExtKeyUsage, c.DNSNames)
		}
	}
	if r := a.Root.Cert; len(r.DNSNames) > 0 || r.MaxPathLen != 1 || r.Subject.String() != "CN=root,O=Tarn" {
		t.Errorf("the root: %s, names %v, path length %d", r.Subject, r.DNSNames, r.MaxPathLen)
	}
}

func TestEnsureAuthorityKeepsTheFirst(t *testing.T) {
	dir := t.TempDir()
	first, err := EnsureAuthority(dir, "root")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"root", "rsa", "ecdsa"} {
		info, err := os.Stat(filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s.key has mode %o, want 600", name, info.Mode().Perm())
		}
	}
	// A crash before the last file: what is there stays.
	if err := os.Remove(filepath.Join(dir, "ecdsa.crt")); err != nil {
		t.Fatal(err)
	}
	second, err := EnsureAuthority(dir, "another name")
	if err != nil {
		t.Fatal(err)
	}
	if !first.Root.Cert.Equal(second.Root.Cert) || !first.rsa.Cert.Equal(second.rsa.Cert) {
		t.Error("the second call made another CA")
	}
	if err := second.ecdsa.Cert.CheckSignatureFrom(first.Root.Cert); err != nil {
		t.Error(err)
	}
	// Without the root, nothing that it has signed is any use.
	if err := os.Remove(filepath.Join(dir, "root.crt")); err != nil {
		t.Fatal(err)
	}
	third, err := EnsureAuthority(dir, "root")
	if err != nil {
		t.Fatal(err)
	}
	if err := third.rsa.Cert.CheckSignatureFrom(third.Root.Cert); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.crt"), []byte("not a certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureAuthority(dir, "root"); err == nil {
		t.Error("a damaged root was replaced or accepted")
	}
}
