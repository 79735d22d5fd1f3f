package acm

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

const (
	maxItems = 1000
	// maxSummaryNames is how many names a summary has.
	maxSummaryNames = 100
)

// ListCertificates implements acmapi.Handler.
func (s *Service) ListCertificates(ctx context.Context, in *acmapi.ListCertificatesInput) (*acmapi.ListCertificatesOutput, error) {
	if err := checkList(in); err != nil {
		return nil, err
	}
	items, _, err := s.Certificates.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var all []Certificate
	for _, it := range items {
		ok, err := it.Value.matches(in)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, it.Value)
		}
	}
	all, next, err := page(all, in)
	if err != nil {
		return nil, err
	}
	out := &acmapi.ListCertificatesOutput{NextToken: next, CertificateSummaryList: []acmapi.CertificateSummary{}}
	for _, c := range all {
		uses, err := s.users.InUse(ctx, s.ARN(c.ID))
		if err != nil {
			return nil, err
		}
		summary, err := s.summary(c, len(uses) > 0)
		if err != nil {
			return nil, err
		}
		out.CertificateSummaryList = append(out.CertificateSummaryList, summary)
	}
	return out, nil
}

// checkList checks what the model says, and that the two that say how to sort
// come together.
func checkList(in *acmapi.ListCertificatesInput) error {
	var v violations
	for i, status := range in.CertificateStatuses {
		enum(&v, status, fmt.Sprintf("certificateStatuses.%d.member", i+1),
			acmapi.CertificateStatusPendingValidation, acmapi.CertificateStatusIssued, acmapi.CertificateStatusInactive,
			acmapi.CertificateStatusExpired, acmapi.CertificateStatusValidationTimedOut, acmapi.CertificateStatusRevoked,
			acmapi.CertificateStatusFailed)
	}
	if f := in.Includes; f != nil {
		for i, a := range f.KeyTypes {
			enum(&v, a, fmt.Sprintf("includes.keyTypes.%d.member", i+1), keyAlgorithms...)
		}
		enum(&v, f.ExportOption, "includes.exportOption", acmapi.CertificateExportDisabled, acmapi.CertificateExportEnabled)
		known := append(slices.Clone(keyUsageNames), acmapi.KeyUsageNameAny, acmapi.KeyUsageNameCustom)
		for i, u := range f.KeyUsage {
			enum(&v, u, fmt.Sprintf("includes.keyUsage.%d.member", i+1), known...)
		}
		for i, u := range f.ExtendedKeyUsage {
			enum(&v, u, fmt.Sprintf("includes.extendedKeyUsage.%d.member", i+1), extendedKeyUsageNames()...)
		}
	}
	if n := in.MaxItems; n != nil && *n < 1 {
		v.add(strconv.Itoa(int(*n)), "maxItems", "Member must have value greater than or equal to 1")
	} else if n != nil && *n > maxItems {
		v.add(strconv.Itoa(int(*n)), "maxItems", fmt.Sprintf("Member must have value less than or equal to %d", maxItems))
	}
	enum(&v, in.SortBy, "sortBy", acmapi.SortByCreatedAt)
	enum(&v, in.SortOrder, "sortOrder", acmapi.SortOrderAscending, acmapi.SortOrderDescending)
	if err := v.err(); err != nil {
		return err
	}
	if (in.SortBy == "") != (in.SortOrder == "") {
		return acmapi.ValidationException.New("SortBy and SortOrder must be specified together.")
	}
	return nil
}

