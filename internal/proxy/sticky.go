package proxy

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// cookieLen is of what stands for a backend; then comes until when, if it does not last.
const cookieLen = 2 * sha256.Size

// cookieNames are those of a balancer's cookies: cors is the same, for requests from other sites' pages.
func cookieNames(application bool) (name, cors string) {
	if application {
		return "AWSALB", "AWSALBCORS"
	}
	return "AWSELB", "AWSELBCORS"
}

// find is the target that a request's cookies want, or nil.
func (s *Sticky) find(r *http1.Request, ts *targets) *target {
	var found *target
	app := s.AppCookie == ""
	own, cors := cookieNames(ts.application)
	for i := range r.Fields {
		if !bytes.EqualFold(r.Fields[i].Name, []byte("Cookie")) {
			continue
		}
		rest := r.Fields[i].Value
		for len(rest) > 0 {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			name, value, _ := bytes.Cut(bytes.TrimSpace(pair), []byte("="))
			switch string(name) {
			case own, cors:
				if t := s.decode(value, ts, time.Now); t != nil && found == nil {
					found = t
				}
			case s.AppCookie:
				app = true
			}
		}
	}
	if !app { // the session ended with the application's cookie
		return nil
	}
	return found
}

// decode is the target that a cookie stands for, or nil.
func (s *Sticky) decode(value []byte, ts *targets, now func() time.Time) *target {
	if len(value) < cookieLen {
		return nil
	}
	t := ts.byCookie[string(value[:cookieLen])]
	if t == nil || s.Duration <= 0 || s.AppCookie != "" {
		return t
	}
	until, err := strconv.ParseInt(string(value[cookieLen:]), 16, 64)
	if err != nil || now().Unix() >= until {
		return nil
	}
	return t
}

// give adds the balancer's cookies to a response: to the first one of a backend, or, where they go with
// the application's, to each that sets that.
func (s *Sticky) give(c *choice, r *http1.Response, h *http1.Header, application bool, now time.Time) {
	var attributes []byte
	value := append(make([]byte, 0, 256), '=')
	value = append(value, c.cookie...)
	switch {
	case s.AppCookie != "":
		var ok bool
		if attributes, ok = s.learn(r); !ok {
			return
		}
	case c.stuck:
		return
	default:
		attributes = []byte(";PATH=/")
		if s.Duration > 0 {
			value = strconv.AppendInt(value, now.Add(s.Duration).Unix(), 16)
			attributes = strconv.AppendInt(append(attributes, ";MAX-AGE="...), int64(s.Duration/time.Second), 10)
		}
	}
	own, cors := cookieNames(application)
	h.Add("Set-Cookie", bytes.Join([][]byte{[]byte(own), value, attributes}, nil))
	h.Add("Set-Cookie", bytes.Join([][]byte{[]byte(cors), value, crossSite(attributes)}, nil))
}

// learn returns the attributes with which a response sets the application's cookie, from the first
// semicolon on.
func (s *Sticky) learn(r *http1.Response) ([]byte, bool) {
	for i := range r.Fields {
		if !bytes.EqualFold(r.Fields[i].Name, []byte("Set-Cookie")) {
			continue
		}
		name, rest, ok := bytes.Cut(r.Fields[i].Value, []byte("="))
		if !ok || string(bytes.TrimSpace(name)) != s.AppCookie {
			continue
		}
		if i := bytes.IndexByte(rest, ';'); i >= 0 {
			return rest[i:], true
		}
		return nil, true
	}
	return nil, false
}

// crossSite are attributes with which a browser sends a cookie from other sites' pages, too.
func crossSite(attributes []byte) []byte {
	var out []byte
	for a := range bytes.SplitSeq(attributes, []byte(";")) {
		name, _, _ := bytes.Cut(bytes.TrimSpace(a), []byte("="))
		if len(name) > 0 && !bytes.EqualFold(name, []byte("SameSite")) && !bytes.EqualFold(name, []byte("Secure")) {
			out = append(append(out, ';'), a...)
		}
	}
	return append(out, ";SECURE;SAMESITE=None"...)
}
