package autoscaler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAPlanKeepsTheRules makes random clusters, groups and pods: whatever is
// planned, no group leaves its bounds, no budget is overdrawn, and where the
// plan sees a pod, the scheduler's plug-ins, asked afresh, see it too.
func TestAPlanKeepsTheRules(t *testing.T) {
	n := 150
	if testing.Short() {
		n = 30
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			w, o := random(r)
			d := w.plan(t, o)
			checkSizes(t, w, &o, &d)
			replay(t, w, &o, &d)
			if t.Failed() {
				for _, l := range d.Log {
					t.Log(l.Text)
				}
			}
		})
	}
}

func random(r *rand.Rand) (*world, Options) {
	w, o := newWorld(), Defaults()
	o.UnneededTime, o.MaxDrainParallelism = 0, 1+r.IntN(3)
	o.BalanceSimilar = r.IntN(2) == 0
	o.Expanders = []string{Expanders[r.IntN(len(Expanders)-1)]}
	if r.IntN(4) == 0 {
		o.MaxNodesTotal = 3 + r.IntN(12)
	}
	if r.IntN(5) == 0 {
		o.MaxCores = int64(4 + r.IntN(30))
	}
	if r.IntN(2) == 0 {
		w.daemonSet("aws-node", "50m", "64Mi")
	}
	for g := range 1 + r.IntN(3) {
		low := r.IntN(3)
		size := low + r.IntN(5)
		group := w.group(fmt.Sprintf("g%d", g), low, size+r.IntN(4), size)
		group.Template.Labels[corev1.LabelTopologyZone] = "ap-northeast-2" + string(rune('a'+r.IntN(3)))
		group.Desired += min(r.IntN(2), group.Max-group.Desired) // one may be on its way
		if r.IntN(4) == 0 {
			group.Template.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
		}
	}
	apps := []string{"a", "b", "c"}
	kinds := make([]func(*corev1.Pod), 6)
	for k := range kinds {
		app, shape := apps[r.IntN(len(apps))], r.IntN(6)
		kinds[k] = func(p *corev1.Pod) {
			p.Labels = map[string]string{"app": app}
			terms := []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}}
			switch shape {
			case 0:
				p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
			case 1:
				p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
			case 2, 3:
				key := []string{corev1.LabelHostname, corev1.LabelTopologyZone}[shape-2]
				p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
					MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: terms[0].LabelSelector,
				}}
			case 4:
				p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
			}
		}
	}
	sizes := []string{"100m", "300m", "700m", "1200m"}
	for _, node := range w.Nodes {
		for range r.IntN(4) {
			w.pod(node.Name, sizes[r.IntN(3)], "256Mi", kinds[r.IntN(len(kinds))])
		}
	}
	for range r.IntN(25) * r.IntN(2) {
		w.pod("", sizes[r.IntN(len(sizes))], "512Mi", kinds[r.IntN(len(kinds))])
	}
	for _, app := range apps {
		if r.IntN(3) == 0 {
			w.budget(app, int32(r.IntN(3)))
		}
	}
	// Empty nodes are on their way out, and the groups' sizes may be older than that.
	w.Described, w.Memory.Deleting = now.Add(-time.Second), map[string]Deletion{}
	for _, node := range w.Nodes {
		used := slices.ContainsFunc(w.Pods, func(p *corev1.Pod) bool { return p.Spec.NodeName == node.Name && !isDaemon(p) })
		if group, _, _ := strings.Cut(node.Name, "-"); !used && r.IntN(3) == 0 && left(w, group) > 0 {
			w.Memory.Deleting[node.Name] = Deletion{Group: group, Gone: r.IntN(2) == 0, Since: now.Add(-time.Duration(r.IntN(3)) * time.Second)}
		}
	}
	return w, o
}

// left is how many nodes a group could still do without.
func left(w *world, group string) int {
	n := 0
	for _, g := range w.Groups {
		if g.Name == group {
			n = g.Desired - g.Min
		}
	}
	for _, d := range w.Memory.Deleting {
		if d.Group == group && d.counted(w.Described) {
			n--
		}
	}
	return n
}

