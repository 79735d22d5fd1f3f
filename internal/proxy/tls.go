package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// handshakeTimeout bounds a client's TLS handshake.
const handshakeTimeout = 30 * time.Second

// serverTLS is the configuration of a listener. Its tickets are its own: a client that comes back after
// the certificate has changed shakes hands anew and sees the new one.
func serverTLS(l *Listener) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{*l.Certificate},
		MinVersion:   tls.VersionTLS10, //nolint:gosec // what the policy says; a CLB's oldest
		MaxVersion:   tls.VersionTLS12, // a CLB has no TLS 1.3
		CipherSuites: l.TLS.CipherSuites,
		// Responses are short, or long: small records first help neither.
		DynamicRecordSizingDisabled: true,
	}
	if l.TLS.MinVersion != 0 {
		c.MinVersion = l.TLS.MinVersion
	}
	if l.TLS.MaxVersion != 0 {
		c.MaxVersion = l.TLS.MaxVersion
	}
	return c
}

// sameTLS says whether two listeners negotiate TLS in the same way.
func sameTLS(a, b *Listener) bool {
	if a.Certificate == nil || b.Certificate == nil {
		return a.Certificate == b.Certificate
	}
	return slices.EqualFunc(a.Certificate.Certificate, b.Certificate.Certificate, bytes.Equal) &&
		a.TLS.MinVersion == b.TLS.MinVersion && a.TLS.MaxVersion == b.TLS.MaxVersion &&
		slices.Equal(a.TLS.CipherSuites, b.TLS.CipherSuites)
}

// ErrPublicKey says that a backend's certificate has none of the public keys wanted.
var ErrPublicKey = errors.New("the backend's public key is none of those that its policy trusts")

// backendTLS is the configuration for backends, whose certificates are not verified: only their public
// keys are, if any are given.
func backendTLS(keys [][]byte, sessions tls.ClientSessionCache) *tls.Config {
	c := &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // as a CLB does
		MinVersion:         tls.VersionTLS10,
		MaxVersion:         tls.VersionTLS12,
		CipherSuites:       backendSuites,
		ClientSessionCache: sessions,
	}
	if len(keys) > 0 {
		c.VerifyConnection = func(s tls.ConnectionState) error {
			for _, key := range keys {
				if bytes.Equal(key, s.PeerCertificates[0].RawSubjectPublicKeyInfo) {
					return nil
				}
			}
			return ErrPublicKey
		}
	}
	return c
}

// secure begins TLS with a backend on a connection, which it closes if that fails.
func secure(ctx context.Context, raw net.Conn, config *tls.Config) (net.Conn, error) {
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("TLS with the backend: %w", err)
	}
	return c, nil
}
