// Package nodegroups is the loop that gives EKS node groups their Auto Scaling
// groups: it makes a launch template and a group for each, carries sizes between
// the two, drains nodes before their instances end, replaces nodes that are
// outdated, and tells EKS how far a node group is. It launches nothing: that is
// loop fleet's.
package nodegroups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Profiles makes the instance profiles of node groups, which is IAM's.
type Profiles interface {
	// EnsureInstanceProfile makes an instance profile with the role, or finds it.
	EnsureInstanceProfile(ctx context.Context, name, roleARN string) (arn string, err error)
	// DeleteInstanceProfile removes it; nil if there is none.
	DeleteInstanceProfile(ctx context.Context, name string) error
}

// Nodes changes the nodes of clusters.
type Nodes interface {
	// Configure gives the nodes (by name; those that do not exist are left out) the
	// labels and taints in want, and takes those away that are only in was.
	Configure(ctx context.Context, cluster string, nodes []string, was, want eks.NodeConfig) error
	// Missing returns those of the nodes (by name) that are not Ready.
	Missing(ctx context.Context, cluster string, nodes []string) ([]string, error)
	// Drain cordons a node, and asks for the eviction of the pods that must leave
	// it; drained says that none is left, or that there is no such node. What a
	// disruption budget forbids now is asked for again at the next call.
	Drain(ctx context.Context, cluster, node string) (drained bool, err error)
	// Uncordon lets a node that is not to be drained any more take pods.
	Uncordon(ctx context.Context, cluster, node string) error
	// Follow tells, when it begins and after changes until ctx ends, that Missing
	// and Drain may say something else. The channel is closed at the end.
	Follow(ctx context.Context, cluster string) <-chan struct{}
}

// Loop gives node groups their Auto Scaling groups.
type Loop struct {
	AutoScaling *autoscaling.Service
	EC2         *ec2.Service
	EKS         *eks.Service
	Client      *clientv3.Client // of the store that all are in
	Profiles    Profiles
	Nodes       Nodes
	Logger      *slog.Logger
	Now         func() time.Time // nil is time.Now
	// Retry is the pause after a failure; 0 means two seconds.
	Retry time.Duration
	// Attempts is how often a group is tried before its status says that it has
	// failed; 0 means five. It is tried on and on.
	Attempts int
	// Patience is how long an instance may take to become a node; 0 means 15 minutes.
	Patience time.Duration

	failures  map[string]int                  // by node group's ID, one after the other
	draining  map[string]map[string]time.Time // by node group's ID: since when an update drains an instance's node
	followed  map[string]context.CancelFunc   // clusters
	changed   chan struct{}                   // by one of those
	following sync.WaitGroup
}

const (
	defaultRetry    = 2 * time.Second
	defaultAttempts = 5
	defaultPatience = 15 * time.Minute
	// evictionPause is after which an eviction that a budget forbade is asked for
	// again, where nothing has told of a change; kubectl drain has it too.
	evictionPause = 5 * time.Second
)

func (l *Loop) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}

func (l *Loop) attempts() int { return cmp.Or(l.Attempts, defaultAttempts) }

// Run acts on every change of a node group, its Auto Scaling group, its instances,
// a cluster or, where nodes join or are drained, a node until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	l.failures, l.draining = map[string]int{}, map[string]map[string]time.Time{}
	l.followed, l.changed = map[string]context.CancelFunc{}, make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	views := store.FollowAll(ctx, store.NewView(l.EKS.Nodegroups), store.NewView(l.AutoScaling.Groups),
		store.NewView(l.AutoScaling.Members), store.NewView(l.EC2.Instances), store.NewView(l.EKS.Clusters))
	defer func() {
		cancel()
		views.Close()
		l.following.Wait()
	}()
	var again <-chan time.Time
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
		case <-l.changed:
		case <-again:
		}
		need, err := l.reconcile(ctx)
		l.follow(ctx, need.clusters)
		wake := need.wake
		if err != nil && ctx.Err() == nil {
			l.Logger.Error("bringing node groups to their size", "error", err)
			wake = earlier(wake, l.now().Add(cmp.Or(l.Retry, defaultRetry)))
		}
		if again = nil; !wake.IsZero() {
			again = time.After(max(0, wake.Sub(l.now())))
		}
	}
}

// need is what there is to wait for.
type need struct {
	clusters map[string]bool // of which nodes join or are drained
	wake     time.Time       // zero: no time
}

