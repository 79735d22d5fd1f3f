package acm_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
)

func TestRequestIsRefused(t *testing.T) {
	f := newFixture(t)
	long := strings.Repeat("a", 60) + ".example.com"
	many := func(n int) []string {
		var all []string
		for i := range n {
			all = append(all, string(rune('a'+i%26))+strings.Repeat("x", i/26)+".example.com")
		}
		return all
	}
	const pattern = "Member must satisfy regular expression pattern: ^(\\*\\.)?(((?!-)"
	option := func(name, domain string) []types.DomainValidationOption {
		return []types.DomainValidationOption{{DomainName: &name, ValidationDomain: &domain}}
	}
	for _, tc := range []struct {
		name          string
		in            sdk.RequestCertificateInput
		code, message string
	}{
		{"one label", sdk.RequestCertificateInput{DomainName: new("localhost")}, "ValidationException", "1 validation error detected: Value 'localhost' at 'domainName' failed to satisfy constraint: " + pattern},
		{"underscore", sdk.RequestCertificateInput{DomainName: new("a_b.example.com")}, "ValidationException", pattern},
		{"hyphen first", sdk.RequestCertificateInput{DomainName: new("-a.example.com")}, "ValidationException", pattern},
		{"hyphen last", sdk.RequestCertificateInput{DomainName: new("a-.example.com")}, "ValidationException", pattern},
		{"long label", sdk.RequestCertificateInput{DomainName: new(strings.Repeat("a", 64) + ".example.com")}, "ValidationException", pattern},
		{"short top level", sdk.RequestCertificateInput{DomainName: new("example.c")}, "ValidationException", pattern},
		{"final dot", sdk.RequestCertificateInput{DomainName: new("example.com.")}, "ValidationException", pattern},
		{"star in the middle", sdk.RequestCertificateInput{DomainName: new("a.*.example.com")}, "ValidationException", pattern},
		{"star within a label", sdk.RequestCertificateInput{DomainName: new("a*.example.com")}, "ValidationException", pattern},
		{"two stars", sdk.RequestCertificateInput{DomainName: new("*.*.example.com")}, "ValidationException", pattern},
		{"address", sdk.RequestCertificateInput{DomainName: new("203.0.113.1")}, "ValidationException", pattern},
		{"empty", sdk.RequestCertificateInput{DomainName: new("")}, "ValidationException", "Member must have length greater than or equal to 1"},
		{"two things", sdk.RequestCertificateInput{DomainName: new("x"), IdempotencyToken: new("a-b")}, "ValidationException", "2 validation errors detected: Value 'x' at 'domainName'"},
		{"a bad further name", sdk.RequestCertificateInput{DomainName: new("example.com"), SubjectAlternativeNames: []string{"a.example.com", "x"}}, "ValidationException",
			"Value '[a.example.com, x]' at 'subjectAlternativeNames' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 253"},
		{"101 further names", sdk.RequestCertificateInput{DomainName: new("example.com"), SubjectAlternativeNames: many(101)}, "ValidationException", "Member must have length less than or equal to 100"},
		{"11 names", sdk.RequestCertificateInput{DomainName: new("example.com"), SubjectAlternativeNames: many(10)}, "LimitExceededException", "Certificate has too many domains."},
		{"long first name", sdk.RequestCertificateInput{DomainName: &long}, "InvalidDomainValidationOptionsException", "The first domain name can be no longer than 64 characters."},
		{"long token", sdk.RequestCertificateInput{DomainName: new("example.com"), IdempotencyToken: new(strings.Repeat("a", 33))}, "ValidationException", "Value '" + strings.Repeat("a", 33) + "' at 'idempotencyToken' failed to satisfy constraint: Member must have length less than or equal to 32"},
		{"method", sdk.RequestCertificateInput{DomainName: new("example.com"), ValidationMethod: "FAX"}, "ValidationException", "Value 'FAX' at 'validationMethod' failed to satisfy constraint: Member must satisfy enum value set: [DNS, EMAIL, HTTP]"},
		{"HTTP", sdk.RequestCertificateInput{DomainName: new("example.com"), ValidationMethod: "HTTP"}, "ValidationException", "CloudFront"},
		{"algorithm", sdk.RequestCertificateInput{DomainName: new("example.com"), KeyAlgorithm: "DSA"}, "ValidationException", "Value 'DSA' at 'keyAlgorithm'"},
		{"RSA 1024", sdk.RequestCertificateInput{DomainName: new("example.com"), KeyAlgorithm: types.KeyAlgorithmRsa1024}, "ValidationException", "RSA_1024 is supported for imported certificates only"},
		{"P-521", sdk.RequestCertificateInput{DomainName: new("example.com"), KeyAlgorithm: types.KeyAlgorithmEcSecp521r1}, "ValidationException", "EC_secp521r1 is supported for imported certificates only"},
		{"mail about another name", sdk.RequestCertificateInput{DomainName: new("a.example.com"), DomainValidationOptions: option("b.example.com", "example.com")}, "InvalidDomainValidationOptionsException", "b.example.com is not in the certificate request"},
		{"mail to another domain", sdk.RequestCertificateInput{DomainName: new("a.example.com"), DomainValidationOptions: option("a.example.com", "example.org")}, "InvalidDomainValidationOptionsException", "example.org must be the same as the domain name a.example.com or a superdomain of it"},
		{"mail to a like-sounding domain", sdk.RequestCertificateInput{DomainName: new("a.myexample.com"), DomainValidationOptions: option("a.myexample.com", "example.com")}, "InvalidDomainValidationOptionsException", "example.com must be the same"},
		{"mail below", sdk.RequestCertificateInput{DomainName: new("example.com"), DomainValidationOptions: option("example.com", "a.example.com")}, "InvalidDomainValidationOptionsException", "a.example.com must be the same"},
		{"CA", sdk.RequestCertificateInput{DomainName: new("example.com"), CertificateAuthorityArn: new("arn:aws:acm:r:1:certificate/x")}, "ValidationException", "at 'certificateAuthorityArn'"},
		{"tag of AWS", sdk.RequestCertificateInput{DomainName: new("example.com"), Tags: []types.Tag{{Key: new("aws:x")}}}, "ValidationException", `Invalid Tag Key: "aws:x". AWS internal tags cannot be changed with this API`},
		{"tag key", sdk.RequestCertificateInput{DomainName: new("example.com"), Tags: []types.Tag{{Key: new(strings.Repeat("X", 200))}}}, "ValidationException", "at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"tag value", sdk.RequestCertificateInput{DomainName: new("example.com"), Tags: []types.Tag{{Key: new("k"), Value: new("a;b")}}}, "ValidationException", "at 'tags.1.member.value'"},
		{"export", sdk.RequestCertificateInput{DomainName: new("example.com"), Options: &types.CertificateOptions{Export: "MAYBE"}}, "ValidationException", "Value 'MAYBE' at 'options.export'"},
		{"transparency", sdk.RequestCertificateInput{DomainName: new("example.com"), Options: &types.CertificateOptions{CertificateTransparencyLoggingPreference: "MAYBE"}}, "ValidationException", "at 'options.certificateTransparencyLoggingPreference' failed to satisfy constraint: Member must satisfy enum value set: [DISABLED, ENABLED]"}, //nolint:staticcheck // the API still takes and shows it
	} {
		_, err := f.RequestCertificate(t.Context(), &tc.in)
		fails(t, tc.name, err, tc.code, tc.message)
	}
	if all, _, err := f.service.Certificates.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%d certificates, %v", len(all), err)
	}
}

