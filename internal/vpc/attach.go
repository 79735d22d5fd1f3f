package vpc

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// ENI is the network interface of an instance.
type ENI struct {
	ID        string       // such as eni-0a1b2c3d4e5f67890
	Addresses []netip.Addr // the first is the primary one, others are for pods
	MAC       net.HardwareAddr
	Subnet    subnet.Subnet
	Namespace string // the file that pins the instance's network namespace
}

// device is the interface's name inside the instance.
const device = "eth0"

func (e ENI) check() error {
	if err := checkID(e.ID); err != nil {
		return err
	}
	if len(e.MAC) != 6 {
		return fmt.Errorf("the MAC %q has not six bytes", e.MAC)
	}
	if e.Namespace == "" {
		return errors.New("no namespace: the host must not become an instance")
	}
	if len(e.Addresses) == 0 {
		return errors.New("no address")
	}
	for _, addr := range e.Addresses {
		if !e.Subnet.CIDR.Contains(addr) {
			return fmt.Errorf("address %s is not in its subnet %s", addr, e.Subnet.CIDR)
		}
	}
	return nil
}

// linkName names the router's end of the wire: at most 15 bytes, and the end of
// the id, which differs.
func linkName(id string) string {
	return "eni" + id[max(0, len(id)-12):]
}

// Attach wires the ENI's instance to the router: a veth pair whose end in the
// instance is eth0, with the primary address, the MAC and the default route, and
// routes to all of its addresses. Attaching again brings everything to what the
// ENI says now. An address that another ENI had moves here.
func (v *VPC) Attach(eni ENI) error {
	if err := v.attach(eni); err != nil {
		return fmt.Errorf("attach %s: %w", eni.ID, err)
	}
	return nil
}

func (v *VPC) attach(eni ENI) error {
	if err := eni.check(); err != nil {
		return err
	}
	n, nl, err := openNet(eni.Namespace)
	if err != nil {
		return err
	}
	defer n.Close()
	defer nl.Close()
	if err := n.Do(instanceSysctls); err != nil {
		return err
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	wire, err := v.ensureWire(eni, n, nl)
	if err != nil {
		return err
	}
	if err := furnishInstance(nl, wire.inner, eni, v.cfg.MTU); err != nil {
		return err
	}
	if err := v.furnishLink(wire.outer, eni); err != nil {
		return err
	}
	if wire.made {
		v.log.Info("attached", "eni", eni.ID, "address", eni.Addresses[0], "secondary", len(eni.Addresses)-1)
	}
	return nil
}

// wire is a veth pair: its end at the router and its end in the instance.
type wire struct {
	outer, inner netlink.Link
	made         bool
}

// ensureWire finds the ENI's veth pair or makes it, both ends in their places
// from the start.
func (v *VPC) ensureWire(eni ENI, n *namespace.Net, nl *netlink.Handle) (wire, error) {
	name := linkName(eni.ID)
	outer, err := v.link(eni.ID)
	if err != nil {
		return wire{}, err
	}
	inner, err := linkByName(nl, device)
	if err != nil {
		return wire{}, err
	}
	if outer != nil {
		if inner != nil && v.isPair(outer, inner, n) {
			return wire{outer, inner, false}, nil
		}
		// Its other end is elsewhere, in a former namespace of the instance.
		if err := v.nl.LinkDel(outer); err != nil {
			return wire{}, fmt.Errorf("delete the former link %s: %w", name, err)
		}
	}
	if inner != nil {
		return wire{}, fmt.Errorf("the instance has an %s already, of another ENI", device)
	}

	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, v.cfg.MTU
	err = v.nl.LinkAdd(&netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         device,
		PeerHardwareAddr: eni.MAC,
		PeerMTU:          uint32(v.cfg.MTU),
		PeerNamespace:    netlink.NsFd(n.Fd()),
	})
	if err != nil {
		return wire{}, fmt.Errorf("make link %s: %w", name, err)
	}
	if outer, err = v.nl.LinkByName(name); err != nil {
		return wire{}, fmt.Errorf("find link %s: %w", name, err)
	}
	if inner, err = nl.LinkByName(device); err != nil {
		return wire{}, fmt.Errorf("find %s of the instance: %w", device, err)
	}
	return wire{outer, inner, true}, nil
}

// isPair reports whether the link at the router and the one in the instance are
// the two ends of one veth pair. Indexes are per namespace: the router's own
// number for the instance's namespace has to match, too.
func (v *VPC) isPair(outer, inner netlink.Link, n *namespace.Net) bool {
	nsid, err := v.nl.GetNetNsIdByFd(n.Fd())
	return err == nil && outer.Attrs().NetNsID == nsid && outer.Attrs().ParentIndex == inner.Attrs().Index
}

