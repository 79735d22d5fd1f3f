package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// What a request costs here, apart from package http1, is no allocation.
func TestDirectorAllocatesNothing(t *testing.T) {
	r := newRig(t)
	r.backend("10.0.0.1:8080", nil)
	r.backend("10.0.0.2:8080", nil)
	b := web("10.0.0.1", "10.0.0.2")
	b.AccessLog = true
	b.Limits = Limits{RequestRate: 1e9, BackendConnections: 100}
	b.Listeners[0].Sticky = &Sticky{Duration: time.Hour}
	r.apply(b)
	r.healthy("lb", 2)
	r.cfg.Log = func(*Balancer, []byte) {}
	n := r.get("lb").service(80).node("")
	value := fmt.Sprintf("%s%x", cookieOf("lb", "i-2"), time.Now().Add(time.Hour).Unix())
	head := []byte("GET /a HTTP/1.1\r\nHost: a\r\nCookie: theme=dark; AWSELB=" + value + "\r\nUser-Agent: curl/7.38.0\r\n\r\n")
	var req http1.Request
	if used, err := http1.ParseRequest(head, &req, http1.Limits{}); used != len(head) || err != nil {
		t.Fatalf("%d, %v", used, err)
	}
	x := http1.Exchange{Request: &req, Response: &http1.Response{}, Context: t.Context(), ClientAddr: netip.MustParseAddrPort("192.0.2.1:1"), ClientIP: []byte("192.0.2.1")}
	c := dial(t, r.at("lb", "", 80))
	x.Conn = c
	once := func() {
		x.State, x.StatusBackend, x.StatusELB, x.Received = nil, 0, 0, time.Now()
		pool, status := n.Choose(&x)
		if pool == nil || status != 0 {
			t.Fatalf("no pool, status %d", status)
		}
		x.Pool, x.StatusBackend, x.StatusELB = pool, 200, 200
		n.ForResponse(&x, &x.Response.Header)
		n.Done(&x)
	}
	once()
	// With the race detector, a sync.Pool forgets some of what it is given.
	if allocs := testing.AllocsPerRun(1000, once); allocs > 0 && !raceEnabled {
		t.Errorf("%v allocations per request", allocs)
	}
	if got := x.Pool.Any.(*backend).spec.ID; got != "i-2" {
		t.Errorf("the cookie led to %s", got)
	}
}

// BenchmarkHTTPS forwards small requests over kept connections, client and backend included.
func BenchmarkHTTPS(b *testing.B) {
	r := newRig(b)
	r.tcp("10.0.0.1:8080", func(c *net.TCPConn) {
		read := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(read); err != nil {
				return
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
				return
			}
		}
	})
	lb := web("10.0.0.1")
	lb.Listeners = []Listener{{Port: 443, Protocol: HTTPS, BackendPort: 8080, BackendProtocol: HTTP, Certificate: certificate(b, "lb.test")}}
	r.apply(lb)
	r.healthy("lb", 1)
	at := r.at("lb", "", 443)
	request := []byte("GET / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: bench\r\n\r\n")
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := tls.Dial("tcp4", at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, 4<<10)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			for n := 0; !bytes.HasSuffix(buf[:n], []byte("hello")); {
				m, err := c.Read(buf[n:])
				if err != nil {
					b.Error(err)
					return
				}
				n += m
			}
		}
	})
}

// BenchmarkChoose is what choosing among ten backends takes, with all processors at it.
func BenchmarkChoose(b *testing.B) {
	p := New(Config{})
	spec := web()
	spec.ID = "lb"
	lb := newBalancer(p, &spec)
	var all []*backend
	for i := range 10 {
		k := newBackend(lb, Backend{ID: fmt.Sprint(i)})
		k.healthy.Store(true)
		all = append(all, k)
	}
	n := &node{s: newService(lb, &Listener{BackendProtocol: TCP})}
	ts := n.reach(&spec, &Listener{BackendPort: 1, BackendProtocol: TCP}, all, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t, _ := ts.choose(n.turn.Add(1), nil, 0)
			t.end()
		}
	})
}

// BenchmarkIdleTLS is the memory of a TLS connection that waits between requests, without the client's.
func BenchmarkIdleTLS(b *testing.B) {
	r := newRig(b)
	r.backend("10.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // so that what is measured is not its connection
	}))
	lb := web("10.0.0.1")
	lb.IdleTimeout = time.Minute
	lb.Listeners = []Listener{{Port: 443, Protocol: HTTPS, BackendPort: 8080, BackendProtocol: HTTP, Certificate: certificate(b, "lb.test")}}
	r.apply(lb)
	r.healthy("lb", 1)
	at := r.at("lb", "", 443)
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	const conns = 500
	for b.Loop() {
		before := used()
		raw := make([]net.Conn, conns)
		var all sync.WaitGroup
		for i := range raw {
			all.Go(func() {
				c, err := net.Dial("tcp4", at)
				if err != nil {
					b.Error(err)
					return
				}
				raw[i] = c // and the TLS of this side is garbage
				t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
				fmt.Fprint(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				if _, err := t.Read(make([]byte, 4<<10)); err != nil {
					b.Error(err)
				}
			})
		}
		all.Wait()
		b.ReportMetric(float64(used()-before)/conns, "B/conn")
		for _, c := range raw {
			c.Close()
		}
		r.until("they are closed", func() bool { s, _ := r.Stats("lb"); return s.ActiveConnections == 0 })
	}
}
