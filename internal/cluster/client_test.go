package cluster

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNodeReady(t *testing.T) {
	start := time.Unix(1000, 500_000_000)
	node := func(status v1.ConditionStatus, heartbeat int64, taints ...string) []v1.Node {
		n := v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
		n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: status, LastHeartbeatTime: metav1.Unix(heartbeat, 0)}}
		for _, key := range taints {
			n.Spec.Taints = append(n.Spec.Taints, v1.Taint{Key: key})
		}
		return []v1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, n}
	}
	for _, test := range []struct {
		name  string
		nodes []v1.Node
		want  bool
	}{
		{"ready", node(v1.ConditionTrue, 1001), true},
		{"ready within the second of the start", node(v1.ConditionTrue, 1000), true},
		{"ready before the start", node(v1.ConditionTrue, 999), false},
		{"not ready", node(v1.ConditionFalse, 1001), false},
		{"unknown", node(v1.ConditionUnknown, 1001), false},
		{"still tainted", node(v1.ConditionTrue, 1001, v1.TaintNodeNotReady), false},
		{"another taint is the user's", node(v1.ConditionTrue, 1001, "dedicated"), true},
		{"not there", nil, false},
		{"without conditions", []v1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n"}}}, false},
	} {
		if got := NodeReady(test.nodes, "n", start); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
