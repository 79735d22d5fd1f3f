package acm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

const (
	maxCommonName = 64
	// maxNames is AWS's quota of an account that has not asked for more.
	maxNames      = 10
	tokenLifetime = time.Hour
)

// requestable are the algorithms of keys that ACM makes; keys of others are
// imported.
var requestable = []acmapi.KeyAlgorithm{
	acmapi.KeyAlgorithmRsa2048, acmapi.KeyAlgorithmRsa3072, acmapi.KeyAlgorithmRsa4096,
	acmapi.KeyAlgorithmEcPrime256v1, acmapi.KeyAlgorithmEcSecp384r1,
}

// RequestCertificate implements acmapi.Handler.
func (s *Service) RequestCertificate(ctx context.Context, in *acmapi.RequestCertificateInput) (*acmapi.RequestCertificateOutput, error) {
	c, err := s.newCertificate(in)
	if err != nil {
		return nil, err
	}
	if c.Token != "" {
		s.requesting.Lock()
		defer s.requesting.Unlock()
		id, err := s.earlier(ctx, c)
		if err != nil {
			return nil, err
		}
		if id != "" {
			return &acmapi.RequestCertificateOutput{CertificateArn: new(s.ARN(id))}, nil
		}
	}
	if _, err := s.Certificates.Create(ctx, c.ID, c); err != nil {
		return nil, err
	}
	return &acmapi.RequestCertificateOutput{CertificateArn: new(s.ARN(c.ID))}, nil
}

// earlier finds what the same request has made within the hour, or "".
func (s *Service) earlier(ctx context.Context, c Certificate) (string, error) {
	all, _, err := s.Certificates.List(ctx, "")
	for _, it := range all {
		e := it.Value
		if e.Token == c.Token && e.Asked == c.Asked && c.Created.Sub(e.Created) < tokenLifetime {
			return e.ID, err
		}
	}
	return "", err
}

// newCertificate is the record that a request asks for.
func (s *Service) newCertificate(in *acmapi.RequestCertificateInput) (Certificate, error) {
	if err := checkRequest(in); err != nil {
		return Certificate{}, err
	}
	c := Certificate{
		ID: uuid.NewString(), Type: acmapi.CertificateTypeAmazonIssued, Status: acmapi.CertificateStatusPendingValidation,
		Names: names(in), Created: s.time(), Token: val(in.IdempotencyToken), Asked: digest(in),
		Algorithm: cmp.Or(in.KeyAlgorithm, acmapi.KeyAlgorithmRsa2048),
		Method:    cmp.Or(in.ValidationMethod, acmapi.ValidationMethodEmail),
		Logging:   acmapi.CertificateTransparencyLoggingPreferenceEnabled,
	}
	if len(c.Names[0]) > maxCommonName {
		return c, acmapi.InvalidDomainValidationOptionsException.New("The first domain name can be no longer than %d characters.", maxCommonName)
	}
	if len(c.Names) > maxNames {
		return c, acmapi.LimitExceededException.New("Certificate has too many domains.")
	}
	if !slices.Contains(requestable, c.Algorithm) {
		return c, acmapi.ValidationException.New("The key algorithm %s is supported for imported certificates only.", c.Algorithm)
	}
	if c.Method == methodHTTP {
		return c, acmapi.ValidationException.New("HTTP validation is supported for certificates that are managed by CloudFront only.")
	}
	if o := in.Options; o != nil {
		c.Logging = cmp.Or(o.CertificateTransparencyLoggingPreference, c.Logging)
		c.Exportable = o.Export == acmapi.CertificateExportEnabled
	}
	var err error
	if c.Tags, err = tagMap(in.Tags); err != nil {
		return c, err
	}
	if in.CertificateAuthorityArn != nil { // whether there is such a CA turns out when it is asked
		c.Type, c.Method, c.Authority, c.Exportable = acmapi.CertificateTypePrivate, "", *in.CertificateAuthorityArn, true
		return c, nil
	}
	options, err := validationDomains(c.Names, in.DomainValidationOptions)
	if err != nil {
		return c, err
	}
	c.Domains = s.domains(c.Names, c.Method, options)
	return c, nil
}

// methodHTTP is a method that the model does not list and AWS has for CloudFront.
const methodHTTP acmapi.ValidationMethod = "HTTP"

