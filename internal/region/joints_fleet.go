package region

import (
	"context"
	"errors"
	"slices"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loop/fleet"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/store"
)

// groupBalancers are the Classic load balancers of Auto Scaling groups: they are
// the fleet loop's Balancers.
type groupBalancers struct{ *Region }

// State implements fleet.Balancers. An instance is registered for as long as the
// proxy has it, too: it hears of a change a little later than the store.
func (r groupBalancers) State(ctx context.Context, names []string) (map[string]fleet.Balancer, error) {
	all := map[string]fleet.Balancer{}
	for _, name := range names {
		lb, err := r.elb.LoadBalancers.Get(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		b := fleet.Balancer{Registered: slices.Clone(lb.Value.Instances)}
		for _, h := range r.balancing.Proxy().Health(lb.Value.ID) {
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
func (r groupBalancers) Register(ctx context.Context, name string, instances []string) error {
	_, err := invoke[elbapi.RegisterInstancesWithLoadBalancerOutput](asService(ctx, autoScaling), r.Region, "elb", "RegisterInstancesWithLoadBalancer",
		&elbapi.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: &name, Instances: elbIDs(instances)})
	return balancerError(err)
}

// Deregister implements fleet.Balancers.
func (r groupBalancers) Deregister(ctx context.Context, name string, instances []string) error {
	_, err := invoke[elbapi.DeregisterInstancesFromLoadBalancerOutput](asService(ctx, autoScaling), r.Region, "elb", "DeregisterInstancesFromLoadBalancer",
		&elbapi.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: &name, Instances: elbIDs(instances)})
	if elbapi.InvalidEndPointException.Is(err) { // it has gone already
		return nil
	}
	return balancerError(err)
}

func balancerError(err error) error {
	if elbapi.AccessPointNotFoundException.Is(err) {
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
