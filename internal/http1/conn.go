package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a client's connection. One goroutine serves it; others live only while
// a request's body is streamed (pump), a response is late (watch), or it is a
// tunnel.
type conn struct {
	wire
	s     *Server
	ctx   context.Context
	now   time.Time // the last reading of the clock
	addr  netip.AddrPort
	ip    []byte
	state any
	w     *work // nil while nothing has come of the next request
	one   [1]byte

	ready    func(uintptr) bool // c.readable
	n        int                // what ready has read
	err      error
	shaking  atomic.Bool // TLS: a deadline that passes now would end it
	unread   bool        // the client may still be sending what nobody will read
	watching *watch

	mu      sync.Mutex // guards be, aborted
	be      *backend   // in use
	aborted bool
}

// abort closes everything.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
	_ = c.Conn.Close()
	if c.be != nil {
		_ = c.be.Conn.Close()
	}
}

// use makes b the backend in use. Without it, nothing is.
func (c *conn) use(b *backend) {
	c.mu.Lock()
	c.be = b
	if b != nil && c.aborted {
		_ = b.Conn.Close()
	}
	c.mu.Unlock()
}

// wake ends the wait for a request, so that the reader looks around.
func (c *conn) wake() {
	if !c.shaking.Load() {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) serve() {
	c.now = time.Now()
	c.ready = c.readable
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		c.addr = a.AddrPort()
		c.addr = netip.AddrPortFrom(c.addr.Addr().Unmap(), c.addr.Port())
		c.ip = c.addr.Addr().AppendTo(nil)
	}
	if c.handshake() {
		for c.next() && c.exchange() {
		}
	}
	if c.unread {
		c.linger()
	}
	_ = c.Conn.Close()
	if c.w != nil {
		c.w.release()
		c.w = nil
	}
}

func (c *conn) handshake() bool {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	c.shaking.Store(true)
	_ = c.SetDeadline(c.now.Add(c.s.RequestHeaderTimeout))
	err := t.Handshake()
	c.shaking.Store(false)
	c.readBy = c.now.Add(c.s.RequestHeaderTimeout)
	c.writeBy = c.readBy
	return err == nil
}

// next waits for a request and reads its head. It is false when there is none:
// then the connection ends, and the client has been told why if there is reason.
func (c *conn) next() bool {
	if c.w == nil || c.w.r == c.w.w {
		if !c.wait() {
			return false
		}
	}
	w, l := c.w, &c.s.Limits
	by := c.now.Add(c.s.RequestHeaderTimeout)
	scanned, blank := w.r, false
	for {
		// An empty line before a request is ignored (RFC 9112, 2.2), one only.
		if !blank && w.w-w.r >= 2 && w.in[w.r] == '\r' && w.in[w.r+1] == '\n' {
			w.r, blank = w.r+2, true
		}
		if !(w.w == w.r || w.w-w.r == 1 && w.in[w.r] == '\r' && !blank) && (scanned == w.r || headEnds(w.in[scanned:w.w]) || w.w == len(w.in)) {
			n, err := parseRequest(w.in[w.r:w.w], &w.req, l)
			if err != nil {
				c.refuse(err.Status, err)
				return false
			}
			if n > 0 {
				w.x.RequestHeadBytes = n
				w.head = w.r + n
				w.r = w.head
				return true
			}
		}
		old := w.w - w.r
		if !w.makeRoom(l.Head + inSize0) {
			c.refuse(400, errHeadTooLong)
			return false
		}
		// The end of a head may begin in what was there.
		scanned = w.r + max(old-3, 0)
		n, err := c.read(w.in[w.w:], c.now, by)
		if err != nil {
			c.now = time.Now()
			switch {
			case w.w == w.r:
			case errors.Is(err, os.ErrDeadlineExceeded):
				c.refuse(408, ErrClientTimeout)
			default:
				c.start().Cause = ErrClientAborted
				c.done()
			}
			return false
		}
		w.w += n
		c.now = time.Now()
	}
}

// headEnds reports whether b has an empty line, however its lines end.
func headEnds(b []byte) bool {
	for i := len(b) - 1; i > 0; i-- {
		if b[i] == '\n' && (b[i-1] == '\n' || i > 1 && b[i-1] == '\r' && b[i-2] == '\n') {
			return true
		}
	}
	return false
}

// wait waits until something of the next request has come, without holding a
// buffer.
func (c *conn) wait() bool {
	if c.w != nil {
		c.w.release()
		c.w = nil
	}
	until := c.now.Add(c.s.IdleTimeout)
	for {
		c.allow(c.now, until)
		if c.s.draining.Load() {
			if by := c.now.Add(grace); by.Before(until) {
				until = by
				c.allow(c.now, until)
			}
		}
		err := c.first()
		if err == nil {
			c.now = time.Now()
			return true
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		c.readBy = time.Time{}
		if c.now = time.Now(); !c.now.Before(until) {
			return false
		}
	}
}

// first reads the first bytes of a request. TLS gives one byte and keeps the
// rest of its record; a TCP connection is read once there is something to read.
func (c *conn) first() error {
	if c.plain {
		if err := c.raw.Read(c.ready); err != nil {
			return err
		}
		return c.err
	}
	n, err := c.Read(c.one[:])
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return err
	}
	c.w = works.Get().(*work)
	c.w.in[0] = c.one[0]
	c.w.w = 1
	return nil
}

// readable reads into a buffer that it takes for it, if there is something.
func (c *conn) readable(fd uintptr) bool {
	w := works.Get().(*work)
	n, err := again(syscall.Read, fd, w.in)
	if n > 0 {
		c.w, c.err = w, nil
		w.w = n
		return true
	}
	w.release()
	if err == syscall.EAGAIN {
		return false
	}
	if c.err = err; err == nil {
		c.err = io.EOF
	}
	return true
}

// linger closes after an answer that came before the request was read to its
// end: closing with bytes unread resets the connection, and the client may lose
// the answer (RFC 9112, 9.6).
func (c *conn) linger() {
	c.closeWrite()
	nc := c.Conn
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	_ = nc.SetReadDeadline(time.Now().Add(grace))
	p := c.w.back
	for total := 0; total < 1<<20; {
		n, err := nc.Read(p)
		if err != nil {
			return
		}
		total += n
	}
}
