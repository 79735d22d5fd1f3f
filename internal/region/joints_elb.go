package region

import (
	"context"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/store"
)

// elbNetwork is what ELB asks of EC2 about networks.
type elbNetwork struct{ ec2 *ec2.Service }

// Subnets implements elb.Network.
func (e elbNetwork) Subnets(ctx context.Context, ids []string) ([]elb.Subnet, error) {
	free, err := e.ec2.FreeAddresses(ctx)
	if err != nil {
		return nil, err
	}
	return found(ctx, e.ec2.Subnets, ids, func(s ec2.Subnet) elb.Subnet {
		return elb.Subnet{ID: s.ID, VPC: s.VPC, Zone: s.Zone, Free: free[s.ID]}
	})
}

// DefaultSubnets implements elb.Network: there is no default VPC.
func (e elbNetwork) DefaultSubnets(context.Context) ([]elb.Subnet, error) { return nil, nil }

// InternetGateway implements elb.Network.
func (e elbNetwork) InternetGateway(ctx context.Context, vpc string) (bool, error) {
	gateways, _, err := e.ec2.InternetGateways.List(ctx, "")
	for _, g := range gateways {
		if g.Value.VPC == vpc {
			return true, err
		}
	}
	return false, err
}

// SecurityGroups implements elb.Network.
func (e elbNetwork) SecurityGroups(ctx context.Context, ids []string) ([]elb.Group, error) {
	return found(ctx, e.ec2.SecurityGroups, ids, elbGroup)
}

// DefaultGroup implements elb.Network.
func (e elbNetwork) DefaultGroup(ctx context.Context, vpc string) (elb.Group, error) {
	g, err := e.ec2.DefaultGroup(ctx, vpc)
	return elbGroup(g), err
}

func elbGroup(g ec2.SecurityGroup) elb.Group { return elb.Group{ID: g.ID, VPC: g.VPC, Name: g.Name} }

// elbInstances is what ELB asks of EC2 about instances.
type elbInstances struct{ ec2 *ec2.Service }

// Instances implements elb.Instances.
func (e elbInstances) Instances(ctx context.Context, ids []string) ([]elb.Instance, error) {
	all, err := found(ctx, e.ec2.Instances, ids, func(i ec2.Instance) ec2.Instance { return i })
	var alive []elb.Instance
	for _, i := range all {
		if i.State != ec2.Terminated {
			alive = append(alive, elb.Instance{ID: i.ID, VPC: i.VPC, Zone: i.Zone, State: string(i.State)})
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

// elbHealth is what ELB and the naming loop ask of the balancing loop, which is
// made after ELB.
type elbHealth struct{ *Region }

// Health implements elb.Health.
func (r elbHealth) Health(ctx context.Context, lb elb.LoadBalancer) ([]elb.InstanceHealth, error) {
	return r.balancing.Health(ctx, lb)
}

// InService implements naming.Health.
func (r elbHealth) InService(lb elb.LoadBalancer) bool {
	return slices.ContainsFunc(r.balancing.Proxy().Health(lb.ID), func(b proxy.BackendHealth) bool {
		return b.State == proxy.InService && !b.Draining
	})
}
