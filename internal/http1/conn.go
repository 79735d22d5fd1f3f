package http1

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a client's connection. One goroutine serves it; others live only while
// a request's body is streamed (pump), a response is late (watch), or it is a
// tunnel.
type conn struct {
	wire
	s     *Server
	ctx   context.Context
	given net.Conn  // as it was given to ServeConn
	now   time.Time // the last reading of the clock
	addr  netip.AddrPort
	ip    []byte
	state any
	w     *work // nil while nothing has come of the next request

	turn  turn
	waits waits

	shaking  atomic.Bool // TLS: a deadline that passes now would end it
	unread   bool        // the client may still be sending what nobody will read
	cutting  bool        // the connection ends in the midst of a response
	watching *watch

	mu      sync.Mutex // guards be, aborted
	be      *backend   // in use
	aborted bool
}

// abort ends everything. It may be called while the connection is in a call of
// RawConn.Read, which Close would wait for.
func (c *conn) abort() {
	if c.sock == nil {
		_ = c.Conn.Close()
	} else {
		_ = c.sock.CloseRead()
		_ = c.sock.CloseWrite()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = true
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
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		c.addr = a.AddrPort()
		c.addr = netip.AddrPortFrom(c.addr.Addr().Unmap(), c.addr.Port())
		c.ip = c.addr.Addr().AppendTo(nil)
	}
	switch {
	case !c.handshake():
	case c.sock != nil:
		c.turns()
	default:
		for c.next() && c.exchange() {
		}
	}
	switch {
	case c.cutting:
		c.cut()
	case c.unread:
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
	c.readBy = c.now.Add(c.s.RequestHeaderTimeout)
	c.writeBy = c.readBy
	_ = c.SetDeadline(c.readBy)
	err := t.Handshake()
	c.shaking.Store(false)
	return err == nil
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
	_ = nc.SetReadDeadline(time.Now().Add(c.s.grace))
	p := c.w.back
	for total := 0; total < 1<<20; {
		n, err := nc.Read(p)
		if err != nil {
			return
		}
		total += n
	}
}

// cut ends the connection in the midst of a response, so that the client cannot
// take it for complete: without a close_notify, and with a reset.
func (c *conn) cut() {
	nc := c.Conn
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if t, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = nc.Close()
}
