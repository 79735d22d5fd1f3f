package autoscaler

import (
	"context"
	"fmt"
	goruntime "runtime"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// filters are the scheduler's plug-ins that say whether a pod fits a node, in
// the order in which they are asked. The last two depend on where other pods
// are; what another refuses, it refuses for good while pods are only added.
var filters = []string{
	names.NodeUnschedulable, names.NodeName, names.TaintToleration, names.NodeAffinity, names.NodePorts,
	names.NodeResourcesFit, names.VolumeRestrictions, names.NodeVolumeLimits, names.VolumeBinding, names.VolumeZone,
	names.PodTopologySpread, names.InterPodAffinity,
}

// movable says that a plug-in may change its mind as pods are added.
func movable(plugin string) bool {
	return plugin == names.PodTopologySpread || plugin == names.InterPodAffinity
}

// profile is the scheduler's default one as far as it filters. Constraints that
// the scheduler puts on pods by itself are wishes, and are left out.
func profile() *config.KubeSchedulerProfile {
	p := &config.KubeSchedulerProfile{
		SchedulerName: corev1.DefaultSchedulerName,
		Plugins: &config.Plugins{
			QueueSort: config.PluginSet{Enabled: []config.Plugin{{Name: names.PrioritySort}}},
			Bind:      config.PluginSet{Enabled: []config.Plugin{{Name: names.DefaultBinder}}},
		},
		PluginConfig: []config.PluginConfig{
			{Name: names.NodeAffinity, Args: &config.NodeAffinityArgs{}},
			{Name: names.NodeResourcesFit, Args: &config.NodeResourcesFitArgs{ScoringStrategy: &config.ScoringStrategy{
				Type:      config.LeastAllocated,
				Resources: []config.ResourceSpec{{Name: "cpu", Weight: 1}, {Name: "memory", Weight: 1}},
			}}},
			{Name: names.VolumeBinding, Args: &config.VolumeBindingArgs{
				BindTimeoutSeconds: 600, Shape: []config.UtilizationShapePoint{{Utilization: 0, Score: 0}, {Utilization: 100, Score: 10}},
			}},
			{Name: names.PodTopologySpread, Args: &config.PodTopologySpreadArgs{DefaultingType: config.ListDefaulting}},
			{Name: names.InterPodAffinity, Args: &config.InterPodAffinityArgs{HardPodAffinityWeight: 1}},
		},
	}
	first := map[string]bool{ // these look at the pod and the whole cluster first
		names.NodeAffinity: true, names.NodePorts: true, names.NodeResourcesFit: true, names.VolumeRestrictions: true,
		names.NodeVolumeLimits: true, names.VolumeBinding: true, names.VolumeZone: true,
		names.PodTopologySpread: true, names.InterPodAffinity: true,
	}
	for _, name := range filters {
		p.Plugins.Filter.Enabled = append(p.Plugins.Filter.Enabled, config.Plugin{Name: name})
		if first[name] {
			p.Plugins.PreFilter.Enabled = append(p.Plugins.PreFilter.Enabled, config.Plugin{Name: name})
		}
	}
	return p
}

var initMetrics = sync.OnceFunc(metrics.InitMetrics) // the framework observes them, nobody reads them

var noLog klog.Logger // which plug-in said what is not what the autoscaler logs

// cluster is a picture of nodes with their pods, in which pods are placed to
// see what the scheduler would say. It is not safe for concurrent use.
type cluster struct {
	context.Context
	scheduler framework.Framework
	nodes     []fwk.NodeInfo // *framework.NodeInfo, in a fixed order
	byName    map[string]*framework.NodeInfo
	claims    map[string]int // pods by claim, "namespace/name"

	// journal takes back what happened since mark.
	journal []func()
	trace   []step
}

// newCluster returns an empty picture. It lives until ctx ends.
func newCluster(ctx context.Context, s *Snapshot) (*cluster, error) {
	initMetrics()
	ctx = klog.NewContext(ctx, noLog)
	c := &cluster{Context: ctx, byName: map[string]*framework.NodeInfo{}, claims: map[string]int{}}
	objects := inventory(s)
	var client kubernetes.Interface // nothing is bound
	scheduler, err := runtime.NewFramework(ctx, plugins.NewInTreeRegistry(), profile(),
		runtime.WithInformerFactory(objects), runtime.WithClientSet(client), runtime.WithSnapshotSharedLister(lister{c}),
		runtime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(objects.Storage().V1().CSINodes().Lister())),
		runtime.WithParallelism(2))
	if err != nil {
		return nil, fmt.Errorf("setting up the scheduler's plug-ins: %w", err)
	}
	c.scheduler = scheduler
	return c, nil
}

