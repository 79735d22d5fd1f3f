// Package fleet is the loop that keeps as many instances as a node group asks
// for: it reads node groups and instances, decides in Plan, and runs or
// terminates instances through EC2.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Launch is a number of instances to run in one subnet.
type Launch struct {
	Subnet string
	Count  int
}

// Decision is what brings a group to its size.
type Decision struct {
	Launch    []Launch
	Terminate []string // instance ids
}

// Plan decides, given the group and its own instances that are alive. Launches
// go to the subnets with the fewest instances, and terminations take from those
// with the most, the oldest first, as Auto Scaling balances zones.
func Plan(group eks.Nodegroup, alive []ec2.Instance) Decision {
	if len(group.Subnets) == 0 {
		return Decision{}
	}
	bySubnet := map[string][]ec2.Instance{}
	for _, i := range alive {
		bySubnet[i.Subnet] = append(bySubnet[i.Subnet], i)
	}
	count := map[string]int{}
	for _, s := range group.Subnets {
		count[s] = len(bySubnet[s])
	}
	launch := map[string]int{}
	for range group.Desired - len(alive) {
		least := slices.MinFunc(group.Subnets, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
		count[least]++
		launch[least]++
	}
	var d Decision
	for _, s := range group.Subnets {
		if launch[s] > 0 {
			d.Launch = append(d.Launch, Launch{s, launch[s]})
		}
	}
	for _, list := range bySubnet {
		slices.SortFunc(list, func(a, b ec2.Instance) int {
			return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
		})
	}
	subnets := slices.Sorted(maps.Keys(bySubnet))
	for range len(alive) - group.Desired {
		most := slices.MaxFunc(subnets, func(a, b string) int { return cmp.Compare(len(bySubnet[a]), len(bySubnet[b])) })
		d.Terminate = append(d.Terminate, bySubnet[most][0].ID)
		bySubnet[most] = bySubnet[most][1:]
	}
	return d
}

// Loop brings node groups to their size.
type Loop struct {
	EC2    *ec2.Service
	EKS    *eks.Service
	Logger *slog.Logger
	// Retry is the pause after a failure; 0 means two seconds.
	Retry time.Duration
}

// defaultRetry is Loop.Retry where that is not set.
const defaultRetry = 2 * time.Second

// Run acts on every change of a node group or an instance until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	groups := l.EKS.Nodegroups.Follow(ctx, "")
	instances := l.EC2.Instances.Follow(ctx, "")
	defer func() {
		cancel()
		for range groups.C { // until it has ended
		}
		for range instances.C {
		}
	}()
	var again <-chan time.Time // after a failure
	for {
		select {
		case _, ok := <-groups.C:
			if !ok {
				return groups.Err()
			}
		case _, ok := <-instances.C:
			if !ok {
				return instances.Err()
			}
		case <-again:
		}
		again = nil
		if err := l.reconcile(ctx); err != nil && ctx.Err() == nil {
			l.Logger.Error("bringing node groups to their size", "error", err)
			again = time.After(cmp.Or(l.Retry, defaultRetry))
		}
	}
}

// reconcile reads afresh, because its own launches are changes too. What one
// group cannot have does not keep the others from theirs.
func (l *Loop) reconcile(ctx context.Context) error {
	groups, _, err := l.EKS.Nodegroups.List(ctx, "")
	if err != nil {
		return err
	}
	instances, _, err := l.EC2.Instances.List(ctx, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, group := range groups {
		if err := l.apply(ctx, group.Value, Plan(group.Value, members(group.Value, instances))); err != nil {
			errs = append(errs, fmt.Errorf("node group %s: %w", group.Value.Name, err))
		}
	}
	return errors.Join(errs...)
}

func members(group eks.Nodegroup, instances []store.Item[ec2.Instance]) []ec2.Instance {
	var alive []ec2.Instance
	for _, item := range instances {
		i := item.Value
		if i.Alive() && i.Bootstrap.Cluster == group.Cluster && i.Bootstrap.Nodegroup == group.Name {
			alive = append(alive, i)
		}
	}
	return alive
}

func (l *Loop) apply(ctx context.Context, group eks.Nodegroup, d Decision) error {
	var errs []error
	var taints []ec2.Taint
	for _, t := range group.Taints {
		taints = append(taints, ec2.Taint(t))
	}
	for _, launch := range d.Launch {
		launched, err := l.EC2.RunInstances(ctx, ec2.RunInput{
			Type:      group.InstanceType,
			Subnet:    launch.Subnet,
			Count:     launch.Count,
			VolumeGiB: group.VolumeGiB,
			Bootstrap: ec2.Bootstrap{
				Cluster: group.Cluster, Nodegroup: group.Name,
				Labels: nodeLabels(group), Taints: taints,
			},
			Tags: nodeTags(group),
		})
		if err != nil {
			errs = append(errs, err)
		}
		for _, i := range launched {
			l.Logger.Info("launched an instance", "group", group.GroupName, "instance", i.ID, "zone", i.Zone)
		}
	}
	for _, id := range d.Terminate {
		if err := l.EC2.TerminateInstance(ctx, id, "the group is larger than desired"); err != nil {
			errs = append(errs, err)
			continue
		}
		l.Logger.Info("terminated an instance", "group", group.GroupName, "instance", id)
	}
	return errors.Join(errs...)
}

// nodeLabels are the labels that EKS gives the nodes of a group.
func nodeLabels(group eks.Nodegroup) map[string]string {
	labels := maps.Clone(group.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	capacity := "ON_DEMAND"
	if group.Spot {
		capacity = "SPOT"
	}
	if group.Managed {
		labels["eks.amazonaws.com/nodegroup"] = group.Name
		labels["eks.amazonaws.com/capacityType"] = capacity
	}
	return labels
}

// nodeTags are the tags that EKS and Auto Scaling give the instances of a group.
func nodeTags(group eks.Nodegroup) map[string]string {
	tags := maps.Clone(group.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	tags["Name"] = group.Cluster + "-" + group.Name + "-Node"
	tags["aws:autoscaling:groupName"] = group.GroupName
	tags["eks:cluster-name"] = group.Cluster
	tags["kubernetes.io/cluster/"+group.Cluster] = "owned"
	if group.Managed {
		tags["eks:nodegroup-name"] = group.Name
	}
	return tags
}
