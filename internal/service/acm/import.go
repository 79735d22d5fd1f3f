package acm

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

const (
	maxCertificate = 32768
	maxChain       = 2097152
	maxKey         = 5120
)

// ImportCertificate implements acmapi.Handler.
func (s *Service) ImportCertificate(ctx context.Context, in *acmapi.ImportCertificateInput) (*acmapi.ImportCertificateOutput, error) {
	if err := checkImport(in); err != nil {
		return nil, err
	}
	tags, err := tagMap(in.Tags)
	if err != nil {
		return nil, err
	}
	got, err := readImport(in.Certificate, in.PrivateKey, in.CertificateChain, s.time())
	if err != nil {
		return nil, err
	}
	if in.CertificateArn != nil {
		if len(in.Tags) > 0 {
			return nil, acmapi.ValidationException.New("Tagging is not permitted on re-import.")
		}
		return s.reimport(ctx, *in.CertificateArn, got)
	}
	now := s.time()
	c := Certificate{
		ID: uuid.NewString(), Type: acmapi.CertificateTypeImported, Status: acmapi.CertificateStatusIssued,
		Names: got.names, Algorithm: got.algorithm, Created: now, Imported: now, Tags: tags,
	}
	c.Material = s.imported(c.ID, got, 1)
	if _, err := s.Certificates.Create(ctx, c.ID, c); err != nil {
		return nil, err
	}
	return &acmapi.ImportCertificateOutput{CertificateArn: new(s.ARN(c.ID))}, nil
}

