package http1

import "bytes"

// Response is the head of a response. All slices point into the buffer that was
// parsed.
type Response struct {
	Status int
	Reason []byte
	Minor  int // of the version: 0 or 1
	Header
	Body Framing
	// Length is of Body Length. With NoBody it is what the response to a GET would
	// have (HEAD, 304), or -1.
	Length  int64
	Close   bool   // the backend takes no other request on this connection
	Upgrade []byte // of status 101
}

// ParseResponse reads the head of a response to a request with that method at
// the start of buf (RFC 9112, 4). It returns the number of its bytes, or 0 if more
// bytes are needed, or an *Error. r is overwritten; the slice r.Fields is reused.
func ParseResponse(buf []byte, r *Response, method []byte, l Limits) (int, error) {
	l.defaults()
	n, err := parseResponse(buf, r, method, &l)
	if err != nil {
		return 0, err
	}
	return n, nil
}

func parseResponse(buf []byte, r *Response, method []byte, l *Limits) (int, *Error) {
	*r = Response{Header: r.Header, Length: -1}
	end := bytes.IndexByte(buf, '\n')
	if end < 0 || end >= l.RequestLine {
		if end >= 0 || len(buf) > l.RequestLine {
			return 0, errLineTooLong
		}
		if len(buf) >= 5 && string(buf[:5]) != "HTTP/" {
			return 0, errStatusLine
		}
		return 0, nil
	}
	if err := r.line(buf[:end]); err != nil {
		return 0, err
	}
	var s lines
	n, err := r.Header.parse(buf, end+1, l, &s)
	if n == 0 || err != nil {
		return 0, err
	}
	if s.codings > 0 && r.Minor == 0 {
		return 0, errCodingIn10
	}
	r.framing(&s, method)
	return n, nil
}

// line reads "HTTP/1.1 200 OK" and CR. The reason may be missing, with the space
// before it.
func (r *Response) line(b []byte) *Error {
	const least = "HTTP/1.1 200\r"
	if len(b) < len(least) || string(b[:7]) != "HTTP/1." || b[8] != ' ' || b[len(b)-1] != '\r' {
		return errStatusLine
	}
	switch b[7] {
	case '0':
	case '1':
		r.Minor = 1
	default:
		return errStatusLine
	}
	for _, c := range b[9:12] {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 {
		return errStatusLine
	}
	if b = b[12 : len(b)-1]; len(b) > 0 {
		if b[0] != ' ' || !all(b, inValue) {
			return errStatusLine
		}
		r.Reason = b[1:]
	}
	return nil
}

// framing is how long the body is (RFC 9112, 6.3).
func (r *Response) framing(s *lines, method []byte) {
	if s.lengths > 0 {
		r.Length = s.length
	}
	switch {
	case r.Status < 200 || r.Status == 204:
		r.Length = -1 // must not be there (RFC 9110, 8.6)
	case r.Status == 304 || string(method) == "HEAD":
	case s.codings > 0:
		r.Body = Chunked
	case s.lengths > 0:
		r.Body = Length
	default:
		r.Body = UntilClose
	}
	r.Close = s.close || r.Minor == 0 && !s.keepAlive || r.Body == UntilClose
	if r.Status == 101 && s.upgrade {
		r.Upgrade = s.protocols
	}
}
