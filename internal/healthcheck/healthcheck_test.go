package healthcheck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// endpoints are a server over HTTP and one over TLS.
func endpoints(t *testing.T, h http.HandlerFunc) (plain, secure uint16, names chan string) {
	t.Helper()
	names = make(chan string, 10)
	a, b := httptest.NewServer(h), httptest.NewUnstartedServer(h)
	b.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- hello.ServerName
		return nil, nil
	}}
	b.StartTLS()
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	port := func(s *httptest.Server) uint16 { return netip.MustParseAddrPort(s.Listener.Addr().String()).Port() }
	return port(a), port(b), names
}

func TestLook(t *testing.T) {
	plain, secure, names := endpoints(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
		case "/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/text":
			fmt.Fprint(w, strings.Repeat(".", searched-5), "found", "beyond")
		case "/asked":
			fmt.Fprintf(w, "%s %s %s %s", r.Host, r.UserAgent(), r.URL.RawQuery, r.Method)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "found")
		case "/closed":
			panic(http.ErrAbortHandler)
		case "/599":
			w.WriteHeader(599)
		default:
			http.NotFound(w, r)
		}
	})
	closed, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := netip.MustParseAddrPort(closed.Addr().String()).Port()
	closed.Close()
	c := New(Config{Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
		switch host {
		case "here.test":
			return []netip.Addr{netip.IPv6Loopback(), loopback}, nil
		case "six.test":
			return []netip.Addr{netip.IPv6Loopback()}, nil
		}
		return nil, errors.New("Rcode NXDomain(3)")
	}})
	defer c.Close()
	for _, tc := range []struct {
		name  string
		check Check
		want  string
	}{
		{"200", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "/ok"}, "Success: HTTP Status Code 200, OK"},
		{"a redirect is not followed", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "moved"}, "Success: HTTP Status Code 302, Found"},
		{"404", Check{Kind: HTTP, Address: loopback, Port: plain}, "Failure: HTTP Status Code 404, Not Found"},
		{"no name", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "/599"}, "Failure: HTTP Status Code 599"},
		{"by name", Check{Kind: HTTP, Host: "here.test", Port: plain, Path: "/ok"}, "Success: HTTP Status Code 200, OK. Resolved IP: 127.0.0.1"},
		{"by name, 404", Check{Kind: HTTP, Host: "here.test", Port: plain}, "Failure: Resolved IP: 127.0.0.1. HTTP Status Code 404, Not Found"},
		{"no such name", Check{Kind: HTTP, Host: "no.test", Port: plain}, "Failure: DNS resolution failed: Rcode NXDomain(3)"},
		{"IPv6 only", Check{Kind: TCP, Host: "six.test", Port: plain}, "Failure: DNS resolution failed: no IPv4 address"},
		{"search", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "/text", Search: "found"}, "Success: HTTP Status Code 200, OK"},
		{"search beyond the limit", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "/text", Search: "foundb"},
			"Failure: HTTP Status Code 200, OK. The search string was not found in the first 5120 bytes of the response body"},
		{"search before the end", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "/cut", Search: "found"}, "Success: HTTP Status Code 200, OK"},
		{"search for the status", Check{Kind: HTTP, Address: loopback, Port: plain, Search: "found"}, "Failure: HTTP Status Code 404, Not Found"},
		{"what is asked", Check{Kind: HTTP, Address: loopback, Port: plain, Host: "www.test", Path: "/asked?a=b&c", Agent: "looker",
			Search: fmt.Sprintf("www.test:%d looker a=b&c GET", plain)}, "Success: HTTP Status Code 200, OK"},
		{"HTTPS", Check{Kind: HTTPS, Address: loopback, Port: secure, Host: "www.test", Path: "/ok"}, "Success: HTTP Status Code 200, OK"},
		{"HTTPS with SNI", Check{Kind: HTTPS, Address: loopback, Port: secure, Host: "www.test", Path: "/ok", SNI: true}, "Success: HTTP Status Code 200, OK"},
		{"HTTPS to HTTP", Check{Kind: HTTPS, Address: loopback, Port: plain, Path: "/ok"},
			"Failure: The SSL/TLS handshake failed: tls: first record does not look like a TLS handshake"},
		{"TCP", Check{Kind: TCP, Address: loopback, Port: plain}, "Success: Connection established"},
		{"nobody listens", Check{Kind: TCP, Address: loopback, Port: nobody}, "Failure: The endpoint refused the connection."},
		{"closed", Check{Kind: HTTP, Host: "here.test", Port: plain, Path: "/closed"}, "Failure: Resolved IP: 127.0.0.1. The connection was closed by the endpoint."},
		{"a path that is none", Check{Kind: HTTP, Address: loopback, Port: plain, Path: "/%zz"}, "Failure: The path of the health check is not valid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := c.look(t.Context(), tc.check)
			if seen.Status != tc.want || seen.Healthy != strings.HasPrefix(tc.want, "Success") {
				t.Errorf("got %v %q, want %q", seen.Healthy, seen.Status, tc.want)
			}
			if connected := !strings.Contains(tc.want, "DNS") && !strings.Contains(tc.want, "refused"); connected != (seen.From == loopback) {
				t.Errorf("from %v", seen.From)
			}
		})
	}
	if a, b := <-names, <-names; a != "" || b != "www.test" {
		t.Errorf("server names %q and %q, want none and www.test", a, b)
	}
}

