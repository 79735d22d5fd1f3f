package vpc

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// conntrackSysctls sets up connection tracking in the router's namespace, where
// the firewall's rules have switched it on. How many connections it knows at most
// is the host's net.netfilter.nf_conntrack_max, which counts per namespace.
func conntrackSysctls() error {
	return write([]sysctl{
		// A security group knows connections, not the windows of TCP: what an
		// endpoint has to judge is no reason to cut one.
		{"netfilter/nf_conntrack_tcp_be_liberal", "1"},
	})
}

// flows matches the connections that have an end in the VPC whose address no
// interface has. It is a netlink.CustomConntrackFilter.
type flows struct {
	cidr  netip.Prefix
	owned map[netip.Addr]string
	kept  []netip.Addr
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return f.lost(flow.Forward.SrcIP) || f.lost(flow.Forward.DstIP)
}

func (f flows) lost(ip net.IP) bool {
	addr, ok := netip.AddrFromSlice(ip.To4())
	if !ok || !f.cidr.Contains(addr) || slices.Contains(f.kept, addr) {
		return false
	}
	_, owned := f.owned[addr]
	return !owned
}

// forgetFlows ends the connections of addresses that have no interface any more:
// who gets such an address next must not inherit them.
func (v *VPC) forgetFlows() error {
	gone := flows{v.cfg.CIDR, v.filter.rules.sets[egressMap], v.keeps()}
	return v.net.Do(func() error {
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, gone)
		return err
	})
}
