package cluster

import (
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAddonObjects(t *testing.T) {
	c := Config{Name: "eks-work", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16")}
	objects, err := c.addonObjects(Addons{CoreDNSImage: "example/coredns:v1"})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*unstructured.Unstructured{}
	for _, o := range objects {
		found[o.GetKind()+"/"+o.GetName()] = o
	}
	service := found["Service/kube-dns"]
	if service == nil {
		t.Fatalf("no Service kube-dns among %d objects", len(objects))
	}
	if ip, _, _ := unstructured.NestedString(service.Object, "spec", "clusterIP"); ip != "10.100.0.10" {
		t.Errorf("clusterIP %q, want 10.100.0.10", ip)
	}
	deployment := found["Deployment/coredns"]
	if deployment == nil {
		t.Fatal("no Deployment coredns")
	}
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if image := containers[0].(map[string]any)["image"]; image != "example/coredns:v1" {
		t.Errorf("image %v", image)
	}
}
