package autoscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// act does what was decided. It returns false if something failed.
func (l *Loop) act(ctx context.Context, s *Snapshot, d *Decision, now time.Time) bool {
	ok := true
	if d.Unhealthy {
		l.event(corev1.EventTypeWarning, "ClusterUnhealthy", "Cluster is unhealthy")
	}
	for _, t := range d.TimedOut {
		l.event(corev1.EventTypeWarning, "ScaleUpTimedOut", "Nodes added to group %s failed to register within %v", t.Group, t.After)
		l.cfg.Metrics.failedUps.WithLabelValues("timeout").Inc()
	}
	if d.TotalReached && l.cfg.Options.MaxNodesTotal > 0 {
		l.event(corev1.EventTypeWarning, "MaxNodesTotalReached", "Max total nodes in cluster reached: %v", l.cfg.Options.MaxNodesTotal)
	}
	if len(d.ScaleUps) > 0 {
		l.cfg.Metrics.active("scaleUp", now)
		ok = l.scaleUp(ctx, d, now)
		l.cfg.Metrics.took("scaleUp", now)
	}
	l.tell(d.Stuck, now)
	for _, r := range d.Shrink {
		klog.V(0).Infof("Decreasing size of %s, expected=%d current=%d delta=%d", r.Group, r.From, r.To, r.To-r.From)
		if err := l.cfg.Cloud.Resize(ctx, r.Group, r.To); err != nil {
			klog.Errorf("Failed to fix node group sizes: failed to decrease %s: %v", r.Group, err)
			ok = false
		}
		l.expire()
		l.wake()
	}
	for _, t := range d.Terminate {
		ok = l.terminate(ctx, t) && ok
	}
	for _, r := range d.Remove {
		l.remove(ctx, r, now)
	}
	l.soften(ctx, s, d)
	return ok
}

// scaleUp makes groups larger, and tells the pods that asked for it.
func (l *Loop) scaleUp(ctx context.Context, d *Decision, now time.Time) bool {
	asked := map[*corev1.Pod][]ScaleUp{}
	ok := true
	for _, up := range d.ScaleUps {
		klog.V(0).Infof("Scale-up: setting group %s size to %d", up.Group, up.To)
		l.event(corev1.EventTypeNormal, "ScaledUpGroup", "Scale-up: setting group %s size to %d instead of %d (max: %d)", up.Group, up.To, up.From, up.Max)
		if err := l.cfg.Cloud.Resize(ctx, up.Group, up.To); err != nil {
			ok = false
			klog.Errorf("Failed to scale up: failed to increase node group size: %v", err)
			l.event(corev1.EventTypeWarning, "FailedToScaleUpGroup", "Scale-up failed for group %s: %v", up.Group, err)
			l.cfg.Metrics.failedUps.WithLabelValues("cloudProviderError").Inc()
			l.refused(up.Group, err, now)
			continue
		}
		l.cfg.Metrics.ups.Add(float64(up.To - up.From))
		l.event(corev1.EventTypeNormal, "ScaledUpGroup", "Scale-up: group %s size set to %d instead of %d (max: %d)", up.Group, up.To, up.From, up.Max)
		for i := range l.groups { // as if it were described again
			if l.groups[i].Name == up.Group {
				l.groups[i].Desired = up.To
			}
		}
		for _, pod := range up.Pods {
			asked[pod] = append(asked[pod], up)
		}
	}
	for _, up := range d.ScaleUps {
		for _, pod := range up.Pods {
			if list := asked[pod]; len(list) > 0 {
				l.cfg.Recorder.Eventf(pod, corev1.EventTypeNormal, "TriggeredScaleUp", "pod triggered scale-up: %v", list)
				delete(asked, pod)
			}
		}
	}
	return ok
}

// refused keeps a group from being scaled up for a while after AWS refused it.
// A lack of permission is no fault of the group: once it is granted, all is well.
func (l *Loop) refused(group string, err error, now time.Time) {
	delete(l.memory.Requests, group)
	b := l.memory.Backoffs[group].next(&l.cfg.Options, now, "cloudProviderError", err.Error())
	if denied(err) {
		b = Backoff{Until: now.Add(l.cfg.ScanInterval), Last: now, Code: "cloudProviderError", Message: err.Error()}
	}
	l.memory.Backoffs[group] = b
	klog.Warningf("Disabling scale-up for node group %v until %v; errorClass=Other; errorCode=cloudProviderError", group, b.Until)
}

func denied(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && (e.ErrorCode() == "AccessDenied" || e.ErrorCode() == "AccessDeniedException" || e.ErrorCode() == "UnauthorizedOperation")
}

// tell gives pods that no scale-up helps the reasons, once per scan unless they
// change.
func (l *Loop) tell(stuck []Stuck, now time.Time) {
	next := map[string]told{}
	for _, s := range stuck {
		text := s.message()
		before, ok := l.told[string(s.Pod.UID)]
		if !ok || before.text != text || now.Sub(before.at) >= l.cfg.ScanInterval-quiet {
			before = told{text, now}
			l.cfg.Recorder.Event(s.Pod, corev1.EventTypeNormal, "NotTriggerScaleUp", text)
		}
		next[string(s.Pod.UID)] = before
	}
	l.told = next
}

// message is the event's: how many groups refuse the pod for which reason.
func (s Stuck) message() string {
	reasons := slices.SortedFunc(maps.Keys(s.Reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Reasons[b], s.Reasons[a]), cmp.Compare(a, b))
	})
	for i, r := range reasons {
		reasons[i] = fmt.Sprintf("%d %s", s.Reasons[r], r)
	}
	return "pod didn't trigger scale-up: " + strings.Join(reasons, ", ")
}

// terminate ends an instance that never became a node.
func (l *Loop) terminate(ctx context.Context, t Termination) bool {
	klog.V(0).Infof("Removing 1 unregistered nodes for node group %v", t.Group)
	l.expire()
	if err := l.cfg.Cloud.Terminate(ctx, t.Instance); err != nil {
		klog.Warningf("Failed to remove 1 unregistered nodes from node group %s: %v", t.Group, err)
		l.event(corev1.EventTypeWarning, "DeleteUnregisteredFailed", "Failed to remove node %s: %v", t.Instance, err)
		return false
	}
	l.event(corev1.EventTypeNormal, "DeleteUnregistered", "Removed unregistered node %v", t.Instance)
	l.cfg.Metrics.unregistered.Inc()
	return true
}
