package region

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/tarn-eks/tarn/internal/loop/balancing"
	"github.com/tarn-eks/tarn/internal/loop/issuing"
	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/service/route53"
)

// openWeb makes what brings a Service to the web: certificates, names, load
// balancers. key is the region's own secret.
func (r *Region) openWeb(key []byte) error {
	sealing, err := derivedKey(key, "private keys of certificates")
	if err != nil {
		return err
	}
	name := fmt.Sprintf("Tarn Region CA %s %s", r.identity.Account, r.identity.Region)
	if r.authority, err = pki.EnsureAuthority(r.layout.authority(), name); err != nil {
		return fmt.Errorf("making the region's certificate authority: %w", err)
	}
	r.openDNS()
	client, id := r.store.Client(), r.identity
	if r.acm, err = acm.New(acm.Config{
		Client: client, Account: id.Account, Region: id.Region, Key: sealing, Users: certificateUsers{r},
	}); err != nil {
		return err
	}
	r.elb = elb.New(elb.Config{
		Client: client, Account: id.Account, Region: id.Region,
		Network: elbNetwork{r.ec2}, Instances: elbInstances{r.ec2}, Certificates: r.acm, Health: elbHealth{r},
	})
	r.elbv2 = elbv2.New(elbv2.Config{
		Client: client, Account: id.Account, Region: id.Region,
		Network: elbNetwork{r.ec2}, Instances: elbInstances{r.ec2}, Certificates: r.acm, Health: elbHealth{r},
	})
	r.balancing = balancing.New(balancing.Config{
		ELB: r.elb, ELBv2: r.elbv2, EC2: r.ec2, ACM: r.acm, Host: sockets{r}, Account: id.Account, Region: id.Region,
		Seed: string(r.layout), Logs: r.layout.buckets(), Logger: r.logger,
		Await: func(ctx context.Context, eni string) error { return r.filtering.Await(ctx, eni) },
	})
	r.door = proxy.NewDoor(r.balancing.Proxy())
	r.route53 = route53.New(route53.Config{
		Client: client, Account: id.Account, Region: id.Region,
		Network: route53VPCs{r.ec2}, LoadBalancers: route53LoadBalancers{r},
		Applied: r.naming, Checker: r.naming, Answerer: r.naming,
	})
	r.naming.ELB, r.naming.ELBv2, r.naming.Route53 = r.elb, r.elbv2, r.route53
	r.naming.Health, r.naming.FrontDoor = elbHealth{r}, r.door
	return nil
}

// serveWeb serves what the host has of the web: the name server and the front doors.
func (r *Region) serveWeb() {
	r.run("DNS", func(ctx context.Context) error { return r.dns.Serve(ctx, r.listen.dnsPackets, r.listen.dns) })
	r.run("front door for HTTPS", func(ctx context.Context) error { return r.door.ServeTLS(ctx, r.listen.https, 443) })
	r.run("front door for HTTP", func(ctx context.Context) error { return r.door.ServeHTTP(ctx, r.listen.http, 80) })
}

// sockets opens load balancers' sockets in VPCs: it is the balancing loop's Host.
type sockets struct{ *Region }

// AddAddress implements balancing.Host.
func (r sockets) AddAddress(vpc string, address netip.Addr) error {
	n, err := r.network(vpc)
	if err != nil {
		return err
	}
	return n.vpc.AddAddress(address)
}

// RemoveAddress implements balancing.Host. With its VPC an address is gone, too.
func (r sockets) RemoveAddress(vpc string, address netip.Addr) error {
	n, err := r.network(vpc)
	if err != nil {
		return nil
	}
	return n.vpc.RemoveAddress(address)
}

// Listen implements balancing.Host.
func (r sockets) Listen(ctx context.Context, vpc string, at netip.AddrPort) (net.Listener, error) {
	n, err := r.network(vpc)
	if err != nil {
		return nil, err
	}
	return n.vpc.Listen(ctx, "tcp4", at.String())
}

// Dial implements balancing.Host.
func (r sockets) Dial(ctx context.Context, vpc string, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	n, err := r.network(vpc)
	if err != nil {
		return nil, err
	}
	return n.vpc.DialFrom(ctx, from, "tcp4", to.String())
}

func (r sockets) network(vpc string) (*network, error) {
	n, err := r.networkOf(vpc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", balancing.ErrNoNetwork, err)
	}
	return n, nil
}

// certificateUsers is what ACM asks of ELB.
type certificateUsers struct{ *Region }

// InUse implements acm.Users.
func (r certificateUsers) InUse(ctx context.Context, certificate string) ([]string, error) {
	classic, err := r.elb.InUse(ctx, certificate)
	if err != nil {
		return nil, err
	}
	others, err := r.elbv2.InUse(ctx, certificate)
	return append(classic, others...), err
}

// issuing is the loop that issues certificates.
func (r *Region) issuing() *issuing.Loop {
	return &issuing.Loop{
		ACM: r.acm, CA: r.authority,
		// The host's view has what is authoritative for the zones here, and asks the
		// world about others.
		Resolver: issuing.DNS{Address: func() string { return r.listen.dns.Addr().String() }},
		Mailer:   issuing.Directory(r.layout.mail()), Endpoint: r.identity.Endpoint(),
		Wake: r.zonesChanged(), Logger: r.logger,
	}
}

// zonesChanged delivers a value after each change of the zones.
func (r *Region) zonesChanged() <-chan struct{} {
	wake := make(chan struct{}, 1)
	r.run("news of zones", func(ctx context.Context) error {
		for {
			select {
			case <-r.naming.Changed():
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case wake <- struct{}{}:
			default: // there is one to be seen
			}
		}
	})
	return wake
}
