package autoscaler

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
)

// spreading is what a pod wants to be spread among.
type spreading int

const (
	nothing spreading = iota // it does not want to be spread
	itself                   // pods such as itself
	other                    // other pods, too
)

func spreads(pod *corev1.Pod) spreading {
	among := nothing
	for _, c := range hard(pod) {
		selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			return other
		}
		among = itself
	}
	return among
}

// hard are the constraints that keep a pod off a node.
func hard(pod *corev1.Pod) []corev1.TopologySpreadConstraint {
	var list []corev1.TopologySpreadConstraint
	for _, c := range pod.Spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			list = append(list, c)
		}
	}
	return list
}

// touch makes a pod come to a node and go. The plug-in then knows how many pods
// there are in the node's zone, or whatever the constraint is about.
func (v *verdict) touch(pod *corev1.Pod, info *framework.NodeInfo) {
	v.placed(pod, info)
	v.gone(pod, info)
}

// respread shows the plug-in where the fewest pods are, after one was placed.
// It counts all that come, but follows only two places to know the fewest, which
// is enough for the scheduler: that adds few pods to what it has computed.
func (s *seeker) respread() {
	pod := s.of.pods[0]
	switch spreads(pod) {
	case nothing:
		return
	case other:
		s.v = s.c.judge(pod)
		return
	}
	counts := spreadCounts(s.v.state)
	constraints := hard(pod)
	if len(counts) != len(constraints) {
		s.v = s.c.judge(pod)
		return
	}
	for i, c := range constraints {
		if !s.touchLeast(pod, c.TopologyKey, counts[i]) {
			s.v = s.c.judge(pod)
			return
		}
	}
}

// touchLeast touches a place with the fewest pods. It returns false if no node
// there counts.
func (s *seeker) touchLeast(pod *corev1.Pod, key string, counts map[string]int) bool {
	least, fewest, found := "", 0, false
	for value, n := range counts {
		if !found || n < fewest || n == fewest && value < least {
			least, fewest, found = value, n, true
		}
	}
	if !found {
		return true
	}
	for _, info := range s.places(key)[least] {
		s.v.placed(pod, info)
		counted := counts[least] == fewest+1
		s.v.gone(pod, info)
		if counted {
			return true
		}
	}
	return false
}

// places are the nodes by a label's value.
func (s *seeker) places(key string) map[string][]*framework.NodeInfo {
	if s.nodes != len(s.c.nodes) {
		s.nodes, s.byLabel = len(s.c.nodes), map[string]map[string][]*framework.NodeInfo{}
	}
	if s.byLabel[key] == nil {
		by := map[string][]*framework.NodeInfo{}
		for _, info := range s.c.infos() {
			value := info.Node().Labels[key]
			by[value] = append(by[value], info)
		}
		s.byLabel[key] = by
	}
	return s.byLabel[key]
}

// spreadCounts are the plug-in's counts of pods by place, one for each
// constraint. They are read past its API, which does not show them; where that
// fails, everything is computed again instead.
func spreadCounts(state fwk.CycleState) []map[string]int {
	data, err := state.Read("PreFilter" + podtopologyspread.Name)
	if err != nil {
		return nil
	}
	v := reflect.Indirect(reflect.ValueOf(data))
	if v.Kind() != reflect.Struct {
		return nil
	}
	field := v.FieldByName("TpValueToMatchNum")
	if !field.IsValid() {
		return nil
	}
	counts, _ := field.Interface().([]map[string]int)
	return counts
}
