package region

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/loop/advising"
	"github.com/tarn-eks/tarn/internal/loop/booting"
	"github.com/tarn-eks/tarn/internal/loop/filtering"
	"github.com/tarn-eks/tarn/internal/loop/fleet"
	"github.com/tarn-eks/tarn/internal/loop/nodegroups"
	"github.com/tarn-eks/tarn/internal/loop/provisioning"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// startLoops starts the control loops, once.
func (r *Region) startLoops() {
	r.loops.Do(func() {
		r.filtering = &filtering.Loop{EC2: r.ec2, Firewall: firewall{r}, Logger: r.logger}
		h := &host{
			layout: r.layout, account: r.identity.Account, region: r.identity.Region, logger: r.logger,
			network: r.networkOf, subnet: r.subnet, covered: r.filtering.Await,
			cluster: r.clusterConfig, deleteNode: r.deleteNode, programs: sync.OnceValues(carriedPrograms),
			processes: map[string]*proc.Process{}, failures: map[string]failure{},
		}
		r.mu.Lock()
		r.host = h
		r.mu.Unlock()
		provisioning := &provisioning.Loop{EKS: r.eks, Host: controlPlanes{r}, Network: clusterNetwork{r}, Logger: r.logger}
		fleet := &fleet.Loop{
			AutoScaling: r.autoscaling, EC2: r.ec2, Client: r.store.Client(), Balancers: groupBalancers{r},
			Alarms: r.cloudwatch.Alarms, Logger: r.logger,
		}
		nodegroups := &nodegroups.Loop{
			AutoScaling: r.autoscaling, EC2: r.ec2, EKS: r.eks, Client: r.store.Client(), Logger: r.logger,
			Profiles: nodeProfiles{r}, Nodes: nodes{r},
		}
		booting := &booting.Loop{EC2: r.ec2, Host: h, Logger: r.logger}
		r.run("VPCs", r.followNetworks)
		r.run("security groups", r.filtering.Run)
		r.run("clusters", provisioning.Run)
		r.run("Auto Scaling groups", fleet.Run)
		r.run("node groups", nodegroups.Run)
		r.run("instances", booting.Run)
		r.run("names", r.naming.Run)
		r.run("load balancers", r.balancing.Run)
		r.run("health of load balancers", r.nameLoadBalancers)
		r.run("certificates", r.issuing().Run)
		r.run("alarms and policies", r.scaling().Run)
		r.run("metrics", r.metering().Run)
		r.run("old scaling activities", r.forget)
		r.run("advice", (&advising.Loop{Clusters: r.advised(), Logger: r.logger}).Run)
	})
}

// firewall sets the firewalls of the region's VPCs.
type firewall struct{ *Region }

// SetFirewall implements filtering.Firewall.
func (r firewall) SetFirewall(id string, f vpc.Firewall) error {
	n, err := r.networkOf(id)
	if err != nil {
		return fmt.Errorf("%w: %w", filtering.ErrNoNetwork, err)
	}
	return n.vpc.SetFirewall(f)
}

// subnet finds a subnet.
func (r *Region) subnet(ctx context.Context, id string) (subnet.Subnet, error) {
	s, err := r.ec2.Subnets.Get(ctx, id)
	return s.Value.Network(), err
}

// describe is what the control plane of a cluster is started with.
func (r *Region) describe(c eks.Cluster) cluster.Config {
	return cluster.Config{
		Name: c.Name, Region: r.identity.Region, ID: c.ID,
		Dir:          r.layout.cluster(c.Name),
		Etcd:         r.store.Endpoint(),
		Address:      c.Network.Address,
		LocalAddress: strings.TrimPrefix(c.Endpoint.URL, "https://"),
		ServiceCIDR:  c.ServiceCIDR,
		VPC:          c.VPC,
		Subnet:       c.Subnets[0],
	}
}

// clusterConfig finds a cluster by name.
func (r *Region) clusterConfig(ctx context.Context, name string) (cluster.Config, error) {
	item, err := r.eks.Clusters.Get(ctx, name)
	if err != nil {
		return cluster.Config{}, err
	}
	return r.describe(item.Value), nil
}

// networkNames names the VPCs, for people.
func (r *Region) networkNames() string {
	var names []string
	for _, n := range r.openedNetworks() {
		names = append(names, fmt.Sprintf("%s %s", n.record.ID, n.record.CIDR))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
