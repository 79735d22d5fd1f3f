package route53

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
)

// CheckerRegions are where Route 53's health checkers are.
var CheckerRegions = []route53api.HealthCheckRegion{
	"us-east-1", "us-west-1", "us-west-2", "eu-west-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "sa-east-1",
}

var healthCheckTypes = []route53api.HealthCheckType{
	"HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP", "CALCULATED", "CLOUDWATCH_METRIC", "RECOVERY_CONTROL",
}

// newConfig is what a request asks for, with Route 53's defaults.
func newConfig(in *route53api.HealthCheckConfig) (HealthCheckConfig, error) {
	c := HealthCheckConfig{
		Type: string(in.Type), IPAddress: api.Val(in.IPAddress), Port: int(api.Val(in.Port)), Domain: api.Val(in.FullyQualifiedDomainName),
		Path: api.Val(in.ResourcePath), SearchString: api.Val(in.SearchString), MeasureLatency: api.Val(in.MeasureLatency),
		Inverted: api.Val(in.Inverted), Disabled: api.Val(in.Disabled), SNI: strings.HasPrefix(string(in.Type), "HTTPS"),
		Children: in.ChildHealthChecks, HealthThreshold: int(api.Val(in.HealthThreshold)), Regions: regionNames(in.Regions),
	}
	if err := checkEnum(in.Type, healthCheckTypes...); err != nil {
		return c, err
	}
	switch in.Type {
	case route53api.HealthCheckTypeCloudwatchMetric, route53api.HealthCheckTypeRecoveryControl:
		return c, notImplemented("health checks of the type " + c.Type)
	}
	if in.RequestInterval != nil && *in.RequestInterval != 10 && *in.RequestInterval != 30 {
		return c, invalid("Invalid parameter : RequestInterval must be 10 or 30, not %d", *in.RequestInterval)
	}
	if in.AlarmIdentifier != nil || in.InsufficientDataHealthStatus != "" || in.RoutingControlArn != nil {
		return c, invalid("Invalid parameter : AlarmIdentifier, InsufficientDataHealthStatus and RoutingControlArn are for other types than %s", c.Type)
	}
	if in.EnableSNI != nil {
		c.SNI = *in.EnableSNI
	}
	if c.calculated() {
		if in.RequestInterval != nil || in.FailureThreshold != nil || in.MeasureLatency != nil || in.EnableSNI != nil {
			return c, invalid("Invalid parameter : RequestInterval, FailureThreshold, MeasureLatency and EnableSNI are not for calculated health checks")
		}
		if in.HealthThreshold == nil {
			return c, invalid("Invalid parameter : HealthThreshold is required for calculated health checks")
		}
		return c, c.check()
	}
	if c.Interval = int(api.Val(in.RequestInterval)); c.Interval == 0 {
		c.Interval = 30
	}
	c.Threshold = 3
	if in.FailureThreshold != nil {
		c.Threshold = int(*in.FailureThreshold)
	}
	if in.Port == nil {
		c.Port = map[bool]int{true: 443, false: 80}[strings.HasPrefix(c.Type, "HTTPS")]
		if in.Type == route53api.HealthCheckTypeTcp {
			return c, invalid("Invalid parameter : Port is required for TCP health checks")
		}
	}
	if in.HealthThreshold != nil {
		return c, invalid("Invalid parameter : HealthThreshold is for calculated health checks only")
	}
	return c, c.check()
}

func regionNames(in []route53api.HealthCheckRegion) (names []string) {
	for _, region := range in {
		names = append(names, string(region))
	}
	return names
}

func (c *HealthCheckConfig) calculated() bool {
	return c.Type == string(route53api.HealthCheckTypeCalculated)
}

