package fleet

import (
	"slices"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// parked says that an instance of the warm pool has come to wait there.
func parked(m *member) bool {
	switch m.State {
	case autoscaling.WarmedStopped, autoscaling.WarmedHibernated, autoscaling.WarmedRunning:
		return true
	}
	return false
}

// ready are the warm pool's instances that can go into service at once, those of
// the zones with the fewest first. What an instance refresh is to replace cannot.
func (p *planner) ready() []*member {
	of := p.which(warm, parked, func(m *member) bool { return m.Healthy && !slices.Contains(p.stale, m) })
	zones := map[string]int{}
	for _, m := range p.which(counts) {
		zones[m.Zone]++
	}
	var order []*member
	for len(of) > 0 {
		next := slices.MinFunc(of, func(a, b *member) int { return zones[a.Zone] - zones[b.Zone] })
		zones[next.Zone]++
		order = append(order, next)
		of = slices.DeleteFunc(of, func(m *member) bool { return m == next })
	}
	return order
}

// prepared is how many instances the warm pool is to have.
func (p *planner) prepared() int {
	w := p.Group.WarmPool
	if w == nil || w.Deleting {
		return 0
	}
	all := w.MaxPrepared
	if all < 0 {
		all = p.Group.Max
	}
	return max(w.Min, all-p.Group.Desired, 0)
}

// pool brings the warm pool to its size.
func (p *planner) pool() {
	have, want := p.which(warm), p.prepared()
	switch {
	case len(have) < want && !p.suspends(autoscaling.Launch):
		p.launch(want-len(have), autoscaling.Sentence(p.Now, "an instance was started in response to a difference between desired and actual warm pool capacity, increasing the capacity from %d to %d", len(have), want), true)
	case len(have) > want && !p.suspends(autoscaling.Terminate):
		for _, m := range have[:len(have)-want] {
			p.end(m, autoscaling.Sentence(p.Now, "an instance was taken out of the warm pool in response to a difference between desired and actual warm pool capacity, shrinking the capacity from %d to %d", len(have), want))
		}
	}
	p.PoolRemoved = p.Group.WarmPool != nil && p.Group.WarmPool.Deleting && !slices.ContainsFunc(p.members, func(m *member) bool { return m.Warm() })
}

// reuse says that a member goes into the warm pool instead of ending.
func (p *planner) reuse(m *member) bool {
	w := p.Group.WarmPool
	return w != nil && w.Reuse && !w.Deleting && m.State == autoscaling.InService && len(p.which(warm)) < p.prepared()
}

// stepWarm moves an instance of the warm pool on. One that comes from the group
// waits for the hooks of termination.
func (p *planner) stepWarm(m *member) {
	switch m.State {
	case autoscaling.WarmedPending:
		if !p.drained(m) {
			return
		}
		transition := autoscaling.Launching
		if !m.InService.IsZero() {
			transition = autoscaling.Terminating
		}
		if !p.begin(m, transition, autoscaling.WarmedPendingWait) {
			p.park(m)
		}
	case autoscaling.WarmedPendingWait:
		p.wait(m, autoscaling.WarmedPendingProceed)
	case autoscaling.WarmedPendingProceed:
		p.park(m)
	case autoscaling.WarmedTerminating:
		if !p.begin(m, autoscaling.Terminating, autoscaling.WarmedTerminatingWait) {
			p.finish(m)
		}
	case autoscaling.WarmedTerminatingWait:
		p.wait(m, autoscaling.WarmedTerminatingProceed)
	case autoscaling.WarmedTerminatingProceed:
		p.finish(m)
	}
}

// park brings an instance to the state of the warm pool. No instance can be
// hibernated here: it is stopped.
func (p *planner) park(m *member) {
	running := p.Group.WarmPool != nil && p.Group.WarmPool.State == "Running"
	switch {
	case running && m.runs():
		p.to(m, autoscaling.WarmedRunning)
	case running && m.instance.State == ec2.Stopped:
		m.Do = Start
		return
	case !running && m.instance.State == ec2.Stopped:
		p.to(m, autoscaling.WarmedStopped)
	case !running && m.runs():
		m.Do = Stop
		return
	default:
		return
	}
	m.status(autoscaling.Successful, 100)
}
