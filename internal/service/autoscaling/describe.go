package autoscaling

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// DescribeAutoScalingGroups implements autoscalingapi.Handler. Names of groups that
// do not exist are passed over.
func (s *Service) DescribeAutoScalingGroups(ctx context.Context, in *autoscalingapi.DescribeAutoScalingGroupsInput) (*autoscalingapi.DescribeAutoScalingGroupsOutput, error) {
	for _, f := range in.Filters {
		if n := api.Val(f.Name); n != "tag-key" && n != "tag-value" && !strings.HasPrefix(n, "tag:") {
			return nil, invalid("Filter type %s is not correct. Allowed Filter types are: tag-key tag-value tag:<key>", n)
		}
	}
	all, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(it store.Item[Group]) bool {
		return len(in.AutoScalingGroupNames) > 0 && !slices.Contains(in.AutoScalingGroupNames, it.Key) || !it.Value.matches(in.Filters)
	})
	groups, next, err := page(all, func(it store.Item[Group]) string { return it.Key }, in.MaxRecords, in.NextToken, 50, 100)
	if err != nil {
		return nil, err
	}
	members, _, err := s.members.List(ctx)
	if err != nil {
		return nil, err
	}
	byGroup := map[string][]Member{}
	for _, it := range members {
		byGroup[it.Value.Group] = append(byGroup[it.Value.Group], it.Value)
	}
	out := &autoscalingapi.DescribeAutoScalingGroupsOutput{AutoScalingGroups: []autoscalingapi.AutoScalingGroup{}, NextToken: next}
	for _, it := range groups {
		out.AutoScalingGroups = append(out.AutoScalingGroups, s.groupOut(it.Value, byGroup[it.Key]))
	}
	return out, nil
}

// matches says whether the group has the tags that the filters want: all of the
// filters, each by one of its values.
func (g Group) matches(filters []autoscalingapi.Filter) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(g.Tags, func(t Tag) bool {
			switch name := *f.Name; name {
			case "tag-key":
				return slices.Contains(f.Values, t.Key)
			case "tag-value":
				return slices.Contains(f.Values, t.Value)
			default:
				return t.Key == strings.TrimPrefix(name, "tag:") && slices.Contains(f.Values, t.Value)
			}
		}) {
			return false
		}
	}
	return true
}

func (s *Service) groupOut(g Group, members []Member) autoscalingapi.AutoScalingGroup {
	out := autoscalingapi.AutoScalingGroup{
		AutoScalingGroupName: &g.Name, AutoScalingGroupARN: new(s.ARN(g)), CreatedTime: &g.Created, ServiceLinkedRoleARN: pointer(g.ServiceRole),
		LaunchConfigurationName: pointer(g.LaunchConfiguration), LaunchTemplate: g.LaunchTemplate, MixedInstancesPolicy: g.Mixed,
		MinSize: number(g.Min), MaxSize: number(g.Max), DesiredCapacity: number(g.Desired), DesiredCapacityType: pointer(g.DesiredType),
		DefaultCooldown: inSeconds(g.Cooldown), HealthCheckType: &g.HealthCheck, HealthCheckGracePeriod: inSeconds(g.GracePeriod),
		AvailabilityZones: present(g.Zones), LoadBalancerNames: present(g.LoadBalancers), TargetGroupARNs: present(g.TargetGroups),
		TerminationPolicies: present(g.TerminationPolicies), NewInstancesProtectedFromScaleIn: &g.ProtectNew,
		Instances: []autoscalingapi.Instance{}, SuspendedProcesses: []autoscalingapi.SuspendedProcess{},
		EnabledMetrics: []autoscalingapi.EnabledMetric{}, TrafficSources: []autoscalingapi.TrafficSourceIdentifier{}, Tags: g.tags(),
		PlacementGroup: pointer(g.Placement), Context: pointer(g.Context), CapacityRebalance: &g.Rebalance, InstanceMaintenancePolicy: g.Maintenance,
		VPCZoneIdentifier: new(""),
	}
	if !g.Implied {
		out.VPCZoneIdentifier = new(strings.Join(g.Subnets, ","))
	}
	if g.MaxInstanceLifetime > 0 {
		out.MaxInstanceLifetime = inSeconds(g.MaxInstanceLifetime)
	}
	if g.Warmup >= 0 {
		out.DefaultInstanceWarmup = inSeconds(g.Warmup)
	}
	if g.Deleting {
		out.Status = new("Delete in progress")
	}
	for _, p := range g.Suspended {
		out.SuspendedProcesses = append(out.SuspendedProcesses, autoscalingapi.SuspendedProcess{ProcessName: &p.Process, SuspensionReason: &p.Reason})
	}
	for _, m := range g.Metrics {
		out.EnabledMetrics = append(out.EnabledMetrics, autoscalingapi.EnabledMetric{Metric: &m, Granularity: new(granularity)})
	}
	for _, lb := range g.LoadBalancers {
		out.TrafficSources = append(out.TrafficSources, autoscalingapi.TrafficSourceIdentifier{Identifier: &lb, Type: new(trafficELB)})
	}
	for _, arn := range g.TargetGroups {
		out.TrafficSources = append(out.TrafficSources, autoscalingapi.TrafficSourceIdentifier{Identifier: &arn, Type: new(trafficELBv2)})
	}
	warm := 0
	for _, m := range members {
		if m.Warm() {
			warm++
			continue
		}
		out.Instances = append(out.Instances, m.out())
	}
	if g.WarmPool != nil {
		out.WarmPoolConfiguration, out.WarmPoolSize = g.WarmPool.out(), number(warm)
	}
	return out
}

