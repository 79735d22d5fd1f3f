package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// outcome is how a removal went.
type outcome struct {
	node string
	err  error
}

// remove begins to remove a node. The outcome comes by l.ended.
func (l *Loop) remove(ctx context.Context, r Removal, now time.Time) {
	name := r.Node.Name
	if r.Drain {
		klog.V(0).Infof("Scale-down: removing node %s, utilization: %v, pods to reschedule: %s", name, r.Utilization, podNames(r.Pods))
		l.event(corev1.EventTypeNormal, "ScaleDown", "Scale-down: removing node %s, utilization: %v, pods to reschedule: %s", name, r.Utilization, podNames(r.Pods))
	} else {
		klog.V(0).Infof("Scale-down: removing empty node %q", name)
		l.event(corev1.EventTypeNormal, "ScaleDownEmpty", "Scale-down: removing empty node %q", name)
	}
	l.cfg.Metrics.active("scaleDown", now)
	l.memory.Deleting[name] = Deletion{Group: r.Group, Drain: r.Drain, Since: now}
	last := l.memory.Last[r.Group]
	last.Delete = now
	l.memory.Last[r.Group] = last
	delete(l.memory.Unneeded, name)
	l.removals.Go(func() {
		err := l.tryRemove(ctx, r)
		if err != nil {
			l.giveUp(ctx, r, err)
		} else {
			l.removed(r)
		}
		l.ended <- outcome{name, err}
	})
}

func podNames(pods []*corev1.Pod) string {
	names := make([]string, len(pods))
	for i, p := range pods {
		names[i] = p.Name
	}
	return strings.Join(names, ",")
}

// settle remembers how a removal went.
func (l *Loop) settle(o outcome) {
	l.expire()
	d := l.memory.Deleting[o.node]
	if o.err != nil {
		delete(l.memory.Deleting, o.node)
		last := l.memory.Last[d.Group]
		last.Failure = time.Now()
		l.memory.Last[d.Group] = last
		return
	}
	d.Gone, d.Since = true, time.Now()
	l.memory.Deleting[o.node] = d
}

// tryRemove keeps new pods off the node, moves those that are there, and ends
// the instance.
func (l *Loop) tryRemove(ctx context.Context, r Removal) error {
	o, name := &l.cfg.Options, r.Node.Name
	if err := l.mark(ctx, name, toBeDeletedTaint, corev1.TaintEffectNoSchedule, o.Cordon); err != nil {
		return fmt.Errorf("failed to mark the node as toBeDeleted/unschedulable: %w", err)
	}
	l.cfg.Recorder.Eventf(r.Node, corev1.EventTypeNormal, "ScaleDown", "marked the node as toBeDeleted/unschedulable")
	if o.DeleteDelayAfterTaint > 0 { // the scheduler may be about to bind a pod
		klog.V(0).Infof("Scale-down: waiting %v before trying to delete nodes", o.DeleteDelayAfterTaint)
		if err := pause(ctx, o.DeleteDelayAfterTaint); err != nil {
			return err
		}
	}
	s, err := l.watch.snapshot(l.cfg.Namespace)
	if err != nil {
		return err
	}
	var there []*corev1.Pod
	for _, pod := range s.Pods {
		if pod.Spec.NodeName == name && !over(pod) && !expendable(pod, o.ExpendableCutoff) {
			there = append(there, pod)
		}
	}
	// A budget that is spent at the moment is waited for when pods are evicted.
	pods, daemons, no := drainable(there, newBudgets(s.Budgets).refilled(), s.Replicas, o, time.Now())
	switch {
	case no != nil:
		return errors.New(no.text)
	case !r.Drain && len(pods) > 0:
		return fmt.Errorf("failed to delete empty node %q, new pods scheduled", name)
	}
	if err := l.evictAll(ctx, name, pods, daemonsToEvict(daemons, r.Drain, o)); err != nil {
		return err
	}
	if err := l.awaitRelease(ctx, name); err != nil {
		return err
	}
	if err := l.cfg.Cloud.Terminate(ctx, r.Instance); err != nil {
		return fmt.Errorf("failed to delete %s: %w", name, err)
	}
	return nil
}

// giveUp frees the node again, also when the autoscaler itself is to end.
func (l *Loop) giveUp(ctx context.Context, r Removal, err error) {
	if r.Drain {
		klog.Errorf("Scale-down: couldn't delete node %q with drain, status error: %v", r.Node.Name, err)
		l.cfg.Recorder.Eventf(r.Node, corev1.EventTypeWarning, "ScaleDownFailed", "failed to drain and delete node: %v", err)
	} else {
		klog.Errorf("Scale-down: couldn't delete empty node, status error: %v", err)
		l.cfg.Recorder.Eventf(r.Node, corev1.EventTypeWarning, "ScaleDownFailed", "failed to delete empty node: %v", err)
	}
	l.cfg.Metrics.failedDowns.WithLabelValues("cloudProviderError").Inc()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := l.release(ctx, r.Node.Name, toBeDeletedTaint, l.cfg.Options.Cordon); err != nil {
		klog.Warningf("Error while releasing %v taints on node %v: %v", toBeDeletedTaint, r.Node.Name, err)
	}
}

// removed tells of a node that is gone.
func (l *Loop) removed(r Removal) {
	l.cfg.Recorder.Eventf(r.Node, corev1.EventTypeNormal, "ScaleDown", "nodes removed by cluster autoscaler")
	reason := "empty"
	switch {
	case !r.Ready:
		reason = "unready"
	case r.Drain:
		reason = "underutilized"
	}
	l.cfg.Metrics.downs.WithLabelValues(reason).Inc()
	if r.Drain {
		l.event(corev1.EventTypeNormal, "ScaleDown", "Scale-down: node %s removed with drain", r.Node.Name)
	} else {
		l.event(corev1.EventTypeNormal, "ScaleDownEmpty", "Scale-down: empty node %s removed", r.Node.Name)
	}
}

// awaitRelease waits until nobody asks for the node's end to be delayed any more.
func (l *Loop) awaitRelease(ctx context.Context, name string) error {
	end := time.Now().Add(l.cfg.Options.NodeDeletionDelayTimeout)
	for {
		node, err := l.watch.nodes.Get(name)
		if err != nil || !delayed(node) {
			return nil
		}
		klog.V(1).Infof("Wait for removing %s annotations on node %v", delayDeletion, name)
		if !time.Now().Before(end) {
			klog.Warningf("Delay node deletion timed out for node %v, delay deletion annotation wasn't removed within %v, this might slow down scale down.", name, l.cfg.Options.NodeDeletionDelayTimeout)
			return nil
		}
		if err := pause(ctx, min(5*time.Second, time.Until(end))); err != nil {
			return err
		}
	}
}

func delayed(node *corev1.Node) bool {
	for key := range node.Annotations {
		if strings.HasPrefix(key, delayDeletion) {
			return true
		}
	}
	return false
}

// pause waits, or returns why it did not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// stays says whether the pod is still on its node.
func (l *Loop) stays(pod *corev1.Pod) bool {
	now, err := l.watch.pods.Pods(pod.Namespace).Get(pod.Name)
	return err == nil && now.UID == pod.UID && !over(now)
}
