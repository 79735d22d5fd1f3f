package autoscaler

import (
	"fmt"
	"testing"
)

func TestPendingPodsGetNodes(t *testing.T) {
	// The lesson: three t3.medium, backend-app of 512 Mi, scaled to 20.
	w := newWorld()
	w.group("eks-work", 3, 5, 3)
	for i := range 3 {
		w.pods(5, fmt.Sprintf("eks-work-%d", i), "100m", "512Mi")
	}
	w.pods(5, "", "100m", "512Mi")
	d := w.plan(t, Defaults())
	if got, want := fmt.Sprint(d.ScaleUps), "[{eks-work 3->4 (max: 5)}]"; got != want {
		t.Errorf("scale-ups: %s, want %s\n%v", got, want, d.Log)
	}
}