// add puts a node with its pods into the picture.
func (c *cluster) add(node *corev1.Node, pods ...*corev1.Pod) *framework.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	c.nodes = append(c.nodes, info)
	c.byName[node.Name] = info
	c.journal = append(c.journal, func() {
		c.nodes = c.nodes[:len(c.nodes)-1] // what was added later is gone already
		delete(c.byName, node.Name)
	})
	for _, pod := range pods {
		c.put(pod, info)
	}
	return info
}

// begin puts the cluster's nodes with their pods into an empty picture.
func (c *cluster) begin(nodes []*corev1.Node, pods map[string][]*corev1.Pod) {
	infos := make([]*framework.NodeInfo, len(nodes))
	workqueue.ParallelizeUntil(c, goruntime.GOMAXPROCS(0), len(nodes), func(i int) {
		infos[i] = framework.NewNodeInfo(pods[nodes[i].Name]...)
		infos[i].SetNode(nodes[i])
	})
	for i, node := range nodes {
		c.nodes = append(c.nodes, infos[i])
		c.byName[node.Name] = infos[i]
		for _, pod := range pods[node.Name] {
			c.count(pod, 1)
		}
	}
}

// put places a pod on a node.
func (c *cluster) put(pod *corev1.Pod, on *framework.NodeInfo) {
	on.AddPod(pod)
	c.count(pod, 1)
	c.journal = append(c.journal, func() {
		_ = on.RemovePod(noLog, pod) // it is there: it was just put there
		c.count(pod, -1)
	})
}

// take takes a pod off its node, if it is there.
func (c *cluster) take(pod *corev1.Pod, off *framework.NodeInfo) {
	if off.RemovePod(noLog, pod) != nil {
		return
	}
	c.count(pod, -1)
	c.journal = append(c.journal, func() {
		off.AddPod(pod)
		c.count(pod, 1)
	})
}

// taint keeps new pods off a node.
func (c *cluster) taint(info *framework.NodeInfo, key string) {
	before := info.Node()
	after := before.DeepCopy()
	after.Spec.Taints = append(after.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	info.SetNode(after)
	c.journal = append(c.journal, func() { info.SetNode(before) })
}

func (c *cluster) count(pod *corev1.Pod, n int) {
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			c.claims[pod.Namespace+"/"+v.PersistentVolumeClaim.ClaimName] += n
		}
	}
}

// mark is a moment that back returns to.
func (c *cluster) mark() int { return len(c.journal) }

func (c *cluster) back(to int) {
	for i := len(c.journal) - 1; i >= to; i-- {
		c.journal[i]()
	}
	clear(c.journal[to:])
	c.journal = c.journal[:to]
}

// verdict is the scheduler's on one kind of pod.
type verdict struct {
	c      *cluster
	pod    *corev1.Pod
	state  fwk.CycleState
	only   sets.Set[string] // nodes that are possible at all, nil for all
	status *fwk.Status      // why none is
}

// judge prepares the verdict on pods like this one, in the picture as it is now.
func (c *cluster) judge(pod *corev1.Pod) *verdict {
	v := &verdict{c: c, pod: pod, state: framework.NewCycleState()}
	result, status, _ := c.scheduler.RunPreFilterPlugins(c, v.state, pod)
	if !status.IsSuccess() {
		v.status = status
	} else if !result.AllNodes() {
		v.only = result.NodeNames
	}
	return v
}

// on says why the pod does not fit a node, nil if it fits.
func (v *verdict) on(info *framework.NodeInfo) *fwk.Status {
	if v.status != nil {
		return v.status
	}
	if v.only != nil && !v.only.Has(info.Node().Name) {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node(s) didn't satisfy plugin(s) simultaneously")
	}
	return v.c.scheduler.RunFilterPlugins(v.c, v.state, v.pod, info)
}

// placed takes note that a pod was put on a node since judge.
func (v *verdict) placed(pod *corev1.Pod, info *framework.NodeInfo) {
	v.note(pod, info, v.c.scheduler.RunPreFilterExtensionAddPod)
}

// gone takes note that a pod was taken off a node since judge.
func (v *verdict) gone(pod *corev1.Pod, info *framework.NodeInfo) {
	v.note(pod, info, v.c.scheduler.RunPreFilterExtensionRemovePod)
}

func (v *verdict) note(pod *corev1.Pod, info *framework.NodeInfo,
	run func(context.Context, fwk.CycleState, *corev1.Pod, fwk.PodInfo, fwk.NodeInfo) *fwk.Status,
) {
	if v.status != nil {
		return
	}
	p, err := framework.NewPodInfo(pod)
	if err != nil { // a selector that does not parse: no pod of the kind is placed again
		v.status = fwk.AsStatus(err)
		return
	}
	if s := run(v.c, v.state, v.pod, p, info); !s.IsSuccess() {
		v.status = s
	}
}

// clone is a verdict that takes note of other things.
func (v *verdict) clone() *verdict {
	w := *v
	w.state = v.state.Clone()
	return &w
}
