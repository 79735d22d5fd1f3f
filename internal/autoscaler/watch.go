package autoscaler

import (
	"context"
	"fmt"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// prioritiesMap is the ConfigMap of the priority expander.
const prioritiesMap = "cluster-autoscaler-priority-expander"

// watch keeps up with the cluster's objects.
type watch struct {
	factory informers.SharedInformerFactory
	own     informers.SharedInformerFactory // of the autoscaler's namespace, nil if it needs none
	pods    corelisters.PodLister
	nodes   corelisters.NodeLister
	ended   signal // a pod ended or went away
}

// newWatch prepares to watch. kick is called when a pod turns out to be
// unschedulable, arrived when nodes come, go or become ready.
func newWatch(client kubernetes.Interface, namespace string, o *Options, kick, arrived func()) (*watch, error) {
	w := &watch{factory: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim))}
	core := w.factory.Core().V1()
	w.pods, w.nodes = core.Pods().Lister(), core.Nodes().Lister()
	_, err := core.Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if pod, ok := obj.(*corev1.Pod); ok && unscheduled(pod, o.BypassedSchedulers) {
				kick()
			}
		},
		UpdateFunc: func(before, obj any) {
			was, ok1 := before.(*corev1.Pod)
			pod, ok2 := obj.(*corev1.Pod)
			if !ok1 || !ok2 {
				return
			}
			if unscheduled(pod, o.BypassedSchedulers) && !unscheduled(was, o.BypassedSchedulers) {
				kick()
			}
			if over(pod) && !over(was) {
				w.ended.fire()
			}
		},
		DeleteFunc: func(any) { w.ended.fire() },
	})
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	_, err = core.Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { arrived() },
		UpdateFunc: func(before, obj any) {
			was, ok1 := before.(*corev1.Node)
			node, ok2 := obj.(*corev1.Node)
			if ok1 && ok2 && (isReady(was, o) != isReady(node, o) || was.Spec.ProviderID != node.Spec.ProviderID) {
				arrived()
			}
		},
		DeleteFunc: func(any) { arrived() },
	})
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	for _, informer := range []cache.SharedIndexInformer{ // what the snapshot lists
		core.Namespaces().Informer(), core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer(),
		core.ReplicationControllers().Informer(),
		w.factory.Apps().V1().DaemonSets().Informer(), w.factory.Apps().V1().ReplicaSets().Informer(), w.factory.Apps().V1().StatefulSets().Informer(),
		w.factory.Batch().V1().Jobs().Informer(), w.factory.Policy().V1().PodDisruptionBudgets().Informer(),
		w.factory.Storage().V1().StorageClasses().Informer(), w.factory.Storage().V1().CSINodes().Informer(),
		w.factory.Storage().V1().CSIDrivers().Informer(), w.factory.Storage().V1().CSIStorageCapacities().Informer(),
	} {
		_ = informer // asking for it is what registers it
	}
	for _, e := range o.Expanders {
		if e != "priority" || w.own != nil {
			continue
		}
		w.own = informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace), informers.WithTransform(trim),
			informers.WithTweakListOptions(func(l *metav1.ListOptions) {
				l.FieldSelector = fields.OneTermEqualSelector("metadata.name", prioritiesMap).String()
			}))
		w.own.Core().V1().ConfigMaps().Informer()
	}
	return w, nil
}

// run starts watching and returns when everything has been listed once.
func (w *watch) run(ctx context.Context) error {
	for _, f := range []informers.SharedInformerFactory{w.factory, w.own} {
		if f == nil {
			continue
		}
		f.StartWithContext(ctx)
		for kind, ok := range f.WaitForCacheSync(ctx.Done()) {
			if !ok {
				return fmt.Errorf("listing %s: %w", kind, context.Cause(ctx))
			}
		}
	}
	return nil
}

// stop waits for the informers to end, after their context has.
func (w *watch) stop() {
	w.factory.Shutdown()
	if w.own != nil {
		w.own.Shutdown()
	}
}

