package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestConfigFrom(t *testing.T) {
	for _, tc := range []struct {
		env  []string
		want config
		err  string
	}{
		{env: []string{"POD_NAME", "p", "NODE_NAME", "n"}, want: config{port: 80, shutdownTimeout: 30 * time.Second, pod: "p", node: "n"}},
		{
			env:  []string{"POD_NAME", "p", "NODE_NAME", "n", "PORT", "8080", "STARTUP_DELAY", "2s", "SHUTDOWN_TIMEOUT", "1m"},
			want: config{port: 8080, startupDelay: 2 * time.Second, shutdownTimeout: time.Minute, pod: "p", node: "n"},
		},
		{env: []string{"PORT", "http"}, err: `PORT="http" is not a port from 1 to 65535`},
		{env: []string{"PORT", "65536"}, err: `PORT="65536" is not a port from 1 to 65535`},
		{env: []string{"STARTUP_DELAY", "10"}, err: `STARTUP_DELAY="10" is not a duration such as 10s or 1m30s`},
		{env: []string{"SHUTDOWN_TIMEOUT", "-1s"}, err: `SHUTDOWN_TIMEOUT="-1s" is not a duration such as 10s or 1m30s`},
	} {
		got, err := configFrom(env(tc.env...))
		if tc.err != "" {
			if err == nil || err.Error() != tc.err {
				t.Errorf("%q: error %v, want %s", tc.env, err, tc.err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%q: %+v, %v, want %+v", tc.env, got, err, tc.want)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		request string
		status  int
		body    string // a regular expression
	}{
		{"GET /", 200, `^backend-app\npod:     p\nnode:    n\nversion: dev\n$`},
		{"HEAD /", 200, ""},
		{"GET /health", 200, `^ok\n`},
		{"GET /other", 404, "not found"},
		{"POST /", 405, "Method Not Allowed"},
		{"GET /burn?ms=5", 200, `^burned \d+ms in [1-9]\d* rounds`},
		{"GET /burn", 400, `^ms is missing: give ms=N with N from 1 to 60000\n`},
		{"GET /burn?ms=60001", 400, `^ms="60001" is not a whole number from 1 to 60000\n`},
		{"GET /burn?ms=-1", 400, `^ms="-1" is not`},
		{"GET /hold?s=1", 400, `^mib is missing`},
		{"GET /hold?mib=1", 400, `^s is missing`},
		{"GET /hold?mib=4097&s=1", 400, `^mib="4097" is not`},
		{"GET /hold?mib=1&s=601", 400, `^s="601" is not`},
		{"GET /slow?ms=5", 200, `^answered after 5ms\n`},
		{"GET /slow?ms=1e3", 400, `^ms="1e3" is not`},
		{"GET /slow?ms=120001", 400, `^ms="120001" is not`},
	} {
		method, url, _ := strings.Cut(tc.request, " ")
		w := httptest.NewRecorder()
		newApp(config{pod: "p", node: "n"}, time.Now()).ServeHTTP(w, httptest.NewRequest(method, url, nil))
		if w.Code != tc.status || !regexp.MustCompile(tc.body).MatchString(w.Body.String()) {
			t.Errorf("%s: %d %q, want %d %s", tc.request, w.Code, w.Body, tc.status, tc.body)
		}
	}
}

func TestJSON(t *testing.T) {
	for accept, want := range map[string]bool{
		"application/json":                       true,
		"text/html, application/json;q=0.9, */*": true,
		"application/json;q=0":                   false,
		"*/*":                                    false,
		"":                                       false,
	} {
		r := httptest.NewRequest("GET", "/slow?ms=x", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		newApp(config{pod: "p", node: "n"}, time.Now()).ServeHTTP(w, r)
		var got answer
		if err := json.Unmarshal(w.Body.Bytes(), &got); (err == nil) != want {
			t.Errorf("Accept %q: %s", accept, w.Body)
		}
		if want && (w.Code != 400 || got.Pod != "p" || got.Node != "n" || got.Version != "dev" || !strings.Contains(got.Message, `ms="x"`)) {
			t.Errorf("Accept %q: %d %+v", accept, w.Code, got)
		}
	}
}

func TestHealthWaitsForStartUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(config{startupDelay: 15 * time.Second}, time.Now())
		health := func() int {
			w := httptest.NewRecorder()
			a.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
			return w.Code
		}
		time.Sleep(15*time.Second - 1)
		if got := health(); got != 503 {
			t.Errorf("just before the delay is over: %d", got)
		}
		time.Sleep(time.Nanosecond)
		if got := health(); got != 200 {
			t.Errorf("after the delay: %d", got)
		}
	})
}

func TestHoldHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		w := httptest.NewRecorder()
		newApp(config{}, begin).ServeHTTP(w, httptest.NewRequest("GET", "/hold?mib=3&s=600", nil))
		if got := time.Since(begin); got != 600*time.Second || !strings.HasPrefix(w.Body.String(), "held 3 MiB for 10m0s\n") {
			t.Errorf("%s: %s", got, w.Body)
		}
	})
}

func TestLeavingClientEndsWork(t *testing.T) {
	for _, url := range []string{"/burn?ms=60000", "/slow?ms=120000", "/hold?mib=1&s=600"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := httptest.NewRecorder()
		newApp(config{}, time.Now()).ServeHTTP(w, httptest.NewRequest("GET", url, nil).WithContext(ctx))
	}
}

// pipeListener gives out in-memory connections, whose blocking synctest sees.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{Port: 80} }

func TestShutdown(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		err     string
		log     string
	}{
		"finishes what is in flight":   {timeout: 30 * time.Second, log: `"/slow\?ms=10000" 200 10s\n.*stopped\n$`},
		"gives up at its own deadline": {timeout: 3 * time.Second, err: "SHUTDOWN_TIMEOUT=3s", log: "stopping"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := &pipeListener{make(chan net.Conn), make(chan struct{})}
				ctx, stop := context.WithCancel(t.Context())
				var stdout bytes.Buffer
				served := make(chan error, 1)
				go func() { served <- serve(ctx, ln, config{shutdownTimeout: tc.timeout}, &stdout) }()

				client, server := net.Pipe()
				defer client.Close()
				ln.conns <- server
				if _, err := io.WriteString(client, "GET /slow?ms=10000 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the request is in flight
				stop()
				synctest.Wait()
				select {
				case <-ln.closed:
				default:
					t.Error("still listening after the order to stop")
				}

				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if tc.err == "" && (err != nil || resp.StatusCode != 200) {
					t.Errorf("the request in flight: %v, %v", resp, err)
				}
				err = <-served
				if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
					t.Errorf("serve: %v, want %q", err, tc.err)
				}
				synctest.Wait()
				if !regexp.MustCompile(tc.log).MatchString(stdout.String()) {
					t.Errorf("log:\n%s", &stdout)
				}
			})
		})
	}
}

func TestLogsOneLineForEachRequest(t *testing.T) {
	var out bytes.Buffer
	h := logged(log.New(&out, "", 0), newApp(config{}, time.Now()))
	r := httptest.NewRequest("GET", "/burn?ms=%0a", nil)
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got := out.String(); !regexp.MustCompile(`^192\.0\.2\.1:1234 GET "/burn\?ms=%0a" 400 .*s\n$`).MatchString(got) {
		t.Errorf("log: %q", got)
	}
}
