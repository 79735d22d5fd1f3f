package balancing

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func node(zone, subnet, eni, address string) loadbalancer.Node {
	return loadbalancer.Node{Zone: zone, Subnet: subnet, ENI: eni, Address: addr(address)}
}

func iface(id, what, requester string, groups ...string) ec2.NetworkInterface {
	return ec2.NetworkInterface{ID: id, Description: what, Requester: requester, SecurityGroups: groups}
}

func TestPlanInterfaces(t *testing.T) {
	web := loadbalancer.Placement{Name: "web", ID: "1", Subnets: []string{"subnet-a", "subnet-b"}, Zones: []string{"a", "b"}, SecurityGroups: []string{"sg-1", "sg-2"}}
	with := func(nodes ...loadbalancer.Node) loadbalancer.Placement {
		lb := web
		lb.Nodes = nodes
		return lb
	}
	a, b := node("a", "subnet-a", "eni-a", "192.168.0.10"), node("b", "subnet-b", "eni-b", "192.168.1.10")
	eniA, eniB := iface("eni-a", "ELB web", Requester, "sg-1", "sg-2"), iface("eni-b", "ELB web", Requester, "sg-1", "sg-2")
	for _, tt := range []struct {
		name string
		lbs  []loadbalancer.Placement
		enis []ec2.NetworkInterface
		want Interfaces
	}{
		{"new", []loadbalancer.Placement{web}, nil,
			Interfaces{Create: []Interface{{web, "subnet-a", "a"}, {web, "subnet-b", "b"}}}},
		{"as it is to be", []loadbalancer.Placement{with(a, b)}, []ec2.NetworkInterface{eniA, eniB}, Interfaces{}},
		{"other groups", []loadbalancer.Placement{with(a, b)}, []ec2.NetworkInterface{eniA, iface("eni-b", "ELB web", Requester, "sg-1")},
			Interfaces{Regroup: []Regroup{{"web", "eni-b", []string{"sg-1", "sg-2"}}}}},
		{"a subnet that was left", []loadbalancer.Placement{with(node("c", "subnet-c", "eni-c", "192.168.2.10"), a, b)},
			[]ec2.NetworkInterface{eniA, eniB, iface("eni-c", "ELB web", Requester, "sg-1", "sg-2")},
			Interfaces{Forget: map[string][]loadbalancer.Node{"web": {node("c", "subnet-c", "eni-c", "192.168.2.10")}}, Delete: []ec2.NetworkInterface{iface("eni-c", "ELB web", Requester, "sg-1", "sg-2")}}},
		{"an interface that is gone", []loadbalancer.Placement{with(a, b)}, []ec2.NetworkInterface{eniB},
			Interfaces{Create: []Interface{{with(a, b), "subnet-a", "a"}}, Forget: map[string][]loadbalancer.Node{"web": {a}}}},
		{"two in a subnet", []loadbalancer.Placement{with(a, b, node("a", "subnet-a", "eni-2", "192.168.0.11"))},
			[]ec2.NetworkInterface{eniA, eniB, iface("eni-2", "ELB web", Requester, "sg-1", "sg-2")},
			Interfaces{Forget: map[string][]loadbalancer.Node{"web": {node("a", "subnet-a", "eni-2", "192.168.0.11")}}, Delete: []ec2.NetworkInterface{iface("eni-2", "ELB web", Requester, "sg-1", "sg-2")}}},
		{"a load balancer that was deleted", nil, []ec2.NetworkInterface{eniA}, Interfaces{Delete: []ec2.NetworkInterface{eniA}}},
		{"an application load balancer", []loadbalancer.Placement{{Name: "web", ID: "0123", Type: loadbalancer.Application}},
			[]ec2.NetworkInterface{eniA, iface("eni-3", "ELB app/web/0123", Requester), iface("eni-4", "ELB app/web/0124", Requester)},
			Interfaces{Delete: []ec2.NetworkInterface{eniA, iface("eni-3", "ELB app/web/0123", Requester), iface("eni-4", "ELB app/web/0124", Requester)}}},
		{"others' interfaces", nil, []ec2.NetworkInterface{
			iface("eni-1", "ELB web", ""), iface("eni-2", "Amazon EKS eks-work", "amazon-eks"), iface("eni-4", "ELB net/web/0123", Requester), iface("eni-5", "", Requester),
		}, Interfaces{}},
	} {
		if tt.want.Forget == nil {
			tt.want.Forget = map[string][]loadbalancer.Node{}
		}
		var lbs []*loadbalancer.Placement
		for i := range tt.lbs {
			lbs = append(lbs, &tt.lbs[i])
		}
		if got := PlanInterfaces(lbs, tt.enis); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.name, got, tt.want)
		}
	}
}

