package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// load has clients ask a balancer until stop, which returns how many requests they made, and what failed
// of them. Half of the clients make a connection per request.
func (r *rig) load(clients int, scheme, at string) (stop func() (made int64, failed []error)) {
	var made atomic.Int64
	var mu sync.Mutex // guards failed
	var failed []error
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	for i := range clients {
		transport := &http.Transport{DisableKeepAlives: i%2 == 0, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		all.Go(func() {
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				err := post(client, scheme+"://"+at+"/")
				made.Add(1)
				if err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []error) {
		cancel()
		all.Wait()
		return made.Load(), failed
	}
}

// post asks such that neither the client nor the balancer tries again in silence.
func post(client *http.Client, url string) error {
	res, err := client.Post(url, "text/plain", strings.NewReader("hello"))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != 200 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// allWell expects that no request failed, and that there were some.
func allWell(t *testing.T, stop func() (int64, []error), least int64) {
	t.Helper()
	made, failed := stop()
	if len(failed) > 0 || made < least {
		t.Errorf("%d of %d requests failed: %v", len(failed), made, errors.Join(failed...))
	}
}

// after waits until the load has made so many more requests.
func (r *rig) after(id string, n uint64) {
	r.t.Helper()
	begin, _ := r.Stats(id)
	r.until(fmt.Sprintf("%d more requests", n), func() bool {
		s, _ := r.Stats(id)
		return s.RequestCount >= begin.RequestCount+n
	})
}

func TestCertificateChangesUnderLoad(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:8080", nil)
	certs := []*tls.Certificate{certificate(t, "zero.test"), certificate(t, "one.test")}
	b := web("10.0.0.1")
	listen := func(cert *tls.Certificate) []Listener {
		return []Listener{{Port: 443, Protocol: HTTPS, BackendPort: 8080, BackendProtocol: HTTP, Certificate: cert}}
	}
	b.Listeners = listen(certs[0])
	r.apply(b)
	r.healthy("lb", 1)
	at := r.at("lb", "", 443)
	old := tls.Client(dial(t, at), &tls.Config{InsecureSkipVerify: true})
	if err := old.Handshake(); err != nil {
		t.Fatal(err)
	}
	sessions := tls.NewLRUClientSessionCache(1)
	peer := func() (string, bool) {
		c := tls.Client(dial(t, at), &tls.Config{InsecureSkipVerify: true, ServerName: "lb.test", ClientSessionCache: sessions})
		defer c.Close()
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().PeerCertificates[0].DNSNames[0], c.ConnectionState().DidResume
	}
	stop := r.load(4, "https", at)
	for i := 1; i < 12; i++ {
		b.Listeners = listen(certs[i%2])
		r.apply(b)
		want := certs[i%2].Leaf.DNSNames[0]
		if name, resumed := peer(); name != want || resumed {
			t.Errorf("a new connection has %s, resumed %v; want %s", name, resumed, want)
		}
		if name, resumed := peer(); name != want || !resumed {
			t.Errorf("the next one has %s, resumed %v; want %s, and that", name, resumed, want)
		}
		r.after("lb", 20)
	}
	allWell(t, stop, 200)
	// A connection from before goes on.
	fmt.Fprint(old, plainGet)
	if res, err := http.ReadResponse(bufio.NewReader(old), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("%v, %v", res, err)
	}
	if n := r.opened["lb//443"]; n != 1 {
		t.Errorf("the socket was opened %d times", n)
	}
	if s, _ := r.Stats("lb"); s.HTTPCodeBackend2XX != s.RequestCount || s.HTTPCodeELB5XX+s.HTTPCodeELB4XX > 0 {
		t.Errorf("stats %+v", s)
	}
}

// Backends come and go, and everything else changes, while clients ask.
func TestApplyUnderLoad(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.backend(fmt.Sprintf("10.0.0.%d:8080", i+1), nil)
		r.serve(fmt.Sprintf("10.0.0.%d:8081", i+1), r.servers[fmt.Sprintf("10.0.0.%d:8080", i+1)])
	}
	all := web("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
	all.Drain = 5 * time.Second
	all.HealthCheck.Interval = 10 * time.Millisecond
	all.Zones = []string{"a"}
	for i := range all.Backends {
		all.Backends[i].Zone = "a"
	}
	r.apply(all)
	r.healthy("lb", 4)
	stop := r.load(4, "http", r.at("lb", "", 80))
	for i := range 40 {
		b := all
		// Two of the four are always there, so that there always is a healthy one.
		b.Backends = append([]Backend{all.Backends[0], all.Backends[1]}, all.Backends[2:2+i%3]...)
		b.IdleTimeout = time.Duration(5+i%2) * time.Second
		b.AccessLog = i%2 == 0
		b.SlowStart = time.Duration(i%2) * 50 * time.Millisecond
		b.Zones = []string{"a", "b"}[:1+i%2]
		b.Listeners = []Listener{all.Listeners[0], {Port: 8080 + i%3, Protocol: HTTP, BackendPort: 8081, BackendProtocol: HTTP}}
		if i%4 == 0 {
			b.Listeners[0].Sticky = &Sticky{}
		}
		r.apply(b)
		r.after("lb", 10)
	}
	allWell(t, stop, 300)
	if n := r.opened["lb//80"]; n != 1 {
		t.Errorf("the socket was opened %d times", n)
	}
	if s, _ := r.Stats("lb"); s.HTTPCodeELB5XX > 0 || s.BackendConnectionErrs > 0 {
		t.Errorf("stats %+v", s)
	}
}

// A dead backend leaves after the unhealthy threshold, and no more requests fail than were under way.
func TestDeadBackend(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:8080", nil)
	s := r.backend("10.0.0.2:8080", nil)
	b := web("10.0.0.1", "10.0.0.2")
	b.HealthCheck.Unhealthy = 3
	r.apply(b)
	r.healthy("lb", 2)
	const clients = 4
	stop := r.load(clients, "http", r.at("lb", "", 80))
	r.after("lb", 50)
	r.serve("10.0.0.2:8080", "")
	s.CloseClientConnections()
	r.healthy("lb", 1)
	if h := r.Health("lb"); h[1].State != OutOfService || h[1].Description != failing {
		t.Errorf("%+v", h)
	}
	if made, failed := stop(); len(failed) > clients || made < 50 {
		t.Errorf("%d of %d requests failed: %v", len(failed), made, errors.Join(failed...))
	}
	if s, _ := r.Stats("lb"); s.BackendConnectionErrs == 0 {
		t.Error("no connection error was counted")
	}
	stop = r.load(clients, "http", r.at("lb", "", 80))
	r.after("lb", 50)
	allWell(t, stop, 50)
	r.serve("10.0.0.2:8080", s.Listener.Addr().String())
	r.healthy("lb", 2)
}

func TestDraining(t *testing.T) {
	for _, tc := range []struct {
		name   string
		drain  time.Duration
		leave  func(*rig, *Balancer)
		finish bool // before the time is over
		want   int
	}{
		{"deregistered", 10 * time.Second, func(_ *rig, b *Balancer) { b.Backends = b.Backends[:1] }, true, 200},
		{"deregistered, for too long", 100 * time.Millisecond, func(_ *rig, b *Balancer) { b.Backends = b.Backends[:1] }, false, 504},
		{"deregistered without draining", 0, func(_ *rig, b *Balancer) { b.Backends = b.Backends[:1] }, false, 504},
		{"unhealthy", 10 * time.Second, func(r *rig, _ *Balancer) { r.serve("10.0.0.2:8080", "") }, true, 200},
		{"unhealthy, for too long", 100 * time.Millisecond, func(r *rig, _ *Balancer) { r.serve("10.0.0.2:8080", "") }, false, 504},
		{"unhealthy without draining", 0, func(r *rig, _ *Balancer) { r.serve("10.0.0.2:8080", "") }, false, 504},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			arrived, release := make(chan struct{}), make(chan struct{})
			r.backend("10.0.0.1:8080", nil)
			r.backend("10.0.0.2:8080", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				arrived <- struct{}{}
				select {
				case <-release:
				case <-q.Context().Done():
				}
			}))
			both := web("10.0.0.1", "10.0.0.2")
			both.Drain = tc.drain
			both.Listeners[0].Sticky = &Sticky{}
			r.apply(both)
			r.healthy("lb", 2)
			cookie := "Cookie: AWSELB=" + cookieOf("lb", "i-2") + "\r\n"
			status := make(chan int, 1)
			c := dial(t, r.at("lb", "", 80))
			fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cookie)
			go func() {
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					status <- 0
					return
				}
				status <- res.StatusCode
			}()
			<-arrived
			b := both
			tc.leave(r, &b)
			r.apply(b)
			r.healthy("lb", 1)
			// No new ones, not even those that stick to it.
			if _, body := send(t, r.at("lb", "", 80), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+cookie+"\r\n"); body != "10.0.0.1:8080" {
				t.Errorf("a new request went to %s", body)
			}
			if tc.finish {
				if len(b.Backends) == 1 {
					if h := r.Health("lb"); len(h) != 2 || h[1].Description != deregistering || h[1].State != InService || !h[1].Draining {
						t.Errorf("while it drains: %+v", h)
					}
				}
				close(release)
			}
			if got := <-status; got != tc.want {
				t.Errorf("the request under way has %d, want %d", got, tc.want)
			}
			if len(b.Backends) == 1 {
				r.until("it is gone", func() bool { return len(r.Health("lb")) == 1 })
			}
		})
	}
}

