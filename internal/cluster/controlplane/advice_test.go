package controlplane

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	"k8s.io/apiserver/pkg/warning"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	"k8s.io/kubernetes/pkg/apis/core"
)

type warnings []string

func (w *warnings) AddWarning(_, text string) { *w = append(*w, text) }

// admit sends an object through the plug-in and returns what it warned of.
func admit(t *testing.T, p *advicePlugin, object, old runtime.Object, subresource string) []string {
	t.Helper()
	var said warnings
	ctx := warning.WithWarningRecorder(t.Context(), &said)
	operation := admission.Create
	if old != nil {
		operation = admission.Update
	}
	a := admission.NewAttributesRecord(object, old, appsv1.SchemeGroupVersion.WithKind("X"), "apps", "app",
		appsv1.SchemeGroupVersion.WithResource("x"), subresource, operation, nil, false, nil)
	for _, step := range []func(context.Context, admission.Attributes, admission.ObjectInterfaces) error{p.Admit, p.Validate} {
		if err := step(ctx, a, nil); err != nil {
			t.Error(err)
		}
	}
	return said
}

func TestAdvice(t *testing.T) {
	client := fake.NewClientset(&autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "there"},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"}},
	}, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}})
	client.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{{Name: "deployments", SingularName: "deployment", Kind: "Deployment"}}},
	}
	p := &advicePlugin{}
	if err := p.ValidateInitialization(); err == nil {
		t.Error("it starts without a client")
	}
	p.SetExternalKubeClientSet(client)

	hpa := &autoscaling.HorizontalPodAutoscaler{Spec: autoscaling.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscaling.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "deployment", Name: "app"},
	}}
	if said := admit(t, p, hpa, hpa, "status"); said != nil || hpa.Spec.ScaleTargetRef.Kind != "deployment" {
		t.Errorf("a status: %q, %s", said, hpa.Spec.ScaleTargetRef.Kind)
	}
	want := []string{`spec.scaleTargetRef.kind: "deployment" is taken for "Deployment", the kind's name in apps/v1`}
	if diff := cmp.Diff(want, admit(t, p, hpa, nil, "")); diff != "" || hpa.Spec.ScaleTargetRef.Kind != "Deployment" {
		t.Errorf("%s, %s", hpa.Spec.ScaleTargetRef.Kind, diff)
	}
	if said := admit(t, p, hpa, hpa, ""); said != nil {
		t.Errorf("as it should be: %q", said)
	}

	of := func(container core.Container) *apps.Deployment {
		return &apps.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "app"},
			Spec:       apps.DeploymentSpec{Template: core.PodTemplateSpec{Spec: core.PodSpec{Containers: []core.Container{container}}}},
		}
	}
	bare := of(core.Container{Name: "a"})
	limited := of(core.Container{Name: "a", Resources: core.ResourceRequirements{Limits: core.ResourceList{"cpu": resource.MustParse("1")}}})
	owned := limited.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{{Kind: "Rollout", Name: "app", Controller: new(true)}}
	annotated := bare.DeepCopy()
	annotated.Annotations = map[string]string{"a": "b"}
	for _, test := range []struct {
		name        string
		object, old runtime.Object
		want        int
	}{
		{"no request under an autoscaler", bare, nil, 1},
		{"not anew when something else changes", annotated, bare, 0},
		{"a limit and no request", limited, bare, 1},
		{"made by a controller", owned, nil, 0},
		{"makes no pods", &core.ConfigMap{}, nil, 0},
	} {
		if said := admit(t, p, test.object, test.old, ""); len(said) != test.want {
			t.Errorf("%s: %q", test.name, said)
		}
	}
}

func TestAdviceIsRegistered(t *testing.T) {
	o := apiserveroptions.NewServerRunOptions().Admission
	before := slices.Clone(o.GenericAdmission.RecommendedPluginOrder)
	registerAdvice(o.GenericAdmission)
	order := o.GenericAdmission.RecommendedPluginOrder
	if i := slices.Index(order, adviceName); i < 0 || order[i+1] != mutatingwebhook.PluginName || len(order) != len(before)+1 {
		t.Errorf("%v", order)
	}
	if errs := o.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	// What upstream keeps for all is not changed.
	if diff := cmp.Diff(before, apiserveroptions.NewServerRunOptions().Admission.GenericAdmission.RecommendedPluginOrder); diff != "" {
		t.Error(diff)
	}
}
