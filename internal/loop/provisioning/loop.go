package provisioning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Loop provisions clusters.
type Loop struct {
	EKS     *eks.Service
	Host    Host
	Network Network
	Logger  *slog.Logger
	// Retry is the pause after a first failure; it doubles up to half a minute. 0
	// means two seconds.
	Retry time.Duration
	// Attempts is how often a cluster or an add-on is tried before it is FAILED or
	// DEGRADED; 0 means five, or eight for an add-on whose pods only do not run yet:
	// half a minute, both.
	Attempts int
	// Timeout bounds one start; 0 means five minutes.
	Timeout time.Duration
}

const (
	defaultRetry    = 2 * time.Second
	lastRetry       = 30 * time.Second
	lastLook        = 5 * time.Second // whether an add-on's pods run
	defaultAttempts = 5
	defaultLooks    = 8
	defaultTimeout  = 5 * time.Minute
)

// task is what the loop knows of one cluster. While it is busy, it belongs to
// the goroutine that acts.
type task struct {
	known  Known
	act    Act // under way; Nothing when idle
	cancel context.CancelFunc
	// failures counts what has failed again and again: acts, and add-ons by mark.
	failures map[string]int
	// paused is what is not to be tried again before next.
	paused string
	next   time.Time
}

// outcome says what has been done for a cluster.
type outcome struct {
	id   string
	goal string // what was to be done
	err  error  // nil if it is done
}

// state is what there is, as the loop has last seen it.
type state struct {
	clusters store.Snapshot[eks.Cluster]
	groups   store.Snapshot[eks.Nodegroup]
	addons   store.Snapshot[eks.Addon]
}

// Run acts on every change until ctx ends, on several clusters at once and on
// each of them in order.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var (
		clusters = store.NewView(l.EKS.Clusters)
		groups   = store.NewView(l.EKS.Nodegroups)
		addons   = store.NewView(l.EKS.Addons)
		views    = store.FollowAll(ctx, clusters, groups, addons)
		running  sync.WaitGroup
		tasks    = map[string]*task{}
		done     = make(chan outcome)
		timer    = time.NewTimer(time.Hour)
		read     bool
	)
	defer func() {
		timer.Stop()
		cancel()
		views.Close()
		running.Wait()
	}()
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
			read = true
		case o := <-done:
			l.finish(ctx, tasks[o.id], o)
		case <-timer.C:
		}
		if !read {
			continue
		}
		now := state{clusters.Snapshot(), groups.Snapshot(), addons.Snapshot()}
		forget(tasks, now.clusters)
		wait := time.Hour
		for _, item := range now.clusters.Items {
			t := tasks[item.Value.ID]
			if t == nil {
				t = &task{failures: map[string]int{}}
				tasks[item.Value.ID] = t
			}
			l.step(ctx, t, item.Value, now, &running, done)
			if pause := time.Until(t.next); t.act == Nothing && pause > 0 {
				wait = min(wait, pause)
			}
		}
		timer.Reset(wait)
	}
}

// forget drops the tasks of clusters that are gone.
func forget(tasks map[string]*task, clusters store.Snapshot[eks.Cluster]) {
	ids := map[string]bool{}
	for _, item := range clusters.Items {
		ids[item.Value.ID] = true
	}
	maps.DeleteFunc(tasks, func(id string, t *task) bool { return !ids[id] && t.act == Nothing })
}

// step begins what a cluster needs, unless it is busy or pauses.
func (l *Loop) step(ctx context.Context, t *task, c eks.Cluster, now state, running *sync.WaitGroup, done chan<- outcome) {
	if t.act != Nothing {
		if c.Status == eks.Deleting && t.act != Stop {
			t.cancel() // nobody needs it any more
		}
		return
	}
	if c.Status == eks.Failed {
		clear(t.failures) // if it is tried again, then anew
		t.paused = ""
	}
	groups := 0
	for _, g := range now.groups.Items {
		if g.Value.Cluster == c.Name {
			groups++
		}
	}
	if t.known.Stopped && c.Status != eks.Deleting {
		t.known = Known{} // it was made again as it was
	}
	addons := l.EKS.SelfManagedAddons(c)
	for _, a := range now.addons.Items {
		if a.Value.Cluster == c.Name {
			addons = append(addons, a.Value)
		}
	}
	t.known.keep(addons)
	act, due := Decide(c, groups, addons, t.known)
	goal := goalOf(act, c, due)
	if act == Nothing || goal == t.paused && time.Until(t.next) > 0 {
		return
	}
	acting, cancel := context.WithCancel(ctx)
	t.act, t.cancel = act, cancel
	running.Go(func() {
		defer cancel()
		o := outcome{id: c.ID, goal: goal, err: l.act(acting, t, act, goal, c, due)}
		select {
		case done <- o:
		case <-ctx.Done():
		}
	})
}

