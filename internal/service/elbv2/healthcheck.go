package elbv2

import (
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
)

// trafficPort is the health check port that is each target's own.
const trafficPort = "traffic-port"

// defaultHealthCheck is that of target groups for Application Load Balancers.
var defaultHealthCheck = HealthCheck{
	Protocol: HTTP, Path: "/", Matcher: "200", Interval: 30, Timeout: 5, HealthyThreshold: 5, UnhealthyThreshold: 2,
}

// healthCheckInput is what requests to create and to modify a target group have in
// common.
type healthCheckInput struct {
	Protocol                              elbv2api.ProtocolEnum
	Port, Path                            *string
	Enabled                               *bool
	Matcher                               *elbv2api.Matcher
	Interval, Timeout, Healthy, Unhealthy *int32
}

// change sets what a request gives.
func (c *HealthCheck) change(in healthCheckInput) error {
	if in.Enabled != nil && !*in.Enabled {
		return invalid("Health check enabled must be true for target groups with target type 'instance'")
	}
	if err := c.changeRequest(in); err != nil {
		return err
	}
	for _, n := range []struct {
		member      string
		field       *int32
		value       *int32
		least, most int32
	}{
		{"healthCheckIntervalSeconds", &c.Interval, in.Interval, 5, 300}, {"healthCheckTimeoutSeconds", &c.Timeout, in.Timeout, 2, 120},
		{"healthyThresholdCount", &c.HealthyThreshold, in.Healthy, 2, 10}, {"unhealthyThresholdCount", &c.UnhealthyThreshold, in.Unhealthy, 2, 10},
	} {
		if n.value == nil {
			continue
		}
		if err := between(n.member, *n.value, n.least, n.most); err != nil {
			return err
		}
		*n.field = *n.value
	}
	if c.Timeout >= c.Interval {
		return invalid("Health check interval must be greater than the timeout.")
	}
	return nil
}

// changeRequest sets what is asked of a target, and what it may answer.
func (c *HealthCheck) changeRequest(in healthCheckInput) error {
	switch in.Protocol {
	case "":
	case HTTP, HTTPS:
		c.Protocol = string(in.Protocol)
	default:
		if err := checkProtocol("healthCheckProtocol", in.Protocol); err != nil {
			return err
		}
		return refused("Health check protocol '%s' is not supported for target groups with protocol HTTP or HTTPS", in.Protocol)
	}
	if in.Port != nil {
		port, err := readCheckPort(*in.Port)
		if err != nil {
			return err
		}
		c.Port = port
	}
	if in.Path != nil {
		if err := checkPath(*in.Path); err != nil {
			return err
		}
		c.Path = *in.Path
	}
	if in.Matcher != nil {
		if in.Matcher.GrpcCode != nil {
			return notImplemented("Matcher.GrpcCode, which is for ProtocolVersion GRPC: use HttpCode.")
		}
		if _, err := ParseMatcher(api.Val(in.Matcher.HttpCode)); err != nil {
			return err
		}
		c.Matcher = *in.Matcher.HttpCode
	}
	return nil
}

// readCheckPort reads the port that is probed; 0 is the traffic-port.
func readCheckPort(port string) (int32, error) {
	if port == trafficPort {
		return 0, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return 0, invalid("Health check port '%s' must be either 'traffic-port' or in the range 1-65535", port)
	}
	return int32(n), nil
}

// checkPath wants what can be in the first line of a request.
func checkPath(path string) error {
	switch {
	case path == "" || len(path) > 1024:
		return invalid("Health check path '%s' must be between 1 and 1024 characters long", path)
	case path[0] != '/':
		return invalid("Health check path '%s' must begin with a '/' character", path)
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return invalid("Health check path '%s' must be of printable ASCII characters without spaces", path)
	}
	return nil
}

// Range is a range of HTTP statuses, both ends of which are in it.
type Range struct{ From, To int }

// ParseMatcher reads Matcher.HttpCode: 200, 200,202 or 200-299. Its error is for
// clients.
func ParseMatcher(text string) ([]Range, error) {
	if text == "" {
		return nil, invalid("Health check matcher HTTP code cannot be empty")
	}
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		r := Range{status(from), status(to)}
		if r.From == 0 || r.To == 0 || r.From > r.To {
			return nil, invalid("Health check matcher HTTP code '%s' must be values such as '200,202' or a range such as '200-299', within '200-499'", text)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// status reads three digits from 200 to 499; anything else is 0.
func status(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || len(text) != 3 || n < 200 || n > 499 {
		return 0
	}
	return n
}
