package vpc

import (
	"net/netip"

	"github.com/tarn-eks/tarn/internal/subnet"
)

// Subnet is a subnet.Subnet.
type Subnet = subnet.Subnet

// Resolver is subnet.Resolver.
func Resolver(cidr netip.Prefix) netip.Addr { return subnet.Resolver(cidr) }
