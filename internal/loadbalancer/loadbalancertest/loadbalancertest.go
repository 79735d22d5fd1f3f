// Package loadbalancertest is a region's network, instances and certificates for
// tests of what makes load balancers.
package loadbalancertest

import (
	"context"
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// Region is where it all is, and the first part of each zone's name.
const Region = "ap-northeast-2"

// Certificates: two that are issued, and one that is not yet.
const (
	Issued  = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000001"
	Other   = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000002"
	Pending = "arn:aws:acm:ap-northeast-2:111122223333:certificate/00000000-0000-0000-0000-000000000003"
)

// World is what a service of load balancers asks of others. Tests change it.
type World struct {
	Nets        []loadbalancer.Subnet
	DefaultNets []loadbalancer.Subnet
	Gateways    []string // the VPCs that have one
	Groups      []loadbalancer.SecurityGroup
	Machines    []loadbalancer.Instance
	Err         error // of all answers
}

var (
	_ loadbalancer.Network      = (*World)(nil)
	_ loadbalancer.Instances    = (*World)(nil)
	_ loadbalancer.Certificates = (*World)(nil)
)

// New returns vpc-1, which has an internet gateway, subnets in three zones and
// instances i-1 to i-3 that run in one each, and vpc-2 beside it.
func New() *World {
	return &World{
		Nets: []loadbalancer.Subnet{
			Subnet("subnet-a", "vpc-1", "a", 200), Subnet("subnet-b", "vpc-1", "b", 200), Subnet("subnet-a2", "vpc-1", "a", 200),
			Subnet("subnet-c", "vpc-1", "c", 8), Subnet("subnet-full", "vpc-1", "c", 7),
			Subnet("subnet-x", "vpc-2", "b", 200), Subnet("subnet-y", "vpc-2", "c", 200),
		},
		Gateways: []string{"vpc-1"},
		Groups: []loadbalancer.SecurityGroup{
			Group("sg-default", "vpc-1", "default"), Group("sg-1", "vpc-1", "web"), Group("sg-2", "vpc-1", "more"),
			Group("sg-x", "vpc-2", "default"),
		},
		Machines: []loadbalancer.Instance{
			Instance("i-1", "vpc-1", "a", "running"), Instance("i-2", "vpc-1", "b", "running"), Instance("i-3", "vpc-1", "c", "running"),
			Instance("i-4", "vpc-1", "a", "stopped"), Instance("i-5", "vpc-1", "a", "pending"), Instance("i-e", "vpc-2", "a", "running"),
		},
	}
}

// Subnet is one with so many free addresses.
func Subnet(id, vpc, zone string, free int) loadbalancer.Subnet {
	return loadbalancer.Subnet{ID: id, VPC: vpc, Zone: Region + zone, Free: free}
}

// Group is a security group.
func Group(id, vpc, name string) loadbalancer.SecurityGroup {
	return loadbalancer.SecurityGroup{ID: id, VPC: vpc, Name: name}
}

// Instance is one in a state: running, stopped …
func Instance(id, vpc, zone, state string) loadbalancer.Instance {
	return loadbalancer.Instance{ID: id, VPC: vpc, Zone: Region + zone, State: state}
}

// VPC implements loadbalancer.Network.
func (w *World) VPC(_ context.Context, id string) (bool, error) {
	return id == "vpc-1" || id == "vpc-2", w.Err
}

// Subnets implements loadbalancer.Network.
func (w *World) Subnets(_ context.Context, ids []string) ([]loadbalancer.Subnet, error) {
	return filtered(w.Nets, func(s loadbalancer.Subnet) bool { return slices.Contains(ids, s.ID) }), w.Err
}

// DefaultSubnets implements loadbalancer.Network.
func (w *World) DefaultSubnets(context.Context) ([]loadbalancer.Subnet, error) {
	return w.DefaultNets, w.Err
}

// InternetGateway implements loadbalancer.Network.
func (w *World) InternetGateway(_ context.Context, vpc string) (bool, error) {
	return slices.Contains(w.Gateways, vpc), w.Err
}

// SecurityGroups implements loadbalancer.Network.
func (w *World) SecurityGroups(_ context.Context, ids []string) ([]loadbalancer.SecurityGroup, error) {
	return filtered(w.Groups, func(g loadbalancer.SecurityGroup) bool { return slices.Contains(ids, g.ID) }), w.Err
}

// DefaultGroup implements loadbalancer.Network.
func (w *World) DefaultGroup(_ context.Context, vpc string) (loadbalancer.SecurityGroup, error) {
	for _, g := range w.Groups {
		if g.VPC == vpc && g.Name == "default" {
			return g, w.Err
		}
	}
	return loadbalancer.SecurityGroup{}, fmt.Errorf("%s has no default group", vpc)
}

// Instances implements loadbalancer.Instances.
func (w *World) Instances(_ context.Context, ids []string) ([]loadbalancer.Instance, error) {
	return filtered(w.Machines, func(i loadbalancer.Instance) bool { return slices.Contains(ids, i.ID) }), w.Err
}

// Issued implements loadbalancer.Certificates.
func (w *World) Issued(_ context.Context, arn string) (bool, error) {
	return arn == Issued || arn == Other, w.Err
}

func filtered[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !keep(v) })
}
