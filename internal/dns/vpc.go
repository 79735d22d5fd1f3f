package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

const internalTTL = 60 // seconds, as the VPC resolver gives

// InternalDomain returns the domain of instances' private names in a region, with its last dot.
func InternalDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal."
	}
	return region + ".compute.internal."
}

// InstanceName returns the private DNS name of an IPv4 address in a region, with its last dot.
func InstanceName(region string, addr netip.Addr) string {
	return "ip-" + strings.ReplaceAll(addr.String(), ".", "-") + "." + InternalDomain(region)
}

// VPCZones returns the zones that the resolver of a VPC has of its own: the region's internal domain
// with the names of the running instances (their primary private addresses), and the reverse zones
// of the VPC's CIDR blocks. Only IPv4 counts; an instance outside of the blocks has no reverse name.
func VPCZones(region string, cidrs []netip.Prefix, instances []netip.Addr) []Zone {
	domain := InternalDomain(region)
	forward := Zone{Name: domain, Records: []dns.RR{internalSOA(domain, domain)}}
	var order []string
	reverse := map[string]*Zone{}
	for _, cidr := range cidrs {
		if !cidr.Addr().Is4() {
			continue
		}
		for _, name := range reverseNames(cidr) {
			if reverse[name] == nil {
				reverse[name] = &Zone{Name: name, Records: []dns.RR{internalSOA(name, domain)}}
				order = append(order, name)
			}
		}
	}
	for _, addr := range instances {
		if !addr.Is4() {
			continue
		}
		name := InstanceName(region, addr)
		forward.Records = append(forward.Records, &dns.A{Hdr: header(name, dns.TypeA, internalTTL), A: addr.AsSlice()})
		arpa := arpaName(addr)
		for off, end := 0, false; !end; off, end = dns.NextLabel(arpa, off) {
			if z := reverse[arpa[off:]]; z != nil {
				z.Records = append(z.Records, &dns.PTR{Hdr: header(arpa, dns.TypePTR, internalTTL), Ptr: name})
				break
			}
		}
	}
	zones := []Zone{forward}
	for _, name := range order {
		zones = append(zones, *reverse[name])
	}
	return zones
}

// reverseNames returns the in-addr.arpa zones that cover an IPv4 prefix: as many as it takes, since
// they end at a whole octet, or the /24's zone for a smaller prefix.
func reverseNames(p netip.Prefix) []string {
	octets := min(max((p.Bits()+7)/8, 1), 3)
	base := p.Masked().Addr().As4()
	var names []string
	for range 1 << max(octets*8-p.Bits(), 0) {
		name := "in-addr.arpa."
		for _, b := range base[:octets] {
			name = strconv.Itoa(int(b)) + "." + name
		}
		names = append(names, name)
		base[octets-1]++
	}
	return names
}

func arpaName(addr netip.Addr) string {
	a := addr.As4()
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa.", a[3], a[2], a[1], a[0])
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// internalSOA is as the VPC resolver's own.
func internalSOA(zone, domain string) *dns.SOA {
	return &dns.SOA{
		Hdr: header(zone, dns.TypeSOA, internalTTL), Ns: "ns0." + domain, Mbox: "hostmaster.amazon.com.",
		Serial: 2012103100, Refresh: 3600, Retry: 3600, Expire: 3600, Minttl: internalTTL,
	}
}

// localZones are answered here unless the server was given a zone of the name: nobody outside knows
// them, and asking would leak what goes on inside (and load the AS112 servers).
var localZones = func() *Zones {
	var zones []Zone
	for _, name := range localNames() {
		// RFC 6303 section 3
		zones = append(zones, Zone{Name: name, Records: []dns.RR{
			&dns.SOA{
				Hdr: header(name, dns.TypeSOA, 10800), Ns: name, Mbox: "nobody.invalid.",
				Serial: 1, Refresh: 3600, Retry: 1200, Expire: 604800, Minttl: 10800,
			},
			&dns.NS{Hdr: header(name, dns.TypeNS, 10800), Ns: name},
		}})
	}
	localhost := &zones[0] // RFC 6761 section 6.3
	localhost.Records = append(localhost.Records,
		&dns.A{Hdr: header(localhost.Name, dns.TypeA, 10800), A: net.IPv4(127, 0, 0, 1)},
		&dns.AAAA{Hdr: header(localhost.Name, dns.TypeAAAA, 10800), AAAA: net.IPv6loopback},
	)
	set, err := NewZones(zones...)
	if err != nil {
		panic(err) // a mistake in the list below
	}
	return set
}()

func localNames() []string {
	names := []string{
		"localhost.", "invalid.", "onion.", "local.", "home.arpa.", // RFC 6761, 7686, 6762, 8375
		"ec2.internal.", "compute.internal.", // private names of other regions
		// RFC 6303
		"0.in-addr.arpa.", "10.in-addr.arpa.", "127.in-addr.arpa.", "254.169.in-addr.arpa.", "168.192.in-addr.arpa.",
		"2.0.192.in-addr.arpa.", "100.51.198.in-addr.arpa.", "113.0.203.in-addr.arpa.", "255.255.255.255.in-addr.arpa.",
		strings.Repeat("0.", 32) + "ip6.arpa.", "1." + strings.Repeat("0.", 31) + "ip6.arpa.",
		"d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.",
	}
	names = append(names, reverseNames(netip.MustParsePrefix("172.16.0.0/12"))...)
	return append(names, reverseNames(netip.MustParsePrefix("100.64.0.0/10"))...) // RFC 7793
}
