// Package scaling is the loop of alarms and policies: it looks at CloudWatch's
// alarms when they are due, carries their actions out, and changes the size of Auto
// Scaling groups as their policies, schedules and forecasts say. What it decides it
// decides in Plan, TurnOf and AheadOf; that groups get their instances is loop/fleet's.
package scaling

import (
	"context"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// Instances is EC2 for alarms that act on an instance.
type Instances interface {
	// Act stops, terminates, reboots or recovers ("stop" …) an instance. One that is
	// as wanted already is fine.
	Act(ctx context.Context, what, instance string) error
}

// Config is what New needs.
type Config struct {
	Client      *clientv3.Client
	AutoScaling *autoscaling.Service
	CloudWatch  *cloudwatch.Service
	Outlooks    *Outlooks // the ones that AutoScaling has for its Forecasts
	Instances   Instances
	Logger      *slog.Logger
	Now         func() time.Time // nil is time.Now
	// Settle is how long after the end of a period an alarm is looked at; 0 means
	// 1.1 s. What the region measures by itself is in its store within a second of
	// the period's end, and a write takes some milliseconds: to look at the end itself
	// would see each period one period late.
	Settle time.Duration
}

const (
	defaultSettle = 1100 * time.Millisecond
	// retry is the pause after something has failed.
	retry = 2 * time.Second
	// longest is the longest pause: a machine that slept, or whose clock was set,
	// is right again after it.
	longest = time.Minute
)

// Loop looks at alarms and scales groups.
type Loop struct {
	cfg      Config
	log      *slog.Logger
	alarms   *store.Cached[cloudwatch.Alarm]
	groups   *store.Cached[autoscaling.Group]
	members  *store.Cached[autoscaling.Member]
	policies *store.Cached[autoscaling.Policy]

	// Run alone uses what follows. It may be lost: what must not be is in the store.
	watched map[string]*watched // by alarm
	timed   map[string]timed    // by scheduled action's key
	// cooldowns are those of the simple policies that changed groups (by name) last.
	// After a restart a group's own counts.
	cooldowns map[string]*time.Duration
	foreseen  map[string]foreseen // by policy's key
	said      map[string]string   // what was last logged of something
}

// New makes the loop.
func New(cfg Config) *Loop {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Settle == 0 {
		cfg.Settle = defaultSettle
	}
	return &Loop{
		cfg: cfg, log: cfg.Logger,
		alarms:    store.NewCached(cfg.CloudWatch.Alarms),
		groups:    store.NewCached(cfg.AutoScaling.Groups),
		members:   store.NewCached(cfg.AutoScaling.Members),
		policies:  store.NewCached(cfg.AutoScaling.Policies),
		watched:   map[string]*watched{},
		timed:     map[string]timed{},
		cooldowns: map[string]*time.Duration{},
		foreseen:  map[string]foreseen{},
		said:      map[string]string{},
	}
}

// Run acts when something is due, or when alarms, policies or scheduled actions
// have changed, until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	views := store.FollowAll(ctx, store.NewView(l.cfg.CloudWatch.Alarms), store.NewView(l.cfg.AutoScaling.Policies),
		store.NewView(l.cfg.AutoScaling.Scheduled))
	defer views.Close()
	var due <-chan time.Time
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
		case <-due:
		}
		now := l.cfg.Now()
		next, err := l.turn(ctx, now)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.log.Error("looking at alarms and policies; trying again", "error", err)
			next = sooner(next, now.Add(retry))
		}
		pause := longest
		if !next.IsZero() {
			pause = min(next.Sub(l.cfg.Now()), longest)
		}
		due = time.After(pause)
	}
}

// turn does all that is due, and returns when there is more to do. Whatever fails
// hinders nothing else.
func (l *Loop) turn(ctx context.Context, now time.Time) (next time.Time, err error) {
	w, err := l.read(ctx)
	if err != nil {
		return time.Time{}, err
	}
	for _, part := range []func(context.Context, *world, time.Time) time.Time{l.look, l.act, l.keepTime, l.foresee} {
		if ctx.Err() != nil {
			return time.Time{}, ctx.Err()
		}
		next = sooner(next, part(ctx, w, now))
	}
	return next, nil
}

// world is what there is when a turn begins.
type world struct {
	alarms   []store.Item[cloudwatch.Alarm]  // in order of their names
	policies map[string][]autoscaling.Policy // by group
	outlooks map[string]store.Item[Outlook]  // by policy's key

	// looked are the alarms (by name) that were looked at in this turn.
	looked map[string]bool
}

func (l *Loop) read(ctx context.Context) (*world, error) {
	w := &world{
		policies: map[string][]autoscaling.Policy{},
		outlooks: map[string]store.Item[Outlook]{}, looked: map[string]bool{},
	}
	var err error
	if w.alarms, _, err = l.alarms.List(ctx); err != nil {
		return nil, err
	}
	policies, _, err := l.policies.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, it := range policies {
		w.policies[it.Value.Group] = append(w.policies[it.Value.Group], it.Value)
	}
	outlooks, _, err := l.cfg.Outlooks.all.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, it := range outlooks {
		w.outlooks[it.Key] = it
	}
	return w, nil
}

// say logs what goes wrong with something, once as long as it is the same; nil
// forgets it.
func (l *Loop) say(what, name string, err error) {
	key := what + " " + name
	switch {
	case err == nil:
		delete(l.said, key)
	case l.said[key] != err.Error():
		l.said[key] = err.Error()
		l.log.Error(what, "name", name, "error", err)
	}
}

// sooner is the earlier of two times, of which zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
