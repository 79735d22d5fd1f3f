package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/http1"
)

// alb is an Application Load Balancer with a listener for HTTP on port 80 and a target group "a" of those
// addresses with ports, checked by TCP.
func alb(targets ...string) Balancer {
	b := Balancer{
		ID: "lb", Name: "app/my-loadbalancer/50dc6c495c0c9188", CrossZone: true, Application: true,
		Listeners:   []Listener{{Port: 80, Protocol: HTTP, Group: "a", BackendProtocol: HTTP}},
		Groups:      map[string]Group{"a": {HealthCheck: traffic(TCP)}},
		IdleTimeout: 10 * time.Second,
	}
	for i, a := range targets {
		b.Backends = append(b.Backends, in("a", fmt.Sprintf("i-%d", i+1), a))
	}
	return b
}

// in is a backend of a group.
func in(group, id, address string) Backend {
	to := netip.MustParseAddrPort(address)
	return Backend{ID: id, Address: to.Addr(), Group: group, Port: int(to.Port())}
}

// traffic is a health check of each backend's own port.
func traffic(p Protocol) HealthCheck {
	return HealthCheck{Protocol: p, Interval: 50 * time.Millisecond, Timeout: 5 * time.Second, Healthy: 2, Unhealthy: 2}
}

// spread is how many of n requests go to each backend, one after the other.
func (r *rig) spread(at string, n int) map[string]int {
	r.t.Helper()
	seen := map[string]int{}
	for range n {
		_, body := send(r.t, at, plainGet)
		seen[body]++
		// The client may have its response before that is noted.
		r.until("it is over", func() bool { s, _ := r.Stats("lb"); return s.ActiveConnections == 0 })
	}
	return seen
}

// health is that of a backend, by its group and port.
func (r *rig) health(id, group string, port int) (h BackendHealth) {
	r.t.Helper()
	for _, h := range r.Health("lb") {
		if h.ID == id && h.Group == group && h.Port == port {
			return h
		}
	}
	r.t.Fatalf("no %s:%d in %q: %+v", id, port, group, r.Health("lb"))
	return h
}