func TestSockets(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:8080", nil)
	b := web("10.0.0.1")
	b.Backends[0].Zone, b.Zones = "a", []string{"a"}
	b.Addresses = map[string]netip.Addr{"a": netip.MustParseAddr("192.168.0.1")}
	other := web()
	other.ID, other.Name = "other", "other-loadbalancer"
	r.refuse["other//80"] = errors.New("address already in use")
	err := r.Apply(t.Context(), []Balancer{b, other})
	if err == nil || err.Error() != "load balancer other-loadbalancer: listen on port 80: address already in use" {
		t.Fatalf("%v", err)
	}
	r.healthy("lb", 1)
	ask := func(zone string, want int) {
		t.Helper()
		if status, _ := send(t, r.at("lb", zone, 80), plainGet); status != want {
			t.Errorf("zone %q: status %d, want %d", zone, status, want)
		}
	}
	ask("", 200)
	ask("a", 200)
	if r.Port("lb", 80) != HTTP || r.Port("lb", 81) != "" || r.Port("third", 80) != "" {
		t.Error("the ports are others")
	}
	// What failed is tried again; what is open stays.
	delete(r.refuse, "other//80")
	r.apply(b, other)
	if n := r.opened["lb//80"]; n != 1 {
		t.Errorf("the socket was opened %d times", n)
	}
	if status, _ := send(t, r.at("other", "", 80), plainGet); status != 503 {
		t.Errorf("status %d", status)
	}
	// One whose address changed is opened anew, and no other.
	was := r.at("lb", "a", 80)
	b.Addresses = map[string]netip.Addr{"a": netip.MustParseAddr("192.168.0.2")}
	r.apply(b, other)
	if r.opened["lb//80"] != 1 || r.opened["lb/a/80"] != 2 {
		t.Errorf("opened %v", r.opened)
	}
	ask("a", 200)
	refused := func(at string) {
		t.Helper()
		if c, err := net.Dial("tcp4", at); err == nil {
			c.Close()
			t.Errorf("%s is still open", at)
		}
	}
	refused(was)
	// Another protocol on the same port keeps the socket.
	b.Listeners = []Listener{{Port: 80, Protocol: TCP, BackendPort: 8080, BackendProtocol: TCP}}
	r.apply(b, other)
	ask("", 200)
	if r.opened["lb//80"] != 1 || r.Port("lb", 80) != TCP {
		t.Errorf("opened %v for %s", r.opened, r.Port("lb", 80))
	}
	// A port that is left is closed, and a balancer too.
	at, there := r.at("lb", "", 80), r.at("other", "", 80)
	b.Listeners[0].Port = 81
	b.Listeners = []Listener{{Port: 81, Protocol: HTTP, BackendPort: 8080, BackendProtocol: HTTP}}
	r.apply(b)
	refused(at)
	refused(there)
	if status, _ := send(t, r.at("lb", "", 81), plainGet); status != 200 {
		t.Errorf("status %d", status)
	}
	if _, ok := r.Stats("other"); ok || r.Health("other") != nil {
		t.Error("the balancer that left has counters and health")
	}
}

