package acm

import (
	"cmp"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// Issuer is whom the certificates of this region are from.
const Issuer = "Tarn"

// DescribeCertificate implements acmapi.Handler.
func (s *Service) DescribeCertificate(ctx context.Context, in *acmapi.DescribeCertificateInput) (*acmapi.DescribeCertificateOutput, error) {
	it, err := s.certificate(ctx, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	uses, err := s.uses(ctx, it.Value)
	if err != nil {
		return nil, err
	}
	detail, err := s.describe(it.Value, uses)
	return &acmapi.DescribeCertificateOutput{Certificate: detail}, err
}

// uses are the ARNs of what uses the certificate, sorted.
func (s *Service) uses(ctx context.Context, c Certificate) ([]string, error) {
	uses, err := s.users.InUse(ctx, s.ARN(c.ID))
	uses = append([]string{}, uses...)
	slices.Sort(uses)
	return uses, err
}

func (s *Service) describe(c Certificate, uses []string) (*acmapi.CertificateDetail, error) {
	out := &acmapi.CertificateDetail{
		CertificateArn: new(s.ARN(c.ID)), DomainName: new(c.DomainName()), SubjectAlternativeNames: c.Names,
		Status: c.Status, Type: c.Type, FailureReason: c.Reason, KeyAlgorithm: shownAlgorithm(c.Algorithm),
		CreatedAt: present(c.Created), IssuedAt: present(c.Issued), ImportedAt: present(c.Imported),
		InUseBy: uses, RenewalEligibility: c.eligibility(len(uses) > 0),
		Subject: new("CN=" + c.DomainName()), Issuer: new(Issuer), SignatureAlgorithm: new(signatureOf(c.Algorithm)),
		KeyUsages: []acmapi.KeyUsage{}, ExtendedKeyUsages: []acmapi.ExtendedKeyUsage{},
		CertificateAuthorityArn: value(c.Authority), Options: c.options(),
	}
	if c.Type == acmapi.CertificateTypeAmazonIssued {
		out.DomainValidationOptions = describeDomains(c.Domains, c.Method)
		if r := c.Renewal; r != nil {
			out.RenewalSummary = &acmapi.RenewalSummary{
				RenewalStatus: r.Status, RenewalStatusReason: r.Reason, UpdatedAt: new(r.Updated),
				DomainValidationOptions: describeDomains(r.Domains, c.Method),
			}
		}
	}
	if c.Material == nil {
		return out, nil
	}
	cert, err := c.Material.parse()
	if err != nil {
		return nil, err
	}
	out.NotBefore, out.NotAfter = new(c.Material.NotBefore), new(c.Material.NotAfter)
	out.Serial = new(serial(cert))
	out.Subject, out.Issuer = new(cert.Subject.String()), new(issuer(cert))
	out.SignatureAlgorithm = new(signatures[cert.SignatureAlgorithm])
	for _, usage := range keyUsages(cert) {
		out.KeyUsages = append(out.KeyUsages, acmapi.KeyUsage{Name: usage})
	}
	out.ExtendedKeyUsages = extendedKeyUsages(cert)
	return out, nil
}

// present is a time that may be absent.
func present(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// options is what was asked of the certificate. Imported ones were not asked for.
func (c Certificate) options() *acmapi.CertificateOptions {
	if c.Type == acmapi.CertificateTypeImported {
		return &acmapi.CertificateOptions{CertificateTransparencyLoggingPreference: acmapi.CertificateTransparencyLoggingPreferenceDisabled}
	}
	return &acmapi.CertificateOptions{CertificateTransparencyLoggingPreference: c.Logging, Export: c.export()}
}

// export says whether the key may be exported.
func (c Certificate) export() acmapi.CertificateExport {
	if c.Exportable {
		return acmapi.CertificateExportEnabled
	}
	return acmapi.CertificateExportDisabled
}

// eligibility says whether ACM renews the certificate by itself.
//
// https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html
func (c Certificate) eligibility(used bool) acmapi.RenewalEligibility {
	if c.Eligible(used) {
		return acmapi.RenewalEligibilityEligible
	}
	return acmapi.RenewalEligibilityIneligible
}

// Eligible says whether ACM renews a certificate that is, or is not, used.
func (c Certificate) Eligible(used bool) bool {
	return c.Type != acmapi.CertificateTypeImported && c.Status == acmapi.CertificateStatusIssued && (used || c.Exported)
}

// shownAlgorithm is how responses, other than requests and the model, write an
// algorithm: RSA-2048, EC-prime256v1.
func shownAlgorithm(a acmapi.KeyAlgorithm) acmapi.KeyAlgorithm {
	return acmapi.KeyAlgorithm(strings.Replace(string(a), "_", "-", 1))
}

// signatureOf is by which algorithm a certificate with such a key is signed here.
func signatureOf(a acmapi.KeyAlgorithm) string {
	if strings.HasPrefix(string(a), "EC") {
		return signatures[x509.ECDSAWithSHA256]
	}
	return signatures[x509.SHA256WithRSA]
}

// signatures are the names of algorithms.
var signatures = map[x509.SignatureAlgorithm]string{
	x509.SHA1WithRSA:      "SHA1WITHRSA",
	x509.SHA256WithRSA:    "SHA256WITHRSA",
	x509.SHA384WithRSA:    "SHA384WITHRSA",
	x509.SHA512WithRSA:    "SHA512WITHRSA",
	x509.SHA256WithRSAPSS: "SHA256WITHRSAANDMGF1",
	x509.SHA384WithRSAPSS: "SHA384WITHRSAANDMGF1",
	x509.SHA512WithRSAPSS: "SHA512WITHRSAANDMGF1",
	x509.ECDSAWithSHA1:    "SHA1WITHECDSA",
	x509.ECDSAWithSHA256:  "SHA256WITHECDSA",
	x509.ECDSAWithSHA384:  "SHA384WITHECDSA",
	x509.ECDSAWithSHA512:  "SHA512WITHECDSA",
}

func serial(cert *x509.Certificate) string {
	var parts []string
	for _, b := range cert.SerialNumber.Bytes() {
		parts = append(parts, hex.EncodeToString([]byte{b}))
	}
	return strings.Join(parts, ":")
}

// issuer is the organization that has signed, or what else it calls itself.
func issuer(cert *x509.Certificate) string {
	return cmp.Or(first(cert.Issuer.Organization), cert.Issuer.CommonName, cert.Issuer.String())
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// keyUsageNames are in the order of their bits.
var keyUsageNames = []acmapi.KeyUsageName{
	acmapi.KeyUsageNameDigitalSignature, acmapi.KeyUsageNameNonRepudiation, acmapi.KeyUsageNameKeyEncipherment,
	acmapi.KeyUsageNameDataEncipherment, acmapi.KeyUsageNameKeyAgreement, acmapi.KeyUsageNameCertificateSigning,
	acmapi.KeyUsageNameCrlSigning, acmapi.KeyUsageNameEncipherOnly, acmapi.KeyUsageNameDecipherOnly,
}

// keyUsages are what the key may be used for: without the extension, anything.
func keyUsages(cert *x509.Certificate) []acmapi.KeyUsageName {
	var all []acmapi.KeyUsageName
	for bit, name := range keyUsageNames {
		if cert.KeyUsage&(1<<bit) != 0 {
			all = append(all, name)
		}
	}
	if all == nil {
		return []acmapi.KeyUsageName{acmapi.KeyUsageNameAny}
	}
	return all
}

// extended are the purposes that have names of their own.
var extended = map[string]acmapi.ExtendedKeyUsageName{
	"1.3.6.1.5.5.7.3.1": acmapi.ExtendedKeyUsageNameTlsWebServerAuthentication,
	"1.3.6.1.5.5.7.3.2": acmapi.ExtendedKeyUsageNameTlsWebClientAuthentication,
	"1.3.6.1.5.5.7.3.3": acmapi.ExtendedKeyUsageNameCodeSigning,
	"1.3.6.1.5.5.7.3.4": acmapi.ExtendedKeyUsageNameEmailProtection,
	"1.3.6.1.5.5.7.3.5": acmapi.ExtendedKeyUsageNameIpsecEndSystem,
	"1.3.6.1.5.5.7.3.6": acmapi.ExtendedKeyUsageNameIpsecTunnel,
	"1.3.6.1.5.5.7.3.7": acmapi.ExtendedKeyUsageNameIpsecUser,
	"1.3.6.1.5.5.7.3.8": acmapi.ExtendedKeyUsageNameTimeStamping,
	"1.3.6.1.5.5.7.3.9": acmapi.ExtendedKeyUsageNameOcspSigning,
	"2.5.29.37.0":       acmapi.ExtendedKeyUsageNameAny,
}

var extendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// extendedKeyUsages are the purposes of the certificate, in its order.
func extendedKeyUsages(cert *x509.Certificate) []acmapi.ExtendedKeyUsage {
	all := []acmapi.ExtendedKeyUsage{}
	i := slices.IndexFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(extendedKeyUsage) })
	if i < 0 {
		return append(all, acmapi.ExtendedKeyUsage{Name: acmapi.ExtendedKeyUsageNameNone})
	}
	var oids []asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(cert.Extensions[i].Value, &oids); err != nil {
		return all // x509 has read it already
	}
	for _, oid := range oids {
		name := cmp.Or(extended[oid.String()], acmapi.ExtendedKeyUsageNameCustom)
		all = append(all, acmapi.ExtendedKeyUsage{Name: name, OID: new(oid.String())})
	}
	return all
}
