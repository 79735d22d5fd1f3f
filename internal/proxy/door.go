package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

const (
	// helloTimeout is how long a client may take to say which name it wants.
	helloTimeout = 10 * time.Second
	// maxHello bounds what is read until then: a ClientHello of 64 KiB in records, or a head of HTTP.
	maxHello = 68 << 10
	// maxDoor bounds clients that have not said yet which name they want.
	maxDoor = 1024
)

// Door hands connections to balancers by the host name that the client asks for: in TLS by SNI, in
// HTTP by the first request's Host.
type Door struct {
	proxy *Proxy
	names atomic.Pointer[map[string]string]
}

// NewDoor returns a Door to the proxy's balancers that knows no names yet.
func NewDoor(p *Proxy) *Door {
	d := &Door{proxy: p}
	d.SetNames(nil)
	return d
}

// SetNames replaces the names: from host names, or wildcards such as *.example.com for all names below,
// to balancers' IDs. One of "" leads nowhere: it takes a name out of what a wildcard matches. Connections
// that are open stay where they are.
func (d *Door) SetNames(names map[string]string) {
	folded := make(map[string]string, len(names))
	for name, id := range names {
		folded[fold(name)] = id
	}
	d.names.Store(&folded)
}

// fold is a name as it is looked up: in lower case, without the root's dot.
func fold(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// find returns the balancer of a name: the name's own, or that of the longest wildcard above it.
func (d *Door) find(name string) (id string, ok bool) {
	names := *d.names.Load()
	name = fold(name)
	if id, ok = names[name]; ok && name != "" {
		return id, id != ""
	}
	for _, above, cut := strings.Cut(name, "."); cut; _, above, cut = strings.Cut(above, ".") {
		if id, ok = names["*."+above]; ok {
			return id, id != ""
		}
	}
	return "", false
}

// ServeTLS hands over connections to the balancers' listeners on a port, which speak HTTPS, SSL or TCP,
// until ctx ends; then it returns nil. It closes l. A client that names no balancer gets the TLS alert
// unrecognized_name. Connections that were handed over are the proxy's.
func (d *Door) ServeTLS(ctx context.Context, l net.Listener, port int) error {
	return d.serve(ctx, l, port, d.tls)
}

// ServeHTTP is ServeTLS for listeners that speak HTTP or TCP. A client that names no balancer gets a 404.
func (d *Door) ServeHTTP(ctx context.Context, l net.Listener, port int) error {
	return d.serve(ctx, l, port, d.http)
}

// serve accepts connections, has open read who is wanted, and hands them over.
func (d *Door) serve(ctx context.Context, l net.Listener, port int, open func(*opening, int) (id string, ok bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	places := make(chan struct{}, maxDoor)
	for pause := time.Duration(0); ; {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		if err == nil {
			pause = 0
			waiting.Go(func() {
				r := &opening{Conn: c}
				end := context.AfterFunc(ctx, func() { c.Close() })
				_ = c.SetDeadline(time.Now().Add(helloTimeout))
				id, ok := open(r, port)
				<-places
				if !end() || !ok {
					c.Close()
					return
				}
				_ = c.SetDeadline(time.Time{})
				// Not waited for: it is the proxy's now, which waits for it itself.
				if !d.proxy.goes(func() { d.proxy.ServeConn(id, port, http1.Replay(c, r.read)) }) {
					c.Close()
				}
			})
			continue
		}
		<-places
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("front door on port %d: %w", port, err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		d.proxy.cfg.Logger.Warn("front door", "port", port, "error", err, "retry", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// unrecognized is the alert of RFC 6066 section 3, fatal, in a record of its own.
var unrecognized = []byte{21, 3, 1, 0, 2, 2, 112}

// tls reads the name from the ClientHello and leaves it to be read again.
func (d *Door) tls(c *opening, port int) (string, bool) {
	name, err := readHello(c)
	if err != nil {
		return "", false
	}
	// Behind a TCP listener the backends end TLS.
	if id, ok := d.find(name); ok {
		if speaks := d.proxy.Port(id, port); speaks.Secure() || speaks == TCP {
			return id, true
		}
	}
	if _, err := c.Conn.Write(unrecognized); err == nil {
		linger(c.Conn)
	}
	return "", false
}

const noSuchHost = "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"

// http reads the name from the first request and leaves it to be read again.
func (d *Door) http(c *opening, port int) (string, bool) {
	host, err := readHost(c)
	status, body := "404 Not Found", fmt.Sprintf("No load balancer listens for HTTP on port %d under this name.\n", port)
	var bad *http1.Error
	switch {
	case errors.As(err, &bad):
		status, body = "400 Bad Request", "The request cannot be read.\n"
	case err != nil:
		return "", false
	default:
		if id, ok := d.find(host); ok {
			if speaks := d.proxy.Port(id, port); speaks == HTTP || speaks == TCP {
				return id, true
			}
		}
	}
	if _, err := fmt.Fprintf(c.Conn, noSuchHost, status, len(body), body); err == nil {
		linger(c.Conn)
	}
	return "", false
}

// readHost returns the host of the request that comes first, without the port.
func readHost(c *opening) (string, error) {
	buf := make([]byte, 4<<10)
	n := 0
	for {
		m, err := c.Conn.Read(buf[n:])
		n += m
		var r http1.Request
		used, perr := http1.ParseRequest(buf[:n], &r, http1.Limits{})
		switch {
		case perr != nil:
			return "", perr
		case used > 0:
			c.read = buf[:n]
			host := r.Host
			if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
				host = host[:i]
			}
			return string(host), nil
		case err != nil:
			return "", err
		case n == len(buf) && n < maxHello:
			buf = append(buf, make([]byte, n)...)
		case n == len(buf):
			return "", errors.New("the head is too long")
		}
	}
}

// linger ends a connection such that what was written arrives: closing one with unread bytes would
// reset it.
func linger(c net.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	if closeWrite(c) == nil {
		_, _ = io.CopyN(io.Discard, c, 256<<10) // until the client closes, or the deadline
	}
}

// opening is the beginning of a connection: what was read of it is for the balancer, too.
type opening struct {
	net.Conn
	read []byte
}
