package cni

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
)

// gateway is the next hop of every pod. No one has this address: a static entry
// gives it the hardware address of the link's end at the instance.
var gateway = net.IPv4(169, 254, 1, 1).To4()

// link tells what a result says about a pod's link.
type link struct {
	hostMAC, podMAC net.HardwareAddr
	mtu             int
}

// connect makes the link between the instance, whose namespace this thread is
// in, and the pod. If the attachment has one already, it is repaired.
func connect(at attachment, rec record, netns string, mtu int) (link, error) {
	pod, err := openPod(netns)
	if err != nil {
		return link{}, err
	}
	defer pod.Close()
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return link{}, fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()

	outer, inner, err := ensurePair(host, pod, at, rec.HostInterface, mtu)
	if err != nil {
		return link{}, err
	}
	if err := furnishHost(host, outer, rec); err != nil {
		return link{}, err
	}
	if err := pod.furnish(inner, outer.Attrs().HardwareAddr, rec); err != nil {
		return link{}, err
	}
	return link{outer.Attrs().HardwareAddr, inner.Attrs().HardwareAddr, mtu}, nil
}

// ensurePair finds the attachment's veth pair or makes it.
func ensurePair(host *netlink.Handle, pod *pod, at attachment, name string, mtu int) (outer, inner netlink.Link, err error) {
	if outer, err = find(host, name); err != nil {
		return nil, nil, err
	}
	if inner, err = find(pod.nl, at.ifName); err != nil {
		return nil, nil, err
	}
	if outer != nil && inner != nil && outer.Attrs().Alias == at.String() && outer.Attrs().ParentIndex == inner.Attrs().Index {
		return outer, inner, nil
	}
	if outer != nil {
		// Of a former pod of the same name, which is on its way out.
		if err := host.LinkDel(outer); err != nil {
			return nil, nil, fmt.Errorf("delete the former link %s: %w", name, err)
		}
		if inner, err = find(pod.nl, at.ifName); err != nil {
			return nil, nil, err
		}
	}
	if inner != nil {
		return nil, nil, fmt.Errorf("the container has an interface %s already", at.ifName)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	err = host.LinkAdd(&netlink.Veth{
		LinkAttrs:     attrs,
		PeerName:      at.ifName,
		PeerMTU:       uint32(mtu),
		PeerNamespace: netlink.NsFd(pod.Fd()),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make link %s: %w", name, err)
	}
	if outer, err = host.LinkByName(name); err != nil {
		return nil, nil, fmt.Errorf("find link %s: %w", name, err)
	}
	if err = host.LinkSetAlias(outer, at.String()); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("note the owner of link %s: %w", name, err), host.LinkDel(outer))
	}
	if inner, err = pod.nl.LinkByName(at.ifName); err != nil {
		return nil, nil, fmt.Errorf("find %s of the container: %w", at.ifName, err)
	}
	return outer, inner, nil
}

// furnishHost sets up the end at the instance: the route to the pod, and no way
// for the pod to use the addresses of others.
func furnishHost(host *netlink.Handle, outer netlink.Link, rec record) error {
	name := outer.Attrs().Name
	if err := sysctl("ipv4/conf/"+name+"/rp_filter", "1"); err != nil {
		return err
	}
	if rec.HostPorts {
		// For host ports on 127.0.0.1: such packets may pass on this link.
		if err := sysctl("ipv4/conf/"+name+"/route_localnet", "1"); err != nil {
			return err
		}
	}
	if err := host.LinkSetUp(outer); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	err := host.RouteReplace(&netlink.Route{
		LinkIndex: outer.Attrs().Index,
		Scope:     netlink.SCOPE_LINK,
		Dst:       single(rec.Address.AsSlice()),
	})
	if err != nil {
		return fmt.Errorf("route %s to %s: %w", rec.Address, name, err)
	}
	return nil
}

// disconnect deletes the attachment's link and what is routed over it. The link
// of another pod of the same name stays.
func disconnect(at attachment, rec record) error {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()
	outer, err := find(host, rec.HostInterface)
	if err != nil || outer == nil || outer.Attrs().Alias != at.String() {
		return err
	}
	// The pod's namespace may be ending at this moment, and the link with it.
	if err := host.LinkDel(outer); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", rec.HostInterface, err)
	}
	return nil
}

