package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestVerdict(t *testing.T) {
	h := &HealthCheck{Healthy: 3, Unhealthy: 2}
	for _, tc := range []struct {
		checks string // + and -
		want   string
	}{
		{"", "OutOfService ELB " + registering},
		{"-", "OutOfService ELB " + registering},
		{"+", "InService N/A N/A"},
		{"-+", "InService N/A N/A"},
		{"--", "OutOfService Instance " + failing},
		{"--+", "OutOfService Instance " + recovering},
		{"--++", "OutOfService Instance " + recovering},
		{"--++-+", "OutOfService Instance " + recovering},
		{"--+++", "InService N/A N/A"},
		{"+-", "InService N/A N/A"},
		{"+-+-", "InService N/A N/A"},
		{"+--", "OutOfService Instance " + failing},
	} {
		var v verdict
		for _, c := range tc.checks {
			v = v.next(c == '+', h)
		}
		state, reason, description := v.describe()
		if got := strings.Join([]string{state, reason, description}, " "); got != tc.want {
			t.Errorf("%q: %s, want %s", tc.checks, got, tc.want)
		}
	}
}

// TestCheckTimes runs a balancer's checks on a clock of their own.
func TestCheckTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var mu sync.Mutex
		var times []time.Time
		p := New(Config{
			Logger: slog.New(slog.DiscardHandler),
			Listen: func(context.Context, *Balancer, string, int) (net.Listener, error) { return nil, nil },
			Dial: func(ctx context.Context, _ *Balancer, zone string, to netip.AddrPort) (net.Conn, error) {
				if zone != "b" || to.String() != "10.0.0.1:8080" {
					t.Errorf("checked %s from zone %q", to, zone)
				}
				mu.Lock()
				times = append(times, time.Now())
				mu.Unlock()
				if !up.Load() {
					<-ctx.Done() // it does not answer
					return nil, context.Cause(ctx)
				}
				c, other := net.Pipe()
				other.Close()
				return c, nil
			},
		})
		b := web("10.0.0.1")
		b.Listeners = nil
		b.Zones, b.Backends[0].Zone = []string{"a", "b"}, "b"
		b.HealthCheck = HealthCheck{Protocol: TCP, Port: 8080, Interval: 10 * time.Second, Timeout: 5 * time.Second, Healthy: 2, Unhealthy: 3}
		state := func(want string) {
			t.Helper()
			synctest.Wait()
			if h := p.Health("lb"); len(h) != 1 || h[0].Description != want || h[0].ID != "i-1" {
				t.Errorf("after %s: %+v, want %s", time.Since(times[0]), h, want)
			}
		}
		if err := p.Apply(t.Context(), []Balancer{b}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(times) != 1 {
			t.Fatalf("%d checks at once, want 1", len(times))
		}
		state(registering)
		// Each check takes its timeout, and the next is an interval later, give or take a twentieth.
		time.Sleep(34 * time.Second)
		state(registering)
		time.Sleep(3 * time.Second)
		state(failing)
		// Meanwhile it was looked at; now that it has failed only the checks count.
		mu.Lock()
		if len(times) < 5 {
			t.Errorf("%d looks at a backend that registers", len(times))
		}
		times = times[len(times)-1:]
		mu.Unlock()
		up.Store(true)
		changed := p.Changed()
		time.Sleep(11 * time.Second)
		state(recovering)
		<-changed
		time.Sleep(11 * time.Second)
		state("N/A")
		if s, _ := p.Stats("lb"); s.HealthyHostCount["b"] != 1 || s.UnHealthyHostCount["a"] != 0 {
			t.Errorf("hosts %v and %v", s.HealthyHostCount, s.UnHealthyHostCount)
		}
		for i := range times[1:] {
			if d := times[i+1].Sub(times[i]); d < 9500*time.Millisecond || d > 15500*time.Millisecond {
				t.Errorf("%s between checks", d)
			}
		}
		up.Store(false)
		// A change of the check is a reason for one now.
		n := len(times)
		b.HealthCheck.Unhealthy = 1
		if err := p.Apply(t.Context(), []Balancer{b}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(times) != n+1 {
			t.Errorf("%d checks after the change, want 1", len(times)-n)
		}
		time.Sleep(5 * time.Second)
		state(failing)
		// A backend in a zone that the balancer has not is none.
		b.Zones = []string{"a"}
		if err := p.Apply(t.Context(), []Balancer{b}); err != nil {
			t.Fatal(err)
		}
		if h := p.Health("lb"); h[0].Description != elsewhere || h[0].Reason != ReasonELB {
			t.Errorf("%+v", h)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestRegistering: a backend that comes up between two checks is in service within
// a second.
func TestRegistering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		p := New(Config{
			Logger: slog.New(slog.DiscardHandler),
			Listen: func(context.Context, *Balancer, string, int) (net.Listener, error) { return nil, nil },
			Dial: func(context.Context, *Balancer, string, netip.AddrPort) (net.Conn, error) {
				if !up.Load() {
					return nil, errors.New("refused")
				}
				c, other := net.Pipe()
				other.Close()
				return c, nil
			},
		})
		b := web("10.0.0.1")
		b.Listeners = nil
		b.HealthCheck = HealthCheck{Protocol: TCP, Port: 8080, Interval: 30 * time.Second, Timeout: 5 * time.Second, Healthy: 10, Unhealthy: 2}
		if err := p.Apply(t.Context(), []Balancer{b}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*time.Second + time.Millisecond)
		if h := p.Health("lb"); h[0].Description != registering {
			t.Errorf("%+v", h)
		}
		up.Store(true)
		time.Sleep(time.Second)
		if h := p.Health("lb"); h[0].State != InService {
			t.Errorf("%+v", h)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCheck(t *testing.T) {
	var last atomic.Pointer[http.Request]
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		last.Store(r)
		fmt.Fprint(w, strings.Repeat("x", 100_000))
	})
	mux.HandleFunc("GET /empty", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/healthz", http.StatusFound) })
	mux.HandleFunc("GET /early", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusEarlyHints) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("GET /close", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	garbage, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	go func() {
		for {
			c, err := garbage.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n")
			go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	for _, tc := range []struct {
		protocol Protocol
		server   string
		path     string
		want     string // of the error; empty: healthy
	}{
		{TCP, plain.Listener.Addr().String(), "", ""},
		{TCP, "", "", "connection refused"},
		{SSL, secure.Listener.Addr().String(), "", ""},
		{SSL, plain.Listener.Addr().String(), "", "does not look like a TLS handshake"},
		{HTTP, plain.Listener.Addr().String(), "/healthz", ""},
		{HTTPS, secure.Listener.Addr().String(), "/healthz", ""},
		{HTTP, plain.Listener.Addr().String(), "/early", ""},
		{HTTP, plain.Listener.Addr().String(), "", "status 404"},
		{HTTP, plain.Listener.Addr().String(), "/empty", "status 204"},
		{HTTP, plain.Listener.Addr().String(), "/moved", "status 302"},
		{HTTP, plain.Listener.Addr().String(), "/slow", "deadline exceeded"},
		{HTTP, plain.Listener.Addr().String(), "/close", "EOF"},
		{HTTP, secure.Listener.Addr().String(), "/healthz", "status 400"},
		{HTTP, garbage.Addr().String(), "/healthz", "health check"},
	} {
		t.Run(fmt.Sprintf("%s %s %s", tc.protocol, tc.path, tc.want), func(t *testing.T) {
			b := web("10.0.0.1")
			b.HealthCheck = HealthCheck{Protocol: tc.protocol, Port: 8080, Path: tc.path, Timeout: 5 * time.Second}
			if tc.path == "/slow" {
				b.HealthCheck.Timeout = 50 * time.Millisecond
			}
			err := check(t.Context(), func(ctx context.Context, _ *Balancer, _ string, _ netip.AddrPort) (net.Conn, error) {
				if tc.server == "" {
					return nil, errors.New("connection refused")
				}
				return new(net.Dialer).DialContext(ctx, "tcp4", tc.server)
			}, &b, &b.HealthCheck, &backend{spec: b.Backends[0]})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if r := last.Load(); r.UserAgent() != "ELB-HealthChecker/1.0" || r.Host != "10.0.0.1:8080" || r.Proto != "HTTP/1.1" {
		t.Errorf("asked by %s for %s with %s", r.UserAgent(), r.Host, r.Proto)
	}
}
