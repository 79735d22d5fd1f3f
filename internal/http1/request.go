package http1

import "bytes"

// Request is the head of a request. All slices point into the buffer that was
// parsed.
type Request struct {
	Method []byte
	// Target is as received: origin-form, absolute-form or "*".
	Target []byte
	// Path is the target as it is forwarded: in origin-form, or "*".
	Path []byte
	// Host is the Host field's value. HTTP/1.0 requests may have none.
	Host   []byte
	Minor  int  // of the version: 0 or 1
	Scheme bool // the target is in absolute-form
	Header
	Body    Framing // NoBody, Length or Chunked
	Length  int64   // of Body Length
	Close   bool    // the client wants no other request on this connection
	Expect  bool    // Expect: 100-continue
	Upgrade []byte  // the protocol to switch to, if Connection says so
	Class   Class

	scratch []byte // of Path, where it is not part of the target
}

// ParseRequest reads the head of a request at the start of buf (RFC 9112, 3). It
// returns the number of its bytes, or 0 if more bytes are needed, or an *Error.
// r is overwritten; the slice r.Fields is reused.
func ParseRequest(buf []byte, r *Request, l Limits) (int, error) {
	l.defaults()
	n, err := parseRequest(buf, r, &l)
	if err != nil {
		return 0, err
	}
	return n, nil
}

func parseRequest(buf []byte, r *Request, l *Limits) (int, *Error) {
	r.clear()
	end := bytes.IndexByte(buf, '\n')
	if end < 0 || end >= l.RequestLine {
		switch {
		case len(buf) > 0 && table[buf[0]]&inToken == 0:
			return 0, errMethod // TLS, most likely
		case end >= 0 || len(buf) > l.RequestLine:
			return 0, errLineTooLong
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
	if err := r.host(&s); err != nil {
		return 0, err
	}
	if err := r.framing(&s); err != nil {
		return 0, err
	}
	return n, nil
}

// clear forgets all but the room that slices have.
func (r *Request) clear() {
	*r = Request{Header: Header{Fields: r.Fields[:0], extra: r.extra[:0]}, scratch: r.scratch[:0]}
}

// line reads the request line, without its LF.
func (r *Request) line(b []byte) *Error {
	n := 0
	for n < len(b) && table[b[n]]&inToken != 0 {
		n++
	}
	if n == 0 || n == len(b) || b[n] != ' ' {
		return errMethod
	}
	if n > 127 {
		return errMethodTooLong
	}
	r.Method = b[:n]
	b = b[n+1:]
	n = 0
	uri := uint8(inURI)
	for n < len(b) && table[b[n]]&inTarget != 0 {
		uri &= table[b[n]]
		n++
	}
	switch {
	case n == len(b):
		return errBareLF
	case n == len(b)-1 && b[n] == '\r':
		return errRequestLine // HTTP/0.9
	case b[n] != ' ':
		return errTarget
	}
	r.Target = b[:n]
	if uri == 0 {
		r.Class = Acceptable
	}
	if err := r.version(b[n+1:]); err != nil {
		return err
	}
	return r.target()
}

// version reads "HTTP/1.1" and CR.
func (r *Request) version(b []byte) *Error {
	const prefix = "HTTP/"
	if len(b) == 0 || b[len(b)-1] != '\r' {
		return errBareLF
	}
	if len(b) != len("HTTP/1.1\r") || string(b[:len(prefix)]) != prefix || b[6] != '.' {
		return errVersion
	}
	major, minor := b[5], b[7]
	switch {
	case major < '0' || major > '9' || minor < '0' || minor > '9':
		return errVersion
	case major != '1':
		return errOtherVersion
	case minor == '0':
		r.Minor = 0
	default:
		// A higher minor version is read as the highest one known (RFC 9110, 2.5).
		r.Minor = 1
		if minor != '1' {
			r.Class = Acceptable
		}
	}
	return nil
}

// target reads the target (RFC 9112, 3.2).
func (r *Request) target() *Error {
	t := r.Target
	switch {
	case len(t) == 0:
		return errTargetForm
	case string(r.Method) == "CONNECT":
		return errConnect
	case t[0] == '/':
		r.Path = t
	case len(t) == 1 && t[0] == '*':
		if string(r.Method) != "OPTIONS" {
			return errTargetForm
		}
		r.Path = t
		return nil
	default:
		if err := r.absolute(); err != nil {
			return err
		}
	}
	for i := 0; i < len(r.Path) && r.Path[i] != '?'; i++ {
		if p := r.Path; p[i] == '%' && (i+2 >= len(p) || table[p[i+1]]&table[p[i+2]]&inHex == 0) {
			return errEscape
		}
	}
	return nil
}

// absolute reads a target in absolute-form. A server must accept it (RFC 9112,
// 3.2.2); the backend gets the path.
func (r *Request) absolute() *Error {
	t := r.Target
	colon := bytes.IndexByte(t, ':')
	if colon < 0 || !is(t[:colon], "http") && !is(t[:colon], "https") {
		return errTargetForm
	}
	t = t[colon+1:]
	if len(t) < 3 || t[0] != '/' || t[1] != '/' {
		return errTargetForm
	}
	t = t[2:]
	end := bytes.IndexAny(t, "/?")
	if end < 0 {
		end = len(t)
	}
	r.Host, r.Scheme = t[:end], true
	switch t = t[end:]; {
	case len(t) > 0 && t[0] == '/':
		r.Path = t
	case len(t) == 0 && string(r.Method) == "OPTIONS":
		r.Path = append(r.scratch, '*') // RFC 9112, 3.2.4
	default:
		r.Path = append(append(r.scratch, '/'), t...)
		r.scratch = r.Path[:0]
	}
	return nil
}

// host checks Host (RFC 9112, 3.2).
func (r *Request) host(s *lines) *Error {
	switch {
	case s.hosts > 1:
		return errHosts
	case s.hosts == 0 && r.Minor == 1:
		return errNoHost
	case s.hosts == 0 && r.Host == nil:
		return nil
	case s.hosts > 0 && r.Host != nil && !equalFold(r.Host, s.host):
		return errOtherHost
	case s.hosts > 0:
		r.Host = s.host
	}
	if !validHost(r.Host) {
		return errHost
	}
	return nil
}

// framing is how long the body is (RFC 9112, 6.3), and what comes after it.
func (r *Request) framing(s *lines) *Error {
	quiet := string(r.Method) == "GET" || string(r.Method) == "HEAD"
	switch {
	case s.codings > 0:
		if r.Minor == 0 {
			return errCodingIn10
		}
		r.Body = Chunked
	case s.lengths > 0:
		r.Body, r.Length = Length, s.length
	}
	switch {
	case !quiet || r.Body == NoBody:
	case r.Body == Length && r.Length == 0:
		r.Class = max(r.Class, Acceptable)
	default:
		r.Class = Ambiguous
	}
	r.Close = s.close || r.Minor == 0 && !s.keepAlive || r.Class == Ambiguous
	if r.Minor == 1 {
		r.Expect = s.expects
		// h2c would take all later requests past the checks made here.
		if s.upgrade && s.upgrades == 1 && len(s.protocols) > 0 && !has(s.protocols, "h2c") {
			r.Upgrade = s.protocols
		}
	}
	if s.expects && !r.Expect {
		for i := range r.Fields {
			if r.Fields[i].kind == kindExpect {
				r.Fields[i].drop = true
			}
		}
	}
	return nil
}

// has reports whether the list v has the element s.
func has(v []byte, s string) bool {
	for len(v) > 0 {
		var e []byte
		if e, v = element(v); is(e, s) {
			return true
		}
	}
	return false
}
