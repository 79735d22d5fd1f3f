package autoscaling

import (
	"context"
	"slices"
	"strings"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// processes are those that can be suspended, as DescribeScalingProcessTypes returns
// them.
var processes = []string{
	AZRebalance, AddToLoadBalancer, AlarmNotification, HealthCheck, InstanceRefresh, Launch, ReplaceUnhealthy, ScheduledActions, Terminate,
}

// checkProcesses reads a list of processes; an empty one is all.
func checkProcesses(list []string) ([]string, error) {
	for _, p := range list {
		if !slices.Contains(processes, p) {
			return nil, invalid("%s is not a valid scaling process. Valid scaling processes are: [%s]", p, strings.Join(processes, ", "))
		}
	}
	if len(list) == 0 {
		return processes, nil
	}
	return list, nil
}

// SuspendProcesses implements autoscalingapi.Handler.
func (s *Service) SuspendProcesses(ctx context.Context, in *autoscalingapi.SuspendProcessesInput) (*autoscalingapi.SuspendProcessesOutput, error) {
	list, err := checkProcesses(in.ScalingProcesses)
	if err != nil {
		return nil, err
	}
	_, err = s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		reason := "User suspended at " + s.now().UTC().Format(time.RFC3339)
		for _, p := range list {
			if !g.Suspends(p) {
				g.Suspended = append(g.Suspended, Suspended{p, reason})
			}
		}
		return nil
	})
	return &autoscalingapi.SuspendProcessesOutput{}, err
}

// ResumeProcesses implements autoscalingapi.Handler.
func (s *Service) ResumeProcesses(ctx context.Context, in *autoscalingapi.ResumeProcessesInput) (*autoscalingapi.ResumeProcessesOutput, error) {
	list, err := checkProcesses(in.ScalingProcesses)
	if err != nil {
		return nil, err
	}
	_, err = s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		g.Suspended = slices.DeleteFunc(g.Suspended, func(p Suspended) bool { return slices.Contains(list, p.Process) })
		return nil
	})
	return &autoscalingapi.ResumeProcessesOutput{}, err
}

// granularity is the only one that AWS has.
const granularity = "1Minute"

// GroupMetrics are the metrics of a group that can be enabled.
var GroupMetrics = []string{
	"GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances", "GroupTerminatingInstances",
	"GroupStandbyInstances", "GroupTotalInstances", "GroupInServiceCapacity", "GroupPendingCapacity", "GroupTerminatingCapacity",
	"GroupStandbyCapacity", "GroupTotalCapacity", "WarmPoolMinSize", "WarmPoolDesiredCapacity", "WarmPoolPendingCapacity",
	"WarmPoolTerminatingCapacity", "WarmPoolWarmedCapacity", "WarmPoolTotalCapacity", "GroupAndWarmPoolDesiredCapacity",
	"GroupAndWarmPoolTotalCapacity",
}

func checkMetrics(list []string) ([]string, error) {
	for _, m := range list {
		if !slices.Contains(GroupMetrics, m) {
			return nil, invalid("Valid metrics collection types are: [%s]", strings.Join(GroupMetrics, ", "))
		}
	}
	if len(list) == 0 {
		return GroupMetrics, nil
	}
	return list, nil
}

// EnableMetricsCollection implements autoscalingapi.Handler.
func (s *Service) EnableMetricsCollection(ctx context.Context, in *autoscalingapi.EnableMetricsCollectionInput) (*autoscalingapi.EnableMetricsCollectionOutput, error) {
	list, err := checkMetrics(in.Metrics)
	if err != nil {
		return nil, err
	}
	if *in.Granularity != granularity {
		return nil, invalid("Valid metrics granularity type is: [%s]", granularity)
	}
	_, err = s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		g.Metrics = unique(slices.Concat(g.Metrics, list))
		return nil
	})
	return &autoscalingapi.EnableMetricsCollectionOutput{}, err
}

// DisableMetricsCollection implements autoscalingapi.Handler.
func (s *Service) DisableMetricsCollection(ctx context.Context, in *autoscalingapi.DisableMetricsCollectionInput) (*autoscalingapi.DisableMetricsCollectionOutput, error) {
	list, err := checkMetrics(in.Metrics)
	if err != nil {
		return nil, err
	}
	_, err = s.modify(ctx, in.AutoScalingGroupName, func(g *Group) error {
		g.Metrics = missing(g.Metrics, list)
		return nil
	})
	return &autoscalingapi.DisableMetricsCollectionOutput{}, err
}
