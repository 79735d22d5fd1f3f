package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Authority issues the certificates of servers on the web: a root, which people
// trust, and below it an issuer per kind of key, so that a chain looks as those
// of public authorities do and each part of it is signed by its own kind.
type Authority struct {
	Root       *CA
	rsa, ecdsa *CA
}

// organization is in the subjects of an Authority.
const organization = "Tarn"

// domainValidated is the policy of certificates whose owner has shown that the
// domain is theirs, and nothing else. CA/Browser Forum, Baseline Requirements
// 7.1.6.1.
var domainValidated = mustOID(2, 23, 140, 1, 2, 1)

func mustOID(parts ...uint64) x509.OID {
	oid, err := x509.OIDFromInts(parts)
	if err != nil {
		panic(err)
	}
	return oid
}

// EnsureAuthority loads the authority kept in dir, or makes what of it is
// missing. Its keys' files have mode 0600. The root is root.crt, and commonName
// is what people will find it by in their trust stores.
func EnsureAuthority(dir, commonName string) (*Authority, error) {
	root, err := ensure(dir, "root", func() (*CA, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating the key of %s: %w", commonName, err)
		}
		return newAuthority(commonName, key, nil)
	})
	if err != nil {
		return nil, err
	}
	a := &Authority{Root: root}
	a.rsa, err = ensureIssuer(dir, "rsa", root, func() (*CA, error) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("generating the key of the RSA issuer: %w", err)
		}
		return newAuthority("Tarn RSA 2048 M01", key, root)
	})
	if err != nil {
		return nil, err
	}
	a.ecdsa, err = ensureIssuer(dir, "ecdsa", root, func() (*CA, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("generating the key of the ECDSA issuer: %w", err)
		}
		return newAuthority("Tarn ECDSA 256 M01", key, root)
	})
	return a, err
}

// ensureIssuer is ensure for an issuer that the root must have signed: one of
// another root is made again, as nobody who trusts this root would trust it.
func ensureIssuer(dir, name string, root *CA, create func() (*CA, error)) (*CA, error) {
	ca, err := ensure(dir, name, create)
	if err != nil || ca.Cert.CheckSignatureFrom(root.Cert) == nil {
		return ca, err
	}
	return renew(dir, name, create)
}

// ensure loads the CA kept as dir/name.crt and dir/name.key, or makes and keeps
// it. The key is written first: a crash between the two leaves a key that nobody
// has trusted yet, and both are made again.
func ensure(dir, name string, create func() (*CA, error)) (*CA, error) {
	if _, err := os.Stat(filepath.Join(dir, name+".crt")); errors.Is(err, fs.ErrNotExist) {
		return renew(dir, name, create)
	}
	return load(dir, name)
}

func renew(dir, name string, create func() (*CA, error)) (*CA, error) {
	ca, err := create()
	if err != nil {
		return nil, err
	}
	p, err := ca.pair()
	if err != nil {
		return nil, err
	}
	return ca, p.Write(dir, name)
}

func load(dir, name string) (*CA, error) {
	certFile, keyFile := filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the CA in %s: %w", certFile, err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parsing the CA in %s: %w", certFile, err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the CA key in %s cannot sign", keyFile)
	}
	return &CA{Cert: cert, key: signer}, nil
}

// newAuthority makes the root, or with a parent an issuer, which can sign
// servers' certificates only and no further CA.
func newAuthority(commonName string, key crypto.Signer, parent *CA) (*CA, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{organization}, CommonName: commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLen:            1,
	}
	signer := &CA{Cert: template, key: key}
	if parent != nil {
		signer = parent
		template.MaxPathLen, template.MaxPathLenZero = 0, true
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		template.NotAfter = parent.Cert.NotAfter
	}
	return signCA(template, key, signer)
}

// ServerRequest says which certificate a server is to have.
type ServerRequest struct {
	CommonName          string
	DNSNames            []string
	NotBefore, NotAfter time.Time // never past the issuer's own end
}

// Sign signs a server's certificate for a key of which it sees the public half
// only. leaf and chain are PEM; the chain ends with the root.
func (a *Authority) Sign(r ServerRequest, public crypto.PublicKey) (leaf, chain []byte, err error) {
	issuer, usage := a.rsa, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment
	if _, ok := public.(*ecdsa.PublicKey); ok {
		issuer, usage = a.ecdsa, x509.KeyUsageDigitalSignature
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the public key of %s: %w", r.CommonName, err)
	}
	id := sha256.Sum256(spki)
	if r.NotAfter.After(issuer.Cert.NotAfter) {
		r.NotAfter = issuer.Cert.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: r.CommonName},
		DNSNames:              r.DNSNames,
		NotBefore:             r.NotBefore,
		NotAfter:              r.NotAfter,
		KeyUsage:              usage,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // and not a CA
		SubjectKeyId:          id[:20],
		Policies:              []x509.OID{domainValidated},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.Cert, public, issuer.key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate of %s: %w", r.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), append(issuer.PEM(), a.Root.PEM()...), nil
}
