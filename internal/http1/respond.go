package http1

import (
	"errors"
	"io"
	"strconv"
	"time"
)

// respond forwards the response whose head was read. It reports whether the
// backend's connection can take another request.
func (c *conn) respond(be *backend) (sound bool, err error) {
	w := c.w
	x, r := &w.x, &w.resp
	w.respBody.reset() // no trailers of another response
	chunk := w.chunks()
	w.closing = c.s.draining.Load() || w.req.Close ||
		w.req.Minor == 0 && (r.Body == Chunked || r.Body == UntilClose)
	c.s.Director.ForResponse(x, &r.Header)
	b := r.Header.append(statusLine(w.out[:0], r))
	switch {
	case chunk:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Length >= 0:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.Length, 10)
		b = append(b, "\r\n"...)
	}
	switch {
	case w.closing:
		b = append(b, "Connection: close\r\n"...)
	case w.req.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = append(b, "\r\n"...)

	// What is there of the body goes out with the head.
	left, n := r.Length, w.bw-w.br
	ended := false
	switch r.Body {
	case NoBody:
		ended, n = true, 0
	case Length:
		n = int(min(int64(n), left))
		b = append(b, w.back[w.br:w.br+n]...)
		w.br += n
		left -= int64(n)
		ended = left == 0
	case Chunked:
		src := w.back[w.br:w.bw]
		nd, ns, derr := w.respBody.decode(src, src)
		if derr != nil {
			return false, responseError(derr)
		}
		w.br += ns
		n, ended = nd, w.respBody.done()
		if chunk {
			b = appendChunk(b, src[:nd])
			if ended {
				b = w.respBody.appendEnd(b)
			}
		} else {
			b = append(b, src[:nd]...)
		}
	case UntilClose:
		if chunk {
			b = appendChunk(b, w.back[w.br:w.bw])
		} else {
			b = append(b, w.back[w.br:w.bw]...)
		}
		w.br = w.bw
	}
	w.out = b
	x.StatusELB = r.Status
	if _, err := c.write(b, c.now, c.s.IdleTimeout); err != nil {
		return false, ErrClientAborted
	}
	before := c.now
	c.now = time.Now()
	x.ResponseProcessing = c.now.Sub(before)
	x.ResponseBytes = int64(n)
	if !ended {
		if err := c.stream(be, left, chunk); err != nil {
			return false, err
		}
	}
	// A byte too many is no response to anything.
	return !r.Close && w.br == w.bw && w.req.Class != Ambiguous && be.pool.MaxIdle > 0, nil
}

// chunks reports whether the body is sent to the client in chunks.
func (w *work) chunks() bool {
	return w.req.Minor == 1 && (w.resp.Body == Chunked || w.resp.Body == UntilClose)
}

// stream forwards the rest of the response's body, as it comes.
func (c *conn) stream(be *backend, left int64, chunk bool) error {
	w := c.w
	x, kind := &w.x, w.resp.Body
	buf := w.back
	w.br, w.bw = 0, 0
	var big *[bigSize]byte
	grow := func() {
		if big == nil {
			big = bigs.Get().(*[bigSize]byte)
			buf = big[:]
		}
	}
	defer func() {
		if big != nil {
			bigs.Put(big)
		}
	}()
	if left > 2*backSize {
		grow()
	}
	for {
		p := buf[frontRoom : len(buf)-backRoom]
		if kind == Length && int64(len(p)) > left {
			p = p[:left]
		}
		n, err := c.readBackend(be, p)
		c.now = time.Now()
		ended := false
		switch {
		case kind == UntilClose && errors.Is(err, io.EOF):
			ended = true
		case err != nil:
			return closedBy(err)
		}
		full := n == len(p)
		data := p[:n]
		switch kind {
		case Length:
			left -= int64(n)
			ended = left == 0
		case Chunked:
			nd, ns, derr := w.respBody.decode(p, data)
			if derr != nil {
				return responseError(derr)
			}
			ended = w.respBody.done()
			w.bw = n - ns // what comes after the end
			data = p[:nd]
		}
		x.ResponseBytes += int64(len(data))
		if chunk {
			data = w.frame(buf, len(data), ended, &w.respBody)
		}
		if len(data) > 0 {
			if _, err := c.write(data, c.now, c.s.IdleTimeout); err != nil {
				return ErrClientAborted
			}
		}
		if ended {
			return nil
		}
		if full {
			grow()
		}
	}
}

// frame makes a chunk of the n bytes that are in buf behind its front room, and
// ends the body if they are the last. The result is in buf, unless trailers are
// too long for it.
func (w *work) frame(buf []byte, n int, last bool, body *chunked) []byte {
	from, to := frontRoom, frontRoom
	if n > 0 {
		from -= chunkHead(buf[:frontRoom], n)
		to += n + copy(buf[frontRoom+n:], "\r\n")
	}
	if last {
		return body.appendEnd(buf[from:to])
	}
	return buf[from:to]
}

// makeBackRoom has space for more of a response's head.
func (w *work) makeBackRoom(most int) bool {
	if w.bw < len(w.back)-backRoom {
		return true
	}
	if w.br > frontRoom {
		w.bw = frontRoom + copy(w.back[frontRoom:], w.back[w.br:w.bw])
		w.br = frontRoom
		return true
	}
	if len(w.back) > most+frontRoom+backRoom {
		return false
	}
	back := make([]byte, 2*len(w.back))
	copy(back, w.back)
	w.back = back
	return true
}
