// Package balancing is the loop that makes load balancers of records: it gives each
// Classic and Application Load Balancer an address on the host and a network
// interface in each of its subnets, and tells the proxy what to run there. It joins
// elb, elbv2, ec2 and acm to the proxy; how a socket is opened inside a VPC is its
// caller's.
package balancing

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
)

// ErrNoNetwork says that a VPC has no network yet. The loop tries again, and does
// not complain.
var ErrNoNetwork = errors.New("the VPC has no network")

// Host opens sockets inside VPCs.
type Host interface {
	// AddAddress makes an address one of the VPC's router. Twice is fine.
	AddAddress(vpc string, address netip.Addr) error
	// RemoveAddress undoes AddAddress; it is fine if the address is gone.
	RemoveAddress(vpc string, address netip.Addr) error
	Listen(ctx context.Context, vpc string, at netip.AddrPort) (net.Listener, error)
	// Dial connects from an address that AddAddress added.
	Dial(ctx context.Context, vpc string, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// Config is what New needs.
type Config struct {
	ELB   *elb.Service
	ELBv2 *elbv2.Service
	EC2   *ec2.Service
	ACM   *acm.Service
	Host  Host
	// Seed is what makes this region another than those beside it on the machine,
	// its state directory for example: see chooseHost.
	Seed string
	// Logs is the directory that stands for S3: buckets are directories in it.
	Logs            string
	Account, Region string // in the names of access logs
	// Await waits until the security groups of a network interface are enforced;
	// nil: nobody enforces them. Before, its first packets would be lost.
	Await  func(ctx context.Context, networkInterface string) error
	Logger *slog.Logger
	// Retry is the pause before the next attempt after one that failed; 0 means a
	// second.
	Retry time.Duration
}

const (
	defaultRetry = time.Second
	// defaultLinger is how long the address of a node that is gone stays while
	// connections through it may finish.
	defaultLinger = 10 * time.Second
	// awaitTime is how long a new interface may take to be let through.
	awaitTime = 2 * time.Second
)

// Loop keeps the load balancers as their records say.
type Loop struct {
	cfg   Config
	log   *slog.Logger
	proxy *proxy.Proxy
	logs  *accessLogs

	interfaces   *store.Cached[ec2.NetworkInterface]
	balancers    *store.Cached[elb.LoadBalancer]
	applications *store.Cached[elbv2.LoadBalancer]
	groups       *store.Cached[elbv2.TargetGroup]
	linger       time.Duration

	// Run alone uses what follows.
	certificates map[string]certificate  // by ARN
	hosts        map[string]netip.Addr   // by load balancer's id: addresses that no record has yet
	tried        map[string][]netip.Addr // by load balancer's id: addresses where somebody else listens
	owners       map[string]string       // by network interface: its load balancer's id
	active       map[string]bool         // load balancers' ids: those that had connections when the round began
	leaving      map[string]time.Time    // by network interface: when to delete it
	said         map[string]string       // by load balancer's label: what was last logged of it

	mu   sync.Mutex        // guards the fields below
	vpcs map[string]string // by load balancer's id: its VPC
	busy map[string]bool   // load balancers' ids: somebody else listens at their address on the host
}

// New makes the loop and the proxy that it tells what to run.
func New(cfg Config) *Loop {
	l := &Loop{
		cfg: cfg, log: cfg.Logger,
		interfaces:   store.NewCached(cfg.EC2.ENIs),
		balancers:    store.NewCached(cfg.ELB.LoadBalancers),
		applications: store.NewCached(cfg.ELBv2.LoadBalancers),
		groups:       store.NewCached(cfg.ELBv2.TargetGroups),
		linger:       defaultLinger,
		certificates: map[string]certificate{},
		hosts:        map[string]netip.Addr{},
		tried:        map[string][]netip.Addr{},
		busy:         map[string]bool{},
		owners:       map[string]string{},
		active:       map[string]bool{},
		leaving:      map[string]time.Time{},
		said:         map[string]string{},
		vpcs:         map[string]string{},
	}
	l.logs = newAccessLogs(cfg.Logs, cfg.Account, cfg.Region, cfg.Logger)
	l.proxy = proxy.New(proxy.Config{Listen: l.listen, Dial: l.dial, Log: l.logs.add, Logger: cfg.Logger})
	return l
}

// Proxy is the proxy that runs the load balancers. Run closes it.
func (l *Loop) Proxy() *proxy.Proxy { return l.proxy }

// Health implements elb.Health.
func (l *Loop) Health(_ context.Context, lb elb.LoadBalancer) ([]elb.InstanceHealth, error) {
	var all []elb.InstanceHealth
	for _, h := range l.proxy.Health(lb.ID) {
		all = append(all, elb.InstanceHealth{ID: h.ID, State: h.State, ReasonCode: h.Reason, Description: h.Description})
	}
	return all, nil
}

// closeTime is how long requests may take to finish when the loop ends.
const closeTime = 5 * time.Second

// Run follows the store until ctx ends, then closes the proxy. Network interfaces
// and addresses stay: the next run takes them over.
func (l *Loop) Run(ctx context.Context) error {
	logging, stop := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	tasks.Go(func() { l.logs.run(logging) })
	err := l.follow(ctx)
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer done()
	_ = l.proxy.Close(ending) // its error is that requests took longer
	stop()
	tasks.Wait()
	return err
}

// follow reconciles whenever something has changed.
func (l *Loop) follow(ctx context.Context) error {
	instances, certificates := store.NewView(l.cfg.EC2.Instances), store.NewView(l.cfg.ACM.Certificates)
	views := store.FollowAll(ctx, store.NewView(l.cfg.ELB.LoadBalancers), store.NewView(l.cfg.ELBv2.LoadBalancers),
		store.NewView(l.cfg.ELBv2.TargetGroups), store.NewView(l.cfg.EC2.ENIs), instances, certificates)
	defer views.Close()
	var again <-chan time.Time
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
		case <-again:
		}
		pause, err := l.reconcile(ctx, seen{instances.Snapshot(), certificates.Snapshot()})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.log.Error("bringing load balancers to their state", "error", err)
			pause = cmp.Or(l.cfg.Retry, defaultRetry)
		}
		again = nil
		if pause > 0 {
			again = time.After(pause)
		}
	}
}

