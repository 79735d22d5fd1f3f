package region

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/images"
	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/imds"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/registry"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// eksRegistryAccount is the account that EKS's own images come from.
const eksRegistryAccount = "602401143452"

// registryAddress is where instances find the registry: the address that AWS
// keeps for the future, base plus three.
func registryAddress(cidr netip.Prefix) netip.Addr {
	return subnet.Nth(cidr, 3)
}

func eksImage(region, name string) string {
	return eksRegistryAccount + ".dkr.ecr." + region + ".amazonaws.com/eks/" + name
}

func pauseImage(region string) string { return eksImage(region, "pause:3.10") }

// openRegistry opens the registry, puts the embedded images into it and serves
// it on loopback.
func (r *Region) openRegistry(ctx context.Context) (string, error) {
	var err error
	r.registry, err = registry.New(registry.Config{Dir: r.layout.registry(), Account: r.identity.Account, Logger: r.logger})
	if err != nil {
		return "", fmt.Errorf("opening the registry: %w", err)
	}
	all, err := images.All()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if err := r.registry.Preload(ctx, i.Name, i.Tag, i.Image); err != nil {
			return "", err
		}
	}
	r.serveHTTP("registry", r.listen.registry, r.registry)
	return r.listen.registry.Addr().String(), nil
}

// serveHTTP serves a listener until the region stops.
func (r *Region) serveHTTP(name string, l net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
	r.run(name, func(ctx context.Context) error {
		stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stopped()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
}

// network is the region's VPC with what lives in it.
type network struct {
	record  ec2.VPC
	subnets []ec2.Subnet
	vpc     *vpc.VPC
	dns     *dns.Server
	host    *host
	// directory finds instances by their addresses; replaced at each change.
	directory atomic.Pointer[map[netip.Addr]imds.Instance]
}

// openNetwork opens the VPC and serves what AWS serves in every VPC: the
// resolver, the metadata service, and the way to the registry.
func (r *Region) openNetwork(ctx context.Context) (*network, error) {
	vpcs, _, err := r.ec2.VPCs.List(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(vpcs) != 1 {
		return nil, fmt.Errorf("the region has %d VPCs, want one", len(vpcs))
	}
	subnets, _, err := r.ec2.Subnets.List(ctx, "")
	if err != nil {
		return nil, err
	}
	n := &network{record: vpcs[0].Value}
	config := vpc.Config{Namespace: r.layout.namespace("vpc", "net"), CIDR: n.record.CIDR, Logger: r.logger}
	byID := map[string]subnet.Subnet{}
	for _, s := range subnets {
		n.subnets = append(n.subnets, s.Value)
		byID[s.Value.ID] = s.Value.Network()
		config.Subnets = append(config.Subnets, s.Value.Network())
	}
	if n.vpc, err = vpc.Open(config); err != nil {
		return nil, err
	}
	n.host = &host{
		layout: r.layout, account: r.identity.Account, region: r.identity.Region,
		vpc: n.vpc, cidr: n.record.CIDR, subnets: byID, logger: r.logger,
		cluster: r.clusterConfig, deleteNode: r.deleteNode,
		processes: map[string]*proc.Process{}, failures: map[string]failure{},
	}
	if err := r.serveNetwork(ctx, n); err != nil {
		return nil, errors.Join(err, n.vpc.Delete())
	}
	return n, nil
}

func (r *Region) serveNetwork(ctx context.Context, n *network) error {
	at := func(a netip.Addr, port uint16) string { return netip.AddrPortFrom(a, port).String() }
	resolver := subnet.Resolver(n.record.CIDR)
	if err := n.vpc.AddAddress(registryAddress(n.record.CIDR)); err != nil {
		return err
	}
	n.dns = dns.New(dns.Config{Upstreams: dns.ResolvConf("/etc/resolv.conf"), Logger: r.logger})
	for _, address := range []netip.Addr{resolver, vpc.DNSAddr} {
		packets, err := n.vpc.ListenPacket(ctx, "udp4", at(address, 53))
		if err != nil {
			return fmt.Errorf("listening for DNS: %w", err)
		}
		streams, err := n.vpc.Listen(ctx, "tcp4", at(address, 53))
		if err != nil {
			return fmt.Errorf("listening for DNS: %w", err)
		}
		r.run("DNS", func(ctx context.Context) error { return n.dns.Serve(ctx, packets, streams) })
	}
	metadata, err := n.vpc.Listen(ctx, "tcp4", at(vpc.MetadataAddr, 80))
	if err != nil {
		return fmt.Errorf("listening for instance metadata: %w", err)
	}
	handler := imds.New(imds.Config{Logger: r.logger, Lookup: func(a netip.Addr) (imds.Instance, bool) {
		directory := n.directory.Load()
		if directory == nil {
			return imds.Instance{}, false
		}
		i, ok := (*directory)[a]
		return i, ok
	}})
	r.run("instance metadata", func(ctx context.Context) error { return handler.Serve(ctx, metadata) })
	inVPC, err := n.vpc.Listen(ctx, "tcp4", at(registryAddress(n.record.CIDR), 80))
	if err != nil {
		return fmt.Errorf("listening for image pulls: %w", err)
	}
	r.serveHTTP("registry in the VPC", inVPC, r.registry)
	r.run("directory of instances", func(ctx context.Context) error { return r.followInstances(ctx, n) })
	return nil
}

// followInstances tells the resolver and the metadata service of each change.
func (r *Region) followInstances(ctx context.Context, n *network) error {
	follower := r.ec2.Instances.Follow(ctx, "")
	for snapshot := range follower.C {
		directory, addresses := r.directory(n, snapshot)
		n.directory.Store(&directory)
		zones, err := dns.NewZones(dns.VPCZones(r.identity.Region, []netip.Prefix{n.record.CIDR}, addresses)...)
		if err != nil {
			return err
		}
		n.dns.SetZones(zones)
	}
	return follower.Err()
}

// directory is what the metadata service and the resolver know of instances.
func (r *Region) directory(n *network, instances store.Snapshot[ec2.Instance]) (map[netip.Addr]imds.Instance, []netip.Addr) {
	directory := map[netip.Addr]imds.Instance{}
	var primary []netip.Addr
	for _, item := range instances.Items {
		i := item.Value
		if !i.Alive() {
			continue
		}
		view := r.metadata(n, i)
		primary = append(primary, i.Address)
		for _, a := range view.Interfaces[0].Addresses {
			directory[a] = view
		}
	}
	return directory, primary
}

func (r *Region) metadata(n *network, i ec2.Instance) imds.Instance {
	eni := imds.Interface{
		ID: i.ENI, MAC: i.MAC, PrivateDNSName: i.PrivateDNSName,
		Addresses: append([]netip.Addr{i.Address}, i.PodAddresses...),
		SubnetID:  i.Subnet, VPCID: i.VPC, VPCCIDRs: []netip.Prefix{n.record.CIDR},
	}
	for _, s := range n.subnets {
		if s.ID == i.Subnet {
			eni.SubnetCIDR = s.CIDR
		}
	}
	return imds.Instance{
		ID: i.ID, Type: i.Type, Architecture: "x86_64",
		AccountID: r.identity.Account, Region: r.identity.Region, AvailabilityZone: i.Zone,
		PendingTime: i.Launched, Interfaces: []imds.Interface{eni}, Tags: i.Tags,
		// EKS's managed node groups set a hop limit of two, so that pods reach it.
		Options: imds.Options{HTTPPutResponseHopLimit: 2},
	}
}