func TestRequestByDNS(t *testing.T) {
	f := newFixture(t)
	arn := f.request("API.example.com", "*.api.example.com", "api.example.com", "www.example.org")
	if !regexp.MustCompile("^" + prefix + "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$").MatchString(arn) {
		t.Errorf("ARN %s", arn)
	}
	c := f.describe(arn)
	names := []string{"api.example.com", "*.api.example.com", "www.example.org"}
	if *c.DomainName != names[0] || !slices.Equal(c.SubjectAlternativeNames, names) || c.Status != types.CertificateStatusPendingValidation ||
		c.Type != types.CertificateTypeAmazonIssued || c.KeyAlgorithm != "RSA-2048" || *c.SignatureAlgorithm != "SHA256WITHRSA" ||
		*c.Subject != "CN=api.example.com" || !c.CreatedAt.Equal(f.now) || c.IssuedAt != nil || c.NotAfter != nil || c.Serial != nil ||
		c.RenewalEligibility != types.RenewalEligibilityIneligible || c.RenewalSummary != nil || c.InUseBy == nil || len(c.KeyUsages) != 0 ||
		c.Options.CertificateTransparencyLoggingPreference != types.CertificateTransparencyLoggingPreferenceEnabled { //nolint:staticcheck // the API still takes and shows it
		t.Errorf("%+v", c)
	}
	record := regexp.MustCompile(`^_[0-9a-f]{32}\.(api\.example\.com|www\.example\.org)\.$`)
	valid := regexp.MustCompile(`^_[0-9a-f]{32}\.[a-z]{10}\.acm-validations\.aws\.$`)
	for i, d := range c.DomainValidationOptions {
		if *d.DomainName != names[i] || *d.ValidationDomain != names[i] || d.ValidationStatus != types.DomainStatusPendingValidation || d.ValidationMethod != types.ValidationMethodDns ||
			d.ResourceRecord.Type != types.RecordTypeCname || !record.MatchString(*d.ResourceRecord.Name) || !valid.MatchString(*d.ResourceRecord.Value) || len(d.ValidationEmails) > 0 {
			t.Errorf("%s: %+v %s %s", names[i], d, *d.ResourceRecord.Name, *d.ResourceRecord.Value)
		}
	}
	d := c.DomainValidationOptions
	if *d[0].ResourceRecord.Name != *d[1].ResourceRecord.Name || *d[0].ResourceRecord.Value != *d[1].ResourceRecord.Value {
		t.Error("the wildcard has another record than its parent")
	}
	if *d[0].ResourceRecord.Value == *d[2].ResourceRecord.Value {
		t.Error("two domains have one value")
	}
	// Who has set the record once is done with it.
	again := f.describe(f.request("api.example.com"))
	if *again.CertificateArn == arn || *again.DomainValidationOptions[0].ResourceRecord.Value != *d[0].ResourceRecord.Value {
		t.Error("the second certificate of the name has another record")
	}
}

