package cluster

import (
	"fmt"
	"net/netip"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestAddonObjects(t *testing.T) {
	c := Config{Name: "eks-work", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16")}
	objects, err := c.render(addonFile("coredns"), Addon{Name: "coredns", Image: "example/coredns:v1"})
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

func TestAddonValues(t *testing.T) {
	c := Config{Name: "eks-work", ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16")}
	const corefile = ".:53 {\n    errors\n    # \"quoted\": yes\n}\n"
	objects, err := c.render(addonFile("coredns"), Addon{
		Name: "coredns", Image: "example/coredns:v1", Values: map[string]any{"replicaCount": 3, "corefile": corefile},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		switch o.GetKind() {
		case "Deployment":
			if n, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas"); fmt.Sprint(n) != "3" {
				t.Errorf("%v replicas, want 3", n)
			}
		case "ConfigMap":
			if text, _, _ := unstructured.NestedString(o.Object, "data", "Corefile"); text != corefile {
				t.Errorf("Corefile %q, want %q", text, corefile)
			}
		}
	}
}

func TestHasManifest(t *testing.T) {
	if !HasManifest("coredns") || !HasManifest("metrics-server") || HasManifest("vpc-cni") || HasManifest("../system/rbac") {
		t.Error("add-ons with a manifest: coredns and metrics-server, and no other")
	}
}
