package proxy

import (
	"fmt"
	"net"
	"net/netip"
)

// proxyHeader is version 1 of the PROXY protocol:
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
func proxyHeader(from, to net.Addr) []byte {
	src, dst := addrPort(from), addrPort(to)
	if !src.IsValid() || !dst.IsValid() || src.Addr().Is4() != dst.Addr().Is4() {
		return []byte("PROXY UNKNOWN\r\n")
	}
	family := "TCP4"
	if src.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Appendf(nil, "PROXY %s %s %s %d %d\r\n", family, src.Addr(), dst.Addr(), src.Port(), dst.Port())
}

// addrPort is a connection's address, not valid if it is not one of IP.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
