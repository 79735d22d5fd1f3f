package autoscaler

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
)

// change reads a node, changes it and writes it, as often as somebody else
// comes between. f returns false if there is nothing to change.
func (l *Loop) change(ctx context.Context, name string, f func(*corev1.Node) bool) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := l.cfg.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil || !f(node) {
			return err
		}
		_, err = l.cfg.Client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("changing node %s: %w", name, err)
	}
	return nil
}

// mark taints a node, with the time as the taint's value, and cordons it if asked to.
func (l *Loop) mark(ctx context.Context, name, key string, effect corev1.TaintEffect, cordon bool) error {
	err := l.change(ctx, name, func(node *corev1.Node) bool {
		if hasTaint(node, key) {
			klog.V(2).Infof("%v already present on node %v", key, name)
			return false
		}
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: key, Value: strconv.FormatInt(time.Now().Unix(), 10), Effect: effect})
		if cordon {
			klog.V(1).Infof("Marking node %v to be cordoned by Cluster Autoscaler", name)
			node.Spec.Unschedulable = true
		}
		return true
	})
	if err == nil {
		klog.V(1).Infof("Successfully added %v on node %v", key, name)
	}
	return err
}

// release takes a taint from a node, and uncordons it if asked to.
func (l *Loop) release(ctx context.Context, name, key string, uncordon bool) error {
	err := l.change(ctx, name, func(node *corev1.Node) bool {
		if !hasTaint(node, key) {
			return false
		}
		node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
		if uncordon {
			klog.V(1).Infof("Marking node %v to be uncordoned by Cluster Autoscaler", name)
			node.Spec.Unschedulable = false
		}
		return true
	})
	if err == nil {
		klog.V(1).Infof("Successfully released %v on node %v", key, name)
	}
	return err
}

// soften taints nodes that are not needed, so that pods rather go elsewhere,
// and takes the taint from those that are.
func (l *Loop) soften(ctx context.Context, s *Snapshot, d *Decision) {
	for _, name := range d.Mark {
		if err := l.mark(ctx, name, candidateTaint, corev1.TaintEffectPreferNoSchedule, false); err != nil {
			klog.Warningf("Soft taint on %s adding error %v", name, err)
		}
	}
	for _, name := range d.Unmark {
		if err := l.release(ctx, name, candidateTaint, false); err != nil {
			klog.Warningf("Soft taint on %s removal error %v", name, err)
		}
	}
}

// clean frees nodes that an autoscaler before this one was about to remove.
func (l *Loop) clean(ctx context.Context) {
	if l.cleaned {
		return
	}
	l.cleaned = true
	instances := map[string]bool{}
	for _, g := range l.groups {
		for _, i := range g.Instances {
			instances[i.ID] = true
		}
	}
	s, err := l.watch.snapshot(l.cfg.Namespace)
	if err != nil {
		return
	}
	for _, node := range s.Nodes {
		if !instances[instanceID(node)] || !hasTaint(node, toBeDeletedTaint) {
			continue
		}
		if err := l.release(ctx, node.Name, toBeDeletedTaint, l.cfg.Options.Cordon); err != nil {
			l.cfg.Recorder.Eventf(node, corev1.EventTypeWarning, "ClusterAutoscalerCleanup", "failed to clean %v on node %v: %v", toBeDeletedTaint, node.Name, err)
			continue
		}
		l.cfg.Recorder.Eventf(node, corev1.EventTypeNormal, "ClusterAutoscalerCleanup", "removed %v taints from node %v", toBeDeletedTaint, node.Name)
	}
}
