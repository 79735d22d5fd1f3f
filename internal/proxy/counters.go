package proxy

import (
	"sync/atomic"

	"github.com/tarn-eks/tarn/internal/http1"
)

// counters are a balancer's, as it runs.
type counters struct {
	requests, elb4xx, elb5xx         atomic.Uint64
	backend                          [4]atomic.Uint64 // 2xx to 5xx
	connectErrors, spillover, nonRFC atomic.Uint64
	bytes, connections               atomic.Uint64
	latency                          histogram
	queue, active                    atomic.Int64 // gauges
}

// elb counts a response that the balancer made itself.
func (c *counters) elb(status int) {
	switch status / 100 {
	case 4:
		c.elb4xx.Add(1)
	case 5:
		c.elb5xx.Add(1)
	}
}

// fromBackend counts a backend's response.
func (c *counters) fromBackend(status int) {
	if n := status/100 - 2; n >= 0 && n < len(c.backend) {
		c.backend[n].Add(1)
	}
}

// forwarded counts a request in what its group has.
func (c *counters) forwarded(x *http1.Exchange, bytes uint64) {
	c.requests.Add(1)
	if x.StatusBackend != 0 {
		c.fromBackend(x.StatusBackend)
		c.latency.add(x.BackendProcessing)
	}
	c.bytes.Add(bytes)
}

func (c *counters) load() Stats {
	return Stats{
		RequestCount:          c.requests.Load(),
		HTTPCodeELB4XX:        c.elb4xx.Load(),
		HTTPCodeELB5XX:        c.elb5xx.Load(),
		HTTPCodeBackend2XX:    c.backend[0].Load(),
		HTTPCodeBackend3XX:    c.backend[1].Load(),
		HTTPCodeBackend4XX:    c.backend[2].Load(),
		HTTPCodeBackend5XX:    c.backend[3].Load(),
		BackendConnectionErrs: c.connectErrors.Load(),
		SpilloverCount:        c.spillover.Load(),
		DesyncNonCompliant:    c.nonRFC.Load(),
		ProcessedBytes:        c.bytes.Load(),
		NewConnections:        c.connections.Load(),
		Latency:               c.latency.load(),
		SurgeQueueLength:      int(c.queue.Load()),
		ActiveConnections:     int(c.active.Load()),
	}
}
