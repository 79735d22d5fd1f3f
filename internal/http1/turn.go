package http1

import (
	"errors"
	"os"
	"time"
)

// turn is of connections over TCP. They are served from inside RawConn.Read: it
// calls step whenever there is something to read, and step reads, forwards, and
// returns false to wait for more. So nothing but a few small frames is on the
// stack of a connection that waits, and what comes while a request is forwarded
// is not missed, without a read that finds nothing.
type turn struct {
	step    func(uintptr) bool // c.steps
	over    bool               // the connection has ended
	outside bool               // the exchange that has begun needs to wait for the client
	idle    time.Time          // since when nothing came; what is read then is a new request
	headBy  time.Time          // when the head of the request must be there; zero if none has begun
	probed  bool               // there was a look for an end that makes no noise
	drainBy time.Time          // when an idle connection ends because of Shutdown
}

// turns serves the connection to its end.
func (c *conn) turns() {
	t := &c.turn
	t.step = c.steps
	t.idle = c.now
	for {
		c.allow(c.now, c.until()) // RawConn.Read does not begin if a deadline has passed
		err := c.raw.Read(t.step)
		switch {
		case t.over:
			return
		case t.outside:
			t.outside = false
			if !c.forward() {
				return
			}
			t.idle = c.now
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.readBy = time.Time{}
			if c.now = time.Now(); !c.patient() {
				return
			}
		default:
			c.headLost()
			return
		}
	}
}

// patient says whether there is still something to wait for.
func (c *conn) patient() bool {
	t := &c.turn
	if !t.headBy.IsZero() {
		if c.now.Before(t.headBy) {
			return true
		}
		c.headLate()
		return false
	}
	if t.drainBy.IsZero() && c.s.draining.Load() {
		t.drainBy = c.now.Add(c.s.grace)
	}
	if !t.drainBy.IsZero() && !c.now.Before(t.drainBy) {
		return false
	}
	t.probed = t.probed || !c.now.Before(t.idle.Add(c.s.patience))
	return c.now.Before(t.idle.Add(c.s.IdleTimeout))
}

// steps is called by RawConn.Read, until it returns true.
func (c *conn) steps(fd uintptr) bool {
	c.sock.enter(fd)
	done := c.steps1()
	c.sock.leave()
	return done
}

func (c *conn) steps1() bool {
	t := &c.turn
	for {
		if c.w != nil && c.w.r < c.w.w {
			switch c.head() {
			case headRefused:
				t.over = true
				return true
			case headRead:
				t.headBy, t.probed = time.Time{}, false
				if !c.begin() {
					t.over = true
					return true
				}
				if !c.w.bodyRead() || c.w.req.Upgrade != nil {
					t.outside = true
					return true
				}
				if !c.forward() {
					t.over = true
					return true
				}
				t.idle = c.now
				continue
			}
		}
		w := c.w
		if w == nil {
			w = works.Get().(*work)
			c.w = w
		} else if w.r == w.w {
			w.r, w.w = 0, 0
		}
		if !w.makeRoom(c.s.Limits.Head + inSize0) {
			c.refuse(400, errHeadTooLong)
			t.over = true
			return true
		}
		n, err := c.Read(w.in[w.w:])
		switch {
		case n > 0:
			c.now = time.Now()
			w.w += n
			if t.headBy.IsZero() {
				t.headBy = c.now.Add(c.s.RequestHeaderTimeout)
			}
		case errors.Is(err, errWouldBlock):
			c.pause()
			return false
		case err != nil:
			c.headLost()
			t.over = true
			return true
		}
	}
}

// pause prepares to wait.
func (c *conn) pause() {
	if c.w.r == c.w.w && !c.w.blank {
		c.turn.headBy = time.Time{}
		c.w.release()
		c.w = nil
	}
	c.allow(c.now, c.until())
	if c.turn.drainBy.IsZero() && c.s.draining.Load() {
		c.allow(c.now, c.until()) // Shutdown has come between the two
	}
}

// until is when to stop waiting, or to look around.
func (c *conn) until() time.Time {
	t := &c.turn
	if !t.headBy.IsZero() {
		return t.headBy
	}
	until := t.idle.Add(c.s.IdleTimeout)
	if probe := t.idle.Add(c.s.patience); !t.probed && probe.Before(until) {
		until = probe
	}
	if t.drainBy.IsZero() && c.s.draining.Load() {
		t.drainBy = c.now.Add(c.s.grace)
	}
	if !t.drainBy.IsZero() && t.drainBy.Before(until) {
		until = t.drainBy
	}
	return until
}
