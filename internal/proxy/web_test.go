package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// send sends a request as it is and returns the response's status and body.
func send(t testing.TB, at, request string) (int, string) {
	t.Helper()
	c := dial(t, at)
	defer c.Close()
	fmt.Fprint(c, request)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	return res.StatusCode, string(body)
}

const plainGet = "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n"

func TestForwarded(t *testing.T) {
	cert := certificate(t, "lb.test")
	for _, tc := range []struct{ front, back Protocol }{{HTTP, HTTP}, {HTTPS, HTTP}, {HTTP, HTTPS}, {HTTPS, HTTPS}} {
		t.Run(fmt.Sprintf("%s to %s", tc.front, tc.back), func(t *testing.T) {
			r := newRig(t)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s %s %s|%s|%s|%s", r.Method, r.Host, r.URL,
					strings.Join(r.Header["X-Forwarded-For"], "+"), strings.Join(r.Header["X-Forwarded-Proto"], "+"), strings.Join(r.Header["X-Forwarded-Port"], "+"))
			})
			if tc.back == HTTPS {
				s := httptest.NewUnstartedServer(h)
				s.Config.ErrorLog = silent // of checks that say nothing
				s.StartTLS()
				t.Cleanup(s.Close)
				r.serve("10.0.0.1:8080", s.Listener.Addr().String())
			} else {
				r.backend("10.0.0.1:8080", h)
			}
			b := web("10.0.0.1")
			b.Listeners = []Listener{{Port: 8443, Protocol: tc.front, BackendPort: 8080, BackendProtocol: tc.back, Certificate: cert}}
			r.apply(b)
			r.healthy("lb", 1)
			var c net.Conn = dial(t, r.at("lb", "", 8443))
			scheme := "http"
			if tc.front == HTTPS {
				scheme = "https"
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
			}
			defer c.Close()
			read := bufio.NewReader(c)
			for _, req := range []struct{ fields, want string }{
				{"", "GET www.example.com /a?b=c|127.0.0.1|" + scheme + "|8443"},
				{"X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2, 192.0.2.3\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 70\r\n",
					"GET www.example.com /a?b=c|192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1|" + scheme + "|8443"},
			} {
				fmt.Fprintf(c, "GET /a?b=c HTTP/1.1\r\nHost: www.example.com\r\n%s\r\n", req.fields)
				res, err := http.ReadResponse(read, nil)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || string(body) != req.want {
					t.Errorf("got %s, %v; want %s", body, err, req.want)
				}
			}
			if s, ok := c.(*tls.Conn); ok && (s.ConnectionState().NegotiatedProtocol != "" || s.ConnectionState().Version != tls.VersionTLS12) {
				t.Errorf("negotiated %q in %x", s.ConnectionState().NegotiatedProtocol, s.ConnectionState().Version)
			}
		})
	}
}

