package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net/netip"
	"os"
	"testing"
	"time"
)

// TestLogLines compares with lines of testdata/access.log. The first four are AWS's own examples of HTTP,
// HTTPS, TCP and SSL, but for the cipher of the second, which crypto/tls does not have (there it is
// DHE-RSA-AES128-SHA):
// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/access-log-collection.html
func TestLogLines(t *testing.T) {
	base := entry{
		Time:     time.Date(2015, 5, 13, 23, 39, 43, 945958_000, time.UTC),
		Balancer: "my-loadbalancer",
		Client:   netip.MustParseAddrPort("192.168.131.39:2817"),
		Backend:  netip.MustParseAddrPort("10.0.0.1:80"),
	}
	with := func(change func(*entry)) entry {
		e := base
		change(&e)
		return e
	}
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	get := func(e *entry, target, host string) {
		e.Method, e.Target, e.Host, e.Minor = []byte("GET"), []byte(target), []byte(host), 1
		e.UserAgent, e.Protocol, e.Port = []byte("curl/7.38.0"), HTTP, 80
		e.StatusELB, e.StatusBackend = 200, 200
	}
	never := func(e *entry) {
		e.RequestProcessing, e.BackendProcessing, e.ResponseProcessing = -time.Second, -time.Second, -time.Second
		e.Backend, e.StatusBackend = netip.AddrPort{}, 0
	}
	entries := []entry{
		with(func(e *entry) {
			get(e, "/", "www.example.com")
			e.RequestProcessing, e.BackendProcessing, e.ResponseProcessing = us(73), us(1048), us(57)
			e.Sent = 29
		}),
		with(func(e *entry) {
			get(e, "/", "www.example.com")
			e.RequestProcessing, e.BackendProcessing, e.ResponseProcessing = us(86), us(1048), us(1337)
			e.Sent, e.Protocol, e.Port = 57, HTTPS, 443
			e.Cipher, e.TLS = tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.VersionTLS12
		}),
		with(func(e *entry) {
			e.RequestProcessing, e.BackendProcessing, e.ResponseProcessing = us(1069), us(28), us(41)
			e.Received, e.Sent, e.Protocol = 82, 305, TCP
		}),
		with(func(e *entry) {
			e.RequestProcessing, e.BackendProcessing, e.ResponseProcessing = us(1065), us(15), us(23)
			e.Received, e.Sent, e.Protocol = 57, 502, SSL
			e.Cipher, e.TLS = tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.VersionTLS12
		}),
		with(func(e *entry) { // no backend
			get(e, "/a?b=c", "www.example.com:8080")
			never(e)
			e.StatusELB = 503
		}),
		with(func(e *entry) { // could not be read
			never(e)
			e.StatusELB, e.Protocol = 400, HTTP
		}),
		with(func(e *entry) { // what a client sends cannot end its quotes, nor the line
			get(e, "http://[2001:db8::1]/\"x", "[2001:db8::1]")
			e.UserAgent = []byte("a\"b\\c\r\n\xff")
			e.RequestProcessing = 2*time.Second + us(5)
			e.Client = netip.MustParseAddrPort("[2001:db8::2]:1")
		}),
		with(func(e *entry) {
			get(e, "*", "[2001:db8::1]")
			e.Method, e.UserAgent, e.Minor = []byte("OPTIONS"), nil, 0
			e.Protocol, e.Port, e.Cipher, e.TLS = HTTPS, 8443, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.VersionTLS10
		}),
	}
	golden, err := os.ReadFile("testdata/access.log")
	if err != nil {
		t.Fatal(err)
	}
	want := bufio.NewScanner(bytes.NewReader(golden))
	for i := range entries {
		got := entries[i].append(nil)
		if !want.Scan() || want.Text()+"\n" != string(got) {
			t.Errorf("line %d:\n got %swant %s", i+1, got, want.Text())
		}
	}
	if want.Scan() {
		t.Errorf("one more line is wanted: %s", want.Text())
	}
}

func TestLogLineAllocatesNothing(t *testing.T) {
	e := entry{
		Time: time.Now(), Balancer: "b", Client: netip.MustParseAddrPort("192.0.2.1:1"), Method: []byte("GET"),
		Target: []byte("/"), Host: []byte("a"), Protocol: HTTP, Port: 80,
	}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = e.append(buf[:0]) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
