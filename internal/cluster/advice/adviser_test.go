package advice

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestKind(t *testing.T) {
	client := fake.NewClientset()
	client.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{
			{Name: "deployments/scale", SingularName: "", Kind: "Scale"},
			{Name: "deployments", SingularName: "deployment", Kind: "Deployment", ShortNames: []string{"deploy"}},
			{Name: "statefulsets", SingularName: "statefulset", Kind: "StatefulSet", ShortNames: []string{"sts"}},
		}},
		{GroupVersion: "example.com/v1", APIResources: []metav1.APIResource{
			{Name: "thingies", SingularName: "thing", Kind: "deploy"}, // CRDs may be called anything
			{Name: "deploys", Kind: "Deploy"},
		}},
	}
	a := Adviser{client}
	for _, test := range []struct{ apiVersion, kind, want string }{
		{"apps/v1", "Deployment", "Deployment"},
		{"apps/v1", "deployment", "Deployment"},
		{"apps/v1", "DEPLOYMENTS", "Deployment"},
		{"apps/v1", "deploy", "Deployment"},
		{"apps/v1", "statefulSet", "StatefulSet"},
		{"apps/v1", "scale", "scale"},
		{"apps/v1", "", ""},
		{"apps/v1", "cronjob", "cronjob"},
		{"example.com/v1", "deploy", "deploy"},
		{"example.com/v1", "Deploy", "Deploy"},
		{"example.com/v1", "Thing", "deploy"},
		{"nowhere.com/v1", "deployment", "deployment"},
	} {
		got, err := a.Kind(test.apiVersion, test.kind)
		if got != test.want || err != nil {
			t.Errorf("%s %s: %s, %v, want %s", test.apiVersion, test.kind, got, err, test.want)
		}
	}
}

func TestAdviser(t *testing.T) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	w := of(container("a", nil, map[string]string{"memory": "1Mi"}))
	deployment.Spec.Template.Spec = w.Pod
	hpa := scaler("web", utilization("cpu"))
	lowercase := scaler("web", utilization("cpu"))
	lowercase.Spec.ScaleTargetRef.Kind = "deployment"
	elsewhere := scaler("other", utilization("cpu"))
	elsewhere.Spec.ScaleTargetRef.Name = "b"
	ofAnotherGroup := scaler("custom", utilization("cpu"))
	ofAnotherGroup.Spec.ScaleTargetRef.APIVersion = "example.com/v1"
	gives := &v1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "limits"},
		Spec: v1.LimitRangeSpec{Limits: []v1.LimitRangeItem{
			{Type: v1.LimitTypePod, DefaultRequest: v1.ResourceList{"memory": resource.MustParse("1Mi")}},
			{Type: v1.LimitTypeContainer, DefaultRequest: v1.ResourceList{"cpu": resource.MustParse("10m")}},
		}},
	}
	assumed := Assumed(w)

	for _, test := range []struct {
		name       string
		there      []runtime.Object
		autoscaler []string // what is said about hpa
		workload   []string // and about w
	}{
		{"alone", nil, nil, assumed},
		{"the other is there", []runtime.Object{deployment, hpa}, []string{lacks("cpu", "a")}, append(assumed, lacks("cpu", "a"))},
		{"the namespace gives requests", []runtime.Object{deployment, hpa, gives}, nil, assumed},
		{"from before kinds were corrected", []runtime.Object{lowercase}, nil, append(assumed, lacks("cpu", "a"))},
		{"of others", []runtime.Object{elsewhere, ofAnotherGroup}, nil, assumed},
	} {
		a := Adviser{fake.NewClientset(test.there...)}
		got, err := a.Autoscaler(t.Context(), hpa)
		if diff := cmp.Diff(test.autoscaler, got); diff != "" || err != nil {
			t.Errorf("%s: the autoscaler: %v, %s", test.name, err, diff)
		}
		got, err = a.Workload(t.Context(), "apps", w)
		if diff := cmp.Diff(test.workload, got); diff != "" || err != nil {
			t.Errorf("%s: the workload: %v, %s", test.name, err, diff)
		}
	}
}

func TestAdviserOfOtherKinds(t *testing.T) {
	stateful := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	stateful.Spec.Template.Spec = of(container("a", nil, nil)).Pod
	hpa := scaler("web", utilization("cpu"))
	a := Adviser{fake.NewClientset(stateful, hpa)}
	hpa.Spec.ScaleTargetRef.Kind = "StatefulSet"
	if got, err := a.Autoscaler(t.Context(), hpa); len(got) != 1 || err != nil {
		t.Errorf("of a stateful set: %v, %v", got, err)
	}
	hpa.Spec.ScaleTargetRef.APIVersion, hpa.Spec.ScaleTargetRef.Kind = "example.com/v1", "Cluster"
	if got, err := a.Autoscaler(t.Context(), hpa); len(got) != 0 || err != nil {
		t.Errorf("of a custom resource: %v, %v", got, err)
	}
	if got, err := a.Workload(t.Context(), "apps", Workload{Kind: "CronJob", Name: "app"}); len(got) != 0 || err != nil {
		t.Errorf("a cron job: %v, %v", got, err)
	}
}

// TestAdviserInTrouble: what is known without the cluster is said all the same.
func TestAdviserInTrouble(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("refused")
	})
	a := Adviser{client}
	w := of(container("a", nil, map[string]string{"cpu": "1"}))
	if got, err := a.Workload(t.Context(), "apps", w); len(got) != 1 || err == nil {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := a.Autoscaler(t.Context(), scaler("web")); err == nil {
		t.Error("no error for a target that could not be read")
	}
	if got, err := a.Kind("apps/v1", "deployment"); got != "deployment" || err == nil {
		t.Errorf("%s, %v", got, err)
	}
}
