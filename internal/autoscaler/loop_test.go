package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/yaml"
)

// groups are Auto Scaling groups whose instances become nodes when a test says so.
type groups struct {
	mu     sync.Mutex
	list   []Group
	denied error
	calls  chan string // what was asked for, but for descriptions
}

func (g *groups) Groups(context.Context) ([]Group, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.denied != nil {
		return nil, g.denied
	}
	list := slices.Clone(g.list)
	for i := range list {
		list[i].Instances = slices.Clone(list[i].Instances)
	}
	return list, nil
}

func (g *groups) deny(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.denied = err
}

func (g *groups) Resize(_ context.Context, name string, size int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.list {
		if g.list[i].Name == name {
			g.list[i].Desired = size
		}
	}
	g.calls <- fmt.Sprintf("%s=%d", name, size)
	return nil
}

func (g *groups) Terminate(_ context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.list {
		at := slices.IndexFunc(g.list[i].Instances, func(in Instance) bool { return in.ID == id })
		if at >= 0 {
			g.list[i].Instances[at].Terminating = true
			g.list[i].Desired--
		}
	}
	g.calls <- "end " + id
	return nil
}

// rig is a loop on a fake cluster.
type rig struct {
	*testing.T
	client *fake.Clientset
	cloud  *groups
	events *record.FakeRecorder
	loop   *Loop
}

func newRig(t *testing.T, w *world, o Options, denied ...error) *rig {
	t.Helper()
	var objects []runtime.Object
	for _, n := range w.Nodes {
		objects = append(objects, n)
	}
	for _, p := range w.Pods {
		objects = append(objects, p)
	}
	for _, b := range w.Budgets {
		objects = append(objects, b)
	}
	objects = append(objects, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web"}})
	r := &rig{T: t, client: fake.NewClientset(objects...), cloud: &groups{list: w.Groups, calls: make(chan string, 100), denied: errors.Join(denied...)}, events: record.NewFakeRecorder(1000)}
	// As the apiserver does: an eviction takes the pod away, if its budget allows it.
	r.client.PrependReactor("create", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		e := a.(k8stesting.CreateAction).GetObject().(*policyv1.Eviction)
		budgets, err := r.client.Tracker().List(policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"), policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"), e.Namespace)
		if err != nil {
			return true, nil, err
		}
		for _, b := range budgets.(*policyv1.PodDisruptionBudgetList).Items {
			if b.Status.DisruptionsAllowed < 1 {
				return true, nil, apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 1)
			}
		}
		return true, nil, r.client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), e.Namespace, e.Name)
	})
	var err error
	r.loop, err = NewLoop(LoopConfig{
		Client: r.client, Cloud: r.cloud, Options: o, Namespace: "kube-system", StatusName: "cluster-autoscaler-status",
		ScanInterval: 200 * time.Millisecond, Recorder: r.events, Metrics: NewMetrics(true),
		Health: &Health{MaxInactivity: time.Minute, MaxFailing: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- r.loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("the loop ended: %v", err)
		}
	})
	return r
}

