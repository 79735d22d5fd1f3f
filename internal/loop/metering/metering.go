// Package metering is the loop that measures the region: what instances use, how
// large groups are, what load balancers and clusters do flows into CloudWatch with
// AWS's names, units and dimensions. What a reading means is decided by pure
// functions of it and the one before; how a reading is taken is the caller's. The
// loop keeps the last reading of what there is, and nothing of what is gone.
package metering

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// Sink takes what was measured; metrics.Store is one.
type Sink interface {
	Put(ctx context.Context, data []metrics.Datum) error
}

// Host reads what instances use. It is asked each second: a few system calls.
type Host interface {
	// Usage is that of an instance since it has booted. fs.ErrNotExist, if it does
	// not run.
	Usage(id string) (instance.Usage, error)
	// Counters are those of all network interfaces of a VPC, by their ids.
	Counters(vpc string) (map[string]vpc.Counters, error)
	// Answers says whether the instance's own processes run.
	Answers(id string) bool
}

// Proxy counts what load balancers do; *proxy.Proxy is one.
type Proxy interface {
	// Stats are those of a load balancer by its id. ok is false if it does not run.
	Stats(id string) (s proxy.Stats, ok bool)
	// GroupStats are those of one of its groups.
	GroupStats(id, group string) (s proxy.Stats, ok bool)
}

// Config is what New needs.
type Config struct {
	Sink        Sink
	EC2         *ec2.Service
	AutoScaling *autoscaling.Service
	ELB         *elb.Service
	ELBv2       *elbv2.Service
	Host        Host
	Proxy       Proxy
	Clusters    Clusters // nil: there is no Container Insights
	Logger      *slog.Logger
	// Insights is the time between two looks at a cluster; 0 means AWS's minute.
	Insights time.Duration
}

// Loop measures the region.
type Loop struct {
	cfg Config
	log *slog.Logger

	// Run alone uses what follows.
	instances store.Snapshot[ec2.Instance]
	groups    store.Snapshot[autoscaling.Group]
	members   store.Snapshot[autoscaling.Member]
	balancers store.Snapshot[elb.LoadBalancer]
	// applications are Application Load Balancers, targets their target groups.
	applications store.Snapshot[elbv2.LoadBalancer]
	targets      store.Snapshot[elbv2.TargetGroup]

	at       time.Time                  // of the last round
	readings map[string]Reading         // by instance
	checks   map[string]Checks          // by instance: as reported
	sizes    map[string][]metrics.Datum // by group: as reported
	stats    map[string]proxy.Stats     // by load balancer's id, or target group's

	mu   sync.Mutex        // guards said
	said map[string]string // by what is measured: what was last logged of it
}

// New makes the loop.
func New(cfg Config) *Loop {
	return &Loop{cfg: cfg, log: cfg.Logger, said: map[string]string{}}
}

// Run measures until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	if l.cfg.Clusters != nil {
		tasks.Go(func() { l.observe(ctx, cmp.Or(l.cfg.Insights, minute)) })
	}
	return l.follow(ctx)
}

// follow takes a round at each full second.
func (l *Loop) follow(ctx context.Context) error {
	instances, balancers := store.NewView(l.cfg.EC2.Instances), store.NewView(l.cfg.ELB.LoadBalancers)
	applications, targets := store.NewView(l.cfg.ELBv2.LoadBalancers), store.NewView(l.cfg.ELBv2.TargetGroups)
	groups, members := store.NewView(l.cfg.AutoScaling.Groups), store.NewView(l.cfg.AutoScaling.Members)
	views := store.FollowAll(ctx, instances, balancers, applications, targets, groups, members)
	defer views.Close()
	tick := time.NewTimer(untilNext(time.Now()))
	defer tick.Stop()
	read := false
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
			read = true
		case now := <-tick.C:
			if read {
				l.instances, l.balancers = instances.Snapshot(), balancers.Snapshot()
				l.applications, l.targets = applications.Snapshot(), targets.Snapshot()
				l.groups, l.members = groups.Snapshot(), members.Snapshot()
				l.round(ctx, now)
			}
			tick.Reset(untilNext(time.Now()))
		}
	}
}

// untilNext is the time until the next full second begins. A moment before it is
// taken for it.
func untilNext(now time.Time) time.Duration {
	return now.Round(time.Second).Add(time.Second).Sub(now)
}

// round measures once. What cannot be measured or put is logged, and the rest goes on.
func (l *Loop) round(ctx context.Context, now time.Time) {
	data := l.measureInstances(now)
	data = append(data, l.measureGroups(now)...)
	data = append(data, l.measureBalancers(now)...)
	l.at = now
	if len(data) == 0 {
		return
	}
	if err := l.cfg.Sink.Put(ctx, data); ctx.Err() == nil {
		l.report("metrics", err)
	}
}

// due says whether what AWS reports each minute is due.
func (l *Loop) due(now time.Time) bool {
	return !l.at.Truncate(minute).Equal(now.Truncate(minute))
}

