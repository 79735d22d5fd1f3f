package autoscaler

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// inventory shows the snapshot's objects to plug-ins that want informers.
func inventory(s *Snapshot) informers.SharedInformerFactory {
	f := informers.NewSharedInformerFactory(nil, 0)
	still(f, s.Namespaces, &corev1.Namespace{})
	still(f, s.Storage.Claims, &corev1.PersistentVolumeClaim{})
	still(f, s.Storage.Volumes, &corev1.PersistentVolume{})
	still(f, s.Storage.Classes, &storagev1.StorageClass{})
	still(f, s.Storage.Nodes, &storagev1.CSINode{})
	still(f, s.Storage.Drivers, &storagev1.CSIDriver{})
	still(f, s.Storage.Capacities, &storagev1.CSIStorageCapacity{})
	return f
}

// still registers an informer that has the objects and never gets others.
func still[T runtime.Object](f informers.SharedInformerFactory, objects []T, example T) {
	f.InformerFor(example, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		i := &stillInformer{cache.NewSharedIndexInformer(nil, example, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})}
		for _, o := range objects {
			_ = i.GetIndexer().Add(o) // objects have names
		}
		return i
	})
}

type stillInformer struct{ cache.SharedIndexInformer }

// AddEventHandler tells the handler of all objects at once.
func (i *stillInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	for _, o := range i.GetIndexer().List() {
		h.OnAdd(o, true)
	}
	return i.SharedIndexInformer.AddEventHandler(cache.ResourceEventHandlerFuncs{})
}

// lister shows the picture to the plug-ins.
type lister struct{ c *cluster }

var errNoNode = errors.New("no such node")

// errNoPodGroup is the answer to what only the scheduling of pod groups asks.
var errNoPodGroup = errors.New("no such pod group")

func (l lister) NodeInfos() fwk.NodeInfoLister                             { return l }
func (l lister) StorageInfos() fwk.StorageInfoLister                       { return l }
func (l lister) PodGroupStates() fwk.PodGroupStateLister                   { return noGroups{} }
func (l lister) PodGroups() fwk.PodGroupLister                             { return noGroupObjects{} }
func (l lister) CompositePodGroupStates() fwk.CompositePodGroupStateLister { return noComposites{} }
func (l lister) CompositePodGroups() fwk.CompositePodGroupLister           { return noCompositeObjects{} }

func (l lister) List() ([]fwk.NodeInfo, error)     { return l.c.nodes, nil }
func (l lister) IsPVCUsedByPods(claim string) bool { return l.c.claims[claim] > 0 }

func (l lister) Get(name string) (fwk.NodeInfo, error) {
	if info := l.c.byName[name]; info != nil {
		return info, nil
	}
	return nil, errNoNode
}

func (l lister) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(func(n *framework.NodeInfo) bool { return len(n.PodsWithAffinity) > 0 }), nil
}

func (l lister) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(func(n *framework.NodeInfo) bool { return len(n.PodsWithRequiredAntiAffinity) > 0 }), nil
}

func (l lister) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(func(n *framework.NodeInfo) bool { return len(n.PodsWithRequiredNonHostScopedAntiAffinity) > 0 }), nil
}

func (l lister) having(pods func(*framework.NodeInfo) bool) []fwk.NodeInfo {
	var list []fwk.NodeInfo
	for _, n := range l.c.nodes {
		if pods(n.(*framework.NodeInfo)) {
			list = append(list, n)
		}
	}
	return list
}

type (
	noGroups           struct{}
	noGroupObjects     struct{}
	noComposites       struct{}
	noCompositeObjects struct{}
)

func (noGroups) Get(string, string) (fwk.PodGroupState, error) { return nil, errNoPodGroup }
func (noGroupObjects) Get(string, string) (*schedulingv1beta1.PodGroup, error) {
	return nil, errNoPodGroup
}

func (noComposites) Get(string, string) (fwk.CompositePodGroupState, error) {
	return nil, errNoPodGroup
}

func (noCompositeObjects) Get(string, string) (*schedulingv1alpha3.CompositePodGroup, error) {
	return nil, errNoPodGroup
}
