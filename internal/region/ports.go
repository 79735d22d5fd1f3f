package region

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// DefaultPorts are asked for first.
var DefaultPorts = Ports{Endpoint: 4566, API: 6443, Registry: 5000, DNS: 5053, HTTPS: 443, HTTP: 80}

// listeners are the region's loopback ports.
type listeners struct {
	endpoint, api, registry, dns, https, http net.Listener
	dnsPackets                                net.PacketConn // of dns's port
}

// all are those that are open.
func (l listeners) all() []net.Listener {
	return slices.DeleteFunc([]net.Listener{l.endpoint, l.api, l.registry, l.dns, l.https, l.http}, func(l net.Listener) bool { return l == nil })
}

// door is one of the region's ports.
type door struct {
	what, flag string
	port       func(*Ports) *int
	listener   func(*listeners) *net.Listener
	// front doors have the ports of the web, which other programs on the machine
	// may need more: without being asked for, they stand aside.
	front bool
}

var doors = []door{
	{"AWS endpoint", "endpoint-port", func(p *Ports) *int { return &p.Endpoint }, func(l *listeners) *net.Listener { return &l.endpoint }, false},
	{"Kubernetes API server", "api-port", func(p *Ports) *int { return &p.API }, func(l *listeners) *net.Listener { return &l.api }, false},
	{"image registry", "registry-port", func(p *Ports) *int { return &p.Registry }, func(l *listeners) *net.Listener { return &l.registry }, false},
	{"DNS server", "dns-port", func(p *Ports) *int { return &p.DNS }, func(l *listeners) *net.Listener { return &l.dns }, false},
	{"front door for HTTPS", "https-port", func(p *Ports) *int { return &p.HTTPS }, func(l *listeners) *net.Listener { return &l.https }, true},
	{"front door for HTTP", "http-port", func(p *Ports) *int { return &p.HTTP }, func(l *listeners) *net.Listener { return &l.http }, true},
}

// Flags calls f for each port, with its flag, what it is for and the number that is
// asked for first: the commands' flags are made of it.
func (p *Ports) Flags(f func(port *int, name, what string, first int)) {
	for _, d := range doors {
		f(d.port(p), d.flag, d.what, *d.port(&DefaultPorts))
	}
}

// listenLocal opens the region's ports and remembers which they are.
func (r *Region) listenLocal() error {
	known, err := LoadIdentity(string(r.layout))
	fresh := errors.Is(err, os.ErrNotExist) || err == nil && known.Cluster == ""
	asked := r.identity.Ports
	switch {
	case err == nil && !fresh:
		if r.identity.Region != "" && r.identity.Region != known.Region {
			return fmt.Errorf("the region in %s is %s, and a region cannot become another one (%s): `tarn delete` first, or use another --data-dir", r.layout, known.Region, r.identity.Region)
		}
		r.identity = known
		r.identity.Ports = override(known.Ports, asked)
	case !fresh:
		return err
	}
	ports := override(DefaultPorts, r.identity.Ports)
	for _, d := range doors {
		port := d.port(&ports)
		// A region from before there was this port takes it as a new one does.
		first := fresh || *d.port(&known.Ports) == 0
		l, err := d.listen(*port, first && *d.port(&asked) == 0, *d.port(&asked) == 0)
		if err != nil {
			return err
		}
		*d.listener(&r.listen) = l
		if have := l.Addr().(*net.TCPAddr).Port; have != *port {
			if d.front {
				r.warn("port %d is taken by %s: the %s is on port %d; --%s chooses another", *port, portHolder(*port), d.what, have, d.flag)
			}
			*port = have
		}
	}
	r.identity.Ports = ports
	packets, err := net.ListenPacket("udp4", r.listen.dns.Addr().String())
	if err != nil {
		return fmt.Errorf("listening for DNS: %w; --dns-port chooses another port", err)
	}
	r.listen.dnsPackets = packets
	return r.identity.save(r.layout)
}

// listen opens the door's port. moves says that another region's may be avoided,
// free that nobody chose it.
func (d door) listen(port int, moves, free bool) (net.Listener, error) {
	l, err := listenLocal(d.what, port, moves, d.flag)
	if err != nil && d.front && free {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// override is ports with those that by has.
func override(ports, by Ports) Ports {
	for _, d := range doors {
		if port := *d.port(&by); port != 0 {
			*d.port(&ports) = port
		}
	}
	return ports
}

// listenLocal opens a loopback port. When another region has it, and the port
// is not one that was chosen before, any free port is taken instead; when
// another program has it, the error names the program and the flag, if there is
// one, that chooses another port.
func listenLocal(what string, port int, mayMove bool, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil || !errors.Is(err, unix.EADDRINUSE) {
		return l, err
	}
	holder := portHolder(port)
	if mayMove && holder.tarn {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	if flag == "" {
		return nil, fmt.Errorf("port %d, which the %s listens on, is taken by %s: end that program", port, what, holder)
	}
	return nil, fmt.Errorf("port %d, which the %s listens on, is taken by %s: end that program, or choose another port with --%s", port, what, holder, flag)
}