// check checks a whole configuration.
func (c *HealthCheckConfig) check() error {
	if err := first(
		checkLength("FullyQualifiedDomainName", &c.Domain, 0, 255), checkLength("ResourcePath", &c.Path, 0, 255),
		checkLength("SearchString", &c.SearchString, 0, 255), checkRange("HealthThreshold", new(int64(c.HealthThreshold)), 0, 256),
	); err != nil {
		return err
	}
	if c.calculated() {
		return c.checkCalculated()
	}
	if err := first(checkRange("Port", new(int64(c.Port)), 1, 65535), checkRange("FailureThreshold", new(int64(c.Threshold)), 1, 10)); err != nil {
		return err
	}
	if len(c.Children) > 0 {
		return invalid("Invalid parameter : ChildHealthChecks is for calculated health checks only")
	}
	if err := checkRegions(c.Regions); err != nil {
		return err
	}
	if c.IPAddress != "" {
		// Route 53 refuses what the internet does not route. Here endpoints are on
		// this machine.
		if a, err := netip.ParseAddr(c.IPAddress); err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			return invalid("Invalid parameter : IPAddress %s is not an address whose health can be checked", c.IPAddress)
		}
	}
	if c.Domain != "" {
		if _, err := Name(c.Domain); err != nil {
			return invalid("Invalid parameter : FullyQualifiedDomainName: %s", err)
		}
	}
	matches := strings.HasSuffix(c.Type, "_STR_MATCH")
	switch tcp := c.Type == string(route53api.HealthCheckTypeTcp); {
	case c.IPAddress == "" && c.Domain == "":
		return invalid("Invalid parameter : IPAddress or FullyQualifiedDomainName is required for health checks of the type %s", c.Type)
	case tcp && c.Path != "":
		return invalid("Invalid parameter : ResourcePath is not for TCP health checks")
	case matches && c.SearchString == "":
		return invalid("Invalid parameter : SearchString is required for health checks of the type %s", c.Type)
	case !matches && c.SearchString != "":
		return invalid("Invalid parameter : SearchString is not for health checks of the type %s", c.Type)
	case strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r > '~' }):
		return invalid("Invalid parameter : ResourcePath has characters that a request cannot have")
	}
	return nil
}

func (c *HealthCheckConfig) checkCalculated() error {
	if c.IPAddress != "" || c.Port != 0 || c.Domain != "" || c.Path != "" || c.SearchString != "" || len(c.Regions) > 0 {
		return invalid("Invalid parameter : calculated health checks have no endpoint")
	}
	if len(c.Children) > 256 {
		return invalid("Invalid parameter : ChildHealthChecks has more than 256 elements")
	}
	for i, id := range c.Children {
		if slices.Contains(c.Children[:i], id) {
			return invalid("Invalid parameter : ChildHealthChecks has %s twice", id)
		}
	}
	return nil
}

func checkRegions(names []string) error {
	if len(names) > 0 && len(names) < 3 {
		return invalid("Invalid parameter : Regions must have three elements at least")
	}
	for i, name := range names {
		if err := checkEnum(route53api.HealthCheckRegion(name), CheckerRegions...); err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return invalid("Invalid parameter : Regions has %s twice", name)
		}
	}
	return nil
}

// update changes what a request asks to change.
func (h *HealthCheck) update(in *route53api.UpdateHealthCheckInput) error {
	if in.AlarmIdentifier != nil || in.InsufficientDataHealthStatus != "" {
		return invalid("Invalid parameter : AlarmIdentifier and InsufficientDataHealthStatus are for other types than %s", h.Type)
	}
	for _, element := range in.ResetElements {
		if err := checkEnum(element, route53api.ResettableElementNameChildHealthChecks, route53api.ResettableElementNameFullyQualifiedDomainName,
			route53api.ResettableElementNameRegions, route53api.ResettableElementNameResourcePath); err != nil {
			return err
		}
		switch element {
		case route53api.ResettableElementNameChildHealthChecks:
			h.Children = nil
		case route53api.ResettableElementNameFullyQualifiedDomainName:
			h.Domain = ""
		case route53api.ResettableElementNameRegions:
			h.Regions = nil
		case route53api.ResettableElementNameResourcePath:
			h.Path = ""
		}
	}
	if in.IPAddress != nil && h.IPAddress == "" {
		return invalid("Invalid parameter : IPAddress cannot be added to a health check")
	}
	assign(&h.IPAddress, in.IPAddress)
	assign(&h.Domain, in.FullyQualifiedDomainName)
	assign(&h.Path, in.ResourcePath)
	assign(&h.SearchString, in.SearchString)
	assign(&h.Inverted, in.Inverted)
	assign(&h.Disabled, in.Disabled)
	if h.calculated() && (in.FailureThreshold != nil || in.EnableSNI != nil) {
		return invalid("Invalid parameter : FailureThreshold and EnableSNI are not for calculated health checks")
	}
	if !h.calculated() && in.HealthThreshold != nil {
		return invalid("Invalid parameter : HealthThreshold is for calculated health checks only")
	}
	assign(&h.SNI, in.EnableSNI)
	assignNumber(&h.Port, in.Port)
	assignNumber(&h.Threshold, in.FailureThreshold)
	assignNumber(&h.HealthThreshold, in.HealthThreshold)
	if in.ChildHealthChecks != nil {
		h.Children = in.ChildHealthChecks
	}
	if in.Regions != nil {
		h.Regions = regionNames(in.Regions)
	}
	return h.check()
}

func assign[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

func assignNumber(to *int, value *int32) {
	if value != nil {
		*to = int(*value)
	}
}