// scripted is an endpoint that does what it is told, in a test's own time.
type scripted struct {
	looks   atomic.Int64
	serving sync.WaitGroup
	mu      sync.Mutex
	err     error         // to dial
	delay   time.Duration // before the connection
	serve   func(net.Conn)
}

func (s *scripted) set(err error, delay time.Duration, serve func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.delay, s.serve = err, delay, serve
}

func (s *scripted) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.looks.Add(1)
	s.mu.Lock()
	err, delay, serve := s.err, s.delay, s.serve
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	s.serving.Go(func() {
		defer far.Close()
		if serve != nil {
			serve(far)
		}
	})
	return near, nil
}

// respond reads a request and answers after a time.
func respond(text string, delay time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		time.Sleep(delay)
		io.WriteString(c, text)
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

func TestTimes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		kind    Kind
		connect time.Duration
		serve   func(net.Conn)
		want    string
		took    time.Duration
	}{
		{"HTTP in time", HTTP, connectHTTP - time.Millisecond, respond(ok, answerHTTP-time.Millisecond), "Success: HTTP Status Code 200, OK", connectHTTP + answerHTTP - 2*time.Millisecond},
		{"HTTP connects too late", HTTP, time.Minute, nil, "Failure: " + timedOut, connectHTTP},
		{"HTTP answers too late", HTTP, 0, respond(ok, time.Minute), "Failure: " + timedOut, answerHTTP},
		{"HTTP answers bit by bit", HTTP, 0, func(c net.Conn) {
			for _, b := range []byte(ok) {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
			}
		}, "Failure: " + timedOut, answerHTTP},
		{"TLS that never comes about", HTTPS, 0, func(c net.Conn) { io.Copy(io.Discard, c) }, "Failure: " + timedOut, connectHTTP},
		{"TCP in time", TCP, connectTCP - time.Millisecond, nil, "Success: Connection established", connectTCP - time.Millisecond},
		{"TCP too late", TCP, time.Minute, nil, "Failure: " + timedOut, connectTCP},
		{"a response without end", HTTP, 0, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, "Failure: The connection was closed by the endpoint.", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(scripted)
				s.set(nil, tc.connect, tc.serve)
				c := New(Config{Dial: s.dial})
				defer c.Close()
				start := time.Now()
				seen := c.look(t.Context(), Check{Kind: tc.kind, Address: loopback, Port: 80})
				if took := time.Since(start); seen.Status != tc.want || took != tc.took {
					t.Errorf("%q after %v, want %q after %v", seen.Status, took, tc.want, tc.took)
				}
				s.serving.Wait()
			})
		})
	}
}

func TestThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, changes := new(scripted), new(atomic.Int64)
		c := New(Config{Dial: s.dial, Changed: func() { changes.Add(1) }})
		defer c.Close()
		s.set(syscall.ECONNREFUSED, 0, nil)
		check := Check{ID: "a", Kind: TCP, Address: loopback, Port: 80, Interval: 10 * time.Second, Threshold: 3}
		c.Apply([]Check{check})
		expect := func(when string, healthy bool, looks, wantChanges int64) {
			t.Helper()
			synctest.Wait()
			if c.Healthy("a") != healthy || s.looks.Load() != looks || changes.Load() != wantChanges {
				t.Errorf("%s: healthy %v after %d looks and %d changes; want %v, %d, %d",
					when, c.Healthy("a"), s.looks.Load(), changes.Load(), healthy, looks, wantChanges)
			}
		}
		expect("at first", true, 1, 1)
		time.Sleep(19 * time.Second)
		expect("after two failures", true, 2, 1)
		time.Sleep(time.Second)
		expect("after three", false, 3, 2)
		last, failure := c.Look("a")
		if last == nil || failure != last || last.Status != "Failure: The endpoint refused the connection." {
			t.Errorf("seen %+v, %+v", last, failure)
		}
		s.set(nil, 0, nil)
		time.Sleep(20 * time.Second)
		expect("after two successes", false, 5, 2)
		s.set(syscall.ECONNREFUSED, 0, nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s.set(nil, 0, nil)
		time.Sleep(20 * time.Second)
		expect("a failure between them", false, 8, 2)
		time.Sleep(10 * time.Second)
		expect("after three in a row", true, 9, 3)
		if last, failure := c.Look("a"); !last.Healthy || failure == nil || failure.Healthy {
			t.Errorf("seen %+v, %+v", last, failure)
		}

		// The same again changes nothing, and does not look more often.
		c.Apply([]Check{check})
		expect("applied again", true, 9, 3)
		check.Inverted = true
		c.Apply([]Check{check})
		expect("inverted", false, 9, 4)
		check.Inverted, check.Port = false, 81
		c.Apply([]Check{check})
		expect("another endpoint", true, 10, 5)
		check.Disabled = true
		c.Apply([]Check{check})
		time.Sleep(time.Minute)
		expect("disabled", true, 10, 6)
		check.Inverted = true
		c.Apply([]Check{check})
		expect("disabled and inverted", false, 10, 7)
		c.Apply(nil)
		time.Sleep(time.Minute)
		expect("gone", true, 10, 8)
	})
}

