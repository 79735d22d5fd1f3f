package http1

import (
	"net/http"
	"strconv"
)

// reasons are the answers of a Classic Load Balancer, which have no body. What it
// does not know has the usual reason.
var reasons = map[int]string{
	400: "BAD_REQUEST",
	405: "METHOD_NOT_ALLOWED",
	408: "REQUEST_TIMEOUT",
	502: "BAD_GATEWAY",
	503: "Service Unavailable: Back-end server is at capacity",
	504: "GATEWAY_TIMEOUT",
}

// refuse answers a request that could not be read.
func (c *conn) refuse(status int, cause error) {
	c.w.x.RequestHeadBytes = c.w.w - c.w.r
	x := c.start()
	x.Cause = cause
	c.w.req.Close = true
	c.answer(status, false)
	c.done()
}

// answer is a response of the server's own. whole says that the request was read
// to its end. It reports whether another request may follow.
func (c *conn) answer(status int, whole bool) bool {
	w := c.w
	x := &w.x
	keep := whole && !w.req.Close && !c.s.draining.Load()
	c.unread = !whole || !keep && w.r < w.w
	w.resp.Header.Fields = w.resp.Header.Fields[:0]
	w.resp.Header.undo()
	reason, ok := reasons[status]
	if !ok {
		reason = http.StatusText(status)
	}
	x.StatusELB = status
	c.s.Director.ForResponse(x, &w.resp.Header)
	b := append(w.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, reason...)
	b = append(b, "\r\nContent-Length: 0\r\n"...)
	b = w.resp.Header.append(b)
	if keep {
		b = append(b, "Connection: keep-alive\r\n\r\n"...)
	} else {
		b = append(b, "Connection: close\r\n\r\n"...)
	}
	w.out = b
	if _, err := c.write(b, c.now, c.s.IdleTimeout); err != nil {
		x.StatusELB = 0
		if x.Cause == nil {
			x.Cause = ErrClientAborted
		}
		return false
	}
	return keep
}
