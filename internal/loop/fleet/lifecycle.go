package fleet

import (
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

func launching(instance string) string {
	return fmt.Sprintf(autoscaling.LaunchingInstance, instance)
}

func terminating(instance string) string {
	return fmt.Sprintf(autoscaling.TerminatingInstance, instance)
}

// to moves a member into a state.
func (p *planner) to(m *member, s autoscaling.State) {
	m.State, m.Since, m.Waits = s, p.Now, nil
}

// status notes how far the member's activity is.
func (m *member) status(s string, progress int) { m.Status, m.Progress = s, progress }

// advance moves a member on for as long as what is seen of it allows.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
func (p *planner) advance(m *member) {
	for before := autoscaling.State(""); before != m.State && !m.Gone; {
		before = m.State
		p.step(m)
	}
}

func (p *planner) step(m *member) {
	if m.Ending {
		p.leave(m)
	}
	switch m.State {
	case autoscaling.Pending:
		if m.instance.State == ec2.Stopped { // it was in the warm pool
			m.Do = Start
			return
		}
		if !p.begin(m, autoscaling.Launching, autoscaling.PendingWait) {
			p.serve(m)
		}
	case autoscaling.PendingWait:
		p.wait(m, autoscaling.PendingProceed)
	case autoscaling.PendingProceed:
		p.serve(m)
	case autoscaling.EnteringStandby:
		if p.drained(m) {
			p.to(m, autoscaling.Standby)
			m.status(autoscaling.Successful, 100)
		}
	case autoscaling.Detaching:
		switch {
		case !p.drained(m):
		case m.instance.Tags[GroupTag] == p.Group.Name:
			m.Do = Untag
		default:
			m.Gone = true
			m.status(autoscaling.Successful, 100)
		}
	case autoscaling.TerminatingNow:
		if p.drained(m) && !p.begin(m, autoscaling.Terminating, autoscaling.TerminatingWait) {
			p.finish(m)
		}
	case autoscaling.TerminatingWait:
		p.wait(m, autoscaling.TerminatingProceed)
	case autoscaling.TerminatingProceed:
		p.finish(m)
	default:
		p.stepWarm(m)
	}
}

// serve puts a member into service once it runs.
func (p *planner) serve(m *member) {
	if !m.runs() {
		return
	}
	p.to(m, autoscaling.InService)
	if m.InService.IsZero() {
		m.InService = p.Now
	}
	m.status(autoscaling.Successful, 100)
}

// finish ends a member's instance, and then the member.
func (p *planner) finish(m *member) {
	switch {
	case m.ended():
		m.Gone = true
		m.status(autoscaling.Successful, 100)
	case !m.ending():
		m.Do = Terminate
	}
}

// leave begins a member's end.
func (p *planner) leave(m *member) {
	switch m.State {
	case autoscaling.TerminatingNow, autoscaling.TerminatingWait, autoscaling.TerminatingProceed,
		autoscaling.WarmedTerminating, autoscaling.WarmedTerminatingWait, autoscaling.WarmedTerminatingProceed:
		return
	}
	m.Starts = &Activity{terminating(m.Instance), m.Cause}
	if m.Warm() {
		p.to(m, autoscaling.WarmedTerminating)
	} else {
		p.to(m, autoscaling.TerminatingNow)
	}
}

// begin has the member wait for the hooks of a transition; false if there are
// none. A group that is deleted by force waits for none.
func (p *planner) begin(m *member, transition string, wait autoscaling.State) bool {
	hooks := p.Group.HooksOf(transition)
	if len(hooks) == 0 || p.Group.Forced {
		return false
	}
	m.Begin(hooks, wait, p.Now)
	m.status(autoscaling.MidLifecycleAction, 60)
	return true
}

// wait lets the member go on when its hooks are done. One that was abandoned on
// its way in ends.
func (p *planner) wait(m *member, proceed autoscaling.State) {
	done, result, next := m.Waiting(p.Now)
	switch {
	case p.Group.Forced:
		p.to(m, proceed)
	case !done:
		p.due(next)
	case result == autoscaling.Abandon && (proceed == autoscaling.PendingProceed || proceed == autoscaling.WarmedPendingProceed):
		m.Message = m.Abandoned(p.Now)
		m.Status = autoscaling.Cancelled
		p.end(m, sentence(p.Now, "an instance was taken out of service in response to a lifecycle action that was abandoned"))
		p.leave(m)
	default:
		p.to(m, proceed)
		m.status(autoscaling.InProgress, 80)
	}
}

// drained says that no load balancer sends the member anything any more.
func (p *planner) drained(m *member) bool {
	for _, b := range p.Balancers {
		if b.has(m) {
			m.status(autoscaling.Draining, 50)
			return false
		}
	}
	return true
}

// tag gives an instance that was attached the group's tag.
func (p *planner) tag(m *member) {
	if m.State != autoscaling.Detaching && !m.ending() && m.instance.Tags[GroupTag] != p.Group.Name {
		m.Do = Tag
	}
}

// register says which instances the load balancers are to have: those in service.
// Others of the group's are taken out; what is not the group's stays.
func (p *planner) register() {
	for name, b := range p.Balancers {
		for _, m := range p.members {
			registered := slices.Contains(b.Registered, m.Instance)
			switch {
			case registered && slices.Contains(p.Group.Leaving, name):
				p.Deregister = appended(p.Deregister, name, m.Instance)
			case m.State == autoscaling.InService:
				if !registered && !slices.Contains(p.Group.Leaving, name) && !p.suspends(autoscaling.AddToLoadBalancer) {
					p.Register = appended(p.Register, name, m.Instance)
				}
			case registered && m.State != autoscaling.Pending && m.State != autoscaling.PendingWait && m.State != autoscaling.PendingProceed:
				p.Deregister = appended(p.Deregister, name, m.Instance)
			}
		}
	}
	for _, name := range p.Group.Leaving {
		if !slices.ContainsFunc(p.members, p.Balancers[name].has) {
			p.Left = append(p.Left, name)
		}
	}
}

func appended(m map[string][]string, key, value string) map[string][]string {
	if m == nil {
		m = map[string][]string{}
	}
	m[key] = append(m[key], value)
	return m
}
