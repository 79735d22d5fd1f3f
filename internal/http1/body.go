package http1

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// takeBody takes what has come of the request's body from the buffer.
func (w *work) takeBody() *Error {
	w.pump.on = false
	w.body, w.unsent, w.interim, w.closing = nil, false, false, false
	rest := w.in[w.r:w.w]
	switch w.req.Body {
	case Length:
		n := int(min(int64(len(rest)), w.req.Length))
		w.body = rest[:n]
		w.bodyLeft = w.req.Length - int64(n)
		w.r += n
	case Chunked:
		w.reqBody.reset()
		nd, ns, err := w.reqBody.decode(rest, rest)
		if err != nil {
			return err
		}
		w.body = rest[:nd]
		w.r += ns
	}
	return nil
}

// bodyRead reports whether all of the request's body has come.
func (w *work) bodyRead() bool {
	switch w.req.Body {
	case Length:
		return w.bodyLeft == 0
	case Chunked:
		return w.reqBody.done()
	}
	return true
}

// pump sends the rest of a request's body while the response is waited for: a
// backend may answer before it has all, and the client may want to read the
// beginning of the response before it sends more.
type pump struct {
	on    bool // there is one
	ended chan struct{}
	since time.Time
	last  atomic.Int64 // when something was sent, after since
	over  atomic.Bool  // it has ended
	err   error        // of the client; valid once ended
	whole bool         // all of the body was sent
	n     int64
	carry []byte // what came after the body
}

func (p *pump) running() bool { return p.on && !p.over.Load() }

func (p *pump) progress() time.Time { return p.since.Add(time.Duration(p.last.Load())) }

func (c *conn) startPump(be *backend) {
	p := &c.w.pump
	p.ended = make(chan struct{})
	p.on, p.since, p.err, p.whole, p.n = true, c.now, nil, false, 0
	p.last.Store(0)
	p.over.Store(false)
	go c.runPump(be)
}

func (c *conn) runPump(be *backend) {
	p := &c.w.pump
	p.err = c.pumpBody(be)
	p.over.Store(true)
	if p.err != nil {
		// The backend cannot answer half a request: end the wait for it.
		_ = be.Conn.Close()
	}
	close(p.ended)
}

// pumpBody returns what is the client's fault. A backend that takes no more may
// have answered.
func (c *conn) pumpBody(be *backend) error {
	w := c.w
	p := &w.pump
	big := bigs.Get().(*[bigSize]byte)
	defer bigs.Put(big)
	now := p.since
	for {
		room := big[frontRoom : bigSize-backRoom]
		if w.req.Body == Length && int64(len(room)) > w.bodyLeft {
			room = room[:w.bodyLeft]
		}
		n, err := c.read(room, now, now.Add(c.s.IdleTimeout))
		now = time.Now()
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ErrClientTimeout
		default:
			return ErrClientAborted
		}
		data := room[:n]
		if w.req.Body == Length {
			w.bodyLeft -= int64(n)
		} else {
			nd, ns, err := w.reqBody.decode(room, data)
			if err != nil {
				return err
			}
			if w.reqBody.done() {
				p.carry = append(p.carry[:0], room[ns:n]...)
			}
			n, data = nd, w.frame(big[:], nd, w.reqBody.done(), &w.reqBody)
		}
		if len(data) > 0 {
			if _, err := be.write(data, now, c.s.IdleTimeout); err != nil {
				return nil
			}
			now = time.Now()
		}
		p.n += int64(n)
		p.last.Store(int64(now.Sub(p.since)))
		if w.bodyRead() {
			p.whole = true
			return nil
		}
	}
}

// stopPump ends the pump, if there is one. It reports whether all of the request
// was sent, and what the client did wrong. After a whole response it is given a
// moment: it may be about to end.
func (c *conn) stopPump(be *backend, answered bool) (whole bool, err error) {
	w := c.w
	p := &w.pump
	if !p.on {
		return w.bodyRead(), nil
	}
	if answered && !p.over.Load() {
		t := time.NewTimer(50 * time.Millisecond)
		select {
		case <-p.ended:
		case <-t.C:
		}
		t.Stop()
	}
	stopped := !p.over.Load()
	if stopped {
		_ = be.Conn.Close()
		c.stopRead()
	}
	<-p.ended
	p.on = false
	w.x.RequestBytes += p.n
	if p.whole && len(p.carry) > 0 {
		w.carry(p.carry)
		p.carry = p.carry[:0]
	}
	if stopped {
		c.resumeRead()
		return false, nil
	}
	return p.whole, p.err
}

// carry puts what was read after a body behind the head, for the next request.
func (w *work) carry(b []byte) {
	if len(w.in)-w.w < len(b) {
		in := make([]byte, w.w+len(b)+inSize0)
		copy(in, w.in[:w.w])
		w.in = in // the request goes on pointing to the old one
	}
	w.w += copy(w.in[w.w:], b)
}
