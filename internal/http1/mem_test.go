package http1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memConn is one side of a connection in memory. Unlike net.Pipe it has a
// buffer, and an end of its own each way.
type memConn struct{ in, out *memHalf }

type memHalf struct {
	mu       sync.Mutex // guards all
	cond     *sync.Cond
	buf      bytes.Buffer
	ended    bool // by the writer
	gone     bool // the reader is
	deadline time.Time
	timer    *time.Timer
}

const memBuffer = 256 << 10

func memPair() (net.Conn, net.Conn) {
	a, b := newHalf(), newHalf()
	return &memConn{a, b}, &memConn{b, a}
}

func newHalf() *memHalf {
	h := &memHalf{}
	h.cond = sync.NewCond(&h.mu)
	return h
}

func (c *memConn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.gone:
			return 0, net.ErrClosed
		case !h.deadline.IsZero() && !time.Now().Before(h.deadline):
			return 0, os.ErrDeadlineExceeded
		case h.buf.Len() > 0:
			n, _ := h.buf.Read(p)
			h.cond.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.cond.Wait()
	}
}

func (c *memConn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(p) > 0 {
		if h.gone || h.ended {
			return n, errors.New("broken pipe")
		}
		if room := memBuffer - h.buf.Len(); room > 0 {
			k := min(room, len(p))
			h.buf.Write(p[:k])
			p, n = p[k:], n+k
			h.cond.Broadcast()
			continue
		}
		h.cond.Wait()
	}
	return n, nil
}

func (c *memConn) CloseWrite() error {
	c.out.set(func(h *memHalf) { h.ended = true })
	return nil
}

func (c *memConn) Close() error {
	_ = c.CloseWrite()
	c.in.set(func(h *memHalf) {
		h.gone = true
		if h.timer != nil {
			h.timer.Stop()
		}
	})
	return nil
}

func (h *memHalf) set(f func(*memHalf)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
	h.cond.Broadcast()
}

func (c *memConn) SetReadDeadline(d time.Time) error {
	c.in.set(func(h *memHalf) {
		h.deadline = d
		if h.timer != nil {
			h.timer.Stop()
		}
		if !d.IsZero() {
			h.timer = time.AfterFunc(time.Until(d), func() { h.set(func(*memHalf) {}) })
		}
	})
	return nil
}

func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memConn) SetDeadline(d time.Time) error    { return c.SetReadDeadline(d) }
func (c *memConn) LocalAddr() net.Addr              { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "127.0.0.1:80" }
