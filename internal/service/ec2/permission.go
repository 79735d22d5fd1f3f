package ec2

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// protocolNames are the protocols that EC2 has names for; others are numbers.
var protocolNames = map[string]string{"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": "-1"}

// protocol reads IpProtocol: the result is as in SecurityGroupRule.
func protocol(p *string) (string, error) {
	if p == nil || *p == "" {
		return "", missing("ipProtocol")
	}
	name := strings.ToLower(*p)
	if known, ok := protocolNames[name]; ok {
		return known, nil
	}
	switch name {
	case "tcp", "udp", "icmp", "icmpv6", "-1":
		return name, nil
	}
	if n, err := strconv.Atoi(name); err != nil || n < 0 || n > 255 {
		return "", bad("InvalidParameterValue", "Invalid value '%s' for IP protocol. Unknown protocol.", *p)
	}
	return name, nil
}

// ports are a permission's ports, or type and code for ICMP. Other protocols have
// none, and what is given for them is ignored, as EC2 does.
func ports(protocol string, from, to *int32) (int32, int32, error) {
	switch protocol {
	case "tcp", "udp":
		if from == nil || to == nil {
			return 0, 0, bad("InvalidParameterValue", "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.")
		}
		for _, p := range []int32{*from, *to} {
			if p < 0 || p > 65535 {
				return 0, 0, bad("InvalidParameterValue", "TCP/UDP port (%d) out of range", p)
			}
		}
		if *from > *to {
			return 0, 0, bad("InvalidParameterValue", "Invalid TCP/UDP port range (%d:%d)", *from, *to)
		}
		return *from, *to, nil
	case "icmp", "icmpv6":
		if from == nil && to == nil && protocol == "icmpv6" {
			return -1, -1, nil
		}
		if from == nil || to == nil {
			return 0, 0, bad("InvalidParameterValue", "Invalid value 'Must specify both type and code with ICMP.' for icmpTypeCode.")
		}
		if *from < -1 || *from > 255 {
			return 0, 0, bad("InvalidParameterValue", "ICMP type (%d) out of range", *from)
		}
		if *to < -1 || *to > 255 || *from == -1 && *to != -1 {
			return 0, 0, bad("InvalidParameterValue", "ICMP code (%d) out of range for type %d", *to, *from)
		}
		return *from, *to, nil
	}
	return -1, -1, nil
}

// blockOf reads the block of a rule. Bits right of the prefix are cut off, and an
// address alone is a block of one, as EC2 has it.
func blockOf(text string, v6 bool) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		text += "/" + strconv.Itoa(addr.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4() == v6 || p.Addr().Is4In6() {
		return netip.Prefix{}, bad("InvalidParameterValue", "CIDR block %s is malformed", text)
	}
	return p.Masked(), nil
}

// rulesOf are the rules that permissions describe, one for each peer. group finds
// the id of the security group that a pair names.
func rulesOf(permissions []ec2api.IpPermission, egress bool, group func(ec2api.UserIdGroupPair) (string, error)) ([]SecurityGroupRule, error) {
	var rules []SecurityGroupRule
	for _, p := range permissions {
		rule := SecurityGroupRule{Egress: egress}
		var err error
		if rule.Protocol, err = protocol(p.IpProtocol); err != nil {
			return nil, err
		}
		if rule.FromPort, rule.ToPort, err = ports(rule.Protocol, p.FromPort, p.ToPort); err != nil {
			return nil, err
		}
		if len(p.IpRanges)+len(p.Ipv6Ranges)+len(p.UserIdGroupPairs)+len(p.PrefixListIds) == 0 {
			return nil, bad("MissingParameter", "Missing source specification: include source security group or CIDR information")
		}
		add := func(peer SecurityGroupRule, description *string) error {
			if err := checkDescription(description); err != nil {
				return err
			}
			r := rule
			r.CIDR, r.Group, r.Description = peer.CIDR, peer.Group, api.Val(description)
			if slices.ContainsFunc(rules, func(o SecurityGroupRule) bool { return sameRule(o, r) }) {
				return bad("InvalidParameterValue", "The same permission must not appear multiple times")
			}
			rules = append(rules, r)
			return nil
		}
		if err := eachPeer(p, group, add); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// eachPeer calls add for everything that a permission is given to.
func eachPeer(p ec2api.IpPermission, group func(ec2api.UserIdGroupPair) (string, error), add func(SecurityGroupRule, *string) error) error {
	block := func(text, description *string, v6 bool) error {
		cidr, err := blockOf(api.Val(text), v6)
		if err != nil {
			return err
		}
		return add(SecurityGroupRule{CIDR: cidr}, description)
	}
	for _, r := range p.IpRanges {
		if err := block(r.CidrIp, r.Description, false); err != nil {
			return err
		}
	}
	for _, r := range p.Ipv6Ranges {
		if err := block(r.CidrIpv6, r.Description, true); err != nil {
			return err
		}
	}
	for _, pair := range p.UserIdGroupPairs {
		id, err := group(pair)
		if err != nil {
			return err
		}
		if err := add(SecurityGroupRule{Group: id}, pair.Description); err != nil {
			return err
		}
	}
	for _, l := range p.PrefixListIds { // the region has none
		return noPrefixList(api.Val(l.PrefixListId))
	}
	return nil
}

func noPrefixList(id string) error {
	return bad("InvalidPrefixListID.NotFound", "The prefix list ID '%s' does not exist", id)
}

// ruleText is what names and descriptions of groups and rules may consist of.
func ruleText(text string) bool {
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" ._-:/()#,@[]+=&;{}!$*", r):
		default:
			return false
		}
	}
	return utf8.ValidString(text) && len(text) <= 255
}

