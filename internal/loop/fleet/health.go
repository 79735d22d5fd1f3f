package fleet

import (
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// What an activity's cause says of an instance that is taken out.
const (
	failedEC2  = "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped"
	failedELB  = "an instance was taken out of service in response to an ELB system health check failure"
	outlived   = "an instance was taken out of service in response to exceeding the maximum instance lifetime"
	refreshing = "an instance was taken out of service in response to an instance refresh"
)

// checkHealth finds members that are not healthy, and ends them; the group's size
// brings others in their place.
func (p *planner) checkHealth() {
	for _, m := range p.members {
		if m.Healthy && !m.Ending && !p.suspends(autoscaling.HealthCheck) {
			if why := p.failing(m); why != "" {
				m.Healthy, m.Unhealthy = false, why
			}
		}
		gone := m.ending() && (m.Warm() || m.State == autoscaling.Standby)
		replaced := gone || m.Counts() && !m.Healthy
		if replaced && !m.Ending && !p.suspends(autoscaling.ReplaceUnhealthy) && !p.suspends(autoscaling.Terminate) {
			why := m.Unhealthy
			if why == "" {
				why = failedEC2
			}
			p.end(m, sentence(p.Now, why))
		}
	}
}

// failing says what is wrong with a member, "" if nothing is.
func (p *planner) failing(m *member) string {
	switch m.State {
	case autoscaling.Pending, autoscaling.PendingWait, autoscaling.PendingProceed:
		if m.ending() { // one of the warm pool is stopped until it is started
			return failedEC2
		}
	case autoscaling.InService:
		if m.ending() || m.instance.State == ec2.Stopping || m.instance.State == ec2.Stopped {
			return failedEC2
		}
		if strings.Contains(p.Group.HealthCheck, "ELB") && p.failsChecks(m) {
			if grace := m.Since.Add(p.Group.GracePeriod); p.Now.Before(grace) {
				p.due(grace)
				return ""
			}
			return failedELB
		}
	}
	return ""
}

// failsChecks says that a load balancer or target group of the group finds the member wanting.
func (p *planner) failsChecks(m *member) bool {
	for _, name := range p.Group.Traffic() {
		b := p.Balancers[name]
		if slices.Contains(b.Registered, m.Instance) && slices.Contains(b.Failing, m.Instance) {
			return true
		}
	}
	return false
}

// expire ends members that have lived for as long as the group lets them, a tenth
// of the group at a time.
func (p *planner) expire() {
	limit := p.Group.MaxInstanceLifetime
	if limit <= 0 || p.suspends(autoscaling.Terminate) {
		return
	}
	var old []*member
	for _, m := range p.which(inService) {
		if end := m.instance.Launched.Add(limit); p.Now.Before(end) {
			p.due(end)
		} else {
			old = append(old, m)
		}
	}
	slices.SortFunc(old, func(a, b *member) int { return a.instance.Launched.Compare(b.instance.Launched) })
	at := max(1, p.Group.Desired/10) - max(0, p.Group.Desired-p.inServiceCapacity())
	for _, m := range old[:min(len(old), max(0, at))] {
		p.end(m, sentence(p.Now, outlived))
	}
}

// inServiceCapacity is what of the capacity is in service.
func (p *planner) inServiceCapacity() int {
	n := 0
	for _, m := range p.which(inService) {
		n += m.weight()
	}
	return n
}
