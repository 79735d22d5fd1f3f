package metering

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/tarn-eks/tarn/internal/vpc"
)

var update = flag.Bool("update", false, "rewrite testdata/insights.txt")

func load(t *testing.T, file string) *Observation {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := &Observation{}
	if err := json.Unmarshal(data, o); err != nil {
		t.Fatal(err)
	}
	return o
}

// What a real node said, with two pods of CoreDNS and one that crashes, before and
// after 48 seconds.
func TestInsightsOfARealCluster(t *testing.T) {
	before, now := load(t, "testdata/before.json"), load(t, "testdata/now.json")
	before.Wires = map[string]vpc.Counters{"i-d7ea6d093835f396a": {InBytes: 1000, OutBytes: 500}}
	now.Wires = map[string]vpc.Counters{"i-d7ea6d093835f396a": {InBytes: 49000, OutBytes: 96500}}
	got := strings.Join(lines(Insights(before, now), ""), "\n") + "\n"
	const golden = "testdata/insights.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// resources are CPU in vCPUs or 0 for none.
func resources(cpu float64) v1.ResourceList {
	if cpu == 0 {
		return nil
	}
	return v1.ResourceList{v1.ResourceCPU: *resource.NewMilliQuantity(int64(1000*cpu), resource.DecimalSI)}
}

// container is one with its limit, request and use of vCPUs.
type container struct {
	name                 string
	limit, request, used float64
}

// place puts a pod on a node, and what its kubelet says into the summary.
func (o *Observation) place(nodeName, name string, used float64, containers ...container) {
	p := v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name), Labels: map[string]string{"app": name}},
		Spec:       v1.PodSpec{NodeName: nodeName},
		Status:     v1.PodStatus{Phase: v1.PodRunning, Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}},
	}
	said := stats.PodStats{PodRef: stats.PodReference{Name: name, Namespace: "default", UID: name}, CPU: &stats.CPUStats{UsageNanoCores: new(uint64(used * 1e9))}}
	for _, c := range containers {
		p.Spec.Containers = append(p.Spec.Containers, v1.Container{
			Name: c.name, Resources: v1.ResourceRequirements{Limits: resources(c.limit), Requests: resources(c.request)},
		})
		said.Containers = append(said.Containers, stats.ContainerStats{Name: c.name, CPU: &stats.CPUStats{UsageNanoCores: new(uint64(c.used * 1e9))}})
	}
	o.Pods = append(o.Pods, p)
	o.Summaries[nodeName].Pods = append(o.Summaries[nodeName].Pods, said)
}

func (o *Observation) addNode(name string, limit, used float64, conditions ...v1.NodeCondition) {
	o.Nodes = append(o.Nodes, v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.NodeSpec{ProviderID: "aws:///ap-northeast-2a/i-" + name},
		Status: v1.NodeStatus{Capacity: resources(limit), Conditions: conditions},
	})
	o.Summaries[name] = &stats.Summary{Node: stats.NodeStats{NodeName: name, CPU: &stats.CPUStats{UsageNanoCores: new(uint64(used * 1e9))}}}
}

var isReady = v1.NodeCondition{Type: v1.NodeReady, Status: v1.ConditionTrue}

// The example that AWS calculates.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-reference-performance-entries-EKS.html
func TestInsightsAsAWSCalculates(t *testing.T) {
	o := &Observation{At: noon, Cluster: "c", Summaries: map[string]*stats.Summary{}}
	o.addNode("n1", 4, 3, isReady)
	o.addNode("n2", 8, 1.5, isReady)
	o.place("n1", "pod1", 2, container{"c1", 1, 1, 0.8}, container{"c2", 0, 0, 1.2})
	o.place("n1", "pod2", 0.4, container{"c3", 1, 0.5, 0.4})
	o.place("n2", "pod3", 1, container{"c4", 2, 2, 1})
	data := Insights(nil, o)
	for part, want := range map[string][]string{
		"pod_cpu_utilization{ClusterName=c} ":                {"pod_cpu_utilization{ClusterName=c} Percent 50×1 10×1 12.5×1"},
		"pod_cpu_utilization_over_pod_limit{ClusterName=c} ": {"pod_cpu_utilization_over_pod_limit{ClusterName=c} Percent 40×1 50×1"},
		"pod_cpu_reserved_capacity{ClusterName=c} ":          {"pod_cpu_reserved_capacity{ClusterName=c} Percent 25×1 12.5×1 25×1"},
		"node_cpu_utilization{ClusterName=c} ":               {"node_cpu_utilization{ClusterName=c} Percent 75×1 18.75×1"},
		"node_cpu_utilization{ClusterName=c,":                {"node_cpu_utilization{ClusterName=c,InstanceId=i-n1,NodeName=n1} Percent 75×1", "node_cpu_utilization{ClusterName=c,InstanceId=i-n2,NodeName=n2} Percent 18.75×1"},
		"node_cpu_reserved_capacity{ClusterName=c} ":         {"node_cpu_reserved_capacity{ClusterName=c} Percent 37.5×1 25×1"},
		"container_cpu_utilization_over_container_limit{ClusterName=c} ": {
			"container_cpu_utilization_over_container_limit{ClusterName=c} Percent 80×1 40×1 50×1",
		},
	} {
		if diff := gocmp.Diff(want, lines(data, part)); diff != "" {
			t.Errorf("%s: %s", part, diff)
		}
	}
}

