package balancing

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

// certificate is one that was read.
type certificate struct {
	version int64
	pair    *tls.Certificate
}

// readCertificates gets the certificates of all listeners, and reads those that
// have changed.
func (l *Loop) readCertificates(ctx context.Context, s State, have store.Snapshot[acm.Certificate]) error {
	versions := map[string]int64{}
	for _, it := range have.Items {
		if m := it.Value.Material; m != nil {
			versions[l.cfg.ACM.ARN(it.Key)] = m.Version
		}
	}
	for _, arn := range s.certificates() {
		if s.Certificates[arn] != nil {
			continue
		}
		c, known := l.certificates[arn]
		if version, ok := versions[arn]; !known || ok && version != c.version {
			fresh, err := l.readCertificate(ctx, arn)
			switch {
			case errors.Is(err, acm.ErrNotIssued):
				continue // the plan says so
			case err != nil && ctx.Err() != nil:
				return err
			case err != nil:
				l.log.Error("reading a certificate; the former one stays", "certificate", arn, "error", err)
			default:
				c = fresh
				l.certificates[arn] = c
			}
		}
		if c.pair != nil {
			s.Certificates[arn] = c.pair
		}
	}
	for arn := range l.certificates { // of those that nobody uses, no key is kept
		if s.Certificates[arn] == nil {
			delete(l.certificates, arn)
		}
	}
	return nil
}

func (l *Loop) readCertificate(ctx context.Context, arn string) (certificate, error) {
	pair, err := l.cfg.ACM.TLSCertificate(ctx, arn)
	if err != nil {
		return certificate{}, err
	}
	parsed, err := tls.X509KeyPair(pair.Chain, pair.Key)
	if err != nil {
		return certificate{}, fmt.Errorf("certificate %s: %w", arn, err)
	}
	return certificate{pair.Version, &parsed}, nil
}
