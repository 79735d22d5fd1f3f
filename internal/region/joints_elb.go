package region

import (
	"context"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
)

// elbNetwork is what both versions of ELB ask of EC2 about networks.
type elbNetwork struct{ ec2 *ec2.Service }

// VPC implements loadbalancer.Network.
func (e elbNetwork) VPC(ctx context.Context, id string) (bool, error) {
	_, err := e.ec2.VPCs.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Subnets implements loadbalancer.Network.
func (e elbNetwork) Subnets(ctx context.Context, ids []string) ([]loadbalancer.Subnet, error) {
	free, err := e.ec2.FreeAddresses(ctx)
	if err != nil {
		return nil, err
	}
	return found(ctx, e.ec2.Subnets, ids, func(s ec2.Subnet) loadbalancer.Subnet {
		return loadbalancer.Subnet{ID: s.ID, VPC: s.VPC, Zone: s.Zone, Free: free[s.ID]}
	})
}

// DefaultSubnets implements loadbalancer.Network: there is no default VPC.
func (e elbNetwork) DefaultSubnets(context.Context) ([]loadbalancer.Subnet, error) { return nil, nil }

// InternetGateway implements loadbalancer.Network.
func (e elbNetwork) InternetGateway(ctx context.Context, vpc string) (bool, error) {
	gateways, _, err := e.ec2.InternetGateways.List(ctx, "")
	for _, g := range gateways {
		if g.Value.VPC == vpc {
			return true, err
		}
	}
	return false, err
}

// SecurityGroups implements loadbalancer.Network.
func (e elbNetwork) SecurityGroups(ctx context.Context, ids []string) ([]loadbalancer.SecurityGroup, error) {
	return found(ctx, e.ec2.SecurityGroups, ids, elbGroup)
}

// DefaultGroup implements loadbalancer.Network.
func (e elbNetwork) DefaultGroup(ctx context.Context, vpc string) (loadbalancer.SecurityGroup, error) {
	g, err := e.ec2.DefaultGroup(ctx, vpc)
	return elbGroup(g), err
}

func elbGroup(g ec2.SecurityGroup) loadbalancer.SecurityGroup {
	return loadbalancer.SecurityGroup{ID: g.ID, VPC: g.VPC, Name: g.Name}
}

// elbInstances is what both versions of ELB ask of EC2 about instances.
type elbInstances struct{ ec2 *ec2.Service }

// Instances implements loadbalancer.Instances.
func (e elbInstances) Instances(ctx context.Context, ids []string) ([]loadbalancer.Instance, error) {
	all, err := found(ctx, e.ec2.Instances, ids, func(i ec2.Instance) ec2.Instance { return i })
	var alive []loadbalancer.Instance
	for _, i := range all {
		if i.State != ec2.Terminated {
			alive = append(alive, loadbalancer.Instance{ID: i.ID, VPC: i.VPC, Zone: i.Zone, State: string(i.State)})
		}
	}
	return alive, err
}

// found are the items of those keys that exist.
func found[T, R any](ctx context.Context, c *store.Collection[T], keys []string, as func(T) R) ([]R, error) {
	var all []R
	for _, key := range keys {
		item, err := c.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, as(item.Value))
	}
	return all, nil
}

// elbHealth is what both versions of ELB and the naming loop ask of the balancing
// loop, which is made after them.
type elbHealth struct{ *Region }

// Health implements elb.Health.
func (r elbHealth) Health(ctx context.Context, lb elb.LoadBalancer) ([]elb.InstanceHealth, error) {
	return r.balancing.Health(ctx, lb)
}

// TargetHealth implements elbv2.Health.
func (r elbHealth) TargetHealth(ctx context.Context, lb elbv2.LoadBalancer, g elbv2.TargetGroup) ([]elbv2.TargetHealth, error) {
	return r.balancing.TargetHealth(ctx, lb, g)
}

// InService implements naming.Health.
func (r elbHealth) InService(lb loadbalancer.Placement) bool {
	return slices.ContainsFunc(r.balancing.Proxy().Health(lb.ID), func(b proxy.BackendHealth) bool {
		return b.State == proxy.InService && !b.Draining
	})
}