// Listeners send to the backends of their groups, each at its own port or the listener's, and the backends
// in none are as ever.
func TestGroups(t *testing.T) {
	r := newRig(t)
	for _, a := range []string{"10.0.0.1:8080", "10.0.0.1:31000", "10.0.0.1:31001", "10.0.0.2:31000", "10.0.0.2:9000"} {
		r.backend(a, nil)
	}
	b := web("10.0.0.1")
	b.AccessLog = true
	b.Groups = map[string]Group{"a": {HealthCheck: traffic(TCP), RoundRobin: true}, "b": {HealthCheck: traffic(HTTP)}, "empty": {HealthCheck: traffic(TCP)}}
	other := b.Groups["b"]
	other.HealthCheck.Port = 9000
	b.Groups["b"] = other
	b.Backends = append(b.Backends,
		in("a", "i-1", "10.0.0.1:31000"), in("a", "i-1", "10.0.0.1:31001"), in("a", "i-2", "10.0.0.2:31000"),
		Backend{ID: "i-2", Address: netip.MustParseAddr("10.0.0.2"), Group: "b"})
	b.Listeners = append(b.Listeners,
		Listener{Port: 81, Protocol: HTTP, Group: "a", BackendProtocol: HTTP},
		Listener{Port: 82, Protocol: HTTP, Group: "b", BackendPort: 9000, BackendProtocol: HTTP},
		Listener{Port: 83, Protocol: HTTP, Group: "empty", BackendProtocol: HTTP},
		Listener{Port: 84, Protocol: TCP, Group: "a", BackendProtocol: TCP})
	r.apply(b)
	r.healthy("lb", 5)
	a := map[string]int{"10.0.0.1:31000": 2, "10.0.0.1:31001": 2, "10.0.0.2:31000": 2}
	for port, want := range map[int]map[string]int{
		80: {"10.0.0.1:8080": 6},
		81: a,
		82: {"10.0.0.2:9000": 6},
		83: {"": 6},
		84: a,
	} {
		lines := len(r.logged())
		if diff := cmp.Diff(want, r.spread(r.at("lb", "", port), 6)); diff != "" {
			t.Errorf("port %d (-want +got):\n%s", port, diff)
		}
		r.until("the access log", func() bool { return len(r.logged()) == lines+6 })
		logged := map[string]int{}
		for _, line := range r.logged()[lines:] {
			logged[strings.TrimPrefix(strings.Fields(line)[3], "-")]++
		}
		if diff := cmp.Diff(want, logged); diff != "" {
			t.Errorf("logged of port %d (-want +got):\n%s", port, diff)
		}
	}
	// A listener goes over to another group under its connections, and its socket stays.
	c := dial(t, r.at("lb", "", 81))
	ask := func(want string) {
		t.Helper()
		fmt.Fprint(c, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
		if got := line(t, c); got != want+"\r" {
			t.Errorf("%q, want %s", got, want)
		}
		for line(t, c) != "\r" {
		}
	}
	ask("HTTP/1.1 200 OK")
	b.Listeners[1].Group = "empty"
	r.apply(b)
	ask("HTTP/1.1 503 Service Unavailable: Back-end server is at capacity")
	b.Listeners[1].Group = "a"
	r.apply(b)
	ask("HTTP/1.1 200 OK")
	if n := r.opened["lb//81"]; n != 1 {
		t.Errorf("the socket was opened %d times", n)
	}
	// Another port is another backend.
	b.Backends[4].Port = 31000
	r.apply(b)
	r.until("the former one has left", func() bool {
		h := r.Health("lb")
		return len(h) == 5 && h[4].Port == 31000
	})
}

func TestGroupStats(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:31000", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var status int
		fmt.Sscanf(q.URL.Path, "/%d", &status)
		w.WriteHeader(status)
	}))
	r.echo("10.0.0.3:31000")
	b := alb("10.0.0.1:31000", "10.0.0.2:31000")
	b.Zones = []string{"z1", "z2", "z3"}
	b.Backends = append(b.Backends, in("b", "i-3", "10.0.0.3:31000"))
	for i := range b.Backends {
		b.Backends[i].Zone = b.Zones[i]
	}
	b.Groups["b"] = Group{HealthCheck: traffic(TCP)}
	b.Listeners = append(b.Listeners, Listener{Port: 81, Protocol: TCP, Group: "b", BackendProtocol: TCP})
	r.apply(b)
	r.healthy("lb", 2)
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" }
	for _, status := range []int{200, 302, 404, 404, 500} {
		send(t, r.at("lb", "z1", 80), get(fmt.Sprintf("/%d", status)))
	}
	send(t, r.at("lb", "z1", 80), "GET\r\n\r\n") // no backend has it
	c := dial(t, r.at("lb", "z2", 81))
	line(t, c)
	c.CloseWrite()
	ended(t, c)
	r.until("it is over", func() bool { s, _ := r.Stats("lb"); return s.ActiveConnections == 0 })
	all, _ := r.Stats("lb")
	web, ok := r.GroupStats("lb", "a")
	bytes, ok2 := r.GroupStats("lb", "b")
	if !ok || !ok2 {
		t.Fatal("no counters")
	}
	if all.RequestCount != 6 || all.HTTPCodeELB4XX != 1 || all.ProcessedBytes <= web.ProcessedBytes+bytes.ProcessedBytes {
		t.Errorf("all: %+v", all)
	}
	if web.Latency.Count != 5 || web.ProcessedBytes == 0 || bytes.Latency.Count != 1 {
		t.Errorf("latencies of %d and %d, %d bytes", web.Latency.Count, bytes.Latency.Count, web.ProcessedBytes)
	}
	web.Latency, bytes.Latency, web.ProcessedBytes = Histogram{}, Histogram{}, 0
	want := Stats{
		RequestCount: 5, HTTPCodeBackend2XX: 1, HTTPCodeBackend3XX: 1, HTTPCodeBackend4XX: 2, HTTPCodeBackend5XX: 1,
		HealthyHostCount: map[string]int{"z1": 1, "z2": 0, "z3": 0}, UnHealthyHostCount: map[string]int{"z1": 0, "z2": 1, "z3": 0},
	}
	if diff := cmp.Diff(want, web); diff != "" {
		t.Errorf("of HTTP (-want +got):\n%s", diff)
	}
	want = Stats{
		RequestCount: 1, ProcessedBytes: uint64(len("10.0.0.3:31000\n")),
		HealthyHostCount: map[string]int{"z1": 0, "z2": 0, "z3": 1}, UnHealthyHostCount: map[string]int{"z1": 0, "z2": 0, "z3": 0},
	}
	if diff := cmp.Diff(want, bytes); diff != "" {
		t.Errorf("of TCP (-want +got):\n%s", diff)
	}
	// Counters go with their group.
	b.Listeners, b.Backends = b.Listeners[:1], b.Backends[:2]
	b.Groups = map[string]Group{"a": b.Groups["a"]}
	r.apply(b)
	for _, tc := range []struct {
		id, group string
		ok        bool
	}{{"lb", "a", true}, {"lb", "b", false}, {"lb", "", false}, {"none", "a", false}} {
		if s, ok := r.GroupStats(tc.id, tc.group); ok != tc.ok || ok != (s.RequestCount == 5) {
			t.Errorf("%s of %s: %v, %+v", tc.group, tc.id, ok, s)
		}
	}
}

