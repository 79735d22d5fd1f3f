// Package vpc is the network of a region: one network namespace that is the
// router of the VPC, and the wires from it to the instances' namespaces.
//
// Nothing is added to the host: no link, address, route or firewall rule, and
// the router has no way out. The package takes plain values; it knows neither
// the AWS API nor Kubernetes, and keeps no state but what the kernel has.
package vpc

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// Addresses that AWS serves from inside every VPC.
var (
	MetadataAddr = netip.AddrFrom4([4]byte{169, 254, 169, 254}) // the instance metadata service
	DNSAddr      = netip.AddrFrom4([4]byte{169, 254, 169, 253}) // the Amazon DNS server
)

// DefaultMTU is the size of the largest packet inside a VPC, in bytes.
const DefaultMTU = 9001

// Config describes a VPC.
type Config struct {
	// Namespace is the file that pins the router's network namespace. It lies
	// in a directory that namespace.Prepare was called for.
	Namespace string
	CIDR      netip.Prefix
	Subnets   []subnet.Subnet // at first; see SetSubnets
	MTU       int             // bytes; 0 means DefaultMTU
	Logger    *slog.Logger
}

// VPC is an open VPC. Its methods may be called from several goroutines.
type VPC struct {
	cfg Config
	net *namespace.Net
	nl  *netlink.Handle // in the router's namespace
	log *slog.Logger

	mu      sync.Mutex // one change to links and routes at a time; guards subnets
	subnets []subnet.Subnet
	lo      netlink.Link

	filter filter
}

// Open makes the VPC's router, or opens and repairs the one that is there, with
// whatever is attached to it.
func Open(cfg Config) (*VPC, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("open VPC: %w", err)
	}
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := namespace.Create(namespace.Set{Net: cfg.Namespace}); err != nil {
		return nil, fmt.Errorf("open VPC: %w", err)
	}
	n, nl, err := openNet(cfg.Namespace)
	if err != nil {
		return nil, fmt.Errorf("open VPC: %w", err)
	}
	v := &VPC{cfg: cfg, subnets: slices.Clone(cfg.Subnets), net: n, nl: nl, log: cfg.Logger}
	if err := v.furnish(); err != nil {
		v.Close()
		return nil, fmt.Errorf("open VPC: %w", err)
	}
	return v, nil
}

func (c Config) check() error {
	if !c.CIDR.IsValid() || !c.CIDR.Addr().Is4() || c.CIDR != c.CIDR.Masked() {
		return fmt.Errorf("CIDR %s is not an IPv4 block", c.CIDR)
	}
	if c.Namespace == "" {
		return errors.New("no file for the router's namespace: the host itself must not become the router")
	}
	for i, s := range c.Subnets {
		if !s.CIDR.IsValid() || s.CIDR != s.CIDR.Masked() || s.CIDR.Bits() < c.CIDR.Bits() || !c.CIDR.Contains(s.CIDR.Addr()) {
			return fmt.Errorf("subnet %s is not a part of %s", s.CIDR, c.CIDR)
		}
		for _, other := range c.Subnets[:i] {
			if s.CIDR.Overlaps(other.CIDR) {
				return fmt.Errorf("subnets %s and %s overlap", other.CIDR, s.CIDR)
			}
		}
	}
	return nil
}

// openNet opens a network namespace and a netlink socket in it.
func openNet(file string) (*namespace.Net, *netlink.Handle, error) {
	n, err := namespace.OpenNet(file)
	if err != nil {
		return nil, nil, err
	}
	nl, err := n.Netlink()
	if err != nil {
		n.Close()
		return nil, nil, err
	}
	return n, nl, nil
}

// furnish brings the router to its desired state.
func (v *VPC) furnish() error {
	if err := v.net.Do(routerSysctls); err != nil {
		return err
	}
	lo, err := v.nl.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the router's loopback: %w", err)
	}
	v.lo = lo
	if err := v.nl.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set the router's loopback up: %w", err)
	}
	for _, addr := range v.fixed() {
		if err := v.AddAddress(addr); err != nil {
			return err
		}
	}
	// A packet to an address that nobody has vanishes, as in AWS; and no answer
	// is given to who asks for its hardware address.
	err = v.nl.RouteReplace(&netlink.Route{Dst: ipNet(v.cfg.CIDR), Type: unix.RTN_BLACKHOLE})
	if err != nil {
		return fmt.Errorf("route %s to nowhere: %w", v.cfg.CIDR, err)
	}
	return v.openFilter()
}

