// Package acm is the AWS Certificate Manager service: certificates as the
// region's records, from the request to the end, and what the API says about
// them. It makes no key, signs nothing and asks no name server: that is the work
// of loop/issuing, which tells the service what came of it. Private keys enter
// the store sealed, and leave the package only for who serves with them.
package acm

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/api"
	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

var _ acmapi.Handler = (*Service)(nil)

// Users is what the service asks those who serve with certificates.
type Users interface {
	// InUse returns the ARNs of what uses the certificate, in any order.
	InUse(ctx context.Context, certificate string) ([]string, error)
}

// Config is what New needs.
type Config struct {
	Client  *clientv3.Client
	Account string // twelve digits
	Region  string
	// Key seals private keys and signs the links in validation mails: 32 bytes that
	// stay the same as long as the store does.
	Key   []byte
	Users Users
	Now   func() time.Time // nil is time.Now
}

// Service is ACM of one region.
type Service struct {
	Certificates *store.Collection[Certificate] // by ID

	settings *store.Collection[settings]
	scope    arn.Scope
	seal     cipher.AEAD
	linkKey  []byte
	users    Users
	now      func() time.Time

	requesting sync.Mutex // held while a request with a token looks for the one before and makes its own
}

// New makes the service on the region's store. The error is about Config.Key.
func New(cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	seal, linkKey, err := keys(cfg.Key)
	if err != nil {
		return nil, err
	}
	return &Service{
		Certificates: store.NewCollection[Certificate](cfg.Client, "certificates"),
		settings:     store.NewCollection[settings](cfg.Client, "certificate-settings"),
		scope:        arn.Scope{Account: cfg.Account, Region: cfg.Region},
		seal:         seal,
		linkKey:      linkKey,
		users:        cfg.Users,
		now:          cfg.Now,
	}, nil
}

// ARN names a certificate by its ID.
func (s *Service) ARN(id string) string { return s.scope.Of("acm", "certificate/%s", id) }

// InUse returns the ARNs of what uses a certificate.
func (s *Service) InUse(ctx context.Context, certificate string) ([]string, error) {
	return s.users.InUse(ctx, certificate)
}

// time is now as it is stored and sent: in milliseconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// id is what an ARN names in this account and region, or "".
func (s *Service) id(certificate string) string {
	a, err := arn.Parse(certificate)
	if err != nil {
		return ""
	}
	id, ok := strings.CutPrefix(a.Resource, "certificate/")
	if !ok || s.ARN(id) != certificate {
		return ""
	}
	return id
}

// certificate finds the record that a request names.
func (s *Service) certificate(ctx context.Context, certificate *string) (store.Item[Certificate], error) {
	if err := checkARN(certificate); err != nil {
		return store.Item[Certificate]{}, err
	}
	id := s.id(*certificate)
	if id == "" {
		return store.Item[Certificate]{}, s.notFound(*certificate)
	}
	it, err := s.Certificates.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = s.notFound(*certificate)
	}
	return it, err
}

// modify changes the record that a request names.
func (s *Service) modify(ctx context.Context, certificate *string, change func(*Certificate) error) error {
	if err := checkARN(certificate); err != nil {
		return err
	}
	id := s.id(*certificate)
	if id == "" {
		return s.notFound(*certificate)
	}
	_, err := s.Certificates.Modify(ctx, id, change)
	if errors.Is(err, store.ErrNotFound) {
		err = s.notFound(*certificate)
	}
	return err
}

func (s *Service) notFound(certificate string) error {
	return acmapi.ResourceNotFoundException.New("Could not find certificate %s in account %s.", certificate, s.scope.Account)
}

// ErrNotIssued says that there is no certificate to serve with: none of that
// ARN, or one that was not issued.
var ErrNotIssued = errors.New("there is no issued certificate")

// Issued says whether there is a certificate with the ARN that can be served.
func (s *Service) Issued(ctx context.Context, certificate string) (bool, error) {
	id := s.id(certificate)
	if id == "" {
		return false, nil
	}
	it, err := s.Certificates.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && it.Value.Status == acmapi.CertificateStatusIssued, err
}

// KeyPair is a certificate as a TLS server needs it, in PEM.
type KeyPair struct {
	Chain []byte // the certificate, then those that lead to the root, without it
	Key   []byte
	// Version changes when, and only when, the other two do.
	Version int64
}

// TLSCertificate returns what to serve with: also of a certificate that has
// expired, as load balancers go on with it. The error wraps ErrNotIssued if
// there is nothing.
func (s *Service) TLSCertificate(ctx context.Context, certificate string) (KeyPair, error) {
	id := s.id(certificate)
	if id == "" {
		return KeyPair{}, fmt.Errorf("%s: %w", certificate, ErrNotIssued)
	}
	it, err := s.Certificates.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && it.Value.Material == nil {
		return KeyPair{}, fmt.Errorf("%s: %w", certificate, ErrNotIssued)
	}
	if err != nil {
		return KeyPair{}, err
	}
	m := it.Value.Material
	key, err := s.openKey(id, m.SealedKey)
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{Chain: m.served(), Key: keyPEM(key), Version: m.Version}, nil
}

// value is what an optional member holds, or nothing for "".
func value[T ~string](v T) *string {
	if v == "" {
		return nil
	}
	return new(string(v))
}

// val is a member that a request must have; the protocol refuses one without.
func val(p *string) string { return api.Val(p) }
