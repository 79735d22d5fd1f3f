package acm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

var errNotPEM = errors.New("not PEM, or something else than what is wanted in it")

// blocks are the PEM blocks of a text that has nothing else in it but white
// space and, as tools write it, words before a block.
func blocks(text []byte) ([]*pem.Block, error) {
	var all []*pem.Block
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		all = append(all, block)
		text = rest
	}
	if len(all) == 0 || bytes.Contains(text, []byte("-----BEGIN")) {
		return nil, errNotPEM
	}
	return all, nil
}

// parseCertificates reads PEM with one or more certificates.
func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	found, err := blocks(text)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, block := range found {
		if block.Type != "CERTIFICATE" {
			return nil, errNotPEM
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	return all, nil
}

// parseCertificate reads PEM with one certificate.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	all, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, errNotPEM
	}
	return all[0], nil
}

// parseKey reads PEM with one private key, in any of the forms that openssl
// writes and that need no passphrase.
func parseKey(text []byte) (crypto.Signer, error) {
	found, err := blocks(text)
	if err != nil {
		return nil, err
	}
	// openssl ecparam -genkey says first on which curve the key is.
	found = slices.DeleteFunc(found, func(b *pem.Block) bool { return b.Type == "EC PARAMETERS" })
	if len(found) != 1 {
		return nil, errNotPEM
	}
	var key any
	switch der := found[0].Bytes; found[0].Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(der)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(der)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(der)
	default:
		err = errNotPEM
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errNotPEM
	}
	return signer, nil
}

// algorithm names the kind of a public key, or returns "" if ACM has none such.
func algorithm(public crypto.PublicKey) acmapi.KeyAlgorithm {
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch key.N.BitLen() {
		case 1024:
			return acmapi.KeyAlgorithmRsa1024
		case 2048:
			return acmapi.KeyAlgorithmRsa2048
		case 3072:
			return acmapi.KeyAlgorithmRsa3072
		case 4096:
			return acmapi.KeyAlgorithmRsa4096
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return acmapi.KeyAlgorithmEcPrime256v1
		case elliptic.P384():
			return acmapi.KeyAlgorithmEcSecp384r1
		case elliptic.P521():
			return acmapi.KeyAlgorithmEcSecp521r1
		}
	}
	return ""
}

// belongs says whether a certificate is about the key.
func belongs(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// encodeChain writes certificates as PEM.
func encodeChain(certs []*x509.Certificate) string {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return string(out)
}
