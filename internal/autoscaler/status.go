package autoscaler

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// Status is the text of the ConfigMap cluster-autoscaler-status, in upstream's
// form of it.
type Status struct {
	Time             string             `json:"time,omitempty"`
	AutoscalerStatus string             `json:"autoscalerStatus,omitempty"` // Initializing, Running
	Message          string             `json:"message,omitempty"`
	ClusterWide      *ClusterWideStatus `json:"clusterWide,omitempty"`
	NodeGroups       []GroupStatus      `json:"nodeGroups,omitempty"`
}

// ClusterWideStatus is how the cluster does.
type ClusterWideStatus struct {
	Health    HealthStatus    `json:"health"`
	ScaleUp   ScaleUpStatus   `json:"scaleUp"`
	ScaleDown ScaleDownStatus `json:"scaleDown"`
}

// GroupStatus is how a group does.
type GroupStatus struct {
	Name      string            `json:"name"`
	Health    GroupHealthStatus `json:"health"`
	ScaleUp   ScaleUpStatus     `json:"scaleUp"`
	ScaleDown ScaleDownStatus   `json:"scaleDown"`
}

// HealthStatus says Healthy or Unhealthy.
type HealthStatus struct {
	Status     string     `json:"status"`
	NodeCounts NodeCounts `json:"nodeCounts"`
	Times
}

// GroupHealthStatus is HealthStatus with the group's sizes.
type GroupHealthStatus struct {
	Status              string     `json:"status"`
	NodeCounts          NodeCounts `json:"nodeCounts"`
	CloudProviderTarget int        `json:"cloudProviderTarget"`
	MinSize             int        `json:"minSize"`
	MaxSize             int        `json:"maxSize"`
	Times
}

// NodeCounts are nodes by condition.
type NodeCounts struct {
	Registered       RegisteredCounts `json:"registered"`
	LongUnregistered int              `json:"longUnregistered"`
	Unregistered     int              `json:"unregistered"`
}

// RegisteredCounts are those that Kubernetes knows.
type RegisteredCounts struct {
	Total        int           `json:"total"`
	Ready        int           `json:"ready"`
	NotStarted   int           `json:"notStarted"`
	BeingDeleted int           `json:"beingDeleted,omitempty"`
	Unready      UnreadyCounts `json:"unready"`
}

// UnreadyCounts are those that do not work.
type UnreadyCounts struct {
	Total           int `json:"total"`
	ResourceUnready int `json:"resourceUnready"`
}

// ScaleUpStatus says NoActivity, InProgress, Needed, NotNeeded or Backoff.
type ScaleUpStatus struct {
	Status      string       `json:"status"`
	BackoffInfo *BackoffInfo `json:"backoffInfo,omitempty"`
	Times
}

// BackoffInfo is why a group is not scaled up.
type BackoffInfo struct {
	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorMessage string `json:"errorMessage,omitempty"`
}

// ScaleDownStatus says NoCandidates or CandidatesPresent.
type ScaleDownStatus struct {
	Status     string `json:"status"`
	Candidates int    `json:"candidates,omitempty"`
	Times
}

// Times are when a condition was looked at, and since when it has been so.
type Times struct {
	LastProbeTime      metav1.Time `json:"lastProbeTime"`
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
}

// timeFormat is upstream's of the whole.
const timeFormat = "2006-01-02 15:04:05.999999999 -0700 MST"

