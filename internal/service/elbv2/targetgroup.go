package elbv2

// TargetGroup is the record of a target group of instances. Its key is its name.
type TargetGroup struct {
	Name string
	// ID is this one's, and no later one's of the same name.
	ID       string
	Protocol string // HTTP or HTTPS
	Port     int32  // of targets that are registered without one
	VPC      string

	HealthCheck HealthCheck
	Attributes  TargetGroupAttributes
	Targets     []Target          `json:",omitempty"` // in the order of their registration
	Tags        map[string]string `json:",omitempty"`
}

// Target is a port of an instance.
type Target struct {
	ID   string // of the instance
	Port int32
}

// HealthCheck is how targets are probed. Interval and Timeout are in seconds.
type HealthCheck struct {
	Protocol                             string // HTTP or HTTPS
	Port                                 int32  // 0: each target's own, the traffic-port
	Path                                 string
	Matcher                              string // statuses that pass: 200, 200,202 or 200-299; see ParseMatcher
	Interval, Timeout                    int32
	HealthyThreshold, UnhealthyThreshold int32
}

// TargetGroupAttributes are a target group's settings beside its parts.
type TargetGroupAttributes struct {
	DeregistrationDelay int32 // seconds that requests under way may take
	SlowStart           int32 // seconds; 0: none
	Algorithm           string
	Sticky              bool
	StickyDuration      int32 // seconds
}

// The values of load_balancing.algorithm.type.
const (
	RoundRobin       = "round_robin"
	LeastOutstanding = "least_outstanding_requests"
)

// Label is how AWS names a target group in metrics: targetgroup/web/73e2d6bc24d8a067.
func (g *TargetGroup) Label() string { return "targetgroup/" + g.Name + "/" + g.ID }
