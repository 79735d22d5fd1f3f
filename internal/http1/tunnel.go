package http1

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// tunnel forwards bytes both ways after status 101, until both sides have ended,
// one fails, or nothing comes from either for IdleTimeout.
func (c *conn) tunnel(be *backend) bool {
	w := c.w
	x, r := &w.x, &w.resp
	c.s.Director.ForResponse(x, &r.Header)
	b := r.Header.append(statusLine(w.out[:0], r))
	b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
	b = append(b, r.Upgrade...)
	b = append(b, "\r\n\r\n"...)
	b = append(b, w.back[w.br:w.bw]...)
	w.out = b
	x.ResponseBytes = int64(w.bw - w.br)
	x.StatusELB, x.Upgraded = 101, true

	whole, cause := c.stopPump(be, true)
	if c.stopWatch() {
		cause = ErrClientAborted
	}
	if _, err := c.write(b, c.now, c.s.IdleTimeout); err != nil {
		cause = ErrClientAborted
	}
	if !whole || cause != nil {
		x.Cause = cause
		c.release(be, false)
		return false
	}
	before := c.now
	c.now = time.Now()
	x.ResponseProcessing = c.now.Sub(before)

	t := &tunnel{c: c, be: be, since: c.now, idle: c.s.IdleTimeout}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sent := w.in[w.r:w.w]
		if len(sent) > 0 {
			if _, err := be.write(sent, t.since, t.idle); err != nil {
				t.close()
				return
			}
		}
		t.up = int64(len(sent)) + t.copy(&be.wire, &c.wire, make([]byte, inSize0))
	}()
	x.ResponseBytes += t.copy(&c.wire, &be.wire, w.back)
	<-ended
	w.r = w.w
	x.RequestBytes += t.up
	c.release(be, false)
	return false
}

type tunnel struct {
	c     *conn
	be    *backend
	since time.Time
	last  atomic.Int64 // when something came, after since
	idle  time.Duration
	up    int64
}

func (t *tunnel) close() {
	_ = t.c.Conn.Close()
	_ = t.be.Conn.Close()
}

// copy forwards one way. The end of it is passed on; the other way may go on.
func (t *tunnel) copy(dst, src *wire, buf []byte) (total int64) {
	for {
		now := time.Now()
		until := t.since.Add(time.Duration(t.last.Load()) + t.idle)
		n, err := 0, os.ErrDeadlineExceeded
		if now.Before(until) {
			n, err = src.read(buf, now, until)
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Since(t.since) < time.Duration(t.last.Load())+t.idle {
				continue // something came the other way
			}
			t.close()
			return total
		case errors.Is(err, io.EOF):
			dst.closeWrite()
			return total
		default:
			t.close()
			return total
		}
		now = time.Now()
		t.last.Store(int64(now.Sub(t.since)))
		if _, err := dst.write(buf[:n], now, t.idle); err != nil {
			t.close()
			return total
		}
		total += int64(n)
	}
}
