package ec2

import (
	"maps"
	"net/netip"
	"time"
)

// defaultGroup is the name of the security group that every VPC has.
const defaultGroup = "default"

// SecurityGroup is a firewall around network interfaces: what its rules do not
// let in or out is dropped, replies excepted.
type SecurityGroup struct {
	ID          string
	Name        string
	Description string
	VPC         string
	Rules       []SecurityGroupRule
	Tags        map[string]string
	Created     time.Time
}

// SecurityGroupRule lets one kind of traffic in or out. Who is at the other end
// is exactly one of CIDR, Group and PrefixList.
type SecurityGroupRule struct {
	ID     string // sgr-…
	Egress bool
	// Protocol is tcp, udp, icmp, icmpv6, another protocol's number, or "-1" for all.
	Protocol string
	// FromPort and ToPort are ports, or type and code of ICMP; -1 is all.
	FromPort, ToPort int32
	CIDR             netip.Prefix // IPv4 or IPv6
	Group            string       // sg-…
	PrefixList       string       // pl-…
	Description      string
	Tags             map[string]string
}

// newGroup is a group that lets everything out, as EC2 makes them.
func (s *Service) newGroup(vpc, name, description string, tags map[string]string) SecurityGroup {
	return SecurityGroup{
		ID: newID("sg"), Name: name, Description: description, VPC: vpc, Tags: maps.Clone(tags), Created: s.now(),
		Rules: []SecurityGroupRule{{
			ID: newID("sgr"), Egress: true, Protocol: "-1", FromPort: -1, ToPort: -1,
			CIDR: netip.PrefixFrom(netip.IPv4Unspecified(), 0),
		}},
	}
}
