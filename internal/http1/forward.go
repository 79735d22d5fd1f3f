package http1

import (
	"errors"
	"os"
	"strconv"
	"time"
)

// exchange forwards the request whose head was read, and its response. It
// reports whether another request may follow.
func (c *conn) exchange() bool { return c.begin() && c.forward() }

// begin takes what has come of the body. It is false if that is malformed, and
// the exchange over.
func (c *conn) begin() bool {
	x := c.start()
	if err := c.w.takeBody(); err != nil {
		x.Cause = err
		c.answer(err.Status, false)
		c.done()
		return false
	}
	return true
}

// forward does all else.
func (c *conn) forward() bool {
	keep := c.forward1()
	c.done()
	return keep
}

func (c *conn) forward1() bool {
	x := &c.w.x
	be, status := c.connect()
	if be == nil {
		return c.answer(status, c.w.bodyRead())
	}
	c.build()
	err := c.transmit(be)
	if err == nil {
		err = c.receive(be)
	}
	if err != nil && c.mayRetry(be, err) {
		// One that had waited was dead. A new one will not be so for that reason.
		c.release(be, false)
		fresh, err2 := x.Pool.get(c.ctx, c.now, true, false)
		if err2 != nil {
			x.Cause = err2
			return c.answer(c.s.status(err2), true)
		}
		be = fresh
		c.use(be)
		if err = c.transmit(be); err == nil {
			err = c.receive(be)
		}
	}
	if err == nil && x.Response.Status == 101 {
		return c.tunnel(be)
	}
	sound := false
	if err == nil {
		sound, err = c.respond(be)
	}
	return c.finish(be, sound, err)
}

// connect has the Director choose until there is a connection, or a status.
func (c *conn) connect() (*backend, int) {
	x := &c.w.x
	for {
		pool, status := c.s.Director.Choose(x)
		x.Pool = pool
		switch {
		case pool == nil && x.Cause == nil:
			x.Cause = ErrRefused
			return nil, status
		case pool == nil:
			return nil, status
		case len(x.Tried) >= 64:
			return nil, 503
		}
		be, err := pool.get(c.ctx, c.now, false, !c.w.req.idempotent())
		if err == nil {
			x.Cause = nil
			c.use(be)
			return be, 0
		}
		x.Cause = err
		x.Tried = append(x.Tried, pool)
	}
}

// build writes the request as the backend gets it to c.w.out, with as much of
// its body as is there.
func (c *conn) build() {
	w := c.w
	r := &w.req
	c.s.Director.ForRequest(&w.x, &r.Header)
	b := append(w.out[:0], r.Method...)
	b = append(b, ' ')
	b = append(b, r.Path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	if r.Host != nil {
		b = append(b, r.Host...)
	} else {
		// HTTP/1.0 without Host: it meant this address.
		b = append(b, c.LocalAddr().String()...)
	}
	b = append(b, "\r\n"...)
	b = r.Header.append(b)
	switch r.Body {
	case Length:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
		b = append(b, "\r\n"...)
	case Chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case r.Upgrade != nil:
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, r.Upgrade...)
		b = append(b, "\r\n\r\n"...)
	case r.Class == Ambiguous || w.x.Pool.MaxIdle < 0:
		b = append(b, "Connection: close\r\n\r\n"...)
	default:
		b = append(b, "\r\n"...)
	}
	if r.Body == Chunked {
		b = appendChunk(b, w.body)
		if w.reqBody.done() {
			b = w.reqBody.appendEnd(b)
		}
	} else {
		b = append(b, w.body...)
	}
	w.out = b
}

// transmit sends what was built, and has the rest of the body follow.
func (c *conn) transmit(be *backend) error {
	w := c.w
	x := &w.x
	x.Attempts++
	w.br, w.bw = frontRoom, frontRoom
	x.RequestBytes = int64(len(w.body))
	whole := w.bodyRead()
	if be.plain && whole {
		return c.roundTrip(be)
	}
	n, err := be.write(w.out, c.now, c.s.IdleTimeout)
	c.now = time.Now()
	if err != nil {
		w.unsent = n == 0 && be.plain
		return closedBy(err)
	}
	x.RequestProcessing = c.now.Sub(x.Received)
	if !whole {
		c.startPump(be)
	}
	return nil
}

