package proxy

import (
	"sync/atomic"
	"time"
)

// group is a Group as it runs, or what a balancer has for its backends that are in none.
type group struct {
	// settings stay as they were last when the group is gone, for backends that drain.
	settings atomic.Pointer[Group]
	counters *counters // nil: the balancer's own are enough
}

// group has the settings for backends of a group; name "" is for those that are in none.
func (b *Balancer) group(name string) Group {
	if name == "" {
		return Group{HealthCheck: b.HealthCheck, Drain: b.Drain, SlowStart: b.SlowStart}
	}
	return b.Groups[name]
}

// setGroups has the groups be those of spec. Counters last from when a group comes to when it goes.
func (b *balancer) setGroups(spec *Balancer) {
	own := spec.group("")
	b.own.settings.Store(&own)
	if len(spec.Groups) == 0 && len(b.groups) == 0 {
		return
	}
	now := make(map[string]*group, len(spec.Groups))
	for name, settings := range spec.Groups {
		g := b.groups[name]
		if g == nil {
			g = &group{counters: &counters{}}
		}
		g.settings.Store(&settings)
		now[name] = g
	}
	b.mu.Lock()
	b.groups = now
	b.mu.Unlock()
}

// groupOf is the running group of a backend. The caller holds Proxy.apply.
func (b *balancer) groupOf(s Backend) *group {
	if s.Group == "" {
		return &b.own
	}
	return b.groups[s.Group]
}

func (b *balancer) groupStats(name string) (Stats, bool) {
	b.mu.Lock()
	g := b.groups[name]
	b.mu.Unlock()
	if g == nil {
		return Stats{}, false
	}
	s := g.counters.load()
	b.countHosts(&s, func(k *backend) bool { return k.group == g })
	return s, true
}

// GroupStats are the counters of a target group of a balancer since it was first applied with it, of what
// its backends did. What only whole balancers have is 0: HTTPCodeELB4XX and 5XX, SpilloverCount,
// DesyncNonCompliant, NewConnections, SurgeQueueLength and ActiveConnections. ok is false when there is no
// such balancer or group.
func (p *Proxy) GroupStats(id, group string) (s Stats, ok bool) {
	b := p.get(id)
	if b == nil {
		return Stats{}, false
	}
	return b.groupStats(group)
}

// connected counts a connection that was made for bytes, and how long that took.
func (g *group) connected(d time.Duration) {
	if g.counters != nil {
		g.counters.requests.Add(1)
		g.counters.latency.add(d)
	}
}
