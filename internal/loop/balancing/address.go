package balancing

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// hostPrefix is where load balancers have their loopback addresses: 127.64.0.0/10.
var hostPrefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{127, 64, 0, 0}), 10)

// chooseHost is the first address that is not taken. Where it begins to look
// follows from the seed, which differs between regions of a machine, and the load
// balancer's id: regions side by side hardly ever choose the same, and one that
// forgot an address finds it again.
func chooseHost(seed, id string, taken func(netip.Addr) bool) (netip.Addr, bool) {
	const size = 1 << (32 - 10)
	sum := sha256.Sum256([]byte(seed + "\x00" + id))
	base, start := binary.BigEndian.Uint32(hostPrefix.Addr().AsSlice()), binary.BigEndian.Uint32(sum[:])
	for i := range uint32(size) {
		n := (start + i) % size
		if last := n & 0xff; last == 0 || last == 0xff {
			continue // they look like a network and a broadcast address
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+n)
		if a := netip.AddrFrom4(b); !taken(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}
