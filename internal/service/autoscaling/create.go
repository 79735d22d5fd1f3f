package autoscaling

import (
	"context"
	"errors"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// CreateAutoScalingGroup implements autoscalingapi.Handler. Loop fleet launches the
// instances.
func (s *Service) CreateAutoScalingGroup(ctx context.Context, in *autoscalingapi.CreateAutoScalingGroupInput) (*autoscalingapi.CreateAutoScalingGroupOutput, error) {
	g := Group{Name: *in.AutoScalingGroupName, Warmup: -1}
	if err := s.fill(ctx, &g, in); err != nil {
		return nil, err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	all, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) >= maxGroups {
		return nil, autoscalingapi.LimitExceededFault.New("Only %d AutoScalingGroups are allowed per account", maxGroups)
	}
	var from *LaunchConfiguration
	if in.InstanceId != nil {
		if from, err = s.fromInstance(ctx, &g, in); err != nil {
			return nil, err
		}
	}
	if from != nil {
		if _, err := s.Configurations.Create(ctx, from.Name, *from); err != nil {
			return nil, err
		}
	}
	_, err = s.CreateGroup(ctx, g)
	if err != nil && from != nil {
		err = errors.Join(err, s.Configurations.Delete(ctx, from.Name))
	}
	return &autoscalingapi.CreateAutoScalingGroupOutput{}, err
}

// fill checks a request and makes the group that it describes.
func (s *Service) fill(ctx context.Context, g *Group, in *autoscalingapi.CreateAutoScalingGroupInput) error {
	if err := checkName("autoScalingGroupName", g.Name); err != nil {
		return err
	}
	from := source{in.LaunchConfigurationName, in.LaunchTemplate, in.MixedInstancesPolicy}
	if in.InstanceId != nil {
		if from.count() > 0 {
			return noSource()
		}
	} else if err := s.setSource(ctx, g, from); err != nil {
		return err
	}
	if err := checkBounds(in.MinSize, in.MaxSize, in.DesiredCapacity); err != nil {
		return err
	}
	g.Min, g.Max, g.Desired = int(*in.MinSize), int(*in.MaxSize), int(*in.MinSize)
	if in.DesiredCapacity != nil {
		g.Desired = int(*in.DesiredCapacity)
	}
	if in.InstanceId == nil || in.VPCZoneIdentifier != nil || len(in.AvailabilityZones) > 0 {
		if err := s.setPlace(ctx, g, in.VPCZoneIdentifier, in.AvailabilityZones); err != nil {
			return err
		}
	}
	g.Cooldown = defaultCooldown
	err := g.set(settings{
		cooldown: in.DefaultCooldown, grace: in.HealthCheckGracePeriod, lifetime: in.MaxInstanceLifetime, warmup: in.DefaultInstanceWarmup,
		healthCheck: in.HealthCheckType, placement: in.PlacementGroup, context: in.Context, kind: in.DesiredCapacityType,
		policies: in.TerminationPolicies, protect: in.NewInstancesProtectedFromScaleIn, rebalance: in.CapacityRebalance,
		maintenance: in.InstanceMaintenancePolicy,
	})
	if err != nil {
		return err
	}
	if err := s.addTraffic(ctx, g, in.LoadBalancerNames, in.TargetGroupARNs, in.TrafficSources); err != nil {
		return err
	}
	if err := g.fillParts(in); err != nil {
		return err
	}
	g.ServiceRole, err = s.checkRole(ctx, in.ServiceLinkedRoleARN)
	return err
}

// fillParts sets the hooks and tags.
func (g *Group) fillParts(in *autoscalingapi.CreateAutoScalingGroupInput) error {
	if len(in.LifecycleHookSpecificationList) > maxNewHooks {
		return invalid("You cannot specify more than %d hooks", maxNewHooks)
	}
	for _, h := range in.LifecycleHookSpecificationList {
		if g.hook(*h.LifecycleHookName) != nil {
			return invalid("Multiple lifecycle hooks found for name '%s'", *h.LifecycleHookName)
		}
		err := g.putHook(&autoscalingapi.PutLifecycleHookInput{
			LifecycleHookName: h.LifecycleHookName, LifecycleTransition: h.LifecycleTransition, NotificationMetadata: h.NotificationMetadata,
			HeartbeatTimeout: h.HeartbeatTimeout, DefaultResult: h.DefaultResult, NotificationTargetARN: h.NotificationTargetARN, RoleARN: h.RoleARN,
		})
		if err != nil {
			return err
		}
	}
	for _, t := range in.Tags {
		if id := api.Val(t.ResourceId); id != "" && id != g.Name {
			return invalid("Tag resource ID %s does not match the AutoScalingGroup name %s", id, g.Name)
		}
		tag, err := checkTag(t)
		if err != nil {
			return err
		}
		if err := g.put(tag); err != nil {
			return err
		}
	}
	return nil
}

// checkRole finds the role that the group acts with: the one that is given, which
// must exist, or the service's own, which is made if need be.
func (s *Service) checkRole(ctx context.Context, given *string) (string, error) {
	if api.Val(given) == "" {
		return s.identity.ServiceLinkedRole(ctx)
	}
	ok, err := s.identity.Role(ctx, *given)
	if err == nil && !ok {
		err = invalid("ARN specified for Service-Linked Role does not exist.")
	}
	return *given, err
}

// checkBounds checks sizes that are given; nil is not.
func checkBounds(least, most, desired *int32) error {
	for _, n := range []struct {
		member string
		value  *int32
	}{{"minSize", least}, {"maxSize", most}, {"desiredCapacity", desired}} {
		if n.value != nil {
			if err := between(n.member, int(*n.value), 0, 1<<31-1); err != nil {
				return err
			}
		}
	}
	switch {
	case least != nil && most != nil && *least > *most:
		return invalid("Max bound, %d, must be greater than or equal to min bound, %d", *most, *least)
	case least != nil && most != nil && desired != nil && (*desired < *least || *desired > *most):
		return invalid("Desired capacity:%d must be between the specified min size:%d and max size:%d", *desired, *least, *most)
	}
	return nil
}

// fromInstance makes the launch configuration of a group that launches more of an
// instance, and places the group where that is. Its name is the group's.
func (s *Service) fromInstance(ctx context.Context, g *Group, in *autoscalingapi.CreateAutoScalingGroupInput) (*LaunchConfiguration, error) {
	i, err := s.instance(ctx, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	if len(g.Subnets) == 0 {
		if err := s.setSubnets(ctx, g, []string{i.Subnet}, nil); err != nil {
			return nil, err
		}
	}
	if _, err := s.Configurations.Get(ctx, g.Name); err == nil {
		return nil, configurationExists(g.Name)
	}
	c := s.newConfiguration(g.Name)
	c.copy(i)
	g.LaunchConfiguration = c.Name
	return &c, nil
}

// instance finds an instance.
func (s *Service) instance(ctx context.Context, id string) (Instance, error) {
	found, err := s.instances.Instances(ctx, []string{id})
	if err != nil {
		return Instance{}, err
	}
	if len(found) == 0 {
		return Instance{}, invalid("The instance ID '%s' does not exist", id)
	}
	return found[0], nil
}
