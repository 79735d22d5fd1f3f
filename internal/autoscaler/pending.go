package autoscaler

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// pending are the pods that the scheduler has found no node for.
type pending struct {
	unschedulable []*corev1.Pod // that may ask for nodes
	nominated     []*corev1.Pod // that get the places of pods which are being evicted
}

func over(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// expendable says that a pod matters so little that no node is kept or added for it.
func expendable(pod *corev1.Pod, cutoff int) bool {
	return pod.Spec.Priority != nil && int(*pod.Spec.Priority) < cutoff
}

// unscheduled says whether a pod waits for a node, and the scheduler has said
// that there is none.
func unscheduled(pod *corev1.Pod, bypassed []string) bool {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || over(pod) {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return slices.Contains(bypassed, pod.Spec.SchedulerName)
}

func findPending(s *Snapshot, o *Options) pending {
	var p pending
	for _, pod := range s.Pods {
		switch {
		case !unscheduled(pod, o.BypassedSchedulers), isDaemon(pod), expendable(pod, o.ExpendableCutoff):
		case pod.Status.NominatedNodeName != "":
			p.nominated = append(p.nominated, pod)
		default:
			p.unschedulable = append(p.unschedulable, pod)
		}
	}
	return p
}

// old leaves out pods that are too young to count, and says when the next of
// them is old enough.
func old(pods []*corev1.Pod, o *Options, now time.Time, d *Decision) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool {
		delay := o.NewPodScaleUpDelay
		if text, ok := pod.Annotations[podScaleUpDelay]; ok {
			more, err := time.ParseDuration(text)
			switch {
			case err != nil:
				d.warn("Failed to parse pod %q annotation %s: %v", pod.Name, podScaleUpDelay, err)
			case more < delay:
				d.warn("Failed to set pod scale up delay for %q through annotation %s: %d is less then %d", pod.Name, podScaleUpDelay, more, delay)
			default:
				delay = more
			}
		}
		at := pod.CreationTimestamp.Add(delay)
		if delay == 0 || now.After(at) {
			return false
		}
		d.say(3, "Pod %s is %.3f seconds old, too new to consider unschedulable", pod.Name, now.Sub(pod.CreationTimestamp.Time).Seconds())
		d.due(at.Add(time.Millisecond))
		return true
	})
}

// picture is the cluster as it is going to be: without nodes that are not
// ready yet, with one for each that its group is to get.
func (s *Snapshot) picture(c *cluster, who *census, p pending, o *Options) {
	on := map[string][]*corev1.Pod{}
	for _, pod := range s.Pods {
		if pod.Spec.NodeName != "" && !over(pod) && !expendable(pod, o.ExpendableCutoff) {
			on[pod.Spec.NodeName] = append(on[pod.Spec.NodeName], pod)
		}
	}
	// A starting node of a group is among the group's upcoming ones.
	nodes := slices.DeleteFunc(slices.Clone(s.Nodes), func(node *corev1.Node) bool {
		return who.starting[node.Name] && who.ofNode[node.Name] != nil
	})
	c.begin(nodes, on)
	for name := range who.leaving {
		if info := c.byName[name]; info != nil && !hasTaint(info.Node(), toBeDeletedTaint) {
			c.taint(info, toBeDeletedTaint)
		}
	}
	for _, pod := range p.nominated {
		if info := c.byName[pod.Status.NominatedNodeName]; info != nil {
			c.put(pod, info)
		}
	}
}

// upcome adds the nodes that groups are to get.
func upcome(c *cluster, who *census, templates map[string]*template) {
	for _, g := range who.groups {
		t := templates[g.Name]
		if t == nil {
			continue
		}
		for i := range g.state.Upcoming {
			t.fresh(c, g.Name+"-upcoming", i)
		}
	}
}

// infos are the nodes of the picture.
func (c *cluster) infos() []*framework.NodeInfo {
	list := make([]*framework.NodeInfo, 0, len(c.nodes))
	for _, n := range c.nodes {
		list = append(list, n.(*framework.NodeInfo))
	}
	return list
}

// fit places the pods on the nodes of the picture and returns those that find
// no place.
func (c *cluster) fit(pods []*corev1.Pod) []*corev1.Pod {
	// The scheduler takes those of higher priority first, then the older ones.
	pods = slices.Clone(pods)
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		if d := int(priority(b)) - int(priority(a)); d != 0 {
			return d
		}
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	nodes := c.infos()
	var left []*corev1.Pod
	for _, class := range classes(pods) {
		s := c.seek(class, nodes)
		for i, pod := range class.pods {
			info := s.place(pod)
			if info == nil {
				left = append(left, class.pods[i:]...)
				break
			}
			c.trace = append(c.trace, step{pod: pod, node: info.Node()})
		}
	}
	return left
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}
