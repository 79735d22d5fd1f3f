package elb

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// desyncAttribute is the one additional attribute that there is.
const desyncAttribute = "elb.http.desyncmitigationmode"

// defaultAttributes are those of load balancers that the API makes; the console
// has others.
var defaultAttributes = Attributes{
	DrainingTimeout: 300, IdleTimeout: 60, AccessLog: AccessLog{Interval: 60}, Desync: DesyncDefensive,
}

// ModifyLoadBalancerAttributes implements elbapi.Handler. What a request leaves out
// stays as it is.
func (s *Service) ModifyLoadBalancerAttributes(ctx context.Context, in *elbapi.ModifyLoadBalancerAttributesInput) (*elbapi.ModifyLoadBalancerAttributesOutput, error) {
	wanted := in.LoadBalancerAttributes
	if wanted == nil {
		wanted = &elbapi.LoadBalancerAttributes{}
	}
	lb, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error { return lb.Attributes.change(wanted) })
	if err != nil {
		return nil, err
	}
	all, changed := lb.Attributes.out(), &elbapi.LoadBalancerAttributes{}
	if wanted.CrossZoneLoadBalancing != nil {
		changed.CrossZoneLoadBalancing = all.CrossZoneLoadBalancing
	}
	if wanted.AccessLog != nil {
		changed.AccessLog = all.AccessLog
	}
	if wanted.ConnectionDraining != nil {
		changed.ConnectionDraining = all.ConnectionDraining
	}
	if wanted.ConnectionSettings != nil {
		changed.ConnectionSettings = all.ConnectionSettings
	}
	if len(wanted.AdditionalAttributes) > 0 {
		changed.AdditionalAttributes = all.AdditionalAttributes
	}
	return &elbapi.ModifyLoadBalancerAttributesOutput{LoadBalancerName: &lb.Name, LoadBalancerAttributes: changed}, nil
}

func (a *Attributes) change(in *elbapi.LoadBalancerAttributes) error {
	if c := in.CrossZoneLoadBalancing; c != nil {
		a.CrossZone = api.Val(c.Enabled)
	}
	if c := in.ConnectionSettings; c != nil {
		if err := between("loadBalancerAttributes.connectionSettings.idleTimeout", api.Val(c.IdleTimeout), 1, 4000); err != nil {
			return err
		}
		a.IdleTimeout = *c.IdleTimeout
	}
	if c := in.ConnectionDraining; c != nil {
		a.Draining = api.Val(c.Enabled)
		if c.Timeout != nil {
			if err := between("loadBalancerAttributes.connectionDraining.timeout", *c.Timeout, 1, 3600); err != nil {
				return err
			}
			a.DrainingTimeout = *c.Timeout
		}
	}
	if c := in.AccessLog; c != nil {
		if err := a.AccessLog.change(c); err != nil {
			return err
		}
	}
	for _, more := range in.AdditionalAttributes {
		key, value := api.Val(more.Key), api.Val(more.Value)
		if key != desyncAttribute {
			return elbapi.LoadBalancerAttributeNotFoundException.New("Load balancer attribute key '%s' is not recognized", key)
		}
		if !slices.Contains([]string{DesyncMonitor, DesyncDefensive, DesyncStrictest}, value) {
			return refused("The value of '%s' must be monitor, defensive or strictest, and is '%s'", key, value)
		}
		a.Desync = value
	}
	return nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (l *AccessLog) change(in *elbapi.AccessLog) error {
	l.Enabled = api.Val(in.Enabled)
	if in.S3BucketName != nil {
		l.Bucket = *in.S3BucketName
	}
	if in.S3BucketPrefix != nil {
		l.Prefix = *in.S3BucketPrefix
	}
	if in.EmitInterval != nil {
		if *in.EmitInterval != 5 && *in.EmitInterval != 60 {
			return invalid("The access log's EmitInterval must be 5 or 60 minutes, and is %d", *in.EmitInterval)
		}
		l.Interval = *in.EmitInterval
	}
	switch {
	case l.Enabled && l.Bucket == "":
		return invalid("An S3BucketName must be specified to enable the access log")
	case l.Bucket != "" && (!bucketName.MatchString(l.Bucket) || strings.Contains(l.Bucket, "..")):
		return refused("'%s' is no name of an S3 bucket", l.Bucket)
	case !validPrefix(l.Prefix):
		return refused("'%s' is no prefix in an S3 bucket: it must not begin or end with a slash, nor have AWSLogs, an empty name or dots alone between slashes", l.Prefix)
	}
	return nil
}

// validPrefix wants one that can be a directory too: the bucket is one here.
func validPrefix(prefix string) bool {
	if prefix == "" {
		return true
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." || part == "AWSLogs" || len(part) > 255 || strings.ContainsRune(part, 0) {
			return false
		}
	}
	return len(prefix) <= 1024
}

func (a Attributes) out() *elbapi.LoadBalancerAttributes {
	out := &elbapi.LoadBalancerAttributes{
		CrossZoneLoadBalancing: &elbapi.CrossZoneLoadBalancing{Enabled: &a.CrossZone},
		ConnectionDraining:     &elbapi.ConnectionDraining{Enabled: &a.Draining, Timeout: &a.DrainingTimeout},
		ConnectionSettings:     &elbapi.ConnectionSettings{IdleTimeout: &a.IdleTimeout},
		AccessLog:              &elbapi.AccessLog{Enabled: &a.AccessLog.Enabled},
		AdditionalAttributes:   []elbapi.AdditionalAttribute{{Key: new(desyncAttribute), Value: &a.Desync}},
	}
	if a.AccessLog.Enabled {
		out.AccessLog.S3BucketName, out.AccessLog.EmitInterval, out.AccessLog.S3BucketPrefix = &a.AccessLog.Bucket, &a.AccessLog.Interval, &a.AccessLog.Prefix
	}
	return out
}

// DescribeLoadBalancerAttributes implements elbapi.Handler.
func (s *Service) DescribeLoadBalancerAttributes(ctx context.Context, in *elbapi.DescribeLoadBalancerAttributesInput) (*elbapi.DescribeLoadBalancerAttributesOutput, error) {
	lb, err := s.get(ctx, in.LoadBalancerName)
	if err != nil {
		return nil, err
	}
	return &elbapi.DescribeLoadBalancerAttributesOutput{LoadBalancerAttributes: lb.Attributes.out()}, nil
}
