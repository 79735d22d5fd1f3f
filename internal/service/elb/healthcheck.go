package elb

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// Target is what a health check asks an instance.
type Target struct {
	Protocol string // one of the four
	Port     int
	Path     string // of HTTP and HTTPS, with what may follow it
}

func (t Target) String() string { return t.Protocol + ":" + strconv.Itoa(t.Port) + t.Path }

// ParseTarget reads HealthCheck.Target: TCP:8080, HTTP:80/healthz. Its error is for
// clients.
func ParseTarget(target string) (Target, error) {
	if len(utf16.Encode([]rune(target))) > 1024 {
		return Target{}, invalid("HealthCheck Target cannot be longer than 1024 characters")
	}
	protocol, rest, _ := strings.Cut(target, ":")
	t := Target{Protocol: strings.ToUpper(protocol)}
	switch t.Protocol {
	case HTTP, HTTPS, TCP, SSL:
	default:
		return Target{}, invalid("HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL")
	}
	port := rest
	if web(t.Protocol) {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return Target{}, invalid("HealthCheck %s Target must specify a port followed by a path that begins with a slash. e.g. %s:80/ping/this/path", t.Protocol, t.Protocol)
		}
		port, t.Path = rest[:slash], rest[slash:]
		if strings.ContainsFunc(t.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return Target{}, invalid("HealthCheck %s Target must have a path of printable ASCII characters without spaces", t.Protocol)
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '+' {
		if web(t.Protocol) {
			return Target{}, invalid("HealthCheck %s Target must specify a port followed by a path that begins with a slash. e.g. %s:80/ping/this/path", t.Protocol, t.Protocol)
		}
		return Target{}, invalid("HealthCheck %s Target must specify a port. e.g. %s:80", t.Protocol, t.Protocol)
	}
	t.Port = int(n)
	return t, nil
}

// ConfigureHealthCheck implements elbapi.Handler.
func (s *Service) ConfigureHealthCheck(ctx context.Context, in *elbapi.ConfigureHealthCheckInput) (*elbapi.ConfigureHealthCheckOutput, error) {
	check, err := readHealthCheck(in.HealthCheck)
	if err != nil {
		return nil, err
	}
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		lb.HealthCheck = check
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elbapi.ConfigureHealthCheckOutput{HealthCheck: lb.HealthCheck.out()}, nil
}

func readHealthCheck(in *elbapi.HealthCheck) (HealthCheck, error) {
	if in == nil {
		in = &elbapi.HealthCheck{}
	}
	check := HealthCheck{
		Interval: api.Val(in.Interval), Timeout: api.Val(in.Timeout),
		UnhealthyThreshold: api.Val(in.UnhealthyThreshold), HealthyThreshold: api.Val(in.HealthyThreshold),
	}
	for _, n := range []struct {
		member             string
		value, least, most int32
	}{
		{"interval", check.Interval, 5, 300}, {"timeout", check.Timeout, 2, 60},
		{"unhealthyThreshold", check.UnhealthyThreshold, 2, 10}, {"healthyThreshold", check.HealthyThreshold, 2, 10},
	} {
		if err := between("healthCheck."+n.member, n.value, n.least, n.most); err != nil {
			return check, err
		}
	}
	if check.Timeout >= check.Interval {
		return check, invalid("HealthCheck timeout must be less than interval.")
	}
	target, err := ParseTarget(api.Val(in.Target))
	check.Target = target.String()
	return check, err
}

func (c HealthCheck) out() *elbapi.HealthCheck {
	return &elbapi.HealthCheck{
		Target: &c.Target, Interval: &c.Interval, Timeout: &c.Timeout,
		UnhealthyThreshold: &c.UnhealthyThreshold, HealthyThreshold: &c.HealthyThreshold,
	}
}