// present is the list as it is in a reply: there, if empty.
func present[T any](list []T) []T { return append([]T{}, list...) }

func (m Member) out() autoscalingapi.Instance {
	out := autoscalingapi.Instance{
		InstanceId: &m.Instance, InstanceType: pointer(m.Type), AvailabilityZone: &m.Zone, LifecycleState: autoscalingapi.LifecycleState(m.Shown()),
		HealthStatus: new(m.health()), LaunchConfigurationName: pointer(m.Configuration), ProtectedFromScaleIn: &m.Protected,
	}
	if m.Template != "" {
		out.LaunchTemplate = &autoscalingapi.LaunchTemplateSpecification{
			LaunchTemplateId: &m.Template, LaunchTemplateName: pointer(m.TemplateName), Version: pointer(m.Version),
		}
	}
	if m.Weight > 0 {
		out.WeightedCapacity = new(strconv.Itoa(m.Weight))
	}
	return out
}

func (m Member) health() string {
	if m.Healthy {
		return healthy
	}
	return unhealthy
}

// DescribeAutoScalingInstances implements autoscalingapi.Handler. Instances that are
// in no group are passed over. Health is in capitals here.
func (s *Service) DescribeAutoScalingInstances(ctx context.Context, in *autoscalingapi.DescribeAutoScalingInstancesInput) (*autoscalingapi.DescribeAutoScalingInstancesOutput, error) {
	if len(in.InstanceIds) > 50 {
		return nil, constraint("instanceIds", "["+strings.Join(in.InstanceIds, ", ")+"]", "have length less than or equal to 50")
	}
	all, _, err := s.members.List(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(it store.Item[Member]) bool {
		return len(in.InstanceIds) > 0 && !slices.Contains(in.InstanceIds, it.Value.Instance)
	})
	id := func(it store.Item[Member]) string { return it.Value.Instance }
	slices.SortFunc(all, func(a, b store.Item[Member]) int { return cmp.Compare(id(a), id(b)) })
	members, next, err := page(all, id, in.MaxRecords, in.NextToken, 50, 50)
	out := &autoscalingapi.DescribeAutoScalingInstancesOutput{AutoScalingInstances: []autoscalingapi.AutoScalingInstanceDetails{}, NextToken: next}
	for _, it := range members {
		i := it.Value.out()
		out.AutoScalingInstances = append(out.AutoScalingInstances, autoscalingapi.AutoScalingInstanceDetails{
			AutoScalingGroupName: &it.Value.Group, InstanceId: i.InstanceId, InstanceType: i.InstanceType, AvailabilityZone: i.AvailabilityZone,
			LifecycleState: new(string(i.LifecycleState)), HealthStatus: new(strings.ToUpper(*i.HealthStatus)),
			LaunchConfigurationName: i.LaunchConfigurationName, LaunchTemplate: i.LaunchTemplate, ProtectedFromScaleIn: i.ProtectedFromScaleIn,
			WeightedCapacity: i.WeightedCapacity,
		})
	}
	return out, err
}
