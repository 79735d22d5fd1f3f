package http1

// progress is how far the head of a request has come.
type progress uint8

const (
	headPart    progress = iota // more bytes are needed
	headRead                    // it is in c.w.req
	headRefused                 // and the client has been told
)

// head looks for the head of a request in what was read. As long as it is not
// there, a part of it is not parsed twice.
func (c *conn) head() progress {
	w := c.w
	// An empty line before a request is ignored (RFC 9112, 2.2), one only.
	if !w.blank && w.w-w.r >= 2 && w.in[w.r] == '\r' && w.in[w.r+1] == '\n' {
		w.r, w.blank = w.r+2, true
		w.scanned = 0
	}
	b := w.in[w.r:w.w]
	switch {
	case len(b) == 0, len(b) == 1 && b[0] == '\r' && !w.blank:
		w.req.clear() // of the one before
		return headPart
	case w.scanned > 0 && w.w < len(w.in) && !headEnds(b[max(w.scanned-3, 0):]):
		w.scanned = len(b)
		return headPart
	}
	n, err := parseRequest(b, &w.req, &c.s.Limits)
	w.scanned = len(b)
	switch {
	case err != nil:
		c.refuse(err.Status, err)
		return headRefused
	case n == 0:
		return headPart
	}
	w.x.RequestHeadBytes = n
	w.r += n
	w.scanned, w.blank = 0, false
	return headRead
}

// headEnds reports whether b has an empty line, however its lines end.
func headEnds(b []byte) bool {
	for i := len(b) - 1; i > 0; i-- {
		if b[i] == '\n' && (b[i-1] == '\n' || i > 1 && b[i-1] == '\r' && b[i-2] == '\n') {
			return true
		}
	}
	return false
}

// headLost ends the exchange of a client that went away in the midst of a head.
func (c *conn) headLost() {
	if c.w != nil && c.w.r < c.w.w {
		c.glance()
		c.start().Cause = ErrClientAborted
		c.done()
	}
}

// headLate ends that of one which was too slow.
func (c *conn) headLate() {
	c.glance()
	c.refuse(408, ErrClientTimeout)
}

// glance reads what there is of a head, for the Director to know.
func (c *conn) glance() {
	_, _ = parseRequest(c.w.in[c.w.r:c.w.w], &c.w.req, &c.s.Limits)
}
