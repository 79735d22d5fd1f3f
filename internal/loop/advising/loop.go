package advising

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Cluster is one whose pods are looked at.
type Cluster struct {
	Name   string
	Client kubernetes.Interface
	// Usage tells what the pods of a namespace use: UsageBy.
	Usage func(ctx context.Context, namespace string) (Usage, error)
}

// UsageBy asks a cluster's metrics API. client may be that of any of its API groups.
func UsageBy(client rest.Interface) func(ctx context.Context, namespace string) (Usage, error) {
	return func(ctx context.Context, namespace string) (Usage, error) {
		var list metricsv1beta1.PodMetricsList
		text, err := client.Get().AbsPath("/apis/metrics.k8s.io/v1beta1/namespaces", namespace, "pods").
			SetHeader("Accept", "application/json").Do(ctx).Raw()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("decoding the metrics of namespace %s: %w", namespace, err)
		}
		return usageOf(list), nil
	}
}

func usageOf(list metricsv1beta1.PodMetricsList) Usage {
	usage := Usage{}
	for _, p := range list.Items {
		sum := v1.ResourceList{}
		for _, c := range p.Containers {
			for name, q := range c.Usage {
				total := sum[name]
				total.Add(q)
				sum[name] = total
			}
		}
		usage[p.Name] = sum
	}
	return usage
}

// Loop advises.
type Loop struct {
	// Clusters are those whose API servers serve.
	Clusters func(context.Context) ([]Cluster, error)
	Logger   *slog.Logger
	// Period is between two looks; 0 means 15 s, in which metrics are anew.
	Period time.Duration
}

const defaultPeriod = 15 * time.Second

// again is when what is still so is said once more.
const again = 5 * time.Minute

// Run looks at the clusters until ctx ends.
func (l *Loop) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(l.Period, defaultPeriod))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			if err := l.look(ctx, now); err != nil && ctx.Err() == nil {
				l.Logger.Debug("looking for requests that dwarf usage", "error", err) // the next look may succeed
			}
		}
	}
}

func (l *Loop) look(ctx context.Context, now time.Time) error {
	clusters, err := l.Clusters(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range clusters {
		if err := c.advise(ctx, now); err != nil {
			errs = append(errs, fmt.Errorf("cluster %s: %w", c.Name, err))
		}
	}
	return errors.Join(errs...)
}

// advise looks at the namespaces in which pods wait.
func (c Cluster) advise(ctx context.Context, now time.Time) error {
	pending, err := c.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=" + string(v1.PodPending)})
	if err != nil {
		return fmt.Errorf("listing pods that wait: %w", err)
	}
	namespaces := map[string]bool{}
	for _, p := range pending.Items {
		if lacks(p, v1.ResourceCPU) || lacks(p, v1.ResourceMemory) {
			namespaces[p.Namespace] = true
		}
	}
	var errs []error
	for namespace := range namespaces {
		errs = append(errs, c.adviseIn(ctx, namespace, now))
	}
	return errors.Join(errs...)
}

func (c Cluster) adviseIn(ctx context.Context, namespace string, now time.Time) error {
	usage, err := c.Usage(ctx, namespace)
	if err != nil {
		return fmt.Errorf("asking what the pods of %s use: %w", namespace, err)
	}
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("listing the pods of %s: %w", namespace, err)
	}
	var errs []error
	for _, o := range Find(pods.Items, usage) {
		about, err := c.workload(ctx, namespace, o.Owner)
		if err == nil {
			err = c.tell(ctx, about, o, now)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// workload is what people know the owner of pods by: of a ReplicaSet, its
// Deployment.
func (c Cluster) workload(ctx context.Context, namespace string, owner metav1.OwnerReference) (v1.ObjectReference, error) {
	if owner.Kind == "ReplicaSet" && owner.APIVersion == appsv1.SchemeGroupVersion.String() {
		set, err := c.Client.AppsV1().ReplicaSets(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return v1.ObjectReference{}, fmt.Errorf("reading ReplicaSet %s/%s: %w", namespace, owner.Name, err)
		}
		if above := metav1.GetControllerOf(set); err == nil && above != nil {
			owner = *above
		}
	}
	return v1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: namespace, Name: owner.Name, UID: owner.UID}, nil
}

// tell makes the event, or counts on in that of an earlier look.
func (c Cluster) tell(ctx context.Context, about v1.ObjectReference, o Oversized, now time.Time) error {
	events, at := c.Client.CoreV1().Events(about.Namespace), metav1.NewTime(now)
	name := fmt.Sprintf("%s.%s-%s-requests", about.Name, about.UID, o.Resource)
	had, err := events.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = events.Create(ctx, &v1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: about.Namespace, Name: name},
			InvolvedObject: about, Type: v1.EventTypeWarning, Reason: "RequestsDwarfUsage", Message: o.Message(),
			Source: v1.EventSource{Component: "eks-advice"}, FirstTimestamp: at, LastTimestamp: at, Count: 1,
		}, metav1.CreateOptions{})
	case err == nil && now.Sub(had.LastTimestamp.Time) >= again:
		had.Count, had.LastTimestamp, had.Message = had.Count+1, at, o.Message()
		_, err = events.Update(ctx, had, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("telling of %s %s/%s: %w", about.Kind, about.Namespace, about.Name, err)
	}
	return nil
}
