package http1

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

const (
	benchRequest  = "GET /index.html?x=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,application/xhtml+xml\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en\r\nConnection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\r\n"
	benchResponse = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello, world"
	benchReceived = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sun, 29 Nov 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello, world"
)

func BenchmarkParseRequest(b *testing.B) {
	in := []byte(benchRequest)
	var r Request
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if n, err := ParseRequest(in, &r, Limits{}); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkParseResponse(b *testing.B) {
	in, get := []byte(benchResponse), []byte("GET")
	var r Response
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if n, err := ParseResponse(in, &r, get, Limits{}); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkChunked(b *testing.B) {
	in := appendChunk(appendChunk(nil, make([]byte, 4096)), make([]byte, 4096))
	in = append(in, "0\r\n\r\n"...)
	out := make([]byte, len(in))
	var c chunked
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		c.reset()
		if _, _, err := c.decode(out, in); err != nil || !c.done() {
			b.Fatal(err)
		}
	}
}

// proxied is a client's connection through a server to a backend that answers
// each request with the same response.
type proxied struct {
	net.Conn
	got []byte
}

// one is a director with one backend, that does what a load balancer does.
type one struct{ pool *Pool }

var proto, port = []byte("https"), []byte("443")

func (o *one) Choose(*Exchange) (*Pool, int) { return o.pool, 0 }
func (o *one) ForRequest(x *Exchange, h *Header) {
	h.Join("X-Forwarded-For", x.ClientIP)
	h.Set("X-Forwarded-Proto", proto)
	h.Set("X-Forwarded-Port", port)
}
func (o *one) ForResponse(*Exchange, *Header) {}
func (o *one) Done(*Exchange)                 {}

func newProxied(t testing.TB, secure bool, response, received string) *proxied {
	t.Helper()
	backend, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			all.Go(func() { answer(c, []byte(response)) })
		}
	})
	pool := NewPool(PoolConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", backend.Addr().String())
	}})
	s := &Server{Director: &one{pool}}
	client, err := net.Dial("tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := front.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}, DynamicRecordSizingDisabled: true})
		client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	}
	all.Go(func() { s.ServeConn(context.Background(), c) })
	t.Cleanup(func() {
		client.Close()
		s.Close()
		pool.Close()
		front.Close()
		backend.Close()
		all.Wait()
	})
	return &proxied{client, make([]byte, len(received))}
}

func answer(c net.Conn, response []byte) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		if err != nil {
			return
		}
		if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			n = 0
			if _, err := c.Write(response); err != nil {
				return
			}
		}
	}
}

func (p *proxied) exchange(t testing.TB, request []byte) {
	if _, err := p.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p, p.got); err != nil {
		t.Fatal(err)
	}
}

var testCertificate = func() func(testing.TB) tls.Certificate {
	var once sync.Once
	var cert tls.Certificate
	return func(t testing.TB) tls.Certificate {
		once.Do(func() {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
			der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
			if err != nil {
				t.Fatal(err)
			}
			cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		})
		return cert
	}
}()

// A request costs no memory, but for what crypto/tls takes.
func TestNoAllocations(t *testing.T) {
	for _, c := range []struct {
		name               string
		secure             bool
		response, received string
		most               float64
	}{
		{"plain", false, benchResponse, benchReceived, 0},
		{"TLS", true, benchResponse, benchReceived, 2}, // crypto/tls: one per record read, at both ends
		{"chunked", false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if raceEnabled {
				t.Skip("the race detector has pools forget")
			}
			p := newProxied(t, c.secure, c.response, c.received)
			request := []byte(benchRequest)
			p.exchange(t, request)
			// A collection in between may empty the pools: the least of some runs counts.
			least := 1e9
			for range 5 {
				least = min(least, testing.AllocsPerRun(200, func() { p.exchange(t, request) }))
			}
			if string(p.got) != c.received {
				t.Fatalf("got %q", p.got)
			}
			if least > c.most {
				t.Errorf("%v allocations per request", least)
			}
		})
	}
}

func benchmarkExchange(b *testing.B, secure bool) {
	p := newProxied(b, secure, benchResponse, benchReceived)
	request := []byte(benchRequest)
	p.exchange(b, request)
	b.ReportAllocs()
	for b.Loop() {
		p.exchange(b, request)
	}
}

func BenchmarkExchange(b *testing.B)    { benchmarkExchange(b, false) }
func BenchmarkExchangeTLS(b *testing.B) { benchmarkExchange(b, true) }
