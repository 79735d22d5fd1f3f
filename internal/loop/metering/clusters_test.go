package metering

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// apiServer answers as the one of the cluster in testdata.
func apiServer(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	o := load(t, "testdata/now.json")
	mux := http.NewServeMux()
	answer := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		})
	}
	list := func(items any) map[string]any { return map[string]any{"items": items} }
	answer("/api/v1/nodes", list(o.Nodes))
	answer("/api/v1/pods", list(o.Pods))
	answer("/api/v1/services", list(o.Services))
	answer("/apis/apps/v1/deployments", list(o.Deployments))
	answer("/apis/apps/v1/daemonsets", list(o.DaemonSets))
	for name, s := range o.Summaries {
		answer("/api/v1/nodes/"+name+"/proxy/stats/summary", s)
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestClusterSource(t *testing.T) {
	source := NewClusterSource("eks-work", apiServer(t))
	got, err := observe(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	want := load(t, "testdata/now.json")
	want.At = got.At
	if diff := gocmp.Diff(lines(Insights(nil, want), ""), lines(Insights(nil, got), "")); diff != "" {
		t.Error(diff)
	}
	if _, err := source.Summary(t.Context(), "nowhere"); err == nil || !strings.Contains(err.Error(), "kubelet") {
		t.Errorf("a node that is not there: %v", err)
	}
}

// fakeCluster is a ClusterSource.
type fakeCluster struct {
	name    string
	objects Objects
	failed  error            // Objects'
	silent  map[string]error // nodes whose kubelet does not answer
}

func (c *fakeCluster) Name() string                             { return c.name }
func (c *fakeCluster) Objects(context.Context) (Objects, error) { return c.objects, c.failed }
func (c *fakeCluster) Summary(_ context.Context, node string) (*stats.Summary, error) {
	if err := c.silent[node]; err != nil {
		return nil, err
	}
	return &stats.Summary{Node: stats.NodeStats{CPU: &stats.CPUStats{UsageNanoCores: new(uint64(1e9))}}}, nil
}

// fakeClusters are those that are observed.
type fakeClusters struct {
	all []ClusterSource
	err error
}

func (c *fakeClusters) Observed(context.Context) ([]ClusterSource, error) { return c.all, c.err }
func (c *fakeClusters) Changes(context.Context) (<-chan struct{}, func()) { return nil, func() {} }

func TestLook(t *testing.T) {
	node := func(name string, conditions ...v1.NodeCondition) v1.Node {
		return v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.NodeSpec{ProviderID: "aws:///ap-northeast-2a/i-1"},
			Status: v1.NodeStatus{Capacity: resources(2), Conditions: conditions},
		}
	}
	c := &fakeCluster{name: "c", silent: map[string]error{}, objects: Objects{Nodes: []v1.Node{node("n1", isReady), node("n2")}}}
	clusters := &fakeClusters{all: []ClusterSource{c}}
	service, err := ec2.New(ec2.Config{Client: storetest.Open(t).Client(), Account: "000000000000", Region: "ap-northeast-2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Instances.Create(t.Context(), "i-1", running("i-1")); err != nil {
		t.Fatal(err)
	}
	sink, said, host := &fakeSink{}, &strings.Builder{}, &fakeHost{clock: noon}
	l := New(Config{Sink: sink, EC2: service, Host: host, Clusters: clusters, Logger: slog.New(slog.NewTextHandler(said, nil))})
	last := map[string]*Observation{}
	look := func(what, part string, want ...string) {
		t.Helper()
		last = l.look(t.Context(), last, true)
		if diff := gocmp.Diff(want, lines(sink.take(), part)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	const cpu, network = "node_cpu_utilization{ClusterName=c} ", "node_network_total_bytes{ClusterName=c} "
	look("both answer", cpu, cpu+"Percent 50×1 50×1")
	look("a wire, twice", network, network+"Bytes/Second 0×1 0×1")
	c.silent["n2"] = errors.New("refused")
	look("one that is not ready is silent", cpu, cpu+"Percent 50×1")
	if said.Len() > 0 {
		t.Errorf("said of a node that is not ready: %s", said)
	}
	c.silent["n1"] = errors.New("timed out")
	look("nobody answers", "cluster_node_count", "cluster_node_count{ClusterName=c} Count 2×1")
	look("still nobody", cpu)
	if got := said.String(); strings.Count(got, "timed out") != 1 || !strings.Contains(got, "node n1") {
		t.Errorf("said: %s", got)
	}
	c.failed = errors.New("no API server")
	look("no cluster", "")
	clusters.err = errors.New("no store")
	look("nobody knows which", "")
	clusters.err, clusters.all = nil, nil
	look("none", "")
	if len(last) != 0 {
		t.Errorf("kept of a cluster that is gone: %v", last)
	}
}

// changingClusters are those that are sent last.
type changingClusters struct {
	change  chan []ClusterSource
	changed chan struct{}
	fakeClusters
}

func (c *changingClusters) Changes(context.Context) (<-chan struct{}, func()) {
	return c.changed, func() { close(c.changed) }
}

func (c *changingClusters) Observed(context.Context) ([]ClusterSource, error) {
	select {
	case c.all = <-c.change:
	default:
	}
	return c.all, nil
}

// One that Container Insights is newly on for is not waited for, and the others are
// looked at when their time has come.
func TestANewClusterIsLookedAtAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clusters := &changingClusters{change: make(chan []ClusterSource, 1), changed: make(chan struct{})}
		sink := &fakeSink{}
		l := New(Config{Sink: sink, Clusters: clusters, Logger: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); l.observe(ctx, time.Minute) }()
		change := func(all ...ClusterSource) []string {
			clusters.change <- all
			clusters.changed <- struct{}{}
			synctest.Wait()
			return lines(sink.take(), "cluster_node_count")
		}
		const nodes = "cluster_node_count{ClusterName="
		a, b := &fakeCluster{name: "a"}, &fakeCluster{name: "b"}
		for _, diff := range []string{
			gocmp.Diff([]string{nodes + "a} Count 0×1"}, change(a)),
			gocmp.Diff([]string{nodes + "b} Count 0×1"}, change(a, b)),
			gocmp.Diff([]string(nil), change(b)),
			gocmp.Diff([]string{nodes + "a} Count 0×1"}, change(a, b)),
		} {
			if diff != "" {
				t.Error(diff)
			}
		}
		cancel()
		<-ended
	})
}
