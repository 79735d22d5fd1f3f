package metering

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

func TestApplications(t *testing.T) {
	shop := Application{
		LoadBalancer: elbv2.LoadBalancer{Placement: loadbalancer.Placement{Name: "shop", ID: "1", Type: loadbalancer.Application, Zones: []string{"a", "b"}}},
		TargetGroups: []elbv2.TargetGroup{{Name: "web", ID: "2", Targets: []elbv2.Target{{ID: "i-1", Port: 80}, {ID: "i-2", Port: 80}}}},
	}
	empty := shop
	empty.TargetGroups = []elbv2.TargetGroup{{Name: "web", ID: "2"}}
	hosts := func(healthy, unhealthy int) proxy.Stats {
		return proxy.Stats{
			RequestCount: 30, HTTPCodeBackend2XX: 29, HTTPCodeBackend5XX: 1, BackendConnectionErrs: 2,
			HealthyHostCount: map[string]int{"a": healthy}, UnHealthyHostCount: map[string]int{"a": unhealthy},
		}
	}
	for _, tt := range []struct {
		name           string
		balancer, was  proxy.Stats
		group, groupAt proxy.Stats
		of             Application
		part           string
		want           []string
	}{
		{
			"what is the load balancer's own",
			proxy.Stats{HTTPCodeELB4XX: 1, HTTPCodeELB5XX: 2, NewConnections: 7, ProcessedBytes: 1000, ActiveConnections: 3}, proxy.Stats{NewConnections: 5},
			proxy.Stats{}, proxy.Stats{}, empty, "", []string{
				"ActiveConnectionCount{LoadBalancer=app/shop/1} Count 3×0.0167",
				"HTTPCode_ELB_4XX_Count{LoadBalancer=app/shop/1} Count 60×0.0167",
				"HTTPCode_ELB_5XX_Count{LoadBalancer=app/shop/1} Count 120×0.0167",
				"NewConnectionCount{LoadBalancer=app/shop/1} Count 120×0.0167",
				"ProcessedBytes{LoadBalancer=app/shop/1} Bytes 60000×0.0167",
			},
		},
		{
			"what targets did", proxy.Stats{}, proxy.Stats{}, proxy.Stats{RequestCount: 20, HTTPCodeBackend2XX: 20}, hosts(2, 0), shop, "", []string{
				"HTTPCode_Target_2XX_Count{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 540×0.0167",
				"HTTPCode_Target_2XX_Count{LoadBalancer=app/shop/1} Count 540×0.0167",
				"HTTPCode_Target_5XX_Count{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 60×0.0167",
				"HTTPCode_Target_5XX_Count{LoadBalancer=app/shop/1} Count 60×0.0167",
				"HealthyHostCount{AvailabilityZone=a,LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 2×0.0167",
				"HealthyHostCount{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 2×0.0167",
				"RequestCountPerTarget{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} None 300×0.0167",
				"RequestCountPerTarget{TargetGroup=targetgroup/web/2} None 300×0.0167",
				"RequestCount{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 600×0.0167",
				"RequestCount{LoadBalancer=app/shop/1} Count 600×0.0167",
				"TargetConnectionErrorCount{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 120×0.0167",
				"TargetConnectionErrorCount{LoadBalancer=app/shop/1} Count 120×0.0167",
				"UnHealthyHostCount{AvailabilityZone=a,LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 0×0.0167",
				"UnHealthyHostCount{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 0×0.0167",
			},
		},
		{
			"of two the healthy one has the requests", proxy.Stats{}, proxy.Stats{}, proxy.Stats{RequestCount: 20}, hosts(1, 1), shop, "RequestCountPerTarget{Target",
			[]string{"RequestCountPerTarget{TargetGroup=targetgroup/web/2} None 600×0.0167"},
		},
		{
			"if none is healthy, all have", proxy.Stats{}, proxy.Stats{}, proxy.Stats{RequestCount: 20}, hosts(0, 2), shop, "RequestCountPerTarget{Target",
			[]string{"RequestCountPerTarget{TargetGroup=targetgroup/web/2} None 300×0.0167"},
		},
		{
			"no requests are a measurement", proxy.Stats{}, proxy.Stats{}, hosts(1, 0), hosts(1, 0), shop, "RequestCount",
			[]string{
				"RequestCountPerTarget{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} None 0×0.0167",
				"RequestCountPerTarget{TargetGroup=targetgroup/web/2} None 0×0.0167",
				"RequestCount{LoadBalancer=app/shop/1,TargetGroup=targetgroup/web/2} Count 0×0.0167",
				"RequestCount{LoadBalancer=app/shop/1} Count 0×0.0167",
			},
		},
		{"without targets there is nothing", proxy.Stats{}, proxy.Stats{}, proxy.Stats{}, proxy.Stats{}, empty, "", nil},
	} {
		before := map[string]proxy.Stats{"1": tt.was, "2": tt.group}
		now := map[string]proxy.Stats{"1": tt.balancer, "2": tt.groupAt}
		got := lines(Applications(noon, time.Second, before, now, []Application{tt.of}), tt.part)
		if diff := gocmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if got := Applications(noon, time.Hour, nil, nil, []Application{shop}); got != nil {
		t.Errorf("after a sleep of the machine: %v", got)
	}
}
