package metering

import (
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

const elbNamespace = "AWS/ELB"

// Balancers is what Classic Load Balancers did between two readings of the proxy's
// counters, by the load balancers' ids. One without a reading before is new: it
// counted from 0.
//
// A request is counted once for the load balancer, whatever zone it came through:
// of one in several zones the zones have the hosts only.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-cloudwatch-metrics.html
func Balancers(at time.Time, elapsed time.Duration, before, now map[string]proxy.Stats, all []elb.LoadBalancer) []metrics.Datum {
	if elapsed <= 0 || elapsed > minute {
		return nil
	}
	b := newBatch(elbNamespace, at.Round(time.Second))
	for _, lb := range all {
		if is, ok := now[lb.ID]; ok {
			b.addTraffic(lb, before[lb.ID], is, elapsed)
			b.addHosts(lb, is, elapsed)
		}
	}
	return b.data
}

// zoneDimensions are those of a load balancer in a zone, and those of the zone.
func zoneDimensions(lb elb.LoadBalancer, zone string) []dimensions {
	return []dimensions{dims("AvailabilityZone", zone, "LoadBalancerName", lb.Name), dims("AvailabilityZone", zone)}
}

func (b *batch) addTraffic(lb elb.LoadBalancer, was, is proxy.Stats, elapsed time.Duration) {
	sets := []dimensions{dims("LoadBalancerName", lb.Name), dims()}
	if len(lb.Zones) == 1 {
		sets = append(sets, zoneDimensions(lb, lb.Zones[0])...)
	}
	for _, m := range []struct {
		name    string
		was, is uint64
	}{
		{"RequestCount", was.RequestCount, is.RequestCount},
		{"HTTPCode_ELB_4XX", was.HTTPCodeELB4XX, is.HTTPCodeELB4XX},
		{"HTTPCode_ELB_5XX", was.HTTPCodeELB5XX, is.HTTPCodeELB5XX},
		{"HTTPCode_Backend_2XX", was.HTTPCodeBackend2XX, is.HTTPCodeBackend2XX},
		{"HTTPCode_Backend_3XX", was.HTTPCodeBackend3XX, is.HTTPCodeBackend3XX},
		{"HTTPCode_Backend_4XX", was.HTTPCodeBackend4XX, is.HTTPCodeBackend4XX},
		{"HTTPCode_Backend_5XX", was.HTTPCodeBackend5XX, is.HTTPCodeBackend5XX},
	} {
		b.addEvents(m.name, grown(m.was, m.is), sets...)
	}
	b.addCounts(elapsed, []counted{
		{"BackendConnectionErrors", count, was.BackendConnectionErrs, is.BackendConnectionErrs},
		{"SpilloverCount", count, was.SpilloverCount, is.SpilloverCount},
		{"DesyncMitigationMode_NonCompliant_Request_Count", count, was.DesyncNonCompliant, is.DesyncNonCompliant},
		{"EstimatedProcessedBytes", bytes, was.ProcessedBytes, is.ProcessedBytes},
		{"EstimatedALBNewConnectionCount", count, was.NewConnections, is.NewConnections},
	}, sets...)
	for _, m := range []struct {
		name string
		now  int
	}{
		{"SurgeQueueLength", is.SurgeQueueLength},
		{"EstimatedALBActiveConnectionCount", is.ActiveConnections},
	} {
		if m.now > 0 {
			b.add(m.name, count, float64(m.now), weight(elapsed), sets...)
		}
	}
	if is.Latency.Count < was.Latency.Count {
		was.Latency = proxy.Histogram{}
	}
	if values, weights := latencies(is.Latency.Sub(was.Latency)); len(values) > 0 {
		b.addAll("Latency", seconds, values, weights, sets...)
	}
}

// middles are the durations that stand for a histogram's buckets, in seconds.
var middles = func() (m [len(proxy.Histogram{}.Buckets)]float64) {
	for i := range m {
		var one proxy.Histogram
		one.Buckets[i] = 1
		m[i] = one.Quantile(1).Seconds()
	}
	return m
}()

// latencies are the samples of a histogram: as many as were counted, of the same
// sum, and each within a bucket's width of what it was.
func latencies(h proxy.Histogram) (values, weights []float64) {
	var sum float64
	for i, n := range h.Buckets {
		if n > 0 {
			values = append(values, middles[i])
			weights = append(weights, float64(n))
			sum += middles[i] * float64(n)
		}
	}
	if sum > 0 {
		for i := range values {
			values[i] *= h.Sum.Seconds() / sum
		}
	}
	return values, weights
}

// addHosts adds the instances that are healthy and those that are not. Each node of
// a load balancer reports those that it sends requests to: its zone's or, across
// zones, all.
func (b *batch) addHosts(lb elb.LoadBalancer, is proxy.Stats, elapsed time.Duration) {
	if len(lb.Instances) == 0 {
		return
	}
	for _, m := range []struct {
		name  string
		zones map[string]int
	}{
		{"HealthyHostCount", is.HealthyHostCount},
		{"UnHealthyHostCount", is.UnHealthyHostCount},
	} {
		var total int
		for _, n := range m.zones {
			total += n
		}
		for _, zone := range lb.Zones {
			b.add(m.name, count, float64(m.zones[zone]), weight(elapsed), zoneDimensions(lb, zone)...)
			whole := m.zones[zone]
			if lb.Attributes.CrossZone {
				whole = total
			}
			b.add(m.name, count, float64(whole), weight(elapsed), dims("LoadBalancerName", lb.Name), dims())
		}
	}
}
