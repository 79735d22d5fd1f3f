package acm_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"
)

func (f *fixture) imports(key crypto.Signer, change func(*x509.Certificate)) string {
	f.t.Helper()
	c := sign(f.t, key, nil, change)
	return *must(f.ImportCertificate(f.t.Context(), &sdk.ImportCertificateInput{Certificate: certs(c), PrivateKey: c.pkcs8()})).CertificateArn
}

func TestList(t *testing.T) {
	f := newFixture(t)
	pending := f.request("pending.example.com", "a.example.com")
	name := map[string]string{pending: "pending"}
	server := f.imports(rsa2048(), nil)
	name[server] = "server"
	client := f.imports(rsa2048(), func(c *x509.Certificate) {
		c.ExtKeyUsage, c.KeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, x509.KeyUsageDigitalSignature
	})
	name[client] = "client"
	name[f.imports(ec(elliptic.P256()), nil)] = "p256"
	name[f.imports(ec(elliptic.P384()), nil)] = "p384"
	f.users[server] = []string{"lb"}
	for _, tc := range []struct {
		name string
		in   sdk.ListCertificatesInput
		want string
	}{
		{"by default only RSA of 1024 and 2048", sdk.ListCertificatesInput{}, "client pending server"},
		{"empty filter", sdk.ListCertificatesInput{Includes: &types.Filters{}}, "client pending server"},
		{"others", sdk.ListCertificatesInput{Includes: &types.Filters{KeyTypes: []types.KeyAlgorithm{types.KeyAlgorithmEcPrime256v1, types.KeyAlgorithmEcSecp384r1}}}, "p256 p384"},
		{"all", sdk.ListCertificatesInput{Includes: &types.Filters{KeyTypes: types.KeyAlgorithm("").Values()}}, "client p256 p384 pending server"},
		{"by status", sdk.ListCertificatesInput{CertificateStatuses: []types.CertificateStatus{types.CertificateStatusPendingValidation, types.CertificateStatusFailed}}, "pending"},
		{"issued", sdk.ListCertificatesInput{CertificateStatuses: []types.CertificateStatus{types.CertificateStatusIssued}}, "client server"},
		{"by usage", sdk.ListCertificatesInput{Includes: &types.Filters{KeyUsage: []types.KeyUsageName{types.KeyUsageNameKeyEncipherment}}}, "server"},
		{"by purpose", sdk.ListCertificatesInput{Includes: &types.Filters{ExtendedKeyUsage: []types.ExtendedKeyUsageName{types.ExtendedKeyUsageNameTlsWebClientAuthentication}}}, "client"},
		{"by both", sdk.ListCertificatesInput{Includes: &types.Filters{
			ExtendedKeyUsage: []types.ExtendedKeyUsageName{types.ExtendedKeyUsageNameTlsWebServerAuthentication},
			KeyUsage:         []types.KeyUsageName{types.KeyUsageNameCrlSigning}}}, ""},
	} {
		out, err := f.ListCertificates(t.Context(), &tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var got []string
		for _, s := range out.CertificateSummaryList {
			got = append(got, name[*s.CertificateArn])
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tc.want || out.NextToken != nil {
			t.Errorf("%s: %v, want %s", tc.name, got, tc.want)
		}
	}
	out, err := f.ListCertificates(t.Context(), &sdk.ListCertificatesInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.CertificateSummaryList {
		switch *s.CertificateArn {
		case pending:
			if *s.DomainName != "pending.example.com" || !slices.Equal(s.SubjectAlternativeNameSummaries, []string{"pending.example.com", "a.example.com"}) || *s.HasAdditionalSubjectAlternativeNames ||
				s.KeyAlgorithm != "RSA-2048" || *s.InUse || s.NotAfter != nil || !s.CreatedAt.Equal(f.now) || s.Type != types.CertificateTypeAmazonIssued || len(s.KeyUsages) != 0 || s.ImportedAt != nil {
				t.Errorf("%+v", s)
			}
		case server:
			if !*s.InUse || s.NotAfter == nil || s.NotBefore == nil || s.ImportedAt == nil || !slices.Equal(s.KeyUsages, []types.KeyUsageName{types.KeyUsageNameDigitalSignature, types.KeyUsageNameKeyEncipherment}) ||
				s.RenewalEligibility != types.RenewalEligibilityIneligible || !slices.Equal(s.ExtendedKeyUsages, []types.ExtendedKeyUsageName{types.ExtendedKeyUsageNameTlsWebServerAuthentication}) {
				t.Errorf("%+v", s)
			}
		}
	}
}

func TestListPages(t *testing.T) {
	f := newFixture(t)
	var inOrder []string
	for i := range 7 {
		if i%3 != 0 { // some are made in the same millisecond
			f.now = f.now.Add(time.Minute)
		}
		inOrder = append(inOrder, f.request(fmt.Sprintf("n%d.example.com", i)))
	}
	read := func(in sdk.ListCertificatesInput) (all []string, created []time.Time) {
		t.Helper()
		for pages := 0; ; pages++ {
			out, err := f.ListCertificates(t.Context(), &in)
			if err != nil || pages > 10 || len(out.CertificateSummaryList) > int(*in.MaxItems) {
				t.Fatalf("page %d: %v", pages, err)
			}
			for _, s := range out.CertificateSummaryList {
				all, created = append(all, *s.CertificateArn), append(created, *s.CreatedAt)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return all, created
			}
		}
	}
	whole := slices.Clone(inOrder)
	slices.Sort(whole)
	for _, size := range []int32{1, 2, 3, 7, 1000} {
		all, _ := read(sdk.ListCertificatesInput{MaxItems: &size})
		if !slices.Equal(all, whole) {
			t.Errorf("by %d: %v", size, all)
		}
		_, up := read(sdk.ListCertificatesInput{MaxItems: &size, SortBy: types.SortByCreatedAt, SortOrder: types.SortOrderAscending})
		_, down := read(sdk.ListCertificatesInput{MaxItems: &size, SortBy: types.SortByCreatedAt, SortOrder: types.SortOrderDescending})
		if len(up) != 7 || !slices.IsSortedFunc(up, time.Time.Compare) {
			t.Errorf("by %d, ascending: %v", size, up)
		}
		slices.Reverse(down)
		if !slices.Equal(up, down) {
			t.Errorf("by %d, descending: %v", size, down)
		}
	}
	for _, tc := range []struct {
		name          string
		in            sdk.ListCertificatesInput
		code, message string
	}{
		{"token", sdk.ListCertificatesInput{NextToken: new("!")}, "InvalidArgsException", "NextToken"},
		{"none", sdk.ListCertificatesInput{MaxItems: new(int32(0))}, "ValidationException", "Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"too many", sdk.ListCertificatesInput{MaxItems: new(int32(1001))}, "ValidationException", "Value '1001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		{"order alone", sdk.ListCertificatesInput{SortOrder: types.SortOrderAscending}, "ValidationException", "must be specified together"},
		{"by alone", sdk.ListCertificatesInput{SortBy: types.SortByCreatedAt}, "ValidationException", "must be specified together"},
		{"order", sdk.ListCertificatesInput{SortBy: types.SortByCreatedAt, SortOrder: "UP"}, "ValidationException", "at 'sortOrder'"},
		{"status", sdk.ListCertificatesInput{CertificateStatuses: []types.CertificateStatus{"NEW"}}, "ValidationException", "Value 'NEW' at 'certificateStatuses.1.member'"},
		{"key type", sdk.ListCertificatesInput{Includes: &types.Filters{KeyTypes: []types.KeyAlgorithm{"DSA"}}}, "ValidationException", "Value 'DSA' at 'includes.keyTypes.1.member'"},
	} {
		_, err := f.ListCertificates(t.Context(), &tc.in)
		fails(t, tc.name, err, tc.code, tc.message)
	}
}
