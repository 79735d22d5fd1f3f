package dns

import (
	"io"
	"net/netip"
	"os"
	"sync"

	"github.com/miekg/dns"
)

// ResolvConf returns a function for [Config].Upstreams that reads the nameservers of a resolv.conf
// file, anew whenever the file changes: machines move between networks. A file that cannot be read
// has none.
func ResolvConf(path string) func() []netip.AddrPort {
	var (
		mu   sync.Mutex // guards the two below
		seen os.FileInfo
		list []netip.AddrPort
	)
	return func() []netip.AddrPort {
		mu.Lock()
		defer mu.Unlock()
		now, err := os.Stat(path)
		if err != nil {
			seen, list = nil, nil
			return nil
		}
		if seen == nil || !os.SameFile(seen, now) || !seen.ModTime().Equal(now.ModTime()) || seen.Size() != now.Size() {
			seen, list = now, nil
			if f, err := os.Open(path); err == nil {
				list = nameservers(f)
				f.Close()
			}
		}
		return list
	}
}

// nameservers returns the addresses in a resolv.conf, leaving out what is none.
func nameservers(r io.Reader) []netip.AddrPort {
	conf, err := dns.ClientConfigFromReader(r)
	if err != nil {
		return nil
	}
	var list []netip.AddrPort
	for _, s := range conf.Servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			list = append(list, netip.AddrPortFrom(addr, 53))
		}
	}
	return list
}
