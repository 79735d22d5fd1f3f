package autoscaler

import (
	"cmp"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// class is a set of pods between which the scheduler sees no difference.
type class struct {
	pods []*corev1.Pod
	// constrained says that where the class's own pods are decides where more of
	// them fit.
	constrained bool
}

// classes sorts pods into classes, in the order of their first pods.
func classes(pods []*corev1.Pod) []*class {
	byKey := map[string]*class{}
	var list []*class
	for _, pod := range pods {
		k := key(pod)
		c := byKey[k]
		if c == nil {
			c = &class{constrained: constrained(pod)}
			byKey[k] = c
			list = append(list, c)
		}
		c.pods = append(c.pods, pod)
	}
	return list
}

// key is everything of a pod that the scheduler looks at. Names of volumes,
// some of which are different for each pod, are not.
func key(pod *corev1.Pod) string {
	type container struct {
		Resources corev1.ResourceRequirements
		Ports     []corev1.ContainerPort
		Restart   *corev1.ContainerRestartPolicy
	}
	spec := &pod.Spec
	facts := struct {
		Namespace   string
		Labels      map[string]string
		Init, Main  []container
		Overhead    corev1.ResourceList
		Resources   *corev1.ResourceRequirements
		Node        string
		Selector    map[string]string
		Affinity    *corev1.Affinity
		Tolerations []corev1.Toleration
		Spread      []corev1.TopologySpreadConstraint
		Claims      []corev1.PodResourceClaim
		Volumes     []corev1.VolumeSource
		OS          *corev1.PodOS
		Priority    *int32
		HostNetwork bool
	}{
		Namespace: pod.Namespace, Labels: pod.Labels, Overhead: spec.Overhead, Resources: spec.Resources,
		Node: spec.NodeName, Selector: spec.NodeSelector, Affinity: spec.Affinity, Tolerations: spec.Tolerations,
		Spread: spec.TopologySpreadConstraints, Claims: spec.ResourceClaims, OS: spec.OS, Priority: spec.Priority,
		HostNetwork: spec.HostNetwork,
	}
	for _, c := range spec.InitContainers {
		facts.Init = append(facts.Init, container{c.Resources, c.Ports, c.RestartPolicy})
	}
	for _, c := range spec.Containers {
		facts.Main = append(facts.Main, container{c.Resources, c.Ports, c.RestartPolicy})
	}
	for _, v := range spec.Volumes {
		switch {
		case v.Ephemeral != nil: // its claim is called after the pod
			facts.Volumes = append(facts.Volumes, corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pod.Name + "-" + v.Name}})
		case v.Projected == nil && v.ConfigMap == nil && v.Secret == nil && v.DownwardAPI == nil && v.EmptyDir == nil && v.HostPath == nil:
			facts.Volumes = append(facts.Volumes, v.VolumeSource)
		}
	}
	text, err := json.Marshal(facts)
	if err != nil { // an amount that has no text
		return string(pod.UID)
	}
	return string(text)
}

func constrained(pod *corev1.Pod) bool {
	a := pod.Spec.Affinity
	if a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil) {
		return true
	}
	return slices.ContainsFunc(pod.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule
	})
}

// seeker looks for places for the pods of one class among some nodes.
type seeker struct {
	c     *cluster
	of    *class
	v     *verdict
	alive []*framework.NodeInfo // those that may still take one

	nodes   int // of the picture, when they were sorted by labels
	byLabel map[string]map[string][]*framework.NodeInfo
}

func (c *cluster) seek(of *class, among []*framework.NodeInfo) *seeker {
	return c.judge(of.pods[0]).seek(of, among)
}

// seek starts from a verdict on the class. A constrained class changes it.
func (v *verdict) seek(of *class, among []*framework.NodeInfo) *seeker {
	return &seeker{c: v.c, of: of, v: v, alive: slices.Clone(among)}
}

// place puts the pod on the first node that it fits and returns that, or nil.
func (s *seeker) place(pod *corev1.Pod) *framework.NodeInfo {
	keep := 0 // nodes that refuse now and may not later
	for i, info := range s.alive {
		why := s.v.on(info)
		if why.IsSuccess() {
			s.alive = slices.Delete(s.alive, keep, i)
			s.c.put(pod, info)
			if s.of.constrained {
				s.v.placed(pod, info)
				s.respread()
			}
			return info
		}
		if s.of.constrained && movable(why.Plugin()) {
			s.alive[keep] = info
			keep++
		}
	}
	s.alive = s.alive[:keep]
	return nil
}

// offer lets the seeker use a node that was just added to the picture.
func (s *seeker) offer(info *framework.NodeInfo) {
	s.alive = append(s.alive, info)
	if !s.of.constrained {
		return
	}
	pod := s.of.pods[0]
	if spreads(pod) == other {
		s.v = s.c.judge(pod)
		return
	}
	s.v.touch(pod, info) // it is a place to spread to, with no pod yet
	for _, p := range info.Pods {
		s.v.placed(p.GetPod(), info)
	}
}

// requests are the resources that a pod asks for.
func requests(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

// share is how much of a node a pod takes: the sum of its shares of CPU and memory.
func share(pod *corev1.Pod, node *corev1.Node) float64 {
	asked, sum := requests(pod), 0.0
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		sum += ratio(asked[name], node.Status.Allocatable[name])
	}
	return sum
}

func ratio(a, b resource.Quantity) float64 {
	if b.IsZero() {
		return 0
	}
	return float64(a.MilliValue()) / float64(b.MilliValue())
}

// largestFirst orders classes as they are best packed.
func largestFirst(list []*class, node *corev1.Node) {
	size := map[*class]float64{}
	for _, c := range list {
		size[c] = share(c.pods[0], node)
	}
	slices.SortStableFunc(list, func(a, b *class) int { return cmp.Compare(size[b], size[a]) })
}
