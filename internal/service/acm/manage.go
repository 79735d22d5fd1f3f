package acm

import (
	"context"
	"errors"
	"strings"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

// DeleteCertificate implements acmapi.Handler.
func (s *Service) DeleteCertificate(ctx context.Context, in *acmapi.DeleteCertificateInput) (*acmapi.DeleteCertificateOutput, error) {
	it, err := s.certificate(ctx, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	uses, err := s.users.InUse(ctx, *in.CertificateArn)
	if err != nil {
		return nil, err
	}
	if len(uses) > 0 {
		return nil, acmapi.ResourceInUseException.New("Certificate %s in account %s is in use.", *in.CertificateArn, s.scope.Account)
	}
	err = s.Certificates.Delete(ctx, it.Key)
	if errors.Is(err, store.ErrNotFound) {
		err = s.notFound(*in.CertificateArn)
	}
	return &acmapi.DeleteCertificateOutput{}, err
}

// RenewCertificate implements acmapi.Handler.
func (s *Service) RenewCertificate(ctx context.Context, in *acmapi.RenewCertificateInput) (*acmapi.RenewCertificateOutput, error) {
	return &acmapi.RenewCertificateOutput{}, s.modify(ctx, in.CertificateArn, func(c *Certificate) error {
		if !c.Exported || !c.Eligible(false) {
			return acmapi.ValidationException.New("Certificate %s is not eligible for renewal: only a certificate that was exported since it was issued can be renewed by request.", *in.CertificateArn)
		}
		if c.Renewing() {
			return nil
		}
		c.Renewal = &Renewal{Status: acmapi.RenewalStatusPendingAutoRenewal, Domains: c.revalidation(), Updated: s.time()}
		return nil
	})
}

// ResendValidationEmail implements acmapi.Handler.
func (s *Service) ResendValidationEmail(ctx context.Context, in *acmapi.ResendValidationEmailInput) (*acmapi.ResendValidationEmailOutput, error) {
	var v violations
	v.arn(in.CertificateArn)
	v.name(val(in.Domain), "domain")
	v.name(val(in.ValidationDomain), "validationDomain")
	if err := v.err(); err != nil {
		return nil, err
	}
	name, domain := strings.ToLower(*in.Domain), strings.ToLower(*in.ValidationDomain)
	return &acmapi.ResendValidationEmailOutput{}, s.modify(ctx, in.CertificateArn, func(c *Certificate) error {
		all := c.pending()
		if c.Method != acmapi.ValidationMethodEmail || all == nil {
			return acmapi.InvalidStateException.New("Certificate %s is not waiting for validation by email.", *in.CertificateArn)
		}
		for i := range all {
			d := &all[i]
			if d.Name != name {
				continue
			}
			if !within(name, domain) {
				return badValidationDomain(name, domain)
			}
			if d.Status != acmapi.DomainStatusPendingValidation {
				return acmapi.InvalidStateException.New("The domain name %s of certificate %s is validated already.", name, *in.CertificateArn)
			}
			d.ValidationDomain, d.Remail = domain, true
			return nil
		}
		return acmapi.InvalidDomainValidationOptionsException.New("The domain name %s is not in the certificate.", name)
	})
}

// UpdateCertificateOptions implements acmapi.Handler.
func (s *Service) UpdateCertificateOptions(ctx context.Context, in *acmapi.UpdateCertificateOptionsInput) (*acmapi.UpdateCertificateOptionsOutput, error) {
	var v violations
	v.arn(in.CertificateArn)
	v.options(in.Options)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &acmapi.UpdateCertificateOptionsOutput{}, s.modify(ctx, in.CertificateArn, func(c *Certificate) error {
		if c.Type != acmapi.CertificateTypeAmazonIssued {
			return acmapi.InvalidStateException.New("The options of certificate %s cannot be updated: it was not issued by ACM.", *in.CertificateArn)
		}
		switch c.Status {
		case acmapi.CertificateStatusPendingValidation, acmapi.CertificateStatusIssued:
		default:
			return acmapi.InvalidStateException.New("The options of certificate %s cannot be updated in the status %s.", *in.CertificateArn, c.Status)
		}
		if export := in.Options.Export; export != "" && export != c.export() {
			return acmapi.ValidationException.New("The export option of certificate %s cannot be changed: it is set when the certificate is requested.", *in.CertificateArn)
		}
		if preference := in.Options.CertificateTransparencyLoggingPreference; preference != "" {
			c.Logging = preference
		}
		return nil
	})
}