func TestRequestByMail(t *testing.T) {
	f := newFixture(t)
	out, err := f.RequestCertificate(t.Context(), &sdk.RequestCertificateInput{
		DomainName: new("www.example.com"), SubjectAlternativeNames: []string{"*.example.com", "a.b.example.com"},
		DomainValidationOptions: []types.DomainValidationOption{{DomainName: new("a.b.example.com"), ValidationDomain: new("example.com")}},
		KeyAlgorithm:            types.KeyAlgorithmEcPrime256v1,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := f.describe(*out.CertificateArn)
	if c.KeyAlgorithm != "EC-prime256v1" || *c.SignatureAlgorithm != "SHA256WITHECDSA" {
		t.Errorf("%s, %s", c.KeyAlgorithm, *c.SignatureAlgorithm)
	}
	want := []string{"administrator@example.com", "hostmaster@example.com", "postmaster@example.com", "webmaster@example.com", "admin@example.com"}
	for _, d := range c.DomainValidationOptions {
		if *d.ValidationDomain != "example.com" || d.ValidationMethod != types.ValidationMethodEmail || !slices.Equal(d.ValidationEmails, want) || d.ResourceRecord != nil {
			t.Errorf("%s: %s %s %v", *d.DomainName, *d.ValidationDomain, d.ValidationMethod, d.ValidationEmails)
		}
	}
}

func TestIdempotencyToken(t *testing.T) {
	f := newFixture(t)
	ask := func(domain, token string, tags ...types.Tag) string {
		t.Helper()
		out, err := f.RequestCertificate(t.Context(), &sdk.RequestCertificateInput{DomainName: &domain, IdempotencyToken: &token, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		return *out.CertificateArn
	}
	first := ask("example.com", "t1")
	f.now = f.now.Add(59 * time.Minute)
	if again := ask("example.com", "t1"); again != first {
		t.Errorf("again: %s, want %s", again, first)
	}
	for name, other := range map[string]string{
		"another token":  ask("example.com", "t2"),
		"another domain": ask("example.org", "t1"),
		"other tags":     ask("example.com", "t1", types.Tag{Key: new("k"), Value: new("v")}),
	} {
		if other == first {
			t.Errorf("%s: the same certificate", name)
		}
	}
	f.now = f.now.Add(time.Minute)
	if later := ask("example.com", "t1"); later == first {
		t.Error("an hour later: the same certificate")
	}
	// At once, by many: one certificate.
	made := make(chan string, 8)
	for range cap(made) {
		go func() {
			out, err := f.RequestCertificate(t.Context(), &sdk.RequestCertificateInput{DomainName: new("example.net"), IdempotencyToken: new("t9")})
			if err != nil {
				made <- err.Error()
				return
			}
			made <- *out.CertificateArn
		}()
	}
	all := map[string]bool{}
	for range cap(made) {
		all[<-made] = true
	}
	if len(all) != 1 {
		t.Errorf("%d certificates: %v", len(all), keys(all))
	}
}
