package advising

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
)

func TestLoop(t *testing.T) {
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "d", Controller: new(true)},
	}}}
	runs, waits := pod("app", "a", list("4", ""), ""), pod("app", "d", list("4", ""), noCPU)
	client := fake.NewClientset(set, &runs, &waits)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		l := &Loop{
			Clusters: func(context.Context) ([]Cluster, error) {
				return []Cluster{{Name: "lake", Client: client, Usage: func(_ context.Context, namespace string) (Usage, error) {
					if asked++; asked == 1 {
						return nil, errors.New("the server is currently unable to handle the request")
					}
					if namespace != "apps" {
						t.Errorf("asked for namespace %s", namespace)
					}
					return Usage{"a": list("1", "")}, nil
				}}}, nil
			},
			Logger: slog.New(slog.DiscardHandler),
		}
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		event := func() v1.Event {
			t.Helper()
			synctest.Wait()
			events, err := client.CoreV1().Events("apps").List(t.Context(), metav1.ListOptions{})
			if err != nil || len(events.Items) > 1 {
				t.Fatalf("%d events, %v", len(events.Items), err)
			}
			return append(events.Items, v1.Event{})[0]
		}
		began := time.Now()
		time.Sleep(15 * time.Second)
		if e := event(); e.Name != "" {
			t.Errorf("told without knowing: %+v", e)
		}
		time.Sleep(15 * time.Second)
		e := event()
		about := v1.ObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "apps", Name: "web", UID: "d"}
		if e.InvolvedObject != about || e.Reason != "RequestsDwarfUsage" || e.Type != v1.EventTypeWarning || e.Count != 1 {
			t.Errorf("%+v", e)
		}
		time.Sleep(4 * time.Minute)
		if e := event(); e.Count != 1 {
			t.Errorf("told %d times in four minutes", e.Count)
		}
		time.Sleep(time.Minute)
		if e := event(); e.Count != 2 || !e.LastTimestamp.After(began) || e.FirstTimestamp.Equal(&e.LastTimestamp) {
			t.Errorf("after five minutes: %+v", e)
		}
		// It got its place.
		placed := waits
		placed.Status = runs.Status
		if _, err := client.CoreV1().Pods("apps").Update(t.Context(), &placed, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		before := asked
		time.Sleep(time.Hour)
		if e := event(); e.Count != 2 || asked != before {
			t.Errorf("with nobody waiting: %d times, asked %d times more", e.Count, asked-before)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestWithoutDeployment: a ReplicaSet of its own is what people know, and one that
// is gone all the same.
func TestWithoutDeployment(t *testing.T) {
	for _, objects := range [][]runtime.Object{{&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}}, nil} {
		owner := *metav1.GetControllerOf(new(pod("app", "a", nil, "")))
		got, err := Cluster{Client: fake.NewClientset(objects...)}.workload(t.Context(), "apps", owner)
		if err != nil || got.Kind != "ReplicaSet" || got.Name != "app" || got.UID != "app" {
			t.Errorf("%+v, %v", got, err)
		}
	}
	client := fake.NewClientset()
	client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("refused") })
	if err := (Cluster{Client: client}).advise(t.Context(), time.Now()); err == nil {
		t.Error("no error of a cluster out of reach")
	}
}

func TestUsageBy(t *testing.T) {
	answers := map[string]string{
		"/apis/metrics.k8s.io/v1beta1/namespaces/apps/pods": `{"kind":"PodMetricsList","items":[
			{"metadata":{"name":"a"},"containers":[{"name":"x","usage":{"cpu":"250m","memory":"1Mi"}},{"name":"y","usage":{"cpu":"1"}}]}]}`,
		"/apis/metrics.k8s.io/v1beta1/namespaces/odd/pods": `[]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	ask := UsageBy(client.CoreV1().RESTClient())
	usage, err := ask(t.Context(), "apps")
	cpu, memory := usage["a"][v1.ResourceCPU], usage["a"][v1.ResourceMemory]
	if err != nil || len(usage) != 1 || cpu.String() != "1250m" || memory.String() != "1Mi" {
		t.Errorf("%v, %v", usage, err)
	}
	for _, namespace := range []string{"odd", "none"} {
		if _, err := ask(t.Context(), namespace); err == nil {
			t.Errorf("no error for %s", namespace)
		}
	}
}
