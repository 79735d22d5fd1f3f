package autoscaler

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// A pod that is still there so long after its end was due does not hold its node.
const longTerminatingAfter = 30 * time.Second

// budgets are the PodDisruptionBudgets with what a plan leaves of them.
type budgets []*budget

type budget struct {
	namespace string
	selector  labels.Selector
	allowed   int32
}

func newBudgets(list []*policyv1.PodDisruptionBudget) budgets {
	var all budgets
	for _, b := range list {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil { // the apiserver lets none through
			continue
		}
		all = append(all, &budget{b.Namespace, selector, b.Status.DisruptionsAllowed})
	}
	return all
}

// of are the budgets that cover a pod.
func (all budgets) of(pod *corev1.Pod) budgets {
	return slices.DeleteFunc(slices.Clone(all), func(b *budget) bool {
		return b.namespace != pod.Namespace || !b.selector.Matches(labels.Set(pod.Labels))
	})
}

// refilled are budgets that allow everything.
func (all budgets) refilled() budgets {
	for _, b := range all {
		b.allowed = math.MaxInt32
	}
	return all
}

// clone is a copy that is spent by itself.
func (all budgets) clone() budgets {
	list := make(budgets, 0, len(all))
	for _, b := range all {
		list = append(list, new(*b))
	}
	return list
}

// spend takes pods out of their budgets.
func (all budgets) spend(pods []*corev1.Pod) {
	for _, pod := range pods {
		for _, b := range all.of(pod) {
			b.allowed--
		}
	}
}

// blocking is why a pod keeps its node from being removed.
type blocking struct {
	pod  *corev1.Pod
	code string
	text string
}

// drainable sorts a node's pods into those that are to move and those of
// DaemonSets, or says which pod keeps the node.
func drainable(pods []*corev1.Pod, all budgets, replicas map[types.UID]int32, o *Options, now time.Time) (move, daemons []*corev1.Pod, no *blocking) {
	for _, pod := range pods {
		owner := metav1.GetControllerOf(pod)
		block := func(code, format string, args ...any) (a, b []*corev1.Pod, no *blocking) {
			return nil, nil, &blocking{pod, code, fmt.Sprintf(format, args...)}
		}
		switch safe := pod.Annotations[safeToEvict] == "true"; {
		case isMirror(pod), longTerminating(pod, now), pod.Status.Phase == corev1.PodSucceeded:
			continue
		case isDaemon(pod):
			daemons = append(daemons, pod)
			continue
		case safe, pod.Status.Phase == corev1.PodFailed:
		case owner == nil || o.SkipCustomControllers && !replicates(owner.Kind):
			return block("NotReplicated", "%s/%s is not replicated", pod.Namespace, pod.Name)
		default:
			if n, known := replicas[owner.UID]; replicates(owner.Kind) {
				switch {
				case !known:
					return block("ControllerNotFound", "owner %s for %s/%s is not available", owner.Kind, pod.Namespace, pod.Name)
				case owner.Kind != "Job" && int(n) < o.MinReplicas:
					return block("MinReplicasReached", "replication controller for %s/%s has too few replicas spec: %d min: %d", pod.Namespace, pod.Name, n, o.MinReplicas)
				}
			}
			switch {
			case pod.Namespace == metav1.NamespaceSystem && o.SkipSystemPods && len(all.of(pod)) == 0 && !now.After(pod.CreationTimestamp.Add(o.SystemPodTimeout)):
				return block("UnmovableKubeSystemPod", "non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: %s", pod.Name)
			case pod.Annotations[safeToEvict] == "false":
				return block("NotSafeToEvictAnnotation", "pod annotated as not safe to evict present: %s", pod.Name)
			case o.SkipLocalStorage && localStorage(pod):
				return block("LocalStorageRequested", "pod with local storage present: %s", pod.Name)
			}
		}
		for _, b := range all.of(pod) {
			if b.allowed < 1 {
				return block("NotEnoughPdb", "not enough pod disruption budget to move %s/%s", pod.Namespace, pod.Name)
			}
		}
		move = append(move, pod)
	}
	return move, daemons, nil
}

// replicates says whether a controller of this kind starts a pod again elsewhere.
func replicates(kind string) bool {
	switch kind {
	case "ReplicationController", "ReplicaSet", "StatefulSet", "Job":
		return true
	}
	return false
}

// localStorage says whether a pod has data on its node that nobody has called
// unimportant.
func localStorage(pod *corev1.Pod) bool {
	safe := strings.Split(pod.Annotations[safeToEvictVolumes], ",")
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		local := v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
		return local && !slices.Contains(safe, v.Name)
	})
}

func longTerminating(pod *corev1.Pod, now time.Time) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = *pod.Spec.TerminationGracePeriodSeconds
	}
	return pod.DeletionTimestamp.Add(time.Duration(grace) * time.Second).Add(longTerminatingAfter).Before(now)
}
