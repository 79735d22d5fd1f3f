package sigv4

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func BenchmarkVerifyHeader(b *testing.B) {
	v := New(Config{})
	at, _ := time.Parse(timeFormat, "20150830T123600Z")
	r := parse(b, "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\nHost:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\nContent-Length: 13\n"+
		auth+scope+", SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a\n\nParam1=value1")
	b.ReportAllocs()
	for b.Loop() {
		r.Body = struct {
			*strings.Reader
			nopCloser
		}{Reader: strings.NewReader("Param1=value1")}
		if err := verify(v, r, at); err != nil {
			b.Fatal(err)
		}
	}
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

func BenchmarkVerifyPresigned(b *testing.B) {
	v := New(Config{})
	at, _ := time.Parse(timeFormat, "20150830T123600Z")
	r := httptest.NewRequest("GET", "http://example.amazonaws.com/?Param1=value1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request"+
		"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600"+
		"&X-Amz-Signature=49096700cbbaa5753443850f40df10f904fc2fdb544dc9512203cc77c471a9de", nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := verify(v, r, at); err != nil {
			b.Fatal(err)
		}
	}
}