// roundTrip sends what was built, and reads the first bytes of the response if
// they come within a second.
func (c *conn) roundTrip(be *backend) error {
	w := c.w
	be.allow(c.now, c.now.Add(min(c.s.patience, c.s.IdleTimeout)))
	be.out, be.sent, be.in, be.n, be.err = w.out, 0, w.back[frontRoom:len(w.back)-backRoom], 0, nil
	err := be.raw.Read(be.step)
	be.in, be.out = nil, nil
	switch {
	case be.sent == len(w.out):
		c.now = be.sentAt
	case be.err != nil:
		w.unsent = be.sent == 0
		return closedBy(be.err)
	default: // its buffer is full: wait for that
		n, err := be.write(w.out[be.sent:], c.now, c.s.IdleTimeout)
		c.now = time.Now()
		if err != nil {
			w.unsent = be.sent+n == 0
			return closedBy(err)
		}
	}
	w.x.RequestProcessing = c.now.Sub(w.x.Received)
	switch {
	case be.n > 0:
		w.bw += be.n
		c.now = time.Now()
	case be.err != nil:
		return closedBy(be.err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		be.readBy = time.Time{}
	case err != nil:
		return closedBy(err)
	}
	return nil
}

// mayRetry reports whether the request may be sent once more: the connection had
// waited in the pool and died before any byte of a response, and either the
// request is idempotent or none of it went out.
func (c *conn) mayRetry(be *backend, err error) bool {
	w := c.w
	if !be.reused || w.pump.on || c.watching != nil || w.bw != frontRoom || w.interim || !errors.Is(err, ErrBackendClosed) {
		return false
	}
	return w.unsent || w.req.idempotent()
}

// idempotent is RFC 9110, 9.2.2.
func (r *Request) idempotent() bool {
	switch string(r.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// receive reads the head of the response, and passes interim ones on.
func (c *conn) receive(be *backend) error {
	w := c.w
	x := &w.x
	for interim := 0; ; {
		if w.bw > w.br {
			n, err := parseResponse(w.back[w.br:w.bw], &w.resp, w.req.Method, &c.s.Limits)
			switch {
			case err != nil:
				return responseError(err)
			case n == 0:
			case w.resp.Status >= 200, w.resp.Status == 101:
				if w.resp.Status == 101 && (w.req.Upgrade == nil || w.resp.Upgrade == nil) {
					return responseError(errSwitch)
				}
				w.br += n
				x.BackendProcessing = c.now.Sub(x.Received) - x.RequestProcessing
				x.StatusBackend = w.resp.Status
				return nil
			default:
				if interim++; interim > 64 {
					return responseError(errInterim)
				}
				w.br += n
				w.interim = true
				if err := c.interim(); err != nil {
					return err
				}
				continue
			}
		}
		if !w.makeBackRoom(c.s.Limits.Head) {
			return responseError(errHeadTooLong)
		}
		n, err := c.readBackend(be, w.back[w.bw:len(w.back)-backRoom])
		c.now = time.Now()
		if err != nil {
			return closedBy(err)
		}
		w.bw += n
	}
}

// interim passes a response 1xx on, if the client knows such (RFC 9110, 15.2).
func (c *conn) interim() error {
	w := c.w
	if w.req.Minor == 0 {
		return nil
	}
	b := w.resp.Header.append(statusLine(w.out[:0], &w.resp))
	w.out = append(b, "\r\n"...)
	if _, err := c.write(w.out, c.now, c.s.IdleTimeout); err != nil {
		return ErrClientAborted
	}
	return nil
}

func statusLine(b []byte, r *Response) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = append(b, r.Reason...)
	return append(b, "\r\n"...)
}

// readBackend reads once. Silence is waited out for IdleTimeout since c.now, or
// since the last piece of the request's body went out. If it lasts for a second,
// the client is watched: it may have gone.
func (c *conn) readBackend(be *backend, p []byte) (int, error) {
	since, now := c.now, c.now
	until := since.Add(min(c.s.patience, c.s.IdleTimeout))
	for {
		n, err := be.read(p, now, until)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		now = time.Now()
		if c.w.pump.running() {
			// It is the client's turn to speak, or the backend's to read: the pump minds that.
			until = now.Add(c.s.patience)
			continue
		}
		if t := c.w.pump.progress(); c.w.pump.on && t.After(since) {
			since = t
		}
		until = since.Add(c.s.IdleTimeout)
		if c.sock != nil && c.sock.inside {
			if c.clientGone() {
				return 0, ErrClientAborted
			}
			if next := now.Add(c.s.patience); next.Before(until) {
				until = next
			}
		} else {
			c.startWatch(be)
		}
		if !now.Before(until) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}
