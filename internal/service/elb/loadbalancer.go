package elb

import (
	"slices"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// LoadBalancer is the record of a Classic Load Balancer. Its key is its name.
type LoadBalancer struct {
	loadbalancer.Placement

	Listeners      []Listener
	Policies       []Policy
	BackendServers []BackendServer `json:",omitempty"`
	Instances      []string        `json:",omitempty"` // ids, in the order of their registration
	HealthCheck    HealthCheck
	Attributes     Attributes
	Tags           map[string]string `json:",omitempty"`
}

// The protocols of listeners and health checks.
const (
	HTTP  = "HTTP"
	HTTPS = "HTTPS"
	TCP   = "TCP"
	SSL   = "SSL"
)

// Listener takes connections at a port and sends them to a port of instances.
type Listener struct {
	Protocol         string // one of the four
	Port             int32
	InstanceProtocol string
	InstancePort     int32
	Certificate      string   `json:",omitempty"` // ARN; of HTTPS and SSL
	Policies         []string `json:",omitempty"` // names
}

// Policy is a named setting that listeners or backend servers refer to.
type Policy struct {
	Name       string
	Type       string // one of the policy types' names
	Attributes []PolicyAttribute
}

// PolicyAttribute is one of a policy's values. A name may come more than once.
type PolicyAttribute struct{ Name, Value string }

// The types of policies.
const (
	SSLNegotiation              = "SSLNegotiationPolicyType"
	AppCookieStickiness         = "AppCookieStickinessPolicyType"
	LBCookieStickiness          = "LBCookieStickinessPolicyType"
	ProxyProtocol               = "ProxyProtocolPolicyType"
	PublicKey                   = "PublicKeyPolicyType"
	BackendServerAuthentication = "BackendServerAuthenticationPolicyType"
)

// Values are the policy's values of an attribute.
func (p Policy) Values(attribute string) []string {
	var values []string
	for _, a := range p.Attributes {
		if a.Name == attribute {
			values = append(values, a.Value)
		}
	}
	return values
}

// Value is the first of Values, or "".
func (p Policy) Value(attribute string) string {
	if v := p.Values(attribute); len(v) > 0 {
		return v[0]
	}
	return ""
}

// BackendServer has the policies for connections to a port of the instances.
type BackendServer struct {
	InstancePort int32
	Policies     []string // names
}

// HealthCheck is how instances are probed. Interval and Timeout are in seconds.
type HealthCheck struct {
	// Target is PROTOCOL:port and, for HTTP and HTTPS, a path: HTTP:80/healthz.
	Target                               string
	Interval, Timeout                    int32
	UnhealthyThreshold, HealthyThreshold int32
}

// Attributes are a load balancer's settings beside its parts.
type Attributes struct {
	CrossZone bool
	// Draining is whether connections to an instance that leaves may end by
	// themselves, within DrainingTimeout seconds.
	Draining        bool
	DrainingTimeout int32
	IdleTimeout     int32 // seconds
	AccessLog       AccessLog
	Desync          string // DesyncMonitor, DesyncDefensive or DesyncStrictest
}

// The values of elb.http.desyncmitigationmode.
const (
	DesyncMonitor   = "monitor"
	DesyncDefensive = "defensive"
	DesyncStrictest = "strictest"
)

// AccessLog says where the lines about requests go.
type AccessLog struct {
	Enabled  bool
	Bucket   string `json:",omitempty"`
	Prefix   string `json:",omitempty"`
	Interval int32  // minutes: 5 or 60
}

// Policy finds one of the load balancer's policies.
func (lb *LoadBalancer) Policy(name string) (Policy, bool) {
	i := slices.IndexFunc(lb.Policies, func(p Policy) bool { return p.Name == name })
	if i < 0 {
		return Policy{}, false
	}
	return lb.Policies[i], true
}

// listener finds the listener at a port; it is nil if there is none.
func (lb *LoadBalancer) listener(port int32) *Listener {
	i := slices.IndexFunc(lb.Listeners, func(l Listener) bool { return l.Port == port })
	if i < 0 {
		return nil
	}
	return &lb.Listeners[i]
}
