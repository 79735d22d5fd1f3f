package scaling

import (
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// Capacity is what there is of a group, in the units of its size: instances, or
// their weights.
type Capacity struct {
	Ready   int // in service, and warm
	Warming int // being launched, or in service for less than the warm-up
	Leaving int // on their way out
}

// CapacityOf counts a group's members. Those of its warm pool, in standby or
// detaching are no part of it.
func CapacityOf(members []autoscaling.Member, warmup time.Duration, now time.Time) Capacity {
	var c Capacity
	for _, m := range members {
		units := max(m.Weight, 1)
		switch {
		case leaving(m):
			c.Leaving += units
		case !m.Counts():
		case Warming(m, warmup, now):
			c.Warming += units
		default:
			c.Ready += units
		}
	}
	return c
}

func leaving(m autoscaling.Member) bool {
	switch m.State {
	case autoscaling.TerminatingNow, autoscaling.TerminatingWait, autoscaling.TerminatingProceed:
		return true
	case autoscaling.Pending, autoscaling.PendingWait, autoscaling.PendingProceed, autoscaling.InService:
		return m.Ending
	}
	return false
}

// Warming says whether an instance is not yet to be measured: what it uses while
// it starts says nothing about the load.
func Warming(m autoscaling.Member, warmup time.Duration, now time.Time) bool {
	return m.State != autoscaling.InService || m.InService.IsZero() || now.Before(m.InService.Add(warmup))
}

// WarmupOf is how long an instance of the group is no part of what a policy (that
// tracks a target, or goes by steps) looks at: the policy's own, the group's, or
// for want of both the group's cooldown.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-default-instance-warmup.html
func WarmupOf(g autoscaling.Group, p autoscaling.Policy) time.Duration {
	switch {
	case p.Warmup != nil:
		return *p.Warmup
	case g.Warmup >= 0:
		return g.Warmup
	}
	return g.Cooldown
}