func TestApplyRefuses(t *testing.T) {
	r := newRig(t)
	cert := certificate(t, "lb.test")
	r.apply(web("10.0.0.1"))
	for _, tc := range []struct {
		change func(*Balancer)
		want   string
	}{
		{func(b *Balancer) { b.Listeners[0].Port = 0 }, "ports are from 1 to 65535"},
		{func(b *Balancer) { b.Listeners = append(b.Listeners, b.Listeners[0]) }, "listener 80: there are two"},
		{func(b *Balancer) { b.Listeners[0].Protocol = "UDP" }, `listener 80: "UDP" to "HTTP": protocols are HTTP, HTTPS, TCP and SSL`},
		{func(b *Balancer) { b.Listeners[0].BackendProtocol = TCP }, "HTTP cannot be forwarded as TCP"},
		{func(b *Balancer) { b.Listeners[0].Protocol = HTTPS }, "HTTPS needs a certificate"},
		{func(b *Balancer) {
			b.Listeners[0] = Listener{Port: 80, Protocol: SSL, BackendPort: 80, BackendProtocol: TCP, Certificate: cert, Sticky: &Sticky{}}
		}, "stickiness needs HTTP or HTTPS"},
		{func(b *Balancer) { b.Backends[0].Address = netip.Addr{} }, "backend i-1 has no address"},
		{func(b *Balancer) { b.Backends = append(b.Backends, b.Backends[0]) }, "backend i-1: there are two"},
		{func(b *Balancer) { b.HealthCheck.Interval = 0 }, "protocol, port, interval and timeout are needed"},
		{func(b *Balancer) { b.DesyncMitigation = "none" }, "modes are monitor, defensive and strictest"},
	} {
		b := web("10.0.0.1")
		tc.change(&b)
		if err := r.Apply(t.Context(), []Balancer{b}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
		if len(r.Health("lb")) != 1 { // it goes on as it was
			t.Error("the balancer is gone")
		}
	}
	if err := r.Apply(t.Context(), []Balancer{web(), web()}); err == nil || !strings.Contains(err.Error(), `its id "lb" is another's too`) {
		t.Errorf("%v", err)
	}
}

// Requests under way finish when a listener, a balancer, or all of the proxy ends.
func TestEnds(t *testing.T) {
	for name, end := range map[string]func(*rig, Balancer){
		"listener": func(r *rig, b Balancer) { b.Listeners = nil; r.apply(b) },
		"balancer": func(r *rig, _ Balancer) { r.apply() },
		"proxy": func(r *rig, _ Balancer) {
			if err := r.Close(context.Background()); err != nil {
				r.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			arrived, release := make(chan struct{}), make(chan struct{})
			r.backend("10.0.0.1:8080", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				close(arrived)
				<-release
			}))
			b := web("10.0.0.1")
			r.apply(b)
			r.healthy("lb", 1)
			c := dial(t, r.at("lb", "", 80))
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-arrived
			over := make(chan struct{})
			go func() { end(r, b); close(over) }()
			r.until("nothing listens", func() bool {
				other, err := net.Dial("tcp4", c.RemoteAddr().String())
				if err == nil {
					other.Close()
				}
				return err != nil
			})
			close(release)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || res.StatusCode != 200 {
				t.Errorf("%v, %v", res, err)
			}
			ended(t, c)
			<-over
		})
	}
}

