package autoscaler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// reducer decides on nodes that the cluster can do without.
type reducer struct {
	c       *cluster
	o       *Options
	s       *Snapshot
	d       *Decision
	who     *census
	budgets budgets
	limits  limits
	now     time.Time
}

// reduce finds the nodes that are not needed, and removes those that have not
// been for long enough.
func (r *reducer) reduce() {
	r.d.say(4, "Calculating unneeded nodes")
	r.settle()
	before := r.d.Memory.Unneeded
	r.d.Memory.Unneeded = map[string]time.Time{}
	mark := r.c.mark()
	spent := r.budgets.clone()
	var unneeded []*candidate
	looked := 0
	for _, c := range r.candidates(before) {
		if !c.empty && !r.worth(looked) {
			r.refuse(c.node, Reason{Code: "NotUnneededOtherReason"})
			continue
		}
		if !c.empty {
			looked++
		}
		if r.simulate(c) == nil {
			continue
		}
		if c.since.IsZero() {
			c.since = r.now
		}
		r.d.Memory.Unneeded[c.node.Name] = c.since
		r.d.say(1, "%s was unneeded for %s", c.node.Name, r.now.Sub(c.since))
		c.group.state.Candidates++
		unneeded = append(unneeded, c)
	}
	r.c.back(mark)
	r.budgets = spent
	for _, c := range unneeded {
		r.d.Unneeded = append(r.d.Unneeded, c.node.Name)
	}
	slices.Sort(r.d.Unneeded)
	last := r.d.Memory.latest()
	r.d.Cooldown = !r.o.DelayLocal && r.cold(last)
	r.d.say(4, "Scale down status: lastScaleUpTime=%s lastScaleDownDeleteTime=%s lastScaleDownFailTime=%s scaleDownForbidden=false scaleDownInCooldown=%v",
		last.ScaleUp, last.Delete, last.Failure, r.d.Cooldown)
	if !r.d.Cooldown {
		r.d.say(4, "Starting scale down")
		r.remove(unneeded)
	}
	if len(r.d.Remove) == 0 && !r.d.Cooldown {
		r.taint()
	}
}

// worth says whether one more node with pods is looked at, after so many.
func (r *reducer) worth(looked int) bool {
	if r.o.NonEmptyCandidates <= 0 {
		return true
	}
	pool := max(int(r.o.CandidatesPoolRatio*float64(len(r.s.Nodes))), r.o.CandidatesPoolMin)
	return looked < r.o.NonEmptyCandidates+pool
}

// settle places the pods of nodes that are being drained: they will be back.
func (r *reducer) settle() {
	nodes := r.c.infos()
	for _, node := range r.s.Nodes {
		if !r.d.Memory.Deleting[node.Name].Drain {
			continue
		}
		info := r.c.byName[node.Name]
		if info == nil {
			continue
		}
		for _, pod := range podsOf(info) {
			if isDaemon(pod) || isMirror(pod) {
				continue
			}
			again := loose(pod)
			r.c.take(pod, info)
			r.c.seek(&class{pods: []*corev1.Pod{again}}, nodes).place(again)
		}
	}
}

func podsOf(info *framework.NodeInfo) []*corev1.Pod {
	list := make([]*corev1.Pod, 0, len(info.Pods))
	for _, p := range info.Pods {
		list = append(list, p.GetPod())
	}
	return list
}

// loose is the pod before it had a node.
func loose(pod *corev1.Pod) *corev1.Pod {
	p := *pod
	p.Spec.NodeName = ""
	return &p
}

func (r *reducer) refuse(node *corev1.Node, why Reason) { r.d.Unremovable[node.Name] = why }

