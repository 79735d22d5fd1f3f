package balancing

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

// Requester is who the load balancers' network interfaces are made for, and
// description how EC2 shows them.
const Requester = "amazon-elb"

func description(name string) string { return "ELB " + name }

// State is what a plan rests on.
type State struct {
	LoadBalancers []elb.LoadBalancer
	Interfaces    []ec2.NetworkInterface      // all there are
	Instances     map[string]ec2.Instance     // by id
	Certificates  map[string]*tls.Certificate // by ARN, those that can be served
}

// Interface is a network interface that a load balancer lacks.
type Interface struct {
	LoadBalancer elb.LoadBalancer
	Subnet, Zone string
}

// Regroup is a network interface with other security groups than its load
// balancer's, which are to be its own.
type Regroup struct {
	LoadBalancer string
	ENI          string
	Groups       []string
}

// Interfaces is what is to be done about network interfaces.
type Interfaces struct {
	// Create are those that are missing.
	Create []Interface
	// Forget are nodes, by their load balancers' names, whose subnet was left or
	// whose interface is gone: their records are to lose them.
	Forget  map[string][]elb.Node
	Regroup []Regroup
	// Delete are the interfaces that no load balancer has.
	Delete []ec2.NetworkInterface
}

// PlanInterfaces compares the load balancers with their network interfaces.
func PlanInterfaces(s State) Interfaces {
	plan := Interfaces{Forget: map[string][]elb.Node{}}
	byID, used := map[string]ec2.NetworkInterface{}, map[string]bool{}
	for _, eni := range s.Interfaces {
		byID[eni.ID] = eni
	}
	for _, lb := range s.LoadBalancers {
		placed := map[string]bool{}
		for _, n := range lb.Nodes {
			eni, ok := byID[n.ENI]
			if !ok || !slices.Contains(lb.Subnets, n.Subnet) || placed[n.Subnet] {
				plan.Forget[lb.Name] = append(plan.Forget[lb.Name], n)
				continue
			}
			placed[n.Subnet], used[n.ENI] = true, true
			if !slices.Equal(eni.SecurityGroups, lb.SecurityGroups) {
				plan.Regroup = append(plan.Regroup, Regroup{lb.Name, eni.ID, lb.SecurityGroups})
			}
		}
		for i, subnet := range lb.Subnets {
			if !placed[subnet] {
				plan.Create = append(plan.Create, Interface{lb, subnet, lb.Zones[i]})
			}
		}
	}
	for _, eni := range s.Interfaces {
		if isOurs(eni) && !used[eni.ID] {
			plan.Delete = append(plan.Delete, eni)
		}
	}
	return plan
}

// isOurs says whether an interface is a Classic Load Balancer's. Those of others
// have app/ or net/ before their names.
func isOurs(eni ec2.NetworkInterface) bool {
	name, ok := strings.CutPrefix(eni.Description, description(""))
	return ok && eni.Requester == Requester && !strings.Contains(name, "/")
}

// Problem is why a load balancer does not do all that it should.
type Problem struct {
	LoadBalancer string
	Err          error
}

// Plan is what the proxy is to run. A listener that cannot run is left out, and is
// a problem.
func Plan(s State) (balancers []proxy.Balancer, problems []Problem) {
	for _, lb := range s.LoadBalancers {
		b, errs := plan(lb, s)
		balancers = append(balancers, b)
		for _, err := range errs {
			problems = append(problems, Problem{lb.Name, err})
		}
	}
	return balancers, problems
}