// seen is what the loop follows and need not read anew.
type seen struct {
	instances    store.Snapshot[ec2.Instance]
	certificates store.Snapshot[acm.Certificate]
}

// reconcile does once what is to be done. It returns when to do so again if nothing
// changes before, or 0. What fails of one load balancer is logged, and hinders no
// other.
func (l *Loop) reconcile(ctx context.Context, seen seen) (again time.Duration, err error) {
	s, err := l.read(ctx, seen)
	if err != nil {
		return 0, err
	}
	w := &work{failed: map[string][]error{}}
	l.connect(ctx, &s, w)
	l.run(ctx, &s, w)
	l.forget(ctx, s, w)
	wait := l.remove(ctx, s, w)
	if l.report(s, w) {
		again = cmp.Or(l.cfg.Retry, defaultRetry)
	}
	if wait > 0 && (again == 0 || wait < again) {
		again = wait
	}
	return again, nil
}

// read gets what the plan rests on. Load balancers and network interfaces are read
// anew: what this loop has just written must be among them.
func (l *Loop) read(ctx context.Context, seen seen) (State, error) {
	s := State{TargetGroups: map[string]elbv2.TargetGroup{}, Instances: map[string]ec2.Instance{}, Certificates: map[string]*tls.Certificate{}}
	enis, _, err := l.interfaces.List(ctx)
	if err != nil {
		return s, err
	}
	for _, it := range enis {
		s.Interfaces = append(s.Interfaces, it.Value)
	}
	lbs, _, err := l.balancers.List(ctx)
	if err != nil {
		return s, err
	}
	for _, it := range lbs {
		s.LoadBalancers = append(s.LoadBalancers, it.Value)
	}
	applications, _, err := l.applications.List(ctx)
	if err != nil {
		return s, err
	}
	for _, it := range applications {
		s.Applications = append(s.Applications, it.Value)
	}
	groups, _, err := l.groups.List(ctx) // after the load balancers: what they refer to is there
	if err != nil {
		return s, err
	}
	for _, it := range groups {
		s.TargetGroups[l.cfg.ELBv2.TargetGroupARN(it.Value)] = it.Value
	}
	for _, it := range seen.instances.Items {
		s.Instances[it.Key] = it.Value
	}
	return s, l.readCertificates(ctx, s, seen.certificates)
}
