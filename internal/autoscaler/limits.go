package autoscaler

import corev1 "k8s.io/api/core/v1"

// limits are the bounds of the whole cluster's cores and memory.
type limits struct {
	cores, memory       int64 // what there is, and is to come
	maxCores, maxMemory int64
	minCores, minMemory int64
}

func newLimits(s *Snapshot, who *census, templates map[string]*template, o *Options) limits {
	l := limits{maxCores: o.MaxCores, maxMemory: o.MaxMemory, minCores: o.MinCores, minMemory: o.MinMemory}
	for _, node := range s.Nodes {
		if who.leaving[node.Name] || who.starting[node.Name] && who.ofNode[node.Name] != nil {
			continue
		}
		l.add(node, 1)
	}
	for _, g := range who.groups {
		if t := templates[g.Name]; t != nil {
			l.add(t.node, g.state.Upcoming)
		}
	}
	return l
}

func coresAndMemory(node *corev1.Node) (cores, memory int64) {
	return node.Status.Capacity.Cpu().Value(), node.Status.Capacity.Memory().Value()
}

// add counts n more nodes, or fewer if n is negative.
func (l *limits) add(node *corev1.Node, n int) {
	cores, memory := coresAndMemory(node)
	l.cores += cores * int64(n)
	l.memory += memory * int64(n)
}

// exceeded are the bounds that n more nodes would break.
func (l *limits) exceeded(node *corev1.Node, n int) []string {
	cores, memory := coresAndMemory(node)
	var over []string
	if l.maxCores > 0 && l.cores+cores*int64(n) > l.maxCores {
		over = append(over, "cpu")
	}
	if l.maxMemory > 0 && l.memory+memory*int64(n) > l.maxMemory {
		over = append(over, "memory")
	}
	return over
}

// spares says whether the cluster keeps its least size without the node.
func (l *limits) spares(node *corev1.Node) bool {
	cores, memory := coresAndMemory(node)
	return l.cores-cores >= l.minCores && l.memory-memory >= l.minMemory
}