func plan(lb elb.LoadBalancer, s State) (b proxy.Balancer, errs []error) {
	b = proxy.Balancer{
		ID: lb.ID, Name: lb.Name, CrossZone: lb.Attributes.CrossZone, Addresses: map[string]netip.Addr{},
		IdleTimeout: seconds(lb.Attributes.IdleTimeout), DesyncMitigation: lb.Attributes.Desync, AccessLog: lb.Attributes.AccessLog.Enabled,
		BackendServers: map[int]proxy.BackendPolicy{},
	}
	if lb.HostAddress.IsValid() {
		b.Addresses[""] = lb.HostAddress
	}
	if lb.Attributes.Draining {
		b.Drain = seconds(lb.Attributes.DrainingTimeout)
	}
	for i, subnet := range lb.Subnets {
		n := slices.IndexFunc(lb.Nodes, func(n elb.Node) bool { return n.Subnet == subnet })
		if n >= 0 {
			b.Zones = append(b.Zones, lb.Zones[i])
			b.Addresses[lb.Zones[i]] = lb.Nodes[n].Address
		}
	}
	for _, id := range lb.Instances {
		if i, ok := s.Instances[id]; ok && i.State == ec2.Running && i.Address.IsValid() {
			b.Backends = append(b.Backends, proxy.Backend{ID: id, Zone: i.Zone, Address: i.Address})
		}
	}
	target, err := elb.ParseTarget(lb.HealthCheck.Target)
	if err != nil {
		errs = append(errs, fmt.Errorf("health check %s: %w", lb.HealthCheck.Target, err))
	}
	b.HealthCheck = proxy.HealthCheck{
		Protocol: proxy.Protocol(target.Protocol), Port: target.Port, Path: target.Path,
		Interval: seconds(lb.HealthCheck.Interval), Timeout: seconds(lb.HealthCheck.Timeout),
		Healthy: int(lb.HealthCheck.HealthyThreshold), Unhealthy: int(lb.HealthCheck.UnhealthyThreshold),
	}
	for _, l := range lb.Listeners {
		planned, err := planListener(lb, l, s.Certificates)
		if err != nil {
			errs = append(errs, fmt.Errorf("listener on port %d: %w", l.Port, err))
			continue
		}
		b.Listeners = append(b.Listeners, planned)
	}
	for _, server := range lb.BackendServers {
		p, err := planBackendServer(lb, server)
		if err != nil {
			errs = append(errs, fmt.Errorf("instance port %d: %w", server.InstancePort, err))
			// Whoever asked for authentication must not go without it.
			b.Listeners = slices.DeleteFunc(b.Listeners, func(l proxy.Listener) bool { return l.BackendPort == int(server.InstancePort) })
			continue
		}
		b.BackendServers[int(server.InstancePort)] = p
	}
	return b, errs
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

func planListener(lb elb.LoadBalancer, l elb.Listener, certificates map[string]*tls.Certificate) (proxy.Listener, error) {
	out := proxy.Listener{
		Port: int(l.Port), Protocol: proxy.Protocol(l.Protocol),
		BackendPort: int(l.InstancePort), BackendProtocol: proxy.Protocol(l.InstanceProtocol),
	}
	for _, name := range l.Policies {
		p, ok := lb.Policy(name)
		switch {
		case ok && p.Type == elb.AppCookieStickiness:
			out.Sticky = &proxy.Sticky{AppCookie: p.Value("CookieName")}
		case ok && p.Type == elb.LBCookieStickiness:
			n, err := strconv.ParseInt(cmp.Or(p.Value("CookieExpirationPeriod"), "0"), 10, 64)
			if err != nil {
				return out, fmt.Errorf("policy %s: %w", name, err)
			}
			out.Sticky = &proxy.Sticky{Duration: time.Duration(min(n, maxSeconds)) * time.Second}
		}
	}
	if !out.Protocol.Secure() {
		return out, nil
	}
	if out.Certificate = certificates[l.Certificate]; out.Certificate == nil {
		return out, fmt.Errorf("its certificate cannot be served: %s; it must be issued in ACM", l.Certificate)
	}
	policy := lb.SecurityPolicy(l)
	var err error
	if out.TLS, err = planTLS(policy); err != nil {
		err = fmt.Errorf("policy %s: %w", policy.Name, err)
	}
	return out, err
}

// maxSeconds is what a Duration holds.
const maxSeconds = int64(1<<63-1) / int64(time.Second)

// versions are the protocols that there still are.
var versions = map[string]uint16{"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12}

// planTLS translates an SSL negotiation policy. What crypto/tls does not have is
// left out, unless nothing is left then.
func planTLS(p elb.Policy) (proxy.TLSPolicy, error) {
	protocols, suites, order := p.Negotiation()
	out := proxy.TLSPolicy{ServerOrder: order}
	for _, name := range protocols {
		v, ok := versions[name]
		if !ok {
			continue
		}
		if out.MinVersion == 0 || v < out.MinVersion {
			out.MinVersion = v
		}
		out.MaxVersion = max(out.MaxVersion, v)
	}
	for _, name := range suites {
		if id, ok := proxy.CipherSuite(name); ok {
			out.CipherSuites = append(out.CipherSuites, id)
		}
	}
	switch {
	case out.MinVersion == 0:
		return out, errors.New("it enables none of the protocols TLSv1, TLSv1.1 and TLSv1.2, and there are no others here")
	case len(out.CipherSuites) == 0:
		return out, errors.New("it enables no cipher that there is here: enable ECDHE-RSA-AES128-GCM-SHA256, for example")
	}
	return out, nil
}

func planBackendServer(lb elb.LoadBalancer, server elb.BackendServer) (proxy.BackendPolicy, error) {
	var out proxy.BackendPolicy
	for _, name := range server.Policies {
		p, _ := lb.Policy(name)
		switch p.Type {
		case elb.ProxyProtocol:
			out.ProxyProtocol = p.Value("ProxyProtocol") == "true"
		case elb.BackendServerAuthentication:
			for _, key := range p.Values("PublicKeyPolicyName") {
				k, _ := lb.Policy(key)
				der, err := elb.ParsePublicKey(k.Value("PublicKey"))
				if err != nil {
					return out, fmt.Errorf("public key of policy %s: %w", key, err)
				}
				out.PublicKeys = append(out.PublicKeys, der)
			}
		}
	}
	return out, nil
}
