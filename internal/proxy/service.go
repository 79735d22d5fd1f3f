package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// shape is what of a listener cannot change under its connections.
type shape struct {
	Port            int
	Protocol        Protocol
	BackendPort     int
	BackendProtocol Protocol
}

func (l *Listener) shape() shape {
	return shape{l.Port, l.Protocol, l.BackendPort, l.BackendProtocol}
}

// service serves the connections of a listener. A listener of another shape is another service; all
// else changes under it.
type service struct {
	b     *balancer
	shape shape
	now   atomic.Pointer[settings]
	// scheme and port are what backends are told.
	scheme, port []byte

	turn atomic.Uint32 // whose node's it is, for clients that came to none

	ctx    context.Context // ends when its connections are to be closed
	cancel context.CancelFunc

	mu       sync.Mutex // guards the fields below
	conns    int
	draining bool
	empty    chan struct{} // closed when it drains and has no connection
}

// settings are what new connections and requests see.
type settings struct {
	listener *Listener
	tls      *tls.Config // nil: none
	idle     time.Duration
	nodes    []*node // one per zone, or a single one
	// application is Balancer's.
	application bool
}

func newService(b *balancer, l *Listener) *service {
	s := &service{b: b, shape: l.shape(), empty: make(chan struct{})}
	s.scheme, s.port = []byte("http"), strconv.AppendInt(nil, int64(l.Port), 10)
	if l.Protocol == HTTPS {
		s.scheme = []byte("https")
	}
	s.ctx, s.cancel = context.WithCancel(b.p.ctx)
	return s
}

// set replaces the settings. used gets the pools that they use.
func (s *service) set(spec *Balancer, l *Listener, all []*backend, used map[*backend]map[poolKey]bool) {
	old := s.now.Load()
	if old == nil {
		old = &settings{listener: &Listener{}}
	}
	now := &settings{listener: l, idle: spec.idle(), application: spec.Application}
	if s.shape.Protocol.Secure() {
		if now.tls = old.tls; !sameTLS(old.listener, l) {
			now.tls = serverTLS(l)
		}
	}
	zones := spec.Zones
	if len(zones) == 0 {
		zones = []string{""}
	}
	for _, zone := range zones {
		i := slices.IndexFunc(old.nodes, func(n *node) bool { return n.zone == zone })
		var n *node
		if i >= 0 {
			n = old.nodes[i]
		} else {
			n = &node{s: s, zone: zone}
		}
		n.targets.Store(n.reach(spec, l, all, used))
		n.serve(now)
		now.nodes = append(now.nodes, n)
	}
	s.now.Store(now)
	for _, n := range old.nodes {
		if !slices.Contains(now.nodes, n) { // its zone was left
			n.heir.Store(now.nodes[0])
			s.b.p.goes(func() { n.shutdown(spec.grace()) })
		}
	}
}

// node returns the node that a connection from a zone is for. For clients of the host those take turns
// that have a healthy backend, as those without are not in the balancer's DNS name. Where none has one,
// those take over that send to backends regardless.
func (s *service) node(zone string) *node {
	nodes := s.now.Load().nodes
	turn := int(s.turn.Add(1))
	var other *node
	var others bool // it sends to some regardless
	for i := range nodes {
		n := nodes[(turn+i)%len(nodes)]
		if zone != "" {
			if n.zone == zone {
				return n
			}
			continue
		}
		ts := n.reachable()
		if ts.healthy() {
			return n
		}
		if some := ts.application && len(ts.all) > 0; other == nil || some && !others {
			other, others = n, some
		}
	}
	if other == nil { // the zone was left while the connection came
		other = nodes[turn%len(nodes)]
	}
	return other
}

