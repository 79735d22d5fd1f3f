package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/tarn-eks/tarn/internal/cluster/advice"
)

// adviceName is the admission plug-in that says what will come of a manifest.
const adviceName = "WorkloadAdvice"

// adviceTimeout bounds what it looks up: it must not keep a request waiting.
const adviceTimeout = 2 * time.Second

// registerAdvice adds the plug-in to those of the API server, before the webhooks,
// which so see what it has corrected.
func registerAdvice(o *genericoptions.AdmissionOptions) {
	o.Plugins.Register(adviceName, func(io.Reader) (admission.Interface, error) {
		return &advicePlugin{Handler: admission.NewHandler(admission.Create, admission.Update)}, nil
	})
	order := slices.Clone(o.RecommendedPluginOrder)
	o.RecommendedPluginOrder = slices.Insert(order, max(0, slices.Index(order, mutatingwebhook.PluginName)), adviceName)
}

// advicePlugin corrects the kind that an autoscaler refers to, and warns. It
// refuses nothing: what it cannot look up it leaves as it is.
type advicePlugin struct {
	*admission.Handler
	adviser advice.Adviser
}

var (
	_ admission.MutationInterface            = (*advicePlugin)(nil)
	_ admission.ValidationInterface          = (*advicePlugin)(nil)
	_ initializer.WantsExternalKubeClientSet = (*advicePlugin)(nil)
)

// SetExternalKubeClientSet implements initializer.WantsExternalKubeClientSet.
func (p *advicePlugin) SetExternalKubeClientSet(client kubernetes.Interface) {
	p.adviser.Client = client
}

// ValidateInitialization implements admission.InitializationValidator.
func (p *advicePlugin) ValidateInitialization() error {
	if p.adviser.Client == nil {
		return errors.New("it has no client")
	}
	return nil
}

// Admit implements admission.MutationInterface.
func (p *advicePlugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	hpa, ok := a.GetObject().(*autoscaling.HorizontalPodAutoscaler)
	if !ok || a.GetSubresource() != "" {
		return nil
	}
	ref := &hpa.Spec.ScaleTargetRef
	kind, err := p.adviser.Kind(ref.APIVersion, ref.Kind)
	if err != nil {
		klog.V(2).InfoS("An autoscaler's kind was not looked up", "namespace", a.GetNamespace(), "name", a.GetName(), "err", err)
	}
	if kind != ref.Kind {
		warning.AddWarning(ctx, "", fmt.Sprintf("spec.scaleTargetRef.kind: %q is taken for %q, the kind's name in %s", ref.Kind, kind, ref.APIVersion))
		ref.Kind = kind
	}
	return nil
}

// Validate implements admission.ValidationInterface: it warns of what is stored in
// the end.
func (p *advicePlugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetSubresource() != "" {
		return nil
	}
	lookup, cancel := context.WithTimeout(ctx, adviceTimeout)
	defer cancel()
	warnings, err := p.advise(lookup, a)
	if err != nil {
		klog.V(2).InfoS("No advice on what is applied", "kind", a.GetKind().Kind, "namespace", a.GetNamespace(), "name", a.GetName(), "err", err)
	}
	for _, text := range warnings {
		warning.AddWarning(ctx, "", text)
	}
	return nil
}

func (p *advicePlugin) advise(ctx context.Context, a admission.Attributes) ([]string, error) {
	if _, ok := a.GetObject().(*autoscaling.HorizontalPodAutoscaler); ok {
		var hpa autoscalingv2.HorizontalPodAutoscaler
		if err := legacyscheme.Scheme.Convert(a.GetObject(), &hpa, nil); err != nil {
			return nil, err
		}
		hpa.Namespace = a.GetNamespace()
		return p.adviser.Autoscaler(ctx, &hpa)
	}
	w, owned, err := workload(a.GetObject())
	if err != nil || w.Kind == "" || owned {
		return nil, err // what a controller makes, its maker was told of
	}
	if a.GetOldObject() != nil {
		old, _, err := workload(a.GetOldObject())
		if err == nil && equality.Semantic.DeepEqual(old.Pod, w.Pod) {
			return nil, nil // scaled, or annotated
		}
	}
	return p.adviser.Workload(ctx, a.GetNamespace(), w)
}

// workload reads an object that makes pods; its kind is "" if it is none. owned
// says that a controller has made it. Of a pod itself nobody can say any more what
// it was given: requests that it lacked are set when it is read.
func workload(o runtime.Object) (w advice.Workload, owned bool, err error) {
	convert := func(to metav1.Object, kind string, pod func() v1.PodSpec) (advice.Workload, bool, error) {
		if err := legacyscheme.Scheme.Convert(o, to, nil); err != nil {
			return advice.Workload{}, false, err
		}
		name := to.GetName()
		if name == "" {
			name = to.GetGenerateName()
		}
		return advice.Workload{Kind: kind, Name: name, Pod: pod()}, metav1.GetControllerOf(to) != nil, nil
	}
	switch o.(type) {
	case *apps.Deployment:
		d := &appsv1.Deployment{}
		return convert(d, "Deployment", func() v1.PodSpec { return d.Spec.Template.Spec })
	case *apps.ReplicaSet:
		r := &appsv1.ReplicaSet{}
		return convert(r, "ReplicaSet", func() v1.PodSpec { return r.Spec.Template.Spec })
	case *apps.StatefulSet:
		s := &appsv1.StatefulSet{}
		return convert(s, "StatefulSet", func() v1.PodSpec { return s.Spec.Template.Spec })
	case *apps.DaemonSet:
		d := &appsv1.DaemonSet{}
		return convert(d, "DaemonSet", func() v1.PodSpec { return d.Spec.Template.Spec })
	case *batch.Job:
		j := &batchv1.Job{}
		return convert(j, "Job", func() v1.PodSpec { return j.Spec.Template.Spec })
	case *batch.CronJob:
		c := &batchv1.CronJob{}
		return convert(c, "CronJob", func() v1.PodSpec { return c.Spec.JobTemplate.Spec.Template.Spec })
	}
	return w, false, nil
}
