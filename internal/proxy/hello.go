package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// errHello ends the handshake that only reads the ClientHello.
var errHello = errors.New("the ClientHello was read")

// readHello returns the server name of a ClientHello, empty if it has none, and keeps all that was
// read. crypto/tls reads it: what it takes from the listener later is the same.
func readHello(c *opening) (name string, err error) {
	r := &recorder{Conn: c.Conn}
	seen := false
	err = tls.Server(r, &tls.Config{
		MinVersion: tls.VersionTLS10, //nolint:gosec // the listener decides
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name, seen = hello.ServerName, true
			return nil, errHello
		},
	}).HandshakeContext(context.Background())
	c.read = r.read
	if seen {
		return name, nil
	}
	return "", err
}

// recorder keeps what is read, and sends nothing.
type recorder struct {
	net.Conn
	read []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	if len(r.read) >= maxHello {
		return 0, errors.New("the ClientHello is too long")
	}
	n, err := r.Conn.Read(p[:min(len(p), maxHello-len(r.read))])
	r.read = append(r.read, p[:n]...)
	return n, err
}

func (r *recorder) Write(p []byte) (int, error)      { return len(p), nil }
func (r *recorder) Close() error                     { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }
