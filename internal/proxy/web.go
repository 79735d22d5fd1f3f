package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"

	"github.com/tarn-eks/tarn/internal/http1"
)

// lines are buffers for access log lines.
var lines = sync.Pool{New: func() any { return new([]byte) }}

// Choose is called by http1 for each request, and again after each backend that could not be reached.
func (n *node) Choose(x *http1.Exchange) (*http1.Pool, int) {
	spec := n.s.b.spec.Load()
	if c, ok := x.State.(*choice); ok { // it could not be reached
		c.end()
		x.State = nil
	} else if status := n.admit(x, spec); status != 0 {
		return nil, status
	}
	ts := n.reachable()
	var from *target
	if sticky := n.s.now.Load().listener.Sticky; sticky != nil {
		from = sticky.find(x.Request, ts)
	}
	limit := spec.Limits.BackendConnections
	if from != nil && (from.healthy.Load() || ts.open()) && !has(x.Tried, from.pool) && from.begin(limit) {
		x.State = &from.stuck
		return n.take(from, spec, x)
	}
	t, full := ts.choose(n.turn.Add(1), x.Tried, limit)
	if t == nil && full {
		t = n.queue(x, spec)
	}
	if t == nil {
		switch {
		case len(x.Tried) == 0 || spec.Application && len(ts.all) == 0:
			return nil, 503
		case errors.Is(x.Cause, context.DeadlineExceeded):
			return nil, 504 // they are there, and do not answer
		}
		status, _ := badStatuses(spec.Application)
		return nil, status
	}
	x.State = &t.fresh
	return n.take(t, spec, x)
}

// queue waits until a backend takes one more request; nil if none does, or too many wait already.
func (n *node) queue(x *http1.Exchange, spec *Balancer) (t *target) {
	b := n.s.b
	defer b.counters.queue.Add(-1)
	if b.counters.queue.Add(1) > int64(spec.Limits.surge()) {
		b.counters.spillover.Add(1)
		return nil
	}
	b.surge.wait(x.Context, spec.idle(), func() bool {
		var full bool
		t, full = n.reachable().choose(n.turn.Add(1), x.Tried, b.spec.Load().Limits.BackendConnections)
		return t != nil || !full
	})
	return t
}

// take is what Choose returns for a target, unless too many wait for connections to be made already.
func (n *node) take(t *target, spec *Balancer, x *http1.Exchange) (*http1.Pool, int) {
	c := &n.s.b.counters
	if c.queue.Load() >= int64(spec.Limits.surge()) {
		if idle, _ := t.pool.Stats(); idle == 0 {
			c.spillover.Add(1)
			t.end()
			x.State = nil
			return nil, 503
		}
	}
	return t.pool, 0
}

// admit returns the status for a request that is not forwarded at all, or 0.
func (n *node) admit(x *http1.Exchange, spec *Balancer) int {
	if x.Request.Class != http1.Compliant && spec.DesyncMitigation == Strictest {
		return 400
	}
	if !n.s.b.rate.allow(x.Received) {
		return 429
	}
	return 0
}

// ForRequest tells the backend who asks, and how.
func (n *node) ForRequest(x *http1.Exchange, h *http1.Header) {
	h.Join("X-Forwarded-For", x.ClientIP)
	h.Set("X-Forwarded-Proto", n.s.scheme)
	h.Set("X-Forwarded-Port", n.s.port)
	if n.s.now.Load().application {
		trace(x, h)
	}
}

// ForResponse gives the client its cookie.
func (n *node) ForResponse(x *http1.Exchange, h *http1.Header) {
	now := n.s.now.Load()
	sticky := now.listener.Sticky
	if c, ok := x.State.(*choice); ok && sticky != nil && x.StatusBackend != 0 {
		sticky.give(c, x.Response, h, now.application, x.Received)
	}
}

// Done counts, and writes the access log.
func (n *node) Done(x *http1.Exchange) {
	b, spec := n.s.b, n.s.b.spec.Load()
	counters := &b.counters
	bytes := uint64(int64(x.RequestHeadBytes) + x.RequestBytes + x.ResponseBytes)
	c, _ := x.State.(*choice)
	if c != nil {
		c.end()
		x.State = nil
		if of := c.group.counters; of != nil {
			of.forwarded(x, bytes)
		}
	}
	if x.Pool != nil {
		counters.requests.Add(1)
	}
	if x.StatusBackend != 0 {
		counters.fromBackend(x.StatusBackend)
		counters.latency.add(x.BackendProcessing)
	} else {
		counters.elb(x.StatusELB)
	}
	counters.bytes.Add(bytes)
	if nonCompliant(x) {
		counters.nonRFC.Add(1)
	}
	if spec.AccessLog {
		n.log(x, c, spec)
	}
}

// nonCompliant says whether a request was not what RFC 7230 has, be it forwarded or not.
func nonCompliant(x *http1.Exchange) bool {
	if x.Request.Class != http1.Compliant {
		return true
	}
	if x.Cause == nil || errors.Is(x.Cause, http1.ErrBackendResponse) {
		return false
	}
	_, ok := errors.AsType[*http1.Error](x.Cause)
	return ok
}

func (n *node) log(x *http1.Exchange, c *choice, spec *Balancer) {
	e := entry{
		Time: x.Received, Balancer: spec.Name, Client: x.ClientAddr,
		RequestProcessing: x.RequestProcessing, BackendProcessing: x.BackendProcessing, ResponseProcessing: x.ResponseProcessing,
		StatusELB: x.StatusELB, StatusBackend: x.StatusBackend, Received: x.RequestBytes, Sent: x.ResponseBytes,
		Method: x.Request.Method, Target: x.Request.Target, Host: x.Request.Host, Minor: x.Request.Minor,
		UserAgent: x.Request.Get("User-Agent"), Protocol: n.s.shape.Protocol, Port: n.s.shape.Port,
	}
	if len(e.Host) == 0 {
		if x.Cause != nil && x.Pool == nil {
			e.Method = nil // it was not read to its end
		} else {
			e.Host = []byte(addrPort(x.Conn.LocalAddr()).Addr().String()) // HTTP/1.0
		}
	}
	if c != nil {
		e.Backend = netip.AddrPortFrom(c.spec.Address, uint16(c.key.port))
	}
	if c, ok := x.Conn.(*tls.Conn); ok {
		s := c.ConnectionState()
		e.Cipher, e.TLS = s.CipherSuite, s.Version
	}
	n.s.b.write(spec, &e)
}

// write writes a line of the access log.
func (b *balancer) write(spec *Balancer, e *entry) {
	line := lines.Get().(*[]byte)
	*line = e.append((*line)[:0])
	b.p.cfg.Log(spec, *line)
	if cap(*line) <= 4<<10 {
		lines.Put(line)
	}
}
