package filtering

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/vpc"
)

var world = netip.MustParsePrefix("0.0.0.0/0")

func TestPlanRule(t *testing.T) {
	six := netip.MustParsePrefix("::/0")
	ten := netip.MustParsePrefix("10.0.0.0/8")
	for _, tt := range []struct {
		name string
		in   ec2.SecurityGroupRule
		want *vpc.Rule // nil: none
	}{
		{"all", ec2.SecurityGroupRule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: world}, &vpc.Rule{Protocol: vpc.AnyProtocol, Prefix: world}},
		{"port", ec2.SecurityGroupRule{Protocol: "tcp", FromPort: 443, ToPort: 443, CIDR: ten}, &vpc.Rule{Protocol: 6, From: 443, To: 443, Prefix: ten}},
		{"by number", ec2.SecurityGroupRule{Protocol: "17", FromPort: 53, ToPort: 60, CIDR: ten}, &vpc.Rule{Protocol: 17, From: 53, To: 60, Prefix: ten}},
		{"all ports", ec2.SecurityGroupRule{Protocol: "udp", FromPort: -1, ToPort: -1, CIDR: ten}, &vpc.Rule{Protocol: 17, To: 65535, Prefix: ten}},
		{"group", ec2.SecurityGroupRule{Protocol: "tcp", FromPort: 1, ToPort: 2, Group: "sg-1"}, &vpc.Rule{Protocol: 6, From: 1, To: 2, Group: "sg-1"}},
		{"all of ICMP", ec2.SecurityGroupRule{Protocol: "icmp", FromPort: -1, ToPort: -1, CIDR: ten}, &vpc.Rule{Protocol: 1, From: -1, To: -1, Prefix: ten}},
		{"type of ICMP", ec2.SecurityGroupRule{Protocol: "1", FromPort: 3, ToPort: 4, Group: "sg-1"}, &vpc.Rule{Protocol: 1, From: 3, To: 4, Group: "sg-1"}},
		{"another protocol has no ports", ec2.SecurityGroupRule{Protocol: "50", FromPort: -1, ToPort: -1, CIDR: ten}, &vpc.Rule{Protocol: 50, Prefix: ten}},
		{"IPv6", ec2.SecurityGroupRule{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: six}, nil},
		{"ICMPv6 of a group", ec2.SecurityGroupRule{Protocol: "icmpv6", FromPort: -1, ToPort: -1, Group: "sg-1"}, nil},
		{"ICMPv6 by number", ec2.SecurityGroupRule{Protocol: "58", FromPort: -1, ToPort: -1, Group: "sg-1"}, nil},
		{"prefix list", ec2.SecurityGroupRule{Protocol: "tcp", FromPort: 443, ToPort: 443, PrefixList: "pl-1"}, nil},
		{"no protocol", ec2.SecurityGroupRule{CIDR: ten}, nil},
	} {
		got, ok := plan(tt.in)
		if ok != (tt.want != nil) || ok && got != *tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.name, got, ok, tt.want)
		}
	}
}

func addrs(list ...string) []netip.Addr {
	var a []netip.Addr
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

func TestPlan(t *testing.T) {
	all := ec2.SecurityGroupRule{Egress: true, Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: world}
	itself := ec2.SecurityGroupRule{Protocol: "-1", FromPort: -1, ToPort: -1, Group: "sg-cluster"}
	groups := []ec2.SecurityGroup{
		{ID: "sg-cluster", Rules: []ec2.SecurityGroupRule{all, itself, {Protocol: "tcp", FromPort: 443, ToPort: 443, Group: "sg-gone"}}},
		{ID: "sg-empty"},
		{ID: "sg-six", Rules: []ec2.SecurityGroupRule{{Protocol: "-1", FromPort: -1, ToPort: -1, CIDR: netip.MustParsePrefix("::/0")}}},
	}
	enis := []ec2.NetworkInterface{
		{ID: "eni-node", Addresses: addrs("192.168.0.9", "192.168.0.5"), SecurityGroups: []string{"sg-cluster", "sg-six"}},
		{ID: "eni-control-plane", Addresses: addrs("192.168.0.7"), SecurityGroups: []string{"sg-younger", "sg-cluster"}},
		{ID: "eni-bare", Addresses: addrs("192.168.0.8")},
	}
	got := Plan(groups, enis)
	want := vpc.Firewall{
		Groups: []vpc.Group{
			{
				ID:      "sg-cluster",
				Ingress: []vpc.Rule{{Protocol: -1, Group: "sg-cluster"}, {Protocol: vpc.TCP, From: 443, To: 443, Group: "sg-gone"}},
				Egress:  []vpc.Rule{{Protocol: -1, Prefix: world}},
			},
			{ID: "sg-empty"},
			{ID: "sg-six"},
		},
		Interfaces: []vpc.Interface{
			{ID: "eni-node", Addresses: addrs("192.168.0.9", "192.168.0.5"), Groups: []string{"sg-cluster", "sg-six"}},
			{ID: "eni-control-plane", Addresses: addrs("192.168.0.7"), Groups: []string{"sg-cluster"}},
			{ID: "eni-bare", Addresses: addrs("192.168.0.8")},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("planned\n%+v\nwant\n%+v", got, want)
	}
	// The group that the control plane's interface has was not read yet.
	if ids := complete(got, enis); !reflect.DeepEqual(ids, []string{"eni-bare", "eni-node"}) {
		t.Errorf("complete: %v", ids)
	}
	if f := Plan(nil, nil); !reflect.DeepEqual(f, vpc.Firewall{}) {
		t.Errorf("of nothing: %+v", f)
	}
}