// newStatus is the status after a decision, where last was the one before.
func newStatus(d *Decision, last *Status, now time.Time) *Status {
	s := &Status{Time: now.UTC().Format(timeFormat), AutoscalerStatus: "Running", ClusterWide: &ClusterWideStatus{
		Health:    HealthStatus{Status: healthWord(!d.Unhealthy), NodeCounts: nodeCounts(d.Cluster)},
		ScaleUp:   ScaleUpStatus{Status: "NoActivity"},
		ScaleDown: ScaleDownStatus{Status: candidatesWord(len(d.Unneeded)), Candidates: len(d.Unneeded)},
	}}
	was := last
	if was == nil {
		was = &Status{}
	}
	if was.ClusterWide == nil {
		was = &Status{NodeGroups: was.NodeGroups, ClusterWide: &ClusterWideStatus{}}
	}
	groups := map[string]GroupStatus{}
	for _, g := range was.NodeGroups {
		groups[g.Name] = g
	}
	for _, g := range d.Groups {
		state := GroupStatus{
			Name: g.Name,
			Health: GroupHealthStatus{
				Status: healthWord(g.Healthy), NodeCounts: nodeCounts(g.Counts), CloudProviderTarget: g.Desired, MinSize: g.Min, MaxSize: g.Max,
			},
			ScaleUp:   ScaleUpStatus{Status: "NoActivity"},
			ScaleDown: ScaleDownStatus{Status: candidatesWord(g.Candidates), Candidates: g.Candidates},
		}
		_, asked := d.Memory.Requests[g.Name]
		switch {
		case g.Backoff != nil:
			state.ScaleUp.Status = "Backoff"
			state.ScaleUp.BackoffInfo = &BackoffInfo{g.Backoff.Code, truncated(g.Backoff.Message)}
		case asked:
			state.ScaleUp.Status, s.ClusterWide.ScaleUp.Status = "InProgress", "InProgress"
		}
		before := groups[g.Name]
		state.Health.Times = before.Health.Times.then(before.Health.Status, state.Health.Status, now)
		state.ScaleUp.Times = before.ScaleUp.Times.then(before.ScaleUp.Status, state.ScaleUp.Status, now)
		state.ScaleDown.Times = before.ScaleDown.Times.then(before.ScaleDown.Status, state.ScaleDown.Status, now)
		s.NodeGroups = append(s.NodeGroups, state)
	}
	before, is := was.ClusterWide, s.ClusterWide
	is.Health.Times = before.Health.Times.then(before.Health.Status, is.Health.Status, now)
	is.ScaleUp.Times = before.ScaleUp.Times.then(before.ScaleUp.Status, is.ScaleUp.Status, now)
	is.ScaleDown.Times = before.ScaleDown.Times.then(before.ScaleDown.Status, is.ScaleDown.Status, now)
	return s
}

// then are the times of a condition that was looked at again.
func (t Times) then(was, is string, now time.Time) Times {
	next := Times{LastProbeTime: metav1.NewTime(now), LastTransitionTime: t.LastTransitionTime}
	if was != is {
		next.LastTransitionTime = next.LastProbeTime
	}
	return next
}

func nodeCounts(c Counts) NodeCounts {
	return NodeCounts{
		Registered: RegisteredCounts{
			Total: c.Registered(), Ready: c.Ready, NotStarted: c.NotStarted, BeingDeleted: c.BeingDeleted, Unready: UnreadyCounts{Total: c.Unready},
		},
		LongUnregistered: c.LongUnregistered, Unregistered: c.Unregistered,
	}
}

func healthWord(ok bool) string {
	if ok {
		return "Healthy"
	}
	return "Unhealthy"
}

func candidatesWord(n int) string {
	if n > 0 {
		return "CandidatesPresent"
	}
	return "NoCandidates"
}

// truncated keeps a message small enough for a ConfigMap.
func truncated(text string) string {
	const most = 500
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "<truncated>"
}

// statusMap is the ConfigMap.
type statusMap struct {
	client          kubernetes.Interface
	namespace, name string
}

// write puts the status into the ConfigMap and returns that: events about the
// cluster as a whole are recorded there.
func (m statusMap) write(ctx context.Context, s *Status) (*corev1.ConfigMap, error) {
	text, err := yaml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing the status: %w", err)
	}
	maps := m.client.CoreV1().ConfigMaps(m.namespace)
	object, err := maps.Get(ctx, m.name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return nil, fmt.Errorf("Failed to retrieve status configmap for update: %w", err) //nolint:staticcheck // upstream's words
	}
	if missing {
		object = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: m.name}}
	}
	if object.Annotations == nil {
		object.Annotations = map[string]string{}
	}
	object.Annotations["cluster-autoscaler.kubernetes.io/last-updated"] = s.Time
	object.Data = map[string]string{"status": string(text)}
	if missing {
		object, err = maps.Create(ctx, object, metav1.CreateOptions{})
	} else {
		object, err = maps.Update(ctx, object, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("Failed to write status configmap: %w", err) //nolint:staticcheck // upstream's words
	}
	return object, nil
}

// remove deletes the ConfigMap, as upstream does when it ends.
func (m statusMap) remove(ctx context.Context) error {
	err := m.client.CoreV1().ConfigMaps(m.namespace).Delete(ctx, m.name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("Failed to delete status configmap: %w", err) //nolint:staticcheck // upstream's words
	}
	return nil
}
