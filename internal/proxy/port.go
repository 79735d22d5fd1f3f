package proxy

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// connectTimeout bounds how long connecting to a backend takes.
const connectTimeout = 10 * time.Second

// port is a port of a balancer with its sockets, which outlive what serves them.
type port struct {
	b       *balancer
	number  int
	service atomic.Pointer[service]
	sockets map[string]*socket // by zone; who holds Proxy.apply changes it
}

// socket is open in a zone, or for the host's clients.
type socket struct {
	net.Listener
	zone    string
	address netip.Addr // as Balancer.Addresses had it
	closed  atomic.Bool
}

func (s *socket) close() {
	s.closed.Store(true)
	s.Close()
}

// open opens the sockets that are missing, and closes those that are not wanted once their successors
// are open.
func (p *port) open(ctx context.Context, spec *Balancer) (failed []error) {
	zones := append([]string{""}, spec.Zones...)
	for _, zone := range zones {
		old, address := p.sockets[zone], spec.Addresses[zone]
		if old != nil && old.address == address {
			continue
		}
		l, err := p.b.p.cfg.Listen(ctx, spec, zone, p.number)
		if err != nil {
			failed = append(failed, err)
			continue // what is open stays
		}
		if l == nil {
			delete(p.sockets, zone)
		} else {
			s := &socket{Listener: l, zone: zone, address: address}
			p.sockets[zone] = s
			p.b.p.goes(func() { p.accept(s) })
		}
		if old != nil {
			old.close()
		}
	}
	for zone, s := range p.sockets {
		if !slices.Contains(zones, zone) {
			delete(p.sockets, zone)
			s.close()
		}
	}
	return failed
}

// close closes all sockets.
func (p *port) close() {
	for _, s := range p.sockets {
		s.close()
	}
	clear(p.sockets)
}

// accept serves what comes to a socket until it is closed.
func (p *port) accept(s *socket) {
	for pause := time.Duration(0); ; {
		c, err := s.Accept()
		if err == nil {
			pause = 0
			p.b.p.wg.Go(func() { p.serve(c, s.zone) })
			continue
		}
		if s.closed.Load() {
			return
		}
		// Out of file descriptors, most likely: it passes.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		p.b.p.cfg.Logger.Warn("accept", "balancer", p.b.spec.Load().Name, "port", p.number, "zone", s.zone, "error", err, "retry", pause)
		select {
		case <-time.After(pause):
		case <-p.b.p.ctx.Done():
			return
		}
	}
}

// serve has a connection served, and closes it.
func (p *port) serve(c net.Conn, zone string) {
	for s := p.service.Load(); !s.serve(c, zone); {
		last := s
		if s = p.service.Load(); s == last { // the port is closed; else it was replaced just now
			c.Close()
			return
		}
	}
}
