package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
