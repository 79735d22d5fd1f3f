package proxy

// Stats are a balancer's counters since it was first applied, but for gauges, which are as of now. The
// names are those of the metrics in AWS/ELB.
type Stats struct {
	RequestCount          uint64 // of TCP and SSL: connections
	HTTPCodeELB4XX        uint64
	HTTPCodeELB5XX        uint64
	HTTPCodeBackend2XX    uint64
	HTTPCodeBackend3XX    uint64
	HTTPCodeBackend4XX    uint64
	HTTPCodeBackend5XX    uint64
	BackendConnectionErrs uint64 // BackendConnectionErrors
	SpilloverCount        uint64
	DesyncNonCompliant    uint64 // DesyncMitigationMode_NonCompliant_Request_Count
	ProcessedBytes        uint64 // EstimatedProcessedBytes
	NewConnections        uint64 // of clients

	Latency Histogram // seconds: HTTP: from the request sent to the response's head; TCP: to connect

	SurgeQueueLength  int // now
	ActiveConnections int // of clients, now

	HealthyHostCount   map[string]int // by zone, now
	UnHealthyHostCount map[string]int
}
