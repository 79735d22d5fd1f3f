package autoscaler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
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

func TestScaleDown(t *testing.T) {
	long := func(w *world, nodes ...string) {
		w.Memory.Unneeded = map[string]time.Time{}
		for _, n := range nodes {
			w.Memory.Unneeded[n] = now.Add(-11 * time.Minute)
		}
	}
	for _, c := range []struct {
		name     string
		world    func(*world, *Options)
		remove   string
		unneeded string
		why      string // "node: reason", of the first node that is named
	}{
		{
			name: "an empty node, after ten minutes",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "600m", "512Mi")
				long(w, "g-1")
			},
			remove: "g-1", unneeded: "g-1",
		},
		{
			name: "before that it is a candidate",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "600m", "512Mi")
			},
			unneeded: "g-1", why: "g-1: NotUnneededLongEnough",
		},
		{
			name: "not below the least size",
			world: func(w *world, _ *Options) {
				w.group("g", 2, 5, 2)
				long(w, "g-0", "g-1")
			},
			why: "g-0: NodeGroupMinSizeReached",
		},
		{
			name: "two may go, the least size lets one",
			world: func(w *world, _ *Options) {
				w.group("g", 2, 5, 3)
				w.pods(2, "g-0", "600m", "512Mi")
				long(w, "g-1", "g-2")
			},
			remove: "g-1", unneeded: "g-1 g-2", why: "g-2: NodeGroupMinSizeReached",
		},
		{
			name: "pods move to where there is room",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi")
				long(w, "g-1")
			},
			remove: "g-1!", unneeded: "g-1",
		},
		{
			name: "there is none",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(3, "g-0", "600m", "512Mi")
				w.pod("g-1", "300m", "512Mi")
				long(w, "g-1")
			},
			why: "g-1: NoPlaceToMovePods",
		},
		{
			name: "a budget is spent",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi")
				w.budget("web", 0)
				long(w, "g-1")
			},
			why: "g-1: BlockedByPod",
		},
		{
			name: "the pod is not to be moved",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi", func(p *corev1.Pod) { p.Annotations = map[string]string{safeToEvict: "false"} })
				long(w, "g-1")
			},
			why: "g-1: BlockedByPod",
		},
		{
			name: "nobody starts the pod again",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi", func(p *corev1.Pod) { p.OwnerReferences = nil })
				long(w, "g-1")
			},
			why: "g-1: BlockedByPod",
		},
		{
			name: "nobody does, and it says that it does not matter",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi", func(p *corev1.Pod) {
					p.OwnerReferences, p.Annotations = nil, map[string]string{safeToEvict: "true"}
				})
				long(w, "g-1")
			},
			remove: "g-1!", unneeded: "g-1",
		},
		{
			name: "local storage",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi", emptyDir)
				long(w, "g-1")
			},
			why: "g-1: BlockedByPod",
		},
		{
			name: "local storage, as in the lesson's command",
			world: func(w *world, o *Options) {
				o.SkipLocalStorage = false
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "300m", "512Mi", emptyDir)
				long(w, "g-1")
			},
			remove: "g-1!", unneeded: "g-1",
		},
		{
			name: "a system pod without a budget",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pod("g-1", "100m", "70Mi", func(p *corev1.Pod) { p.Namespace = "kube-system" })
				long(w, "g-1")
			},
			why: "g-1: BlockedByPod",
		},
		{
			name: "DaemonSets' pods and mirrors keep no node",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "600m", "512Mi")
				w.pod("g-1", "100m", "70Mi", func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "DaemonSet" })
				w.pod("g-1", "100m", "70Mi", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })
				long(w, "g-1")
			},
			remove: "g-1", unneeded: "g-1",
		},
		{
			name: "the node's annotation",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "600m", "512Mi")
				w.Nodes[1].Annotations = map[string]string{scaleDownDisabled: "true"}
				long(w, "g-1")
			},
			why: "g-1: ScaleDownDisabledAnnotation",
		},
		{
			name: "more than half of it is used",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "100m", "512Mi")
				w.pods(2, "g-1", "500m", "512Mi")
				w.Memory.Unneeded = map[string]time.Time{"g-1": now.Add(-time.Hour)}
			},
			unneeded: "g-0", why: "g-1: NotUnderutilized",
		},
		{
			name: "a scale-up was a short time ago",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "600m", "512Mi")
				long(w, "g-1")
				w.Memory.Last = map[string]Moments{"other": {ScaleUp: now.Add(-time.Minute)}}
			},
			unneeded: "g-1",
		},
		{
			name: "of another group, and each has its own delays",
			world: func(w *world, o *Options) {
				o.DelayLocal = true
				w.group("g", 1, 5, 2)
				w.pods(2, "g-0", "600m", "512Mi")
				w.group("h", 0, 5, 1)
				long(w, "g-1", "h-0")
				w.Memory.Last = map[string]Moments{"h": {ScaleUp: now.Add(-time.Minute)}}
			},
			remove: "g-1", unneeded: "g-1",
		},
		{
			name: "one node is drained at a time",
			world: func(w *world, _ *Options) {
				w.group("g", 0, 5, 4)
				w.pods(2, "g-0", "500m", "512Mi")
				w.pods(2, "g-3", "500m", "512Mi")
				w.pod("g-1", "300m", "256Mi")
				w.pod("g-2", "300m", "256Mi")
				long(w, "g-1", "g-2")
			},
			remove: "g-1!", unneeded: "g-1 g-2",
		},
		{
			name: "a node that is being removed counts already",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 3)
				w.pods(2, "g-0", "600m", "512Mi")
				long(w, "g-1", "g-2")
				w.Memory.Deleting = map[string]Deletion{"g-2": {Group: "g"}}
				w.Groups[0].Min = 2
			},
			unneeded: "g-1", why: "g-1: NodeGroupMinSizeReached",
		},
		{
			name: "an unready node goes after twenty minutes",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 3)
				w.pods(2, "g-0", "600m", "512Mi")
				w.pods(2, "g-2", "600m", "512Mi")
				w.Nodes[1].Status.Conditions[0].Status = corev1.ConditionFalse
				w.Memory.Unneeded = map[string]time.Time{"g-1": now.Add(-15 * time.Minute)}
			},
			unneeded: "g-1", why: "g-1: NotUnreadyLongEnough",
		},
		{
			name: "the group's tag says a shorter time",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 2).Override.UnneededTime = new(10 * time.Second)
				w.pods(2, "g-0", "600m", "512Mi")
				w.Memory.Unneeded = map[string]time.Time{"g-1": now.Add(-11 * time.Second)}
			},
			remove: "g-1", unneeded: "g-1",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, o := newWorld(), Defaults()
			c.world(w, &o)
			d := w.plan(t, o)
			var removed []string
			for _, r := range d.Remove {
				name := r.Node.Name
				if r.Drain {
					name += "!"
				}
				removed = append(removed, name)
			}
			if got := strings.Join(removed, " "); got != c.remove {
				t.Errorf("removed %q, want %q\n%v", got, c.remove, d.Log)
			}
			if got := strings.Join(d.Unneeded, " "); got != c.unneeded {
				t.Errorf("unneeded %q, want %q\n%v", got, c.unneeded, d.Log)
			}
			if node, _, ok := strings.Cut(c.why, ": "); ok {
				if got := node + ": " + d.Unremovable[node].Code; got != c.why {
					t.Errorf("%q, want %q", got, c.why)
				}
			}
		})
	}
}

