package autoscaler

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// refresh describes the groups, if what is known of them is too old.
func (l *Loop) refresh(ctx context.Context, now time.Time, force bool) error {
	age := ageIdle
	if l.busy {
		age = ageBusy
	}
	old := now.Sub(l.seen)
	l.mu.Lock()
	fresh := !force && !l.seen.IsZero() && (old < ageLeast || !l.stale && old < age)
	if !fresh {
		l.stale = false
	}
	l.mu.Unlock()
	if fresh {
		return nil
	}
	start := time.Now()
	groups, err := l.cfg.Cloud.Groups(ctx)
	l.cfg.Metrics.took("cloudProviderRefresh", start)
	if err != nil {
		l.expire()
		if ctx.Err() == nil {
			klog.Errorf("Failed to regenerate ASG cache: %v", err)
		}
		return err
	}
	known := map[string]bool{}
	for _, g := range l.groups {
		known[g.Name] = true
	}
	for _, g := range groups {
		if !known[g.Name] {
			klog.V(1).Infof("Registering ASG %s", g.Name)
		}
		klog.V(4).Infof("Updated ASG cache for %s. min/max/current is %d/%d/%d", g.Name, g.Min, g.Max, g.Desired)
	}
	l.groups, l.seen = groups, start
	klog.V(2).Infof("Refreshed ASG list, next refresh after %v", start.Add(age))
	return nil
}

// decide plans on what is known.
func (l *Loop) decide(now time.Time) (Snapshot, Decision, error) {
	start := time.Now()
	s, err := l.watch.snapshot(l.cfg.Namespace)
	if err != nil {
		return s, Decision{}, err
	}
	l.forget(s.Nodes, now)
	s.Groups, s.Described, s.Memory = l.groups, l.seen, l.memory
	d, err := Plan(s, l.cfg.Options, now)
	l.cfg.Metrics.took("scaleUp:estimate", start)
	return s, d, err
}

// forget drops nodes that are gone from those that are being deleted, as soon as
// the groups were described without them.
func (l *Loop) forget(nodes []*corev1.Node, now time.Time) {
	there := map[string]bool{}
	for _, n := range nodes {
		there[n.Name] = true
	}
	for name, d := range l.memory.Deleting {
		if !d.counted(l.seen) && (!there[name] || now.Sub(d.Since) > forgetAfter) {
			delete(l.memory.Deleting, name)
		}
	}
}

func sortByName[T metav1.Object](list []T) {
	slices.SortFunc(list, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
}