func checkSizes(t *testing.T, w *world, o *Options, d *Decision) {
	t.Helper()
	size, least := map[string]int{}, map[string]int{}
	total := 0
	for _, g := range w.Groups {
		size[g.Name], least[g.Name] = g.Desired, g.Min
		total += g.Desired
	}
	for _, up := range d.ScaleUps {
		if up.From != size[up.Group] || up.To <= up.From || up.To > up.Max {
			t.Errorf("scale-up %v of a group of %d", up, size[up.Group])
		}
		total += up.To - up.From
		size[up.Group] = up.To
	}
	if o.MaxNodesTotal > 0 && len(d.ScaleUps) > 0 && total > o.MaxNodesTotal {
		t.Errorf("%d nodes, at most %d are allowed", total, o.MaxNodesTotal)
	}
	for _, deletion := range w.Memory.Deleting {
		if deletion.counted(w.Described) {
			size[deletion.Group]--
		}
	}
	drains := 0
	budgets := newBudgets(w.Budgets)
	for _, r := range d.Remove {
		if size[r.Group]--; size[r.Group] < least[r.Group] {
			t.Errorf("group %s is left with %d nodes", r.Group, size[r.Group])
		}
		if r.Drain {
			drains++
		}
		for _, pod := range r.Pods {
			for _, b := range budgets.of(pod) {
				if b.allowed < 1 {
					t.Errorf("pod %s is moved against its budget", pod.Name)
				}
			}
		}
		budgets.spend(r.Pods)
	}
	if drains > o.MaxDrainParallelism || len(d.Remove) > o.MaxScaleDownParallelism {
		t.Errorf("%d nodes removed, %d drained", len(d.Remove), drains)
	}
}

// replay does again what the plan did, and asks the plug-ins at each step.
func replay(t *testing.T, w *world, o *Options, d *Decision) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := newCluster(ctx, &w.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	memory := w.Memory.clone()
	who := count(&w.Snapshot, o, &memory, now)
	w.picture(c, who, findPending(&w.Snapshot, o), o)
	templates := map[string]*template{}
	for _, g := range who.groups {
		templates[g.Name] = newTemplate(c, g, daemonPods(&w.Snapshot), o)
	}
	upcome(c, who, templates)
	placed := map[*corev1.Pod]bool{}
	for _, s := range d.trace {
		if s.pod == nil {
			c.add(s.node, s.with...)
			continue
		}
		info := c.byName[s.node.Name]
		if why := c.judge(s.pod).on(info); !why.IsSuccess() {
			t.Errorf("pod %s does not fit %s: %v", s.pod.Name, s.node.Name, why.Reasons())
		}
		c.put(s.pod, info)
		placed[s.pod] = true
	}
	for _, s := range d.Stuck {
		placed[s.Pod] = true
	}
	for _, pod := range findPending(&w.Snapshot, o).unschedulable {
		if !placed[pod] {
			t.Errorf("nothing is said of pod %s", pod.Name)
		}
	}
	for _, r := range d.Remove {
		info := c.byName[r.Node.Name]
		for _, pod := range r.Pods {
			c.take(pod, info)
		}
		c.taint(info, toBeDeletedTaint)
		if len(r.Moves) != len(r.Pods) {
			t.Errorf("%d of %d pods of %s have a place", len(r.Moves), len(r.Pods), r.Node.Name)
		}
		for _, m := range r.Moves {
			to := c.byName[m.Node]
			if why := c.judge(m.Pod).on(to); !why.IsSuccess() {
				t.Errorf("pod %s of %s does not fit %s: %v", m.Pod.Name, r.Node.Name, m.Node, why.Reasons())
			}
			c.put(m.Pod, to)
		}
	}
}

// A plan does not change what it was given, and is the same the next time.
func TestPlanIsPure(t *testing.T) {
	for seed := range 10 {
		w, o := random(rand.New(rand.NewPCG(uint64(seed), 7)))
		w.Memory = Memory{Unneeded: map[string]time.Time{w.Nodes[0].Name: now.Add(-time.Minute)}}
		before := fmt.Sprintf("%v %v %v", w.Memory, w.Groups, w.Nodes)
		one, two := w.plan(t, o), w.plan(t, o)
		if after := fmt.Sprintf("%v %v %v", w.Memory, w.Groups, w.Nodes); before != after {
			t.Errorf("the snapshot was\n%s\nand is\n%s", before, after)
		}
		if a, b := fmt.Sprint(one.ScaleUps, one.Unneeded, one.Log), fmt.Sprint(two.ScaleUps, two.Unneeded, two.Log); a != b {
			t.Errorf("once\n%s\nand then\n%s", a, b)
		}
	}
}
