package acm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// Whatever is imported is refused in the API's words, or is whole: a certificate
// that its key belongs to, and a chain that leads away from it.
func FuzzImport(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"}, DNSNames: []string{"example.com"},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	f.Add(cert, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}), []byte(nil))
	f.Add(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), cert)
	f.Add(cert, cert, []byte("-----BEGIN CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, certificate, key, chain []byte) {
		got, err := readImport(certificate, key, chain, now)
		if err != nil {
			if !acmapi.ValidationException.Is(err) {
				t.Fatalf("refused without an error of the API: %v", err)
			}
			return
		}
		if got.leaf == nil || len(got.names) == 0 || got.algorithm == "" {
			t.Fatalf("taken: %+v", got)
		}
		// What is stored is read again at each description.
		private, err := parseKey(keyPEM(got.key))
		if err != nil || !belongs(got.leaf, private) {
			t.Fatalf("the key does not belong to the certificate: %v", err)
		}
		m := Material{Certificate: encodeChain([]*x509.Certificate{got.leaf}), Chain: encodeChain(got.chain)}
		again, err := m.parse()
		if err != nil || !bytes.Equal(again.Raw, got.leaf.Raw) {
			t.Fatalf("the certificate is not read back: %v", err)
		}
		if keyUsages(again) == nil || len(extendedKeyUsages(again)) > 0 && extendedKeyUsages(again)[0].Name == "" {
			t.Error("a usage without a name")
		}
		if served := m.served(); !bytes.HasPrefix(served, []byte(m.Certificate)) {
			t.Error("a server would not send the certificate first")
		}
		if err := mayReplace(got.leaf, got.leaf); err != nil {
			t.Errorf("it may not replace itself: %v", err)
		}
	})
}

// A token that was not made here approves nothing, and one that was says what
// it was made of.
func FuzzApprovalToken(f *testing.F) {
	seal, linkKey, err := keys(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		f.Fatal(err)
	}
	s := &Service{seal: seal, linkKey: linkKey}
	const id = "12345678-1234-1234-1234-123456789012"
	domain, expires := Domain{Name: "www.example.com", ValidationDomain: "example.com"}, time.Unix(1_800_000_000, 0)
	good := strings.TrimPrefix(s.ApprovalLink(id, domain, expires), ApprovalPath+"?token=")
	for _, token := range []string{"", ".", "AAAA", good[:60], good + "A", strings.ToUpper(good)} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if a, ok := s.approval(token); ok && (token != good || a.id != id) {
			t.Errorf("%q is taken: %+v", token, a)
		}
		a, ok := s.approval(good)
		if !ok || a.id != id || a.about != domain.digest() || !a.expires.Equal(expires) {
			t.Errorf("the good one: %+v, %t", a, ok)
		}
	})
}

// FuzzName: what the pattern of the model's names takes is a name that can be in
// DNS; the look-ahead that Go lacks is made up for.
func FuzzName(f *testing.F) {
	for _, name := range []string{"example.com", "*.example.com", "a-b.example.co", "-a.com", "a-.com", "a..com", "xn--3e0b707e.com", "1.2.3.44"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !wholeName.MatchString(name) {
			return
		}
		labels := strings.Split(strings.TrimPrefix(name, "*."), ".")
		if len(labels) < 2 || len(labels[len(labels)-1]) < 2 {
			t.Errorf("%q is taken", name)
		}
		for _, label := range labels {
			if label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.ContainsAny(label, "*_ ") {
				t.Errorf("%q is taken", name)
			}
		}
	})
}

func TestRecord(t *testing.T) {
	name, value := record("111122223333", "example.com")
	if again, same := record("111122223333", "*.example.com"); again != name || same != value {
		t.Errorf("the wildcard's: %s %s, its parent's: %s %s", again, same, name, value)
	}
	if _, other := record("999999999999", "example.com"); other == value {
		t.Error("two accounts have one value")
	}
	// It is set in other people's zones: it may never change.
	if name != "_b966c2ea7940563ee7053ca86404c49e.example.com." {
		t.Errorf("another name than in versions before: %s", name)
	}
}

func TestWithin(t *testing.T) {
	for _, tc := range []struct {
		name, domain string
		want         bool
	}{
		{"a.example.com", "a.example.com", true},
		{"a.example.com", "example.com", true},
		{"*.example.com", "example.com", true},
		{"myexample.com", "example.com", false},
		{"example.com", "a.example.com", false},
		{"a.example.com", "com", true},
	} {
		if got := within(tc.name, tc.domain); got != tc.want {
			t.Errorf("%s within %s: %t", tc.name, tc.domain, got)
		}
	}
}