// measureInstances reads what the running instances have used, and keeps it for
// the next round.
func (l *Loop) measureInstances(now time.Time) []metrics.Datum {
	groupOf := l.groupOf(now)
	wires := map[string]map[string]vpc.Counters{} // by VPC
	readings, checks := map[string]Reading{}, map[string]Checks{}
	var all []Instance
	var failed error
	for _, item := range l.instances.Items {
		i := item.Value
		if i.State != ec2.Running {
			continue
		}
		m, err := measured(i, groupOf[i.ID])
		if err != nil {
			failed = err
			continue
		}
		all = append(all, m)
		counters, ok := wires[i.VPC]
		if !ok {
			if counters, err = l.cfg.Host.Counters(i.VPC); err != nil {
				failed = fmt.Errorf("the network of %s: %w", i.VPC, err)
			}
			wires[i.VPC] = counters
		}
		reading, wired := Reading{At: now}, false
		if c, ok := counters[i.ENI]; ok {
			reading.Network, wired = &c, true
		}
		reading.Usage, err = l.cfg.Host.Usage(i.ID)
		if err == nil {
			readings[i.ID] = reading
		}
		checks[i.ID] = Checks{System: err != nil || counters != nil && !wired, Instance: !l.cfg.Host.Answers(i.ID)}
	}
	l.report("instances", failed)
	data := Instances(l.readings, readings, all)
	l.readings = readings
	return append(data, l.reportChecks(now, checks, all)...)
}

// groupOf is the group that each instance's use counts for: from when it has been
// in service for the group's warm-up.
func (l *Loop) groupOf(now time.Time) map[string]string {
	groups := make(map[string]string, len(l.members.Items))
	for _, m := range l.members.Items {
		g, ok := l.groups.Get(m.Value.Group)
		if !ok || m.Value.Warm() || m.Value.InService.IsZero() || now.Sub(m.Value.InService) < g.Value.Warmup {
			continue
		}
		groups[m.Value.Instance] = m.Value.Group
	}
	return groups
}

// reportChecks reports all each minute, and at once what has changed.
func (l *Loop) reportChecks(now time.Time, checks map[string]Checks, all []Instance) []metrics.Datum {
	due := checks
	if !l.due(now) {
		due = map[string]Checks{}
		for id, c := range checks {
			if was, ok := l.checks[id]; !ok || was != c {
				due[id] = c
			}
		}
	}
	l.checks = checks
	return Status(now, due, all)
}

// measureGroups reports the sizes of groups each minute, and at once those that have
// changed.
func (l *Loop) measureGroups(now time.Time) []metrics.Datum {
	members := map[string][]autoscaling.Member{}
	for _, m := range l.members.Items {
		members[m.Value.Group] = append(members[m.Value.Group], m.Value)
	}
	sizes := map[string][]metrics.Datum{}
	var data []metrics.Datum
	for _, g := range l.groups.Items {
		if len(g.Value.Metrics) == 0 {
			continue
		}
		is := Group(now, g.Value, members[g.Value.Name])
		if l.due(now) || !sameValues(l.sizes[g.Value.Name], is) {
			data = append(data, is...)
		}
		sizes[g.Value.Name] = is
	}
	l.sizes = sizes
	return data
}

// sameValues compares data of different times.
func sameValues(a, b []metrics.Datum) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || a[i].Values[0] != b[i].Values[0] {
			return false
		}
	}
	return true
}

// measureBalancers reads the proxy's counters, and keeps them for the next round.
func (l *Loop) measureBalancers(now time.Time) []metrics.Datum {
	stats := map[string]proxy.Stats{}
	var all []elb.LoadBalancer
	for _, lb := range l.balancers.Items {
		if s, ok := l.cfg.Proxy.Stats(lb.Value.ID); ok {
			stats[lb.Value.ID] = s
			all = append(all, lb.Value)
		}
	}
	var applications []Application
	for _, lb := range l.applications.Items {
		s, ok := l.cfg.Proxy.Stats(lb.Value.ID)
		if !ok {
			continue
		}
		stats[lb.Value.ID] = s
		a := Application{LoadBalancer: lb.Value}
		for _, g := range l.targets.Items {
			if s, ok := l.cfg.Proxy.GroupStats(lb.Value.ID, g.Value.Label()); ok {
				stats[g.Value.ID] = s
				a.TargetGroups = append(a.TargetGroups, g.Value)
			}
		}
		applications = append(applications, a)
	}
	var data []metrics.Datum
	if !l.at.IsZero() {
		elapsed := now.Sub(l.at)
		data = append(Balancers(l.at, elapsed, l.stats, stats, all), Applications(l.at, elapsed, l.stats, stats, applications)...)
	}
	l.stats = stats
	return data
}

// report logs what has changed about failures.
func (l *Loop) report(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	said := ""
	if err != nil {
		said = err.Error()
	}
	if l.said[what] == said {
		return
	}
	l.said[what] = said
	if err != nil {
		l.log.Error("measuring for CloudWatch", "what", what, "error", err)
		return
	}
	l.log.Info("measuring for CloudWatch goes on", "what", what)
	delete(l.said, what)
}
