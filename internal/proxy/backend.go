package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

type dialer = func(ctx context.Context, b *Balancer, zone string, address netip.AddrPort) (net.Conn, error)

// backend is a Backend as it runs: from when it was registered to when its last connection ended.
type backend struct {
	b      *balancer
	group  *group
	spec   Backend
	ctx    context.Context // of the checks
	cancel context.CancelFunc
	again  chan struct{} // asks for a check now
	// sessions are of TLS with it that is not HTTP's; there, pools have their own.
	sessions tls.ClientSessionCache
	cookie   string // what stands for it in stickiness cookies

	healthy  atomic.Bool
	draining atomic.Bool
	since    atomic.Int64  // Unix ns since when it is in service, while its share grows; 0: all of it
	active   atomic.Int64  // requests and TCP connections under way
	empty    chan struct{} // closed when it drains and nothing is under way any more
	once     sync.Once     // of closing empty

	pools map[poolKey]*pool // who holds Proxy.apply changes them

	mu      sync.Mutex // guards the fields below
	verdict verdict
	cause   error                 // of the last check that failed
	cutting *time.Timer           // cuts off what is under way, while unhealthy
	conns   map[net.Conn]struct{} // all that were dialed, but for some that are closed
	prune   int                   // when so many, look for the closed ones
}

type poolKey struct {
	zone     string // of the node
	port     int
	protocol Protocol
}

// pool is an http1.Pool with what it was made of.
type pool struct {
	*http1.Pool
	keys [][]byte
	idle time.Duration
}

func newBackend(b *balancer, spec Backend) *backend {
	k := &backend{
		b: b, group: b.groupOf(spec), spec: spec,
		again:    make(chan struct{}, 1),
		empty:    make(chan struct{}),
		pools:    map[poolKey]*pool{},
		conns:    map[net.Conn]struct{}{},
		prune:    64,
		cookie:   cookieOf(b.id, spec.key()),
		sessions: tls.NewLRUClientSessionCache(8),
	}
	k.ctx, k.cancel = context.WithCancel(b.p.ctx)
	return k
}

// key tells a backend from the others of its balancer.
func (s *Backend) key() string {
	if s.Group == "" && s.Port == 0 {
		return s.ID
	}
	return s.ID + "\x00" + s.Group + "\x00" + strconv.Itoa(s.Port)
}

// cookieOf stands for a backend: always the same, so that stickiness outlives a restart, and telling
// nothing of it.
func cookieOf(balancer, backend string) string {
	sum := sha256.Sum256([]byte(balancer + "\x00" + backend))
	return hex.EncodeToString(sum[:])
}

// poke asks for a check now.
func (k *backend) poke() {
	select {
	case k.again <- struct{}{}:
	default:
	}
}

// turn takes the backend into service, or out of it.
func (k *backend) turn(healthy bool, spec *Balancer) {
	settings := k.group.settings.Load()
	if healthy && settings.SlowStart > 0 {
		k.since.Store(time.Now().UnixNano())
	}
	k.healthy.Store(healthy)
	k.mu.Lock()
	if k.cutting != nil {
		k.cutting.Stop()
		k.cutting = nil
	}
	cut := !healthy && !spec.Application
	if cut && settings.Drain > 0 {
		k.cutting = time.AfterFunc(settings.Drain, k.cut)
	}
	k.mu.Unlock()
	if cut && settings.Drain <= 0 {
		k.cut()
	}
	k.b.surge.wakeAll()
}

// begin counts something that the backend does; limit 0 is none. It is false, and nothing counted,
// when it does enough already.
func (k *backend) begin(limit int) bool {
	if n := k.active.Add(1); limit > 0 && n > int64(limit) {
		k.active.Add(-1)
		return false
	}
	return true
}

func (k *backend) end() {
	if k.active.Add(-1) == 0 && k.draining.Load() {
		k.once.Do(func() { close(k.empty) })
	}
	k.b.surge.wake()
}

// leave ends the checks and closes what is idle. The caller sends nothing new here.
func (k *backend) leave() {
	k.cancel()
	k.mu.Lock()
	if k.cutting != nil {
		k.cutting.Stop()
	}
	k.mu.Unlock()
	k.draining.Store(true)
	for _, p := range k.pools {
		p.Close()
	}
	if k.active.Load() == 0 {
		k.once.Do(func() { close(k.empty) })
	}
}

// drain lets what is under way finish, cuts off what is left after a while, and returns.
func (k *backend) drain(grace time.Duration) {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-k.empty:
	case <-timer.C:
	case <-k.b.p.ctx.Done():
	}
	k.cut()
}

