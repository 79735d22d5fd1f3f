package autoscaler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// The form is that of upstream's own test (clusterstate/utils/status_test.yaml).
const wantStatus = `autoscalerStatus: Running
clusterWide:
  health:
    lastProbeTime: "2026-11-29T12:00:00Z"
    lastTransitionTime: "2026-11-29T11:00:00Z"
    nodeCounts:
      longUnregistered: 0
      registered:
        beingDeleted: 1
        notStarted: 0
        ready: 2
        total: 3
        unready:
          resourceUnready: 0
          total: 0
      unregistered: 1
    status: Healthy
  scaleDown:
    candidates: 1
    lastProbeTime: "2026-11-29T12:00:00Z"
    lastTransitionTime: "2026-11-29T12:00:00Z"
    status: CandidatesPresent
  scaleUp:
    lastProbeTime: "2026-11-29T12:00:00Z"
    lastTransitionTime: "2026-11-29T11:00:00Z"
    status: NoActivity
nodeGroups:
- health:
    cloudProviderTarget: 3
    lastProbeTime: "2026-11-29T12:00:00Z"
    lastTransitionTime: "2026-11-29T11:00:00Z"
    maxSize: 5
    minSize: 1
    nodeCounts:
      longUnregistered: 0
      registered:
        notStarted: 0
        ready: 2
        total: 2
        unready:
          resourceUnready: 0
          total: 0
      unregistered: 0
    status: Healthy
  name: workers
  scaleDown:
    candidates: 1
    lastProbeTime: "2026-11-29T12:00:00Z"
    lastTransitionTime: "2026-11-29T12:00:00Z"
    status: CandidatesPresent
  scaleUp:
    backoffInfo:
      errorCode: timeout
      errorMessage: too late
    lastProbeTime: "2026-11-29T12:00:00Z"
    lastTransitionTime: "2026-11-29T12:00:00Z"
    status: Backoff
time: 2026-11-29 12:00:00 +0000 UTC
`

func TestStatus(t *testing.T) {
	group := GroupState{Name: "workers", Min: 1, Max: 5, Desired: 3, Counts: Counts{Ready: 2}, Healthy: true}
	d := &Decision{Cluster: Counts{Ready: 2, BeingDeleted: 1, Unregistered: 1}, Groups: []GroupState{group}}
	before := newStatus(d, &Status{AutoscalerStatus: "Initializing"}, now.Add(-time.Hour))
	group.Candidates, group.Backoff = 1, &Backoff{Code: "timeout", Message: "too late"}
	d.Groups, d.Unneeded = []GroupState{group}, []string{"n"}
	text, err := yaml.Marshal(newStatus(d, before, now))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantStatus, string(text)); diff != "" {
		t.Error(diff)
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics(true)
	w := newWorld()
	w.group("workers", 1, 5, 2)
	w.pods(2, "workers-0", "600m", "512Mi")
	o := Defaults()
	d := w.plan(t, o)
	m.show(&w.Snapshot, &d, &o)
	m.ups.Add(2)
	m.took("main", time.Now())
	m.request("SetDesiredCapacity", nil, time.Millisecond)
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{
		"cluster_autoscaler_cluster_safe_to_autoscale 1", `cluster_autoscaler_nodes_count{state="ready"} 2`, "cluster_autoscaler_max_nodes_count 5",
		`cluster_autoscaler_node_groups_count{node_group_type="autoscaled"} 1`, "cluster_autoscaler_unneeded_nodes_count 1",
		`cluster_autoscaler_node_group_target_count{node_group="workers"} 2`, "cluster_autoscaler_cluster_cpu_current_cores 4",
		`cluster_autoscaler_unschedulable_pods_count{type="unschedulable"} 0`, "cluster_autoscaler_scaled_up_nodes_total 2",
		`cluster_autoscaler_unremovable_nodes_count{reason="NotUnderutilized"} 1`, `cluster_autoscaler_cpu_limits_cores{direction="maximum"} 320000`,
		`cluster_autoscaler_function_duration_seconds_count{function="main"} 1`,
		`cluster_autoscaler_aws_request_duration_seconds_count{endpoint="SetDesiredCapacity",status="success"} 1`,
		"# HELP cluster_autoscaler_nodes_count [ALPHA] Number of nodes in cluster.",
	} {
		if !strings.Contains(answer.Body.String(), want+"\n") {
			t.Errorf("no line %q in\n%s", want, answer.Body)
		}
	}
}

func TestHealth(t *testing.T) {
	at := now
	h := &Health{MaxInactivity: time.Minute, MaxFailing: 2 * time.Minute, Clock: func() time.Time { return at }}
	ask := func() int {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/health-check", nil))
		return answer.Code
	}
	at = at.Add(time.Hour)
	if got := ask(); got != http.StatusOK {
		t.Errorf("before the loop begins: %d", got)
	}
	h.begin()
	at = at.Add(61 * time.Second)
	if got := ask(); got != http.StatusInternalServerError {
		t.Errorf("without activity: %d", got)
	}
	h.ran(true)
	for range 3 {
		at = at.Add(50 * time.Second)
		h.ran(false)
	}
	if got := ask(); got != http.StatusInternalServerError {
		t.Errorf("without success: %d", got)
	}
	h.ran(true)
	if got := ask(); got != http.StatusOK {
		t.Errorf("after success: %d", got)
	}
}
