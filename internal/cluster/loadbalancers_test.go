package cluster

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// A Service whose load balancer is gone changes, twice, and is as before then; no
// other is touched.
func TestRemakeLoadBalancers(t *testing.T) {
	service := func(name string, kind v1.ServiceType, hostnames ...string) *v1.Service {
		s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Annotations: map[string]string{"mine": "x"}}, Spec: v1.ServiceSpec{Type: kind}}
		for _, hostname := range hostnames {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, v1.LoadBalancerIngress{Hostname: hostname})
		}
		return s
	}
	client := fake.NewClientset(
		service("gone", v1.ServiceTypeLoadBalancer, "gone.elb"),
		service("there", v1.ServiceTypeLoadBalancer, "there.elb"),
		service("pending", v1.ServiceTypeLoadBalancer),
		service("was-one", v1.ServiceTypeClusterIP, "gone.elb"),
	)
	if err := remakeLoadBalancers(t.Context(), client, func(hostname string) bool { return hostname == "there.elb" }); err != nil {
		t.Fatal(err)
	}
	var patched []string
	for _, action := range client.Actions() {
		if patch, ok := action.(k8stesting.PatchAction); ok {
			patched = append(patched, patch.GetNamespace()+"/"+patch.GetName())
		}
	}
	if want := []string{"ns/gone", "ns/gone"}; !slices.Equal(patched, want) {
		t.Errorf("patched %v, want %v", patched, want)
	}
	got, err := client.CoreV1().Services("ns").Get(t.Context(), "gone", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Annotations) != 1 || got.Annotations["mine"] != "x" {
		t.Errorf("annotations that stay: %v", got.Annotations)
	}
}
