package balancing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
)

// run has the proxy run the load balancers, and records the addresses on the host
// where they are.
func (l *Loop) run(ctx context.Context, s *State, w *work) {
	l.assignHosts(s, w)
	l.logs.set(s.LoadBalancers)
	l.note(*s)
	failed := l.apply(ctx, *s, w)
	for l.moveHosts(s, w) {
		failed = l.apply(ctx, *s, w)
	}
	for _, err := range failed {
		w.fail(labelIn(err, s.placements()), err)
	}
	for _, lb := range s.placements() {
		l.recordHost(ctx, s, w, *lb)
	}
}

// note remembers what sockets and the end of interfaces need to know.
func (l *Loop) note(s State) {
	clear(l.active)
	exists := map[string]bool{}
	for _, eni := range s.Interfaces {
		exists[eni.ID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	vpcs := map[string]string{}
	for eni, id := range l.owners {
		if !exists[eni] {
			delete(l.owners, eni)
			continue
		}
		vpcs[id] = l.vpcs[id] // it may be gone, and drain
		stats, ok := l.proxy.Stats(id)
		l.active[id] = ok && stats.ActiveConnections > 0
	}
	for _, lb := range s.placements() {
		vpcs[lb.ID] = lb.VPC
		for _, n := range lb.Nodes {
			l.owners[n.ENI] = lb.ID
		}
	}
	l.vpcs = vpcs
}

// apply plans, and tells the proxy what to run.
func (l *Loop) apply(ctx context.Context, s State, w *work) (failed []error) {
	balancers, problems := Plan(s)
	w.problems = problems
	l.mu.Lock()
	clear(l.busy)
	l.mu.Unlock()
	err := l.proxy.Apply(ctx, balancers)
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// labelIn is the load balancer that an error of the proxy's names, or "".
func labelIn(err error, all []*loadbalancer.Placement) string {
	for _, lb := range all {
		if strings.HasPrefix(err.Error(), "load balancer "+lb.Label()+": ") {
			return lb.Label()
		}
	}
	return ""
}

// listen opens a load balancer's sockets for the proxy, on the host and in its VPC.
func (l *Loop) listen(ctx context.Context, b *proxy.Balancer, zone string, port int) (net.Listener, error) {
	address := b.Addresses[zone]
	if !address.IsValid() {
		return nil, nil // there is none yet
	}
	at := netip.AddrPortFrom(address, uint16(port))
	if zone != "" {
		return l.cfg.Host.Listen(ctx, l.vpc(b), at)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // costs time
	socket, err := config.Listen(ctx, "tcp4", at.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		l.mu.Lock()
		l.busy[b.ID] = true
		l.mu.Unlock()
		err = fmt.Errorf("%w; another program listens there, or on all addresses: end it, or use another port", err)
	}
	return socket, err
}

// dial connects to an instance from the load balancer's node in a zone.
func (l *Loop) dial(ctx context.Context, b *proxy.Balancer, zone string, to netip.AddrPort) (net.Conn, error) {
	from := b.Addresses[zone]
	if zone == "" || !from.IsValid() {
		return nil, fmt.Errorf("the load balancer %s has no network interface in its VPC yet", b.Name)
	}
	return l.cfg.Host.Dial(ctx, l.vpc(b), from, to)
}

func (l *Loop) vpc(b *proxy.Balancer) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.vpcs[b.ID]
}

// maxTries is how many addresses on the host are tried for a load balancer. If
// somebody listens on all of them, it is on every address, and moving is no help.
const maxTries = 8

// assignHosts gives each load balancer an address on the host, in this round's
// knowledge alone.
func (l *Loop) assignHosts(s *State, w *work) {
	ids, taken := map[string]bool{}, map[netip.Addr]bool{}
	for _, lb := range s.placements() {
		ids[lb.ID] = true
		taken[lb.HostAddress] = true
		if l.hosts[lb.ID] == lb.HostAddress {
			delete(l.hosts, lb.ID) // it is recorded
		}
	}
	for id, a := range l.hosts {
		if !ids[id] {
			delete(l.hosts, id)
			delete(l.tried, id)
			continue
		}
		taken[a] = true
	}
	for _, lb := range s.placements() {
		if a, ok := l.hosts[lb.ID]; ok {
			lb.HostAddress = a
		}
		if !lb.HostAddress.IsValid() {
			l.choose(lb, taken, w)
		}
	}
}

// choose gives a load balancer an address that it has not had.
func (l *Loop) choose(lb *loadbalancer.Placement, taken map[netip.Addr]bool, w *work) {
	a, ok := chooseHost(l.cfg.Seed, lb.ID, func(a netip.Addr) bool { return taken[a] || slices.Contains(l.tried[lb.ID], a) })
	if !ok {
		w.fail(lb.Label(), fmt.Errorf("no address is free in %s: delete load balancers", hostPrefix))
		return
	}
	taken[a], lb.HostAddress, l.hosts[lb.ID] = true, a, a
}

// moveHosts gives load balancers at whose address somebody else listens another
// one, and says whether there were any. One that has tried in vain goes back.
func (l *Loop) moveHosts(s *State, w *work) (moved bool) {
	taken := map[netip.Addr]bool{}
	for _, lb := range s.placements() {
		taken[lb.HostAddress] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lb := range s.placements() {
		tried := len(l.tried[lb.ID])
		switch {
		case !l.busy[lb.ID]:
			delete(l.tried, lb.ID)
			continue
		case tried > maxTries:
			continue // it stays where it is, with the ports that are free
		case tried == maxTries:
			lb.HostAddress = l.tried[lb.ID][0]
			l.hosts[lb.ID] = lb.HostAddress
			l.tried[lb.ID] = append(l.tried[lb.ID], lb.HostAddress)
		default:
			l.tried[lb.ID] = append(l.tried[lb.ID], lb.HostAddress)
			l.choose(lb, taken, w)
		}
		moved = true
	}
	return moved
}

// recordHost writes a load balancer's address on the host, once it is there.
func (l *Loop) recordHost(ctx context.Context, s *State, w *work, lb loadbalancer.Placement) {
	if a, ok := l.hosts[lb.ID]; !ok || a != lb.HostAddress {
		return
	}
	l.log.Info("a load balancer has an address on the host", "loadBalancer", lb.Label(), "address", lb.HostAddress)
	l.changeRecord(ctx, s, w, lb.Label(), func(has *loadbalancer.Placement) bool {
		has.HostAddress = lb.HostAddress
		return true
	})
}
