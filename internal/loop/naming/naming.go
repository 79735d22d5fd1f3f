// Package naming is the loop that makes DNS of Route 53's records and of the load
// balancers' names: it gives the host and every VPC the zones that they see, the
// front door the names that lead to load balancers, and the checker the health
// checks. What it decides it decides in Plan; nothing that is known of the network
// but health may enter there.
package naming

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/healthcheck"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/service/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

// HostView is the view of the host; all others bear the id of their VPC.
const HostView = "host"

// ErrNoView says that there is no server for a view yet, or no more.
var ErrNoView = errors.New("nobody answers for the view")

// Views are the name servers.
type Views interface {
	// SetHosted replaces the hosted zones of a view. It is called with the same ones
	// again and again. After an error it is called again; ErrNoView is one that
	// nobody hears of, for a server that comes later asks Loop.View itself.
	SetHosted(view string, z *dns.Zones) error
}

// FrontDoor hands connections to load balancers by the name that they are for.
type FrontDoor interface {
	// SetNames replaces the names: from host names in lower case, without a dot at the
	// end, to ids of load balancers. *.example.com means all names below example.com
	// that nothing longer matches. A name of "" leads nowhere: it takes a name out of
	// what a wildcard matches.
	SetNames(names map[string]string)
}

// Host tells the host's own resolver what the region hosts.
type Host interface {
	// SetHost replaces what was told before. An error is logged, and it is called again.
	SetHost(HostNames) error
}

// HostNames are what the host's resolver is to know, without dots at the end.
type HostNames struct {
	Zones []string // the public hosted zones and that of the load balancers, sorted
	// Addresses are those (IPv4) of the names in them. Wildcards are left out: a list of
	// hosts cannot have them.
	Addresses map[string][]netip.Addr
}

// Health is how load balancers do.
type Health interface {
	// InService says whether a load balancer has an instance that takes requests. When
	// that changes, Loop.Trigger is to be called.
	InService(lb loadbalancer.Placement) bool
}

// Checks runs the health checks; a healthcheck.Checker does.
type Checks interface {
	// Apply replaces the checks.
	Apply([]healthcheck.Check)
	// Healthy says what a check has found. When that changes, Loop.Trigger is to be called.
	Healthy(id string) bool
	// Look returns what a check's checker has seen last, and at its last failure.
	Look(id string) (last, failure *healthcheck.Observation)
}

// defaultRetry is Loop.Retry where that is not set.
const defaultRetry = time.Second

// Loop keeps the zones as the records say. Views, FrontDoor and Host may be nil.
type Loop struct {
	Region  string
	Route53 *route53.Service
	ELB     *elb.Service
	ELBv2   *elbv2.Service
	EC2     *ec2.Service

	Views     Views
	FrontDoor FrontDoor
	Host      Host
	Health    Health // nil: all load balancers are well
	Checks    Checks // nil: so are all checks
	Logger    *slog.Logger
	// Retry is the pause before the next attempt after one that failed; 0 means a
	// second.
	Retry time.Duration

	applied atomic.Int64

	mu      sync.Mutex // guards the fields below
	current *Answers   // what was planned last; Run alone sets it
	news    chan struct{}
	trigger chan struct{}
}

// Applied is a revision of the store: the servers answer as all records of Route 53
// up to it say. It is 0 before the first attempt that succeeded.
func (l *Loop) Applied() int64 { return l.applied.Load() }

// Trigger has the loop look again, for the sake of what it does not follow: health.
func (l *Loop) Trigger() {
	select {
	case l.triggered() <- struct{}{}:
	default: // it will look anyway
	}
}

func (l *Loop) triggered() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trigger == nil {
		l.trigger = make(chan struct{}, 1)
	}
	return l.trigger
}

// Changed returns a channel that is closed when the zones have changed the next
// time.
func (l *Loop) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.news == nil {
		l.news = make(chan struct{})
	}
	return l.news
}

// View returns the hosted zones of a view as they were planned last, nil before
// the first plan: for a server that begins. It may be of a VPC that the loop has not
// heard of yet.
func (l *Loop) View(view string) *dns.Zones {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil {
		return nil
	}
	return l.current.View(view)
}

