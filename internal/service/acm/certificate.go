package acm

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// Certificate is the record of a certificate.
type Certificate struct {
	ID        string
	Type      acmapi.CertificateType
	Status    acmapi.CertificateStatus
	Reason    acmapi.FailureReason `json:",omitempty"` // of a failure
	Names     []string             // the first is the DomainName
	Algorithm acmapi.KeyAlgorithm
	Created   time.Time
	Issued    time.Time         `json:",omitzero"`
	Imported  time.Time         `json:",omitzero"`
	Tags      map[string]string `json:",omitempty"`

	// Method and Domains are of those that ACM issues: how, and of which names,
	// the owner shows that they are theirs.
	Method  acmapi.ValidationMethod `json:",omitempty"`
	Domains []Domain                `json:",omitempty"`
	Logging acmapi.CertificateTransparencyLoggingPreference
	// Exportable says that the owner may have the key, Exported that they have it,
	// since the certificate was issued or renewed.
	Exportable bool   `json:",omitempty"`
	Exported   bool   `json:",omitempty"`
	Authority  string `json:",omitempty"` // ARN of the private CA that is to issue it
	Token      string `json:",omitempty"` // of the request,
	Asked      string `json:",omitempty"` // and a digest of all else that was in it

	Material *Material `json:",omitempty"` // nil until it is issued
	Renewal  *Renewal  `json:",omitempty"` // nil until it is renewed for the first time
}

// Domain is a name whose owner is to be shown.
type Domain struct {
	Name   string
	Status acmapi.DomainStatus
	// RecordName and RecordValue are the CNAME record by which DNS shows it, with
	// final dots.
	RecordName  string `json:",omitempty"`
	RecordValue string `json:",omitempty"`
	// Mailboxes are under ValidationDomain; Mailed is when they got the last mail,
	// and Remail that they are to get one more.
	ValidationDomain string
	Mailed           time.Time `json:",omitzero"`
	Remail           bool      `json:",omitempty"`
}

// Material is a certificate itself.
type Material struct {
	Certificate string // PEM
	Chain       string // PEM, of those that lead to the root; "" if there are none
	SealedKey   []byte
	NotBefore   time.Time
	NotAfter    time.Time
	Version     int64 // counts the certificates under one ARN
}

// Renewal is the last or the present attempt to renew a certificate.
type Renewal struct {
	Status  acmapi.RenewalStatus
	Reason  acmapi.FailureReason `json:",omitempty"`
	Domains []Domain
	Updated time.Time
}

// DomainName is the certificate's first name.
func (c Certificate) DomainName() string { return c.Names[0] }

// Validated says whether all names' owners were shown.
func Validated(domains []Domain) bool {
	return !slices.ContainsFunc(domains, func(d Domain) bool { return d.Status != acmapi.DomainStatusSuccess })
}

// Renewing says whether a renewal is under way.
func (c Certificate) Renewing() bool {
	return c.Renewal != nil && (c.Renewal.Status == acmapi.RenewalStatusPendingAutoRenewal || c.Renewal.Status == acmapi.RenewalStatusPendingValidation)
}

// revalidation is what a renewal begins with: nothing is shown yet.
func (c Certificate) revalidation() []Domain {
	all := slices.Clone(c.Domains)
	for i := range all {
		all[i].Status, all[i].Mailed, all[i].Remail = acmapi.DomainStatusPendingValidation, time.Time{}, false
	}
	return all
}

// pending are the domains whose validation is under way: of the request, or of
// a renewal. Nil if there is none.
func (c *Certificate) pending() []Domain {
	switch {
	case c.Status == acmapi.CertificateStatusPendingValidation:
		return c.Domains
	case c.Renewing():
		return c.Renewal.Domains
	}
	return nil
}

// parse reads the certificate. It was parsed before it was stored.
func (m *Material) parse() (*x509.Certificate, error) {
	return parseCertificate([]byte(m.Certificate))
}

// served is what a TLS server sends: clients have the root or do not trust it.
func (m *Material) served() []byte {
	out := []byte(m.Certificate)
	for rest := []byte(m.Chain); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err == nil && bytes.Equal(cert.RawIssuer, cert.RawSubject) {
			continue
		}
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, pem.EncodeToMemory(block)...)
	}
}
