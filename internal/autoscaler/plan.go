package autoscaler

import (
	"context"
	"math/rand/v2"
	"time"
)

// Plan decides what to do about a cluster at a moment. It changes nothing, and
// decides the same for the same arguments. The error is of the scheduler's
// plug-ins, which then could not be set up.
func Plan(s Snapshot, o Options, now time.Time) (d Decision, err error) {
	d = Decision{Unremovable: map[string]Reason{}, Memory: s.Memory.clone()}
	who := count(&s, &o, &d.Memory, now)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := newCluster(ctx, &s)
	if err != nil {
		return d, err
	}
	waiting := findPending(&s, &o)
	d.Pods = len(waiting.unschedulable)
	s.picture(c, who, waiting, &o)
	templates := map[string]*template{}
	daemons := daemonPods(&s)
	for _, g := range who.groups {
		if t := newTemplate(c, g, daemons, &o); t != nil {
			templates[g.Name] = t
		}
	}
	upcome(c, who, templates)
	followUp(who, &o, &d, now)
	defer func() {
		d.close(who)
		d.trace = c.trace
	}()
	terminate(who, &o, &d)
	if !who.healthy {
		d.warn("Cluster is not ready for autoscaling")
		d.Unhealthy = true
		d.Memory.Unneeded = map[string]time.Time{}
		return d, nil
	}
	limits := newLimits(&s, who, templates, &o)
	pods := c.fit(old(waiting.unschedulable, &o, now, &d))
	h := &helper{
		c: c, o: &o, s: &s, d: &d, who: who, templates: templates, size: map[*groupCensus]int{}, nodes: who.size(), limits: limits,
		dice: rand.New(rand.NewPCG(uint64(now.UnixNano()), 0)),
	}
	for _, g := range who.groups {
		h.size[g] = g.Desired
	}
	shrunk := len(d.Shrink) > 0 // sizes are not what they were: next time
	switch {
	case shrunk:
	case len(pods) == 0:
		d.say(1, "No unschedulable pods")
	case !o.ScaleUpFromZero && who.total.Ready == 0:
		d.warn("Cluster has no ready nodes.")
	default:
		for i, pod := range pods {
			if i == loggedPods {
				d.say(1, "%d other pods are also unschedulable", len(pods)-i)
				break
			}
			d.say(1, "Pod %s/%s is unschedulable", pod.Namespace, pod.Name)
		}
		d.say(4, "Upcoming %d nodes", who.upcoming())
		h.help(pods)
	}
	if o.EnforceMinSize && !shrunk {
		h.fill()
	}
	for _, up := range d.ScaleUps {
		d.Memory.request(up, now)
	}
	if len(d.ScaleUps) > 0 {
		return d, nil
	}
	if o.ScaleDown && !shrunk {
		r := &reducer{c: c, o: &o, s: &s, d: &d, who: who, budgets: newBudgets(s.Budgets), limits: limits, now: now}
		r.reduce()
	}
	return d, nil
}

// loggedPods is how many pods are named in the log at most.
const loggedPods = 20

// close puts the census into the decision, after it was made.
func (d *Decision) close(who *census) {
	d.Cluster = who.total
	for _, g := range who.groups {
		if b, ok := d.Memory.Backoffs[g.Name]; ok && g.state.Backoff != nil {
			g.state.Backoff = &b
		}
		d.Groups = append(d.Groups, g.state)
	}
}

func (c *census) upcoming() int {
	n := 0
	for _, g := range c.groups {
		n += g.state.Upcoming
	}
	return n
}

// fill raises groups that are below their least size to it.
func (h *helper) fill() {
	for _, g := range h.who.groups {
		if h.size[g] >= g.Min || h.skip(g) != "" {
			continue
		}
		up := ScaleUp{Group: g.Name, From: h.size[g], To: g.Min, Max: g.Max}
		h.d.ScaleUps = append(h.d.ScaleUps, up)
		h.size[g] = g.Min
	}
}

// request remembers a scale-up.
func (m *Memory) request(up ScaleUp, now time.Time) {
	r := m.Requests[up.Group]
	m.Requests[up.Group] = Request{At: now, Increase: r.Increase + up.To - up.From}
	last := m.Last[up.Group]
	last.ScaleUp = now
	m.Last[up.Group] = last
}

