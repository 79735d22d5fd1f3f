package http1

import "bytes"

// lines is what the field lines of a head say about its framing and its
// connection.
type lines struct {
	host             []byte
	hosts            int
	length           int64
	lengths, codings int
	close, keepAlive bool
	upgrade          bool // Connection: upgrade
	protocols        []byte
	upgrades         int
	expects          bool
	nominated        bool // Connection names fields that kindOf does not know
}

// parse reads field lines from buf[pos:] up to the empty line. It returns the
// position behind it, or 0 if more bytes are needed.
func (h *Header) parse(buf []byte, pos int, l *Limits, s *lines) (int, *Error) {
	h.Fields, h.extra, h.deleted = h.Fields[:0], h.extra[:0], false
	for {
		rest := buf[pos:]
		if len(rest) == 0 {
			return incomplete(buf, pos, l)
		}
		if rest[0] == '\r' {
			if len(rest) == 1 {
				return incomplete(buf, pos, l)
			}
			if rest[1] != '\n' {
				return 0, errBareCR
			}
			pos += 2
			break
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return incomplete(buf, pos, l)
		}
		if end+1 > l.Field {
			return 0, errFieldTooLong
		}
		f, err := parseField(rest[:end])
		if err != nil {
			return 0, err
		}
		if len(h.Fields) == l.Fields {
			return 0, errTooManyFields
		}
		if f.kind != kindOther {
			if err := s.note(&f); err != nil {
				return 0, err
			}
		}
		h.Fields = append(h.Fields, f)
		pos += end + 1
	}
	if pos > l.Head {
		return 0, errHeadTooLong
	}
	if s.lengths > 0 && s.codings > 0 {
		return 0, errLengthAndCoding
	}
	if s.nominated {
		h.dropNominated()
	}
	return pos, nil
}

// incomplete says that more bytes are needed, unless there are too many already.
func incomplete(buf []byte, pos int, l *Limits) (int, *Error) {
	if len(buf)-pos > l.Field {
		return 0, errFieldTooLong
	}
	if len(buf) > l.Head {
		return 0, errHeadTooLong
	}
	return 0, nil
}

// parseField reads a line without its LF.
func parseField(line []byte) (Field, *Error) {
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return Field{}, errBareLF
	}
	line = line[:len(line)-1]
	n := 0
	for n < len(line) && table[line[n]]&inToken != 0 {
		n++
	}
	switch {
	case n == len(line):
		return Field{}, errNoColon
	case line[n] != ':':
		switch c := line[n]; {
		case n == 0 && (c == ' ' || c == '\t'):
			return Field{}, errFolded
		case c == ' ' || c == '\t':
			return Field{}, errSpaceInName
		case table[c]&inValue == 0:
			return Field{}, errControl
		}
		return Field{}, errName
	case n == 0:
		return Field{}, errName
	}
	f := Field{Name: line[:n], Value: trim(line[n+1:])}
	for _, c := range f.Value {
		if table[c]&inValue == 0 {
			if c == '\r' {
				return Field{}, errBareCR
			}
			return Field{}, errControl
		}
	}
	f.kind = kindOf(f.Name)
	return f, nil
}

// trim removes optional whitespace: spaces and tabs.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// note takes what a field says about framing and connection. Those fields are
// not forwarded as they are: this package writes its own.
func (s *lines) note(f *Field) *Error {
	f.drop = true
	switch f.kind {
	case kindHost:
		s.host = f.Value
		s.hosts++
	case kindContentLength:
		n, ok := parseLength(f.Value)
		switch {
		case !ok:
			return errLength
		case s.lengths > 0 && n == s.length:
			return errLengthTwice
		case s.lengths > 0:
			return errLengths
		}
		s.length = n
		s.lengths++
	case kindTransferEncoding:
		// RFC 9112, 6.1. Another coding than chunked would have to be decoded here.
		if s.codings > 0 || !is(f.Value, "chunked") {
			return errCoding
		}
		s.codings++
	case kindConnection:
		s.connection(f.Value)
	case kindUpgrade:
		s.protocols = f.Value
		s.upgrades++
	case kindExpect:
		f.drop = false
		if !is(f.Value, "100-continue") {
			return errExpect
		}
		s.expects = true
	case kindTrailer:
		// Not of the connection (RFC 9110, 7.6.1): it goes where the trailers go.
		f.drop = false
		if has(f.Value, "content-length") || has(f.Value, "transfer-encoding") || has(f.Value, "trailer") {
			return errTrailers
		}
	case kindSuspicious:
		return errSuspicious
	}
	return nil
}

// parseLength reads a Content-Length (RFC 9110, 8.6): digits, nothing else.
func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' || n > (1<<63-1-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// connection reads the options of a Connection field.
func (s *lines) connection(v []byte) {
	for len(v) > 0 {
		var o []byte
		o, v = element(v)
		switch {
		case len(o) == 0:
		case is(o, "close"):
			s.close = true
		case is(o, "keep-alive"):
			s.keepAlive = true
		case is(o, "upgrade"):
			s.upgrade = true
		case kindOf(o) == kindOther:
			s.nominated = true
		}
	}
}

// element cuts the first element off a list.
func element(v []byte) (first, rest []byte) {
	if i := bytes.IndexByte(v, ','); i >= 0 {
		return trim(v[:i]), v[i+1:]
	}
	return trim(v), nil
}

// dropNominated keeps the fields that Connection names from being forwarded. A
// client can so remove fields of its own only: those that are added for the
// backend come later.
func (h *Header) dropNominated() {
	for i := range h.Fields {
		if h.Fields[i].kind != kindConnection {
			continue
		}
		for v := h.Fields[i].Value; len(v) > 0; {
			var o []byte
			o, v = element(v)
			for j := range h.Fields {
				if f := &h.Fields[j]; f.kind == kindOther && equalFold(f.Name, o) {
					f.drop = true
				}
			}
		}
	}
}

func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}
