package elbv2

import (
	"slices"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// LoadBalancer is the record of an Application Load Balancer. Its key is its name.
type LoadBalancer struct {
	loadbalancer.Placement

	Listeners  []Listener        `json:",omitempty"`
	Attributes Attributes        `json:",omitzero"`
	Tags       map[string]string `json:",omitempty"`
}

// The protocols of listeners and target groups.
const (
	HTTP  = "HTTP"
	HTTPS = "HTTPS"
)

// Listener takes connections at a port and forwards their requests to a target
// group.
type Listener struct {
	ID          string // the last part of its ARN
	Rule        string // the last part of its default rule's ARN
	Protocol    string // HTTP or HTTPS
	Port        int32
	Certificate string            `json:",omitempty"` // ARN; of HTTPS
	SSLPolicy   string            `json:",omitempty"` // name; of HTTPS
	TargetGroup string            // ARN
	Tags        map[string]string `json:",omitempty"`
}

// Attributes are a load balancer's settings beside its parts.
type Attributes struct {
	DeletionProtection bool
	IdleTimeout        int32  // seconds
	Desync             string // DesyncMonitor, DesyncDefensive or DesyncStrictest
	// HTTP2 is what users ask for. It is not spoken, and clients fall back.
	HTTP2 bool
}

// The values of routing.http.desync_mitigation_mode.
const (
	DesyncMonitor   = "monitor"
	DesyncDefensive = "defensive"
	DesyncStrictest = "strictest"
)

// Uses says whether one of the load balancer's listeners forwards to the target
// group with the ARN.
func (lb *LoadBalancer) Uses(targetGroup string) bool {
	return slices.ContainsFunc(lb.Listeners, func(l Listener) bool { return l.TargetGroup == targetGroup })
}

// listener finds a listener by its id; it is nil if there is none.
func (lb *LoadBalancer) listener(id string) *Listener {
	i := slices.IndexFunc(lb.Listeners, func(l Listener) bool { return l.ID == id })
	if i < 0 {
		return nil
	}
	return &lb.Listeners[i]
}

// at finds the listener at a port; it is nil if there is none.
func (lb *LoadBalancer) at(port int32) *Listener {
	i := slices.IndexFunc(lb.Listeners, func(l Listener) bool { return l.Port == port })
	if i < 0 {
		return nil
	}
	return &lb.Listeners[i]
}

// ready says whether clients reach the load balancer: on the host, or in each of
// its subnets.
func (lb *LoadBalancer) ready() bool {
	return lb.HostAddress.IsValid() || !slices.ContainsFunc(lb.Subnets, func(subnet string) bool {
		return !slices.ContainsFunc(lb.Nodes, func(n loadbalancer.Node) bool { return n.Subnet == subnet })
	})
}
