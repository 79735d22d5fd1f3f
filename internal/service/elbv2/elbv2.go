// Package elbv2 is the Elastic Load Balancing service, of the version that has
// target groups and Application Load Balancers. It checks, writes to the store and
// returns; loop/balancing makes load balancers of the records. It may not open a
// socket, and knows EC2, ACM and who probes targets as interfaces.
package elbv2

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/store"
)

var _ elbv2api.Handler = (*Service)(nil)

// TargetHealth is how a target does, in the words of DescribeTargetHealth.
type TargetHealth struct {
	Target
	State       string // initial, healthy, unhealthy, unused or draining
	Reason      string // Target.Timeout, …; "" of one that is healthy
	Description string
}

// Health is what the service asks of who probes the targets.
type Health interface {
	// TargetHealth says how the targets of a load balancer's target group do that
	// are probed, and those that left it and drain, in any order. One that it leaves
	// out is not probed yet.
	TargetHealth(ctx context.Context, lb LoadBalancer, g TargetGroup) ([]TargetHealth, error)
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
	TargetGroups  *store.Collection[TargetGroup]  // by name

	balancers    *store.Cached[LoadBalancer] // reads LoadBalancers
	groups       *store.Cached[TargetGroup]  // reads TargetGroups
	scope        arn.Scope
	network      loadbalancer.Network
	instances    loadbalancer.Instances
	certificates loadbalancer.Certificates
	health       Health
	now          func() time.Time

	// joining is held while what is written rests on more than its own item: quotas,
	// and which load balancer has which target group.
	joining sync.Mutex
}

// New makes the service on the region's store.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		LoadBalancers: store.NewCollection[LoadBalancer](c.Client, "application-load-balancers"),
		TargetGroups:  store.NewCollection[TargetGroup](c.Client, "target-groups"),
		scope:         arn.Scope{Account: c.Account, Region: c.Region},
		network:       c.Network,
		instances:     c.Instances,
		certificates:  c.Certificates,
		health:        c.Health,
		now:           c.Now,
	}
	s.balancers, s.groups = store.NewCached(s.LoadBalancers), store.NewCached(s.TargetGroups)
	return s
}

// time is now as the API shows it: in tens of milliseconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(10 * time.Millisecond) }

// get finds a load balancer by its ARN.
func (s *Service) get(ctx context.Context, arn string) (LoadBalancer, error) {
	name, id, err := s.parseBalancer(arn)
	if err != nil {
		return LoadBalancer{}, err
	}
	it, err := s.LoadBalancers.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) || err == nil && it.Value.ID != id {
		return LoadBalancer{}, noBalancer(arn)
	}
	return it.Value, err
}

// modify changes a load balancer. What change asks of others may be old when the
// change is written, but not older than what a call that has ended has done.
func (s *Service) modify(ctx context.Context, arn string, change func(*LoadBalancer) error) (LoadBalancer, error) {
	name, id, err := s.parseBalancer(arn)
	if err != nil {
		return LoadBalancer{}, err
	}
	it, err := s.LoadBalancers.Modify(ctx, name, func(lb *LoadBalancer) error {
		if lb.ID != id {
			return noBalancer(arn)
		}
		return change(lb)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = noBalancer(arn)
	}
	return it.Value, err
}

// modifyListener changes a listener; lb is the load balancer that has it.
func (s *Service) modifyListener(ctx context.Context, arn string, change func(lb *LoadBalancer, l *Listener) error) (LoadBalancer, error) {
	balancer, id, err := s.parseListener(arn)
	if err != nil {
		return LoadBalancer{}, err
	}
	lb, err := s.modify(ctx, balancer, func(lb *LoadBalancer) error {
		l := lb.listener(id)
		if l == nil {
			return noListener(arn)
		}
		return change(lb, l)
	})
	if elbv2api.LoadBalancerNotFoundException.Is(err) {
		err = noListener(arn)
	}
	return lb, err
}

// modifyGroup changes a target group.
func (s *Service) modifyGroup(ctx context.Context, arn string, change func(*TargetGroup) error) (TargetGroup, error) {
	name, id, err := s.parseGroup(arn)
	if err != nil {
		return TargetGroup{}, err
	}
	it, err := s.TargetGroups.Modify(ctx, name, func(g *TargetGroup) error {
		if g.ID != id {
			return noGroup(arn)
		}
		return change(g)
	})
	if errors.Is(err, store.ErrNotFound) {
		err = noGroup(arn)
	}
	return it.Value, err
}
