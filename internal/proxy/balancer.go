package proxy

import (
	"context"
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
	own      group // of backends that are in none
	rate     rate
	surge    surge

	// ports is read by everyone; who holds Proxy.apply replaces it.
	ports atomic.Pointer[map[int]*port]

	mu       sync.Mutex // guards the fields below; only who holds Proxy.apply changes backends and groups
	backends []*backend // as given
	leaving  []*backend // those that drain
	groups   map[string]*group
}

func newBalancer(p *Proxy, spec *Balancer) *balancer {
	b := &balancer{p: p, id: spec.ID}
	b.spec.Store(spec)
	b.setGroups(spec)
	b.ports.Store(&map[int]*port{})
	return b
}

// apply makes the balancer what spec says: first what serves, then what listens, then what ends.
func (b *balancer) apply(ctx context.Context, spec *Balancer) []error {
	old := b.spec.Swap(spec)
	b.rate.set(spec.Limits.RequestRate)
	b.setGroups(spec)
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
	b.retire(gone, func(k *backend) time.Duration { return k.group.settings.Load().Drain })
	b.surge.wakeAll()
	return failed
}

// setBackends starts backends that are new, and returns those that are not wanted any more. One of
// which anything changed is both.
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
		} else if spec.group(s.Group).HealthCheck != old.group(s.Group).HealthCheck {
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

// retire lets backends that were left finish, each for as long as grace says.
func (b *balancer) retire(gone []*backend, grace func(*backend) time.Duration) {
	b.mu.Lock()
	b.leaving = append(b.leaving, gone...)
	b.mu.Unlock()
	for _, k := range gone {
		k.leave()
		ok := b.p.goes(func() {
			k.drain(grace(k))
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
		b.retire(gone, func(*backend) time.Duration { return 0 })
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
	b.countHosts(&s, func(*backend) bool { return true })
	return s
}

// countHosts counts the backends for which of is true, by zone.
func (b *balancer) countHosts(s *Stats, of func(*backend) bool) {
	spec := b.spec.Load()
	s.HealthyHostCount, s.UnHealthyHostCount = map[string]int{}, map[string]int{}
	for _, z := range spec.Zones {
		s.HealthyHostCount[z], s.UnHealthyHostCount[z] = 0, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.backends {
		switch {
		case !of(k):
		case k.healthy.Load() && spec.covers(k.spec.Zone):
			s.HealthyHostCount[k.spec.Zone]++
		default:
			s.UnHealthyHostCount[k.spec.Zone]++
		}
	}
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