// The names that pods have in metrics.
func TestWorkload(t *testing.T) {
	hash := map[string]string{"pod-template-hash": "6dd57c8bdc"}
	for _, tt := range []struct {
		kind, owner string
		labels      map[string]string
		want        string
	}{
		{"", "", nil, "pod"},
		{"ReplicaSet", "web-front-6dd57c8bdc", hash, "web-front"},
		{"ReplicaSet", "of-my-own", nil, "of-my-own"},
		{"DaemonSet", "agent", nil, "agent"},
		{"StatefulSet", "db", nil, "pod"},
		{"ReplicationController", "old", nil, "old"},
		{"Job", "backup-29384756", nil, "backup"},
		{"Job", "migrate-2", nil, "migrate-2"},
		{"Job", "import", nil, "import"},
		{"Node", "n1", nil, "pod"},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pod", Labels: tt.labels}}
		if tt.kind != "" {
			p.OwnerReferences = []metav1.OwnerReference{{Kind: tt.kind, Name: tt.owner}}
		}
		if got := workload(p); got != tt.want {
			t.Errorf("of %s %s: %q, want %q", tt.kind, tt.owner, got, tt.want)
		}
	}
}

func TestClusterMetrics(t *testing.T) {
	status := func(kind v1.NodeConditionType, s v1.ConditionStatus) v1.NodeCondition {
		return v1.NodeCondition{Type: kind, Status: s}
	}
	o := &Observation{At: noon, Cluster: "c", Summaries: map[string]*stats.Summary{}}
	o.addNode("good", 2, 0, isReady, status(v1.NodeDiskPressure, v1.ConditionFalse))
	o.addNode("full", 2, 0, isReady, status(v1.NodeDiskPressure, v1.ConditionTrue))
	o.addNode("lost", 2, 0, status(v1.NodeReady, v1.ConditionUnknown))
	o.addNode("young", 2, 0)
	delete(o.Summaries, "lost")
	o.place("good", "a", 0, container{name: "c"})
	o.place("good", "b", 0, container{name: "c"})
	o.Pods[1].Status.Conditions = nil // not ready
	o.Services = []v1.Service{
		{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default"}, Spec: v1.ServiceSpec{Selector: map[string]string{"app": "a"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "b", Namespace: "default"}, Spec: v1.ServiceSpec{Selector: map[string]string{"app": "b"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "elsewhere"}, Spec: v1.ServiceSpec{Selector: map[string]string{"app": "a"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"}},
	}
	want := []string{
		"cluster_failed_node_count{ClusterName=c} Count 3×1",
		"cluster_node_count{ClusterName=c} Count 4×1",
		"cluster_number_of_running_pods{ClusterName=c} Count 2×1",
		"namespace_number_of_running_pods{ClusterName=c,Namespace=default} Count 2×1",
		"namespace_number_of_running_pods{ClusterName=c} Count 2×1",
		"service_number_of_running_pods{ClusterName=c,Namespace=default,Service=a} Count 1×1",
		"service_number_of_running_pods{ClusterName=c,Namespace=default,Service=b} Count 0×1",
		"service_number_of_running_pods{ClusterName=c,Namespace=elsewhere,Service=a} Count 0×1",
		"service_number_of_running_pods{ClusterName=c} Count 1×1 0×1 0×1",
	}
	data := Insights(nil, o)
	var got []string
	for _, prefix := range []string{"cluster_", "namespace_", "service_"} {
		for _, l := range lines(data, prefix) {
			if strings.HasPrefix(l, prefix) {
				got = append(got, l)
			}
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := lines(data, "node_status_condition_unknown{ClusterName=c} "); len(got) != 1 || got[0] != "node_status_condition_unknown{ClusterName=c} Count 0×1 0×1 1×1 0×1" {
		t.Errorf("unknown: %v", got)
	}
}

// Rates are of what grew; a pod or a counter that began anew has none.
func TestRates(t *testing.T) {
	at := func(seconds int) metav1.Time { return metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second)) }
	cpu := func(seconds int, total, now uint64) *stats.CPUStats {
		return &stats.CPUStats{Time: at(seconds), UsageCoreNanoSeconds: &total, UsageNanoCores: &now}
	}
	for _, tt := range []struct {
		name    string
		was, is *stats.CPUStats
		want    float64 // negative: unknown
	}{
		{"grown", cpu(0, 1e9, 0), cpu(10, 6e9, 7e8), 500},
		{"first", nil, cpu(10, 6e9, 7e8), 700},
		{"began anew", cpu(0, 6e9, 0), cpu(10, 1e9, 7e8), 700},
		{"the same reading", cpu(10, 6e9, 0), cpu(10, 6e9, 7e8), 700},
		{"unknown", nil, &stats.CPUStats{}, -1},
		{"nothing", nil, nil, -1},
	} {
		got, ok := cpuUsed(tt.was, tt.is)
		if ok != (tt.want >= 0) || ok && got != tt.want {
			t.Errorf("%s: %g, %v, want %g", tt.name, got, ok, tt.want)
		}
	}
	wire := func(seconds int, names string, bytes uint64) *stats.NetworkStats {
		n := &stats.NetworkStats{Time: at(seconds)}
		for name := range strings.FieldsSeq(names) {
			n.Interfaces = append(n.Interfaces, stats.InterfaceStats{Name: name, RxBytes: new(bytes), TxBytes: new(2 * bytes)})
		}
		return n
	}
	for _, tt := range []struct {
		name    string
		was, is *stats.NetworkStats
		in      float64 // negative: unknown
	}{
		{"two interfaces", wire(0, "eth0 eth1", 100), wire(10, "eth0 eth1", 200), 20},
		{"one is new", wire(0, "eth0", 100), wire(10, "eth0 eth1", 200), 10},
		{"began anew", wire(0, "eth0", 200), wire(10, "eth0", 100), -1},
		{"first", nil, wire(10, "eth0", 100), -1},
	} {
		in, out, ok := traffic(tt.was, tt.is)
		if ok != (tt.in >= 0) || ok && (in != tt.in || out != 2*tt.in) {
			t.Errorf("%s: %g and %g, %v, want %g", tt.name, in, out, ok, tt.in)
		}
	}
}

// Whatever kubelets say, metrics are numbers that CloudWatch takes, and none that
// counts is below zero.
func FuzzInsights(f *testing.F) {
	for _, file := range []string{"testdata/before.json", "testdata/now.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var o struct{ Summaries map[string]json.RawMessage }
		if err := json.Unmarshal(data, &o); err != nil {
			f.Fatal(err)
		}
		for _, s := range o.Summaries {
			f.Add([]byte(s), []byte(s))
		}
	}
	f.Add([]byte(`{"pods":[{"podRef":{"uid":"a"},"network":{}}]}`), []byte(`{"node":{"cpu":{},"memory":{},"fs":{}},"pods":[{"podRef":{"uid":"a"},"containers":[{"name":"c","memory":{},"rootfs":{}}]}]}`))
	f.Fuzz(func(t *testing.T, before, now []byte) {
		observations := make([]*Observation, 2)
		for i, data := range [][]byte{before, now} {
			s, err := parseSummary(data)
			if err != nil {
				return
			}
			o := &Observation{At: noon.Add(time.Duration(i) * minute), Cluster: "c", Summaries: map[string]*stats.Summary{}}
			o.addNode("n", 2, 1, isReady)
			o.Summaries["n"] = s
			for _, p := range s.Pods {
				pod := v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: p.PodRef.Name, Namespace: p.PodRef.Namespace, UID: types.UID(p.PodRef.UID)}, Spec: v1.PodSpec{NodeName: "n"}}
				for _, c := range p.Containers {
					pod.Spec.Containers = append(pod.Spec.Containers, v1.Container{Name: c.Name})
				}
				o.Pods = append(o.Pods, pod)
			}
			observations[i] = o
		}
		for _, d := range Insights(observations[0], observations[1]) {
			if len(d.Values) == 0 || len(d.Values) != len(d.Counts) {
				t.Errorf("%s has %d values and %d weights", d.Name, len(d.Values), len(d.Counts))
			}
			for _, v := range d.Values {
				if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
					t.Errorf("%s is %g", d.Name, v)
				}
			}
		}
	})
}

func TestPodMemory(t *testing.T) {
	of := func(n uint64) *stats.MemoryStats { return &stats.MemoryStats{WorkingSetBytes: &n} }
	containers := []stats.ContainerStats{{Memory: of(3)}, {Memory: of(4)}, {}}
	for _, test := range []struct {
		pod  stats.PodStats
		used float64
		ok   bool
	}{
		{stats.PodStats{Memory: of(8), Containers: containers}, 8, true},
		{stats.PodStats{Memory: of(0), Containers: containers}, 7, true},
		{stats.PodStats{Containers: containers}, 7, true},
		{stats.PodStats{Memory: of(0)}, 0, true},
		{stats.PodStats{}, 0, false},
	} {
		if used, ok := podMemory(&test.pod); used != test.used || ok != test.ok {
			t.Errorf("%+v: %v %v", test.pod, used, ok)
		}
	}
}
