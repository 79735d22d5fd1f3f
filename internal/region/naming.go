package region

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/healthcheck"
	"github.com/tarn-eks/tarn/internal/hostdns"
	"github.com/tarn-eks/tarn/internal/loop/naming"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// openDNS makes the host's view of DNS, and the loop that gives it and the VPCs
// their zones. The services that the loop reads are made after it.
func (r *Region) openDNS() {
	r.dns = dns.New(dns.Config{Upstreams: dns.ResolvConf(resolvConf()), Logger: r.logger})
	r.hostdns = hostdns.New(hostdns.Config{DataDir: string(r.layout)})
	r.naming = &naming.Loop{Region: r.identity.Region, EC2: r.ec2, Views: views{r}, Host: hostNames{r}, Logger: r.logger}
	// Endpoints are named as the host names them.
	r.checker = healthcheck.New(healthcheck.Config{Resolve: r.dns.Addresses, Changed: r.naming.Trigger})
	r.naming.Checks = r.checker
}

// resolvConf is where the machine's resolvers are named. systemd-resolved itself is
// passed by: after `tarn dns install` it would ask back.
func resolvConf() string {
	const file, stubs = "/etc/resolv.conf", "/run/systemd/resolve"
	if target, err := filepath.EvalSymlinks(file); err == nil && filepath.Dir(target) == stubs {
		return filepath.Join(stubs, "resolv.conf")
	}
	return file
}

// hostNames keeps what the host's own resolver may be told: it is the naming
// loop's Host.
type hostNames struct{ *Region }

// SetHost implements naming.Host.
func (r hostNames) SetHost(names naming.HostNames) error {
	state := hostdns.State{
		Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(r.identity.Ports.DNS)),
		Zones:   names.Zones, Hosts: map[string]netip.Addr{},
	}
	for host, addresses := range names.Addresses {
		state.Hosts[host] = addresses[0]
	}
	r.mu.Lock()
	r.hosted = state
	r.mu.Unlock()
	return r.hostdns.Sync(r.background, state)
}

// Hosted is what the host's own resolver may be told.
func (r *Region) Hosted() hostdns.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hosted
}

// nameLoadBalancers tells the naming loop when a load balancer's health changes.
func (r *Region) nameLoadBalancers(ctx context.Context) error {
	for {
		changed := r.balancing.Proxy().Changed()
		r.naming.Trigger()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// views are the name servers: the naming loop's Views.
type views struct{ *Region }

// SetHosted implements naming.Views.
func (r views) SetHosted(view string, z *dns.Zones) error {
	if view == naming.HostView {
		r.dns.SetHosted(z)
		return nil
	}
	n, err := r.networkOf(view)
	if err != nil {
		return fmt.Errorf("%w: %w", naming.ErrNoView, err)
	}
	n.dns.SetHosted(z)
	return nil
}

// route53VPCs is what Route 53 asks of EC2.
type route53VPCs struct{ ec2 *ec2.Service }

// VPCExists implements route53.Network.
func (e route53VPCs) VPCExists(ctx context.Context, id string) (bool, error) {
	return elbNetwork(e).VPC(ctx, id)
}

// route53LoadBalancers is what Route 53 asks of ELB.
type route53LoadBalancers struct{ *Region }

// LoadBalancerExists implements route53.LoadBalancers.
func (r route53LoadBalancers) LoadBalancerExists(ctx context.Context, name string) (bool, error) {
	_, ok, err := r.elb.ByDNSName(ctx, name)
	if err == nil && !ok {
		_, ok, err = r.elbv2.ByDNSName(ctx, name)
	}
	return ok, err
}
