package http1

import (
	"bytes"
	"net/netip"
)

// validHost reports whether b is a host and perhaps a port (RFC 3986, 3.2.2). A
// name is not empty, and has no escapes: nobody needs them, and parties differ
// about them.
func validHost(b []byte) bool {
	var port []byte
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return false
		}
		a, err := netip.ParseAddr(string(b[1:end]))
		if err != nil || !a.Is6() || a.Zone() != "" {
			return false
		}
		port = b[end+1:]
	} else {
		n := 0
		for n < len(b) && table[b[n]]&inHost != 0 {
			n++
		}
		if n == 0 {
			return false
		}
		port = b[n:]
	}
	if len(port) == 0 {
		return true
	}
	if port[0] != ':' || len(port) > 6 {
		return false
	}
	for _, c := range port[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
