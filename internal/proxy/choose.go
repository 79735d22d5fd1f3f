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
	all         []*target
	byCookie    map[string]*target
	application bool // as Balancer's
	roundRobin  bool // as Group's
}

// reach makes the targets of a node.
func (n *node) reach(spec *Balancer, l *Listener, all []*backend, used map[*backend]map[poolKey]bool) *targets {
	out := &targets{byCookie: map[string]*target{}, application: spec.Application, roundRobin: spec.group(l.Group).RoundRobin}
	for _, k := range all {
		if k.spec.Group != l.Group || !spec.covers(k.spec.Zone) || len(spec.Zones) > 0 && !spec.CrossZone && k.spec.Zone != n.zone {
			continue
		}
		key := poolKey{n.zone, l.BackendPort, l.BackendProtocol}
		if k.spec.Port != 0 {
			key.port = k.spec.Port
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

// open says that requests go to targets whether they are healthy or not, as none is: “If a target group
// contains only unhealthy registered targets, the load balancer routes requests to all those targets,
// regardless of their health status”
// (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html).
func (ts *targets) open() bool { return ts.application && !ts.healthy() }

// choose is the target for a request, of those that tried does not have, and begins it there. full says
// that there are some, and all do as much as limit says.
func (ts *targets) choose(turn uint32, tried []*http1.Pool, limit int) (t *target, full bool) {
	pick := (*targets).least
	if ts.roundRobin {
		pick = (*targets).inTurn
	}
	if t, full = pick(ts, turn, tried, limit, false); t == nil && !full && ts.open() {
		return pick(ts, turn, tried, limit, true)
	}
	return t, full
}

// inTurn is the healthy target, or any, whose turn it is. Those that are passed over do not count: else
// who comes after them had their turns.
func (ts *targets) inTurn(turn uint32, tried []*http1.Pool, limit int, open bool) (chosen *target, full bool) {
	may := func(t *target) bool { return (open || t.healthy.Load()) && !has(tried, t.pool) }
	n := uint32(0)
	for _, t := range ts.all {
		if may(t) {
			n++
		}
	}
	if n == 0 {
		return nil, false
	}
	first := 0
	for skip := turn % n; first < len(ts.all)-1; first++ {
		if !may(ts.all[first]) {
			continue
		}
		if skip == 0 {
			break
		}
		skip--
	}
	return ts.after(first, limit, may)
}

// least is the healthy target, or any, with the fewest requests under way, of those that turn would be
// next.
func (ts *targets) least(turn uint32, tried []*http1.Pool, limit int, open bool) (best *target, full bool) {
	for range 3 { // another may take the last place meanwhile
		var fewest, resting int64
		var rest *target // the best of those that skipped their turn, as they start slowly
		best, full = nil, false
		for i, at := 0, int(turn)%max(len(ts.all), 1); i < len(ts.all); i, at = i+1, at+1 {
			if at == len(ts.all) {
				at = 0
			}
			t := ts.all[at]
			if !t.healthy.Load() && !open || has(tried, t.pool) {
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
	chosen, full = ts.after(int(turn), limit, func(t *target) bool { return t.healthy.Load() && !tried[t.backend] })
	if chosen == nil && !full && ts.open() {
		return ts.after(int(turn), limit, func(t *target) bool { return !tried[t.backend] })
	}
	return chosen, full
}

// after is the first target from the one at an index on that may be chosen, with those that start slowly
// last, and begins something there.
func (ts *targets) after(first, limit int, may func(*target) bool) (chosen *target, full bool) {
	var rest *target
	for i := range ts.all {
		t := ts.all[(first+i)%len(ts.all)]
		switch {
		case !may(t):
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
	window := int64(k.group.settings.Load().SlowStart)
	passed := time.Now().UnixNano() - since
	if passed >= window {
		k.since.CompareAndSwap(since, 0)
		return false
	}
	return rand.Int64N(window) >= passed
}