// furnishInstance brings the instance's end to the desired state.
func furnishInstance(nl *netlink.Handle, link netlink.Link, eni ENI, mtu int) error {
	if !bytes.Equal(link.Attrs().HardwareAddr, eni.MAC) {
		if err := nl.LinkSetHardwareAddr(link, eni.MAC); err != nil {
			return fmt.Errorf("set the MAC of %s: %w", device, err)
		}
	}
	if link.Attrs().MTU != mtu {
		if err := nl.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("set the MTU of %s: %w", device, err)
		}
	}
	if err := nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", device, err)
	}

	want := &netlink.Addr{IPNet: &net.IPNet{
		IP:   eni.Addresses[0].AsSlice(),
		Mask: net.CIDRMask(eni.Subnet.CIDR.Bits(), 32),
	}}
	have, err := nl.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", device, err)
	}
	for _, addr := range have {
		if !addr.Equal(*want) {
			if err := nl.AddrDel(link, &addr); err != nil {
				return fmt.Errorf("remove address %s: %w", addr.IPNet, err)
			}
		}
	}
	if err := nl.AddrReplace(link, want); err != nil {
		return fmt.Errorf("set address %s: %w", want.IPNet, err)
	}
	err = nl.RouteReplace(&netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)},
		Gw:        eni.Subnet.Router().AsSlice(),
	})
	if err != nil {
		return fmt.Errorf("set the default route: %w", err)
	}
	return nil
}

// furnishLink brings the router's end to the desired state.
func (v *VPC) furnishLink(link netlink.Link, eni ENI) error {
	name := link.Attrs().Name
	if link.Attrs().MTU != v.cfg.MTU {
		if err := v.nl.LinkSetMTU(link, v.cfg.MTU); err != nil {
			return fmt.Errorf("set the MTU of %s: %w", name, err)
		}
	}
	if link.Attrs().Alias != eni.ID {
		if err := v.nl.LinkSetAlias(link, eni.ID); err != nil {
			return fmt.Errorf("note the id of %s: %w", name, err)
		}
	}
	if err := v.net.Do(func() error { return linkSysctls(name) }); err != nil {
		return err
	}
	if err := v.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	primary := eni.Addresses[0]
	err := v.nl.NeighSet(&netlink.Neigh{
		LinkIndex:    link.Attrs().Index,
		State:        netlink.NUD_PERMANENT,
		IP:           primary.AsSlice(),
		HardwareAddr: eni.MAC,
	})
	if err != nil {
		return fmt.Errorf("set the hardware address of %s: %w", primary, err)
	}
	return v.setRoutes(link, eni)
}

// setRoutes makes the routes over the link those to the ENI's addresses.
//
// The packets of secondary addresses go to the ENI's MAC as well, as in a VPC,
// so that the instance need not answer for its pods: via the primary address,
// whose hardware address is known.
func (v *VPC) setRoutes(link netlink.Link, eni ENI) error {
	index, primary := link.Attrs().Index, eni.Addresses[0]
	have, err := v.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: index}, netlink.RT_FILTER_OIF)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	stale := make(map[netip.Addr]netlink.Route, len(have))
	for _, r := range have {
		if r.Dst == nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			stale[addr] = r
		}
	}
	for i, addr := range eni.Addresses {
		route := netlink.Route{
			LinkIndex: index,
			Dst:       hostAddr(addr).IPNet,
			Scope:     netlink.SCOPE_LINK,
			Src:       eni.Subnet.Router().AsSlice(),
		}
		if i > 0 {
			route.Scope = netlink.SCOPE_UNIVERSE
			route.Gw = primary.AsSlice()
			route.Flags = int(netlink.FLAG_ONLINK)
		}
		old, ok := stale[addr]
		delete(stale, addr)
		if ok && old.Gw.Equal(route.Gw) && old.Src.Equal(route.Src) {
			continue
		}
		if err := v.nl.RouteReplace(&route); err != nil {
			return fmt.Errorf("route to %s: %w", addr, err)
		}
	}
	for addr, r := range stale {
		if err := v.nl.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("delete the route to %s: %w", addr, err)
		}
	}
	return nil
}

// Detach cuts the wire of the ENI; it is fine if there is none.
func (v *VPC) Detach(id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	link, err := v.link(id)
	if err == nil && link != nil {
		err = v.nl.LinkDel(link)
	}
	if err != nil {
		return fmt.Errorf("detach %s: %w", id, err)
	}
	if link != nil {
		v.log.Info("detached", "eni", id)
	}
	return nil
}

// Attachments lists the ids of the ENIs that are attached, also from before
// this process.
func (v *VPC) Attachments() ([]string, error) {
	links, err := v.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list attachments: %w", err)
	}
	var ids []string
	for _, link := range links {
		if id := link.Attrs().Alias; id != "" && link.Attrs().Name == linkName(id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// link returns the router's end of the ENI's wire, or nil.
func (v *VPC) link(id string) (netlink.Link, error) {
	if id == "" {
		return nil, errors.New("no id")
	}
	link, err := linkByName(v.nl, linkName(id))
	if err != nil || link == nil {
		return nil, err
	}
	// Without an alias the making of it was cut short.
	if alias := link.Attrs().Alias; alias != "" && alias != id {
		return nil, fmt.Errorf("its link name %s is that of %s", linkName(id), alias)
	}
	return link, nil
}

// linkByName returns nil if there is no such link.
func linkByName(nl *netlink.Handle, name string) (netlink.Link, error) {
	link, err := nl.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for link %s: %w", name, err)
	}
	return link, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func hostAddr(addr netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(addr, addr.BitLen()))}
}
