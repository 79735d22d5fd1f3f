package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/trail"
)

// benched are the calls measured: one without policies and one that a policy
// must allow.
var benched = []struct{ name, who, service, form string }{
	{"GetCallerIdentity", "node", "sts", "Action=GetCallerIdentity&Version=2011-06-15"},
	{"GetUser", "alice", "iam", "Action=GetUser&Version=2010-05-08&UserName=alice"},
}

func benchGateway(b *testing.B) *fake {
	tr, err := trail.Open(trail.Config{File: filepath.Join(b.TempDir(), "trail.json")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := tr.Close(); err != nil {
			b.Error(err)
		}
	})
	return newFake(b, func(c *Config) { c.Now, c.Trail = nil, tr })
}

// BenchmarkHandler is the gateway's own work for a call, without connections.
func BenchmarkHandler(b *testing.B) {
	for _, c := range benched {
		b.Run(c.name, func(b *testing.B) {
			f := benchGateway(b)
			r := form(c.form)
			sign(b, r, c.who, c.service, region, time.Now())
			body := []byte(c.form)
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(body))
				w := httptest.NewRecorder()
				if f.ServeHTTP(w, r); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}

// BenchmarkServer is signed requests over kept connections, as fast as they go,
// with the load generator on the same processors. It reports requests per second
// and the slowest request.
func BenchmarkServer(b *testing.B) { benchServer(b, 0) }

// BenchmarkPaced is the same at 1,000 requests per second.
func BenchmarkPaced(b *testing.B) { benchServer(b, connections*time.Millisecond) }

const connections = 16

func benchServer(b *testing.B, every time.Duration) {
	for _, c := range benched {
		b.Run(c.name, func(b *testing.B) {
			f := benchGateway(b)
			server := httptest.NewUnstartedServer(nil)
			server.Config = f.Server()
			server.Start()
			defer server.Close()
			r := form(c.form)
			r.URL.Host, r.Host = server.Listener.Addr().String(), server.Listener.Addr().String()
			sign(b, r, c.who, c.service, region, time.Now())
			var raw bytes.Buffer
			if err := r.Write(&raw); err != nil {
				b.Fatal(err)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			times := make([][]time.Duration, connections)
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range connections {
				wg.Go(func() {
					if err := hammer(server.Listener.Addr().String(), raw.Bytes(), every, &left, &times[i]); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			all := slices.Concat(times...)
			slices.Sort(all)
			b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
		})
	}
}

// hammer sends the same request over one connection until none are left, one each
// time that every has passed.
func hammer(addr string, raw []byte, every time.Duration, left *atomic.Int64, times *[]time.Duration) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	for left.Add(-1) >= 0 {
		if every > 0 {
			<-tick
		}
		start := time.Now()
		if _, err := conn.Write(raw); err != nil {
			return err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		*times = append(*times, time.Since(start))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
	}
	return nil
}
