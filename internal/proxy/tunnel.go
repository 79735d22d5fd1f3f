package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// tunnel carries bytes between a client's connection and a backend's, until both sides have ended or
// both are silent for too long. It closes the client's.
func (n *node) tunnel(c net.Conn, now *settings) {
	b, spec := n.s.b, n.s.b.spec.Load()
	t := tunnel{n: n, client: c, idle: now.idle, started: time.Now(), toBackend: -1, toConnect: -1, toClient: -1}
	stop := context.AfterFunc(n.s.ctx, t.close)
	defer stop()
	defer t.close()
	if !b.rate.allow(t.started) {
		return
	}
	if s, ok := c.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(n.s.ctx, min(handshakeTimeout, now.idle))
		err := s.HandshakeContext(ctx)
		cancel()
		if err != nil {
			return // nothing has come yet that could be counted or logged
		}
	}
	b.counters.requests.Add(1)
	if t.connect(spec) {
		t.run()
		t.target.end()
	}
	b.counters.bytes.Add(uint64(t.received.Load() + t.sent.Load()))
	if spec.AccessLog {
		t.log(spec)
	}
}

// tunnel is one connection of a client with the one that was made for it.
type tunnel struct {
	n       *node
	client  net.Conn
	target  *target
	idle    time.Duration
	started time.Time

	mu      sync.Mutex // guards the fields below
	backend net.Conn
	closed  bool

	moved          atomic.Int64 // Unix ns of the last byte in either direction
	received, sent atomic.Int64 // from the client, to the client
	// Of the access log: until the first byte went to the backend, to connect, and from the backend's
	// first byte to when it was sent.
	toBackend, toConnect, toClient time.Duration
}

// close ends both connections.
func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.client.Close()
	if t.backend != nil {
		t.backend.Close()
	}
}

// connect connects to the backend whose turn it is, or the next one. The surge queue bounds how many
// connections wait here.
func (t *tunnel) connect(spec *Balancer) bool {
	counters := &t.n.s.b.counters
	if counters.queue.Add(1) > int64(spec.Limits.surge()) {
		counters.queue.Add(-1)
		counters.spillover.Add(1)
		return false
	}
	defer counters.queue.Add(-1)
	var tried map[*backend]bool // most connections need none
	ctx, cancel := context.WithTimeout(t.n.s.ctx, min(connectTimeout, t.idle))
	defer cancel()
	for {
		to, full := t.n.reachable().next(t.n.turn.Add(1), tried, spec.Limits.BackendConnections)
		if to == nil && full {
			if !t.n.s.b.surge.wait(ctx, t.idle, func() bool {
				to, full = t.n.reachable().next(t.n.turn.Add(1), tried, t.n.s.b.spec.Load().Limits.BackendConnections)
				return to != nil || !full
			}) {
				return false
			}
		}
		if to == nil {
			return false
		}
		began := time.Now()
		c, err := t.dial(ctx, to, spec)
		if err != nil {
			to.end()
			t.n.s.b.p.cfg.Logger.Debug("connect to backend", "balancer", spec.Name, "backend", to.spec.ID, "error", err)
			if ctx.Err() != nil {
				return false
			}
			if tried == nil {
				tried = map[*backend]bool{}
			}
			tried[to.backend] = true
			continue
		}
		t.toConnect = time.Since(began)
		counters.latency.add(t.toConnect)
		t.mu.Lock()
		t.backend, t.target = c, to
		closed := t.closed
		t.mu.Unlock()
		if closed {
			c.Close()
			to.end()
			return false
		}
		return true
	}
}

func (t *tunnel) dial(ctx context.Context, target *target, spec *Balancer) (net.Conn, error) {
	policy := spec.BackendServers[target.key.port]
	var head []byte
	if policy.ProxyProtocol {
		head = proxyHeader(t.client.RemoteAddr(), t.client.LocalAddr())
	}
	var config *tls.Config
	if target.key.protocol.Secure() {
		config = backendTLS(policy.PublicKeys, target.sessions)
	}
	return target.connect(ctx, target.key, config, head)
}

// proxyHeader is version 1 of the PROXY protocol:
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
func proxyHeader(from, to net.Addr) []byte {
	src, dst := addrPort(from), addrPort(to)
	if !src.IsValid() || !dst.IsValid() || src.Addr().Is4() != dst.Addr().Is4() {
		return []byte("PROXY UNKNOWN\r\n")
	}
	family := "TCP4"
	if src.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, src.Addr(), dst.Addr(), src.Port(), dst.Port())
}

