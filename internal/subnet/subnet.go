// Package subnet is the arithmetic of a VPC's addresses: where its subnets lie,
// which addresses AWS keeps, and which of the others an interface gets. EC2
// decides with it and the VPC's router acts on it. It is pure: no network, no
// store.
package subnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
)

// Subnet is one subnet of a VPC, in one availability zone.
type Subnet struct {
	CIDR   netip.Prefix
	Zone   string
	Public bool
}

// Router is the address of the subnet's router, its default gateway: the
// second address, as in every VPC.
func (s Subnet) Router() netip.Addr { return Nth(s.CIDR, 1) }

// reserved is the number of addresses at the start of a subnet that AWS keeps:
// network, router, DNS, one for the future. The last one, the broadcast
// address, is kept as well.
// https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
const reserved = 4

// Free returns how many addresses an empty subnet has to give.
func (s Subnet) Free() int {
	return max(0, 1<<(32-s.CIDR.Bits())-reserved-1)
}

// Resolver is the address of the Amazon DNS server of a VPC: base plus two.
func Resolver(cidr netip.Prefix) netip.Addr { return Nth(cidr, 2) }

// Layout lays out a VPC as eksctl does: the block is cut into 8 parts (16 for
// more than four zones), the first go to the zones' public subnets and the next
// ones to their private subnets. The result has the public subnets first.
func Layout(cidr netip.Prefix, zones []string) ([]Subnet, error) {
	switch {
	case !cidr.IsValid() || !cidr.Addr().Is4():
		return nil, fmt.Errorf("VPC CIDR %s: it must be an IPv4 block such as 192.168.0.0/16", cidr)
	case cidr != cidr.Masked():
		return nil, fmt.Errorf("VPC CIDR %s: bits are set right of the prefix: %s is meant", cidr, cidr.Masked())
	case cidr.Bits() < 16 || cidr.Bits() > 24:
		return nil, fmt.Errorf("VPC CIDR %s: the prefix must be between /16 and /24", cidr)
	case len(zones) == 0:
		return nil, errors.New("VPC without an availability zone")
	case 2*len(zones) > 16:
		return nil, fmt.Errorf("cannot create more than 16 subnets, %d requested", 2*len(zones))
	}
	seen := make(map[string]bool)
	for _, zone := range zones {
		if seen[zone] {
			return nil, fmt.Errorf("availability zone %s is named twice", zone)
		}
		seen[zone] = true
	}
	bits := cidr.Bits() + 3
	if 2*len(zones) > 8 {
		bits = cidr.Bits() + 4
	}
	var subnets []Subnet
	for i := range 2 * len(zones) {
		base := Nth(cidr, uint32(i)<<(32-bits))
		subnets = append(subnets, Subnet{
			CIDR:   netip.PrefixFrom(base, bits),
			Zone:   zones[i%len(zones)],
			Public: i < len(zones),
		})
	}
	return subnets, nil
}

// ErrFull is returned when a subnet has not enough free addresses. It
// corresponds to EC2's InsufficientFreeAddressesInSubnet.
var ErrFull = errors.New("the subnet has not enough free addresses")

// Allocate chooses n different addresses of the subnet that are neither
// reserved nor taken. As in AWS they follow no order; random decides.
func Allocate(s Subnet, taken func(netip.Addr) bool, n int, random *rand.Rand) ([]netip.Addr, error) {
	free := uint32(s.Free())
	if n < 0 || uint32(n) > free {
		return nil, fmt.Errorf("%d addresses of %s: %w", n, s.CIDR, ErrFull)
	}
	chosen := make(map[netip.Addr]bool, n)
	addrs := make([]netip.Addr, 0, n)
	try := func(i uint32) {
		addr := Nth(s.CIDR, reserved+i)
		if !chosen[addr] && !taken(addr) {
			chosen[addr] = true
			addrs = append(addrs, addr)
		}
	}
	// Throwing dice is quick while the subnet is not nearly full; then every
	// address is looked at, from a random start.
	for range 8 * n {
		if len(addrs) == n {
			return addrs, nil
		}
		try(random.Uint32N(free))
	}
	for i, start := uint32(0), random.Uint32N(max(free, 1)); i < free && len(addrs) < n; i++ {
		try((start + i) % free)
	}
	if len(addrs) < n {
		return nil, fmt.Errorf("%d addresses of %s, which has %d left: %w", n, s.CIDR, len(addrs), ErrFull)
	}
	return addrs, nil
}

// Nth is the n-th address of an IPv4 block, whose own is the 0th.
func Nth(cidr netip.Prefix, n uint32) netip.Addr {
	base := cidr.Addr().As4()
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], binary.BigEndian.Uint32(base[:])+n)
	return netip.AddrFrom4(addr)
}