func (n *need) nodes(cluster string) { n.clusters[cluster] = true }
func (n *need) at(t time.Time)       { n.wake = earlier(n.wake, t) }

// earlier is the earlier of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// follow watches the nodes of these clusters, and of no other.
func (l *Loop) follow(ctx context.Context, clusters map[string]bool) {
	for name, end := range l.followed {
		if !clusters[name] {
			end()
			delete(l.followed, name)
		}
	}
	for name := range clusters {
		if l.followed[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		l.followed[name] = cancel
		changes := l.Nodes.Follow(ctx, name)
		l.following.Go(func() {
			for range changes { // closed when ctx ends
				select {
				case l.changed <- struct{}{}:
				default: // there is one to be seen
				}
			}
		})
	}
}

// region is what the loop reads, by key.
type region struct {
	clusters  map[string]eks.Cluster
	groups    map[string]store.Item[autoscaling.Group]
	members   map[string][]store.Item[autoscaling.Member] // by group
	instances map[string]ec2.Instance
}

func (l *Loop) read(ctx context.Context) (r region, nodegroups []store.Item[eks.Nodegroup], err error) {
	r = region{map[string]eks.Cluster{}, map[string]store.Item[autoscaling.Group]{}, map[string][]store.Item[autoscaling.Member]{}, map[string]ec2.Instance{}}
	// The node groups before their groups, these before their members, these before
	// their instances: what is missing later is gone, and not yet to come.
	if nodegroups, _, err = l.EKS.Nodegroups.List(ctx, ""); err != nil || len(nodegroups) == 0 {
		return r, nil, err
	}
	clusters, _, err1 := l.EKS.Clusters.List(ctx, "")
	groups, _, err2 := l.AutoScaling.Groups.List(ctx, "")
	members, _, err3 := l.AutoScaling.Members.List(ctx, "")
	instances, _, err4 := l.EC2.Instances.List(ctx, "")
	for _, c := range clusters {
		r.clusters[c.Key] = c.Value
	}
	for _, g := range groups {
		r.groups[g.Key] = g
	}
	for _, m := range members {
		r.members[m.Value.Group] = append(r.members[m.Value.Group], m)
	}
	for _, i := range instances {
		r.instances[i.Key] = i.Value
	}
	return r, nodegroups, errors.Join(err1, err2, err3, err4)
}

// staying says that an instance of the cluster runs that no deletion of a node
// group ends.
func (r region) staying(cluster string, nodegroups []store.Item[eks.Nodegroup]) bool {
	for _, i := range r.instances {
		if !i.Alive() || i.Bootstrap.Cluster != cluster {
			continue
		}
		ends := slices.ContainsFunc(nodegroups, func(n store.Item[eks.Nodegroup]) bool {
			return n.Value.Status == eks.Deleting && n.Value.GroupName == i.Tags[groupTag]
		})
		if !ends {
			return true
		}
	}
	return false
}

// reconcile reads afresh, because its own doings are changes too. What one group
// cannot have does not keep the others from theirs.
func (l *Loop) reconcile(ctx context.Context) (need, error) {
	w := need{clusters: map[string]bool{}}
	r, nodegroups, err := l.read(ctx)
	if err != nil {
		return w, err
	}
	failures := map[string]int{}
	var errs []error
	for _, item := range nodegroups {
		n := item.Value
		s := &seen{item: item, Nodegroup: n, cluster: r.clusters[n.Cluster], members: r.members[n.GroupName], instances: r.instances, need: &w}
		s.elsewhere = r.staying(n.Cluster, nodegroups)
		if group, ok := r.groups[n.GroupName]; ok {
			s.group = &group
		}
		if err := l.reconcileGroup(ctx, s); err != nil && ctx.Err() == nil {
			failures[n.ID] = l.failures[n.ID] + 1
			errs = append(errs, fmt.Errorf("node group %s: %w", n.Name, err))
		}
	}
	l.failures = failures
	return w, errors.Join(errs...)
}

// seen is a node group as it was read.
type seen struct {
	eks.Nodegroup
	item      store.Item[eks.Nodegroup]
	cluster   eks.Cluster
	group     *store.Item[autoscaling.Group] // nil: there is none
	members   []store.Item[autoscaling.Member]
	instances map[string]ec2.Instance
	elsewhere bool // the cluster has nodes that are not about to go with a node group
	*need
}
