package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
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
		if c := t.target.group.counters; c != nil {
			c.bytes.Add(uint64(t.received.Load() + t.sent.Load()))
		}
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
		to.group.connected(t.toConnect)
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
