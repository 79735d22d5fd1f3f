package autoscaler

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// full puts so many pods on the group's nodes that nothing else fits.
func (w *world) full(group string, nodes int) {
	for i := range nodes {
		w.pods(3, fmt.Sprintf("%s-%d", group, i), "600m", "512Mi")
	}
}

func TestScaleUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		world func(*world, *Options)
		want  string // scale-ups
		stuck string // what the first stuck pod is told
	}{
		{
			name: "the lesson: three nodes, twenty replicas, at most five nodes",
			world: func(w *world, _ *Options) {
				w.group("eks-work", 3, 5, 3)
				for i := range 3 {
					w.pods(6, fmt.Sprintf("eks-work-%d", i), "100m", "512Mi")
				}
				w.pods(9, "", "100m", "512Mi")
			},
			want: "[{eks-work 3->5 (max: 5)}]",
		},
		{
			name: "there is room on a node",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 1)
				w.pod("", "500m", "512Mi")
			},
			want: "[]",
		},
		{
			name: "there is going to be room on a node that was asked for",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 1).Desired = 2
				w.full("g", 1)
				w.pods(3, "", "600m", "512Mi")
			},
			want: "[]",
		},
		{
			name: "the group is as large as it may be",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 1, 1)
				w.full("g", 1)
				w.pods(2, "", "600m", "512Mi")
			},
			want: "[]", stuck: "pod didn't trigger scale-up: 1 max node group size reached",
		},
		{
			name: "no node is large enough, and one group's nodes are tainted",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 3, 0)
				w.group("b", 0, 3, 0)
				w.group("c", 0, 3, 0).Template.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
				w.pod("", "3", "512Mi")
			},
			want: "[]", stuck: "pod didn't trigger scale-up: 2 Insufficient cpu, 1 node(s) had untolerated taint(s)",
		},
		{
			name: "from nothing, where DaemonSets take their share",
			world: func(w *world, _ *Options) {
				w.group("g", 0, 5, 0)
				w.daemonSet("aws-node", "400m", "64Mi")
				w.pods(4, "", "800m", "512Mi") // two would fit a node without
			},
			want: "[{g 0->4 (max: 5)}]",
		},
		{
			name: "more than a group may have, the rest from another",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 2, 0)
				w.group("b", 0, 2, 0)
				w.pods(3, "", "1500m", "512Mi")
			},
			want: "[{a 0->2 (max: 2)} {b 0->1 (max: 2)}]",
		},
		{
			name: "the whole cluster has a bound",
			world: func(w *world, o *Options) {
				o.MaxNodesTotal = 2
				w.group("g", 0, 9, 1)
				w.full("g", 1)
				w.pods(5, "", "1500m", "512Mi")
			},
			want: "[{g 1->2 (max: 9)}]",
		},
		{
			name: "cores have a bound",
			world: func(w *world, o *Options) {
				o.MaxCores = 5
				w.group("g", 0, 9, 1)
				w.full("g", 1)
				w.pods(5, "", "1500m", "512Mi")
			},
			want: "[{g 1->2 (max: 9)}]", stuck: "pod didn't trigger scale-up: 1 max cluster cpu limit reached",
		},
		{
			name: "similar groups share",
			world: func(w *world, o *Options) {
				o.BalanceSimilar = true
				w.group("a", 0, 9, 1)
				w.group("b", 0, 9, 0)
				w.full("a", 1)
				w.pods(5, "", "1500m", "512Mi")
			},
			want: "[{a 1->3 (max: 9)} {b 0->3 (max: 9)}]",
		},
		{
			name: "after a failure the group rests",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 9, 0)
				w.Memory.Backoffs = map[string]Backoff{"a": {Until: now.Add(time.Minute), Last: now}}
				w.pod("", "1500m", "512Mi")
			},
			want: "[]", stuck: "pod didn't trigger scale-up: 1 in backoff after failed scale-up",
		},
		{
			name: "expendable pods, DaemonSets' pods and young ones ask for nothing",
			world: func(w *world, o *Options) {
				o.NewPodScaleUpDelay = 2 * time.Minute
				w.group("a", 0, 9, 0)
				w.pod("", "1500m", "512Mi")
				w.pod("", "1500m", "512Mi", func(p *corev1.Pod) { p.CreationTimestamp.Time, p.Spec.Priority = now.Add(-time.Hour), new(int32(-11)) })
				w.pod("", "1500m", "512Mi", func(p *corev1.Pod) {
					p.CreationTimestamp.Time, p.OwnerReferences[0].Kind = now.Add(-time.Hour), "DaemonSet"
				})
			},
			want: "[]",
		},
		{
			name: "pods that keep apart get a node each",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 9, 1)
				w.pods(4, "", "100m", "128Mi", func(p *corev1.Pod) {
					p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
						TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
					}}}}
				})
			},
			want: "[{a 1->4 (max: 9)}]",
		},
		{
			name: "pods that are spread over nodes",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 9, 1)
				w.full("a", 1)
				w.pods(6, "", "100m", "128Mi", func(p *corev1.Pod) {
					p.Labels = map[string]string{"app": "spread"}
					p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
						MaxSkew: 2, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.DoNotSchedule,
						LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
					}}
				})
			},
			want: "[{a 1->3 (max: 9)}]",
		},
		{
			name: "a claim of a class that binds at once waits for a volume, not for a node",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 9, 0)
				w.Storage.Claims = []*corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data"}}}
				w.pod("", "100m", "128Mi", func(p *corev1.Pod) {
					p.Spec.Volumes = []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
				})
			},
			want: "[]", stuck: "pod didn't trigger scale-up: 1 pod has unbound immediate PersistentVolumeClaims",
		},
		{
			name: "a volume that is in a zone",
			world: func(w *world, _ *Options) {
				w.group("a", 0, 9, 0)
				w.group("b", 0, 9, 0).Template.Labels[corev1.LabelTopologyZone] = "ap-northeast-2b"
				w.Storage.Claims = []*corev1.PersistentVolumeClaim{{
					ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data", ResourceVersion: "1", UID: "data", Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "yes"}},
					Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: "v"},
					Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
				}}
				w.Storage.Volumes = []*corev1.PersistentVolume{{
					ObjectMeta: metav1.ObjectMeta{Name: "v", ResourceVersion: "1"},
					Spec: corev1.PersistentVolumeSpec{
						Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
						ClaimRef: &corev1.ObjectReference{Namespace: "default", Name: "data", UID: "data"},
						NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
							MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"ap-northeast-2b"}}},
						}}}},
					},
				}}
				w.pod("", "100m", "128Mi", func(p *corev1.Pod) {
					p.Spec.Volumes = []corev1.Volume{{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
				})
			},
			want: "[{b 0->1 (max: 9)}]",
		},
		{
			name: "the least size, if asked to keep it",
			world: func(w *world, o *Options) {
				o.EnforceMinSize = true
				w.group("a", 3, 9, 1)
			},
			want: "[{a 1->3 (max: 9)}]",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, o := newWorld(), Defaults()
			c.world(w, &o)
			d := w.plan(t, o)
			slices.SortFunc(d.ScaleUps, func(a, b ScaleUp) int { return cmp.Compare(a.Group, b.Group) })
			got := fmt.Sprint(d.ScaleUps)
			if c.name == "more than a group may have, the rest from another" && got == "[{a 0->1 (max: 2)} {b 0->2 (max: 2)}]" {
				got = c.want // two groups of a kind: chance decides which is first
			}
			if got != c.want {
				t.Errorf("scale-ups %s, want %s\n%v", got, c.want, d.Log)
			}
			if c.stuck == "" {
				return
			}
			if len(d.Stuck) == 0 {
				t.Fatal("no pod is stuck")
			}
			if got := d.Stuck[len(d.Stuck)-1].message(); got != c.stuck {
				t.Errorf("the pod is told %q, want %q", got, c.stuck)
			}
		})
	}
}

func TestExpanders(t *testing.T) {
	for _, c := range []struct{ expander, priorities, want string }{
		{"least-waste", "", "small"},
		{"least-nodes", "", "large"},
		{"most-pods", "", "large"}, // the small one takes not all
		{"priority", "10: [\"sma.*\"]\n20: [\"none\"]\n5: [\".*\"]\n", "small"},
		{"priority", "1: [\"large\"]\n", "large"},
	} {
		t.Run(c.expander, func(t *testing.T) {
			w, o := newWorld(), Defaults()
			o.Expanders, w.Priorities = []string{c.expander}, c.priorities
			w.group("small", 0, 2, 0)
			large := w.group("large", 0, 9, 0)
			large.Template.Status.Capacity, large.Template.Status.Allocatable = amounts("16", "64Gi", 110), amounts("15", "62Gi", 110)
			w.pods(3, "", "1800m", "3Gi")
			d := w.plan(t, o)
			if len(d.ScaleUps) == 0 || d.ScaleUps[0].Group != c.want {
				t.Errorf("%v, want %s first", d.ScaleUps, c.want)
			}
		})
	}
}