// base is a load balancer with everything.
func base() elb.LoadBalancer {
	return elb.LoadBalancer{
		Placement: loadbalancer.Placement{
			Name: "web", ID: "1", VPC: "vpc-1", Subnets: []string{"subnet-a", "subnet-b"}, Zones: []string{"a", "b"},
			HostAddress: addr("127.64.1.2"),
			Nodes:       []loadbalancer.Node{node("a", "subnet-a", "eni-a", "192.168.0.10"), node("b", "subnet-b", "eni-b", "192.168.1.10")},
		},
		Listeners: []elb.Listener{
			{Protocol: elb.HTTP, Port: 80, InstanceProtocol: elb.HTTP, InstancePort: 30080},
		},
		Instances:   []string{"i-1", "i-2", "i-3", "i-4"},
		HealthCheck: elb.HealthCheck{Target: "HTTP:30061/healthz", Interval: 10, Timeout: 5, UnhealthyThreshold: 6, HealthyThreshold: 2},
		Attributes:  elb.Attributes{IdleTimeout: 60, DrainingTimeout: 300, Desync: elb.DesyncDefensive},
	}
}

var theInstances = map[string]ec2.Instance{
	"i-1": {ID: "i-1", Zone: "a", State: ec2.Running, Address: addr("192.168.0.20")},
	"i-2": {ID: "i-2", Zone: "c", State: ec2.Running, Address: addr("192.168.2.20")},
	"i-3": {ID: "i-3", Zone: "a", State: ec2.Stopping, Address: addr("192.168.0.21")},
}

func TestPlan(t *testing.T) {
	got, problems := Plan(State{LoadBalancers: []elb.LoadBalancer{base()}, Instances: theInstances})
	want := []proxy.Balancer{{
		ID: "1", Name: "web", Zones: []string{"a", "b"},
		Addresses:   map[string]netip.Addr{"": addr("127.64.1.2"), "a": addr("192.168.0.10"), "b": addr("192.168.1.10")},
		Listeners:   []proxy.Listener{{Port: 80, Protocol: proxy.HTTP, BackendPort: 30080, BackendProtocol: proxy.HTTP}},
		Backends:    []proxy.Backend{{ID: "i-1", Zone: "a", Address: addr("192.168.0.20")}, {ID: "i-2", Zone: "c", Address: addr("192.168.2.20")}},
		HealthCheck: proxy.HealthCheck{Protocol: proxy.HTTP, Port: 30061, Path: "/healthz", Interval: 10 * time.Second, Timeout: 5 * time.Second, Healthy: 2, Unhealthy: 6},
		IdleTimeout: time.Minute, DesyncMitigation: proxy.Defensive, BackendServers: map[int]proxy.BackendPolicy{},
	}}
	if !reflect.DeepEqual(got, want) || problems != nil {
		t.Errorf("got  %+v\nwant %+v\n%v", got, want, problems)
	}
}

