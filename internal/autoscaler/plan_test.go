package autoscaler

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

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