// call waits for the next thing that AWS is asked for.
func (r *rig) call(want string) {
	r.Helper()
	select {
	case got := <-r.cloud.calls:
		if got != want {
			r.Fatalf("AWS was asked for %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		r.Fatalf("AWS was not asked for %q", want)
	}
}

// event waits for an event that contains the text.
func (r *rig) event(text string) {
	r.Helper()
	var seen []string
	end := time.After(20 * time.Second)
	for {
		select {
		case e := <-r.events.Events:
			if strings.Contains(e, text) {
				return
			}
			seen = append(seen, e)
		case <-end:
			r.Fatalf("no event %q among %q", text, seen)
		}
	}
}

// status waits until the ConfigMap says what is wanted.
func (r *rig) status(want func(Status) bool) {
	r.Helper()
	var text string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		m, err := r.client.CoreV1().ConfigMaps("kube-system").Get(r.Context(), "cluster-autoscaler-status", metav1.GetOptions{})
		if err != nil {
			continue
		}
		text = m.Data["status"]
		var s Status
		if err := yaml.UnmarshalStrict([]byte(text), &s); err != nil {
			r.Fatal(err)
		}
		if want(s) {
			return
		}
	}
	r.Fatalf("the status stays\n%s", text)
}

func (r *rig) create(pod *corev1.Pod) {
	r.Helper()
	if _, err := r.client.CoreV1().Pods(pod.Namespace).Create(r.Context(), pod, metav1.CreateOptions{}); err != nil {
		r.Fatal(err)
	}
}

// waits makes the pod one that was created now and is unschedulable.
func waits(pod *corev1.Pod) { pod.CreationTimestamp = metav1.Now() }

func TestAPendingPodMakesTheGroupLarger(t *testing.T) {
	w := newWorld()
	w.group("workers", 1, 3, 1)
	w.pods(3, "workers-0", "600m", "512Mi")
	r := newRig(t, w, Defaults())
	r.status(func(s Status) bool {
		return s.AutoscalerStatus == "Running" && len(s.NodeGroups) == 1 && s.NodeGroups[0].Health.NodeCounts.Registered.Ready == 1 && s.ClusterWide.ScaleUp.Status == "NoActivity"
	})
	start := time.Now()
	r.create((&world{n: 900}).pod("", "600m", "512Mi", waits))
	r.call("workers=2")
	t.Logf("from the pod to SetDesiredCapacity: %v", time.Since(start))
	r.event("Normal ScaledUpGroup Scale-up: setting group workers size to 2 instead of 1 (max: 3)")
	r.event("Normal ScaledUpGroup Scale-up: group workers size set to 2 instead of 1 (max: 3)")
	r.event("Normal TriggeredScaleUp pod triggered scale-up: [{workers 1->2 (max: 3)}]")
	r.status(func(s Status) bool {
		if len(s.NodeGroups) != 1 {
			return false
		}
		g := s.NodeGroups[0]
		return g.ScaleUp.Status == "InProgress" && g.Health.CloudProviderTarget == 2 && s.ClusterWide.ScaleUp.Status == "InProgress"
	})
	r.create((&world{n: 910}).pod("", "1", "1Gi", waits)) // beside the one before, there is room for it on the node to come
	r.create((&world{n: 920}).pod("", "4", "1Gi", waits))
	r.event("Normal NotTriggerScaleUp pod didn't trigger scale-up: 1 Insufficient cpu")
}

func TestWithoutPermissionTheLoopTriesAgain(t *testing.T) {
	w := newWorld()
	w.group("workers", 1, 3, 1)
	w.pods(4, "", "600m", "512Mi", waits)
	r := newRig(t, w, Defaults(), &smithy.GenericAPIError{Code: "AccessDenied", Message: "User: arn:aws:sts::000000000000:assumed-role/node/i-1 is not authorized"})
	r.status(func(s Status) bool { return s.AutoscalerStatus == "Initializing" })
	r.cloud.deny(nil)
	r.call("workers=2")
}

func TestARemovalDrainsAndEnds(t *testing.T) {
	w := newWorld()
	g := w.group("workers", 1, 3, 3)
	w.pods(2, "workers-0", "500m", "512Mi")
	w.pods(2, "workers-1", "500m", "512Mi")
	w.pod("workers-2", "100m", "256Mi")
	r := newRig(t, w, quick())
	r.event("marked the node as toBeDeleted/unschedulable")
	r.call("end " + g.Instances[2].ID)
	r.event("nodes removed by cluster autoscaler")
}

// quick are options with which nodes go soon.
func quick() Options {
	o := Defaults()
	o.UnneededTime, o.DelayAfterAdd, o.DeleteDelayAfterTaint = 300*time.Millisecond, 0, 10*time.Millisecond
	return o
}

func TestABudgetKeepsAPod(t *testing.T) {
	w := newWorld()
	w.group("workers", 1, 3, 2)
	w.pods(2, "workers-0", "500m", "512Mi")
	w.pod("workers-1", "100m", "256Mi")
	w.budget("web", 1) // when the eviction comes, it has been spent
	o := quick()
	o.MaxPodEvictionTime = 50 * time.Millisecond
	r := newRig(t, w, o)
	r.client.PrependReactor("create", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "eviction" {
			return false, nil, nil
		}
		return true, nil, apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 1)
	})
	r.event("Warning ScaleDownFailed failed to delete pod for ScaleDown")
	r.event("Warning ScaleDownFailed failed to drain and delete node: Failed to drain node /workers-1")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) { // the node is free again
		n, err := r.client.CoreV1().Nodes().Get(t.Context(), "workers-1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !hasTaint(n, toBeDeletedTaint) && !n.Spec.Unschedulable {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the node stays tainted: %v", n.Spec)
		}
	}
	select {
	case c := <-r.cloud.calls:
		t.Errorf("AWS was asked for %q", c)
	default:
	}
}

func TestNodesThatWereAboutToGoAreFreeAfterARestart(t *testing.T) {
	w := newWorld()
	w.group("workers", 2, 3, 2)
	w.Nodes[0].Spec.Taints = []corev1.Taint{{Key: toBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule, Value: "1"}}
	w.Nodes[0].Spec.Unschedulable = true
	r := newRig(t, w, Defaults())
	r.event("Normal ClusterAutoscalerCleanup removed ToBeDeletedByClusterAutoscaler taints from node workers-0")
	n, err := r.client.CoreV1().Nodes().Get(t.Context(), "workers-0", metav1.GetOptions{})
	if err != nil || len(n.Spec.Taints) > 0 || n.Spec.Unschedulable {
		t.Errorf("%v, %v", n.Spec, err)
	}
}

func TestRefusals(t *testing.T) {
	l := &Loop{cfg: LoopConfig{Options: Defaults(), ScanInterval: 10 * time.Second}, memory: Memory{}.clone()}
	l.refused("a", &smithy.GenericAPIError{Code: "AccessDenied"}, now)
	if b := l.memory.Backoffs["a"]; b.Until != now.Add(10*time.Second) {
		t.Errorf("without permission: until %v", b.Until)
	}
	l.refused("b", errors.New("there is no capacity"), now)
	if b := l.memory.Backoffs["b"]; b.Until != now.Add(5*time.Minute) {
		t.Errorf("first: until %v", b.Until)
	}
	l.refused("b", errors.New("there is no capacity"), now.Add(6*time.Minute))
	if b := l.memory.Backoffs["b"]; b.Until != now.Add(16*time.Minute) {
		t.Errorf("second: until %v", b.Until)
	}
}
