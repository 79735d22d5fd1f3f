package metering

import (
	"math"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

func TestBalancers(t *testing.T) {
	web := elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "web", ID: "1", Zones: []string{"a"}}, Instances: []string{"i-1"}}
	wide := elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "wide", ID: "2", Zones: []string{"a", "b"}}, Instances: []string{"i-1", "i-2", "i-3"}}
	cross := wide
	cross.Attributes.CrossZone = true
	hosts := proxy.Stats{HealthyHostCount: map[string]int{"a": 2, "b": 0}, UnHealthyHostCount: map[string]int{"a": 0, "b": 1}}
	for _, tt := range []struct {
		name        string
		before, now proxy.Stats
		lb          elb.LoadBalancer
		part        string
		want        []string
	}{
		{
			"a request is a sample of 1",
			proxy.Stats{RequestCount: 100, HTTPCodeBackend2XX: 90}, proxy.Stats{RequestCount: 103, HTTPCodeBackend2XX: 92, HTTPCodeELB5XX: 1},
			elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "web", ID: "1", Zones: []string{"a"}}}, "", []string{
				"HTTPCode_Backend_2XX{AvailabilityZone=a,LoadBalancerName=web} Count 1×2",
				"HTTPCode_Backend_2XX{AvailabilityZone=a} Count 1×2",
				"HTTPCode_Backend_2XX{LoadBalancerName=web} Count 1×2",
				"HTTPCode_Backend_2XX{} Count 1×2",
				"HTTPCode_ELB_5XX{AvailabilityZone=a,LoadBalancerName=web} Count 1×1",
				"HTTPCode_ELB_5XX{AvailabilityZone=a} Count 1×1",
				"HTTPCode_ELB_5XX{LoadBalancerName=web} Count 1×1",
				"HTTPCode_ELB_5XX{} Count 1×1",
				"RequestCount{AvailabilityZone=a,LoadBalancerName=web} Count 1×3",
				"RequestCount{AvailabilityZone=a} Count 1×3",
				"RequestCount{LoadBalancerName=web} Count 1×3",
				"RequestCount{} Count 1×3",
			},
		},
		{
			"sums and gauges",
			proxy.Stats{BackendConnectionErrs: 1, ProcessedBytes: 1000, NewConnections: 5},
			proxy.Stats{BackendConnectionErrs: 3, SpilloverCount: 4, DesyncNonCompliant: 1, ProcessedBytes: 1100, NewConnections: 6, SurgeQueueLength: 7, ActiveConnections: 8},
			wide, "{LoadBalancerName", []string{
				"BackendConnectionErrors{LoadBalancerName=wide} Count 120×0.0167",
				"DesyncMitigationMode_NonCompliant_Request_Count{LoadBalancerName=wide} Count 60×0.0167",
				"EstimatedALBActiveConnectionCount{LoadBalancerName=wide} Count 8×0.0167",
				"EstimatedALBNewConnectionCount{LoadBalancerName=wide} Count 60×0.0167",
				"EstimatedProcessedBytes{LoadBalancerName=wide} Bytes 6000×0.0167",
				"HealthyHostCount{LoadBalancerName=wide} Count 0×0.0167 0×0.0167",
				"SpilloverCount{LoadBalancerName=wide} Count 240×0.0167",
				"SurgeQueueLength{LoadBalancerName=wide} Count 7×0.0167",
				"UnHealthyHostCount{LoadBalancerName=wide} Count 0×0.0167 0×0.0167",
			},
		},
		{
			"hosts by zone", hosts, hosts, wide, "", []string{
				"HealthyHostCount{AvailabilityZone=a,LoadBalancerName=wide} Count 2×0.0167",
				"HealthyHostCount{AvailabilityZone=a} Count 2×0.0167",
				"HealthyHostCount{AvailabilityZone=b,LoadBalancerName=wide} Count 0×0.0167",
				"HealthyHostCount{AvailabilityZone=b} Count 0×0.0167",
				"HealthyHostCount{LoadBalancerName=wide} Count 2×0.0167 0×0.0167",
				"HealthyHostCount{} Count 2×0.0167 0×0.0167",
				"UnHealthyHostCount{AvailabilityZone=a,LoadBalancerName=wide} Count 0×0.0167",
				"UnHealthyHostCount{AvailabilityZone=a} Count 0×0.0167",
				"UnHealthyHostCount{AvailabilityZone=b,LoadBalancerName=wide} Count 1×0.0167",
				"UnHealthyHostCount{AvailabilityZone=b} Count 1×0.0167",
				"UnHealthyHostCount{LoadBalancerName=wide} Count 0×0.0167 1×0.0167",
				"UnHealthyHostCount{} Count 0×0.0167 1×0.0167",
			},
		},
		{
			"hosts across zones", hosts, hosts, cross, "HealthyHostCount{LoadBalancerName", []string{
				"HealthyHostCount{LoadBalancerName=wide} Count 2×0.0167 2×0.0167",
				"UnHealthyHostCount{LoadBalancerName=wide} Count 1×0.0167 1×0.0167",
			},
		},
		{
			"counters that began anew", proxy.Stats{RequestCount: 100, SpilloverCount: 9}, proxy.Stats{RequestCount: 2}, web, "{LoadBalancerName=web} Count 1", []string{
				"RequestCount{LoadBalancerName=web} Count 1×2",
			},
		},
		{"nothing happens and nobody is registered", proxy.Stats{RequestCount: 7}, proxy.Stats{RequestCount: 7}, elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "idle", ID: "3", Zones: []string{"a"}}}, "", nil},
	} {
		id := tt.lb.ID
		got := Balancers(noon, time.Second, map[string]proxy.Stats{id: tt.before}, map[string]proxy.Stats{id: tt.now}, []elb.LoadBalancer{tt.lb})
		if diff := gocmp.Diff(tt.want, lines(got, tt.part)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	both := map[string]proxy.Stats{"1": {RequestCount: 2}, "2": {RequestCount: 3}}
	got := lines(Balancers(noon, time.Second, nil, both, []elb.LoadBalancer{web, wide}), "RequestCount{}")
	if diff := gocmp.Diff([]string{"RequestCount{} Count 1×2 1×3"}, got); diff != "" {
		t.Errorf("all load balancers, which are new: %s", diff)
	}
	if got := Balancers(noon, time.Hour, nil, both, []elb.LoadBalancer{web}); got != nil {
		t.Errorf("after a sleep of the machine: %v", got)
	}
}

// The samples of Latency are as many as there were requests, and have their sum.
func TestLatency(t *testing.T) {
	var h proxy.Histogram
	h.Count, h.Sum = 4, 830*time.Microsecond
	h.Buckets[1], h.Buckets[5], h.Buckets[60] = 1, 2, 1 // a microsecond, five, and between 768 and 832 microseconds
	lb := elb.LoadBalancer{Placement: loadbalancer.Placement{Name: "web", ID: "1"}}
	data := Balancers(noon, time.Second, nil, map[string]proxy.Stats{"1": {Latency: h}}, []elb.LoadBalancer{lb})
	var latency metrics.Datum
	for _, d := range data {
		if d.Name == "Latency" && len(d.Dimensions) == 1 {
			latency = d
		}
	}
	if latency.Unit != "Seconds" || len(latency.Values) != 3 {
		t.Fatalf("latency: %+v", latency)
	}
	s := sum(nil, latency.Values, latency.Counts)
	if s.Count != 4 || math.Abs(s.Sum-h.Sum.Seconds()) > 1e-12 {
		t.Errorf("%g requests, together %g s: want 4 and %g", s.Count, s.Sum, h.Sum.Seconds())
	}
	if s.Min < 1e-6 || s.Min > 2e-6 || s.Max < 768e-6 || s.Max > 832e-6 {
		t.Errorf("the shortest took %g s, the longest %g s", s.Min, s.Max)
	}
	if got := lines(Balancers(noon, time.Second, map[string]proxy.Stats{"1": {Latency: h}}, map[string]proxy.Stats{"1": {Latency: h}}, []elb.LoadBalancer{lb}), "Latency"); len(got) > 0 {
		t.Errorf("without requests: %s", strings.Join(got, "; "))
	}
}
