package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// removalGrace is how long connections to a listener that is gone may finish where the balancer does
// not say so by its Drain.
const removalGrace = 10 * time.Second

// balancer is a Balancer as it runs.
type balancer struct {
	p        *Proxy
	id       string
	spec     atomic.Pointer[Balancer]
	counters counters
	rate     rate
	surge    surge

	// ports is read by everyone; who holds Proxy.apply replaces it.
	ports atomic.Pointer[map[int]*port]

	mu       sync.Mutex // guards the fields below; only who holds Proxy.apply changes backends
	backends []*backend // as given
	leaving  []*backend // those that drain
}

func newBalancer(p *Proxy, spec *Balancer) *balancer {
	b := &balancer{p: p, id: spec.ID}
	b.spec.Store(spec)
	b.ports.Store(&map[int]*port{})
	return b
}

// apply makes the balancer what spec says: first what serves, then what listens, then what ends.
func (b *balancer) apply(ctx context.Context, spec *Balancer) []error {
	old := b.spec.Swap(spec)
	b.rate.set(spec.Limits.RequestRate)
	gone := b.setBackends(spec, old)
	left, replaced := b.setServices(spec)
	failed := b.setSockets(ctx, spec)
	for _, p := range left {
		p.close()
		replaced = append(replaced, p.service.Load())
	}
	for _, s := range replaced {
		b.p.goes(func() { s.drain(spec.grace()) })
	}
	b.retire(gone, spec.Drain)
	b.surge.wakeAll()
	return failed
}

// setBackends starts backends that are new, and returns those that are not wanted any more. One whose
// address or zone changed is both.
func (b *balancer) setBackends(spec, old *Balancer) (gone []*backend) {
	kept := make(map[Backend]*backend, len(b.backends))
	for _, k := range b.backends {
		kept[k.spec] = k
	}
	var now, fresh []*backend
	for _, s := range spec.Backends {
		k := kept[s]
		if k == nil {
			k = newBackend(b, s)
			fresh = append(fresh, k)
		} else if spec.HealthCheck != old.HealthCheck {
			k.poke()
		}
		delete(kept, s)
		now = append(now, k)
	}
	b.mu.Lock()
	b.backends = now
	b.mu.Unlock()
	for _, k := range fresh {
		b.p.goes(k.watch)
	}
	return slices.Collect(maps.Values(kept))
}

// setServices has each listener served as spec says. It returns the ports that are not wanted any
// more, and services that others have replaced.
func (b *balancer) setServices(spec *Balancer) (left []*port, replaced []*service) {
	before, after := *b.ports.Load(), make(map[int]*port, len(spec.Listeners))
	used := make(map[*backend]map[poolKey]bool, len(b.backends))
	for _, k := range b.backends {
		used[k] = map[poolKey]bool{}
	}
	for i := range spec.Listeners {
		l := &spec.Listeners[i]
		p := before[l.Port]
		if p == nil {
			p = &port{b: b, number: l.Port, sockets: map[string]*socket{}}
		}
		s := p.service.Load()
		if s == nil || s.shape != l.shape() {
			if s != nil {
				replaced = append(replaced, s)
			}
			s = newService(b, l)
		}
		s.set(spec, l, b.backends, used)
		p.service.Store(s)
		after[l.Port] = p
	}
	for number, p := range before {
		if after[number] == nil {
			left = append(left, p)
		}
	}
	b.ports.Store(&after)
	for k, keys := range used {
		k.keep(keys)
	}
	return left, replaced
}

// setSockets opens the sockets that are missing and closes those in zones that were left.
func (b *balancer) setSockets(ctx context.Context, spec *Balancer) (failed []error) {
	for _, number := range slices.Sorted(maps.Keys(*b.ports.Load())) {
		p := (*b.ports.Load())[number]
		for _, err := range p.open(ctx, spec) {
			failed = append(failed, fmt.Errorf("listen on port %d: %w", number, err))
		}
	}
	return failed
}

// retire lets backends that were left finish.
func (b *balancer) retire(gone []*backend, grace time.Duration) {
	b.mu.Lock()
	b.leaving = append(b.leaving, gone...)
	b.mu.Unlock()
	for _, k := range gone {
		k.leave()
		ok := b.p.goes(func() {
			k.drain(grace)
			b.mu.Lock()
			b.leaving = slices.DeleteFunc(b.leaving, func(other *backend) bool { return other == k })
			b.mu.Unlock()
			b.p.changed()
		})
		if !ok {
			k.cut()
		}
	}
}

