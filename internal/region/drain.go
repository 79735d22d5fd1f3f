package region

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/store"
)

// leaving are those of a node's pods that keep it from being drained: as kubectl
// drain has it, all but those of DaemonSets, static ones, and those that have
// ended. toEvict are those of them of which the end was not asked for yet.
func leaving(pods []v1.Pod) (left, toEvict []v1.Pod) {
	for _, p := range pods {
		_, static := p.Annotations[v1.MirrorPodAnnotationKey]
		owner := metav1.GetControllerOf(&p)
		switch {
		case static, owner != nil && owner.Kind == "DaemonSet":
		case p.Status.Phase == v1.PodSucceeded, p.Status.Phase == v1.PodFailed:
		case p.DeletionTimestamp != nil:
			left = append(left, p)
		default:
			left, toEvict = append(left, p), append(toEvict, p)
		}
	}
	return left, toEvict
}

// client is a client of a cluster; nil if there is no such cluster.
func (r nodes) client(ctx context.Context, clusterName string) (*kubernetes.Clientset, error) {
	c, err := r.clusterConfig(ctx, clusterName)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.Client()
}

// Drain implements nodegroups.Nodes. A pod that a disruption budget keeps is asked
// for again at the next call; the other ones go meanwhile.
func (r nodes) Drain(ctx context.Context, clusterName, node string) (drained bool, err error) {
	client, err := r.client(ctx, clusterName)
	if err != nil || client == nil {
		return client == nil && err == nil, err
	}
	found, err := r.cordon(ctx, client, node, true)
	if err != nil || !found {
		return !found && err == nil, err
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return false, fmt.Errorf("listing the pods of node %s: %w", node, err)
	}
	left, toEvict := leaving(pods.Items)
	var errs []error
	for _, p := range toEvict {
		err := client.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}})
		switch {
		case err == nil:
			r.logger.Info("evicted a pod", "cluster", clusterName, "node", node, "pod", p.Namespace+"/"+p.Name)
		case apierrors.IsNotFound(err), apierrors.IsTooManyRequests(err): // it has gone, or a budget keeps it
		default:
			errs = append(errs, fmt.Errorf("evicting pod %s/%s: %w", p.Namespace, p.Name, err))
		}
	}
	return len(left) == 0, errors.Join(errs...)
}

// Uncordon implements nodegroups.Nodes.
func (r nodes) Uncordon(ctx context.Context, clusterName, node string) error {
	client, err := r.client(ctx, clusterName)
	if err != nil || client == nil {
		return err
	}
	_, err = r.cordon(ctx, client, node, false)
	return err
}

// cordon says whether a node takes pods; found is false if there is no such node.
func (r nodes) cordon(ctx context.Context, client *kubernetes.Clientset, node string, closed bool) (found bool, err error) {
	have, err := client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err == nil && have.Spec.Unschedulable != closed {
		patch := fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, closed)
		_, err = client.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return true, fmt.Errorf("cordoning node %s: %w", node, err)
	}
	return true, nil
}

// Follow implements nodegroups.Nodes: it tells of nodes that come, go, or become
// Ready or not, of pods that have gone, and of budgets that allow an eviction.
func (r nodes) Follow(ctx context.Context, clusterName string) <-chan struct{} {
	changes := make(chan struct{})
	var watches sync.WaitGroup
	tell := func() {
		select {
		case changes <- struct{}{}:
		case <-ctx.Done():
		}
	}
	ready := map[string]bool{}
	r.watch(ctx, &watches, clusterName, tell, func(c *kubernetes.Clientset) (watch.Interface, error) {
		return c.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{})
	}, func(e watch.Event) bool {
		node, ok := e.Object.(*v1.Node)
		if !ok {
			return false
		}
		is, was := cluster.NodeReady([]v1.Node{*node}, node.Name, time.Time{}), ready[node.Name]
		ready[node.Name] = is
		return e.Type != watch.Modified || is != was
	})
	r.watch(ctx, &watches, clusterName, tell, func(c *kubernetes.Clientset) (watch.Interface, error) {
		return c.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	}, func(e watch.Event) bool { return e.Type == watch.Deleted })
	r.watch(ctx, &watches, clusterName, tell, func(c *kubernetes.Clientset) (watch.Interface, error) {
		return c.PolicyV1().PodDisruptionBudgets("").Watch(ctx, metav1.ListOptions{})
	}, func(e watch.Event) bool {
		budget, ok := e.Object.(*policyv1.PodDisruptionBudget)
		return ok && budget.Status.DisruptionsAllowed > 0
	})
	go func() {
		defer close(changes)
		watches.Wait()
	}()
	return changes
}

// watchPause is before a watch that has ended begins anew.
const watchPause = time.Second

// watch tells when the watch begins, and of those of its events that matter.
func (r nodes) watch(ctx context.Context, tasks *sync.WaitGroup, clusterName string, tell func(), open func(*kubernetes.Clientset) (watch.Interface, error), matters func(watch.Event) bool) {
	tasks.Go(func() {
		for ctx.Err() == nil {
			client, err := r.client(ctx, clusterName)
			if err == nil && client != nil {
				var events watch.Interface
				if events, err = open(client); err == nil {
					tell()
					for e := range events.ResultChan() {
						if matters(e) {
							tell()
						}
					}
					events.Stop()
				}
			}
			if err != nil && ctx.Err() == nil {
				r.logger.Debug("watching a cluster", "cluster", clusterName, "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(watchPause):
			}
		}
	})
}
