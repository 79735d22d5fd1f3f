package autoscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

const (
	// An eviction that a budget forbids is tried again after retryFirst, then
	// less often, up to retryMost.
	retryFirst, retryMost = time.Second, 10 * time.Second
	// headroom is given to pods past the time that they have to end.
	headroom = 30 * time.Second
)

// daemonsToEvict are the DaemonSets' pods that are to end before their node does.
func daemonsToEvict(pods []*corev1.Pod, drain bool, o *Options) []*corev1.Pod {
	evict := o.EvictDaemonSetsEmpty
	if drain {
		evict = o.EvictDaemonSetsOccupied
	}
	return slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool {
		if said, ok := pod.Annotations[enableDSEviction]; ok {
			return said != "true"
		}
		return !evict
	})
}

// evictAll moves all pods off a node and waits until they have gone. DaemonSets'
// pods are asked to go, and not waited for.
func (l *Loop) evictAll(ctx context.Context, node string, pods, daemons []*corev1.Pod) error {
	for _, wave := range waves(pods, &l.cfg.Options) {
		if err := l.evictWave(ctx, node, wave); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	for _, pod := range daemons {
		wg.Go(func() {
			if err := l.evictOnce(ctx, pod, l.cfg.Options.MaxGracefulTermination); err != nil {
				klog.Warningf("Error while evicting DS pod %s/%s from %s: %v", pod.Namespace, pod.Name, node, err)
			}
		})
	}
	wg.Wait()
	if len(pods) > 0 {
		klog.V(1).Infof("All pods removed from %s", node)
	}
	return nil
}

// wave is a set of pods that are evicted at the same time.
type wave struct {
	pods  []*corev1.Pod
	grace time.Duration // that they have at most
}

// waves sorts pods by --drain-priority-config, the lowest priorities first.
func waves(pods []*corev1.Pod, o *Options) []wave {
	if len(o.DrainPriorities) == 0 {
		return []wave{{pods, o.MaxGracefulTermination}}
	}
	steps := slices.Clone(o.DrainPriorities)
	slices.SortFunc(steps, func(a, b DrainPriority) int { return cmp.Compare(a.Priority, b.Priority) })
	list := make([]wave, len(steps))
	for i, s := range steps {
		list[i].grace = s.Grace
	}
	for _, pod := range pods {
		at := 0 // those below all steps go with the first
		for i, s := range steps {
			if priority(pod) >= s.Priority {
				at = i
			}
		}
		list[at].pods = append(list[at].pods, pod)
	}
	return list
}

func (l *Loop) evictWave(ctx context.Context, node string, w wave) error {
	errs := make([]error, len(w.pods))
	var wg sync.WaitGroup
	for i, pod := range w.pods {
		wg.Go(func() { errs[i] = l.evict(ctx, pod, w.grace) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("Failed to drain node /%s, due to following errors: %w", node, err) //nolint:staticcheck // upstream's words
	}
	deadline := time.NewTimer(w.grace + headroom)
	defer deadline.Stop()
	for {
		changed := l.watch.ended.wait()
		left := slices.DeleteFunc(slices.Clone(w.pods), func(pod *corev1.Pod) bool { return !l.stays(pod) })
		if len(left) == 0 {
			return nil
		}
		klog.V(1).Infof("Not deleted yet %s/%s", left[0].Namespace, left[0].Name)
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline.C:
			return fmt.Errorf("Failed to drain node /%s: pods remaining after timeout", node) //nolint:staticcheck // upstream's words
		}
	}
}

// evict evicts a pod, as soon as its budgets allow it.
func (l *Loop) evict(ctx context.Context, pod *corev1.Pod, grace time.Duration) error {
	l.cfg.Recorder.Eventf(pod, corev1.EventTypeNormal, "ScaleDown", "deleting pod for node scale down")
	end := time.Now().Add(l.cfg.Options.MaxPodEvictionTime)
	var err error
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		if err = l.evictOnce(ctx, pod, grace); err == nil {
			l.cfg.Metrics.evictions.WithLabelValues("succeeded").Inc()
			return nil
		}
		if !time.Now().Before(end) {
			break
		}
		if stop := pause(ctx, min(wait, time.Until(end))); stop != nil {
			return stop
		}
	}
	klog.Errorf("Failed to evict pod %s, error: %v", pod.Name, err)
	l.cfg.Metrics.evictions.WithLabelValues("failed").Inc()
	l.cfg.Recorder.Eventf(pod, corev1.EventTypeWarning, "ScaleDownFailed", "failed to delete pod for ScaleDown")
	return fmt.Errorf("failed to evict pod %s/%s within allowed timeout (last error: %w)", pod.Namespace, pod.Name, err)
}

// evictOnce asks for a pod's eviction. A pod that has gone is no error.
func (l *Loop) evictOnce(ctx context.Context, pod *corev1.Pod, grace time.Duration) error {
	seconds := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		seconds = *pod.Spec.TerminationGracePeriodSeconds
	}
	if most := int64(grace / time.Second); most > 0 {
		seconds = min(seconds, most)
	}
	err := l.cfg.Client.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: &seconds, Preconditions: &metav1.Preconditions{UID: &pod.UID}},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