// simulate moves a node's pods elsewhere in the picture, and spends their
// budgets. It returns nil and leaves the picture as it was if that cannot be.
func (r *reducer) simulate(c *candidate) *Removal {
	r.d.say(2, "Simulating node %s removal", c.node.Name)
	move, daemons, no := drainable(podsOf(c.info), r.budgets, r.s.Replicas, r.o, r.now)
	if no != nil {
		r.d.say(2, "node %s cannot be removed: %s", c.node.Name, no.text)
		r.refuse(c.node, Reason{"BlockedByPod", no.pod.Namespace + "/" + no.pod.Name})
		return nil
	}
	mark := r.c.mark()
	removal := &Removal{Node: c.node, Group: c.group.Name, Instance: instanceID(c.node), Drain: len(move) > 0, Pods: move, DaemonPods: daemons, Utilization: c.used, Ready: c.ready}
	for _, pod := range move {
		r.c.take(pod, c.info)
	}
	r.c.taint(c.info, toBeDeletedTaint)
	nodes := r.c.infos()
	loosened := make([]*corev1.Pod, 0, len(move))
	for _, pod := range move {
		loosened = append(loosened, loose(pod))
	}
	for _, class := range classes(loosened) {
		s := r.c.seek(class, nodes)
		for _, pod := range class.pods {
			to := s.place(pod)
			if to == nil {
				r.d.say(2, "node %s is not suitable for removal: can reschedule only %d out of %d pods", c.node.Name, len(removal.Moves), len(move))
				r.refuse(c.node, Reason{Code: "NoPlaceToMovePods"})
				r.c.back(mark)
				return nil
			}
			removal.Moves = append(removal.Moves, Move{pod, to.Node().Name})
		}
	}
	r.budgets.spend(move)
	r.d.say(2, "node %s may be removed", c.node.Name)
	return removal
}

// latest is when something was last done to any group.
func (m *Memory) latest() Moments {
	var all Moments
	for _, g := range m.Last {
		all.ScaleUp, all.Delete, all.Failure = later(all.ScaleUp, g.ScaleUp), later(all.Delete, g.Delete), later(all.Failure, g.Failure)
	}
	return all
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// cold says that something was done a short time ago, so that nothing is
// removed yet.
func (r *reducer) cold(last Moments) bool {
	cold := false
	for _, wait := range []struct {
		since time.Time
		delay time.Duration
	}{{last.ScaleUp, r.o.DelayAfterAdd}, {last.Failure, r.o.DelayAfterFailure}, {last.Delete, r.o.DelayAfterDelete}} {
		if end := wait.since.Add(wait.delay); !wait.since.IsZero() && end.After(r.now) {
			cold = true
			r.d.due(end)
		}
	}
	return cold
}

// remove takes the nodes whose time has come, as many as groups, bounds and
// parallelism allow.
func (r *reducer) remove(unneeded []*candidate) {
	left := map[*groupCensus]int{} // nodes that a group can do without
	all, drains := r.o.MaxScaleDownParallelism, r.o.MaxDrainParallelism
	for _, g := range r.who.groups {
		left[g] = g.Desired - g.Min
	}
	for _, t := range r.d.Terminate {
		left[r.who.byName[t.Group]]--
	}
	for _, deletion := range r.d.Memory.Deleting {
		all--
		if deletion.Drain {
			drains--
		}
		if g := r.who.byName[deletion.Group]; g != nil && deletion.counted(r.s.Described) {
			left[g]--
		}
	}
	for _, c := range unneeded {
		wait, why := or(c.group.Override.UnneededTime, r.o.UnneededTime), "NotUnneededLongEnough"
		if !c.ready {
			wait, why = or(c.group.Override.UnreadyTime, r.o.UnreadyTime), "NotUnreadyLongEnough"
		}
		switch at := c.since.Add(wait); {
		case at.After(r.now):
			r.d.due(at)
			r.refuse(c.node, Reason{Code: why})
		case left[c.group] <= 0:
			r.refuse(c.node, Reason{Code: "NodeGroupMinSizeReached"})
		case !r.limits.spares(c.node):
			r.refuse(c.node, Reason{Code: "MinimalResourceLimitExceeded"})
		case all <= 0:
		default:
			mark, spent := r.c.mark(), r.budgets.clone()
			removal := r.simulate(c)
			if removal == nil {
				continue
			}
			if removal.Drain && drains <= 0 {
				r.c.back(mark)
				r.budgets = spent
				continue
			}
			if removal.Drain {
				drains--
			}
			all--
			left[c.group]--
			r.limits.add(c.node, -1)
			r.d.Remove = append(r.d.Remove, *removal)
		}
	}
}

// taint says which nodes are to be avoided from now on, and which no longer.
func (r *reducer) taint() {
	budget := r.o.MaxBulkSoftTaints
	for _, node := range r.s.Nodes {
		if budget <= 0 {
			return
		}
		if r.who.ofNode[node.Name] == nil || r.who.leaving[node.Name] {
			continue
		}
		_, unneeded := r.d.Memory.Unneeded[node.Name]
		switch marked := hasTaint(node, candidateTaint); {
		case unneeded && !marked:
			r.d.Mark = append(r.d.Mark, node.Name)
			budget--
		case !unneeded && marked:
			r.d.Unmark = append(r.d.Unmark, node.Name)
			budget--
		}
	}
}
