package sigv4

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// buffer is where canonical requests are put together; it is reused.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, 0, 2048)} }}

func (b *buffer) reset() { b.bytes = b.bytes[:0] }

func (b *buffer) add(parts ...string) {
	for _, s := range parts {
		b.bytes = append(b.bytes, s...)
	}
}

// canonicalRequest appends the request as the signer saw it.
func (b *buffer) canonicalRequest(r *http.Request, c *claim, path, query, host, hash string) {
	b.add(r.Method, "\n", path, "\n", query, "\n")
	for _, name := range c.signedHeaders {
		b.add(name, ":")
		if name == "host" || name == ":authority" {
			b.add(host)
		} else {
			b.headerValues(r, name)
		}
		b.add("\n")
	}
	b.add("\n")
	for i, name := range c.signedHeaders {
		if i > 0 {
			b.add(";")
		}
		b.add(name)
	}
	b.add("\n", hash)
}

// stringToSign appends what the signature is made of, given that the buffer holds the
// canonical request and nothing else.
func (b *buffer) stringToSign(c *claim) {
	sum := sha256.Sum256(b.bytes)
	b.add(algorithm, "\n", c.stamp, "\n")
	b.scope(c)
	b.add("\n")
	b.bytes = hex.AppendEncode(b.bytes, sum[:])
}

func (b *buffer) scope(c *claim) {
	b.add(c.date, "/", c.region, "/", c.service, "/", terminator)
}

// headerValues appends the values of a header, joined by commas, without the spaces
// around them and with runs of spaces inside them folded to one.
func (b *buffer) headerValues(r *http.Request, name string) {
	values := r.Header[http.CanonicalHeaderKey(name)]
	if len(values) == 0 {
		// net/http keeps these out of the header map.
		switch name {
		case "content-length":
			if r.ContentLength >= 0 {
				b.bytes = strconv.AppendInt(b.bytes, r.ContentLength, 10)
			}
		case "transfer-encoding":
			values = r.TransferEncoding
		}
	}
	for i, v := range values {
		if i > 0 {
			b.add(",")
		}
		v = strings.Trim(v, " \t")
		space := false
		for j := 0; j < len(v); j++ {
			if v[j] == ' ' {
				if space {
					continue
				}
				space = true
			} else {
				space = false
			}
			b.bytes = append(b.bytes, v[j])
		}
	}
}

// hostValues are the hosts that may have been signed: clients leave the scheme's
// default port out of the signature, and some still send it.
func hostValues(r *http.Request) []string {
	host := strings.TrimSpace(r.Host)
	for _, port := range []string{":80", ":443"} {
		if bare, ok := strings.CutSuffix(host, port); ok {
			return []string{host, bare}
		}
	}
	return []string{host}
}

// canonicalPaths are the paths that may have been signed. AWS resolves dot segments and
// doubled slashes before it signs, except for S3; some SDKs sign the path as it is.
func canonicalPaths(r *http.Request, s3 bool) []string {
	raw := r.RequestURI
	if i := strings.IndexByte(raw, '?'); i >= 0 {
		raw = raw[:i]
	}
	if !strings.HasPrefix(raw, "/") { // absolute form, or no server request
		raw = r.URL.EscapedPath()
	}
	if raw == "" {
		raw = "/"
	}
	if s3 {
		return []string{encodePathS3(raw)}
	}
	if !strings.Contains(raw, "//") && !strings.Contains(raw, "/.") {
		return []string{encode(raw, true)}
	}
	clean := path.Clean(raw)
	if strings.HasSuffix(raw, "/") && clean != "/" {
		clean += "/"
	}
	return []string{encode(clean, true), encode(raw, true)}
}

// encodePathS3 encodes a path once: what the client has escaped is first decoded, only
// an escaped slash stays, since it is part of a key and not a separator.
func encodePathS3(raw string) string {
	plain := true
	for i := 0; i < len(raw) && plain; i++ {
		plain = unreserved(raw[i]) || raw[i] == '/'
	}
	if plain {
		return raw
	}
	out := make([]byte, 0, len(raw)+16)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		escaped := false
		if c == '%' && i+2 < len(raw) {
			if hi, lo := unhex(raw[i+1]), unhex(raw[i+2]); hi >= 0 && lo >= 0 {
				c, escaped = byte(hi<<4|lo), true
				i += 2
			}
		}
		if unreserved(c) || c == '/' && !escaped {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

// canonicalQuery sorts and encodes the parameters; of a presigned request all but the
// signature itself.
func canonicalQuery(params []param, presigned bool) string {
	if len(params) == 0 {
		return ""
	}
	encoded := make([]param, 0, len(params))
	n := 0
	for _, p := range params {
		if presigned && p.key == "X-Amz-Signature" {
			continue
		}
		e := param{encode(p.key, false), encode(p.value, false)}
		n += len(e.key) + len(e.value) + 2
		encoded = append(encoded, e)
	}
	slices.SortFunc(encoded, func(a, b param) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value))
	})
	var s strings.Builder
	s.Grow(n)
	for i, p := range encoded {
		if i > 0 {
			s.WriteByte('&')
		}
		s.WriteString(p.key)
		s.WriteByte('=')
		s.WriteString(p.value)
	}
	return s.String()
}

const upperHex = "0123456789ABCDEF"

// encode percent-encodes every byte that is not unreserved (RFC 3986), and slashes
// unless keepSlash.
func encode(s string, keepSlash bool) string {
	escapes := 0
	for i := 0; i < len(s); i++ {
		if !unreserved(s[i]) && !(keepSlash && s[i] == '/') {
			escapes++
		}
	}
	if escapes == 0 {
		return s
	}
	out := make([]byte, 0, len(s)+2*escapes)
	for i := 0; i < len(s); i++ {
		if c := s[i]; unreserved(c) || keepSlash && c == '/' {
			out = append(out, c)
		} else {
			out = append(out, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return string(out)
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}

// unsignedHeader names an x-amz header that is present but not signed, which S3 refuses.
func unsignedHeader(r *http.Request, c *claim) string {
	for name := range r.Header {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-amz-") || c.signs(lower) {
			continue
		}
		// In a presigned URL these two are parts of the query.
		if c.presigned && (lower == "x-amz-content-sha256" || lower == "x-amz-date") {
			continue
		}
		return lower
	}
	return ""
}
