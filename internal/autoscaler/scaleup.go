package autoscaler

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// option is a group that could be made larger.
type option struct {
	group   *groupCensus
	node    *corev1.Node // what a new one looks like
	count   int          // new nodes
	pods    []*corev1.Pod
	similar []*groupCensus
}

// helper decides on scale-ups.
type helper struct {
	c         *cluster
	o         *Options
	s         *Snapshot
	d         *Decision
	who       *census
	templates map[string]*template
	size      map[*groupCensus]int // desired sizes, as decided so far
	nodes     int                  // of the cluster, with those to come
	limits    limits
	dice      *rand.Rand
	verdicts  map[*class]*verdict // on the picture without new nodes
	shy       bool                // some of the pods keep others away
}

// judge prepares the verdicts on classes, before there are new nodes.
func (h *helper) judge(list []*class) {
	h.verdicts, h.shy = map[*class]*verdict{}, false
	for _, c := range list {
		h.verdicts[c] = h.c.judge(c.pods[0])
		a := c.pods[0].Spec.Affinity
		h.shy = h.shy || a != nil && a.PodAntiAffinity != nil
	}
}

// seek looks for places for a class on these new nodes.
func (h *helper) seek(c *class, nodes []*framework.NodeInfo) *seeker {
	if h.shy { // what the new nodes' pods say of this class is in none of the verdicts
		return h.c.seek(c, nodes)
	}
	v := h.verdicts[c]
	if c.constrained {
		v = v.clone()
	}
	s := v.seek(c, nil)
	for _, info := range nodes {
		s.offer(info)
	}
	return s
}

// help makes groups larger until no scale-up helps any of the pods.
func (h *helper) help(pods []*corev1.Pod) {
	refusals := map[*corev1.Pod]map[string]int{}
	for len(pods) > 0 {
		list := classes(pods)
		h.judge(list)
		skipped, options := map[string]int{}, []*option(nil)
		refused := map[*class]map[string]int{}
		fits := map[*groupCensus][]*class{}
		var valid []*groupCensus
		for _, g := range h.who.groups {
			if why := h.skip(g); why != "" {
				skipped[why]++
				continue
			}
			valid = append(valid, g)
			fits[g] = h.fits(g, list, refused)
		}
		for _, g := range valid {
			if o := h.estimate(g, fits[g], h.similar(g, valid, fits)); o != nil {
				options = append(options, o)
			} else {
				h.d.say(4, "No pod can fit to %s", g.Name)
			}
		}
		for _, c := range list {
			reasons := maps.Clone(skipped)
			for why, n := range refused[c] {
				reasons[why] += n
			}
			for _, pod := range c.pods {
				refusals[pod] = reasons
			}
		}
		if len(options) == 0 {
			h.d.say(1, "No expansion options")
			break
		}
		best := h.choose(options)
		if best == nil {
			break
		}
		h.d.say(1, "Best option to resize: %s", best.group.Name)
		h.d.say(1, "Estimated %d nodes needed in %s", best.count, best.group.Name)
		if !h.grow(best) {
			break
		}
		pods = h.c.fit(pods)
	}
	for _, pod := range pods {
		h.d.Stuck = append(h.d.Stuck, Stuck{pod, refusals[pod]})
	}
}

// skip says why a group is not made larger, "" if it may be.
func (h *helper) skip(g *groupCensus) string {
	b, backedOff := h.d.Memory.Backoffs[g.Name]
	switch t := h.templates[g.Name]; {
	case !g.state.Healthy:
		h.d.warn("Node group %s is not ready for scaleup - unhealthy", g.Name)
		return "not ready for scale-up"
	case backedOff && g.state.Backoff != nil:
		h.d.warn("Node group %s is not ready for scaleup - backoff with status: {IsBackedOff:true ErrorInfo:{ErrorCode:%s ErrorMessage:%s}}", g.Name, b.Code, b.Message)
		return "in backoff after failed scale-up"
	case h.size[g] >= g.Max:
		h.d.say(4, "Skipping node group %s - max size reached", g.Name)
		return "max node group size reached"
	case t == nil:
		h.d.warn("No node info for: %s", g.Name)
		return "not ready for scale-up"
	case t.lacking && h.o.ForceDaemonSets:
		h.d.warn("Skipping node group %s - not all DaemonSets' pods fit its nodes", g.Name)
		return "not ready for scale-up"
	default:
		if over := h.limits.exceeded(t.node, 1); len(over) > 0 {
			h.d.say(4, "Skipping node group %s - max limit of %s reached", g.Name, strings.Join(over, ", "))
			return fmt.Sprintf("max cluster %s limit reached", strings.Join(over, ", "))
		}
		return ""
	}
}