// inspect reports what is missing of the attachment's link.
func inspect(at attachment, rec record, netns string) error {
	pod, err := openPod(netns)
	if err != nil {
		return err
	}
	defer pod.Close()
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()

	outer, err := host.LinkByName(rec.HostInterface)
	if err != nil {
		return fmt.Errorf("find link %s: %w", rec.HostInterface, err)
	}
	if outer.Attrs().Alias != at.String() {
		return fmt.Errorf("link %s belongs to %s", rec.HostInterface, outer.Attrs().Alias)
	}
	routes, err := host.RouteGet(rec.Address.AsSlice())
	if err != nil || len(routes) != 1 || routes[0].LinkIndex != outer.Attrs().Index {
		return fmt.Errorf("%s is not routed to %s (%v)", rec.Address, rec.HostInterface, err)
	}
	inner, err := pod.nl.LinkByName(at.ifName)
	if err != nil {
		return fmt.Errorf("find %s of the container: %w", at.ifName, err)
	}
	addrs, err := pod.nl.AddrList(inner, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", at.ifName, err)
	}
	if len(addrs) != 1 || !addrs[0].IP.Equal(rec.Address.AsSlice()) {
		return fmt.Errorf("%s of the container has the addresses %v instead of %s", at.ifName, addrs, rec.Address)
	}
	if routes, err = pod.nl.RouteGet(net.IPv4(203, 0, 113, 1)); err != nil || len(routes) != 1 || !routes[0].Gw.Equal(gateway) {
		return fmt.Errorf("the container's default route is not via %s (%v)", gateway, err)
	}
	return nil
}

// pod is the network namespace of a pod, opened.
type pod struct {
	*namespace.Net
	nl *netlink.Handle
}

func openPod(netns string) (*pod, error) {
	n, err := namespace.OpenNet(netns)
	if err != nil {
		return nil, err
	}
	nl, err := n.Netlink()
	if err != nil {
		n.Close()
		return nil, err
	}
	return &pod{n, nl}, nil
}

func (p *pod) Close() {
	p.nl.Close()
	p.Net.Close()
}

// furnish sets up the pod's end.
func (p *pod) furnish(inner netlink.Link, hostMAC net.HardwareAddr, rec record) error {
	name, index := inner.Attrs().Name, inner.Attrs().Index
	// The VPC has no IPv6: a link-local address would only make noise.
	err := p.Do(func() error { return sysctl("ipv6/conf/"+name+"/disable_ipv6", "1") })
	if err != nil {
		return err
	}
	if err := p.nl.LinkSetUp(inner); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	if err := p.nl.AddrReplace(inner, &netlink.Addr{IPNet: single(rec.Address.AsSlice())}); err != nil {
		return fmt.Errorf("set address %s: %w", rec.Address, err)
	}
	for _, route := range []netlink.Route{
		{LinkIndex: index, Scope: netlink.SCOPE_LINK, Dst: single(gateway)},
		{LinkIndex: index, Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Gw: gateway},
	} {
		if err := p.nl.RouteReplace(&route); err != nil {
			return fmt.Errorf("set the container's route to %s: %w", route.Dst, err)
		}
	}
	err = p.nl.NeighSet(&netlink.Neigh{
		LinkIndex:    index,
		State:        netlink.NUD_PERMANENT,
		IP:           gateway,
		HardwareAddr: hostMAC,
	})
	if err != nil {
		return fmt.Errorf("set the hardware address of %s: %w", gateway, err)
	}
	return nil
}

// find returns nil if there is no such link.
func find(nl *netlink.Handle, name string) (netlink.Link, error) {
	l, err := nl.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for link %s: %w", name, err)
	}
	return l, nil
}

func single(ip net.IP) *net.IPNet {
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}
}

// sysctl sets a value below /proc/sys/net in the namespace of this thread. A
// kernel without IPv6 has none of its settings.
func sysctl(name, value string) error {
	err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "ipv6/")) {
		return fmt.Errorf("set net/%s to %s: %w", name, value, err)
	}
	return nil
}