// unavailable is sent to those who are too many, where that can be done without waiting for them.
const unavailable = "HTTP/1.1 503 Service Unavailable: Back-end server is at capacity\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// serve serves a connection and closes it. It is false, and nothing done, if the service takes none any
// more.
func (s *service) serve(c net.Conn, zone string) bool {
	if !s.enter() {
		return false
	}
	defer s.leave()
	counters, limit := &s.b.counters, s.b.spec.Load().Limits.Connections
	defer counters.active.Add(-1)
	if n := counters.active.Add(1); limit > 0 && n > int64(limit) {
		if s.shape.Protocol == HTTP {
			counters.elb(503)
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = c.Write([]byte(unavailable)) // they hear of it or see the end
		}
		c.Close()
		return true
	}
	counters.connections.Add(1)
	n, now := s.node(zone), s.now.Load()
	if now.tls != nil {
		c = http1.TLSServer(c, now.tls)
	}
	if s.shape.Protocol.Web() {
		n.server.Load().ServeConn(s.ctx, c)
	} else {
		n.tunnel(c, now)
	}
	return true
}

func (s *service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.conns++
	return true
}

func (s *service) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
	if s.draining && s.conns == 0 {
		close(s.empty)
	}
}

// drain ends the service: requests under way and TCP connections may go on for a while. It returns when
// all are over.
func (s *service) drain(grace time.Duration) {
	s.mu.Lock()
	if !s.draining {
		if s.draining = true; s.conns == 0 {
			close(s.empty)
		}
	}
	s.mu.Unlock()
	timer := time.AfterFunc(grace, s.cancel)
	defer timer.Stop()
	if s.shape.Protocol.Web() {
		var all sync.WaitGroup
		for _, n := range s.now.Load().nodes {
			all.Go(func() { n.shutdown(grace) })
		}
		all.Wait()
	}
	<-s.empty // at the latest soon after ctx
	s.cancel()
}

// node is a service in one zone: what the balancer's node there does. For HTTP it is the Director.
type node struct {
	s       *service
	zone    string
	targets atomic.Pointer[targets]
	turn    atomic.Uint32
	// heir is the node that takes over from one whose zone was left, while connections to that end.
	heir   atomic.Pointer[node]
	server atomic.Pointer[server]
	old    []*server // those before, for connections that are older; who holds Proxy.apply changes it
}

// reachable are the targets now.
func (n *node) reachable() *targets {
	for heir := n.heir.Load(); heir != nil; heir = n.heir.Load() {
		n = heir
	}
	return n.targets.Load()
}

// server is an http1.Server with what it was made of.
type server struct {
	http1.Server
	conns atomic.Int64
}

func (s *server) ServeConn(ctx context.Context, c net.Conn) {
	s.conns.Add(1)
	defer s.conns.Add(-1)
	s.Server.ServeConn(ctx, c)
}

// What is answered when a backend cannot be connected to, and when it closes the connection instead of
// responding. A Classic Load Balancer calls the second a timeout, too (“HTTP 504: … Cause 2: Registered
// instances closing the connection”); for an Application Load Balancer both are a bad gateway:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/ts-elb-error-message.html
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
func badStatuses(application bool) (connect, closed int) {
	if application {
		return 502, 502
	}
	return 503, 504
}

// serve has connections from now on served with other settings.
func (n *node) serve(now *settings) {
	if !n.s.shape.Protocol.Web() {
		return
	}
	n.old = slices.DeleteFunc(n.old, func(s *server) bool { return s.conns.Load() == 0 })
	last := n.server.Load()
	connect, closed := badStatuses(now.application)
	if last != nil && last.IdleTimeout == now.idle && last.ClosedStatus == closed {
		return
	}
	n.server.Store(&server{Server: http1.Server{
		Director: n, IdleTimeout: now.idle, ConnectStatus: connect, ClosedStatus: closed, Pages: now.application, Logger: n.s.b.p.cfg.Logger,
	}})
	if last != nil {
		n.old = append(n.old, last)
	}
}

// shutdown ends connections after the request under way, all of them after a while, and returns then.
func (n *node) shutdown(grace time.Duration) {
	ctx, cancel := context.WithTimeout(n.s.ctx, grace)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range append(slices.Clip(n.old), n.server.Load()) {
		if s == nil {
			continue
		}
		all.Go(func() {
			if s.Shutdown(ctx) != nil {
				s.Close()
			}
		})
	}
	all.Wait()
}
