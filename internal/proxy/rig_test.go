package proxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// silent is for servers whose clients misbehave.
var silent = slog.NewLogLogger(slog.DiscardHandler, 0)

// rig is a Proxy on loopback. Balancers listen on ports that the kernel gives, and backends have made-up
// addresses, behind which real servers are.
type rig struct {
	t testing.TB
	*Proxy

	mu      sync.Mutex        // guards the fields below
	sockets map[string]string // by balancer/zone/port: where it really is
	opened  map[string]int    // how often
	refuse  map[string]error  // sockets that cannot be opened
	servers map[string]string // by backend's address and port
	dialed  []string          // zone>address
	lines   []string          // access log
}

func newRig(t testing.TB) *rig {
	t.Helper()
	checkLeaks(t)
	r := &rig{t: t, sockets: map[string]string{}, opened: map[string]int{}, refuse: map[string]error{}, servers: map[string]string{}}
	r.Proxy = New(Config{
		Logger: slog.New(slog.DiscardHandler),
		Listen: func(_ context.Context, b *Balancer, zone string, port int) (net.Listener, error) {
			key := fmt.Sprintf("%s/%s/%d", b.ID, zone, port)
			r.mu.Lock()
			defer r.mu.Unlock()
			if err := r.refuse[key]; err != nil {
				return nil, err
			}
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			r.sockets[key] = l.Addr().String()
			r.opened[key]++
			return l, nil
		},
		Dial: func(ctx context.Context, _ *Balancer, zone string, to netip.AddrPort) (net.Conn, error) {
			r.mu.Lock()
			r.dialed = append(r.dialed, zone+">"+to.String())
			server := r.servers[to.String()]
			r.mu.Unlock()
			if server == "" {
				return nil, errors.New("connection refused")
			}
			return new(net.Dialer).DialContext(ctx, "tcp4", server)
		},
		Log: func(_ *Balancer, line []byte) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.lines = append(r.lines, string(line))
		},
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

// checkLeaks fails the test if it leaves goroutines behind. It must come before other clean-ups.
func checkLeaks(t testing.TB) {
	before := goroutines()
	t.Cleanup(func() {
		var left []string
		for range 200 { // goroutines of net/http's and of the test's servers take a moment to end
			http.DefaultClient.CloseIdleConnections()
			left = left[:0]
			for _, g := range goroutines() {
				if !slices.Contains(before, g) {
					left = append(left, g)
				}
			}
			if len(left) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%d goroutines are left, one of them:\n%s", len(left), left[0])
	})
}

// goroutines are those with this package or http1 in their stacks, but for the tests' own.
func goroutines() (out []string) {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for _, g := range strings.Split(string(buf), "\n\n") {
		if (strings.Contains(g, "internal/proxy.(") || strings.Contains(g, "internal/http1.(")) && !strings.Contains(g, "_test.go") {
			out = append(out, g)
		}
	}
	return out
}

// apply applies and fails the test on an error.
func (r *rig) apply(all ...Balancer) {
	r.t.Helper()
	if err := r.Apply(r.t.Context(), all); err != nil {
		r.t.Fatalf("Apply: %v", err)
	}
}

// at is where a balancer listens in a zone.
func (r *rig) at(id, zone string, port int) string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.sockets[fmt.Sprintf("%s/%s/%d", id, zone, port)]
	if a == "" {
		r.t.Fatalf("%s does not listen on %d in zone %q", id, port, zone)
	}
	return a
}

// serve makes a server answer for a backend.
func (r *rig) serve(backend, server string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if server == "" {
		delete(r.servers, backend)
	} else {
		r.servers[backend] = server
	}
}

// backend starts an HTTP server for a backend, which answers with its address.
func (r *rig) backend(address string, h http.Handler) *httptest.Server {
	r.t.Helper()
	if h == nil {
		h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, address) })
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = silent
	s.Start()
	r.t.Cleanup(s.Close)
	r.serve(address, s.Listener.Addr().String())
	return s
}

// echo starts a TCP server that says its name and then what it hears.
func (r *rig) echo(address string) net.Listener {
	return r.tcp(address, func(c *net.TCPConn) {
		fmt.Fprintf(c, "%s\n", address)
		_, _ = io.Copy(c, c)
		c.CloseWrite()
	})
}

// tcp starts a TCP server for a backend.
func (r *rig) tcp(address string, serve func(*net.TCPConn)) net.Listener {
	r.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	r.t.Cleanup(func() { l.Close(); all.Wait() })
	r.serve(address, l.Addr().String())
	return l
}

// until waits until ok, looking again whenever the proxy's health changes.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		changed := r.Changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-time.After(5 * time.Millisecond): // what is not health
		case <-deadline:
			r.t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// healthy waits until so many backends of a balancer are in service.
func (r *rig) healthy(id string, n int) {
	r.t.Helper()
	r.until(fmt.Sprintf("%d healthy backends of %s", n, id), func() bool {
		healthy := 0
		for _, h := range r.Health(id) {
			if h.State == InService && !h.Draining {
				healthy++
			}
		}
		return healthy == n
	})
}

func (r *rig) logged() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// web is a balancer with a listener for HTTP on port 80 and those backends, checked by TCP on 8080.
func web(backends ...string) Balancer {
	b := Balancer{
		ID: "lb", Name: "my-loadbalancer", CrossZone: true,
		Listeners:   []Listener{{Port: 80, Protocol: HTTP, BackendPort: 8080, BackendProtocol: HTTP}},
		HealthCheck: HealthCheck{Protocol: TCP, Port: 8080, Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, Healthy: 2, Unhealthy: 2},
		IdleTimeout: 10 * time.Second,
	}
	for i, a := range backends {
		b.Backends = append(b.Backends, Backend{ID: fmt.Sprintf("i-%d", i+1), Address: netip.MustParseAddr(a)})
	}
	return b
}

// certificate makes one for a name.
func certificate(t testing.TB, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.TCPConn)
}

// line reads up to a line feed, byte by byte, so that nothing is read ahead.
func line(t testing.TB, c io.Reader) string {
	t.Helper()
	var out bytes.Buffer
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatalf("after %q: %v", out.String(), err)
		}
		if one[0] == '\n' {
			return out.String()
		}
		out.WriteByte(one[0])
	}
}

// ended expects the end of a connection.
func ended(t testing.TB, c io.Reader) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want the end", n, err)
	}
}
