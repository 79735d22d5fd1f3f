// Package loadbalancer is what load balancers of all types have in common: who and
// where they are, their names in the DNS, and what they must know of networks and
// instances. Elastic Load Balancing has an API for Classic ones and another one for
// those with target groups; what places them is the same.
package loadbalancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/arn"
)

// Placement is who and where a load balancer is: a part of its record.
type Placement struct {
	Name string
	// ID is this one's, and no later one's of the same name.
	ID      string
	Type    string `json:",omitempty"` // Application, or "" of a Classic one
	DNSName string
	Scheme  string // InternetFacing or Internal
	Created time.Time

	VPC            string
	Subnets        []string // one per zone
	Zones          []string // of the subnets, in their order
	SecurityGroups []string

	// What follows is written by loop/balancing.

	// HostAddress is the load balancer's own loopback address on the host. It is
	// not valid until the load balancer listens there.
	HostAddress netip.Addr `json:",omitzero"`
	// Nodes are its addresses in the VPC, one for each subnet.
	Nodes []Node `json:",omitempty"`
}

// Application is the type of Application Load Balancers, as it is in their ARNs.
const Application = "app"

// The schemes.
const (
	InternetFacing = "internet-facing"
	Internal       = "internal"
)

// Node is where a load balancer is in a subnet.
type Node struct {
	Zone, Subnet string
	ENI          string // its network interface
	Address      netip.Addr
}

// Label is how AWS names a load balancer in descriptions of its network interfaces,
// in access logs and in metrics: web, or app/web/50dc6c495c0c9188.
func (p *Placement) Label() string {
	if p.Type == "" {
		return p.Name
	}
	return p.Type + "/" + p.Name + "/" + p.ID
}

// Domain is what the names of a region's load balancers end with:
// ap-northeast-2.elb.amazonaws.com.
func Domain(region string) string {
	domain := region + ".elb.amazonaws.com"
	if arn.Partition(region) == "aws-cn" {
		domain += ".cn"
	}
	return domain
}

// NewDNSName is a load balancer's name in the DNS. The number makes sure that no
// client that knows a name of before finds another load balancer.
func NewDNSName(name, scheme, region string) string {
	prefix := ""
	if scheme == Internal {
		prefix = "internal-"
	}
	return fmt.Sprintf("%s%s-%d.%s", prefix, name, 100_000_000+rand.IntN(2_000_000_000), Domain(region))
}

// Named says whether a name in the DNS is the load balancer's: with or without
// dualstack. before it and a dot at the end, in whatever case.
func (p *Placement) Named(name string) bool {
	name = strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(name), "."), "dualstack.")
	return strings.EqualFold(p.DNSName, name)
}

// Subnet is what a load balancer must know of a subnet.
type Subnet struct {
	ID, VPC, Zone string
	Free          int // addresses
}

// SecurityGroup is what a load balancer must know of a security group.
type SecurityGroup struct{ ID, VPC, Name string }

// Network is what the services ask EC2 about networks.
type Network interface {
	// VPC says whether there is one with the id.
	VPC(ctx context.Context, id string) (bool, error)
	// Subnets returns those of the subnets that exist, in any order.
	Subnets(ctx context.Context, ids []string) ([]Subnet, error)
	// DefaultSubnets returns the default VPC's subnet in each zone; none if there
	// is no default VPC.
	DefaultSubnets(ctx context.Context) ([]Subnet, error)
	// InternetGateway says whether the VPC has one.
	InternetGateway(ctx context.Context, vpc string) (bool, error)
	// SecurityGroups returns those of the groups that exist, in any order.
	SecurityGroups(ctx context.Context, ids []string) ([]SecurityGroup, error)
	// DefaultGroup is the default security group of a VPC.
	DefaultGroup(ctx context.Context, vpc string) (SecurityGroup, error)
}

// Instance is what a load balancer must know of an instance.
type Instance struct {
	ID, VPC, Zone string
	State         string // EC2's: pending, running, stopping …
}

// Instances is what the services ask EC2 about instances.
type Instances interface {
	// Instances returns those of the instances that exist, in any order; one that
	// is terminated does not.
	Instances(ctx context.Context, ids []string) ([]Instance, error)
}

// Certificates is what the services ask ACM.
type Certificates interface {
	// Issued says whether there is a certificate with the ARN that can be served.
	Issued(ctx context.Context, arn string) (bool, error)
}
