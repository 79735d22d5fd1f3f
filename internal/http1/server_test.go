package http1

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestAgainstNetHTTP has clients of net/http send bodies of all lengths, in
// chunks and not, to a backend of net/http that sends them back, while others
// give up in the midst of it. What arrives is what was sent, and nothing is left.
func TestAgainstNetHTTP(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) { againstNetHTTP(t, secure) })
	}
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
}

func againstNetHTTP(t *testing.T, secure bool) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/echo" { // as it comes
			_ = http.NewResponseController(w).EnableFullDuplex()
			_, _ = io.Copy(w, r.Body)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(b)))
		w.Header().Set("X-From", r.Header.Get("X-Forwarded-For"))
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		}
		_, _ = w.Write(b)
	}))
	defer backend.Close()
	backend.Config.ErrorLog = log.New(io.Discard, "", 0)
	pool := NewPool(PoolConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", backend.Listener.Addr().String())
	}})
	defer pool.Close()
	s := &Server{Director: &one{pool}}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	config := &tls.Config{Certificates: []tls.Certificate{testCertificate(t)}}
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			if secure {
				c = TLSServer(c, config)
			}
			go s.ServeConn(context.Background(), c)
		}
	}()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4}
	client := &http.Client{Transport: transport}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 30 {
				one := random.IntN(4)
				size := []int{0, 1, random.IntN(10000), random.IntN(400000)}[random.IntN(4)]
				body := make([]byte, size)
				for j := range body {
					body[j] = byte(random.Uint32())
				}
				path := []string{"/length", "/chunked", "/echo", "/chunked"}[one]
				ctx, cancel := context.WithCancel(context.Background())
				var r io.Reader = bytes.NewReader(body)
				if random.IntN(2) == 0 {
					r = io.MultiReader(r) // of unknown length
				}
				give := random.IntN(8) == 0
				if give {
					r = io.MultiReader(r, &stuck{ctx, cancel})
				}
				req, err := http.NewRequestWithContext(ctx, "POST", scheme+"://"+front.Addr().String()+path, r)
				if err != nil {
					t.Error(err)
				}
				resp, err := client.Do(req)
				if err == nil {
					got, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if !give && (err != nil || resp.StatusCode != 200 || !bytes.Equal(got, body)) {
						t.Errorf("%s: sent %d bytes, got %s with %d: %v", path, len(body), resp.Status, len(got), err)
					}
					if from := resp.Header.Get("X-From"); !give && path != "/echo" && from != "127.0.0.1" {
						t.Errorf("from %q", from)
					}
				} else if !give {
					t.Errorf("%s with %d bytes: %v", path, len(body), err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, active := pool.Stats(); active != 0 {
		t.Errorf("%d connections to the backend are in use", active)
	}
}

// stuck is the end of a body that does not come: the client gives up.
type stuck struct {
	ctx    context.Context
	cancel func()
}

func (s *stuck) Read([]byte) (int, error) {
	s.cancel()
	return 0, s.ctx.Err()
}

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var theirs []net.Conn
		p := NewPool(PoolConfig{MaxIdle: 2, IdleTimeout: 10 * time.Second, Dial: func(context.Context) (net.Conn, error) {
			a, b := memPair()
			theirs = append(theirs, b)
			return a, nil
		}})
		get := func(fresh bool) *backend {
			b, err := p.get(context.Background(), time.Now(), fresh, false)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		stats := func(idle, active int) {
			t.Helper()
			if i, a := p.Stats(); i != idle || a != active {
				t.Fatalf("%d idle, %d active; want %d, %d", i, a, idle, active)
			}
		}
		a, b, c := get(false), get(false), get(false)
		stats(0, 3)
		p.put(a, time.Now())
		time.Sleep(time.Second)
		p.put(b, time.Now())
		p.put(c, time.Now()) // one too many
		stats(2, 0)
		if _, err := theirs[2].Read(make([]byte, 1)); err != io.EOF {
			t.Fatal("the third is open:", err)
		}
		if get(false) != b {
			t.Fatal("not the one that was used last")
		}
		p.put(b, time.Now())
		time.Sleep(9*time.Second + time.Millisecond)
		stats(1, 0) // a was idle for 10 s
		if _, err := theirs[0].Read(make([]byte, 1)); err != io.EOF {
			t.Fatal("the first is open:", err)
		}
		time.Sleep(time.Second)
		stats(0, 0)

		a, b = get(false), get(false)
		p.put(a, time.Now())
		p.put(b, time.Now())
		c = get(true)
		stats(0, 1)
		if c == a || c == b || len(theirs) != 6 {
			t.Fatal("that was not a new one")
		}
		p.Close()
		p.put(c, time.Now())
		stats(0, 0)
		if _, err := p.get(context.Background(), time.Now(), false, false); err == nil || !strings.Contains(err.Error(), "out of service") {
			t.Fatal(err)
		}
	})
}

// TestConnectTimeout: a backend that cannot be connected to in time.
func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(PoolConfig{Dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		start := time.Now()
		_, err := p.get(context.Background(), start, false, false)
		if took := time.Since(start); took != 10*time.Second || err == nil {
			t.Errorf("after %v: %v", took, err)
		}
		if idle, active := p.Stats(); idle+active != 0 {
			t.Error(idle, active)
		}
	})
}

// TestContext: with its context, a connection ends at once.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t, memPair)
		ctx, cancel := context.WithCancel(context.Background())
		ours, theirs := memPair()
		over := make(chan struct{})
		go func() {
			p.server.ServeConn(ctx, ours)
			close(over)
		}()
		if _, err := io.WriteString(theirs, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		backend := <-p.dialed
		synctest.Wait()
		cancel()
		<-over
		if b, err := io.ReadAll(theirs); len(b) > 0 || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		if _, err := io.ReadAll(backend); err != nil {
			t.Error(err)
		}
		p.server.Close()
	})
}

func TestReplay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, pair := range map[string]func() (net.Conn, net.Conn){
		"TCP": func() (net.Conn, net.Conn) { return tcpPair(t, l) }, "memory": memPair,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, pair)
			p.pair = func() (net.Conn, net.Conn) {
				a, b := pair()
				return Replay(Replay(a, []byte(" HTTP/1.1\r\n")), []byte("GET /")), b
			}
			p.run(script{steps: []step{
				{1, "c>", "Host: a\r\n\r\n"},
				{2, "b<", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
				{3, "b>", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
				{4, "c<", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
			}})
		})
	}
}
