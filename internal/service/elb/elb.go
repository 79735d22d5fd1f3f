// Package elb is the Elastic Load Balancing service, of the version that has
// Classic Load Balancers: listeners, policies, registered instances as the
// region's records. It checks, writes to the store and returns; loop/balancing
// makes load balancers of the records. It may not open a socket, and knows EC2,
// ACM and who probes instances as interfaces.
package elb

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

var _ elbapi.Handler = (*Service)(nil)

// InstanceHealth is how an instance does behind a load balancer.
type InstanceHealth struct {
	ID          string
	State       string // InService, OutOfService or Unknown
	ReasonCode  string // ELB, Instance or N/A
	Description string // N/A if there is nothing to say
}

// Health is what the service asks of who probes the instances.
type Health interface {
	// Health says how the load balancer's instances do that are probed, in any
	// order. One that it leaves out is not probed yet.
	Health(ctx context.Context, lb LoadBalancer) ([]InstanceHealth, error)
}

// Config is what New needs.
type Config struct {
	Client       *clientv3.Client
	Account      string // twelve digits
	Region       string
	Network      loadbalancer.Network
	Instances    loadbalancer.Instances
	Certificates loadbalancer.Certificates
	Health       Health
	Now          func() time.Time // nil is time.Now
}

// Service is Elastic Load Balancing of one region.
type Service struct {
	LoadBalancers *store.Collection[LoadBalancer] // by name

	all          *store.Cached[LoadBalancer] // reads LoadBalancers
	scope        arn.Scope
	network      loadbalancer.Network
	instances    loadbalancer.Instances
	certificates loadbalancer.Certificates
	health       Health
	now          func() time.Time

	// creating is held while a load balancer is created: the quota rests on more
	// than the item that is written.
	creating sync.Mutex
}

// New makes the service on the region's store.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		LoadBalancers: store.NewCollection[LoadBalancer](c.Client, "load-balancers"),
		scope:         arn.Scope{Account: c.Account, Region: c.Region},
		network:       c.Network,
		instances:     c.Instances,
		certificates:  c.Certificates,
		health:        c.Health,
		now:           c.Now,
	}
	s.all = store.NewCached(s.LoadBalancers)
	return s
}

// time is now as the API shows it: in tens of milliseconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(10 * time.Millisecond) }

// get finds a load balancer.
func (s *Service) get(ctx context.Context, name *string) (LoadBalancer, error) {
	if err := checkName(api.Val(name)); err != nil {
		return LoadBalancer{}, err
	}
	it, err := s.LoadBalancers.Get(ctx, *name)
	if errors.Is(err, store.ErrNotFound) {
		err = notFound(*name)
	}
	return it.Value, err
}

// modify changes a load balancer. What change asks of others may be old when the
// change is written, but not older than what a call that has ended has done.
func (s *Service) modify(ctx context.Context, name *string, change func(*LoadBalancer) error) (LoadBalancer, error) {
	if err := checkName(api.Val(name)); err != nil {
		return LoadBalancer{}, err
	}
	it, err := s.LoadBalancers.Modify(ctx, *name, change)
	if errors.Is(err, store.ErrNotFound) {
		err = notFound(*name)
	}
	return it.Value, err
}
