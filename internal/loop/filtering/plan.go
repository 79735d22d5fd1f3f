package filtering

import (
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// Plan is the firewall that the security groups and network interfaces of one
// VPC mean; its interfaces are in the order of enis.
//
// A rule about IPv6 is left out, the VPC has none; it stays in its group, where
// clients see it. So is one that names a prefix list, of which there are none
// here. A group that does not exist,
// or not yet, allows nothing, and a rule that names it matches nobody.
func Plan(groups []ec2.SecurityGroup, enis []ec2.NetworkInterface) vpc.Firewall {
	var f vpc.Firewall
	known := map[string]bool{}
	for _, g := range groups {
		known[g.ID] = true
		planned := vpc.Group{ID: g.ID}
		for _, r := range g.Rules {
			rule, ok := plan(r)
			switch {
			case !ok:
			case r.Egress:
				planned.Egress = append(planned.Egress, rule)
			default:
				planned.Ingress = append(planned.Ingress, rule)
			}
		}
		f.Groups = append(f.Groups, planned)
	}
	for _, eni := range enis {
		i := vpc.Interface{ID: eni.ID, Addresses: slices.Clone(eni.Addresses)}
		for _, id := range eni.SecurityGroups {
			if known[id] {
				i.Groups = append(i.Groups, id)
			}
		}
		f.Interfaces = append(f.Interfaces, i)
	}
	return f
}

// plan translates a rule; it is false for one that can match nothing here.
func plan(r ec2.SecurityGroupRule) (vpc.Rule, bool) {
	rule := vpc.Rule{Prefix: r.CIDR, Group: r.Group}
	switch {
	case r.CIDR.IsValid() && r.CIDR.Addr().Is4():
		rule.Group = ""
	case r.CIDR.IsValid(), r.Group == "":
		return vpc.Rule{}, false
	}
	protocol, ok := number(r.Protocol)
	if !ok {
		return vpc.Rule{}, false
	}
	rule.Protocol = protocol
	switch protocol {
	case vpc.TCP, vpc.UDP:
		rule.From, rule.To = int(r.FromPort), int(r.ToPort)
		if r.FromPort < 0 || r.ToPort < 0 {
			rule.From, rule.To = 0, 65535
		}
	case vpc.ICMP:
		rule.From, rule.To = int(r.FromPort), int(r.ToPort)
	}
	return rule, true
}

// icmpv6 is the protocol's number. It is IPv6's alone.
const icmpv6 = 58

// number is a protocol's number.
func number(protocol string) (int, bool) {
	switch protocol {
	case "tcp":
		return vpc.TCP, true
	case "udp":
		return vpc.UDP, true
	case "icmp":
		return vpc.ICMP, true
	case "icmpv6":
		return 0, false
	}
	n, err := strconv.Atoi(protocol)
	return n, err == nil && n >= vpc.AnyProtocol && n <= 255 && n != icmpv6
}
