package autoscaler

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	cloudproviderapi "k8s.io/cloud-provider/api"
)

// startupTime is how long a node may take from joining to being ready.
const startupTime = 15 * time.Minute

// census is which node belongs to which group, and how it does.
type census struct {
	groups   []*groupCensus
	byName   map[string]*groupCensus
	ofNode   map[string]*groupCensus // by node's name
	starting map[string]bool         // nodes that are not ready yet
	leaving  map[string]bool         // nodes that are being deleted
	total    Counts
	healthy  bool
}

type groupCensus struct {
	*Group
	state GroupState
	nodes map[string]string // instance by node
	ready []*corev1.Node
	// never are instances that did not become nodes in time.
	never []string
}

// instanceID is the EC2 instance that a node is, "" if it is none.
func instanceID(node *corev1.Node) string {
	rest, ok := strings.CutPrefix(node.Spec.ProviderID, "aws:///")
	if !ok {
		return ""
	}
	_, id, _ := strings.Cut(rest, "/")
	return id
}

// isReady says whether pods could run on the node.
func isReady(node *corev1.Node, o *Options) bool {
	ready := false
	for _, c := range node.Status.Conditions {
		switch c.Type {
		case corev1.NodeReady:
			ready = c.Status == corev1.ConditionTrue
		case corev1.NodeNetworkUnavailable:
			if c.Status == corev1.ConditionTrue {
				return false
			}
		}
	}
	return ready && !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeNetworkUnavailable ||
			t.Key == cloudproviderapi.TaintExternalCloudProvider || o.startupTaint(t.Key)
	})
}

func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// count takes the census, and notes since when instances have no nodes.
func count(s *Snapshot, o *Options, m *Memory, now time.Time) *census {
	c := &census{byName: map[string]*groupCensus{}, ofNode: map[string]*groupCensus{}, starting: map[string]bool{}, leaving: map[string]bool{}}
	type member struct {
		group *groupCensus
		Instance
	}
	members := map[string]member{}
	for i := range s.Groups {
		g := &groupCensus{Group: &s.Groups[i], nodes: map[string]string{}}
		g.state = GroupState{Name: g.Name, Min: g.Min, Max: g.Max, Desired: g.Desired}
		c.groups = append(c.groups, g)
		c.byName[g.Name] = g
		for _, instance := range g.Instances {
			members[instance.ID] = member{g, instance}
		}
	}
	held := map[*groupCensus]int{} // of those leaving, the ones that the desired size still counts
	registered := map[string]bool{}
	for _, node := range s.Nodes {
		id := instanceID(node)
		registered[id] = true
		in, ok := members[id]
		counts := []*Counts{&c.total}
		if ok {
			c.ofNode[node.Name] = in.group
			in.group.nodes[node.Name] = id
			counts = append(counts, &in.group.state.Counts)
		}
		deletion, deleting := m.Deleting[node.Name]
		switch {
		case deleting || in.Terminating || hasTaint(node, toBeDeletedTaint):
			c.leaving[node.Name] = true
			for _, n := range counts {
				n.BeingDeleted++
			}
			if ok && !in.Terminating && deletion.counted(s.Described) {
				held[in.group]++
			}
		case isReady(node, o):
			for _, n := range counts {
				n.Ready++
			}
			if ok {
				in.group.ready = append(in.group.ready, node)
			}
		case node.CreationTimestamp.Add(startupTime).After(now):
			c.starting[node.Name] = true
			for _, n := range counts {
				n.NotStarted++
			}
		default:
			for _, n := range counts {
				n.Unready++
			}
		}
	}
	missing := map[string]time.Time{}
	for _, g := range c.groups {
		limit := or(g.Override.ProvisionTime, o.MaxNodeProvisionTime)
		for _, instance := range g.Instances {
			if instance.Terminating || registered[instance.ID] {
				continue
			}
			since, ok := m.Unregistered[instance.ID]
			if !ok {
				since = now
			}
			missing[instance.ID] = since
			if since.Add(limit).After(now) {
				g.state.Unregistered++
				continue
			}
			g.state.LongUnregistered++
			g.never = append(g.never, instance.ID)
		}
		c.total.Unregistered += g.state.Unregistered
		c.total.LongUnregistered += g.state.LongUnregistered
		g.state.Upcoming = max(0, g.Desired-g.state.Ready-g.state.Unready-g.state.LongUnregistered-held[g])
		g.state.Healthy = o.healthy(g.state.Unready+g.state.LongUnregistered, g.state.Ready+g.state.Unready+g.state.NotStarted)
	}
	m.Unregistered = missing
	c.healthy = o.healthy(c.total.Unready+c.total.LongUnregistered, c.total.Registered())
	return c
}

// healthy says that not too many nodes are unready.
func (o *Options) healthy(unready, nodes int) bool {
	return unready <= o.OKUnreadyCount || float64(unready) <= o.MaxUnreadyPercentage/100*float64(nodes)
}

// size is how many nodes the cluster is going to have.
func (c *census) size() int {
	n := c.total.Ready + c.total.Unready + c.total.NotStarted
	for _, g := range c.groups {
		n += g.state.Upcoming - g.state.NotStarted // the latter are among the former
	}
	return n
}

// startupTaint says that a taint goes away when the node is set up.
func (o *Options) startupTaint(key string) bool {
	return slices.Contains(o.StartupTaints, key) ||
		strings.HasPrefix(key, "ignore-taint.cluster-autoscaler.kubernetes.io/") ||
		strings.HasPrefix(key, "startup-taint.cluster-autoscaler.kubernetes.io/")
}

// statusTaint says that a taint tells of a node's condition.
func (o *Options) statusTaint(key string) bool {
	return slices.Contains(o.StatusTaints, key) || strings.HasPrefix(key, "status-taint.cluster-autoscaler.kubernetes.io/")
}