// TestStatuses has what a Classic Load Balancer answers, counts and logs.
func TestStatuses(t *testing.T) {
	r := newRig(t)
	hung := make(chan struct{})
	r.backend("10.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-hung
		case "/close":
			panic(http.ErrAbortHandler)
		case "/garbled":
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprint(c, "what?\r\n\r\n")
				c.Close()
			}
		default:
			var status int
			fmt.Sscanf(r.URL.Path, "/%d", &status)
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(func() { close(hung) }) // before the server's end, which waits for it
	b := web("10.0.0.1")
	b.AccessLog, b.IdleTimeout, b.HealthCheck.Interval = true, 300*time.Millisecond, time.Hour
	none := web()
	none.ID, none.AccessLog = "none", true
	dead := web("10.0.0.2")
	dead.ID, dead.AccessLog, dead.HealthCheck = "dead", true, HealthCheck{Protocol: TCP, Port: 9, Interval: time.Hour, Timeout: time.Second, Healthy: 2, Unhealthy: 2}
	r.tcp("10.0.0.2:9", func(*net.TCPConn) {})
	limited := web("10.0.0.1")
	limited.ID, limited.AccessLog, limited.Limits.RequestRate = "limited", true, 1e-6
	strict := web("10.0.0.1")
	strict.ID, strict.AccessLog, strict.DesyncMitigation = "strict", true, Strictest
	r.apply(b, none, dead, limited, strict)
	for _, id := range []string{"lb", "dead", "limited", "strict"} {
		r.healthy(id, 1)
	}
	if status, _ := send(t, r.at("limited", "", 80), "GET /200 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); status != 200 {
		t.Fatalf("the first request of the rate has %d", status)
	}
	r.until("its line", func() bool { return len(r.logged()) == 1 })
	for _, tc := range []struct {
		name, id, request string
		want              int
		log               string // statuses and request
		stats             Stats  // what it adds
	}{
		{"2xx", "lb", "GET /201 HTTP/1.1\r\nHost: a\r\n\r\n", 201, `201 201 0 0 "GET http://a:80/201 HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeBackend2XX: 1}},
		{"3xx", "lb", "GET /302 HTTP/1.1\r\nHost: a:80\r\n\r\n", 302, `302 302 0 0 "GET http://a:80/302 HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeBackend3XX: 1}},
		{"4xx", "lb", "GET /404 HTTP/1.1\r\nHost: a\r\n\r\n", 404, `404 404 0 0 "GET http://a:80/404 HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeBackend4XX: 1}},
		{"5xx", "lb", "POST /500 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 500, `500 500 3 0 "POST http://a:80/500 HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeBackend5XX: 1}},
		{"malformed", "lb", "GET\r\n\r\n", 400, `400 - 0 0 "- - - "`, Stats{HTTPCodeELB4XX: 1, DesyncNonCompliant: 1}},
		{"smuggling", "lb", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, `400 - 0 0 "- - - "`, Stats{HTTPCodeELB4XX: 1, DesyncNonCompliant: 1}},
		{"no method", "lb", strings.Repeat("X", 128) + " / HTTP/1.1\r\nHost: a\r\n\r\n", 405, `405 - 0 0 "- - - "`, Stats{HTTPCodeELB4XX: 1, DesyncNonCompliant: 1}},
		{"half a request", "lb", "GET / HTTP/1.1\r\nHost: a\r\n", 408, `408 - 0 0 "- - - "`, Stats{HTTPCodeELB4XX: 1}},
		{"half a body", "lb", "POST /200 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", 408, `408 - 3 0 "POST http://a:80/200 HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeELB4XX: 1}},
		{"garbled", "lb", "GET /garbled HTTP/1.1\r\nHost: a\r\n\r\n", 502, `502 - 0 0 "GET http://a:80/garbled HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeELB5XX: 1}},
		{"closed", "lb", "GET /close HTTP/1.1\r\nHost: a\r\n\r\n", 504, `504 - 0 0 "GET http://a:80/close HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeELB5XX: 1}},
		{"slow", "lb", "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n", 504, `504 - 0 0 "GET http://a:80/slow HTTP/1.1"`, Stats{RequestCount: 1, HTTPCodeELB5XX: 1}},
		{"no backend", "none", plainGet, 503, `503 - 0 0 "GET http://www.example.com:80/ HTTP/1.1"`, Stats{HTTPCodeELB5XX: 1}},
		{"no connection", "dead", plainGet, 503, `503 - 0 0 "GET http://www.example.com:80/ HTTP/1.1"`, Stats{HTTPCodeELB5XX: 1, BackendConnectionErrs: 1}},
		{"too many", "limited", plainGet, 429, `429 - 0 0 "GET http://www.example.com:80/ HTTP/1.1"`, Stats{HTTPCodeELB4XX: 1}},
		{"strictest", "strict", "GET /200 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 400, `400 - 0 0 "GET http://a:80/200 HTTP/1.1"`, Stats{HTTPCodeELB4XX: 1, DesyncNonCompliant: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, _ := r.Stats(tc.id)
			lines := len(r.logged())
			if status, _ := send(t, r.at(tc.id, "", 80), tc.request); status != tc.want {
				t.Errorf("status %d, want %d", status, tc.want)
			}
			r.until("the access log", func() bool { return len(r.logged()) > lines })
			line := strings.Fields(r.logged()[lines])
			if got := strings.Join(line[7:], " "); !strings.HasPrefix(got, tc.log) {
				t.Errorf("logged %s, want %s", got, tc.log)
			}
			backend, times := "10.0.0.1:8080", strings.Join(line[4:7], " ")
			if tc.stats.RequestCount == 0 {
				backend = "-"
				if times != "-1 -1 -1" {
					t.Errorf("times %s", times)
				}
			}
			if line[3] != backend {
				t.Errorf("backend %s, want %s", line[3], backend)
			}
			after, _ := r.Stats(tc.id)
			got := Stats{
				RequestCount:   after.RequestCount - before.RequestCount,
				HTTPCodeELB4XX: after.HTTPCodeELB4XX - before.HTTPCodeELB4XX, HTTPCodeELB5XX: after.HTTPCodeELB5XX - before.HTTPCodeELB5XX,
				HTTPCodeBackend2XX: after.HTTPCodeBackend2XX - before.HTTPCodeBackend2XX, HTTPCodeBackend3XX: after.HTTPCodeBackend3XX - before.HTTPCodeBackend3XX,
				HTTPCodeBackend4XX: after.HTTPCodeBackend4XX - before.HTTPCodeBackend4XX, HTTPCodeBackend5XX: after.HTTPCodeBackend5XX - before.HTTPCodeBackend5XX,
				BackendConnectionErrs: after.BackendConnectionErrs - before.BackendConnectionErrs, DesyncNonCompliant: after.DesyncNonCompliant - before.DesyncNonCompliant,
				SpilloverCount: after.SpilloverCount - before.SpilloverCount,
			}
			if diff := cmp.Diff(tc.stats, got); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
		})
	}
}

// The request goes to the backend with the fewest under way.
func TestLeastOutstanding(t *testing.T) {
	r := newRig(t)
	held, release := make(chan string, 10), make(chan struct{})
	for _, a := range []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"} {
		r.backend(a, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hold" {
				held <- a
				<-release
			}
			fmt.Fprint(w, a)
		}))
	}
	r.apply(web("10.0.0.1", "10.0.0.2", "10.0.0.3"))
	r.healthy("lb", 3)
	busy := map[string]bool{}
	for range 2 { // two of them are busy, for a while
		c := dial(t, r.at("lb", "", 80))
		fmt.Fprint(c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
		busy[<-held] = true
	}
	if len(busy) != 2 {
		t.Fatalf("two requests went to %v", busy)
	}
	for i := range 10 {
		if _, body := send(t, r.at("lb", "", 80), plainGet); busy[body] {
			t.Errorf("a request went to %s, which is busy", body)
		}
		// The client may have its response before that is noted.
		r.until("it is over", func() bool { s, _ := r.Stats("lb"); return s.RequestCount == uint64(i+1) })
	}
	close(release)
	seen := map[string]int{}
	r.until("all are idle", func() bool { // and then each has its turn
		_, body := send(t, r.at("lb", "", 80), plainGet)
		seen[body]++
		return len(seen) == 3
	})
}

func TestZones(t *testing.T) {
	r := newRig(t)
	b := web("10.0.0.1", "10.0.0.2")
	for i, zone := range []string{"a", "b"} {
		r.backend(fmt.Sprintf("10.0.0.%d:8080", i+1), nil)
		b.Backends[i].Zone = zone
	}
	b.Zones, b.CrossZone = []string{"a", "b"}, false
	r.apply(b)
	r.healthy("lb", 2)
	ask := func(zone string, n int) map[string]int {
		seen := map[string]int{}
		for range n {
			_, body := send(t, r.at("lb", zone, 80), plainGet)
			seen[body]++
			// The client may have its response before that is noted.
			r.until("it is over", func() bool { s, _ := r.Stats("lb"); return s.ActiveConnections == 0 })
		}
		return seen
	}
	for _, tc := range []struct {
		zone string
		want map[string]int
	}{
		{"a", map[string]int{"10.0.0.1:8080": 4}},
		{"b", map[string]int{"10.0.0.2:8080": 4}},
		{"", map[string]int{"10.0.0.1:8080": 2, "10.0.0.2:8080": 2}}, // nodes take turns
	} {
		if diff := cmp.Diff(tc.want, ask(tc.zone, 4)); diff != "" {
			t.Errorf("zone %q (-want +got):\n%s", tc.zone, diff)
		}
	}
	r.mu.Lock()
	for _, d := range r.dialed {
		if d != "a>10.0.0.1:8080" && d != "b>10.0.0.2:8080" {
			t.Errorf("dialed %s", d)
		}
	}
	r.mu.Unlock()
	b.CrossZone = true
	r.apply(b)
	if seen := ask("a", 4); len(seen) != 2 {
		t.Errorf("across zones, zone a went to %v", seen)
	}
	// A zone without healthy backends is not in the balancer's name; who comes there is told.
	b.CrossZone = false
	r.apply(b)
	r.serve("10.0.0.1:8080", "")
	r.healthy("lb", 1)
	if status, _ := send(t, r.at("lb", "a", 80), plainGet); status != 503 {
		t.Errorf("status %d in a zone without backends, want 503", status)
	}
	if diff := cmp.Diff(map[string]int{"10.0.0.2:8080": 4}, ask("", 4)); diff != "" {
		t.Errorf("the host's clients (-want +got):\n%s", diff)
	}
	if s, _ := r.Stats("lb"); !cmp.Equal(s.HealthyHostCount, map[string]int{"a": 0, "b": 1}) || !cmp.Equal(s.UnHealthyHostCount, map[string]int{"a": 1, "b": 0}) {
		t.Errorf("hosts %v and %v", s.HealthyHostCount, s.UnHealthyHostCount)
	}
}

func TestSurgeQueue(t *testing.T) {
	r := newRig(t)
	var active, most atomic.Int64
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	r.backend("10.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n := active.Add(1); n > most.Load() {
			most.Store(n)
		}
		arrived <- struct{}{}
		<-release
		active.Add(-1)
	}))
	b := web("10.0.0.1")
	b.Limits = Limits{BackendConnections: 1, SurgeQueue: 2}
	r.apply(b)
	r.healthy("lb", 1)
	done := make(chan int, 10)
	ask := func() {
		c := dial(t, r.at("lb", "", 80))
		fmt.Fprint(c, plainGet)
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				done <- 0
				return
			}
			done <- res.StatusCode
		}()
	}
	ask()
	<-arrived
	for i := range 2 {
		ask()
		r.until("it waits", func() bool { s, _ := r.Stats("lb"); return s.SurgeQueueLength == i+1 })
	}
	ask()
	if status := <-done; status != 503 {
		t.Errorf("the one too many has %d, want 503", status)
	}
	if s, _ := r.Stats("lb"); s.SpilloverCount != 1 || s.SurgeQueueLength != 2 {
		t.Errorf("spillover %d, queue %d; want 1 and 2", s.SpilloverCount, s.SurgeQueueLength)
	}
	close(release)
	for range 3 {
		if status := <-done; status != 200 {
			t.Errorf("one that waited has %d", status)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d at once, want 1", most.Load())
	}
	if s, _ := r.Stats("lb"); s.SurgeQueueLength != 0 {
		t.Errorf("%d wait in the end", s.SurgeQueueLength)
	}
}

func TestConnectionLimit(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:8080", nil)
	b := web("10.0.0.1")
	b.Limits.Connections = 1
	r.apply(b)
	r.healthy("lb", 1)
	first := dial(t, r.at("lb", "", 80))
	r.until("the first is in", func() bool { s, _ := r.Stats("lb"); return s.ActiveConnections == 1 })
	if status, _ := send(t, r.at("lb", "", 80), ""); status != 503 {
		t.Errorf("the second has %d, want 503", status)
	}
	first.Close()
	r.until("the first is out", func() bool { s, _ := r.Stats("lb"); return s.ActiveConnections == 0 })
	if status, _ := send(t, r.at("lb", "", 80), plainGet); status != 200 {
		t.Errorf("then %d, want 200", status)
	}
}

// Streaming reaches the client as it comes, and an upgraded connection is a tunnel.
func TestStreamsAndUpgrades(t *testing.T) {
	r := newRig(t)
	next := make(chan struct{})
	r.backend("10.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_, _ = io.Copy(c, rw)
			return
		}
		for i := range 3 {
			fmt.Fprintf(w, "event %d\n", i)
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	b := web("10.0.0.1")
	b.AccessLog = true
	r.apply(b)
	r.healthy("lb", 1)
	res, err := http.Get("http://" + r.at("lb", "", 80))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if got := line(t, res.Body); got != fmt.Sprintf("event %d", i) {
			t.Errorf("got %q", got)
		}
		next <- struct{}{}
	}
	res.Body.Close()
	c := dial(t, r.at("lb", "", 80))
	fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n")
	read := bufio.NewReader(c)
	if res, err = http.ReadResponse(read, nil); err != nil || res.StatusCode != 101 {
		t.Fatalf("%v, %v", res, err)
	}
	for range 3 {
		fmt.Fprint(c, "ping\n")
		if got, err := read.ReadString('\n'); got != "ping\n" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	c.Close()
	r.until("both are logged", func() bool { return len(r.logged()) == 2 })
}
