package vpc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// sysctl is a kernel setting below /proc/sys/net, which shows the network
// namespace of the thread that opens it.
type sysctl struct{ name, value string }

// noIPv6 switches IPv6 off; a kernel without it is fine.
var noIPv6 = []sysctl{
	{"ipv6/conf/all/disable_ipv6", "1"},
	{"ipv6/conf/default/disable_ipv6", "1"},
}

// routerSysctls sets up the namespace of the router. What a hardened host has
// as its own settings is inherited by new namespaces: set all that is relied on.
func routerSysctls() error {
	return write(append([]sysctl{
		{"ipv4/ip_forward", "1"},
		// The larger of "all" and the link's own counts; 2 would be loose.
		{"ipv4/conf/all/rp_filter", "1"},
		{"ipv4/conf/all/arp_ignore", "0"},
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
		// Load balancers open many connections to few backends.
		{"ipv4/ip_local_port_range", "1024 65535"},
		{"ipv4/tcp_tw_reuse", "1"},
	}, noIPv6...))
}

// linkSysctls sets up the router's end of the wire to an instance.
func linkSysctls(link string) error {
	return write([]sysctl{
		// Neighbours in the subnet are reached through the router, which
		// answers for them at once.
		{"ipv4/conf/" + link + "/proxy_arp", "1"},
		{"ipv4/neigh/" + link + "/proxy_delay", "0"},
		// Source check: a packet is dropped unless the way back to its source
		// is the link it came from.
		{"ipv4/conf/" + link + "/rp_filter", "1"},
		{"ipv4/conf/" + link + "/arp_ignore", "0"},
	})
}

// instanceSysctls sets up the namespace of an instance, which routes to its pods.
func instanceSysctls() error {
	return write(append([]sysctl{
		{"ipv4/ip_forward", "1"},
		// Loose or none: the CNI plugin sets a strict one on each pod's link.
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/default/send_redirects", "0"},
	}, noIPv6...))
}

func write(settings []sysctl) error {
	for _, s := range settings {
		err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(s.name, "ipv6/") {
			continue
		}
		if err != nil {
			return fmt.Errorf("set net/%s to %s: %w", s.name, s.value, err)
		}
	}
	return nil
}
