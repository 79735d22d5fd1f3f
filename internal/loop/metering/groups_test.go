package metering

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

func TestGroup(t *testing.T) {
	members := func(states ...autoscaling.State) (all []autoscaling.Member) {
		for _, s := range states {
			all = append(all, autoscaling.Member{Group: "workers", State: s})
		}
		return all
	}
	counts := []string{"GroupInServiceInstances", "GroupPendingInstances", "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances"}
	for _, tt := range []struct {
		name    string
		group   autoscaling.Group
		members []autoscaling.Member
		want    []string
	}{
		{"none is enabled", autoscaling.Group{Min: 1}, members(autoscaling.InService), nil},
		{
			"sizes", autoscaling.Group{Min: 1, Max: 5, Desired: 3, Metrics: []string{"GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupMaxSize", "Unknown"}}, nil,
			[]string{
				"GroupDesiredCapacity{AutoScalingGroupName=workers} None 3×1",
				"GroupMaxSize{AutoScalingGroupName=workers} None 5×1",
				"GroupMinSize{AutoScalingGroupName=workers} None 1×1",
			},
		},
		{
			"every state", autoscaling.Group{Metrics: counts},
			members(
				autoscaling.Pending, autoscaling.PendingWait, autoscaling.PendingProceed,
				autoscaling.InService, autoscaling.InService,
				autoscaling.Standby, autoscaling.Detaching, autoscaling.Detached, autoscaling.Terminated,
				autoscaling.TerminatingNow, autoscaling.TerminatingWait, autoscaling.TerminatingProceed, autoscaling.WarmedStopped,
			),
			[]string{
				"GroupInServiceInstances{AutoScalingGroupName=workers} None 2×1",
				"GroupPendingInstances{AutoScalingGroupName=workers} None 3×1",
				"GroupStandbyInstances{AutoScalingGroupName=workers} None 1×1",
				"GroupTerminatingInstances{AutoScalingGroupName=workers} None 3×1",
				"GroupTotalInstances{AutoScalingGroupName=workers} None 8×1",
			},
		},
		{
			"weights", autoscaling.Group{Metrics: []string{"GroupInServiceCapacity", "GroupTotalCapacity", "GroupTotalInstances"}},
			[]autoscaling.Member{{State: autoscaling.InService, Weight: 4}, {State: autoscaling.InService}, {State: autoscaling.Pending, Weight: 2}},
			[]string{
				"GroupInServiceCapacity{AutoScalingGroupName=workers} None 5×1",
				"GroupTotalCapacity{AutoScalingGroupName=workers} None 7×1",
				"GroupTotalInstances{AutoScalingGroupName=workers} None 3×1",
			},
		},
		{
			"no warm pool", autoscaling.Group{Metrics: []string{"WarmPoolTotalCapacity", "GroupAndWarmPoolTotalCapacity"}}, members(autoscaling.InService), nil,
		},
		{
			"a warm pool up to the group's maximum",
			autoscaling.Group{
				Max: 10, Desired: 3, WarmPool: &autoscaling.WarmPool{Min: 2, MaxPrepared: -1},
				Metrics: []string{
					"WarmPoolMinSize", "WarmPoolDesiredCapacity", "WarmPoolWarmedCapacity", "WarmPoolPendingCapacity", "WarmPoolTerminatingCapacity",
					"WarmPoolTotalCapacity", "GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity",
				},
			},
			members(
				autoscaling.InService, autoscaling.Pending, autoscaling.WarmedStopped, autoscaling.WarmedRunning, autoscaling.WarmedHibernated,
				autoscaling.WarmedPendingWait, autoscaling.WarmedTerminating, autoscaling.WarmedTerminated,
			),
			[]string{
				"GroupAndWarmPoolDesiredCapacity{AutoScalingGroupName=workers} None 10×1",
				"GroupAndWarmPoolTotalCapacity{AutoScalingGroupName=workers} None 7×1",
				"WarmPoolDesiredCapacity{AutoScalingGroupName=workers} None 7×1",
				"WarmPoolMinSize{AutoScalingGroupName=workers} None 2×1",
				"WarmPoolPendingCapacity{AutoScalingGroupName=workers} None 1×1",
				"WarmPoolTerminatingCapacity{AutoScalingGroupName=workers} None 1×1",
				"WarmPoolTotalCapacity{AutoScalingGroupName=workers} None 5×1",
				"WarmPoolWarmedCapacity{AutoScalingGroupName=workers} None 3×1",
			},
		},
		{
			"a warm pool's least",
			autoscaling.Group{Max: 4, Desired: 4, WarmPool: &autoscaling.WarmPool{Min: 2, MaxPrepared: 4}, Metrics: []string{"WarmPoolDesiredCapacity"}}, nil,
			[]string{"WarmPoolDesiredCapacity{AutoScalingGroupName=workers} None 2×1"},
		},
	} {
		tt.group.Name = "workers"
		if diff := gocmp.Diff(tt.want, lines(Group(noon, tt.group, tt.members), "")); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
