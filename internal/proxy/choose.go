package proxy

import (
	"math/rand/v2"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// target is a backend as a node reaches it for a listener.
type target struct {
	*backend
	pool *http1.Pool // of HTTP
	key  poolKey
	// The two ways to have come here, made once, as a pointer to one is kept per request.
	fresh, stuck choice
}

// choice is what an exchange's State points to.
type choice struct {
	*target
	stuck bool // by a cookie
}

// targets are all backends that a node sends to, healthy or not.
type targets struct {
	all      []*target
	byCookie map[string]*target
}

// reach makes the targets of a node.
func (n *node) reach(spec *Balancer, l *Listener, all []*backend, used map[*backend]map[poolKey]bool) *targets {
	out := &targets{byCookie: map[string]*target{}}
	key := poolKey{n.zone, l.BackendPort, l.BackendProtocol}
	for _, k := range all {
		if !spec.covers(k.spec.Zone) || len(spec.Zones) > 0 && !spec.CrossZone && k.spec.Zone != n.zone {
			continue
		}
		t := &target{backend: k, key: key}
		t.fresh, t.stuck = choice{t, false}, choice{t, true}
		if l.BackendProtocol.Web() {
			t.pool = k.pool(key, spec)
			used[k][key] = true
		}
		out.all = append(out.all, t)
		out.byCookie[k.cookie] = t
	}
	return out
}

// healthy says whether any is.
func (ts *targets) healthy() bool {
	for _, t := range ts.all {
		if t.backend.healthy.Load() {
			return true
		}
	}
	return false
}

// least is the healthy target with the fewest requests under way, of those that turn would be next,
// and begins one there. full says that there are healthy ones, and all do as much as limit says.
func (ts *targets) least(turn uint32, tried []*http1.Pool, limit int) (best *target, full bool) {
	for range 3 { // another may take the last place meanwhile
		var fewest, resting int64
		var rest *target // the best of those that skipped their turn, as they start slowly
		best, full = nil, false
		for i := range ts.all {
			t := ts.all[(int(turn)+i)%len(ts.all)]
			if !t.healthy.Load() || has(tried, t.pool) {
				continue
			}
			n := t.active.Load()
			if limit > 0 && n >= int64(limit) {
				full = true
				continue
			}
			if t.starting() {
				if rest == nil || n < resting {
					rest, resting = t, n
				}
				continue
			}
			if best == nil || n < fewest {
				best, fewest = t, n
			}
		}
		if best == nil {
			best = rest
		}
		if best == nil {
			return nil, full
		}
		if best.begin(limit) {
			return best, false
		}
		full = true
	}
	return nil, full
}

// next is the healthy target whose turn it is, of those that tried does not have, and begins a
// connection there.
func (ts *targets) next(turn uint32, tried map[*backend]bool, limit int) (chosen *target, full bool) {
	var rest *target
	for i := range ts.all {
		t := ts.all[(int(turn)+i)%len(ts.all)]
		switch {
		case !t.healthy.Load() || tried[t.backend]:
		case t.starting():
			if rest == nil {
				rest = t
			}
		case t.begin(limit):
			return t, false
		default:
			full = true
		}
	}
	if rest != nil {
		if rest.begin(limit) {
			return rest, false
		}
		full = true
	}
	return nil, full
}

func has(tried []*http1.Pool, p *http1.Pool) bool {
	for _, t := range tried {
		if t == p {
			return true
		}
	}
	return false
}

// starting says whether the backend skips this turn, as its share still grows: it takes one with a
// probability that is how much of the time has passed.
func (k *backend) starting() bool {
	since := k.since.Load()
	if since == 0 {
		return false
	}
	window := int64(k.b.spec.Load().SlowStart)
	passed := time.Now().UnixNano() - since
	if passed >= window {
		k.since.CompareAndSwap(since, 0)
		return false
	}
	return rand.Int64N(window) >= passed
}
