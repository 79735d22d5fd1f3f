package autoscaler

import (
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Decision is what to do now, and what the autoscaler has to say about it.
type Decision struct {
	ScaleUps  []ScaleUp
	Stuck     []Stuck       // pods that no scale-up helps
	Shrink    []Resize      // sizes that AWS cannot reach
	Terminate []Termination // instances that never became nodes
	Remove    []Removal
	// Mark are unneeded nodes that are to get the taint of deletion candidates,
	// Unmark those that are to lose it.
	Mark, Unmark []string

	Pods         int // unschedulable ones, those that a young age keeps waiting included
	Unneeded     []string
	Unremovable  map[string]Reason // by node
	Unhealthy    bool              // too many nodes are unready: nothing is done
	Cooldown     bool              // nothing is removed yet
	TotalReached bool              // --max-nodes-total kept nodes from being added
	Cluster      Counts
	Groups       []GroupState
	TimedOut     []Timeout // scale-ups that were given up
	BackedOff    []string  // groups that are not scaled up from now on

	Memory Memory
	// Due is when something changes by time alone, zero if nothing does.
	Due time.Time
	Log []Line

	trace []step
}

// step is what a plan did to its picture of the cluster: it put a pod on a
// node, or added a node, if there is no pod.
type step struct {
	pod  *corev1.Pod
	node *corev1.Node
	with []*corev1.Pod // that run on the new node at once
}

// ScaleUp makes a group larger.
type ScaleUp struct {
	Group         string
	From, To, Max int
	Pods          []*corev1.Pod // that asked for it; the scale-ups of one choice share them
}

// String is upstream's form in events: {group 3->5 (max: 5)}.
func (s ScaleUp) String() string {
	return fmt.Sprintf("{%s %d->%d (max: %d)}", s.Group, s.From, s.To, s.Max)
}

// Stuck is a pod that stays pending, with how many groups refuse it for each reason.
type Stuck struct {
	Pod     *corev1.Pod
	Reasons map[string]int
}

// Resize sets a group's desired size.
type Resize struct {
	Group    string
	From, To int
}

// Termination ends an instance and makes its group smaller by it.
type Termination struct {
	Group, Instance string
}

// Removal takes a node out of the cluster.
type Removal struct {
	Node            *corev1.Node
	Group, Instance string
	Drain           bool          // there are pods to move
	Pods            []*corev1.Pod // those
	DaemonPods      []*corev1.Pod
	Moves           []Move // where the simulation put the pods
	Utilization     Utilization
	Ready           bool
}

// Move is where a pod finds a place.
type Move struct {
	Pod  *corev1.Pod
	Node string
}

// Timeout is a scale-up whose nodes did not come in time.
type Timeout struct {
	Group string
	After time.Duration
}

// Counts are nodes by condition.
type Counts struct {
	Ready, Unready, NotStarted, BeingDeleted, Unregistered, LongUnregistered int
}

// Registered is how many nodes Kubernetes knows.
func (c Counts) Registered() int { return c.Ready + c.Unready + c.NotStarted + c.BeingDeleted }

// GroupState is how a group does.
type GroupState struct {
	Name              string
	Min, Max, Desired int
	Counts
	Upcoming   int // nodes that were asked for and are not ready
	Healthy    bool
	Candidates int      // unneeded nodes
	Backoff    *Backoff // nil when it may be scaled up
}

// Reason is why a node is not removed.
type Reason struct {
	Code string // upstream's name of it
	Pod  string // that is in the way: namespace/name
}

// Line is a line of the log.
type Line struct {
	Level   int // klog's verbosity
	Warning bool
	Text    string
}

func (d *Decision) say(level int, format string, args ...any) {
	d.Log = append(d.Log, Line{Level: level, Text: fmt.Sprintf(format, args...)})
}

func (d *Decision) warn(format string, args ...any) {
	d.Log = append(d.Log, Line{Warning: true, Text: fmt.Sprintf(format, args...)})
}

// due says that something happens at t.
func (d *Decision) due(t time.Time) {
	if d.Due.IsZero() || t.Before(d.Due) {
		d.Due = t
	}
}

// Acts says that something is to be done to groups or nodes' instances.
func (d *Decision) Acts() bool {
	return len(d.ScaleUps)+len(d.Shrink)+len(d.Terminate)+len(d.Remove) > 0
}

// clone is a memory of its own.
func (m Memory) clone() Memory {
	m.Last = copied(m.Last)
	m.Unneeded = copied(m.Unneeded)
	m.Unregistered = copied(m.Unregistered)
	m.Requests = copied(m.Requests)
	m.Backoffs = copied(m.Backoffs)
	m.Deleting = copied(m.Deleting)
	return m
}

func copied[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}
