package acm

import (
	"context"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// GetCertificate implements acmapi.Handler.
func (s *Service) GetCertificate(ctx context.Context, in *acmapi.GetCertificateInput) (*acmapi.GetCertificateOutput, error) {
	it, err := s.certificate(ctx, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	m := it.Value.Material
	if m == nil {
		return nil, notYet()
	}
	return &acmapi.GetCertificateOutput{Certificate: &m.Certificate, CertificateChain: value(m.Chain)}, nil
}

func notYet() error {
	return acmapi.RequestInProgressException.New("The certificate request is in process and the certificate in your account has not yet been issued.")
}

// ExportCertificate implements acmapi.Handler.
func (s *Service) ExportCertificate(ctx context.Context, in *acmapi.ExportCertificateInput) (*acmapi.ExportCertificateOutput, error) {
	if err := checkExport(in); err != nil {
		return nil, err
	}
	it, err := s.certificate(ctx, in.CertificateArn)
	if err != nil {
		return nil, err
	}
	if !it.Value.Exportable {
		return nil, acmapi.ValidationException.New("Certificate ARN: %s is not a private certificate", *in.CertificateArn)
	}
	m := it.Value.Material
	if m == nil {
		return nil, notYet()
	}
	key, err := s.openKey(it.Value.ID, m.SealedKey)
	if err != nil {
		return nil, err
	}
	locked, err := encryptKey(key, in.Passphrase)
	if err != nil {
		return nil, err
	}
	// First the note, as from here on ACM renews it.
	err = s.modify(ctx, in.CertificateArn, func(c *Certificate) error {
		c.Exported = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &acmapi.ExportCertificateOutput{Certificate: &m.Certificate, CertificateChain: value(m.Chain), PrivateKey: new(string(locked))}, nil
}

const (
	minPassphrase = 4
	maxPassphrase = 128
)

func checkExport(in *acmapi.ExportCertificateInput) error {
	var v violations
	v.arn(in.CertificateArn)
	switch n := len(in.Passphrase); {
	case n < minPassphrase:
		v.secret("passphrase", atLeast(minPassphrase))
	case n > maxPassphrase:
		v.secret("passphrase", atMost(maxPassphrase))
	}
	if err := v.err(); err != nil {
		return err
	}
	for _, b := range in.Passphrase {
		if b < ' ' || b > '~' || b == '#' || b == '$' || b == '%' {
			return acmapi.ValidationException.New("The passphrase can have any ASCII character except #, $, or %%.")
		}
	}
	return nil
}