// followUp looks at the scale-ups under way: done, too late or impossible.
func followUp(who *census, o *Options, d *Decision, now time.Time) {
	m := &d.Memory
	for name, b := range m.Backoffs {
		switch g := who.byName[name]; {
		case b.Last.Add(o.BackoffReset).Before(now) && !b.Until.After(now):
			delete(m.Backoffs, name)
		case g != nil && b.Until.After(now):
			g.state.Backoff = new(b)
			d.due(b.Until)
		}
	}
	for name := range m.Requests {
		if who.byName[name] == nil {
			delete(m.Requests, name)
		}
	}
	for _, g := range who.groups {
		limit := or(g.Override.ProvisionTime, o.MaxNodeProvisionTime)
		r, asked := m.Requests[g.Name]
		alive := g.alive()
		switch {
		case g.LaunchError != "" && g.Desired > alive:
			d.warn("Instance group %s cannot provision any more nodes!", g.Name)
			if to := max(alive, g.Min); to < g.Desired {
				d.say(4, "asg %s has placeholders instances with desired capacity = %d and active instances = %d. updating ASG to match active instances count", g.Name, g.Desired, alive)
				d.Shrink = append(d.Shrink, Resize{g.Name, g.Desired, to})
			}
			g.backOff(o, d, now, "placeholder-cannot-be-fulfilled", g.LaunchError)
			delete(m.Requests, g.Name)
		case !asked:
		case g.state.Upcoming == 0:
			d.say(4, "Scale up in group %s finished successfully in %s", g.Name, now.Sub(r.At))
			delete(m.Requests, g.Name)
		case !r.At.Add(limit).After(now):
			after := now.Sub(r.At)
			d.warn("Scale-up timed out for node group %s after %s", g.Name, after)
			d.TimedOut = append(d.TimedOut, Timeout{g.Name, after})
			g.backOff(o, d, now, "timeout", "Scale-up timed out for node group "+g.Name+" after "+after.String())
			delete(m.Requests, g.Name)
			if to := max(alive, g.Min); to < g.Desired { // what was never launched is not waited for
				d.Shrink = append(d.Shrink, Resize{g.Name, g.Desired, to})
			}
		default:
			d.due(r.At.Add(limit))
		}
	}
}

// alive is how many instances the group has.
func (g *groupCensus) alive() int {
	n := 0
	for _, i := range g.Instances {
		if !i.Terminating {
			n++
		}
	}
	return n
}

// backOff keeps the group from growing for a while, each time for longer.
func (g *groupCensus) backOff(o *Options, d *Decision, now time.Time, code, message string) {
	if b, ok := d.Memory.Backoffs[g.Name]; ok && b.Until.After(now) {
		return // it is known
	}
	b := d.Memory.Backoffs[g.Name].next(o, now, code, message)
	d.Memory.Backoffs[g.Name] = b
	g.state.Backoff = &b
	d.BackedOff = append(d.BackedOff, g.Name)
	d.due(b.Until)
	d.warn("Disabling scale-up for node group %s until %s; errorClass=Other; errorCode=%s", g.Name, b.Until, code)
}

// next is the backoff after one more failure.
func (b Backoff) next(o *Options, now time.Time, code, message string) Backoff {
	duration := o.InitialBackoff
	if b.Duration > 0 && b.Last.Add(o.BackoffReset).After(now) {
		duration = min(2*b.Duration, o.MaxBackoff)
	}
	return Backoff{Until: now.Add(duration), Last: now, Duration: duration, Code: code, Message: message}
}

// terminate ends instances that have not become nodes in time.
func terminate(who *census, o *Options, d *Decision) {
	for _, g := range who.groups {
		if len(g.never) == 0 {
			continue
		}
		room := g.Desired - g.Min
		for _, s := range d.Shrink {
			if s.Group == g.Name {
				room = s.To - g.Min
			}
		}
		if o.ForceDeleteUnregistered {
			room = len(g.never)
		}
		if room <= 0 {
			d.warn("Node group %s min size reached, skipping removal of %d unregistered nodes", g.Name, len(g.never))
			continue
		}
		for _, id := range g.never[:min(room, len(g.never))] {
			d.say(0, "Marking unregistered node %s for removal", id)
			d.Terminate = append(d.Terminate, Termination{g.Name, id})
		}
	}
}