// fixed lists the addresses that the router always has.
func (v *VPC) fixed() []netip.Addr {
	addrs := []netip.Addr{MetadataAddr, DNSAddr, subnet.Resolver(v.cfg.CIDR)}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.subnets {
		addrs = append(addrs, s.Router())
	}
	return addrs
}

// SetSubnets makes these the VPC's subnets: each has a router's address. Nothing
// may be attached to one that goes.
func (v *VPC) SetSubnets(subnets []subnet.Subnet) error {
	if err := v.setSubnets(subnets); err != nil {
		return fmt.Errorf("set the VPC's subnets: %w", err)
	}
	return v.refilter()
}

func (v *VPC) setSubnets(subnets []subnet.Subnet) error {
	cfg := v.cfg
	cfg.Subnets = subnets
	if err := cfg.check(); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	wanted := map[netip.Addr]bool{}
	for _, s := range subnets {
		wanted[s.Router()] = true
		if err := v.AddAddress(s.Router()); err != nil {
			return err
		}
	}
	for _, s := range v.subnets {
		if !wanted[s.Router()] {
			if err := v.removeAddress(s.Router()); err != nil {
				return err
			}
		}
	}
	v.subnets = slices.Clone(subnets)
	return nil
}

// AddAddress makes addr an address of the router itself, for a service of the
// region to listen on: a load balancer's, a control plane's. They live on the
// loopback, where every instance's packets find them. Adding one twice is fine.
func (v *VPC) AddAddress(addr netip.Addr) error {
	if err := v.nl.AddrReplace(v.lo, hostAddr(addr)); err != nil {
		return fmt.Errorf("add address %s to the VPC: %w", addr, err)
	}
	return nil
}

// RemoveAddress undoes AddAddress; it is fine if the address is gone. The
// router's own addresses are refused.
func (v *VPC) RemoveAddress(addr netip.Addr) error {
	if slices.Contains(v.fixed(), addr) {
		return fmt.Errorf("remove address %s from the VPC: it belongs to the router", addr)
	}
	return v.removeAddress(addr)
}

func (v *VPC) removeAddress(addr netip.Addr) error {
	err := v.nl.AddrDel(v.lo, hostAddr(addr))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s from the VPC: %w", addr, err)
	}
	return nil
}

// Addresses lists, in order, what AddAddress added, also before this process.
func (v *VPC) Addresses() ([]netip.Addr, error) {
	list, err := v.nl.AddrList(v.lo, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list the VPC's addresses: %w", err)
	}
	var addrs []netip.Addr
	for _, a := range list {
		addr, ok := netip.AddrFromSlice(a.IP.To4())
		if ok && !addr.IsLoopback() && !slices.Contains(v.fixed(), addr) {
			addrs = append(addrs, addr)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs, nil
}

// Close lets go of the VPC, which goes on working.
func (v *VPC) Close() error {
	v.nl.Close()
	return v.net.Close()
}

// Delete ends the VPC and closes it: all wires are cut and the namespace is
// unpinned. Sockets that are still open in it keep the empty namespace until
// they are closed.
func (v *VPC) Delete() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	links, err := v.nl.LinkList()
	if err != nil {
		return fmt.Errorf("delete VPC: list its links: %w", err)
	}
	var errs []error
	for _, link := range links {
		if link.Attrs().Name != "lo" {
			errs = append(errs, v.nl.LinkDel(link))
		}
	}
	errs = append(errs, v.Close(), namespace.Remove(namespace.Set{Net: v.cfg.Namespace}))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("delete VPC: %w", err)
	}
	return nil
}

// Delete removes the VPC whose router is pinned on the file, without opening
// it first; it is fine if there is none.
func Delete(file string) error {
	n, nl, err := openNet(file)
	if errors.Is(err, os.ErrNotExist) {
		return namespace.Remove(namespace.Set{Net: file})
	}
	if err != nil {
		return fmt.Errorf("delete VPC: %w", err)
	}
	v := &VPC{cfg: Config{Namespace: file}, net: n, nl: nl}
	return v.Delete()
}