// Each setting has its effect on what the proxy runs.
func TestPlanSettings(t *testing.T) {
	pair := &tls.Certificate{}
	secure := func(policies ...string) elb.Listener {
		return elb.Listener{Protocol: elb.HTTPS, Port: 443, InstanceProtocol: elb.HTTPS, InstancePort: 30443, Certificate: "arn:1", Policies: policies}
	}
	attributes := func(pairs ...string) []elb.PolicyAttribute {
		var all []elb.PolicyAttribute
		for _, p := range pairs {
			n, v, _ := strings.Cut(p, "=")
			all = append(all, elb.PolicyAttribute{Name: n, Value: v})
		}
		return all
	}
	const key = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
	for _, tt := range []struct {
		name    string
		change  func(*elb.LoadBalancer)
		look    func(proxy.Balancer) any
		want    any
		problem string
	}{
		{"cross-zone", func(lb *elb.LoadBalancer) { lb.Attributes.CrossZone = true }, func(b proxy.Balancer) any { return b.CrossZone }, true, ""},
		{"draining", func(lb *elb.LoadBalancer) { lb.Attributes.Draining = true }, func(b proxy.Balancer) any { return b.Drain }, 5 * time.Minute, ""},
		{"no draining", func(*elb.LoadBalancer) {}, func(b proxy.Balancer) any { return b.Drain }, time.Duration(0), ""},
		{"idle", func(lb *elb.LoadBalancer) { lb.Attributes.IdleTimeout = 4000 }, func(b proxy.Balancer) any { return b.IdleTimeout }, 4000 * time.Second, ""},
		{"log", func(lb *elb.LoadBalancer) { lb.Attributes.AccessLog.Enabled = true }, func(b proxy.Balancer) any { return b.AccessLog }, true, ""},
		{"desync", func(lb *elb.LoadBalancer) { lb.Attributes.Desync = elb.DesyncStrictest }, func(b proxy.Balancer) any { return b.DesyncMitigation }, proxy.Strictest, ""},
		{"a zone without a node", func(lb *elb.LoadBalancer) { lb.Nodes = lb.Nodes[1:] }, func(b proxy.Balancer) any { return b.Zones }, []string{"b"}, ""},
		{"no address on the host", func(lb *elb.LoadBalancer) { lb.HostAddress = netip.Addr{} }, func(b proxy.Balancer) any { return b.Addresses[""].IsValid() }, false, ""},
		{"app cookie", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.AppCookieStickiness, Attributes: attributes("CookieName=SID")}}
			lb.Listeners[0].Policies = []string{"p"}
		}, func(b proxy.Balancer) any { return *b.Listeners[0].Sticky }, proxy.Sticky{AppCookie: "SID"}, ""},
		{"lb cookie", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.LBCookieStickiness, Attributes: attributes("CookieExpirationPeriod=60")}}
			lb.Listeners[0].Policies = []string{"p"}
		}, func(b proxy.Balancer) any { return *b.Listeners[0].Sticky }, proxy.Sticky{Duration: time.Minute}, ""},
		{"a cookie for ever", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.LBCookieStickiness, Attributes: attributes("CookieExpirationPeriod=9223372036854775807")}}
			lb.Listeners[0].Policies = []string{"p"}
		}, func(b proxy.Balancer) any { return b.Listeners[0].Sticky.Duration > 0 }, true, ""},
		{"session cookie", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.LBCookieStickiness}}
			lb.Listeners[0].Policies = []string{"p"}
		}, func(b proxy.Balancer) any { return *b.Listeners[0].Sticky }, proxy.Sticky{}, ""},
		{"TLS", func(lb *elb.LoadBalancer) { lb.Listeners = append(lb.Listeners, secure()) }, func(b proxy.Balancer) any {
			l := b.Listeners[1]
			return fmt.Sprintf("%v %x %x %v %d", l.Certificate == pair, l.TLS.MinVersion, l.TLS.MaxVersion, l.TLS.ServerOrder, len(l.TLS.CipherSuites))
		}, "true 301 303 true 15", ""},
		{"TLS 1.2 alone", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.SSLNegotiation, Attributes: attributes("Protocol-TLSv1.2=true", "Protocol-SSLv3=true", "DHE-RSA-AES128-SHA=true", "AES128-SHA=true", "AES256-SHA=false")}}
			lb.Listeners[0] = secure("p")
		}, func(b proxy.Balancer) any { return b.Listeners[0].TLS },
			proxy.TLSPolicy{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, ""},
		{"nothing but SSLv3", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.SSLNegotiation, Attributes: attributes("Protocol-SSLv3=true", "AES128-SHA=true")}}
			lb.Listeners = append(lb.Listeners, secure("p"))
		}, func(b proxy.Balancer) any { return len(b.Listeners) }, 1,
			"listener on port 443: policy p: it enables none of the protocols TLSv1, TLSv1.1 and TLSv1.2, and there are no others here"},
		{"no cipher that there is", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.SSLNegotiation, Attributes: attributes("Protocol-TLSv1.2=true", "CAMELLIA128-SHA=true")}}
			lb.Listeners = append(lb.Listeners, secure("p"))
		}, func(b proxy.Balancer) any { return len(b.Listeners) }, 1,
			"listener on port 443: policy p: it enables no cipher that there is here: enable ECDHE-RSA-AES128-GCM-SHA256, for example"},
		{"no certificate", func(lb *elb.LoadBalancer) {
			l := secure()
			l.Certificate = "arn:2"
			lb.Listeners = append(lb.Listeners, l)
		}, func(b proxy.Balancer) any { return len(b.Listeners) }, 1,
			"listener on port 443: its certificate cannot be served: arn:2; it must be issued in ACM"},
		{"proxy protocol", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.ProxyProtocol, Attributes: attributes("ProxyProtocol=true")}}
			lb.BackendServers = []elb.BackendServer{{InstancePort: 30080, Policies: []string{"p"}}}
		}, func(b proxy.Balancer) any { return b.BackendServers }, map[int]proxy.BackendPolicy{30080: {ProxyProtocol: true}}, ""},
		{"proxy protocol that is off", func(lb *elb.LoadBalancer) {
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.ProxyProtocol, Attributes: attributes("ProxyProtocol=false")}}
			lb.BackendServers = []elb.BackendServer{{InstancePort: 30080, Policies: []string{"p"}}}
		}, func(b proxy.Balancer) any { return b.BackendServers }, map[int]proxy.BackendPolicy{30080: {}}, ""},
		{"backend authentication", func(lb *elb.LoadBalancer) {
			lb.Listeners[0] = secure()
			lb.Policies = []elb.Policy{
				{Name: "k", Type: elb.PublicKey, Attributes: attributes("PublicKey=" + key)},
				{Name: "p", Type: elb.BackendServerAuthentication, Attributes: attributes("PublicKeyPolicyName=k", "PublicKeyPolicyName=k")},
			}
			lb.BackendServers = []elb.BackendServer{{InstancePort: 30443, Policies: []string{"p"}}}
		}, func(b proxy.Balancer) any { return len(b.BackendServers[30443].PublicKeys) }, 2, ""},
		{"backend authentication without its key", func(lb *elb.LoadBalancer) {
			lb.Listeners = append(lb.Listeners, secure())
			lb.Policies = []elb.Policy{{Name: "p", Type: elb.BackendServerAuthentication, Attributes: attributes("PublicKeyPolicyName=k")}}
			lb.BackendServers = []elb.BackendServer{{InstancePort: 30443, Policies: []string{"p"}}}
		}, func(b proxy.Balancer) any { return len(b.Listeners) }, 1, "instance port 30443: public key of policy k: "},
	} {
		lb := base()
		tt.change(&lb)
		got, problems := Plan(State{LoadBalancers: []elb.LoadBalancer{lb}, Instances: theInstances, Certificates: map[string]*tls.Certificate{"arn:1": pair}})
		if v := tt.look(got[0]); !reflect.DeepEqual(v, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, v, tt.want)
		}
		var texts []string
		for _, p := range problems {
			texts = append(texts, p.Err.Error())
		}
		if tt.problem == "" && len(texts) > 0 || tt.problem != "" && (len(texts) != 1 || !strings.HasPrefix(texts[0], tt.problem)) {
			t.Errorf("%s: problems %q, want %q", tt.name, texts, tt.problem)
		}
	}
}

func TestChooseHost(t *testing.T) {
	nobody := func(netip.Addr) bool { return false }
	first, ok := chooseHost("/var/lib/tarn", "1", nobody)
	again, _ := chooseHost("/var/lib/tarn", "1", nobody)
	if !ok || first != again || !hostPrefix.Contains(first) {
		t.Errorf("%v, then %v", first, again)
	}
	var seen []netip.Addr
	for n := range 1000 {
		for _, seed := range []string{"a", "b"} {
			a, ok := chooseHost(seed, fmt.Sprint(n), func(a netip.Addr) bool { return slices.Contains(seen, a) })
			last := a.As4()[3]
			if !ok || !hostPrefix.Contains(a) || slices.Contains(seen, a) || last == 0 || last == 255 {
				t.Fatalf("%v, %v", a, ok)
			}
			seen = append(seen, a)
		}
	}
	if next, _ := chooseHost("/var/lib/tarn", "1", func(a netip.Addr) bool { return a == first }); next == first || !hostPrefix.Contains(next) {
		t.Errorf("%v is taken, and %v is next", first, next)
	}
	if a, ok := chooseHost("x", "1", func(netip.Addr) bool { return true }); ok {
		t.Errorf("%v is free though all are taken", a)
	}
}