func emptyDir(p *corev1.Pod) {
	p.Spec.Volumes = []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
}

func TestFollowUp(t *testing.T) {
	asked := map[string]Request{"g": {At: now.Add(-16 * time.Minute), Increase: 1}}
	for _, c := range []struct {
		name  string
		world func(*world)
		want  string
	}{
		{"it came", func(w *world) { w.group("g", 1, 5, 2); w.Memory.Requests = asked }, "shrink [] terminate [] timeouts [] backoffs [] requests 0"},
		{"it is late", func(w *world) { w.group("g", 1, 5, 2).Desired = 3; w.Memory.Requests = asked }, "shrink [{g 3 2}] terminate [] timeouts [{g 16m0s}] backoffs [g] requests 0"},
		{"it is on its way", func(w *world) {
			w.group("g", 1, 5, 2).Desired = 3
			w.Memory.Requests = map[string]Request{"g": {At: now.Add(-time.Minute), Increase: 1}}
		}, "shrink [] terminate [] timeouts [] backoffs [] requests 1"},
		{"AWS cannot", func(w *world) {
			g := w.group("g", 1, 5, 2)
			g.Desired, g.LaunchError = 4, "There is no capacity."
			w.Memory.Requests = map[string]Request{"g": {At: now.Add(-time.Minute), Increase: 2}}
		}, "shrink [{g 4 2}] terminate [] timeouts [] backoffs [g] requests 0"},
		{"it runs, and never became a node", func(w *world) {
			g := w.group("g", 1, 5, 2)
			g.Desired = 3
			g.Instances = append(g.Instances, Instance{ID: "i-lost"})
			w.Memory.Unregistered = map[string]time.Time{"i-lost": now.Add(-time.Hour)}
		}, "shrink [] terminate [{g i-lost}] timeouts [] backoffs [] requests 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			c.world(w)
			for i := range 2 {
				w.pods(2, fmt.Sprintf("g-%d", i), "600m", "512Mi")
			}
			d := w.plan(t, Defaults())
			got := fmt.Sprintf("shrink %v terminate %v timeouts %v backoffs %v requests %d", d.Shrink, d.Terminate, d.TimedOut, d.BackedOff, len(d.Memory.Requests))
			if got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func TestCensus(t *testing.T) {
	w := newWorld()
	g := w.group("g", 1, 9, 5)
	g.Desired = 7
	notReady := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}
	w.Nodes[1].Status.Conditions = notReady
	w.Nodes[2].Status.Conditions, w.Nodes[2].CreationTimestamp = notReady, metav1.NewTime(now.Add(-time.Minute))
	w.Nodes[3].Spec.Taints = []corev1.Taint{{Key: toBeDeletedTaint}}
	w.Memory.Deleting = map[string]Deletion{"g-3": {Group: "g"}}
	g.Instances = append(g.Instances, Instance{ID: "i-new"}, Instance{ID: "i-old"})
	w.Memory.Unregistered = map[string]time.Time{"i-old": now.Add(-time.Hour), "i-gone": now}
	d := w.plan(t, Defaults())
	want := Counts{Ready: 2, Unready: 1, NotStarted: 1, BeingDeleted: 1, Unregistered: 1, LongUnregistered: 1}
	if d.Groups[0].Counts != want || d.Cluster != want {
		t.Errorf("%+v, %+v, want %+v", d.Groups[0].Counts, d.Cluster, want)
	}
	// Seven, but for two that are ready, one that is broken, one that is leaving and one that is lost.
	if d.Groups[0].Upcoming != 2 {
		t.Errorf("%d upcoming, want 2", d.Groups[0].Upcoming)
	}
	if got := slices.Sorted(maps.Keys(d.Memory.Unregistered)); fmt.Sprint(got) != "[i-new i-old]" {
		t.Errorf("unregistered: %v", got)
	}
}

func TestTooManyUnreadyNodes(t *testing.T) {
	w := newWorld()
	w.group("g", 1, 20, 8)
	for i := range 4 {
		w.Nodes[i].Status.Conditions[0].Status = corev1.ConditionUnknown
	}
	w.pods(50, "", "1500m", "512Mi")
	if d := w.plan(t, Defaults()); !d.Unhealthy || d.Acts() {
		t.Errorf("unhealthy %v, acts %v", d.Unhealthy, d.Acts())
	}
}
