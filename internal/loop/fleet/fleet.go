// Package fleet is the loop that brings Auto Scaling groups to their size: it
// reads groups, their members and EC2's instances, decides in Plan, launches,
// starts, stops and terminates instances through EC2, and records what became of
// them. It knows nothing of Kubernetes: an EKS node group's group is one as any.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// Balancers are the Classic load balancers of groups, by name, and their target
// groups, by ARN.
type Balancers interface {
	// State returns those of the load balancers that exist, by name.
	State(ctx context.Context, names []string) (map[string]Balancer, error)
	// Register and Deregister change which instances a load balancer has. What is
	// so already is no error; without the load balancer it is store.ErrNotFound.
	Register(ctx context.Context, name string, instances []string) error
	Deregister(ctx context.Context, name string, instances []string) error
	// Changed is closed when State may say something else than now.
	Changed() <-chan struct{}
}

// Loop brings groups to their size.
type Loop struct {
	AutoScaling *autoscaling.Service
	EC2         *ec2.Service
	Client      *clientv3.Client                    // of the store that both are in
	Balancers   Balancers                           // nil: there are none
	Alarms      *store.Collection[cloudwatch.Alarm] // which instance refreshes watch
	Logger      *slog.Logger
	// Retry is the pause after a failure, and after the first of several launches
	// that fail; 0 means two seconds.
	Retry time.Duration
	Now   func() time.Time // nil is time.Now
}

const defaultRetry = 2 * time.Second

func (l *Loop) retry() time.Duration { return cmp.Or(l.Retry, defaultRetry) }

func (l *Loop) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

// Run acts on every change of a group, a member, an instance, an alarm or a load
// balancer, and when a time has come that a decision waits for, until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	views := store.FollowAll(ctx, store.NewView(l.AutoScaling.Groups), store.NewView(l.AutoScaling.Members),
		store.NewView(l.AutoScaling.Refreshes), store.NewView(l.EC2.Instances), store.NewView(l.Alarms))
	defer views.Close()
	var again <-chan time.Time
	for {
		var balancers <-chan struct{}
		if l.Balancers != nil {
			balancers = l.Balancers.Changed()
		}
		wake, err := l.reconcile(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			l.Logger.Error("bringing Auto Scaling groups to their size", "error", err)
			again = time.After(l.retry())
		case wake.IsZero():
			again = nil
		default:
			again = time.After(max(0, wake.Sub(l.now())))
		}
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
		case <-balancers:
		case <-again:
		}
	}
}

// seen is a group as it was read.
type seen struct {
	State
	item    store.Item[autoscaling.Group]
	items   map[string]store.Item[autoscaling.Member] // by instance
	refresh *store.Item[autoscaling.Refresh]
}

// reconcile reads afresh, because its own doings are changes too. What one group
// cannot have does not keep the others from theirs. wake is when to look again
// without a change; zero: never.
func (l *Loop) reconcile(ctx context.Context) (wake time.Time, err error) {
	// Members before instances: an instance without a member has none.
	groups, members, err := l.sizes(ctx)
	if err != nil || len(groups) == 0 {
		return wake, err
	}
	refreshes, _, err := l.AutoScaling.Refreshes.List(ctx, "")
	if err != nil {
		return wake, err
	}
	instances, _, err := l.EC2.Instances.List(ctx, "")
	if err != nil {
		return wake, err
	}
	var errs []error
	for _, item := range groups {
		s := seen{State: State{Now: l.now(), Group: item.Value, Instances: map[string]ec2.Instance{}}, item: item, items: map[string]store.Item[autoscaling.Member]{}}
		for _, m := range members {
			if m.Value.Group == item.Key {
				s.Members = append(s.Members, m.Value)
				s.items[m.Value.Instance] = m
			}
		}
		for _, i := range instances {
			if _, ours := s.items[i.Key]; ours || i.Value.Tags[GroupTag] == item.Key {
				s.Instances[i.Key] = i.Value
			}
		}
		for _, r := range refreshes {
			if r.Value.Group == item.Key && r.Value.Active() {
				s.refresh, s.Refresh = &r, new(r.Value)
			}
		}
		at, err := l.reconcileGroup(ctx, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", item.Key, err))
		}
		if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	return wake, errors.Join(errs...)
}

// sizes are the groups and their members, all as they were at one time: who ends a
// member and lowers the group's size with it wants no other in its place.
func (l *Loop) sizes(ctx context.Context) (groups []store.Item[autoscaling.Group], members []store.Item[autoscaling.Member], err error) {
	groups, _, err = l.AutoScaling.Groups.List(ctx, "")
	for err == nil && len(groups) > 0 {
		if members, _, err = l.AutoScaling.Members.List(ctx, ""); err != nil {
			break
		}
		var now []store.Item[autoscaling.Group]
		now, _, err = l.AutoScaling.Groups.List(ctx, "")
		if err != nil || slices.EqualFunc(groups, now, func(a, b store.Item[autoscaling.Group]) bool { return a.Key == b.Key && a.Revision == b.Revision }) {
			break
		}
		groups = now
	}
	return groups, members, err
}

func (l *Loop) reconcileGroup(ctx context.Context, s seen) (wake time.Time, err error) {
	s.Source = l.source(ctx, s.Group, s.Refresh)
	s.Zones = map[string]string{}
	for _, id := range s.Group.Subnets {
		subnet, err := l.EC2.Subnets.Get(ctx, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return wake, err
		}
		s.Zones[id] = subnet.Value.Zone
	}
	if s.Made, err = l.made(ctx, s.Members); err != nil {
		return wake, err
	}
	if names := slices.Concat(s.Group.Traffic(), s.Group.Leaving); l.Balancers != nil && len(names) > 0 {
		if s.Balancers, err = l.Balancers.State(ctx, names); err != nil {
			return wake, err
		}
	}
	if s.Alarm, err = l.alarm(ctx, s.Refresh); err != nil {
		return wake, err
	}
	d := Plan(s.State)
	return d.Wake, l.act(ctx, s, d)
}

// alarm finds one of a refresh's alarms that is in ALARM, "" if none is.
func (l *Loop) alarm(ctx context.Context, r *autoscaling.Refresh) (string, error) {
	if r == nil || r.Preferences.AlarmSpecification == nil {
		return "", nil
	}
	for _, name := range r.Preferences.AlarmSpecification.Alarms {
		a, err := l.Alarms.Get(ctx, name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
		if a.Value.State == cloudwatch.InAlarm {
			return name, nil
		}
	}
	return "", nil
}

// made is when the launch configurations of members were made.
func (l *Loop) made(ctx context.Context, members []autoscaling.Member) (map[string]time.Time, error) {
	if !slices.ContainsFunc(members, func(m autoscaling.Member) bool { return m.Configuration != "" }) {
		return nil, nil
	}
	all, _, err := l.AutoScaling.Configurations.List(ctx, "")
	made := map[string]time.Time{}
	for _, c := range all {
		made[c.Key] = c.Value.Created
	}
	return made, err
}
