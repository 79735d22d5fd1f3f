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

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

// Requester is who the load balancers' network interfaces are made for, and
// description how EC2 shows them.
const Requester = "amazon-elb"

func description(label string) string { return "ELB " + label }

// State is what a plan rests on.
type State struct {
	LoadBalancers []elb.LoadBalancer
	Applications  []elbv2.LoadBalancer
	TargetGroups  map[string]elbv2.TargetGroup // by ARN
	Interfaces    []ec2.NetworkInterface       // all there are
	Instances     map[string]ec2.Instance      // by id
	Certificates  map[string]*tls.Certificate  // by ARN, those that can be served
}

// placements are all load balancers' as the state has them.
func (s *State) placements() []*loadbalancer.Placement {
	var all []*loadbalancer.Placement
	for i := range s.LoadBalancers {
		all = append(all, &s.LoadBalancers[i].Placement)
	}
	for i := range s.Applications {
		all = append(all, &s.Applications[i].Placement)
	}
	return all
}

// certificates are the ARNs of those that listeners have.
func (s *State) certificates() []string {
	var arns []string
	for _, lb := range s.LoadBalancers {
		for _, l := range lb.Listeners {
			arns = append(arns, l.Certificate)
		}
	}
	for _, lb := range s.Applications {
		for _, l := range lb.Listeners {
			arns = append(arns, l.Certificate)
		}
	}
	return slices.DeleteFunc(arns, func(arn string) bool { return arn == "" })
}

// Interface is a network interface that a load balancer lacks.
type Interface struct {
	LoadBalancer loadbalancer.Placement
	Subnet, Zone string
}

// Regroup is a network interface with other security groups than its load
// balancer's, which are to be its own.
type Regroup struct {
	LoadBalancer string // label
	ENI          string
	Groups       []string
}

// Interfaces is what is to be done about network interfaces.
type Interfaces struct {
	// Create are those that are missing.
	Create []Interface
	// Forget are nodes, by their load balancers' labels, whose subnet was left or
	// whose interface is gone: their records are to lose them.
	Forget  map[string][]loadbalancer.Node
	Regroup []Regroup
	// Delete are the interfaces that no load balancer has.
	Delete []ec2.NetworkInterface
}

// PlanInterfaces compares load balancers with the network interfaces that there are.
func PlanInterfaces(balancers []*loadbalancer.Placement, interfaces []ec2.NetworkInterface) Interfaces {
	plan := Interfaces{Forget: map[string][]loadbalancer.Node{}}
	byID, used := map[string]ec2.NetworkInterface{}, map[string]bool{}
	for _, eni := range interfaces {
		byID[eni.ID] = eni
	}
	for _, lb := range balancers {
		placed := map[string]bool{}
		for _, n := range lb.Nodes {
			eni, ok := byID[n.ENI]
			if !ok || !slices.Contains(lb.Subnets, n.Subnet) || placed[n.Subnet] {
				plan.Forget[lb.Label()] = append(plan.Forget[lb.Label()], n)
				continue
			}
			placed[n.Subnet], used[n.ENI] = true, true
			if !slices.Equal(eni.SecurityGroups, lb.SecurityGroups) {
				plan.Regroup = append(plan.Regroup, Regroup{lb.Label(), eni.ID, lb.SecurityGroups})
			}
		}
		for i, subnet := range lb.Subnets {
			if !placed[subnet] {
				plan.Create = append(plan.Create, Interface{*lb, subnet, lb.Zones[i]})
			}
		}
	}
	for _, eni := range interfaces {
		if isOurs(eni) && !used[eni.ID] {
			plan.Delete = append(plan.Delete, eni)
		}
	}
	return plan
}

// isOurs says whether an interface is a load balancer's of the types that there are:
// Network Load Balancers have net/ before their names.
func isOurs(eni ec2.NetworkInterface) bool {
	label, ok := strings.CutPrefix(eni.Description, description(""))
	kind, _, slash := strings.Cut(label, "/")
	return ok && eni.Requester == Requester && (!slash || kind == loadbalancer.Application)
}

// Problem is why a load balancer does not do all that it should.
type Problem struct {
	LoadBalancer string // label
	Err          error
}

// Plan is what the proxy is to run. A listener that cannot run is left out, and is
// a problem.
func Plan(s State) (balancers []proxy.Balancer, problems []Problem) {
	for _, lb := range s.LoadBalancers {
		b, errs := plan(lb, s)
		balancers = append(balancers, b)
		for _, err := range errs {
			problems = append(problems, Problem{lb.Label(), err})
		}
	}
	for _, lb := range s.Applications {
		b, errs := planApplication(lb, s)
		balancers = append(balancers, b)
		for _, err := range errs {
			problems = append(problems, Problem{lb.Label(), err})
		}
	}
	return balancers, problems
}

func plan(lb elb.LoadBalancer, s State) (b proxy.Balancer, errs []error) {
	b = placed(lb.Placement)
	b.CrossZone, b.AccessLog, b.BackendServers = lb.Attributes.CrossZone, lb.Attributes.AccessLog.Enabled, map[int]proxy.BackendPolicy{}
	b.IdleTimeout, b.DesyncMitigation = seconds(lb.Attributes.IdleTimeout), lb.Attributes.Desync
	if lb.Attributes.Draining {
		b.Drain = seconds(lb.Attributes.DrainingTimeout)
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

// placed is a load balancer with its addresses alone.
func placed(p loadbalancer.Placement) proxy.Balancer {
	b := proxy.Balancer{ID: p.ID, Name: p.Label(), Addresses: map[string]netip.Addr{}}
	if p.HostAddress.IsValid() {
		b.Addresses[""] = p.HostAddress
	}
	for i, subnet := range p.Subnets {
		n := slices.IndexFunc(p.Nodes, func(n loadbalancer.Node) bool { return n.Subnet == subnet })
		if n >= 0 {
			b.Zones = append(b.Zones, p.Zones[i])
			b.Addresses[p.Zones[i]] = p.Nodes[n].Address
		}
	}
	return b
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
		return out, notServed(l.Certificate)
	}
	policy := lb.SecurityPolicy(l)
	protocols, suites, order := policy.Negotiation()
	var err error
	if out.TLS, err = planTLS(protocols, suites); err != nil {
		err = fmt.Errorf("policy %s: %w", policy.Name, err)
	}
	out.TLS.ServerOrder = order
	return out, err
}

func notServed(certificate string) error {
	return fmt.Errorf("its certificate cannot be served: %s; it must be issued in ACM", certificate)
}

// maxSeconds is what a Duration holds.
const maxSeconds = int64(1<<63-1) / int64(time.Second)

// versions are the protocols that there still are.
var versions = map[string]uint16{
	"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
}

// planTLS translates the protocols and ciphers of a policy. What crypto/tls does not
// have is left out, unless nothing is left then.
func planTLS(protocols, suites []string) (proxy.TLSPolicy, error) {
	var out proxy.TLSPolicy
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
