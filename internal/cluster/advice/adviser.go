package advice

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Adviser knows what else there is in a cluster.
type Adviser struct{ Client kubernetes.Interface }

// Kind is the kind that a reference means: people write deployment, deployments
// and deploy, as they do on kubectl's command line, where the API wants
// Deployment. It is kind itself where the API has no such resource.
func (a Adviser) Kind(apiVersion, kind string) (string, error) {
	list, err := a.Client.Discovery().ServerResourcesForGroupVersion(apiVersion)
	if apierrors.IsNotFound(err) {
		return kind, nil
	}
	if err != nil {
		return kind, fmt.Errorf("asking for the kinds of %s: %w", apiVersion, err)
	}
	return registered(list.APIResources, kind), nil
}

func registered(resources []metav1.APIResource, kind string) string {
	// Subresources (deployments/scale) are no kinds to refer to.
	whole := slices.DeleteFunc(slices.Clone(resources), func(r metav1.APIResource) bool { return strings.Contains(r.Name, "/") })
	for _, named := range []func(metav1.APIResource) bool{
		func(r metav1.APIResource) bool { return r.Kind == kind },
		func(r metav1.APIResource) bool { return strings.EqualFold(r.Kind, kind) },
		func(r metav1.APIResource) bool {
			name := strings.ToLower(kind)
			return name == r.Name || name == r.SingularName || slices.Contains(r.ShortNames, name)
		},
	} {
		if i := slices.IndexFunc(whole, named); i >= 0 {
			return whole[i].Kind
		}
	}
	return kind
}

// Autoscaler is what to say about an autoscaler and what it scales; nothing if
// that is not there yet.
func (a Adviser) Autoscaler(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) ([]string, error) {
	w, err := a.target(ctx, hpa.Namespace, hpa.Spec.ScaleTargetRef)
	if apierrors.IsNotFound(err) || err == nil && w.Kind == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking up the target of autoscaler %s/%s: %w", hpa.Namespace, hpa.Name, err)
	}
	given, err := a.given(ctx, hpa.Namespace)
	if err != nil {
		return nil, err
	}
	return Unmeasurable(hpa, w, given), nil
}

// Workload is what to say about a workload and the autoscalers that scale it.
func (a Adviser) Workload(ctx context.Context, namespace string, w Workload) ([]string, error) {
	warnings := Assumed(w)
	if !scalable(w.Kind) {
		return warnings, nil
	}
	hpas, err := a.Client.AutoscalingV2().HorizontalPodAutoscalers(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return warnings, fmt.Errorf("listing the autoscalers of %s: %w", namespace, err)
	}
	var given []v1.ResourceName
	for i, hpa := range hpas.Items {
		if i == 0 {
			if given, err = a.given(ctx, namespace); err != nil {
				return warnings, err
			}
		}
		if ref := hpa.Spec.ScaleTargetRef; group(ref.APIVersion) == appsv1.GroupName && strings.EqualFold(ref.Kind, w.Kind) && ref.Name == w.Name {
			warnings = append(warnings, Unmeasurable(&hpa, w, given)...)
		}
	}
	return warnings, nil
}

func group(apiVersion string) string {
	name, _, _ := strings.Cut(apiVersion, "/")
	return name
}

// scalable are the kinds whose pods an autoscaler's target tells: those of apps.
func scalable(kind string) bool {
	return slices.Contains([]string{"Deployment", "ReplicaSet", "StatefulSet"}, kind)
}

// target is what a reference leads to; the zero value if it is of a kind that does
// not tell its pods.
func (a Adviser) target(ctx context.Context, namespace string, ref autoscalingv2.CrossVersionObjectReference) (w Workload, err error) {
	if group(ref.APIVersion) != appsv1.GroupName || !scalable(ref.Kind) {
		return w, nil
	}
	var pod v1.PodSpec
	apps := a.Client.AppsV1()
	switch ref.Kind {
	case "Deployment":
		d, err := apps.Deployments(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return w, err
		}
		pod = d.Spec.Template.Spec
	case "ReplicaSet":
		r, err := apps.ReplicaSets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return w, err
		}
		pod = r.Spec.Template.Spec
	default:
		s, err := apps.StatefulSets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return w, err
		}
		pod = s.Spec.Template.Spec
	}
	return Workload{Kind: ref.Kind, Name: ref.Name, Pod: pod}, nil
}

// given are the resources of which a container that asks for none gets a request
// in a namespace.
func (a Adviser) given(ctx context.Context, namespace string) ([]v1.ResourceName, error) {
	ranges, err := a.Client.CoreV1().LimitRanges(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the limit ranges of %s: %w", namespace, err)
	}
	var names []v1.ResourceName
	for _, r := range ranges.Items {
		for _, item := range r.Spec.Limits {
			if item.Type != v1.LimitTypeContainer {
				continue
			}
			for name := range item.DefaultRequest {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
