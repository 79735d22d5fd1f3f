package sigv4

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzAuthorization: whatever the header says, the answer is an *Error or a claim that
// can be checked.
func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 "+scope+", "+signed+", Signature="+goodSig, "20150830T123600Z")
	f.Add("AWS4-HMAC-SHA256 Credential=/////,SignedHeaders=;;,Signature=", "Mon, 09 Sep 2011 23:36:00 GMT")
	v := New(Config{})
	noon, _ := time.Parse(timeFormat, "20150830T123600Z")
	f.Fuzz(func(t *testing.T, header, date string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Host: "example.amazonaws.com", Header: http.Header{
			"Authorization": {header}, "X-Amz-Date": {date},
		}}
		_, err := v.Verify(r, noon, exampleKeys)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if err == nil && !strings.Contains(header, goodSig) {
			t.Fatalf("accepted %q", header)
		}
	})
}

// FuzzQuery: the canonical form is a fixed point, and a presigned request is never
// accepted without its signature.
func FuzzQuery(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb%2Fc%2Fd%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0")
	f.Add("a+b=c&%e1%88%b4=%&=&;")
	v := New(Config{})
	noon, _ := time.Parse(timeFormat, "20150830T123600Z")
	f.Fuzz(func(t *testing.T, raw string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/", RawQuery: raw}, Host: "a", Header: http.Header{}}
		_, err := v.Verify(r, noon, exampleKeys)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("accepted, or of the wrong type: %v", err)
		}
		params, err := parseQuery(raw)
		if err != nil {
			return
		}
		once := canonicalQuery(params, false)
		params, err = parseQuery(once)
		if err != nil {
			t.Fatalf("the canonical form %q does not parse: %v", once, err)
		}
		if twice := canonicalQuery(params, false); once != twice {
			t.Fatalf("%q becomes %q", once, twice)
		}
	})
}

// FuzzChunked: a body that was not signed gives no byte; an unsigned stream gives no
// more than it declared.
func FuzzChunked(f *testing.F) {
	f.Add([]byte(chunkedExample(false)[:600]), uint16(65535))
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"), uint16(5))
	f.Add([]byte("0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n"), uint16(0))
	f.Fuzz(func(t *testing.T, body []byte, length uint16) {
		for _, hash := range []string{streamSigned, streamSignedTrailer, streamUnsignedTrailer} {
			r := &http.Request{Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}}
			c := &claim{date: "20130524", region: "us-east-1", service: "s3", stamp: "20130524T000000Z", signature: strings.Repeat("0", 64)}
			p := &payload{hash: hash, decoded: int64(length)}
			p.install(r, c, signingKey{1})
			got, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			if err == nil && int64(len(got)) != int64(length) {
				t.Fatalf("%d bytes of %d without an error", len(got), length)
			}
			if hash != streamUnsignedTrailer && (len(got) > 0 || err == nil) {
				t.Fatalf("%d unverified bytes, %v", len(got), err)
			}
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("%T: %v", err, err)
				}
			}
		}
	})
}
