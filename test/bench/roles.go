package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/proxy"
)

// roles are what the bench runs itself as, so that each is a process of its own.
var roles = map[string]func(ctx context.Context, args []string, stdout io.Writer) error{
	"proxy":      proxyRole,
	"handshakes": handshakesRole,
	"hold":       holdRole,
}

// gcPercent is what `tarn` gives the garbage collector in its roles.
const gcPercent = 50

// proxyRole is Tarn's load balancer without the rest of the region: one listener
// for HTTPS and one backend, as the balancing loop would have it.
func proxyRole(ctx context.Context, args []string, _ io.Writer) error {
	debug.SetGCPercent(gcPercent)
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	listen := flags.String("listen", "", "address for HTTPS")
	backend := flags.String("backend", "", "address of the backend, for HTTP")
	pair := flags.String("pair", "", "file with the certificate and its key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	front, err := netip.ParseAddrPort(*listen)
	if err != nil {
		return err
	}
	back, err := netip.ParseAddrPort(*backend)
	if err != nil {
		return err
	}
	certificate, err := tls.LoadX509KeyPair(*pair, *pair)
	if err != nil {
		return err
	}
	p := proxy.New(proxy.Config{
		Listen: func(ctx context.Context, _ *proxy.Balancer, _ string, port int) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, "tcp4", netip.AddrPortFrom(front.Addr(), uint16(port)).String())
		},
		Dial: func(ctx context.Context, _ *proxy.Balancer, _ string, address netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp4", address.String())
		},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	err = p.Apply(ctx, []proxy.Balancer{{
		ID: "bench", Name: "bench",
		Listeners: []proxy.Listener{{
			Port: int(front.Port()), Protocol: proxy.HTTPS, BackendPort: int(back.Port()), BackendProtocol: proxy.HTTP,
			Certificate: &certificate, TLS: proxy.TLSPolicy{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13},
		}},
		Backends:    []proxy.Backend{{ID: "i-1", Address: back.Addr()}},
		HealthCheck: proxy.HealthCheck{Protocol: proxy.TCP, Port: int(back.Port()), Interval: 10 * time.Second, Timeout: 5 * time.Second, Healthy: 2, Unhealthy: 2},
		IdleTimeout: time.Hour,
	}})
	if err == nil {
		<-ctx.Done()
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace/2)
	defer cancel()
	if closed := p.Close(ending); !errors.Is(closed, context.DeadlineExceeded) { // clients may hold connections
		err = errors.Join(err, closed)
	}
	return err
}

// clientTLS is how the bench's own clients speak TLS: with the curve that wrk
// prefers, and anew each time.
func clientTLS() *tls.Config {
	return &tls.Config{ServerName: served, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// connect opens a connection and shakes hands. Whether the certificate is right
// has been checked before.
func connect(ctx context.Context, address string) (*tls.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp4", address)
	if err != nil {
		return nil, err
	}
	config := clientTLS()
	config.InsecureSkipVerify = true
	c := tls.Client(raw, config)
	if err := errors.Join(c.SetDeadline(time.Now().Add(grace)), c.HandshakeContext(ctx)); err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// get makes a request for the small response, and reads it.
func get(c net.Conn, closing bool) error {
	request := "GET /small HTTP/1.1\r\nHost: " + served + "\r\n\r\n"
	if closing {
		request = "GET /small HTTP/1.1\r\nHost: " + served + "\r\nConnection: close\r\n\r\n"
	}
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	reader := readers.Get().(*bufio.Reader)
	defer readers.Put(reader)
	reader.Reset(c)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || n != int64(len(small)) {
		return fmt.Errorf("answered %s with %d bytes", resp.Status, n)
	}
	return nil
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 1024) }}

// handshakesRole makes requests, each in a connection with a whole TLS handshake.
// It prints an outcome: times are from dialling to the last byte.
func handshakesRole(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("handshakes", flag.ContinueOnError)
	address := flags.String("address", "", "where to connect")
	during := flags.Duration("for", time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var (
		mu     sync.Mutex // guards the fields below
		took   []float64
		failed int
	)
	began := time.Now()
	err := workers(ctx, atWork, func(ctx context.Context) (bool, error) {
		start := time.Now()
		err := once(ctx, *address)
		ms := milliseconds(time.Since(start))
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			took = append(took, ms)
		} else {
			failed++
		}
		return time.Since(began) < *during, nil
	})
	if err != nil {
		return err
	}
	o := outcome{Requests: len(took), Errors: failed, Seconds: time.Since(began).Seconds()}
	o.P50, o.P99 = percentiles(took)
	return json.NewEncoder(stdout).Encode(o)
}

// percentiles are the median and the 99th; of nothing, 0.
func percentiles(values []float64) (p50, p99 float64) {
	n := len(values)
	if n == 0 {
		return 0, 0
	}
	slices.Sort(values)
	return values[n/2], values[n*99/100]
}

// once makes a request in a connection of its own.
func once(ctx context.Context, address string) error {
	c, err := connect(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	return get(c, true)
}

// holdRole opens connections, makes a request in each, says "held", holds them
// until its standard input ends, makes another request in each, and says
// "answered".
func holdRole(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("hold", flag.ContinueOnError)
	address := flags.String("address", "", "where to connect")
	count := flags.Int("n", 1, "how many connections")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conns := make([]net.Conn, *count)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	each := func(work func(n int) error) error {
		var next atomic.Int64
		return workers(ctx, 16, func(context.Context) (bool, error) {
			n := int(next.Add(1)) - 1
			if n >= *count {
				return false, nil
			}
			return true, work(n)
		})
	}
	ask := func(n int) error {
		if err := conns[n].SetDeadline(time.Now().Add(grace)); err != nil {
			return err
		}
		return get(conns[n], false)
	}
	err := each(func(n int) error {
		c, err := connect(ctx, *address)
		if err != nil {
			return err
		}
		conns[n] = c
		return ask(n)
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "held")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	if err := each(ask); err != nil {
		return fmt.Errorf("a connection was not held: %w", err)
	}
	fmt.Fprintln(stdout, "answered")
	return nil
}
