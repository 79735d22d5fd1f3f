package autoscaler

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

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
			name: "and still does when AWS has ended it since the groups were described",
			world: func(w *world, _ *Options) {
				w.group("g", 2, 5, 3)
				w.pods(2, "g-0", "600m", "512Mi")
				long(w, "g-1", "g-2")
				w.Memory.Deleting = map[string]Deletion{"g-2": {Group: "g", Gone: true, Since: now.Add(-time.Second)}}
				w.Described = now.Add(-2 * time.Second)
			},
			unneeded: "g-1", why: "g-1: NodeGroupMinSizeReached",
		},
		{
			name: "but not when they were described without it",
			world: func(w *world, _ *Options) {
				w.group("g", 1, 5, 3).Desired = 2
				w.pods(2, "g-0", "600m", "512Mi")
				long(w, "g-1", "g-2")
				w.Memory.Deleting = map[string]Deletion{"g-2": {Group: "g", Gone: true, Since: now.Add(-2 * time.Second)}}
				w.Described = now.Add(-time.Second)
			},
			remove: "g-1", unneeded: "g-1",
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