// Requests go by turn, also to those that are busy, and whoever is out of service is not made up for by
// the next alone.
func TestRequestsByTurn(t *testing.T) {
	p := New(Config{})
	spec := alb("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1")
	spec.Groups["a"] = Group{HealthCheck: traffic(TCP), RoundRobin: true}
	b := newBalancer(p, &spec)
	var all []*backend
	for _, s := range spec.Backends {
		all = append(all, newBackend(b, s))
	}
	n := &node{s: newService(b, &spec.Listeners[0])}
	ts := n.reach(&spec, &spec.Listeners[0], all, map[*backend]map[poolKey]bool{all[0]: {}, all[1]: {}, all[2]: {}, all[3]: {}})
	for _, tc := range []struct {
		name    string
		healthy string // + and -
		busy    int    // how much the first does
		limit   int
		tried   int // those before are
		want    string
		full    bool
	}{
		{"all", "++++", 0, 0, 0, "123412341234", false},
		{"one is busy", "++++", 5, 0, 0, "123412341234", false},
		{"some are out of service", "+--+", 0, 0, 0, "141414141414", false},
		{"the last alone", "---+", 0, 0, 0, "444444444444", false},
		{"some were tried", "++++", 0, 0, 2, "343434343434", false},
		{"one has enough", "+++-", 5, 5, 0, "223223223223", false},
		{"it alone", "+---", 5, 5, 0, "", true},
		{"none is healthy", "----", 0, 0, 0, "123412341234", false},
		{"none is healthy, and some were tried", "----", 0, 0, 3, "444444444444", false},
		{"the healthy ones were tried", "++--", 0, 0, 2, "", false},
		{"all were tried", "++++", 0, 0, 4, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for i, k := range all {
				k.healthy.Store(tc.healthy[i] == '+')
			}
			all[0].active.Store(int64(tc.busy))
			var tried []*http1.Pool
			for _, tg := range ts.all[:tc.tried] {
				tried = append(tried, tg.pool)
			}
			var got strings.Builder
			for turn := range uint32(12) {
				tg, full := ts.choose(turn, tried, tc.limit)
				if tg == nil {
					if full != tc.full {
						t.Errorf("full: %v", full)
					}
					continue
				}
				tg.end()
				got.WriteString(strings.TrimPrefix(tg.spec.ID, "i-"))
			}
			if got.String() != tc.want {
				t.Errorf("went to %s, want %s", got.String(), tc.want)
			}
		})
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What a group says of leaving backends and new ones holds for its own only.
func TestGroupSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{})
		spec := alb("10.0.0.1:1", "10.0.0.2:1")
		spec.Application = false
		spec.Drain = time.Hour
		spec.Groups["a"] = Group{HealthCheck: traffic(TCP), Drain: 10 * time.Second, SlowStart: 100 * time.Second}
		spec.Groups["b"] = Group{HealthCheck: traffic(TCP)}
		spec.Backends = append(spec.Backends, in("b", "i-1", "10.0.0.1:1"), in("b", "i-2", "10.0.0.2:1"))
		b := newBalancer(p, &spec)
		for _, s := range spec.Backends {
			b.backends = append(b.backends, newBackend(b, s))
		}
		for _, k := range b.backends {
			k.turn(true, &spec)
		}
		time.Sleep(50 * time.Second)
		skips := func(k *backend) (percent int) {
			for range 4000 {
				if k.starting() {
					percent++
				}
			}
			return percent / 40
		}
		if a, b := skips(b.backends[0]), skips(b.backends[2]); a < 45 || a > 55 || b != 0 {
			t.Errorf("after half of the time, %d %% of turns are skipped, and %d %% without slow start", a, b)
		}
		// A group that goes leaves its settings to those that drain.
		for _, k := range b.backends {
			k.begin(0)
		}
		after := spec
		after.Groups, after.Listeners, after.Backends = map[string]Group{"b": spec.Groups["b"]}, nil, nil
		b.apply(t.Context(), &after)
		for _, tc := range []struct {
			pause time.Duration
			want  string
		}{
			{9 * time.Second, "a a"},
			{2 * time.Second, ""},
		} {
			time.Sleep(tc.pause)
			synctest.Wait()
			var draining []string
			for _, h := range b.health() {
				if h.Draining {
					draining = append(draining, h.Group)
				}
			}
			if got := strings.Join(draining, " "); got != tc.want {
				t.Errorf("%q drain, want %q", got, tc.want)
			}
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A group's health check is made of its backends alone, and anew when it changes.
func TestGroupChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		checked := map[string]int{}
		p := New(Config{
			Listen: func(context.Context, *Balancer, string, int) (net.Listener, error) { return nil, nil },
			Dial: func(_ context.Context, _ *Balancer, _ string, to netip.AddrPort) (net.Conn, error) {
				mu.Lock()
				checked[to.String()]++
				mu.Unlock()
				c, other := net.Pipe()
				other.Close()
				return c, nil
			},
		})
		slow := traffic(TCP)
		slow.Interval = time.Hour
		b := alb("10.0.0.1:31000", "10.0.0.1:31001")
		b.Groups = map[string]Group{"a": {HealthCheck: slow}, "b": {HealthCheck: slow}}
		b.Backends = append(b.Backends, in("b", "i-1", "10.0.0.1:32000"))
		want := func(want map[string]int) {
			t.Helper()
			if err := p.Apply(t.Context(), []Balancer{b}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if diff := cmp.Diff(want, checked); diff != "" {
				t.Errorf("checks (-want +got):\n%s", diff)
			}
			clear(checked)
		}
		want(map[string]int{"10.0.0.1:31000": 1, "10.0.0.1:31001": 1, "10.0.0.1:32000": 1})
		want(map[string]int{})
		slow.Unhealthy = 7
		b.Groups = map[string]Group{"a": b.Groups["a"], "b": {HealthCheck: slow}}
		want(map[string]int{"10.0.0.1:32000": 1})
		slow.Port = 9
		b.Groups = map[string]Group{"a": {HealthCheck: slow}, "b": b.Groups["b"]}
		want(map[string]int{"10.0.0.1:9": 2})
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestStatusSets(t *testing.T) {
	for _, tc := range []struct {
		add  [][2]int
		has  []int
		not  []int
		zero bool
	}{
		{nil, nil, []int{0, 100, 200, 599}, true},
		{[][2]int{{200, 200}}, []int{200}, []int{199, 201}, false},
		{[][2]int{{200, 299}, {404, 404}}, []int{200, 255, 256, 299, 404}, []int{199, 300, 403, 405}, false},
		{[][2]int{{0, 99}, {600, 1000}, {300, 200}}, nil, []int{-1, 0, 99, 200, 250, 300, 600, 611, 612, 1000}, true},
		{[][2]int{{-1, 1 << 40}}, []int{100, 163, 164, 599}, []int{-1, 0, 99, 600, 611, 612, 1 << 40}, false},
	} {
		var s Statuses
		for _, a := range tc.add {
			s.Add(a[0], a[1])
		}
		for _, status := range tc.has {
			if !s.Has(status) {
				t.Errorf("%v has no %d", tc.add, status)
			}
		}
		for _, status := range tc.not {
			if s.Has(status) {
				t.Errorf("%v has %d", tc.add, status)
			}
		}
		if (s == Statuses{}) != tc.zero {
			t.Errorf("%v makes %v", tc.add, s)
		}
	}
}

// The cause of a backend's state is that of its last check that failed.
func TestCause(t *testing.T) {
	r := newRig(t)
	var status atomic.Int64
	status.Store(302)
	var agent atomic.Value
	r.backend("10.0.0.1:31000", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		agent.Store(q.UserAgent())
		if s := int(status.Load()); s > 0 {
			w.WriteHeader(s)
		} else {
			<-q.Context().Done()
		}
	}))
	b := alb("10.0.0.1:31000", "10.0.0.2:31000")
	h := traffic(HTTP)
	h.Statuses.Add(200, 299)
	h.Statuses.Add(418, 418)
	h.Timeout, h.Healthy = 100*time.Millisecond, 1
	b.Groups["a"] = Group{HealthCheck: h}
	r.apply(b)
	for _, tc := range []struct {
		status int
		want   string
		ok     func(error) bool
	}{
		{302, "status 302", func(err error) bool { var s StatusError; return errors.As(err, &s) && s == 302 }},
		{418, "", func(err error) bool { return err == nil }},
		{200, "", func(err error) bool { return err == nil }},
		{300, "status 300", func(err error) bool { return errors.Is(err, StatusError(300)) }},
		{204, "", func(err error) bool { return err == nil }},
		{-1, "deadline exceeded", func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	} {
		status.Store(int64(tc.status))
		r.until(fmt.Sprintf("status %d", tc.status), func() bool {
			h := r.health("i-1", "a", 31000)
			return tc.ok(h.Cause) && (h.Cause == nil) == (h.State == InService)
		})
		if err := r.health("i-1", "a", 31000).Cause; err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
	if got := agent.Load(); got != "ELB-HealthChecker/2.0" {
		t.Errorf("checked by %s", got)
	}
	if err := r.health("i-2", "a", 31000).Cause; err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("the other one: %v", err)
	}
	b.Backends = b.Backends[:0]
	r.apply(b)
	for _, h := range r.Health("lb") {
		if h.Cause != nil {
			t.Errorf("while it drains: %v", h.Cause)
		}
	}
}

// A connection that takes too long is a timeout, whichever clock was first.
func TestLateCause(t *testing.T) {
	b := web("10.0.0.1")
	b.HealthCheck.Timeout = time.Hour
	over := &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connect: %w", os.ErrDeadlineExceeded)}
	for _, err := range []error{over, context.DeadlineExceeded} {
		got := check(t.Context(), func(context.Context, *Balancer, string, netip.AddrPort) (net.Conn, error) { return nil, err },
			&b, &b.HealthCheck, &backend{spec: b.Backends[0]})
		if !errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("%v is no timeout", got)
		}
	}
}

func TestSpecErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Balancer)
		want   string // empty: none
	}{
		{"as it is", func(*Balancer) {}, ""},
		{"a group without backends", func(b *Balancer) { b.Backends = nil }, ""},
		{"a backend in none, without a health check", func(b *Balancer) {
			b.Backends = append(b.Backends, Backend{ID: "i-3", Address: netip.MustParseAddr("10.0.0.3")})
		}, "health check :0 every 0s within 0s: protocol, port, interval and timeout are needed"},
		{"neither groups nor a health check", func(b *Balancer) { b.Application, b.Groups, b.Backends, b.Listeners = false, nil, nil, nil }, "health check :0 every 0s within 0s: protocol, port, interval and timeout are needed"},
		{"a balancer's health check without a port", func(b *Balancer) {
			b.HealthCheck = traffic(TCP)
			b.Backends = append(b.Backends, Backend{ID: "i-3", Address: netip.MustParseAddr("10.0.0.3"), Port: 1})
		}, "health check TCP:0 every 50ms within 5s: protocol, port, interval and timeout are needed"},
		{"a group's health check", func(b *Balancer) { b.Groups["b"] = Group{HealthCheck: HealthCheck{Protocol: HTTP, Interval: 1}} },
			"target group b: health check HTTP:0 every 1ns within 0s: protocol, port, interval and timeout are needed"},
		{"a group's health check's port", func(b *Balancer) {
			h := traffic(TCP)
			h.Port = 65536
			b.Groups["b"] = Group{HealthCheck: h}
		}, "target group b: health check TCP:65536 every 50ms within 5s: protocol, port, interval and timeout are needed"},
		{"a group without an id", func(b *Balancer) { b.Groups[""] = b.Groups["a"] }, "a target group has no id"},
		{"a listener of no group", func(b *Balancer) { b.Listeners[0].Group = "b" }, `listener 80: there is no target group "b"`},
		{"a listener without a port for backends", func(b *Balancer) { b.Listeners[0].Group = "" }, "listener 80 to 0: ports are from 1 to 65535"},
		{"a listener with a bad port for backends", func(b *Balancer) { b.Listeners[0].BackendPort = -1 }, "listener 80 to -1: ports are from 1 to 65535"},
		{"a backend of no group", func(b *Balancer) { b.Backends[0].Group = "b" }, `backend i-1:1 in target group b: there is no target group "b"`},
		{"a backend without a port to check", func(b *Balancer) { b.Backends[0].Port, b.Listeners[0].BackendPort = 0, 80 },
			"backend i-1 in target group a: it needs a port, as the health check of its target group has none"},
		{"a backend without a port to send to", func(b *Balancer) {
			b.Backends[0].Port = 0
			h := traffic(TCP)
			h.Port = 80
			b.Groups["a"] = Group{HealthCheck: h}
		}, "backend i-1 in target group a: it needs a port, as listener 80 has none for backends"},
		{"a backend that needs no port", func(b *Balancer) {
			b.Backends[0].Port, b.Listeners[0].BackendPort = 0, 80
			h := traffic(TCP)
			h.Port = 80
			b.Groups["a"] = Group{HealthCheck: h}
		}, ""},
		{"a backend's port", func(b *Balancer) { b.Backends[0].Port = 65536 }, "backend i-1:65536 in target group a: port 65536: ports are from 1 to 65535"},
		{"a backend twice", func(b *Balancer) { b.Backends[1] = b.Backends[0] }, "backend i-1:1 in target group a: there are two"},
		{"a backend on two ports", func(b *Balancer) { b.Backends[1] = in("a", "i-1", "10.0.0.1:2") }, ""},
		{"an application load balancer without listeners", func(b *Balancer) { b.Listeners, b.Backends, b.Groups = nil, nil, nil }, ""},
		{"a backend in two groups", func(b *Balancer) {
			b.Groups["b"] = b.Groups["a"]
			b.Backends[1] = in("b", "i-1", "10.0.0.1:1")
		}, ""},
		{"a backend in a group and in none", func(b *Balancer) {
			b.HealthCheck = web().HealthCheck
			b.Backends[1] = Backend{ID: "i-1", Address: b.Backends[0].Address}
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := alb("10.0.0.1:1", "10.0.0.2:1")
			tc.change(&b)
			got := ""
			if err := b.check(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
