package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestIssuedCertificateVerifies(t *testing.T) {
	dir := t.TempDir()
	ca, err := EnsureCA(dir, "ca", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(Request{
		CommonName: "kube-apiserver",
		DNSNames:   []string{"kubernetes.default.svc"},
		IPs:        []net.IP{net.IPv4(10, 100, 0, 1)},
		Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Lifetime:   time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	for _, name := range []string{"kubernetes.default.svc", "10.100.0.1"} {
		if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("verify %s: %v", name, err)
		}
	}
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"}); err == nil {
		t.Error("a name that was not asked for verifies")
	}
	if _, err := loaded.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("a server's certificate verifies as a client's")
	}
}

func TestEnsureCAKeepsTheFirst(t *testing.T) {
	dir := t.TempDir()
	first, err := EnsureCA(dir, "ca", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	second, err := EnsureCA(dir, "ca", "kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	if !first.Cert.Equal(second.Cert) {
		t.Error("the second call made another CA")
	}
	info, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("ca.key has mode %o, want 600", info.Mode().Perm())
	}
}

func TestEnsureCARefusesADamagedOne(t *testing.T) {
	dir := t.TempDir()
	if _, err := EnsureCA(dir, "ca", "kubernetes"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("not a certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureCA(dir, "ca", "kubernetes"); err == nil {
		t.Error("a damaged CA was replaced or accepted")
	}
}

func TestLifetimeEndsWithTheCA(t *testing.T) {
	ca, err := NewCA("short")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(Request{CommonName: "x", Lifetime: 100 * 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Leaf.NotAfter.After(ca.Cert.NotAfter) {
		t.Error("a certificate outlives its CA")
	}
}

func TestEnsureRSAKey(t *testing.T) {
	dir := t.TempDir()
	if err := EnsureRSAKey(dir, "sa"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "sa.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := EnsureRSAKey(dir, "sa"); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(filepath.Join(dir, "sa.key"))
	if string(before) != string(after) {
		t.Error("the second call made another key")
	}
	if _, err := os.Stat(filepath.Join(dir, "sa.pub")); err != nil {
		t.Error(err)
	}
}
