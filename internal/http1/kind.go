package http1

// kind is what a field's name means to this package.
type kind uint8

const (
	kindOther kind = iota
	kindHost
	kindContentLength
	kindTransferEncoding
	kindConnection
	kindUpgrade
	kindTrailer
	kindExpect
	kindHop // concerns one connection, whether Connection names it or not
	// kindSuspicious names are spelt so that a lax party takes them for
	// Content-Length or Transfer-Encoding.
	kindSuspicious
)

// What a byte may stand in.
const (
	inToken  = 1 << iota // RFC 9110, 5.6.2
	inValue              // RFC 9110, 5.5: visible, space, tab, and what is not ASCII
	inTarget             // what a URI has, and what user agents send unescaped
	inURI                // what a URI has (RFC 3986)
	inHost               // RFC 3986, 3.2.2: reg-name without escapes
	inHex
)

var table = func() (t [256]uint8) {
	set := func(class uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	const alnum = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	set(inToken, alnum+"!#$%&'*+-.^_`|~")
	set(inHost, alnum+"-._~!$&'()*+,;=")
	set(inURI, alnum+"-._~!$&'()*+,;=:@/?%")
	set(inHex, "0123456789ABCDEFabcdef")
	for c := range 256 {
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[c] |= inValue
		}
		// A fragment is no part of a request's target (RFC 9112, 3.2).
		if c > ' ' && c != 0x7f && c != '#' {
			t[c] |= inTarget
		}
	}
	return t
}()

// all reports whether each byte of b may stand in class.
func all(b []byte, class uint8) bool {
	for _, c := range b {
		if table[c]&class == 0 {
			return false
		}
	}
	return true
}

// is reports whether b is the lower-case s, without regard to the case of b.
func is(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if c != s[i] && (c|0x20 != s[i] || c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// same reports whether the names a and b are one.
func same(a []byte, b string) bool {
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

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// kindOf looks at the length first: of most names it is enough.
func kindOf(name []byte) kind {
	switch len(name) {
	case 2:
		if is(name, "te") {
			return kindHop
		}
	case 4:
		if is(name, "host") {
			return kindHost
		}
	case 6:
		if is(name, "expect") {
			return kindExpect
		}
	case 7:
		if is(name, "upgrade") {
			return kindUpgrade
		}
		if is(name, "trailer") {
			return kindTrailer
		}
	case 10:
		if is(name, "connection") {
			return kindConnection
		}
		if is(name, "keep-alive") {
			return kindHop
		}
	case 14:
		if is(name, "content-length") {
			return kindContentLength
		}
		if is(name, "http2-settings") {
			return kindHop
		}
		if is(name, "content_length") {
			return kindSuspicious
		}
	case 16:
		if is(name, "proxy-connection") {
			return kindHop
		}
	case 17:
		if is(name, "transfer-encoding") {
			return kindTransferEncoding
		}
		if is(name, "transfer_encoding") {
			return kindSuspicious
		}
	}
	return kindOther
}
