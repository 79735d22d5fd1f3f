package balancing

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
)

// connect gives load balancers what they lack in their VPCs.
func (l *Loop) connect(ctx context.Context, s *State, w *work) {
	plan := PlanInterfaces(s.placements(), s.Interfaces)
	for _, r := range plan.Regroup {
		if err := l.cfg.EC2.SetInterfaceGroups(ctx, r.ENI, r.Groups); err != nil {
			w.fail(r.LoadBalancer, err)
		}
	}
	for label, nodes := range plan.Forget {
		l.changeRecord(ctx, s, w, label, func(lb *loadbalancer.Placement) bool {
			lb.Nodes = slices.DeleteFunc(lb.Nodes, func(n loadbalancer.Node) bool { return slices.Contains(nodes, n) })
			return true
		})
	}
	var made []string
	for _, c := range plan.Create {
		id, err := l.create(ctx, s, w, c)
		if err != nil {
			w.fail(c.LoadBalancer.Label(), err)
			continue
		}
		made = append(made, id)
	}
	l.awaitAll(ctx, made)
	for _, lb := range s.placements() {
		for _, n := range lb.Nodes {
			w.fail(lb.Label(), l.cfg.Host.AddAddress(lb.VPC, n.Address))
		}
	}
}

// create makes a network interface and records it. One that could not be recorded
// is nobody's, and is deleted in the next round.
func (l *Loop) create(ctx context.Context, s *State, w *work, c Interface) (id string, err error) {
	eni, err := l.cfg.EC2.CreateNetworkInterface(ctx, ec2.InterfaceInput{
		Subnet: c.Subnet, SecurityGroups: c.LoadBalancer.SecurityGroups,
		Description: description(c.LoadBalancer.Label()), Requester: Requester,
	})
	if err != nil {
		return "", err
	}
	l.log.Info("made a load balancer's network interface", "loadBalancer", c.LoadBalancer.Label(), "eni", eni.ID, "address", eni.Addresses[0], "zone", c.Zone)
	s.Interfaces = append(s.Interfaces, eni)
	l.changeRecord(ctx, s, w, c.LoadBalancer.Label(), func(lb *loadbalancer.Placement) bool {
		if !slices.Contains(lb.Subnets, c.Subnet) {
			return false // it left the subnet meanwhile
		}
		lb.Nodes = append(lb.Nodes, loadbalancer.Node{Zone: c.Zone, Subnet: c.Subnet, ENI: eni.ID, Address: eni.Addresses[0]})
		return true
	})
	return eni.ID, nil
}

// awaitAll waits a while until new network interfaces are let through: packets
// before would be sent again a second later.
func (l *Loop) awaitAll(ctx context.Context, interfaces []string) {
	if l.cfg.Await == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	for _, id := range interfaces {
		if err := l.cfg.Await(ctx, id); err != nil {
			l.log.Warn("the security groups of a load balancer's network interface are not enforced yet", "eni", id, "error", err)
		}
	}
}

// errLeft ends a change that has nothing to change.
var errLeft = errors.New("the load balancer is not what it was")

// changeRecord changes where a load balancer's record says that it is, and what this
// round knows of it. One that was deleted stays so.
func (l *Loop) changeRecord(ctx context.Context, s *State, w *work, label string, change func(*loadbalancer.Placement) bool) {
	all := s.placements()
	i := slices.IndexFunc(all, func(p *loadbalancer.Placement) bool { return p.Label() == label })
	if i < 0 {
		return
	}
	known := all[i]
	var now loadbalancer.Placement
	apply := func(p *loadbalancer.Placement) error {
		if p.ID != known.ID || !change(p) {
			return errLeft
		}
		now = *p
		return nil
	}
	var err error
	if known.Type == loadbalancer.Application {
		_, err = l.cfg.ELBv2.LoadBalancers.Modify(ctx, known.Name, func(lb *elbv2.LoadBalancer) error { return apply(&lb.Placement) })
	} else {
		_, err = l.cfg.ELB.LoadBalancers.Modify(ctx, known.Name, func(lb *elb.LoadBalancer) error { return apply(&lb.Placement) })
	}
	switch {
	case errors.Is(err, errLeft), errors.Is(err, store.ErrNotFound):
	case err != nil:
		w.fail(label, err)
	default:
		*known = now
	}
}

// remove deletes the network interfaces of load balancers and of nodes that are
// gone. It returns when to look again, or 0.
func (l *Loop) remove(ctx context.Context, s State, w *work) (wait time.Duration) {
	plan, now := PlanInterfaces(s.placements(), s.Interfaces), time.Now()
	gone := map[string]bool{}
	for _, eni := range plan.Delete {
		gone[eni.ID] = true
		until, known := l.leaving[eni.ID]
		if !known {
			if l.active[l.owners[eni.ID]] {
				until = now.Add(l.linger)
			}
			l.leaving[eni.ID] = until
		}
		if left := until.Sub(now); left > 0 {
			if wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		name := eni.Description[len(description("")):]
		w.fail(name, l.delete(ctx, eni))
	}
	maps.DeleteFunc(l.leaving, func(id string, _ time.Time) bool { return !gone[id] })
	return wait
}

func (l *Loop) delete(ctx context.Context, eni ec2.NetworkInterface) error {
	for _, a := range eni.Addresses {
		if err := l.cfg.Host.RemoveAddress(eni.VPC, a); err != nil {
			return err
		}
	}
	if err := l.cfg.EC2.DeleteNetworkInterface(ctx, eni.ID); err != nil {
		return err
	}
	l.log.Info("deleted a load balancer's network interface", "eni", eni.ID, "description", eni.Description)
	return nil
}
