package http1

import (
	"errors"
	"io"
	"os"
	"time"
)

// waits is of connections that are read as any net.Conn: see turn for the
// others.
type waits struct{ one [1]byte }

// next waits for a request and reads its head. It is false when there is none:
// then the connection ends, and the client has been told why if there is reason.
func (c *conn) next() bool {
	if (c.w == nil || c.w.r == c.w.w) && !c.wait() {
		return false
	}
	by := c.now.Add(c.s.RequestHeaderTimeout)
	for {
		switch c.head() {
		case headRead:
			return true
		case headRefused:
			return false
		}
		w := c.w
		if !w.makeRoom(c.s.Limits.Head + inSize0) {
			c.refuse(400, errHeadTooLong)
			return false
		}
		n, err := c.read(w.in[w.w:], c.now, by)
		c.now = time.Now()
		if err != nil {
			if w.r < w.w && errors.Is(err, os.ErrDeadlineExceeded) {
				c.headLate()
			} else {
				c.headLost()
			}
			return false
		}
		w.w += n
	}
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
			if by := c.now.Add(c.s.grace); by.Before(until) {
				until = by
				c.allow(c.now, until)
			}
		}
		n, err := c.Read(c.waits.one[:])
		switch {
		case n > 0:
			c.now = time.Now()
			c.w = works.Get().(*work)
			c.w.in[0] = c.waits.one[0]
			c.w.w = 1
			return true
		case err == nil:
			err = io.ErrNoProgress
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