func extendedKeyUsageNames() []acmapi.ExtendedKeyUsageName {
	all := []acmapi.ExtendedKeyUsageName{acmapi.ExtendedKeyUsageNameNone, acmapi.ExtendedKeyUsageNameCustom}
	for _, name := range extended {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// defaultKeyTypes are listed if nobody asks for others.
var defaultKeyTypes = []acmapi.KeyAlgorithm{acmapi.KeyAlgorithmRsa1024, acmapi.KeyAlgorithmRsa2048}

// matches says whether the certificate is among those that are asked for.
func (c Certificate) matches(in *acmapi.ListCertificatesInput) (bool, error) {
	if len(in.CertificateStatuses) > 0 && !slices.Contains(in.CertificateStatuses, c.Status) {
		return false, nil
	}
	f := in.Includes
	if f == nil {
		f = &acmapi.Filters{}
	}
	if f.ExportOption != "" && f.ExportOption != c.export() {
		return false, nil
	}
	types := f.KeyTypes
	if len(types) == 0 {
		types = defaultKeyTypes
	}
	if !slices.Contains(types, c.Algorithm) {
		return false, nil
	}
	if len(f.KeyUsage) == 0 && len(f.ExtendedKeyUsage) == 0 {
		return true, nil
	}
	usages, purposes, err := c.usages()
	return (len(f.KeyUsage) == 0 || shares(usages, f.KeyUsage)) && (len(f.ExtendedKeyUsage) == 0 || shares(purposes, f.ExtendedKeyUsage)), err
}

// shares says whether the lists have an element in common.
func shares[T comparable](a, b []T) bool {
	return slices.ContainsFunc(a, func(v T) bool { return slices.Contains(b, v) })
}

// usages are the names of what the key may be used for: none until it is issued.
func (c Certificate) usages() ([]acmapi.KeyUsageName, []acmapi.ExtendedKeyUsageName, error) {
	if c.Material == nil {
		return []acmapi.KeyUsageName{}, []acmapi.ExtendedKeyUsageName{}, nil
	}
	cert, err := c.Material.parse()
	if err != nil {
		return nil, nil, err
	}
	purposes := []acmapi.ExtendedKeyUsageName{}
	for _, u := range extendedKeyUsages(cert) {
		purposes = append(purposes, u.Name)
	}
	return keyUsages(cert), purposes, nil
}

func (s *Service) summary(c Certificate, used bool) (acmapi.CertificateSummary, error) {
	usages, purposes, err := c.usages()
	out := acmapi.CertificateSummary{
		CertificateArn: new(s.ARN(c.ID)), DomainName: new(c.DomainName()),
		SubjectAlternativeNameSummaries:      c.Names[:min(len(c.Names), maxSummaryNames)],
		HasAdditionalSubjectAlternativeNames: new(len(c.Names) > maxSummaryNames),
		Status:                               c.Status, Type: c.Type, KeyAlgorithm: shownAlgorithm(c.Algorithm),
		KeyUsages: usages, ExtendedKeyUsages: purposes, InUse: &used, RenewalEligibility: c.eligibility(used),
		CreatedAt: present(c.Created), IssuedAt: present(c.Issued), ImportedAt: present(c.Imported),
	}
	if c.Type != acmapi.CertificateTypeImported {
		out.ExportOption = c.export()
	}
	if c.Exportable {
		out.Exported = &c.Exported
	}
	if m := c.Material; m != nil {
		out.NotBefore, out.NotAfter = &m.NotBefore, &m.NotAfter
	}
	return out, err
}

// place orders certificates: by the time they were made if that is asked, then,
// or else, by ID.
func (c Certificate) place(in *acmapi.ListCertificatesInput) string {
	if in.SortBy == "" {
		return c.ID
	}
	return fmt.Sprintf("%020d/%s", c.Created.UnixMilli(), c.ID)
}

// page is the part of the certificates that a call asks for, and the token for
// the next, nil after the last. A token says after which certificate to go on,
// so it holds while certificates come and go.
func page(all []Certificate, in *acmapi.ListCertificatesInput) ([]Certificate, *string, error) {
	compare := func(a, b string) int { return strings.Compare(a, b) }
	if in.SortOrder == acmapi.SortOrderDescending {
		compare = func(a, b string) int { return strings.Compare(b, a) }
	}
	slices.SortFunc(all, func(a, b Certificate) int { return compare(a.place(in), b.place(in)) })
	if in.NextToken != nil {
		after, err := base64.RawURLEncoding.DecodeString(*in.NextToken)
		if err != nil || len(after) == 0 {
			return nil, nil, acmapi.InvalidArgsException.New("The NextToken is not valid.")
		}
		i, found := slices.BinarySearchFunc(all, string(after), func(c Certificate, after string) int { return compare(c.place(in), after) })
		if found {
			i++
		}
		all = all[i:]
	}
	n := cmp.Or(int(api.Val(in.MaxItems)), maxItems)
	if len(all) <= n {
		return all, nil, nil
	}
	return all[:n], new(base64.RawURLEncoding.EncodeToString([]byte(all[n-1].place(in)))), nil
}