func TestCalculated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(scripted)
		s.set(syscall.ECONNREFUSED, 0, nil)
		c := New(Config{Dial: s.dial})
		defer c.Close()
		all := []Check{
			{ID: "ill", Kind: TCP, Address: loopback, Interval: 10 * time.Second, Threshold: 1},
			{ID: "well", Kind: TCP, Address: loopback, Interval: 10 * time.Second, Threshold: 1, Inverted: true},
			{ID: "disabled", Kind: TCP, Address: loopback, Interval: 10 * time.Second, Threshold: 1, Disabled: true},
			{ID: "1 of ill, well", Kind: Calculated, Children: []string{"ill", "well"}, AtLeast: 1},
			{ID: "2 of ill, well", Kind: Calculated, Children: []string{"ill", "well"}, AtLeast: 2},
			{ID: "2 of ill, well, disabled", Kind: Calculated, Children: []string{"ill", "well", "disabled"}, AtLeast: 2},
			{ID: "not 2 of ill, well", Kind: Calculated, Children: []string{"ill", "well"}, AtLeast: 2, Inverted: true},
			{ID: "0 of ill", Kind: Calculated, Children: []string{"ill"}},
			{ID: "1 of gone", Kind: Calculated, Children: []string{"gone"}, AtLeast: 1},
			{ID: "calculated twice", Kind: Calculated, Children: []string{"2 of ill, well", "1 of ill, well"}, AtLeast: 1},
			{ID: "round", Kind: Calculated, Children: []string{"about"}, AtLeast: 1},
			{ID: "about", Kind: Calculated, Children: []string{"round"}, AtLeast: 1},
			{ID: "disabled, 2 of ill", Kind: Calculated, Children: []string{"ill"}, AtLeast: 2, Disabled: true},
		}
		c.Apply(all)
		synctest.Wait()
		for id, want := range map[string]bool{
			"ill": false, "well": true, "disabled": true,
			"1 of ill, well": true, "2 of ill, well": false, "2 of ill, well, disabled": true, "not 2 of ill, well": true,
			"0 of ill": true, "1 of gone": false, "calculated twice": true, "round": true, "disabled, 2 of ill": true,
			"nobody knows": true,
		} {
			if got := c.Healthy(id); got != want {
				t.Errorf("%s: %v, want %v", id, got, want)
			}
		}
	})
}

// Close does not wait for what an endpoint does not do.
func TestCloseEndsLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(scripted)
		release := make(chan struct{})
		s.set(nil, 0, func(c net.Conn) { <-release })
		c := New(Config{Dial: s.dial})
		for i := range 5 {
			c.Apply([]Check{{ID: fmt.Sprint(i), Kind: Kind(i % 3), Address: loopback, Interval: 10 * time.Second, Threshold: 1}})
			synctest.Wait()
		}
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		c.Apply([]Check{{ID: "late", Kind: TCP, Address: loopback}})
		close(release)
		s.serving.Wait()
	})
}

// FuzzResponse reads whatever an endpoint may send.
func FuzzResponse(f *testing.F) {
	f.Fuzz(func(t *testing.T, response []byte, search string) {
		req := httptest.NewRequest(http.MethodGet, "http://example.com/", nil)
		status, err := judge(bytes.NewReader(response), req, search)
		if (status == "") == (err == nil) {
			t.Fatalf("%q and %v", status, err)
		}
		if err != nil && reason(err) == "" {
			t.Error("a failure without a reason")
		}
		if err == nil && (!strings.HasPrefix(status, "HTTP Status Code ") || search != "" && !bytes.Contains(response, []byte(search)) && !bytes.Contains(bytes.ToLower(response), []byte("chunked"))) {
			t.Errorf("%q", status)
		}
	})
}
