package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