// cut closes all connections.
func (k *backend) cut() {
	k.mu.Lock()
	conns := k.conns
	k.conns = map[net.Conn]struct{}{}
	k.mu.Unlock()
	for c := range conns {
		c.Close()
	}
}

// track remembers a connection, so that it can be cut off. One of TCP is not wrapped for that, as the
// kernel copies between bare ones by itself: those that are closed are looked for now and then.
func (k *backend) track(c net.Conn) net.Conn {
	if _, ok := c.(syscall.Conn); !ok {
		c = &tracked{c, k}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns[c] = struct{}{}
	if len(k.conns) < k.prune {
		return c
	}
	for c := range k.conns {
		if isClosed(c) {
			delete(k.conns, c)
		}
	}
	k.prune = max(64, 2*len(k.conns))
	return c
}

// tracked is a connection that says when it is closed.
type tracked struct {
	net.Conn
	k *backend
}

func (c *tracked) Close() error {
	c.k.mu.Lock()
	delete(c.k.conns, c)
	c.k.mu.Unlock()
	return c.Conn.Close()
}

func (c *tracked) CloseWrite() error { return closeWrite(c.Conn) }

func isClosed(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// connect dials the backend from a node: with TLS and the keys of its policy if the protocol has it.
func (k *backend) connect(ctx context.Context, key poolKey, config *tls.Config, head []byte) (net.Conn, error) {
	c, err := k.b.p.cfg.Dial(ctx, k.b.spec.Load(), key.zone, netip.AddrPortFrom(k.spec.Address, uint16(key.port)))
	if err != nil {
		k.unreachable()
		return nil, err
	}
	c = k.track(c)
	if len(head) > 0 {
		if deadline, ok := ctx.Deadline(); ok {
			_ = c.SetWriteDeadline(deadline) // of a closed connection: the write says so
		}
		if _, err := c.Write(head); err != nil {
			c.Close()
			k.unreachable()
			return nil, err
		}
		_ = c.SetWriteDeadline(time.Time{})
	}
	if !key.protocol.Secure() {
		return c, nil
	}
	s, err := secure(ctx, c, config)
	if err != nil {
		k.unreachable()
	}
	return s, err
}

// unreachable counts a connection that could not be made.
func (k *backend) unreachable() {
	k.b.counters.connectErrors.Add(1)
	if c := k.group.counters; c != nil {
		c.connectErrors.Add(1)
	}
}

// pool returns the pool for a node, a port and a protocol, as the balancer now wants it.
func (k *backend) pool(key poolKey, spec *Balancer) *http1.Pool {
	keys, idle := spec.BackendServers[key.port].PublicKeys, spec.idle()
	old := k.pools[key]
	if old != nil && old.idle == idle && slices.EqualFunc(old.keys, keys, bytes.Equal) {
		return old.Pool
	}
	var config *tls.Config
	if key.protocol.Secure() {
		config = backendTLS(keys, tls.NewLRUClientSessionCache(8))
	}
	p := &pool{keys: keys, idle: idle}
	p.Pool = http1.NewPool(http1.PoolConfig{
		IdleTimeout:    idle,
		ConnectTimeout: min(connectTimeout, idle),
		Any:            k,
		Dial: func(ctx context.Context) (net.Conn, error) {
			k.b.counters.queue.Add(1)
			defer k.b.counters.queue.Add(-1)
			return k.connect(ctx, key, config, nil)
		},
	})
	k.pools[key] = p
	return p.Pool
}

// keep drops the pools that are not in use any more. They are not closed, nor are those that were
// replaced: a request may just be on its way there. What they hold ends with the idle timeout.
func (k *backend) keep(used map[poolKey]bool) {
	maps.DeleteFunc(k.pools, func(key poolKey, _ *pool) bool { return !used[key] })
}

// health is the backend's in the words of DescribeInstanceHealth.
func (k *backend) health(spec *Balancer) BackendHealth {
	h := BackendHealth{ID: k.spec.ID, Zone: k.spec.Zone, Group: k.spec.Group, Port: k.spec.Port}
	switch {
	case k.draining.Load():
		h.State, h.Reason, h.Description, h.Draining = InService, ReasonNone, deregistering, true
	case !spec.covers(k.spec.Zone):
		h.State, h.Reason, h.Description = OutOfService, ReasonELB, elsewhere
	default:
		k.mu.Lock()
		now, cause := k.verdict, k.cause
		k.mu.Unlock()
		h.State, h.Reason, h.Description = now.describe()
		if !now.healthy {
			h.Cause = cause
		}
	}
	return h
}