// checkRequest checks what the model says.
func checkRequest(in *acmapi.RequestCertificateInput) error {
	var v violations
	v.name(val(in.DomainName), "domainName")
	if n := len(in.SubjectAlternativeNames); in.SubjectAlternativeNames != nil && (n < 1 || n > 100) {
		v.add(shown(in.SubjectAlternativeNames), "subjectAlternativeNames", cmp.Or(map[bool]string{true: atLeast(1)}[n < 1], atMost(100)))
	}
	for _, name := range in.SubjectAlternativeNames {
		if name == "" || len(name) > 253 || !wholeName.MatchString(name) {
			v.add(shown(in.SubjectAlternativeNames), "subjectAlternativeNames", "Member must satisfy constraint: ["+
				strings.Join([]string{atMost(253), atLeast(1), mustMatch(namePattern)}, ", ")+"]")
			break
		}
	}
	enum(&v, in.ValidationMethod, "validationMethod", acmapi.ValidationMethodDns, acmapi.ValidationMethodEmail, methodHTTP)
	enum(&v, in.KeyAlgorithm, "keyAlgorithm", keyAlgorithms...)
	if in.IdempotencyToken != nil {
		v.text(*in.IdempotencyToken, "idempotencyToken", 1, 32, wholeToken, tokenPattern)
	}
	if n := len(in.DomainValidationOptions); n > 100 {
		v.secret("domainValidationOptions", atMost(100))
	}
	for i, o := range in.DomainValidationOptions {
		v.name(val(o.DomainName), fmt.Sprintf("domainValidationOptions.%d.member.domainName", i+1))
		v.name(val(o.ValidationDomain), fmt.Sprintf("domainValidationOptions.%d.member.validationDomain", i+1))
	}
	v.options(in.Options)
	if in.CertificateAuthorityArn != nil {
		v.text(*in.CertificateAuthorityArn, "certificateAuthorityArn", 20, 2048, wholePCA, pcaPattern)
	}
	if in.Tags != nil && len(in.Tags) == 0 {
		v.add("[]", "tags", atLeast(1))
	}
	v.tags(in.Tags)
	return v.err()
}

func shown(list []string) string { return "[" + strings.Join(list, ", ") + "]" }

// options checks the options of a certificate.
func (v *violations) options(o *acmapi.CertificateOptions) {
	if o == nil {
		return
	}
	enum(v, o.CertificateTransparencyLoggingPreference, "options.certificateTransparencyLoggingPreference",
		acmapi.CertificateTransparencyLoggingPreferenceDisabled, acmapi.CertificateTransparencyLoggingPreferenceEnabled)
	enum(v, o.Export, "options.export", acmapi.CertificateExportDisabled, acmapi.CertificateExportEnabled)
}

// names are the names of a request, each once.
func names(in *acmapi.RequestCertificateInput) []string {
	all := []string{strings.ToLower(val(in.DomainName))}
	for _, name := range in.SubjectAlternativeNames {
		if name = strings.ToLower(name); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// validationDomains reads which domains' mailboxes are to be asked, by name.
func validationDomains(names []string, options []acmapi.DomainValidationOption) (map[string]string, error) {
	m := map[string]string{}
	for _, o := range options {
		name, domain := strings.ToLower(val(o.DomainName)), strings.ToLower(val(o.ValidationDomain))
		if !slices.Contains(names, name) {
			return nil, acmapi.InvalidDomainValidationOptionsException.New("The domain name %s is not in the certificate request.", name)
		}
		if !within(name, domain) {
			return nil, badValidationDomain(name, domain)
		}
		m[name] = domain
	}
	return m, nil
}

func badValidationDomain(name, domain string) error {
	return acmapi.InvalidDomainValidationOptionsException.New("The validation domain %s must be the same as the domain name %s or a superdomain of it.", domain, name)
}

// digest is of all that a request asks for but its token.
func digest(in *acmapi.RequestCertificateInput) string {
	rest := *in
	rest.IdempotencyToken = nil
	data, err := json.Marshal(rest)
	if err != nil {
		panic(fmt.Sprintf("acm: a request cannot be written as JSON: %v", err)) // it was read from JSON
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
