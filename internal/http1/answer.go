package http1

import (
	"bytes"
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

// pageReasons are the answers of an Application Load Balancer that have not the usual
// reason.
var pageReasons = map[int]string{
	503: "Service Temporarily Unavailable",
	504: "Gateway Time-out",
}

// appendOwn appends the first line of an answer, and the headers of its body.
func (c *conn) appendOwn(b []byte, status int) (head, body []byte) {
	of := reasons
	if c.s.Pages {
		of = pageReasons
	}
	reason, ok := of[status]
	if !ok {
		reason = http.StatusText(status)
	}
	text := strconv.Itoa(status) + " " + reason
	b = append(append(append(b, "HTTP/1.1 "...), text...), "\r\n"...)
	if !c.s.Pages {
		return append(b, "Content-Length: 0\r\n"...), nil
	}
	body = []byte("<html>\r\n<head><title>" + text + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n</body>\r\n</html>\r\n")
	b = append(b, "Server: awselb/2.0\r\nDate: "...)
	b = c.now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(b, "\r\nContent-Type: text/html\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	if bytes.Equal(c.w.req.Method, []byte(http.MethodHead)) {
		body = nil
	}
	return b, body
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
	x.StatusELB = status
	c.s.Director.ForResponse(x, &w.resp.Header)
	b, body := c.appendOwn(w.out[:0], status)
	b = w.resp.Header.append(b)
	if keep {
		b = append(b, "Connection: keep-alive\r\n\r\n"...)
	} else {
		b = append(b, "Connection: close\r\n\r\n"...)
	}
	b = append(b, body...)
	w.out = b
	x.ResponseBytes = int64(len(body))
	if _, err := c.write(b, c.now, c.s.IdleTimeout); err != nil {
		x.StatusELB = 0
		if x.Cause == nil {
			x.Cause = ErrClientAborted
		}
		return false
	}
	return keep
}
