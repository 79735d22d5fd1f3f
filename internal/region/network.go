package region

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/imds"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// network is a VPC with what AWS serves in every one: the resolver, the metadata
// service, and the ways to the registry and to the AWS endpoint.
type network struct {
	record ec2.VPC
	vpc    *vpc.VPC
	dns    *dns.Server
	// directory finds instances by their addresses; replaced at each change.
	directory atomic.Pointer[map[netip.Addr]imds.Instance]

	ctx   context.Context // ends with the network
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// servicesAddress is where a VPC's instances find the region's own services,
// the registry and the AWS endpoint: the address that AWS keeps for the future,
// base plus three.
func servicesAddress(cidr netip.Prefix) netip.Addr { return subnet.Nth(cidr, 3) }

// endpointInVPC is the AWS endpoint as pods see it.
func endpointInVPC(cidr netip.Prefix) string {
	return "http://" + netip.AddrPortFrom(servicesAddress(cidr), uint16(DefaultPorts.Endpoint)).String()
}

// networkOf finds the VPC of an id.
func (r *Region) networkOf(id string) (*network, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.networks[id]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("the VPC %s is not open", id)
}

// openNetworks makes the VPCs that run those that the store has. It is harmless
// when run again.
func (r *Region) openNetworks(ctx context.Context) error {
	r.opening.Lock()
	defer r.opening.Unlock()
	records, _, err := r.ec2.VPCs.List(ctx, "")
	if err != nil {
		return err
	}
	items, _, err := r.ec2.Subnets.List(ctx, "")
	if err != nil {
		return err
	}
	subnets := map[string][]subnet.Subnet{}
	for _, s := range items {
		subnets[s.Value.VPC] = append(subnets[s.Value.VPC], s.Value.Network())
	}
	wanted := map[string]bool{}
	var errs []error
	for _, item := range records {
		wanted[item.Key] = true
		errs = append(errs, r.openNetwork(ctx, item.Value, subnets[item.Key]))
	}
	for _, n := range r.openedNetworks() {
		if !wanted[n.record.ID] {
			errs = append(errs, r.closeNetwork(n))
		}
	}
	return errors.Join(errs...)
}

func (r *Region) openedNetworks() []*network {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*network
	for _, n := range r.networks {
		all = append(all, n)
	}
	return all
}

// openNetwork opens a VPC, or gives the open one its new subnets.
func (r *Region) openNetwork(ctx context.Context, record ec2.VPC, subnets []subnet.Subnet) error {
	if n, err := r.networkOf(record.ID); err == nil {
		return n.vpc.SetSubnets(subnets)
	}
	v, err := vpc.Open(vpc.Config{
		Namespace: r.layout.namespace(record.ID, "net"),
		CIDR:      record.CIDR, Subnets: subnets, Logger: r.logger,
	})
	if err != nil {
		return err
	}
	n := &network{record: record, vpc: v}
	n.ctx, n.end = context.WithCancel(r.background)
	if err := r.furnish(ctx, n); err != nil {
		return errors.Join(err, n.close())
	}
	r.mu.Lock()
	r.networks[record.ID] = n
	r.mu.Unlock()
	r.naming.Trigger() // what it has planned since furnish looked
	return nil
}

// closeNetwork ends a VPC whose record is gone.
func (r *Region) closeNetwork(n *network) error {
	r.mu.Lock()
	delete(r.networks, n.record.ID)
	r.mu.Unlock()
	return n.close()
}

func (n *network) close() error {
	n.end()
	n.tasks.Wait()
	return n.vpc.Delete()
}

// runIn runs work until the network ends. Its failure is the region's.
func (r *Region) runIn(n *network, name string, work func(context.Context) error) {
	r.runUntil(n.ctx, &n.tasks, name+" in "+n.record.ID, work)
}

// furnish serves what a VPC has.
func (r *Region) furnish(ctx context.Context, n *network) error {
	at := func(a netip.Addr, port int) string { return netip.AddrPortFrom(a, uint16(port)).String() }
	services := servicesAddress(n.record.CIDR)
	if err := n.vpc.AddAddress(services); err != nil {
		return err
	}
	n.dns = dns.New(dns.Config{Upstreams: dns.ResolvConf(resolvConf()), Logger: r.logger})
	n.dns.SetHosted(r.naming.View(n.record.ID))
	for _, address := range []netip.Addr{subnet.Resolver(n.record.CIDR), vpc.DNSAddr} {
		packets, err := n.vpc.ListenPacket(ctx, "udp4", at(address, 53))
		if err != nil {
			return fmt.Errorf("listening for DNS: %w", err)
		}
		streams, err := n.vpc.Listen(ctx, "tcp4", at(address, 53))
		if err != nil {
			return errors.Join(fmt.Errorf("listening for DNS: %w", err), packets.Close())
		}
		r.runIn(n, "DNS", func(ctx context.Context) error { return n.dns.Serve(ctx, packets, streams) })
	}
	metadata, err := n.vpc.Listen(ctx, "tcp4", at(vpc.MetadataAddr, 80))
	if err != nil {
		return fmt.Errorf("listening for instance metadata: %w", err)
	}
	handler := imds.New(imds.Config{Logger: r.logger, Credentials: r.instanceCredentials, Lookup: n.lookup})
	r.runIn(n, "instance metadata", func(ctx context.Context) error { return handler.Serve(ctx, metadata) })
	for _, s := range []struct {
		name   string
		port   int
		server *http.Server
	}{
		{"registry", 80, plainServer(r.registry)},
		{"AWS endpoint", DefaultPorts.Endpoint, r.gateway.Server()},
	} {
		l, err := n.vpc.Listen(ctx, "tcp4", at(services, s.port))
		if err != nil {
			return fmt.Errorf("listening for the %s in %s: %w", s.name, n.record.ID, err)
		}
		r.runIn(n, s.name, serve(l, s.server))
	}
	r.runIn(n, "directory of instances", func(ctx context.Context) error { return r.followInstances(ctx, n) })
	return nil
}

// lookup finds the instance that has an address.
func (n *network) lookup(a netip.Addr) (imds.Instance, bool) {
	directory := n.directory.Load()
	if directory == nil {
		return imds.Instance{}, false
	}
	i, ok := (*directory)[a]
	return i, ok
}

// followNetworks opens and closes VPCs as clients make and delete them.
func (r *Region) followNetworks(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	vpcs, subnets := r.ec2.VPCs.Follow(ctx, ""), r.ec2.Subnets.Follow(ctx, "")
	defer func() {
		cancel()
		for range vpcs.C { // until it has ended
		}
		for range subnets.C {
		}
	}()
	var again <-chan time.Time // after a failure
	for {
		select {
		case _, ok := <-vpcs.C:
			if !ok {
				return vpcs.Err()
			}
		case _, ok := <-subnets.C:
			if !ok {
				return subnets.Err()
			}
		case <-again:
		}
		again = nil
		if err := r.openNetworks(ctx); err != nil && ctx.Err() == nil {
			r.logger.Error("bringing VPCs to their state", "error", err)
			again = time.After(retryPause)
		}
	}
}

// retryPause is between attempts at what failed.
const retryPause = 2 * time.Second

// followInstances tells the resolver and the metadata service of each change.
func (r *Region) followInstances(ctx context.Context, n *network) error {
	ctx, cancel := context.WithCancel(ctx)
	instances, subnets, groups := r.ec2.Instances.Follow(ctx, ""), r.ec2.Subnets.Follow(ctx, ""), r.ec2.SecurityGroups.Follow(ctx, "")
	defer func() {
		cancel()
		for range instances.C { // until it has ended
		}
		for range subnets.C {
		}
		for range groups.C {
		}
	}()
	var now surroundings
	for {
		var ok bool
		select {
		case now.instances, ok = <-instances.C:
			if !ok {
				return instances.Err()
			}
		case now.subnets, ok = <-subnets.C:
			if !ok {
				return subnets.Err()
			}
		case now.groups, ok = <-groups.C:
			if !ok {
				return groups.Err()
			}
		}
		if err := r.announce(n, now); err != nil {
			return err
		}
	}
}

// surroundings are what instances are told from.
type surroundings struct {
	instances store.Snapshot[ec2.Instance]
	subnets   store.Snapshot[ec2.Subnet]
	groups    store.Snapshot[ec2.SecurityGroup]
}

// announce replaces what the metadata service and the resolver know.
func (r *Region) announce(n *network, now surroundings) error {
	directory := map[netip.Addr]imds.Instance{}
	var addresses []netip.Addr
	for _, item := range now.instances.Items {
		i := item.Value
		if !i.Alive() || i.VPC != n.record.ID {
			continue
		}
		view := r.metadata(n, i, now.subnets, now.groups)
		addresses = append(addresses, i.Address)
		for _, a := range view.Interfaces[0].Addresses {
			directory[a] = view
		}
	}
	zones, err := dns.NewZones(dns.VPCZones(r.identity.Region, []netip.Prefix{n.record.CIDR}, addresses)...)
	if err != nil {
		return err
	}
	n.directory.Store(&directory)
	n.dns.SetZones(zones)
	return nil
}

// serve serves a listener until the context ends.
func serve(l net.Listener, server *http.Server) func(context.Context) error {
	return func(ctx context.Context) error {
		stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stopped()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
}

// plainServer is for what has no limits of its own.
func plainServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
}
