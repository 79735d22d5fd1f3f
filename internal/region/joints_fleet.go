package region

import (
	"context"
	"errors"
	"slices"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loop/fleet"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// groupBalancers are the Classic load balancers and target groups of Auto Scaling
// groups: they are the fleet loop's Balancers.
type groupBalancers struct{ *Region }

// balancerState is what there is of a load balancer or target group.
type balancerState struct {
	registered []string // instances
	health     []proxy.BackendHealth
}

// read finds the Classic Load Balancer with a name or the target group with an ARN.
// The error of one that does not exist is store.ErrNotFound.
func (r groupBalancers) read(ctx context.Context, balancer string) (b balancerState, err error) {
	if !autoscaling.IsTargetGroup(balancer) {
		lb, err := r.elb.LoadBalancers.Get(ctx, balancer)
		return balancerState{lb.Value.Instances, r.balancing.Proxy().Health(lb.Value.ID)}, err
	}
	g, err := r.elbv2.TargetGroup(ctx, balancer)
	if err != nil {
		return b, balancerError(err)
	}
	for _, t := range g.Targets {
		if t.Port == g.Port { // others are none of Auto Scaling's
			b.registered = append(b.registered, t.ID)
		}
	}
	lb, ok, err := r.elbv2.BalancerOf(ctx, balancer)
	if err != nil || !ok {
		return b, err
	}
	b.health = slices.DeleteFunc(r.balancing.Proxy().Health(lb.ID), func(h proxy.BackendHealth) bool {
		return h.Group != g.Label() || h.Port != int(g.Port)
	})
	return b, nil
}

// State implements fleet.Balancers. An instance is registered for as long as the
// proxy has it, too: it hears of a change a little later than the store.
func (r groupBalancers) State(ctx context.Context, balancers []string) (map[string]fleet.Balancer, error) {
	all := map[string]fleet.Balancer{}
	for _, name := range balancers {
		is, err := r.read(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b := fleet.Balancer{Registered: slices.Clone(is.registered)}
		for _, h := range is.health {
			switch {
			case h.Draining:
				b.Draining = append(b.Draining, h.ID)
				continue
			case !slices.Contains(b.Registered, h.ID):
				b.Draining = append(b.Draining, h.ID)
			case h.State == proxy.OutOfService && h.Reason == proxy.ReasonInstance:
				b.Failing = append(b.Failing, h.ID)
			}
		}
		all[name] = b
	}
	return all, nil
}

// Changed implements fleet.Balancers: what changes in the store reaches the proxy.
func (r groupBalancers) Changed() <-chan struct{} { return r.balancing.Proxy().Changed() }

// autoScaling is as whom Auto Scaling calls other services.
const autoScaling = "autoscaling.amazonaws.com"

// Register implements fleet.Balancers.
func (r groupBalancers) Register(ctx context.Context, balancer string, instances []string) error {
	ctx = asService(ctx, autoScaling)
	var err error
	if autoscaling.IsTargetGroup(balancer) {
		_, err = invoke[elbv2api.RegisterTargetsOutput](ctx, r.Region, "elbv2", "RegisterTargets",
			&elbv2api.RegisterTargetsInput{TargetGroupArn: &balancer, Targets: targets(instances)})
	} else {
		_, err = invoke[elbapi.RegisterInstancesWithLoadBalancerOutput](ctx, r.Region, "elb", "RegisterInstancesWithLoadBalancer",
			&elbapi.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: &balancer, Instances: elbIDs(instances)})
	}
	return balancerError(err)
}

// Deregister implements fleet.Balancers.
func (r groupBalancers) Deregister(ctx context.Context, balancer string, instances []string) error {
	ctx = asService(ctx, autoScaling)
	var err error
	if autoscaling.IsTargetGroup(balancer) {
		_, err = invoke[elbv2api.DeregisterTargetsOutput](ctx, r.Region, "elbv2", "DeregisterTargets",
			&elbv2api.DeregisterTargetsInput{TargetGroupArn: &balancer, Targets: targets(instances)})
	} else {
		_, err = invoke[elbapi.DeregisterInstancesFromLoadBalancerOutput](ctx, r.Region, "elb", "DeregisterInstancesFromLoadBalancer",
			&elbapi.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: &balancer, Instances: elbIDs(instances)})
	}
	if elbapi.InvalidEndPointException.Is(err) || elbv2api.InvalidTargetException.Is(err) { // it has gone already
		return nil
	}
	return balancerError(err)
}

func balancerError(err error) error {
	if elbapi.AccessPointNotFoundException.Is(err) || elbv2api.TargetGroupNotFoundException.Is(err) {
		return store.ErrNotFound
	}
	return err
}

func elbIDs(instances []string) []elbapi.Instance {
	var list []elbapi.Instance
	for _, id := range instances {
		list = append(list, elbapi.Instance{InstanceId: &id})
	}
	return list
}

// targets are instances at their target group's own port.
func targets(instances []string) []elbv2api.TargetDescription {
	var list []elbv2api.TargetDescription
	for _, id := range instances {
		list = append(list, elbv2api.TargetDescription{Id: &id})
	}
	return list
}
