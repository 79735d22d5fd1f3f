package metering

import (
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

const autoScalingNamespace = "AWS/AutoScaling"

// Group is the metrics of a group that are enabled, as of a time. Those of a warm
// pool are there if it has one.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-metrics.html
func Group(at time.Time, g autoscaling.Group, members []autoscaling.Member) []metrics.Datum {
	b := newBatch(autoScalingNamespace, at.Round(time.Second))
	values := groupValues(g, members)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(g.Metrics))) {
		if v, ok := values[name]; ok {
			b.add(name, none, float64(v), 1, dims("AutoScalingGroupName", g.Name))
		}
	}
	return b.data
}

// phase is what a group's metrics tell members' states apart by.
type phase int

const (
	otherwise phase = iota // on the way between the group and elsewhere
	inService
	pending
	standby
	terminating
	warmed
	warmPending
	warmTerminating
	phases
)

var phaseOf = map[autoscaling.State]phase{
	autoscaling.Pending: pending, autoscaling.PendingWait: pending, autoscaling.PendingProceed: pending,
	autoscaling.InService:       inService,
	autoscaling.EnteringStandby: standby, autoscaling.Standby: standby,
	autoscaling.TerminatingNow: terminating, autoscaling.TerminatingWait: terminating, autoscaling.TerminatingProceed: terminating,
	autoscaling.WarmedPending: warmPending, autoscaling.WarmedPendingWait: warmPending, autoscaling.WarmedPendingProceed: warmPending,
	autoscaling.WarmedStopped: warmed, autoscaling.WarmedRunning: warmed, autoscaling.WarmedHibernated: warmed,
	autoscaling.WarmedTerminating: warmTerminating, autoscaling.WarmedTerminatingWait: warmTerminating,
	autoscaling.WarmedTerminatingProceed: warmTerminating,
}

func groupValues(g autoscaling.Group, members []autoscaling.Member) map[string]int {
	var instances, capacity [phases]int
	for _, m := range members {
		p := phaseOf[m.State]
		instances[p]++
		capacity[p] += max(1, m.Weight)
	}
	total := func(n [phases]int) int { return n[inService] + n[pending] + n[terminating] }
	values := map[string]int{
		"GroupMinSize": g.Min, "GroupMaxSize": g.Max, "GroupDesiredCapacity": g.Desired,

		"GroupInServiceInstances":   instances[inService],
		"GroupPendingInstances":     instances[pending],
		"GroupStandbyInstances":     instances[standby],
		"GroupTerminatingInstances": instances[terminating],
		"GroupTotalInstances":       total(instances),

		"GroupInServiceCapacity":   capacity[inService],
		"GroupPendingCapacity":     capacity[pending],
		"GroupStandbyCapacity":     capacity[standby],
		"GroupTerminatingCapacity": capacity[terminating],
		"GroupTotalCapacity":       total(capacity),
	}
	if g.WarmPool == nil {
		return values
	}
	prepared := g.WarmPool.MaxPrepared
	if prepared < 0 {
		prepared = g.Max
	}
	desired := max(g.WarmPool.Min, prepared-g.Desired)
	pool := capacity[warmed] + capacity[warmPending] + capacity[warmTerminating]
	values["WarmPoolMinSize"] = g.WarmPool.Min
	values["WarmPoolDesiredCapacity"] = desired
	values["WarmPoolWarmedCapacity"] = capacity[warmed]
	values["WarmPoolPendingCapacity"] = capacity[warmPending]
	values["WarmPoolTerminatingCapacity"] = capacity[warmTerminating]
	values["WarmPoolTotalCapacity"] = pool
	values["GroupAndWarmPoolDesiredCapacity"] = g.Desired + desired
	values["GroupAndWarmPoolTotalCapacity"] = total(capacity) + pool
	return values
}
