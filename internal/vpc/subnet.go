package vpc

import (
	"net/netip"

	"github.com/tarn-eks/tarn/internal/subnet"
)

// Subnet is a subnet.Subnet.
//
// Deprecated: for callers that do not import package subnet yet.
type Subnet = subnet.Subnet

// Resolver is subnet.Resolver.
//
// Deprecated: for callers that do not import package subnet yet.
func Resolver(cidr netip.Prefix) netip.Addr { return subnet.Resolver(cidr) }