// addrPort is a connection's address, not valid if it is not one of IP.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}

// run carries both directions. When one ends, its end is passed on, and the other goes on.
func (t *tunnel) run() {
	t.moved.Store(time.Now().UnixNano())
	var up sync.WaitGroup
	up.Go(func() {
		t.carry(t.backend, t.client, &t.received, func(_, sent time.Time) { t.toBackend = sent.Sub(t.started) })
	})
	t.carry(t.client, t.backend, &t.sent, func(read, sent time.Time) { t.toClient = sent.Sub(read) })
	up.Wait()
}

// carry moves bytes from src to dst until src ends, and passes the end on. After any error both end.
func (t *tunnel) carry(dst, src net.Conn, count *atomic.Int64, first func(read, sent time.Time)) {
	err := t.copy(dst, src, count, first)
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		t.close()
	}
}

// burst is how long splicing goes on before it is asked whether there still is much to move.
const burst = time.Second

var (
	errIdle = errors.New("idle timeout")

	large = sync.Pool{New: func() any { return new([32 << 10]byte) }}
)

// copy moves bytes from src to dst until src ends. A silent connection holds a small buffer only. One
// that fills it gets a large one, and while that is full, too, the kernel moves the bytes, if it can.
func (t *tunnel) copy(dst, src net.Conn, count *atomic.Int64, first func(read, sent time.Time)) error {
	small := make([]byte, 1<<10)
	buf := small
	var borrowed *[32 << 10]byte
	defer func() {
		if borrowed != nil {
			large.Put(borrowed)
		}
	}()
	for {
		silent := time.Since(time.Unix(0, t.moved.Load()))
		if silent >= t.idle {
			return errIdle
		}
		if err := src.SetReadDeadline(time.Now().Add(t.idle - silent)); err != nil {
			return err
		}
		n, err := src.Read(buf)
		if n > 0 {
			read := time.Now()
			t.moved.Store(read.UnixNano())
			if err := dst.SetWriteDeadline(read.Add(t.idle)); err != nil {
				return err
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			sent := time.Now()
			t.moved.Store(sent.UnixNano())
			if count.Add(int64(n)) == int64(n) {
				first(read, sent)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n < len(buf):
			if borrowed != nil {
				large.Put(borrowed)
				borrowed, buf = nil, small
			}
		case borrowed == nil:
			borrowed = large.Get().(*[32 << 10]byte)
			buf = borrowed[:]
		default:
			if ended, err := t.splice(dst, src, count); ended || err != nil {
				return err
			}
		}
	}
}

// splice has the kernel move bytes for a while, if both are TCP without TLS, and says whether src has
// ended.
func (t *tunnel) splice(dst, src net.Conn, count *atomic.Int64) (ended bool, err error) {
	to, ok := dst.(*net.TCPConn)
	from, ok2 := src.(*net.TCPConn)
	if !ok || !ok2 {
		return false, nil
	}
	for {
		began := time.Now()
		// What was read when the time to write is over is lost: that must end the connection, which the
		// time to read does not.
		limit := burst + t.idle
		if err := errors.Join(from.SetReadDeadline(began.Add(burst)), to.SetWriteDeadline(began.Add(limit))); err != nil {
			return false, err
		}
		n, err := to.ReadFrom(from)
		if n > 0 {
			count.Add(n)
			t.moved.Store(time.Now().UnixNano())
		}
		switch {
		case err == nil:
			return true, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return false, err
		case time.Since(began) >= limit:
			return false, errIdle
		case n < 1<<20: // less than that in a burst is not much
			return false, nil
		}
	}
}

// closeWrite tells the other side that nothing more comes.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.New("this connection has no half-close")
}

func (t *tunnel) log(spec *Balancer) {
	e := entry{
		Time: t.started, Balancer: spec.Name, Client: addrPort(t.client.RemoteAddr()),
		RequestProcessing: t.toBackend, BackendProcessing: t.toConnect, ResponseProcessing: t.toClient,
		Received: t.received.Load(), Sent: t.sent.Load(),
		Protocol: t.n.s.shape.Protocol, Port: t.n.s.shape.Port,
	}
	if t.target != nil {
		e.Backend = netip.AddrPortFrom(t.target.spec.Address, uint16(t.target.key.port))
	}
	if c, ok := t.client.(*tls.Conn); ok {
		s := c.ConnectionState()
		e.Cipher, e.TLS = s.CipherSuite, s.Version
	}
	t.n.s.b.write(spec, &e)
}
