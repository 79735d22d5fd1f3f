package http1

import (
	"errors"
	"os"
	"time"
)

// watch reads from the client while its response is late: that is how one
// notices that it has gone.
type watch struct {
	ended chan struct{}
	gone  bool // valid once ended
	n     int  // bytes of the next request that came
}

func (c *conn) startWatch(be *backend) {
	p := &c.w.pump
	if c.watching != nil || c.w.w == len(c.w.in) || p.on && (p.err != nil || len(p.carry) > 0) {
		return
	}
	w := &watch{ended: make(chan struct{})}
	c.watching = w
	room := c.w.in[c.w.w:]
	go func() {
		defer close(w.ended)
		for w.n < len(room) {
			now := time.Now()
			n, err := c.read(room[w.n:], now, now.Add(24*time.Hour))
			w.n += n
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			if err != nil {
				w.gone = true
				_ = be.Conn.Close()
				return
			}
		}
	}()
}

// stopWatch ends the watch, if there is one. It reports whether the client has
// gone.
func (c *conn) stopWatch() bool {
	w := c.watching
	if w == nil {
		return false
	}
	c.watching = nil
	c.stopRead()
	<-w.ended
	c.resumeRead()
	c.w.w += w.n
	return w.gone
}

// stopRead ends a read of another goroutine, with os.ErrDeadlineExceeded.
func (c *conn) stopRead() {
	c.stop.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0))
}

// resumeRead lets reads be again, once that goroutine has ended.
func (c *conn) resumeRead() {
	c.stop.Store(false)
	c.readBy = time.Time{}
}

// clientGone looks, from inside RawConn.Read, whether the client has gone. What
// it has sent is of the next request.
func (c *conn) clientGone() bool {
	w := c.w
	if w.w == len(w.in) {
		return false
	}
	c.sock.drained = false
	n, err := c.Read(w.in[w.w:])
	w.w += n
	return n == 0 && err != nil && !errors.Is(err, errWouldBlock)
}
