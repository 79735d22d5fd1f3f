package route53

import (
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/hostedzone"
)

// HostedZone is the record of a hosted zone.
type HostedZone struct {
	ID   string // Z…, without /hostedzone/
	Name string // as Name writes it: example.com.
	// CallerReference is whatever the client chose; no two zones have the same.
	CallerReference string
	Comment         string `json:",omitempty"`
	// Private zones are answered from in their VPCs only, of which they always have
	// one.
	Private bool  `json:",omitempty"`
	VPCs    []VPC `json:",omitempty"`
	// DelegationSet is the reusable one that the name servers are from, or "".
	DelegationSet string   `json:",omitempty"`
	NameServers   []string // without a dot at the end
	// RecordSets counts them, NS and SOA included. It changes in the same commit as
	// they do.
	RecordSets int
	// Change is the last change of the zone or its record sets: it makes two commits
	// at once conflict.
	Change  string
	Created time.Time
	Tags    map[string]string `json:",omitempty"`
}

// VPC is a VPC that a private zone is for.
type VPC struct {
	Region string
	ID     string
}

// RecordSet is the record of a resource record set.
type RecordSet struct {
	Zone string // the hosted zone's id
	Name string // as Name writes it: \052.example.com.
	Type string // A, CNAME, …

	// Values are the records as the client wrote them; RRs reads them. A record set
	// has values and a TTL in seconds, or an alias.
	TTL    uint32   `json:",omitempty"`
	Values []string `json:",omitempty"`
	Alias  *Alias   `json:",omitempty"`

	// SetIdentifier tells record sets of one name and type apart. It is "" for a
	// simple one, and else there is exactly one of the routing policies: weighted,
	// latency, failover, geolocation, multivalue.
	SetIdentifier string       `json:",omitempty"`
	Weight        *int         `json:",omitempty"` // 0 to 255
	Region        string       `json:",omitempty"` // latency: an AWS region
	Failover      string       `json:",omitempty"` // Primary or Secondary
	Geo           *GeoLocation `json:",omitempty"`
	MultiValue    bool         `json:",omitempty"`

	HealthCheck string `json:",omitempty"` // its id
}

// The values of RecordSet.Failover.
const (
	Primary   = "PRIMARY"
	Secondary = "SECONDARY"
)

// Alias is what an alias record set stands for: the records of another one of
// the same zone, or of a load balancer.
type Alias struct {
	// Zone is the id of a hosted zone: the record set's own, or that which AWS has
	// for the load balancers of a region (hostedzone.OfLoadBalancers).
	Zone           string
	Name           string // as Name writes it, a dualstack. of load balancers included
	EvaluateHealth bool   `json:",omitempty"`
}

// GeoLocation is where a question comes from: a continent, a country ("*" is
// everywhere else), or a part of a country.
type GeoLocation struct {
	Continent   string `json:",omitempty"` // AS
	Country     string `json:",omitempty"` // KR
	Subdivision string `json:",omitempty"` // of US or UA
}

// ToLoadBalancer returns the DNS name of the load balancer that an alias stands
// for, in lower case, without a dot at its end and without "dualstack.".
func (a *Alias) ToLoadBalancer() (dnsName string, ok bool) {
	if hostedzone.Region(a.Zone) == "" {
		return "", false
	}
	return strings.TrimPrefix(strings.TrimSuffix(a.Name, "."), "dualstack."), true
}

// Key is the record set's key in Service.RecordSets. It sorts as the API lists:
// by the labels from the right, then the type, then the set identifier. What
// separates them is less than what a name may contain.
func (r *RecordSet) Key() string {
	return r.Zone + "/" + reversed(r.Name) + " " + r.Type + " " + r.SetIdentifier
}

// reversed is a name with its labels from the right, as the API sorts names:
// com.example.www. of www.example.com.
func reversed(name string) string {
	if name == "." {
		return name
	}
	labels := strings.Split(strings.TrimSuffix(name, "."), ".") // a dot in a label is written \056
	slices.Reverse(labels)
	return strings.Join(labels, ".") + "."
}

// HealthCheck is the record of a health check.
type HealthCheck struct {
	ID              string // a UUID
	CallerReference string
	// Version counts what the API's updates have changed, from 1.
	Version int64
	HealthCheckConfig
	Created time.Time
	Tags    map[string]string `json:",omitempty"`
}

// HealthCheckConfig is what is checked and how. Its types are HTTP, HTTPS,
// HTTP_STR_MATCH, HTTPS_STR_MATCH, TCP and CALCULATED.
type HealthCheckConfig struct {
	Type string
	// IPAddress is where to connect to; if it is "", the addresses (IPv4) of Domain.
	IPAddress string `json:",omitempty"`
	Port      int    `json:",omitempty"` // always there, but for CALCULATED
	// Domain is the Host header, and the server name for TLS if SNI is set.
	Domain string `json:",omitempty"`
	Path   string `json:",omitempty"` // with its query; "" is /
	// SearchString must be in the first 5,120 bytes of the body (…_STR_MATCH).
	SearchString string `json:",omitempty"`
	SNI          bool   `json:",omitempty"`
	// Interval is 10 or 30: seconds between two looks of one checker. Threshold is
	// how many looks in a row change what a checker says. Both are 0 for CALCULATED.
	Interval       int      `json:",omitempty"`
	Threshold      int      `json:",omitempty"`
	MeasureLatency bool     `json:",omitempty"`
	Regions        []string `json:",omitempty"` // of the checkers; none is all CheckerRegions

	// Inverted: healthy is unhealthy. Disabled: healthy without a look (and, if
	// inverted, unhealthy).
	Inverted bool `json:",omitempty"`
	Disabled bool `json:",omitempty"`

	// A CALCULATED check is healthy if at least HealthThreshold of Children (ids of
	// health checks) are.
	Children        []string `json:",omitempty"`
	HealthThreshold int      `json:",omitempty"`
}

// Change is the record of a change that somebody may ask about. It is in sync
// when DNS is at its item's revision.
type Change struct {
	ID        string // C…, without /change/
	Zone      string // the hosted zone's id
	Submitted time.Time
	Comment   string `json:",omitempty"`
}

// DelegationSet is the record of a reusable delegation set.
type DelegationSet struct {
	ID              string // N…, without /delegationset/
	CallerReference string
	NameServers     []string
	Created         time.Time
	Zones           int `json:",omitempty"` // how many use it
}

// Reference is the record of something that only one resource can have: a caller
// reference, or a name in a VPC. Its key says of which kind.
type Reference struct {
	ID string // of the resource
	// Deleted references of health checks can never be used again.
	Deleted bool `json:",omitempty"`
}
