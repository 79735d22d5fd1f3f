package ec2

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// VPC is a virtual private cloud.
type VPC struct {
	ID            string
	CIDR          netip.Prefix
	AssociationID string // vpc-cidr-assoc-…
	DHCPOptions   string // dopt-…
	Tenancy       string // "" is default
	// NoDNSSupport and DNSHostnames are the attributes enableDnsSupport, which is
	// on in a new VPC, and enableDnsHostnames, which is not. AddressMetrics is
	// enableNetworkAddressUsageMetrics.
	NoDNSSupport   bool
	DNSHostnames   bool
	AddressMetrics bool
	Tags           map[string]string
	Created        time.Time
}

// Subnet is a part of a VPC in one availability zone.
type Subnet struct {
	ID   string
	VPC  string
	Zone string
	CIDR netip.Prefix
	// Public says that the subnet was laid out as a public one. What it is now is
	// a matter of its route table.
	Public      bool
	MapPublicIP bool // mapPublicIpOnLaunch
	Tags        map[string]string
	Created     time.Time
}

// Network is the subnet in the terms of package subnet.
func (s Subnet) Network() subnet.Subnet {
	return subnet.Subnet{CIDR: s.CIDR, Zone: s.Zone, Public: s.Public}
}

// CreateVPC makes a VPC as eksctl does: a public and a private subnet in each
// zone, an internet gateway with a route table for the public ones, and a route
// table for each private one. Everything gets the tags; where they have a Name
// such as eksctl-x-cluster/VPC, each thing has its own after the slash.
func (s *Service) CreateVPC(ctx context.Context, cidr netip.Prefix, zones []string, tags map[string]string) (VPC, []Subnet, error) {
	layout, err := subnet.Layout(cidr, zones)
	if err != nil {
		return VPC{}, nil, fmt.Errorf("creating a VPC: %w", err)
	}
	v, ops := s.newVPC(cidr, tags)
	v.DNSHostnames = true
	ops[0] = s.VPCs.CreateOp(v.ID, v)
	now := s.now()
	gateway := InternetGateway{ID: newID("igw"), VPC: v.ID, Tags: named(tags, "InternetGateway"), Created: now}
	public := s.newRouteTable(v, named(tags, "PublicRouteTable"))
	public.Routes = append(public.Routes, Route{Destination: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: gateway.ID})
	subnets := make([]Subnet, len(layout))
	var private []RouteTable
	for i, l := range layout {
		kind, role := "Private", "kubernetes.io/role/internal-elb"
		if l.Public {
			kind, role = "Public", "kubernetes.io/role/elb"
		}
		zone := strings.ToUpper(strings.ReplaceAll(l.Zone, "-", "")) // as eksctl's CloudFormation names it
		sub := Subnet{ID: newID("subnet"), VPC: v.ID, Zone: l.Zone, CIDR: l.CIDR, Public: l.Public, MapPublicIP: l.Public, Created: now}
		sub.Tags = named(tags, "Subnet"+kind+zone)
		sub.Tags[role] = "1"
		table := &public
		if !l.Public {
			private = append(private, s.newRouteTable(v, named(tags, "PrivateRouteTable"+zone)))
			table = &private[len(private)-1]
		}
		table.Associations = append(table.Associations, Association{ID: newID("rtbassoc"), Subnet: sub.ID})
		subnets[i] = sub
		ops = append(ops, s.Subnets.CreateOp(sub.ID, sub))
	}
	ops = append(ops, s.InternetGateways.CreateOp(gateway.ID, gateway))
	for _, t := range append(private, public) {
		ops = append(ops, s.RouteTables.CreateOp(t.ID, t))
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return VPC{}, nil, fmt.Errorf("creating a VPC: %w", err)
	}
	return v, subnets, nil
}

// newVPC is a VPC and the operations that make it with what every VPC has: the
// main route table and the default security group. The VPC's own is the first.
func (s *Service) newVPC(cidr netip.Prefix, tags map[string]string) (VPC, []store.Op) {
	v := VPC{
		ID: newID("vpc"), CIDR: cidr, AssociationID: newID("vpc-cidr-assoc"), DHCPOptions: s.dhcpOptions(),
		Tags: maps.Clone(tags), Created: s.now(),
	}
	main := s.newRouteTable(v, nil)
	main.Associations = []Association{{ID: newID("rtbassoc"), Main: true}}
	group := s.newGroup(v.ID, defaultGroup, "default VPC security group", nil)
	group.Rules = append(group.Rules, SecurityGroupRule{ID: newID("sgr"), Protocol: "-1", FromPort: -1, ToPort: -1, Group: group.ID})
	return v, []store.Op{s.VPCs.CreateOp(v.ID, v), s.RouteTables.CreateOp(main.ID, main), s.SecurityGroups.CreateOp(group.ID, group)}
}

// dhcpOptions is the id of the region's default options, which every VPC has:
// AmazonProvidedDNS.
func (s *Service) dhcpOptions() string {
	sum, _ := hashOf(s.scope) // never fails: two strings
	return "dopt-" + sum[:17]
}

// named are the tags with a Name in the place of the VPC's.
func named(tags map[string]string, name string) map[string]string {
	out := make(map[string]string, len(tags)+1)
	maps.Copy(out, tags)
	if of, ok := tags["Name"]; ok {
		if i := strings.LastIndexByte(of, '/'); i >= 0 {
			out["Name"] = of[:i+1] + name
		}
	}
	return out
}
