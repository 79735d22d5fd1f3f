package region

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// Status is what `tarn status -o json` prints.
type Status struct {
	Region        string               `json:"region"`
	Account       string               `json:"account"`
	Endpoint      string               `json:"endpoint"` // of the AWS APIs
	Kubeconfig    string               `json:"kubeconfig"`
	CA            string               `json:"ca"`    // of ACM's certificates
	DNS           string               `json:"dns"`   // host's view of Route 53: an address with its port
	HTTPS         string               `json:"https"` // the front doors, by which load
	HTTP          string               `json:"http"`  // balancers are reached by their names
	Registry      string               `json:"registry"`
	Cluster       *ClusterStatus       `json:"cluster"`
	Nodegroups    []NodegroupStatus    `json:"nodegroups"`
	Instances     []InstanceStatus     `json:"instances"`
	LoadBalancers []LoadBalancerStatus `json:"loadBalancers"`
	Processes     []ProcessStatus      `json:"processes"`
}

// LoadBalancerStatus is a load balancer's part of Status.
type LoadBalancerStatus struct {
	Name      string `json:"name"`
	DNSName   string `json:"dnsName"`
	Address   string `json:"address"` // on the host; "" while it has none
	Ports     []int  `json:"ports"`
	InService int    `json:"inService"` // instances
	Instances int    `json:"instances"` // or targets of its target groups
	// Names are those in Route 53 that lead to it.
	Names []string `json:"names"`
}

// ClusterStatus is the cluster's part of Status.
type ClusterStatus struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Endpoint string `json:"endpoint"`
	CA       string `json:"ca"`
	DNS      string `json:"dns"` // the resolver in its VPC
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
		CA:            CAFile(string(r.layout)),
		DNS:           r.listen.dns.Addr().String(),
		HTTPS:         r.listen.https.Addr().String(),
		HTTP:          r.listen.http.Addr().String(),
		LoadBalancers: []LoadBalancerStatus{},
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
			s.Cluster = &ClusterStatus{Name: c.Name, Version: cluster.Version, Endpoint: item.Value.Endpoint.URL, CA: c.CAFile()}
			if n, err := r.networkOf(item.Value.VPC); err == nil {
				s.Cluster.DNS = subnet.Resolver(n.record.CIDR).String()
			}
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
	if s.LoadBalancers, err = r.loadBalancerStatus(ctx); err != nil {
		return s, err
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

// loadBalancerStatus says how the load balancers do.
func (r *Region) loadBalancerStatus(ctx context.Context) ([]LoadBalancerStatus, error) {
	all := []LoadBalancerStatus{}
	classic, _, err := r.elb.LoadBalancers.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, item := range classic {
		s := r.placedStatus(item.Value.Placement)
		s.Instances = len(item.Value.Instances)
		for _, l := range item.Value.Listeners {
			s.Ports = append(s.Ports, int(l.Port))
		}
		all = append(all, s)
	}
	applications, _, err := r.elbv2.LoadBalancers.List(ctx, "")
	if err != nil {
		return nil, err
	}
	groups, _, err := r.elbv2.TargetGroups.List(ctx, "")
	for _, item := range applications {
		s := r.placedStatus(item.Value.Placement)
		for _, l := range item.Value.Listeners {
			s.Ports = append(s.Ports, int(l.Port))
		}
		for _, g := range groups {
			if item.Value.Uses(r.elbv2.TargetGroupARN(g.Value)) {
				s.Instances += len(g.Value.Targets)
			}
		}
		all = append(all, s)
	}
	return all, err
}

// placedStatus says where a load balancer is, and how many of its instances do well.
func (r *Region) placedStatus(p loadbalancer.Placement) LoadBalancerStatus {
	s := LoadBalancerStatus{Name: p.Name, DNSName: p.DNSName, Ports: []int{}, Names: []string{}}
	for _, b := range r.balancing.Proxy().Health(p.ID) {
		if b.State == proxy.InService && !b.Draining {
			s.InService++
		}
	}
	if !p.HostAddress.IsValid() {
		return s
	}
	s.Address = p.HostAddress.String()
	hosts := r.Hosted().Hosts
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		if hosts[name] == p.HostAddress && !strings.HasSuffix(name, strings.ToLower(p.DNSName)) { // dualstack. is its own name, too
			s.Names = append(s.Names, name)
		}
	}
	return s
}