// fits are the classes whose pods fit a new node of the group; for the others
// it adds the reasons to refused.
func (h *helper) fits(g *groupCensus, list []*class, refused map[*class]map[string]int) []*class {
	mark := h.c.mark()
	defer h.c.back(mark)
	info := h.templates[g.Name].fresh(h.c, g.Name, 0)
	var fit []*class
	for _, c := range list {
		why := h.seek(c, []*framework.NodeInfo{info}).v.on(info)
		if why.IsSuccess() {
			fit = append(fit, c)
			continue
		}
		pod := c.pods[0]
		h.d.say(2, "Pod %s/%s can't be scheduled on %s, predicate checking error: %s", pod.Namespace, pod.Name, g.Name, strings.Join(why.Reasons(), ", "))
		if n := len(c.pods); n > 1 {
			h.d.say(2, "%d other pods similar to %s can't be scheduled on %s", n-1, pod.Name, g.Name)
		}
		if refused[c] == nil {
			refused[c] = map[string]int{}
		}
		for _, reason := range reasons(why) {
			refused[c][reason]++
		}
	}
	return fit
}

func reasons(s *fwk.Status) []string {
	if list := s.Reasons(); len(list) > 0 {
		return list
	}
	return []string{s.Message()}
}

// estimate packs the classes onto new nodes of the group. It returns nil if
// that helps no pod.
func (h *helper) estimate(g *groupCensus, list []*class, similar []*groupCensus) *option {
	t := h.templates[g.Name]
	room := g.Max - h.size[g]
	for _, s := range similar {
		room += s.Max - h.size[s]
	}
	room = min(room, h.o.MaxNodesPerScaleUp)
	if h.o.MaxNodesTotal > 0 {
		room = min(room, h.o.MaxNodesTotal-h.nodes)
	}
	if room <= 0 {
		h.d.TotalReached = true
		return nil
	}
	mark := h.c.mark()
	defer h.c.back(mark)
	opt := &option{group: g, node: t.node, similar: similar}
	list = slices.Clone(list)
	largestFirst(list, t.node)
	var used []*framework.NodeInfo // new nodes, in the order in which they were added
	var spare *framework.NodeInfo  // the last of them, while it has no pod
	for _, c := range list {
		s := h.seek(c, used)
		for _, pod := range c.pods {
			info := s.place(pod)
			if info == nil && spare == nil && len(used) < room && len(h.limits.exceeded(t.node, len(used)+1)) == 0 {
				spare = t.fresh(h.c, g.Name, len(used))
				used = append(used, spare)
				s.offer(spare)
				info = s.place(pod)
			}
			if info == nil {
				break
			}
			if info == spare {
				spare = nil
			}
			opt.pods = append(opt.pods, pod)
		}
	}
	opt.count = len(used)
	if spare != nil {
		opt.count--
	}
	if opt.count == 0 {
		return nil
	}
	return opt
}

// grow takes an option: it says which groups get how many nodes, and adds them
// to the picture. It returns false if there is nothing to add.
func (h *helper) grow(opt *option) bool {
	targets := append([]*groupCensus{opt.group}, opt.similar...)
	if len(targets) > 1 {
		var all []string
		for _, g := range targets {
			all = append(all, g.Name)
		}
		h.d.say(1, "Splitting scale-up between %d similar node groups: {%s}", len(targets), strings.Join(all, ", "))
	}
	more := h.balance(targets, opt.count)
	var plan []ScaleUp
	for _, g := range targets {
		if more[g] == 0 {
			continue
		}
		up := ScaleUp{Group: g.Name, From: h.size[g], To: h.size[g] + more[g], Max: g.Max, Pods: opt.pods}
		plan = append(plan, up)
		for i := range more[g] {
			info := h.templates[g.Name].fresh(h.c, g.Name+"-new", h.size[g]+i)
			h.c.trace = append(h.c.trace, step{node: info.Node(), with: podsOf(info)})
		}
		h.size[g] += more[g]
		h.nodes += more[g]
		h.limits.add(h.templates[g.Name].node, more[g])
		at := slices.IndexFunc(h.d.ScaleUps, func(s ScaleUp) bool { return s.Group == g.Name })
		if at < 0 {
			h.d.ScaleUps = append(h.d.ScaleUps, up)
			continue
		}
		h.d.ScaleUps[at].To = up.To // a second choice of the same group
		h.d.ScaleUps[at].Pods = slices.Concat(h.d.ScaleUps[at].Pods, up.Pods)
	}
	h.d.say(1, "Final scale-up plan: %v", plan)
	return len(plan) > 0
}

// balance gives n nodes to groups, each time to the smallest that may grow.
func (h *helper) balance(groups []*groupCensus, n int) map[*groupCensus]int {
	more := map[*groupCensus]int{}
	for range n {
		open := slices.DeleteFunc(slices.Clone(groups), func(g *groupCensus) bool { return h.size[g]+more[g] >= g.Max })
		if len(open) == 0 {
			break
		}
		least := slices.MinFunc(open, func(a, b *groupCensus) int { return cmp.Compare(h.size[a]+more[a], h.size[b]+more[b]) })
		more[least]++
	}
	return more
}