func TestCloseCutsOff(t *testing.T) {
	r := newRig(t)
	r.echo("10.0.0.1:8080")
	r.apply(l4(TCP, TCP, nil, "10.0.0.1"))
	r.healthy("lb", 1)
	c := dial(t, r.at("lb", "", 443))
	line(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	ended(t, c)
	if err := r.Apply(t.Context(), nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Apply: %v", err)
	}
}

// The share of a backend that comes back grows over the time of its slow start.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{})
		spec := web("10.0.0.1", "10.0.0.2")
		spec.SlowStart = 100 * time.Second
		b := newBalancer(p, &spec)
		var all []*backend
		for _, s := range spec.Backends {
			all = append(all, newBackend(b, s))
		}
		n := &node{s: newService(b, &Listener{BackendProtocol: TCP})}
		ts := n.reach(&spec, &Listener{BackendPort: 1, BackendProtocol: TCP}, all, nil)
		share := func() (percent int) {
			const rounds = 4000
			for i := range rounds {
				chosen, _ := ts.next(uint32(i), nil, 0)
				chosen.end()
				if chosen.spec.ID == "i-2" {
					percent += 100
				}
			}
			return percent / rounds
		}
		all[1].turn(true, &spec)
		if got := share(); got != 100 {
			t.Errorf("alone, it has %d %%", got)
		}
		all[0].healthy.Store(true)
		for _, want := range []int{0, 25, 50, 50} { // after 0, 50, 100, 150 s
			if got := share(); got < want-4 || got > want+4 {
				t.Errorf("its share is %d %%, want about %d", got, want)
			}
			time.Sleep(50 * time.Second)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