// goalOf names what is to be done: a failure of something else is no reason to
// wait.
func goalOf(act Act, c eks.Cluster, due []eks.Addon) string {
	goal := fmt.Sprint(act, " ", c.Generation)
	for _, a := range due {
		goal += " " + mark(a)
	}
	return goal
}

// finish takes a task back from its goroutine.
func (l *Loop) finish(ctx context.Context, t *task, o outcome) {
	t.act, t.paused = Nothing, ""
	if o.err == nil {
		delete(t.failures, o.goal)
		return
	}
	t.failures[o.goal]++
	t.paused = o.goal
	t.next = time.Now().Add(pause(cmp.Or(l.Retry, defaultRetry), t.failures[o.goal], o.err))
	if ctx.Err() == nil && !errors.Is(o.err, context.Canceled) {
		l.Logger.Error("bringing a cluster to its state", "error", o.err)
	}
}

// pause is that after so many failures in a row: twice as long each time. Pods get
// ready without telling the loop, which looks often therefore, until it gives them up.
func pause(first time.Duration, failures int, err error) time.Duration {
	longest := lastRetry
	if unhealthy(err) && failures < defaultLooks {
		longest = lastLook
	}
	return min(first<<min(failures-1, 8), longest)
}

// unhealthy says that an add-on was applied, and not all of its pods run.
func unhealthy(err error) bool {
	e, ok := errors.AsType[*eks.AddonError](err)
	return ok && e.Code == eksapi.AddonIssueCodeInsufficientNumberOfReplicas
}

// act does what was decided, and notes in the store how it went.
func (l *Loop) act(ctx context.Context, t *task, act Act, goal string, c eks.Cluster, due []eks.Addon) error {
	switch act {
	case Start:
		bounded, cancel := context.WithTimeout(ctx, cmp.Or(l.Timeout, defaultTimeout))
		defer cancel()
		err := l.start(bounded, c)
		if err == nil {
			t.known.Generation = c.Generation
			return nil
		}
		return l.trouble(ctx, t, goal, c, err)
	case Stop:
		// Snapshots of two collections are not of one moment. Nothing can be added
		// to a cluster that is being deleted, so that what is read now holds.
		groups, _, err := l.EKS.Nodegroups.List(ctx, c.Name+"/")
		if err != nil || len(groups) > 0 {
			return err // the last group's end is a change
		}
		err = l.stop(ctx, c)
		if err == nil {
			t.known.Stopped = true
			return nil
		}
		return l.trouble(ctx, t, goal, c, err)
	default:
		var errs []error
		for _, a := range due {
			if err := l.apply(ctx, t, c, a); err != nil {
				errs = append(errs, fmt.Errorf("cluster %s: add-on %s: %w", c.Name, a.Name, err))
			}
		}
		return errors.Join(errs...)
	}
}

// trouble notes why a cluster is not as it should be, and returns the reason.
func (l *Loop) trouble(ctx context.Context, t *task, goal string, c eks.Cluster, err error) error {
	if ctx.Err() != nil { // stopped, or not wanted any more
		return ctx.Err()
	}
	final := t.failures[goal]+1 >= cmp.Or(l.Attempts, defaultAttempts)
	err = fmt.Errorf("cluster %s: %w", c.Name, err)
	if noted := l.EKS.ClusterTrouble(ctx, c, issue(err), final); !errors.Is(noted, store.ErrNotFound) {
		err = errors.Join(err, noted)
	}
	return err
}

// apply applies one add-on, so that none suffers from another.
func (l *Loop) apply(ctx context.Context, t *task, c eks.Cluster, a eks.Addon) error {
	m := mark(a)
	failure := l.Host.ApplyAddons(ctx, c, []eks.Addon{a})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// What somebody has changed stays changed: trying again does not help.
	conflict := false
	if e, ok := errors.AsType[*eks.AddonError](failure); ok {
		conflict = e.Code == eksapi.AddonIssueCodeConfigurationConflict
	}
	attempts := defaultAttempts
	if unhealthy(failure) {
		attempts = defaultLooks
	}
	final := conflict || t.failures[m]+1 >= cmp.Or(l.Attempts, attempts)
	if err := l.EKS.AddonApplied(ctx, a, failure, final); err != nil {
		return errors.Join(failure, err)
	}
	if failure != nil && !conflict {
		t.failures[m]++
		return failure
	}
	if conflict {
		l.Logger.Warn("an add-on was not applied", "cluster", c.Name, "addon", a.Name, "error", failure)
	}
	delete(t.failures, m)
	t.known.Applied[m] = true
	return nil
}