// Run follows the store until ctx ends. Before it has read everything it changes
// nothing.
func (l *Loop) Run(ctx context.Context) error {
	zones, checks := store.NewView(l.Route53.HostedZones), store.NewView(l.Route53.HealthChecks)
	balancers, applications := store.NewView(l.ELB.LoadBalancers), store.NewView(l.ELBv2.LoadBalancers)
	vpcs := store.NewView(l.EC2.VPCs)
	views := store.FollowAll(ctx, zones, checks, balancers, applications, vpcs)
	defer views.Close()
	var (
		trigger = l.triggered()
		read    bool
		retry   <-chan time.Time
	)
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
			read = true
		case <-trigger:
		case <-retry:
		}
		if !read {
			continue
		}
		now := snapshots{zones.Snapshot(), checks.Snapshot(), balancers.Snapshot(), applications.Snapshot(), vpcs.Snapshot()}
		if l.Checks != nil {
			l.Checks.Apply(asked(now.checks.Items))
		}
		retry = nil
		if !l.turn(ctx, now) {
			retry = time.After(cmp.Or(l.Retry, defaultRetry))
		}
	}
}

// snapshots are what the loop follows.
type snapshots struct {
	zones        store.Snapshot[route53.HostedZone]
	checks       store.Snapshot[route53.HealthCheck]
	balancers    store.Snapshot[elb.LoadBalancer]
	applications store.Snapshot[elbv2.LoadBalancer]
	vpcs         store.Snapshot[ec2.VPC]
}

// turn brings everything to what the snapshots say, and reports whether nothing
// must be tried again.
func (l *Loop) turn(ctx context.Context, now snapshots) bool {
	l.mu.Lock()
	before := l.current
	l.mu.Unlock()
	state, err := l.read(ctx, now, before)
	if err != nil {
		if ctx.Err() == nil {
			l.Logger.Error("reading record sets; names stay as they are", "error", err)
		}
		return false
	}
	answers := Plan(state, before)
	for id, err := range answers.Failed {
		if before == nil || fmt.Sprint(before.Failed[id]) != err.Error() {
			l.Logger.Error("a hosted zone cannot be served; its former records stay", "zone", id, "error", err)
		}
	}
	l.mu.Lock()
	l.current = answers
	l.mu.Unlock()
	ok, complete := l.act(answers)
	if complete && len(answers.Failed) == 0 {
		l.applied.Store(now.zones.Revision)
	}
	l.mu.Lock()
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
	l.mu.Unlock()
	return ok
}

// read reads the record sets of the zones that have changed. A commit that changes
// record sets changes their zone too, so those of the others are as they were; and
// what is read now is not older than the zones.
func (l *Loop) read(ctx context.Context, now snapshots, before *Answers) (State, error) {
	s := State{Region: l.Region}
	for _, item := range now.zones.Items {
		zone := Zone{HostedZone: item.Value, Revision: item.Revision}
		if !before.has(zone) {
			sets, _, err := l.Route53.RecordSets.List(ctx, item.Key+"/")
			if err != nil {
				return State{}, err
			}
			if len(sets) == 0 {
				continue // the zone was deleted meanwhile
			}
			for i := range sets {
				zone.RecordSets = append(zone.RecordSets, sets[i].Value)
			}
		} else {
			zone.RecordSets = before.zones[zone.ID].sets
		}
		s.Zones = append(s.Zones, zone)
	}
	for _, item := range now.balancers.Items {
		s.LoadBalancers = append(s.LoadBalancers, item.Value.Placement)
	}
	for _, item := range now.applications.Items {
		s.LoadBalancers = append(s.LoadBalancers, item.Value.Placement)
	}
	for _, item := range now.vpcs.Items {
		s.VPCs = append(s.VPCs, item.Key)
	}
	if l.Health != nil {
		s.InService = l.Health.InService
	}
	if l.Checks != nil {
		s.Healthy = l.Checks.Healthy
	}
	return s, nil
}

// act hands the answers over. It reports whether nothing must be tried again, and
// whether all servers that there are have their zones.
func (l *Loop) act(a *Answers) (ok, complete bool) {
	ok, complete = true, true
	for view, zones := range a.Views {
		if l.Views == nil {
			break
		}
		if err := l.Views.SetHosted(view, zones); errors.Is(err, ErrNoView) {
			ok = false // it may come
		} else if err != nil {
			l.Logger.Error("giving a name server its zones", "view", view, "error", err)
			ok, complete = false, false
		}
	}
	if l.FrontDoor != nil {
		l.FrontDoor.SetNames(a.Names)
	}
	if l.Host != nil {
		if err := l.Host.SetHost(a.Host); err != nil {
			l.Logger.Error("telling the host of hosted zones", "error", err)
			ok = false
		}
	}
	return ok, complete
}