// reimport puts another certificate under an ARN, whose users take it over.
func (s *Service) reimport(ctx context.Context, certificate string, got imported) (*acmapi.ImportCertificateOutput, error) {
	err := s.modify(ctx, &certificate, func(c *Certificate) error {
		if c.Type != acmapi.CertificateTypeImported {
			return acmapi.ValidationException.New("Certificate %s is not an imported certificate: it cannot be replaced by an import.", certificate)
		}
		before, err := c.Material.parse()
		if err != nil {
			return err
		}
		if err := mayReplace(before, got.leaf); err != nil {
			return err
		}
		c.Names, c.Imported, c.Status = got.names, s.time(), acmapi.CertificateStatusIssued
		c.Material = s.imported(c.ID, got, c.Material.Version+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &acmapi.ImportCertificateOutput{CertificateArn: &certificate}, nil
}

func (s *Service) imported(id string, got imported, version int64) *Material {
	return &Material{
		Certificate: encodeChain([]*x509.Certificate{got.leaf}), Chain: encodeChain(got.chain), SealedKey: s.sealKey(id, got.key),
		NotBefore: got.leaf.NotBefore, NotAfter: got.leaf.NotAfter, Version: version,
	}
}

// checkImport checks what the model says.
func checkImport(in *acmapi.ImportCertificateInput) error {
	var v violations
	if in.CertificateArn != nil {
		v.arn(in.CertificateArn)
	}
	v.blob(in.Certificate, "certificate", maxCertificate)
	v.blob(in.PrivateKey, "privateKey", maxKey)
	if in.CertificateChain != nil {
		v.blob(in.CertificateChain, "certificateChain", maxChain)
	}
	if in.Tags != nil && len(in.Tags) == 0 {
		v.add("[]", "tags", atLeast(1))
	}
	v.tags(in.Tags)
	return v.err()
}

// imported is a certificate that somebody else has issued.
type imported struct {
	leaf      *x509.Certificate
	chain     []*x509.Certificate
	key       []byte // PKCS #8
	names     []string
	algorithm acmapi.KeyAlgorithm
}

// readImport reads what is to be imported, and checks that it belongs together.
func readImport(certificate, key, chain []byte, now time.Time) (imported, error) {
	var got imported
	leaves, err := parseCertificates(certificate)
	if err != nil {
		return got, acmapi.ValidationException.New("The certificate is not PEM-encoded or is not valid.").Because(err)
	}
	if len(leaves) > 1 {
		return got, acmapi.ValidationException.New("The certificate field contains more than one certificate. You can specify only one certificate in this field.")
	}
	got.leaf = leaves[0]
	private, err := readKey(key)
	if err != nil {
		return got, err
	}
	if got.key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return got, acmapi.ValidationException.New("The private key is not supported.").Because(err)
	}
	if got.algorithm = algorithm(got.leaf.PublicKey); got.algorithm == "" {
		return got, acmapi.ValidationException.New("The key algorithm or the length of the key is not supported.")
	}
	if !belongs(got.leaf, private) {
		return got, acmapi.ValidationException.New("The private key does not match the public key of the certificate.")
	}
	switch {
	case got.leaf.Version != 3:
		return got, acmapi.ValidationException.New("The certificate is not an X.509 version 3 certificate.")
	case now.Before(got.leaf.NotBefore):
		return got, acmapi.ValidationException.New("The certificate is not in effect yet, is not valid.")
	case now.After(got.leaf.NotAfter):
		return got, acmapi.ValidationException.New("The certificate has expired, is not valid.")
	}
	if got.names = namesOf(got.leaf); len(got.names) == 0 {
		return got, acmapi.ValidationException.New("The certificate names no domain and no address.")
	}
	if len(chain) > 0 {
		if got.chain, err = parseCertificates(chain); err != nil {
			return got, acmapi.ValidationException.New("The certificate chain is not PEM-encoded or is not valid.").Because(err)
		}
		return got, checkChain(got.leaf, got.chain)
	}
	return got, nil
}

func readKey(key []byte) (crypto.Signer, error) {
	private, err := parseKey(key)
	if err != nil {
		if bytes.Contains(key, []byte("ENCRYPTED")) {
			return nil, acmapi.ValidationException.New("The private key is encrypted. Import it without a passphrase.")
		}
		return nil, acmapi.ValidationException.New("The private key is not PEM-encoded or is not valid.").Because(err)
	}
	return private, nil
}

// namesOf are the names in a certificate, the one in its subject first.
func namesOf(cert *x509.Certificate) []string {
	var all []string
	add := func(name string) {
		if name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	add(cert.Subject.CommonName)
	for _, name := range cert.DNSNames {
		add(name)
	}
	for _, ip := range cert.IPAddresses {
		add(ip.String())
	}
	return all
}

// checkChain checks that each certificate was signed by the next.
func checkChain(leaf *x509.Certificate, chain []*x509.Certificate) error {
	for i, cert := range chain {
		signed := leaf
		if i > 0 {
			signed = chain[i-1]
		}
		if bytes.Equal(cert.Raw, leaf.Raw) && len(chain) == 1 {
			return nil // self-signed, and given twice
		}
		if err := signed.CheckSignatureFrom(cert); err != nil {
			if i == 0 && len(chain) == 1 {
				return acmapi.ValidationException.New("Could not validate the certificate with the certificate chain.").Because(err)
			}
			return acmapi.ValidationException.New("Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate is: %d", i-1).Because(err)
		}
	}
	return nil
}

// mayReplace says whether a certificate can take the place of the one before.
//
// https://docs.aws.amazon.com/acm/latest/userguide/import-reimport.html
func mayReplace(before, after *x509.Certificate) error {
	kind := algorithm(before.PublicKey)
	if kind != algorithm(after.PublicKey) {
		return acmapi.ValidationException.New("The key type and size of the certificate cannot be changed on re-import: it is %s.", kind)
	}
	lost := before.KeyUsage &^ after.KeyUsage
	if strings.HasPrefix(string(kind), "EC") {
		lost &^= x509.KeyUsageKeyEncipherment
	}
	if lost != 0 {
		return acmapi.ValidationException.New("Key usages of the certificate cannot be removed on re-import.")
	}
	if before.KeyUsage == 0 && after.KeyUsage != 0 {
		return acmapi.ValidationException.New("A key usage extension cannot be added on re-import.")
	}
	had, has := extendedKeyUsages(before), extendedKeyUsages(after)
	if had[0].OID == nil || has[0].OID == nil {
		if had[0].OID != has[0].OID {
			return acmapi.ValidationException.New("An extended key usage extension cannot be added or removed on re-import.")
		}
		return nil
	}
	for _, usage := range had {
		kept := slices.ContainsFunc(has, func(u acmapi.ExtendedKeyUsage) bool { return *u.OID == *usage.OID })
		if !kept && usage.Name != acmapi.ExtendedKeyUsageNameTlsWebClientAuthentication {
			return acmapi.ValidationException.New("Extended key usages of the certificate cannot be removed on re-import.")
		}
	}
	return nil
}
