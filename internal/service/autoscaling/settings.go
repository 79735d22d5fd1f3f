package autoscaling

import (
	"slices"
	"strings"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// terminationPolicies are those that DescribeTerminationPolicyTypes returns.
var terminationPolicies = []string{
	"AllocationStrategy", "ClosestToNextInstanceHour", DefaultTermination, "NewestInstance", "OldestInstance", "OldestLaunchConfiguration",
	"OldestLaunchTemplate",
}

// settings are what creating and updating a group have in common; nil is not given.
type settings struct {
	cooldown, grace, lifetime, warmup *int32
	healthCheck, placement, context   *string
	kind                              *string // of desired capacity
	policies                          []string
	protect, rebalance                *bool
	maintenance                       *autoscalingapi.InstanceMaintenancePolicy
}

// set checks the settings that are given and sets them.
func (g *Group) set(in settings) error {
	for _, check := range []func(settings) error{g.setTimes, g.setHealthCheck, g.setTermination, g.setMaintenance} {
		if err := check(in); err != nil {
			return err
		}
	}
	if in.placement != nil {
		if *in.placement != "" {
			return invalid("The Placement Group '%s' is unknown.", *in.placement)
		}
		g.Placement = ""
	}
	if in.context != nil {
		g.Context = *in.context
	}
	if in.kind != nil {
		if err := oneOf("desiredCapacityType", *in.kind, "units", "vcpu", "memory-mib"); err != nil {
			return err
		}
		g.DesiredType = *in.kind
	}
	if in.protect != nil {
		g.ProtectNew = *in.protect
	}
	if in.rebalance != nil {
		g.Rebalance = *in.rebalance
	}
	return nil
}

func (g *Group) setTimes(in settings) error {
	if in.cooldown != nil {
		if err := between("defaultCooldown", int(*in.cooldown), 0, 1<<31-1); err != nil {
			return err
		}
		g.Cooldown = seconds(*in.cooldown)
	}
	if in.grace != nil {
		if *in.grace < 0 {
			return invalid("Grace period must be a positive integer.")
		}
		g.GracePeriod = seconds(*in.grace)
	}
	if in.lifetime != nil {
		if n := *in.lifetime; n != 0 && (n < 86400 || n > 31536000) {
			return invalid("maxInstanceLifetime must be between 86400 and 31536000 seconds (inclusive)")
		}
		g.MaxInstanceLifetime = seconds(*in.lifetime)
	}
	if in.warmup != nil {
		if err := between("defaultInstanceWarmup", int(*in.warmup), -1, 1<<31-1); err != nil {
			return err
		}
		g.Warmup = seconds(*in.warmup)
	}
	return nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func inSeconds(d time.Duration) *int32 { return new(int32(d / time.Second)) }

func (g *Group) setHealthCheck(in settings) error {
	if in.healthCheck == nil {
		return nil
	}
	types := fields(*in.healthCheck)
	for _, t := range types {
		switch {
		case t != HealthEC2 && t != HealthELB:
			return invalid("Health check type %s is not supported. Valid types are: [EC2, ELB]", t)
		case t == HealthEC2 && len(types) > 1:
			return invalid("Specifying EC2 in addition to other health check types is not supported")
		}
	}
	if len(types) == 0 {
		return constraint("healthCheckType", *in.healthCheck, "have length greater than or equal to 1")
	}
	g.HealthCheck = strings.Join(types, ",")
	return nil
}

func (g *Group) setTermination(in settings) error {
	for _, p := range in.policies {
		if !slices.Contains(terminationPolicies, p) {
			return invalid("[%s] is not a valid termination policy", p)
		}
	}
	if len(in.policies) > 0 {
		g.TerminationPolicies = in.policies
	}
	return nil
}

// setMaintenance sets the instance maintenance policy; twice -1 takes it away.
func (g *Group) setMaintenance(in settings) error {
	m := in.maintenance
	if m == nil {
		return nil
	}
	if m.MinHealthyPercentage == nil || m.MaxHealthyPercentage == nil {
		return invalid("Both MinHealthyPercentage and MaxHealthyPercentage must be specified")
	}
	least, most := *m.MinHealthyPercentage, *m.MaxHealthyPercentage
	if least == -1 && most == -1 {
		g.Maintenance = nil
		return nil
	}
	g.Maintenance = m
	return checkHealthy(least, most)
}

// checkHealthy checks how many instances must be and may be healthy, in percent.
func checkHealthy(least, most int32) error {
	if err := between("minHealthyPercentage", int(least), 0, 100); err != nil {
		return err
	}
	if err := between("maxHealthyPercentage", int(most), 100, 200); err != nil {
		return err
	}
	if most-least > 100 {
		return invalid("The difference between MaxHealthyPercentage and MinHealthyPercentage must be less than or equal to 100")
	}
	return nil
}
