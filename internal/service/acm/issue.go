package acm

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

// What loop/issuing tells the service. Each call changes the record only if what
// it is about still goes on, and returns the record as it is then. A certificate
// that was deleted meanwhile is store.ErrNotFound.

func (s *Service) tell(ctx context.Context, id string, change func(*Certificate)) (store.Item[Certificate], error) {
	return s.Certificates.Modify(ctx, id, func(c *Certificate) error {
		change(c)
		return nil
	})
}

// Shown says of which domains the owner was shown.
func (s *Service) Shown(ctx context.Context, id string, domains []string) (store.Item[Certificate], error) {
	return s.tell(ctx, id, func(c *Certificate) {
		c.shown(domains, s.time())
	})
}

// shown marks the domains in whatever validation is under way.
func (c *Certificate) shown(domains []string, now time.Time) {
	all := c.pending()
	for i := range all {
		if all[i].Status == acmapi.DomainStatusPendingValidation && slices.Contains(domains, all[i].Name) {
			all[i].Status = acmapi.DomainStatusSuccess
			if c.Renewal != nil && c.Status == acmapi.CertificateStatusIssued {
				c.Renewal.Updated = now
			}
		}
	}
}

// Mailed says that the mail about a domain was sent.
func (s *Service) Mailed(ctx context.Context, id, domain string) (store.Item[Certificate], error) {
	return s.tell(ctx, id, func(c *Certificate) {
		all := c.pending()
		for i := range all {
			if all[i].Name == domain {
				all[i].Mailed, all[i].Remail = s.time(), false
			}
		}
	})
}

// Ended gives a certificate the status with which it ends: timed out, failed for
// a reason, or expired. A validation or renewal under way ends with it.
func (s *Service) Ended(ctx context.Context, id string, from, to acmapi.CertificateStatus, reason acmapi.FailureReason) (store.Item[Certificate], error) {
	return s.tell(ctx, id, func(c *Certificate) {
		if c.Status != from {
			return
		}
		fail := func(domains []Domain) {
			for i := range domains {
				if domains[i].Status == acmapi.DomainStatusPendingValidation {
					domains[i].Status = acmapi.DomainStatusFailed
				}
			}
		}
		if from == acmapi.CertificateStatusPendingValidation {
			fail(c.Domains)
		}
		if c.Renewing() {
			fail(c.Renewal.Domains)
			c.Renewal.Status, c.Renewal.Updated = acmapi.RenewalStatusFailed, s.time()
		}
		c.Status, c.Reason = to, reason
	})
}

// Renews says how a renewal stands; the first time, it begins one.
func (s *Service) Renews(ctx context.Context, id string, status acmapi.RenewalStatus) (store.Item[Certificate], error) {
	return s.tell(ctx, id, func(c *Certificate) {
		if c.Status != acmapi.CertificateStatusIssued || c.Renewing() && c.Renewal.Status == status {
			return
		}
		if !c.Renewing() {
			c.Renewal = &Renewal{Domains: c.revalidation()}
		}
		c.Renewal.Status, c.Renewal.Updated = status, s.time()
	})
}

// Issue stores a certificate and its key, for the first time or by renewal. The
// material must be of version, the one that the caller has seen: 0 before the
// first. leaf and chain are PEM.
func (s *Service) Issue(ctx context.Context, id string, version int64, leaf, chain []byte, key crypto.Signer) (store.Item[Certificate], error) {
	block, _ := pem.Decode(leaf)
	if block == nil {
		return store.Item[Certificate]{}, fmt.Errorf("storing the certificate of %s: it is not PEM", s.ARN(id))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return store.Item[Certificate]{}, fmt.Errorf("storing the certificate of %s: %w", s.ARN(id), err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return store.Item[Certificate]{}, fmt.Errorf("storing the key of %s: %w", s.ARN(id), err)
	}
	m := Material{
		Certificate: string(leaf), Chain: string(chain), SealedKey: s.sealKey(id, der),
		NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, Version: version + 1,
	}
	return s.tell(ctx, id, func(c *Certificate) {
		has := int64(0)
		if c.Material != nil {
			has = c.Material.Version
		}
		if has != version || !Validated(c.pending()) {
			return
		}
		switch {
		case c.Status == acmapi.CertificateStatusPendingValidation:
			c.Status = acmapi.CertificateStatusIssued
		case c.Renewing():
			c.Renewal.Status, c.Renewal.Updated = acmapi.RenewalStatusSuccess, s.time()
		default:
			return
		}
		c.Issued, c.Exported, c.Material = s.time(), false, &m
	})
}
