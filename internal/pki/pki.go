// Package pki makes certificate authorities and the certificates they sign.
// It knows keys, names and files; who needs which certificate is decided by its
// callers.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caLifetime = 10 * 365 * 24 * time.Hour
	// backdate covers clocks that are a little behind the one that signed.
	backdate = 5 * time.Minute
)

// CA is a certificate authority: a self-signed certificate and its key.
type CA struct {
	Cert *x509.Certificate
	key  crypto.Signer
}

// Request says what a certificate is for.
type Request struct {
	CommonName   string
	Organization []string
	DNSNames     []string
	IPs          []net.IP
	Usages       []x509.ExtKeyUsage // ClientAuth, ServerAuth
	Lifetime     time.Duration      // from now; never past the CA's own end
}

// Pair is a certificate and its private key, both in PEM.
type Pair struct {
	Cert, Key []byte
}

// NewCA makes an ECDSA P-256 authority that is valid for ten years.
func NewCA(commonName string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of CA %s: %w", commonName, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		DNSNames:              []string{commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return signCA(template, key, &CA{Cert: template, key: key})
}

// signCA has the signer, which may be the CA itself, sign a CA.
func signCA(template *x509.Certificate, key crypto.Signer, signer *CA) (*CA, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, signer.Cert, key.Public(), signer.key)
	if err != nil {
		return nil, fmt.Errorf("signing CA %s: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back CA %s: %w", template.Subject.CommonName, err)
	}
	return &CA{Cert: cert, key: key}, nil
}

// EnsureCA loads the authority kept as dir/name.crt and dir/name.key, or makes
// and keeps it. The key's file has mode 0600.
func EnsureCA(dir, name, commonName string) (*CA, error) {
	ca, err := load(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return renew(dir, name, func() (*CA, error) { return NewCA(commonName) })
	}
	return ca, err
}

// PEM is the authority's certificate.
func (ca *CA) PEM() []byte { return certPEM(ca.Cert.Raw) }

// Issue makes a key and signs a certificate for it.
func (ca *CA) Issue(r Request) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generating the key of %s: %w", r.CommonName, err)
	}
	serial, err := newSerial()
	if err != nil {
		return Pair{}, err
	}
	now := time.Now()
	notAfter := now.Add(r.Lifetime)
	if notAfter.After(ca.Cert.NotAfter) {
		notAfter = ca.Cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: r.CommonName, Organization: r.Organization},
		DNSNames:     r.DNSNames,
		IPAddresses:  r.IPs,
		NotBefore:    now.Add(-backdate),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  r.Usages,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", r.CommonName, err)
	}
	keyPEM, err := privateKeyPEM(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{Cert: certPEM(der), Key: keyPEM}, nil
}

// EnsureRSAKey keeps an RSA 2048 key in dir/name.key (0600) and its public half
// in dir/name.pub: what service-account tokens are signed with, RS256, because
// that is what AWS accepts from an OIDC issuer.
func EnsureRSAKey(dir, name string) error {
	keyFile := filepath.Join(dir, name+".key")
	if _, err := os.Stat(keyFile); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for %s: %w", keyFile, err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generating %s: %w", keyFile, err)
	}
	private, err := privateKeyPEM(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the public half of %s: %w", keyFile, err)
	}
	if err := writeFile(filepath.Join(dir, name+".pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644); err != nil {
		return err
	}
	return writeFile(keyFile, private, 0o600)
}

// Write keeps the pair as dir/name.crt (0644) and dir/name.key (0600).
func (p Pair) Write(dir, name string) error {
	if err := writeFile(filepath.Join(dir, name+".key"), p.Key, 0o600); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name+".crt"), p.Cert, 0o644)
}

func (ca *CA) pair() (Pair, error) {
	key, err := privateKeyPEM(ca.key)
	return Pair{Cert: ca.PEM(), Key: key}, err
}

// writeFile replaces the file at once, so that a reader never sees half of it
// and a crash leaves the old or the new.
func writeFile(name string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("making the directory of %s: %w", name, err)
	}
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("putting %s in place: %w", name, err)
	}
	return nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func privateKeyPEM(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func newSerial() (*big.Int, error) {
	// RFC 5280 section 4.1.2.2: positive, at most 20 octets.
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
