package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
)

// Replay is c with bytes that were read of it already. It is for ServeConn, and
// for TLSServer.
func Replay(c net.Conn, prefix []byte) net.Conn {
	switch t := c.(type) {
	case *net.TCPConn:
		return &socket{TCPConn: t, prefix: prefix}
	case *socket:
		return &socket{TCPConn: t.TCPConn, prefix: append(slices.Clip(prefix), t.prefix...)}
	}
	return &prefixed{Conn: c, prefix: prefix}
}

// TLSServer is tls.Server for connections that ServeConn is given. With it, and
// only with it, a connection over TLS that waits for a request has no buffer and
// a small stack, and a request needs one system call less. c is a TCP connection
// or what Replay made of one; any other is as with tls.Server.
func TLSServer(c net.Conn, config *tls.Config) *tls.Conn {
	if _, ok := c.(*net.TCPConn); ok {
		c = Replay(c, nil)
	}
	return tls.Server(c, config)
}

type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// socket is a client's TCP connection, alone or under TLS. Inside of a call of
// RawConn.Read it reads without waiting, and outside as usual.
type socket struct {
	*net.TCPConn
	prefix []byte
	inside bool
	fd     uintptr
	// drained: the last read took all there was. What comes later ends the wait for
	// it, so that there is no need to look. Only an end of the stream that came
	// together with the last bytes makes no noise of its own.
	drained bool
}

// enter and leave are the borders of RawConn.Read.
func (s *socket) enter(fd uintptr) { s.inside, s.fd, s.drained = true, fd, false }
func (s *socket) leave()           { s.inside = false }

func (s *socket) Read(p []byte) (int, error) {
	if len(s.prefix) > 0 {
		n := copy(p, s.prefix)
		if s.prefix = s.prefix[n:]; len(s.prefix) == 0 {
			s.prefix = nil
		}
		return n, nil
	}
	if !s.inside {
		return s.TCPConn.Read(p)
	}
	if s.drained {
		return 0, errWouldBlock
	}
	n, err := again(syscall.Read, s.fd, p)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		s.drained = true
		return 0, errWouldBlock
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	s.drained = n < len(p)
	return n, nil
}

// errWouldBlock is a temporary error: crypto/tls lets one read again after it.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }
