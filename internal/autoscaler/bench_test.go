package autoscaler

import (
	"fmt"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// large is a full cluster of 1,000 nodes and 30,000 pods, with 1,000 pods of
// twenty kinds that find no node. Every fourth kind wants to be spread over
// zones, and one over nodes.
func large() *world {
	w := newWorld()
	for g := range 4 {
		group := w.group(fmt.Sprintf("group-%d", g), 0, 1000, 0)
		group.Template = medium("template", "ap-northeast-2a")
		group.Template.Status.Allocatable = amounts("8", "32Gi", 58)
		group.Template.Status.Capacity = amounts("8", "32Gi", 58)
		for i := range 250 {
			node := w.member(group, fmt.Sprintf("group-%d-%d", g, i))
			node.Status.Allocatable = amounts("8", "32Gi", 58)
			node.Status.Capacity = amounts("8", "32Gi", 58)
			group.Desired++
			w.pods(30, node.Name, "250m", "1Gi")
		}
	}
	w.daemonSet("aws-node", "50m", "64Mi")
	w.daemonSet("kube-proxy", "100m", "64Mi")
	for kind := range 20 {
		app := map[string]string{"app": fmt.Sprintf("app-%d", kind)}
		w.pods(50, "", fmt.Sprintf("%dm", 600+10*kind), "2Gi", func(p *corev1.Pod) {
			p.Labels = app
			topology, want := corev1.LabelTopologyZone, kind%4 == 0
			if kind == 19 {
				topology, want = corev1.LabelHostname, true
			}
			if want {
				p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
					MaxSkew: 50, TopologyKey: topology, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: app},
				}}
			}
		})
	}
	return w
}

// The aim: 1 s and 1 GiB on two cores. test/bench reads what it reports.
func BenchmarkPlan(b *testing.B) {
	w := large()
	o := Defaults()
	added := 0
	for b.Loop() {
		d := w.plan(b, o)
		added = 0
		for _, up := range d.ScaleUps {
			added += up.To - up.From
		}
		if len(d.Stuck) > 0 || added == 0 {
			b.Fatalf("%d nodes, %d pods stuck", added, len(d.Stuck))
		}
	}
	b.ReportMetric(float64(added), "nodes")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-from-system")
}

// A half-empty cluster: many nodes could go.
func BenchmarkPlanScaleDown(b *testing.B) {
	w := large()
	kept := w.Pods[:0]
	for i, p := range w.Pods {
		if p.Spec.NodeName != "" && i%3 == 0 {
			kept = append(kept, p)
		}
	}
	w.Pods = kept
	for b.Loop() {
		if d := w.plan(b, Defaults()); len(d.Unneeded) == 0 {
			b.Fatal("no node is unneeded")
		}
	}
}