// stop closes the sockets and lets everything else finish apart.
func (b *balancer) stop() {
	ports, spec := *b.ports.Load(), b.spec.Load()
	b.ports.Store(&map[int]*port{})
	for _, p := range ports {
		p.close()
	}
	b.mu.Lock()
	gone := b.backends
	b.backends = nil
	b.mu.Unlock()
	grace := spec.grace()
	b.p.goes(func() {
		var all sync.WaitGroup
		for _, p := range ports {
			all.Go(func() { p.service.Load().drain(grace) })
		}
		all.Wait()
		b.retire(gone, 0)
	})
}

// service is what serves a port, or nil.
func (b *balancer) service(number int) *service {
	if p := (*b.ports.Load())[number]; p != nil {
		return p.service.Load()
	}
	return nil
}

func (b *balancer) health() []BackendHealth {
	b.mu.Lock()
	all := slices.Concat(b.backends, b.leaving)
	b.mu.Unlock()
	spec, out := b.spec.Load(), make([]BackendHealth, 0, len(all))
	for _, k := range all {
		out = append(out, k.health(spec))
	}
	return out
}

func (b *balancer) stats() Stats {
	s := b.counters.load()
	spec := b.spec.Load()
	s.HealthyHostCount, s.UnHealthyHostCount = map[string]int{}, map[string]int{}
	for _, z := range spec.Zones {
		s.HealthyHostCount[z], s.UnHealthyHostCount[z] = 0, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.backends {
		if k.healthy.Load() && spec.covers(k.spec.Zone) {
			s.HealthyHostCount[k.spec.Zone]++
		} else {
			s.UnHealthyHostCount[k.spec.Zone]++
		}
	}
	return s
}

// idle is the idle timeout.
func (b *Balancer) idle() time.Duration {
	if b.IdleTimeout > 0 {
		return b.IdleTimeout
	}
	return 60 * time.Second
}

// grace is how long connections to what is gone may finish.
func (b *Balancer) grace() time.Duration {
	if b.Drain > 0 {
		return b.Drain
	}
	return removalGrace
}

// covers says whether requests go to backends in a zone at all.
func (b *Balancer) covers(zone string) bool {
	return len(b.Zones) == 0 || slices.Contains(b.Zones, zone)
}

// node is the zone whose node speaks with the backends of a zone when no client has come to any.
func (b *Balancer) node(zone string) string {
	switch {
	case len(b.Zones) == 0:
		return ""
	case slices.Contains(b.Zones, zone):
		return zone
	default:
		return b.Zones[0]
	}
}

// check says what cannot be run.
func (b *Balancer) check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ports, ids := map[int]bool{}, map[string]bool{}
	for i := range b.Listeners {
		l := &b.Listeners[i]
		switch {
		case l.Port < 1 || l.Port > 65535 || l.BackendPort < 1 || l.BackendPort > 65535:
			fail("listener %d to %d: ports are from 1 to 65535", l.Port, l.BackendPort)
		case ports[l.Port]:
			fail("listener %d: there are two", l.Port)
		case !l.Protocol.known() || !l.BackendProtocol.known():
			fail("listener %d: %q to %q: protocols are HTTP, HTTPS, TCP and SSL", l.Port, l.Protocol, l.BackendProtocol)
		case l.Protocol.Web() != l.BackendProtocol.Web():
			fail("listener %d: %s cannot be forwarded as %s", l.Port, l.Protocol, l.BackendProtocol)
		case l.Protocol.Secure() && l.Certificate == nil:
			fail("listener %d: %s needs a certificate", l.Port, l.Protocol)
		case l.Sticky != nil && !l.Protocol.Web():
			fail("listener %d: stickiness needs HTTP or HTTPS", l.Port)
		}
		ports[l.Port] = true
	}
	for _, k := range b.Backends {
		if !k.Address.IsValid() {
			fail("backend %s has no address", k.ID)
		}
		if ids[k.ID] {
			fail("backend %s: there are two", k.ID)
		}
		ids[k.ID] = true
	}
	if h := b.HealthCheck; !h.Protocol.known() || h.Port < 1 || h.Port > 65535 || h.Interval <= 0 || h.Timeout <= 0 {
		fail("health check %s:%d every %s within %s: protocol, port, interval and timeout are needed", h.Protocol, h.Port, h.Interval, h.Timeout)
	}
	switch b.DesyncMitigation {
	case "", Monitor, Defensive, Strictest:
	default:
		fail("desync mitigation mode %q: modes are monitor, defensive and strictest", b.DesyncMitigation)
	}
	return errors.Join(errs...)
}

func (p Protocol) known() bool { return p.Web() || p == TCP || p == SSL }
