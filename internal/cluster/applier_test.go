package cluster

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	restclient "k8s.io/client-go/rest"
)

// fakeAPI is an API server that knows ConfigMaps and Namespaces, and says of some
// objects that somebody else has changed them.
type fakeAPI struct {
	changed map[string]bool // by name

	mu    sync.Mutex
	calls []string // "PATCH /api/v1/…", in order; guarded by mu
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	failure := func(status int, reason metav1.StatusReason) {
		answer(status, metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(status), Reason: reason,
		})
	}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch {
	case r.URL.Path == "/api":
		answer(200, metav1.APIVersions{Versions: []string{"v1"}})
	case r.URL.Path == "/apis":
		answer(200, metav1.APIGroupList{})
	case r.URL.Path == "/api/v1":
		answer(200, metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "configmaps", Namespaced: true, Kind: "ConfigMap"}, {Name: "namespaces", Kind: "Namespace"},
		}})
	default:
		f.mu.Lock()
		f.calls = append(f.calls, r.Method+" "+r.URL.Path)
		f.mu.Unlock()
		query := r.URL.Query()
		switch {
		case r.Method == http.MethodPatch && query.Get("fieldManager") != "eks":
			failure(http.StatusBadRequest, metav1.StatusReasonBadRequest)
		case r.Method == http.MethodPatch && f.changed[name] && query.Get("force") != "true":
			failure(http.StatusConflict, metav1.StatusReasonConflict)
		case name == "refused":
			failure(http.StatusForbidden, metav1.StatusReasonForbidden)
		case r.Method == http.MethodDelete && name == "gone":
			failure(http.StatusNotFound, metav1.StatusReasonNotFound)
		case r.Method == http.MethodPatch:
			var o unstructured.Unstructured
			if err := json.NewDecoder(r.Body).Decode(&o.Object); err != nil || o.GetName() != name {
				failure(http.StatusBadRequest, metav1.StatusReasonBadRequest)
				return
			}
			answer(200, o.Object)
		default:
			answer(200, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Success"})
		}
	}
}

// made are the calls since the last time.
func (f *fakeAPI) made() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

func object(kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("v1")
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

func TestApplier(t *testing.T) {
	f := &fakeAPI{changed: map[string]bool{"theirs": true}}
	server := httptest.NewServer(f)
	defer server.Close()
	a, err := newApplier(&restclient.Config{Host: server.URL, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	objects := []*unstructured.Unstructured{
		object("Namespace", "", "ours"), object("ConfigMap", "kube-system", "theirs"), object("ConfigMap", "kube-system", "gone"),
	}
	paths := []string{"/api/v1/namespaces/ours", "/api/v1/namespaces/kube-system/configmaps/theirs", "/api/v1/namespaces/kube-system/configmaps/gone"}
	check := func(verb string) {
		t.Helper()
		var want []string
		for _, p := range paths {
			want = append(want, verb+" "+p)
		}
		if got := f.made(); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	// What somebody has changed stays and is named, and the rest is applied.
	changed, err := a.apply(t.Context(), objects, false)
	if err != nil || !slices.Equal(changed, []string{"configmap/theirs"}) {
		t.Errorf("%v, %v", changed, err)
	}
	check("PATCH")
	if changed, err = a.apply(t.Context(), objects, true); err != nil || changed != nil {
		t.Errorf("overwriting: %v, %v", changed, err)
	}
	check("PATCH")
	if err := a.delete(t.Context(), objects); err != nil {
		t.Errorf("deleting: %v", err)
	}
	check("DELETE")

	refused := append(objects[:1:1], object("ConfigMap", "kube-system", "refused"), objects[1])
	if _, err := a.apply(t.Context(), refused, true); err == nil || !strings.Contains(err.Error(), "configmap/refused") {
		t.Errorf("applying what is refused: %v", err)
	}
	if err := a.delete(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "configmap/refused") {
		t.Errorf("deleting what is refused: %v", err)
	}
	if _, err := a.apply(t.Context(), []*unstructured.Unstructured{object("Unknown", "", "x")}, true); err == nil || !strings.Contains(err.Error(), "Unknown") {
		t.Errorf("a kind that the API server does not know: %v", err)
	}
}

func TestAvailable(t *testing.T) {
	for _, test := range []struct {
		name                 string
		replicas             *int32
		generation, observed int64
		available            int32
		want                 bool
	}{
		{"all", new(int32(2)), 1, 1, 2, true},
		{"more, while it is rolled", new(int32(2)), 1, 1, 3, true},
		{"one is missing", new(int32(2)), 1, 1, 1, false},
		{"by default one", nil, 1, 1, 1, true},
		{"by default one, which is missing", nil, 1, 1, 0, false},
		{"none is wanted", new(int32(0)), 1, 1, 0, true},
		{"of what it was before", new(int32(2)), 2, 1, 2, false},
	} {
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Generation: test.generation}, Spec: appsv1.DeploymentSpec{Replicas: test.replicas},
			Status: appsv1.DeploymentStatus{ObservedGeneration: test.observed, AvailableReplicas: test.available},
		}
		if got := available(d); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// What every cluster has can be rendered without an add-on.
func TestSystemObjects(t *testing.T) {
	objects, err := Config{ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16")}.render("system/rbac.yaml", Addon{})
	if err != nil || len(objects) == 0 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for _, o := range objects {
		if o.GetName() == "" || o.GetKind() == "" || o.GetAPIVersion() == "" {
			t.Errorf("%v", o.Object)
		}
	}
}