// snapshot is the cluster as it is known now, without groups and memory.
func (w *watch) snapshot(namespace string) (Snapshot, error) {
	s := Snapshot{Replicas: map[types.UID]int32{}}
	all := labels.Everything()
	var errs [13]error
	core, apps, storage := w.factory.Core().V1(), w.factory.Apps().V1(), w.factory.Storage().V1()
	s.Nodes, errs[0] = w.nodes.List(all)
	s.Pods, errs[1] = w.pods.List(all)
	s.Namespaces, errs[2] = core.Namespaces().Lister().List(all)
	s.DaemonSets, errs[3] = apps.DaemonSets().Lister().List(all)
	s.Budgets, errs[4] = w.factory.Policy().V1().PodDisruptionBudgets().Lister().List(all)
	s.Storage.Claims, errs[5] = core.PersistentVolumeClaims().Lister().List(all)
	s.Storage.Volumes, errs[6] = core.PersistentVolumes().Lister().List(all)
	s.Storage.Classes, errs[7] = storage.StorageClasses().Lister().List(all)
	s.Storage.Nodes, errs[8] = storage.CSINodes().Lister().List(all)
	s.Storage.Drivers, errs[9] = storage.CSIDrivers().Lister().List(all)
	s.Storage.Capacities, errs[10] = storage.CSIStorageCapacities().Lister().List(all)
	for _, err := range errs {
		if err != nil {
			return s, fmt.Errorf("listing the cluster's objects: %w", err)
		}
	}
	for _, informer := range []cache.SharedIndexInformer{
		core.ReplicationControllers().Informer(), apps.ReplicaSets().Informer(), apps.StatefulSets().Informer(), w.factory.Batch().V1().Jobs().Informer(),
	} {
		for _, obj := range informer.GetStore().List() {
			uid, n := replicas(obj)
			s.Replicas[uid] = n
		}
	}
	if w.own != nil {
		if m, err := w.own.Core().V1().ConfigMaps().Lister().ConfigMaps(namespace).Get(prioritiesMap); err == nil {
			s.Priorities = m.Data["priorities"]
		}
	}
	sortByName(s.Nodes)
	sortByName(s.Pods)
	return s, nil
}

// replicas is how many pods a controller is to have.
func replicas(obj any) (types.UID, int32) {
	one := func(n *int32) int32 {
		if n == nil {
			return 1
		}
		return *n
	}
	switch o := obj.(type) {
	case *corev1.ReplicationController:
		return o.UID, one(o.Spec.Replicas)
	case *appsv1.ReplicaSet:
		return o.UID, one(o.Spec.Replicas)
	case *appsv1.StatefulSet:
		return o.UID, one(o.Spec.Replicas)
	case *batchv1.Job:
		return o.UID, one(o.Spec.Parallelism)
	}
	return "", 0
}

// trim drops what decisions do not need: most of what a cache of a large
// cluster would hold.
func trim(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		trimPod(o)
	case *corev1.Node:
		o.Status.Images = nil
	case *corev1.ReplicationController:
		o.Spec.Template, o.Annotations = nil, nil
	case *appsv1.ReplicaSet:
		o.Spec.Template, o.Annotations = corev1.PodTemplateSpec{}, nil
	case *appsv1.StatefulSet:
		o.Spec.Template, o.Spec.VolumeClaimTemplates, o.Annotations = corev1.PodTemplateSpec{}, nil, nil
	case *batchv1.Job:
		o.Spec.Template, o.Annotations = corev1.PodTemplateSpec{}, nil
	}
	return obj, nil
}

func trimPod(pod *corev1.Pod) {
	for k := range pod.Annotations {
		if k != corev1.MirrorPodAnnotationKey && !strings.HasPrefix(k, "cluster-autoscaler.kubernetes.io/") {
			delete(pod.Annotations, k)
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i, c := range list {
			list[i] = corev1.Container{Name: c.Name, Ports: c.Ports, Resources: c.Resources, RestartPolicy: c.RestartPolicy}
		}
	}
	pod.Spec.EphemeralContainers = nil
	status := corev1.PodStatus{
		Phase: pod.Status.Phase, NominatedNodeName: pod.Status.NominatedNodeName, Resources: pod.Status.Resources,
		AllocatedResources: pod.Status.AllocatedResources,
	}
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodScheduled, corev1.PodResizePending, corev1.PodResizeInProgress:
			status.Conditions = append(status.Conditions, c)
		}
	}
	resized := func(list []corev1.ContainerStatus) []corev1.ContainerStatus {
		var short []corev1.ContainerStatus
		for _, c := range list {
			short = append(short, corev1.ContainerStatus{Name: c.Name, AllocatedResources: c.AllocatedResources, Resources: c.Resources})
		}
		return short
	}
	status.ContainerStatuses, status.InitContainerStatuses = resized(pod.Status.ContainerStatuses), resized(pod.Status.InitContainerStatuses)
	pod.Status = status
}

// signal wakes all who wait.
type signal struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

// wait returns a channel that is closed when the signal is next fired.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}
