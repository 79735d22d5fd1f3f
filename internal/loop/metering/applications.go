package metering

import (
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

const applicationNamespace = "AWS/ApplicationELB"

// Application is an Application Load Balancer with the target groups that it
// forwards to.
type Application struct {
	LoadBalancer elbv2.LoadBalancer
	TargetGroups []elbv2.TargetGroup
}

// Applications is what Application Load Balancers did between two readings of the
// proxy's counters, by the ids of load balancers and of target groups. What has no
// reading before is new: it counted from 0.
//
// A request is counted for the load balancer and for the target group, whatever zone
// it came through: of zones there are the hosts only.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
func Applications(at time.Time, elapsed time.Duration, before, now map[string]proxy.Stats, all []Application) []metrics.Datum {
	if elapsed <= 0 || elapsed > minute {
		return nil
	}
	b := newBatch(applicationNamespace, at.Round(time.Second))
	for _, a := range all {
		label := a.LoadBalancer.Label()
		b.addFront(before[a.LoadBalancer.ID], now[a.LoadBalancer.ID], elapsed, dims("LoadBalancer", label))
		for _, g := range a.TargetGroups {
			b.addTargets(label, g, before[g.ID], now[g.ID], elapsed)
		}
	}
	return b.data
}

// addFront adds what is the load balancer's own.
func (b *batch) addFront(was, is proxy.Stats, elapsed time.Duration, of dimensions) {
	b.addCounts(elapsed, []counted{
		{"HTTPCode_ELB_4XX_Count", count, was.HTTPCodeELB4XX, is.HTTPCodeELB4XX},
		{"HTTPCode_ELB_5XX_Count", count, was.HTTPCodeELB5XX, is.HTTPCodeELB5XX},
		{"DesyncMitigationMode_NonCompliant_Request_Count", count, was.DesyncNonCompliant, is.DesyncNonCompliant},
		{"NewConnectionCount", count, was.NewConnections, is.NewConnections},
		{"ProcessedBytes", bytes, was.ProcessedBytes, is.ProcessedBytes},
	}, of)
	if is.ActiveConnections > 0 {
		b.add("ActiveConnectionCount", count, float64(is.ActiveConnections), weight(elapsed), of)
	}
}

// addTargets adds what the targets of a group did, to the load balancer's metrics too.
func (b *batch) addTargets(balancer string, g elbv2.TargetGroup, was, is proxy.Stats, elapsed time.Duration) {
	if len(g.Targets) == 0 {
		return
	}
	whole, group := dims("LoadBalancer", balancer), dims("LoadBalancer", balancer, "TargetGroup", g.Label())
	requests := grown(was.RequestCount, is.RequestCount)
	b.addTotal("RequestCount", count, requests, elapsed, whole, group)
	b.addCounts(elapsed, []counted{
		{"HTTPCode_Target_2XX_Count", count, was.HTTPCodeBackend2XX, is.HTTPCodeBackend2XX},
		{"HTTPCode_Target_3XX_Count", count, was.HTTPCodeBackend3XX, is.HTTPCodeBackend3XX},
		{"HTTPCode_Target_4XX_Count", count, was.HTTPCodeBackend4XX, is.HTTPCodeBackend4XX},
		{"HTTPCode_Target_5XX_Count", count, was.HTTPCodeBackend5XX, is.HTTPCodeBackend5XX},
		{"TargetConnectionErrorCount", count, was.BackendConnectionErrs, is.BackendConnectionErrs},
	}, whole, group)
	if is.Latency.Count < was.Latency.Count {
		was.Latency = proxy.Histogram{}
	}
	if values, weights := latencies(is.Latency.Sub(was.Latency)); len(values) > 0 {
		b.addAll("TargetResponseTime", seconds, values, weights, whole, group)
	}
	healthy, unhealthy := b.addTargetHealth(balancer, g, is, elapsed)
	if sharing := healthy; sharing > 0 || unhealthy > 0 {
		if sharing == 0 { // then requests go to all of them
			sharing = unhealthy
		}
		share := weight(elapsed)
		b.add("RequestCountPerTarget", none, float64(requests)/float64(sharing)/share, share, dims("TargetGroup", g.Label()), group)
	}
}

// addTargetHealth adds how many targets are healthy and how many are not, of each
// zone and in all.
func (b *batch) addTargetHealth(balancer string, g elbv2.TargetGroup, is proxy.Stats, elapsed time.Duration) (healthy, unhealthy int) {
	for _, m := range []struct {
		name  string
		zones map[string]int
		total *int
	}{
		{"HealthyHostCount", is.HealthyHostCount, &healthy},
		{"UnHealthyHostCount", is.UnHealthyHostCount, &unhealthy},
	} {
		for zone, n := range m.zones {
			*m.total += n
			b.add(m.name, count, float64(n), weight(elapsed), dims("AvailabilityZone", zone, "LoadBalancer", balancer, "TargetGroup", g.Label()))
		}
		b.add(m.name, count, float64(*m.total), weight(elapsed), dims("LoadBalancer", balancer, "TargetGroup", g.Label()))
	}
	return healthy, unhealthy
}
