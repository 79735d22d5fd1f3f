// Package route53 is the Amazon Route 53 service: hosted zones, record sets,
// health checks and delegation sets as the region's records, and what the API
// says about them. Its handlers check, write to the store and return;
// loop/naming makes DNS of the records, runs the health checks, and says how far
// it is through the interfaces here. What values of records mean is decided here
// once, for the API and for DNS (RecordSet.RRs). No other service and no data
// plane may enter, and no socket is opened.
//
// Route 53 has no regions: its ARNs have neither region nor account.
package route53

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// Applied says how far DNS is.
type Applied interface {
	// Applied is a revision of the store: DNS answers as all records up to it say.
	Applied() int64
}

// Network is what the service must know of EC2.
type Network interface {
	// VPCExists says whether the region has the VPC.
	VPCExists(ctx context.Context, id string) (bool, error)
}

// LoadBalancers is what the service must know of load balancers.
type LoadBalancers interface {
	// LoadBalancerExists says whether one has the DNS name, which is in lower case
	// and has no dot at its end and no "dualstack." before it.
	LoadBalancerExists(ctx context.Context, dnsName string) (bool, error)
}

// Checker runs the health checks.
type Checker interface {
	// Observations are what each checker has seen last, and at its last failure
	// (none for one that never failed). A health check that nobody has looked at
	// has no observations.
	Observations(ctx context.Context, healthCheck string) (last, failures []Observation, err error)
	// Ranges are where the checkers connect from.
	Ranges() []netip.Prefix
}

// Observation is what a checker has seen.
type Observation struct {
	Region  string // of the checker: us-east-1
	Address netip.Addr
	// Status is Route 53's text: "Success: HTTP Status Code 200, OK".
	Status string
	Time   time.Time
}

// Question is what TestDNSAnswer asks.
type Question struct {
	Zone string // the hosted zone's id
	// Name is absolute, as package dns writes names.
	Name string
	Type uint16
	// Resolver is the address of who asks, Client the subnet for which it does. Both
	// may be the zero value.
	Resolver netip.Addr
	Client   netip.Prefix
}

// Answerer answers questions as the DNS data plane does.
type Answerer interface {
	// Answer returns a response code and the records of the answer.
	Answer(ctx context.Context, q Question) (rcode int, answer []dns.RR, err error)
}

// Config is what the service belongs to, and what it needs of others.
type Config struct {
	Client        *clientv3.Client
	Account       string // twelve digits
	Region        string
	Applied       Applied
	Network       Network
	LoadBalancers LoadBalancers
	Checker       Checker
	Answerer      Answerer
	Now           func() time.Time // nil is time.Now
}

var _ route53api.Handler = (*Service)(nil)

// Service is Route 53.
//
// A commit that changes what DNS has to answer (record sets, a zone, the VPCs of
// a zone) always writes the zone's item too, or deletes it: whoever has seen the
// zones at a revision, and the record sets at the same, has seen all changes up
// to it. A change of a health check writes that check alone.
type Service struct {
	HostedZones    *store.Collection[HostedZone]    // by id
	RecordSets     *store.Collection[RecordSet]     // by RecordSet.Key: in the API's order within a zone
	HealthChecks   *store.Collection[HealthCheck]   // by id
	Changes        *store.Collection[Change]        // by id; the item's revision is that of its commit
	DelegationSets *store.Collection[DelegationSet] // by id

	references    *store.Collection[Reference]
	client        *clientv3.Client
	scope         arn.Scope // without an account
	account       string
	applied       Applied
	network       Network
	loadBalancers LoadBalancers
	checker       Checker
	answerer      Answerer
	now           func() time.Time
	known         known
	changed       atomic.Uint64 // how many changes this process has made
}

// New makes the service on the region's store.
func New(c Config) *Service {
	s := &Service{
		HostedZones:    store.NewCollection[HostedZone](c.Client, "hosted-zones"),
		RecordSets:     store.NewCollection[RecordSet](c.Client, "record-sets"),
		HealthChecks:   store.NewCollection[HealthCheck](c.Client, "health-checks"),
		Changes:        store.NewCollection[Change](c.Client, "route53-changes"),
		DelegationSets: store.NewCollection[DelegationSet](c.Client, "delegation-sets"),
		references:     store.NewCollection[Reference](c.Client, "route53-references"),
		client:         c.Client,
		scope:          arn.Scope{Region: c.Region},
		account:        c.Account,
		applied:        c.Applied,
		network:        c.Network,
		loadBalancers:  c.LoadBalancers,
		checker:        c.Checker,
		answerer:       c.Answerer,
		now:            c.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// time is now, as precise as the API shows it.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

func (s *Service) arn(format string, args ...any) string {
	return s.scope.Global("route53", format, args...)
}