func checkDescription(d *string) error {
	if d != nil && !ruleText(*d) {
		return bad("InvalidParameterValue", "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	}
	return nil
}

// sameRule says whether two rules let the same in or out. Descriptions do not count.
func sameRule(a, b SecurityGroupRule) bool {
	return a.Egress == b.Egress && a.Protocol == b.Protocol && a.FromPort == b.FromPort && a.ToPort == b.ToPort &&
		a.CIDR == b.CIDR && a.Group == b.Group && a.PrefixList == b.PrefixList
}

// String is the rule as EC2's errors show it.
func (r SecurityGroupRule) String() string {
	peer := r.Group + r.PrefixList
	if r.CIDR.IsValid() {
		peer = r.CIDR.String()
	}
	switch r.Protocol {
	case "-1":
		return fmt.Sprintf("peer: %s, ALL, ALLOW", peer)
	case "tcp", "udp":
		return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", peer, strings.ToUpper(r.Protocol), r.FromPort, r.ToPort)
	case "icmp", "icmpv6":
		return fmt.Sprintf("peer: %s, %s, type: %d, code: %d, ALLOW", peer, strings.ToUpper(r.Protocol), r.FromPort, r.ToPort)
	}
	return fmt.Sprintf("peer: %s, protocol: %s, ALLOW", peer, r.Protocol)
}

// hasPorts says whether permissions of the protocol have ports, or types and codes.
func hasPorts(protocol string) bool {
	return protocol == "tcp" || protocol == "udp" || protocol == "icmp" || protocol == "icmpv6"
}

// permissionsOf are rules of one direction as DescribeSecurityGroups shows them:
// those with the same protocol and ports together.
func permissionsOf(rules []SecurityGroupRule, egress bool, account string) []ec2api.IpPermission {
	type key struct {
		protocol string
		from, to int32
	}
	out := []ec2api.IpPermission{}
	index := map[key]int{}
	for _, r := range rules {
		if r.Egress != egress {
			continue
		}
		k := key{r.Protocol, r.FromPort, r.ToPort}
		i, ok := index[k]
		if !ok {
			i = len(out)
			index[k] = i
			p := ec2api.IpPermission{
				IpProtocol: new(r.Protocol), IpRanges: []ec2api.IpRange{}, Ipv6Ranges: []ec2api.Ipv6Range{},
				PrefixListIds: []ec2api.PrefixListId{}, UserIdGroupPairs: []ec2api.UserIdGroupPair{},
			}
			if hasPorts(r.Protocol) {
				p.FromPort, p.ToPort = new(r.FromPort), new(r.ToPort)
			}
			out = append(out, p)
		}
		p, description := &out[i], orAbsent(r.Description)
		switch {
		case r.Group != "":
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, ec2api.UserIdGroupPair{GroupId: new(r.Group), UserId: new(account), Description: description})
		case r.PrefixList != "":
			p.PrefixListIds = append(p.PrefixListIds, ec2api.PrefixListId{PrefixListId: new(r.PrefixList), Description: description})
		case r.CIDR.Addr().Is4():
			p.IpRanges = append(p.IpRanges, ec2api.IpRange{CidrIp: new(r.CIDR.String()), Description: description})
		default:
			p.Ipv6Ranges = append(p.Ipv6Ranges, ec2api.Ipv6Range{CidrIpv6: new(r.CIDR.String()), Description: description})
		}
	}
	return out
}

// orAbsent is a member that is absent when there is nothing to say.
func orAbsent(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// ruleOut is a rule of a group as the API has it.
func (s *Service) ruleOut(group string, r SecurityGroupRule) ec2api.SecurityGroupRule {
	out := ec2api.SecurityGroupRule{
		SecurityGroupRuleId: new(r.ID), SecurityGroupRuleArn: new(s.arnOf("security-group-rule", r.ID)),
		GroupId: new(group), GroupOwnerId: &s.scope.Account, IsEgress: new(r.Egress), IpProtocol: new(r.Protocol),
		FromPort: new(r.FromPort), ToPort: new(r.ToPort), PrefixListId: orAbsent(r.PrefixList), Description: orAbsent(r.Description),
		Tags: toTags(r.Tags),
	}
	out.CidrIpv4, out.CidrIpv6 = blockOut(r.CIDR)
	if r.Group != "" {
		out.ReferencedGroupInfo = &ec2api.ReferencedSecurityGroup{GroupId: new(r.Group), UserId: &s.scope.Account}
	}
	return out
}

func blockOut(p netip.Prefix) (v4, v6 *string) {
	switch {
	case !p.IsValid():
		return nil, nil
	case p.Addr().Is4():
		return new(p.String()), nil
	}
	return nil, new(p.String())
}
