package region

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// Status is what `tarn status -o json` prints.
type Status struct {
	Region        string            `json:"region"`
	Account       string            `json:"account"`
	Endpoint      string            `json:"endpoint"` // of the AWS APIs
	Kubeconfig    string            `json:"kubeconfig"`
	CA            string            `json:"ca"`
	DNS           string            `json:"dns"` // resolver in the VPC
	Registry      string            `json:"registry"`
	Cluster       *ClusterStatus    `json:"cluster"`
	Nodegroups    []NodegroupStatus `json:"nodegroups"`
	Instances     []InstanceStatus  `json:"instances"`
	LoadBalancers []struct{}        `json:"loadBalancers"` // none until the balancing exists
	Processes     []ProcessStatus   `json:"processes"`
}

// ClusterStatus is the cluster's part of Status.
type ClusterStatus struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Endpoint string `json:"endpoint"`
}

// NodegroupStatus is a node group's part of Status.
type NodegroupStatus struct {
	Name             string `json:"name"`
	Cluster          string `json:"cluster"`
	InstanceType     string `json:"instanceType"`
	AutoScalingGroup string `json:"autoScalingGroup"`
	Min              int    `json:"min"`
	Max              int    `json:"max"`
	Desired          int    `json:"desired"`
}

// InstanceStatus is an instance's part of Status.
type InstanceStatus struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	State     ec2.State `json:"state"`
	Zone      string    `json:"zone"`
	Address   string    `json:"address"`
	Name      string    `json:"name"`
	Nodegroup string    `json:"nodegroup"`
	Launched  time.Time `json:"launched"`
}

// ProcessStatus is a child process's part of Status.
type ProcessStatus struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
	Log      string    `json:"log"`
}

// Status says what there is.
func (r *Region) Status(ctx context.Context) (Status, error) {
	r.mu.Lock()
	current, host := r.identity.Cluster, r.host
	controlPlanes := maps.Clone(r.controlPlanes)
	r.mu.Unlock()
	s := Status{
		Region:        r.identity.Region,
		Account:       r.identity.Account,
		Endpoint:      r.identity.Endpoint(),
		Kubeconfig:    r.layout.kubeconfig(),
		Registry:      r.listen.registry.Addr().String(),
		Nodegroups:    []NodegroupStatus{},
		Instances:     []InstanceStatus{},
		LoadBalancers: []struct{}{},
		Processes: []ProcessStatus{{
			Name: "region", PID: os.Getpid(), Started: r.started, Log: LogFile(string(r.layout)),
		}},
	}
	clusters, _, err := r.eks.Clusters.List(ctx, "")
	if err != nil {
		return s, err
	}
	for _, item := range clusters {
		if c := r.describe(item.Value); c.Name == current {
			s.CA = c.CAFile()
			if n, err := r.networkOf(item.Value.VPC); err == nil {
				s.DNS = subnet.Resolver(n.record.CIDR).String()
			}
			s.Cluster = &ClusterStatus{Name: c.Name, Version: cluster.Version, Endpoint: item.Value.Endpoint.URL}
		}
	}
	groups, _, err := r.eks.Nodegroups.List(ctx, "")
	if err != nil {
		return s, err
	}
	for _, g := range groups {
		s.Nodegroups = append(s.Nodegroups, NodegroupStatus{
			Name: g.Value.Name, Cluster: g.Value.Cluster, InstanceType: g.Value.InstanceType, AutoScalingGroup: g.Value.GroupName,
			Min: g.Value.Min, Max: g.Value.Max, Desired: g.Value.Desired,
		})
	}
	instances, _, err := r.ec2.Instances.List(ctx, "")
	if err != nil {
		return s, err
	}
	for _, name := range slices.Sorted(maps.Keys(controlPlanes)) {
		p := controlPlanes[name]
		s.Processes = append(s.Processes, ProcessStatus{Name: "control-plane-" + name, Log: p.process.LogFile()}.with(p.process.Status()))
	}
	for _, item := range instances {
		i := item.Value
		s.Instances = append(s.Instances, InstanceStatus{
			ID: i.ID, Type: i.Type, State: i.State, Zone: i.Zone, Address: i.Address.String(),
			Name: i.PrivateDNSName, Nodegroup: i.Bootstrap.Nodegroup, Launched: i.Launched,
		})
		if host == nil {
			continue
		}
		if p := host.process(i.ID); p != nil {
			s.Processes = append(s.Processes, ProcessStatus{Name: i.ID, Log: p.LogFile()}.with(p.Status()))
		}
	}
	return s, nil
}
