package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// door opens the rig's front door and returns where.
func (r *rig) door(d *Door, serve func(context.Context, net.Listener, int) error, port int) string {
	r.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, port) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("front door: %v", err)
		}
	})
	return l.Addr().String()
}

func TestDoorBySNI(t *testing.T) {
	r := newRig(t)
	certs := map[string]*tls.Certificate{}
	var all []Balancer
	for i, id := range []string{"one", "two"} {
		certs[id] = certificate(t, id+".test")
		backend := fmt.Sprintf("10.0.0.%d", i+1)
		r.echo(backend + ":8080")
		b := l4(SSL, TCP, certs[id], backend)
		b.ID = id
		all = append(all, b)
	}
	plain := l4(HTTP, HTTP, nil)
	plain.ID = "plain"
	r.apply(append(all, plain)...)
	r.healthy("one", 1)
	r.healthy("two", 1)
	d := NewDoor(r.Proxy)
	at := r.door(d, d.ServeTLS, 443)
	hello := func(name string, least, most uint16) (string, error) {
		c := tls.Client(dial(t, at), &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: least, MaxVersion: most})
		defer c.Close()
		if err := c.HandshakeContext(t.Context()); err != nil {
			return "", err
		}
		return c.ConnectionState().PeerCertificates[0].DNSNames[0] + " " + line(t, c), nil
	}
	unrecognized := func(name string) {
		t.Helper()
		_, err := hello(name, 0, 0)
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v, want the alert unrecognized_name", name, err)
		}
	}
	unrecognized("api.one.test") // no names yet
	d.SetNames(map[string]string{"API.one.test.": "one", "*.two.test": "two", "special.two.test": "one", "plain.test": "plain", "gone.test": "gone", "out.two.test": "", "*.deep.two.test": "one"})
	for _, tc := range []struct{ name, want string }{
		{"api.one.test", "one.test 10.0.0.1:8080"},
		{"api.two.test", "two.test 10.0.0.2:8080"},
		{"a.b.two.test", "two.test 10.0.0.2:8080"},
		{"a.b.deep.two.test", "one.test 10.0.0.1:8080"},
		{"Special.Two.test", "one.test 10.0.0.1:8080"},
	} {
		for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS10} {
			if got, err := hello(tc.name, version, version); got != tc.want || err != nil {
				t.Errorf("%s: %s, %v; want %s", tc.name, got, err, tc.want)
			}
		}
	}
	for _, name := range []string{"", "one.test", "two.test", "out.two.test", "other.test", "plain.test", "gone.test"} {
		unrecognized(name)
	}
	// What is no TLS gets no answer but the end.
	c := dial(t, at)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: api.one.test\r\n\r\n")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("got %q", got)
	}
	if _, err := net.Dial("tcp4", at); err != nil {
		t.Error(err)
	}
}

// A ClientHello may come in many pieces, and be long, as with post-quantum keys.
func TestDoorReadsSlowly(t *testing.T) {
	hello := clientHello(t, "slow.test")
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		for _, b := range hello {
			_, _ = client.Write([]byte{b})
		}
	}()
	r := &opening{Conn: server}
	name, err := readHello(r)
	if name != "slow.test" || err != nil {
		t.Fatalf("%q, %v", name, err)
	}
	if !bytes.Equal(r.read, hello) {
		t.Error("what was read is not what was sent")
	}
}

// clientHello is what crypto/tls sends first.
func clientHello(t testing.TB, name string) []byte {
	t.Helper()
	var sent bytes.Buffer
	err := tls.Client(&sink{w: &sent}, &tls.Config{ServerName: name, InsecureSkipVerify: true}).HandshakeContext(context.Background())
	if err == nil || sent.Len() == 0 {
		t.Fatal("no ClientHello")
	}
	return sent.Bytes()
}

// sink takes what is written and has nothing to read.
type sink struct {
	net.Conn
	r io.Reader
	w io.Writer
}

func (s *sink) Read(p []byte) (int, error) {
	if s.r == nil {
		return 0, io.EOF
	}
	return s.r.Read(p)
}
func (s *sink) Write(p []byte) (int, error)      { return s.w.Write(p) }
func (s *sink) Close() error                     { return nil }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// FuzzHello holds the front door to leaving what it read for the listener, whatever comes.
func FuzzHello(f *testing.F) {
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := &opening{Conn: &sink{r: bytes.NewReader(sent)}}
		name, err := readHello(r)
		if err != nil && name != "" {
			t.Errorf("%q and %v", name, err)
		}
		if len(r.read) > maxHello || !bytes.HasPrefix(sent, r.read) {
			t.Errorf("kept %d bytes that are not what was sent", len(r.read))
		}
		all, err := io.ReadAll(http1.Replay(r.Conn, r.read))
		if err != nil || !bytes.Equal(all, sent) {
			t.Errorf("%d bytes can be read again, %v; %d were sent", len(all), err, len(sent))
		}
	})
}

func TestDoorByHost(t *testing.T) {
	r := newRig(t)
	for _, a := range []string{"10.0.0.1:8080", "10.0.0.2:8080"} {
		r.backend(a, nil)
	}
	one, two, raw := web("10.0.0.1"), web("10.0.0.2"), l4(TCP, TCP, nil, "10.0.0.2")
	one.ID, two.ID, raw.ID = "one", "two", "raw"
	raw.Listeners[0].Port = 80
	r.apply(one, two, raw)
	r.healthy("one", 1)
	r.healthy("two", 1)
	r.healthy("raw", 1)
	d := NewDoor(r.Proxy)
	d.SetNames(map[string]string{"one.test": "one", "*.two.test": "two", "raw.test": "raw"})
	at := r.door(d, d.ServeHTTP, 80)
	for _, tc := range []struct{ request, want string }{
		{"GET / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n", "200 10.0.0.1:8080"},
		{"GET / HTTP/1.1\r\nHost: ONE.test:80\r\nConnection: close\r\n\r\n", "200 10.0.0.1:8080"},
		{"GET / HTTP/1.1\r\nHost: a.two.test.\r\nConnection: close\r\n\r\n", "200 10.0.0.2:8080"},
		{"GET / HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n", "200 10.0.0.2:8080"},
		{"GET / HTTP/1.1\r\nHost: two.test\r\n\r\n", "404 No load balancer listens for HTTP on port 80 under this name.\n"},
		{"GET / HTTP/1.0\r\n\r\n", "404 No load balancer listens for HTTP on port 80 under this name.\n"},
		{"GET / HTTP/1.1\r\nHost: one.test\r\nHost: two.test\r\n\r\n", "400 The request cannot be read.\n"},
	} {
		c := dial(t, at)
		fmt.Fprint(c, tc.request)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%q: %v", tc.request, err)
		}
		body, err := io.ReadAll(res.Body)
		if got := fmt.Sprintf("%d %s", res.StatusCode, body); got != tc.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", tc.request, got, err, tc.want)
		}
		c.Close()
	}
}
