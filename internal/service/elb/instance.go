package elb

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// States of an instance behind a load balancer, and who is the reason.
const (
	InService    = "InService"
	OutOfService = "OutOfService"
	Unknown      = "Unknown"

	reasonELB      = "ELB"
	reasonInstance = "Instance"
)

func ids(instances []elbapi.Instance) []string {
	var list []string
	for _, i := range instances {
		list = append(list, api.Val(i.InstanceId))
	}
	return unique(list)
}

func instancesOut(ids []string) []elbapi.Instance {
	out := make([]elbapi.Instance, len(ids))
	for i := range ids {
		out[i].InstanceId = &ids[i]
	}
	return out
}

func noInstance(id string) error {
	return elbapi.InvalidEndPointException.New("Could not find EC2 instance %s.", id)
}

// lookup finds instances by their ids.
func (s *Service) lookup(ctx context.Context, ids []string) (map[string]loadbalancer.Instance, error) {
	found, err := s.instances.Instances(ctx, ids)
	byID := map[string]loadbalancer.Instance{}
	for _, i := range found {
		byID[i.ID] = i
	}
	return byID, err
}

// RegisterInstancesWithLoadBalancer implements elbapi.Handler.
func (s *Service) RegisterInstancesWithLoadBalancer(ctx context.Context, in *elbapi.RegisterInstancesWithLoadBalancerInput) (*elbapi.RegisterInstancesWithLoadBalancerOutput, error) {
	add := ids(in.Instances)
	if len(add) == 0 {
		return nil, invalid("Instances cannot be empty")
	}
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		found, err := s.lookup(ctx, add)
		if err != nil {
			return err
		}
		for _, id := range add {
			i, ok := found[id]
			switch {
			case !ok:
				return noInstance(id)
			case i.VPC != lb.VPC:
				return elbapi.InvalidEndPointException.New("EC2 instance %s is not in the same VPC as ELB.", id)
			case !slices.Contains(lb.Instances, id):
				lb.Instances = append(lb.Instances, id)
			}
		}
		if len(lb.Instances) > maxInstances {
			return invalid("A load balancer cannot have more than %d registered instances", maxInstances)
		}
		return nil
	})
	return &elbapi.RegisterInstancesWithLoadBalancerOutput{Instances: instancesOut(lb.Instances)}, err
}

// DeregisterInstancesFromLoadBalancer implements elbapi.Handler. An instance that is
// registered may have been terminated since.
func (s *Service) DeregisterInstancesFromLoadBalancer(ctx context.Context, in *elbapi.DeregisterInstancesFromLoadBalancerInput) (*elbapi.DeregisterInstancesFromLoadBalancerOutput, error) {
	gone := ids(in.Instances)
	if len(gone) == 0 {
		return nil, invalid("Instances cannot be empty")
	}
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		found, err := s.lookup(ctx, gone)
		if err != nil {
			return err
		}
		for _, id := range gone {
			if _, ok := found[id]; !ok && !slices.Contains(lb.Instances, id) {
				return noInstance(id)
			}
		}
		lb.Instances = slices.DeleteFunc(lb.Instances, func(id string) bool { return slices.Contains(gone, id) })
		return nil
	})
	return &elbapi.DeregisterInstancesFromLoadBalancerOutput{Instances: instancesOut(lb.Instances)}, err
}

// DescribeInstanceHealth implements elbapi.Handler. Instances that were terminated
// have no state; those that are named must exist, registered or not.
func (s *Service) DescribeInstanceHealth(ctx context.Context, in *elbapi.DescribeInstanceHealthInput) (*elbapi.DescribeInstanceHealthOutput, error) {
	lb, err := s.get(ctx, in.LoadBalancerName)
	if err != nil {
		return nil, err
	}
	wanted := lb.Instances
	if len(in.Instances) > 0 {
		wanted = ids(in.Instances)
	}
	found, err := s.lookup(ctx, wanted)
	if err != nil {
		return nil, err
	}
	probed, err := s.health.Health(ctx, lb)
	if err != nil {
		return nil, err
	}
	out := &elbapi.DescribeInstanceHealthOutput{InstanceStates: []elbapi.InstanceState{}}
	for _, id := range wanted {
		i, ok := found[id]
		if !ok {
			if len(in.Instances) > 0 && !slices.Contains(lb.Instances, id) {
				return nil, noInstance(id)
			}
			continue
		}
		h := lb.healthOf(i, probed)
		out.InstanceStates = append(out.InstanceStates, elbapi.InstanceState{
			InstanceId: &h.ID, State: &h.State, ReasonCode: &h.ReasonCode, Description: &h.Description,
		})
	}
	return out, nil
}

// healthOf says how an instance does, in AWS's words.
func (lb LoadBalancer) healthOf(i loadbalancer.Instance, probed []InstanceHealth) InstanceHealth {
	out := InstanceHealth{ID: i.ID, State: OutOfService, ReasonCode: reasonInstance}
	n := slices.IndexFunc(probed, func(h InstanceHealth) bool { return h.ID == i.ID })
	switch {
	case !slices.Contains(lb.Instances, i.ID):
		if n >= 0 { // it is still probed, or may end what it has begun
			return probed[n]
		}
		out.Description = "Instance is not currently registered with the LoadBalancer."
	case i.State != "running":
		out.Description = "Instance is in " + i.State + " state."
	case !slices.Contains(lb.Zones, i.Zone):
		out.ReasonCode = reasonELB
		out.Description = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to."
	case n >= 0:
		return probed[n]
	default:
		out.ReasonCode = reasonELB
		out.Description = "Instance registration is still in progress."
	}
	return out
}
