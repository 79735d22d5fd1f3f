package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// l4 is a balancer with one listener that carries bytes.
func l4(front, back Protocol, cert *tls.Certificate, backends ...string) Balancer {
	b := web(backends...)
	b.Listeners = []Listener{{Port: 443, Protocol: front, BackendPort: 8080, BackendProtocol: back, Certificate: cert}}
	return b
}

func TestTunnel(t *testing.T) {
	cert := certificate(t, "lb.test")
	for _, tc := range []struct{ front, back Protocol }{{TCP, TCP}, {SSL, TCP}, {TCP, SSL}, {SSL, SSL}} {
		t.Run(fmt.Sprintf("%s to %s", tc.front, tc.back), func(t *testing.T) {
			r := newRig(t)
			r.tcp("10.0.0.1:8080", func(raw *net.TCPConn) {
				var c interface {
					io.ReadWriter
					CloseWrite() error
				} = raw
				if tc.back == SSL {
					c = tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{*cert}})
				}
				_, _ = io.Copy(c, c)
				c.CloseWrite()
			})
			b := l4(tc.front, tc.back, cert, "10.0.0.1")
			b.AccessLog = true
			r.apply(b)
			r.healthy("lb", 1)
			var c interface {
				io.ReadWriteCloser
				CloseWrite() error
			} = dial(t, r.at("lb", "", 443))
			if tc.front == SSL {
				c = tls.Client(c.(net.Conn), &tls.Config{InsecureSkipVerify: true})
			}
			// More than any buffer holds, each way; then the client's end, and what comes still arrives.
			want := bytes.Repeat([]byte("0123456789abcdef"), 512<<10)
			sent := make(chan error, 1)
			go func() {
				_, err := c.Write(want)
				if err == nil {
					err = c.CloseWrite()
				}
				sent <- err
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back, %v; want %d", len(got), err, len(want))
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
			c.Close()
			r.until("the access log", func() bool { return len(r.logged()) == 1 })
			fields := strings.Fields(r.logged()[0])
			if got, want := strings.Join(fields[7:15], " "), fmt.Sprintf(`- - %d %d "- - - "`, len(want), len(want)); got != want {
				t.Errorf("logged %s, want %s", got, want)
			}
			s, _ := r.Stats("lb")
			if s.RequestCount != 1 || s.ProcessedBytes != uint64(2*len(want)) || s.Latency.Count != 1 || s.NewConnections != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestRoundRobin(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		r.echo(fmt.Sprintf("10.0.0.%d:8080", i+1))
	}
	r.apply(l4(TCP, TCP, nil, "10.0.0.1", "10.0.0.2", "10.0.0.3"))
	r.healthy("lb", 3)
	seen := map[string]int{}
	for range 9 {
		c := dial(t, r.at("lb", "", 443))
		seen[line(t, c)]++
		c.Close()
	}
	for i := range 3 {
		if n := seen[fmt.Sprintf("10.0.0.%d:8080", i+1)]; n != 3 {
			t.Errorf("backend %d had %d of 9 connections", i+1, n)
		}
	}
}

// A backend that refuses is passed over, and does not see what another got.
func TestTunnelTriesTheNext(t *testing.T) {
	r := newRig(t)
	for i := range 2 {
		r.echo(fmt.Sprintf("10.0.0.%d:8080", i+1))
	}
	b := l4(TCP, TCP, nil, "10.0.0.1", "10.0.0.2")
	b.HealthCheck.Interval = time.Hour
	r.apply(b)
	r.healthy("lb", 2)
	r.serve("10.0.0.1:8080", "")
	for range 4 {
		if got := line(t, dial(t, r.at("lb", "", 443))); got != "10.0.0.2:8080" {
			t.Errorf("connected to %s", got)
		}
	}
	if s, _ := r.Stats("lb"); s.BackendConnectionErrs == 0 {
		t.Error("no connection error was counted")
	}
	r.serve("10.0.0.2:8080", "")
	ended(t, dial(t, r.at("lb", "", 443)))
}

func TestNoBackend(t *testing.T) {
	r := newRig(t)
	r.apply(l4(TCP, TCP, nil))
	ended(t, dial(t, r.at("lb", "", 443)))
}

func TestProxyProtocol(t *testing.T) {
	r := newRig(t)
	r.echo("10.0.0.1:8080")
	b := l4(TCP, TCP, nil, "10.0.0.1")
	b.BackendServers = map[int]BackendPolicy{8080: {ProxyProtocol: true}}
	r.apply(b)
	r.healthy("lb", 1)
	c := dial(t, r.at("lb", "", 443))
	fmt.Fprintf(c, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello\n")
	line(t, c)
	from, to := netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())
	want := fmt.Sprintf("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r", from.Port(), to.Port())
	if got := line(t, c); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// What the client says is passed on, whatever it is.
	if got := line(t, c); got != "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r" {
		t.Errorf("then %q", got)
	}
}

func TestProxyHeader(t *testing.T) {
	tcp := func(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }
	for _, tc := range []struct {
		from, to net.Addr
		want     string
	}{
		{tcp("198.51.100.22:35646"), tcp("203.0.113.7:80"), "PROXY TCP4 198.51.100.22 203.0.113.7 35646 80\r\n"},
		{tcp("[2001:db8::1]:35646"), tcp("[2001:db8::2]:80"), "PROXY TCP6 2001:db8::1 2001:db8::2 35646 80\r\n"},
		{tcp("[::ffff:198.51.100.22]:1"), tcp("203.0.113.7:80"), "PROXY TCP4 198.51.100.22 203.0.113.7 1 80\r\n"},
		{tcp("[2001:db8::1]:1"), tcp("203.0.113.7:80"), "PROXY UNKNOWN\r\n"},
		{&net.UnixAddr{}, tcp("203.0.113.7:80"), "PROXY UNKNOWN\r\n"},
	} {
		if got := string(proxyHeader(tc.from, tc.to)); got != tc.want {
			t.Errorf("%v to %v: %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
}

// Silence of both sides ends a connection, and nothing else does, however long it lasts.
func TestTunnelIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend, toBackend := net.Pipe()
		p := New(Config{
			Logger: slog.New(slog.DiscardHandler),
			Listen: func(context.Context, *Balancer, string, int) (net.Listener, error) { return nil, nil },
			Dial: func(context.Context, *Balancer, string, netip.AddrPort) (net.Conn, error) {
				return toBackend, nil
			},
		})
		b := l4(TCP, TCP, nil, "10.0.0.1")
		b.IdleTimeout = time.Minute
		if err := p.Apply(t.Context(), []Balancer{b}); err != nil {
			t.Fatal(err)
		}
		k := p.get("lb").backends[0]
		k.cancel() // no checks: there is one connection only
		synctest.Wait()
		k.healthy.Store(true)
		backend.Close()
		backend, toBackend = net.Pipe()
		client, c := net.Pipe()
		served := make(chan struct{})
		go func() { p.ServeConn("lb", 443, c); close(served) }()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		last := time.Now()
		for range 10 { // one side speaks, now and then
			if _, err := backend.Write([]byte("here")); err != nil {
				t.Fatalf("after %s: %v", time.Since(last), err)
			}
			last = time.Now()
			time.Sleep(59 * time.Second)
		}
		<-served
		if silent := time.Since(last); silent != time.Minute {
			t.Errorf("closed after %s of silence, want 1m", silent)
		}
		backend.Close()
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Backend authentication compares the public key, and nothing else of the certificate.
func TestBackendPublicKey(t *testing.T) {
	cert, other := certificate(t, "backend.test"), certificate(t, "backend.test")
	r := newRig(t)
	r.tcp("10.0.0.1:8080", func(raw *net.TCPConn) {
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{*cert}})
		fmt.Fprintln(c, "here")
		_, _ = io.Copy(io.Discard, c)
	})
	b := l4(TCP, SSL, nil, "10.0.0.1")
	for _, tc := range []struct {
		keys [][]byte
		ok   bool
	}{
		{nil, true},
		{[][]byte{other.Leaf.RawSubjectPublicKeyInfo}, false},
		{[][]byte{other.Leaf.RawSubjectPublicKeyInfo, cert.Leaf.RawSubjectPublicKeyInfo}, true},
	} {
		b.BackendServers = map[int]BackendPolicy{8080: {PublicKeys: tc.keys}}
		r.apply(b)
		r.healthy("lb", 1)
		for range 2 { // the second resumes the session, if there is one
			c := dial(t, r.at("lb", "", 443))
			if tc.ok {
				line(t, c)
			} else {
				ended(t, c)
			}
			c.Close()
		}
	}
}

// Connections of backends are known as long as they are open, whatever their kind.
func TestTrack(t *testing.T) {
	r := newRig(t)
	l := r.tcp("10.0.0.1:8080", func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	spec := web()
	k := newBackend(newBalancer(r.Proxy, &spec), Backend{})
	for range 500 {
		k.track(dial(t, l.Addr().String())).Close()
		c, other := net.Pipe()
		k.track(c).Close()
		other.Close()
	}
	if n := len(k.conns); n > 64 {
		t.Errorf("%d connections are kept that are closed", n)
	}
	open := dial(t, l.Addr().String())
	k.track(open)
	for range 500 {
		k.track(dial(t, l.Addr().String())).Close()
	}
	k.cut()
	ended(t, open)
}
