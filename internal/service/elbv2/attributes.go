package elbv2

import (
	"context"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// attribute is a setting of a load balancer or target group that has a key.
type attribute[T any] struct {
	key string
	get func(*T) string
	set func(v *T, value string) error
}

// fixed is an attribute that cannot be set to anything else than what it is.
func fixed[T any](key string, get func(*T) string) attribute[T] {
	return attribute[T]{key, get, func(v *T, value string) error {
		if has := get(v); value != has {
			return notImplemented("the attribute %s with the value '%s': it is '%s'.", key, value, has)
		}
		return nil
	}}
}

// constant is fixed, and the same for all.
func constant[T any](key, value string) attribute[T] {
	return fixed(key, func(*T) string { return value })
}

func boolean[T any](key string, field func(*T) *bool) attribute[T] {
	return attribute[T]{key, func(v *T) string { return strconv.FormatBool(*field(v)) }, func(v *T, value string) error {
		if value != "true" && value != "false" {
			return badAttribute(key, value, "must be true or false")
		}
		*field(v) = value == "true"
		return nil
	}}
}

func seconds[T any](key string, least, most int32, field func(*T) *int32) attribute[T] {
	return attribute[T]{key, func(v *T) string { return strconv.Itoa(int(*field(v))) }, func(v *T, value string) error {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || int32(n) < least || int32(n) > most {
			return badAttribute(key, value, "must be a number from %d to %d", least, most)
		}
		*field(v) = int32(n)
		return nil
	}}
}

func badAttribute(key, value, must string, args ...any) error {
	e := invalid(must, args...)
	return invalid("The value '%s' of the attribute '%s' %s", value, key, e.Message)
}

// defaultAttributes are those of new load balancers.
var defaultAttributes = Attributes{IdleTimeout: 60, Desync: DesyncDefensive, HTTP2: true}

// balancerAttributes are all that an Application Load Balancer has. Those that do
// not act have AWS's default.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
var balancerAttributes = []attribute[LoadBalancer]{
	constant[LoadBalancer]("access_logs.s3.bucket", ""),
	constant[LoadBalancer]("access_logs.s3.enabled", "false"),
	constant[LoadBalancer]("access_logs.s3.prefix", ""),
	constant[LoadBalancer]("client_keep_alive.seconds", "3600"),
	constant[LoadBalancer]("connection_logs.s3.bucket", ""),
	constant[LoadBalancer]("connection_logs.s3.enabled", "false"),
	constant[LoadBalancer]("connection_logs.s3.prefix", ""),
	boolean("deletion_protection.enabled", func(lb *LoadBalancer) *bool { return &lb.Attributes.DeletionProtection }),
	constant[LoadBalancer]("health_check_logs.s3.bucket", ""),
	constant[LoadBalancer]("health_check_logs.s3.enabled", "false"),
	constant[LoadBalancer]("health_check_logs.s3.prefix", ""),
	seconds("idle_timeout.timeout_seconds", 1, 4000, func(lb *LoadBalancer) *int32 { return &lb.Attributes.IdleTimeout }),
	fixed("ipv6.deny_all_igw_traffic", func(lb *LoadBalancer) string { return strconv.FormatBool(lb.Scheme == loadbalancer.Internal) }),
	constant[LoadBalancer]("load_balancing.cross_zone.enabled", "true"),
	{"routing.http.desync_mitigation_mode", func(lb *LoadBalancer) string { return lb.Attributes.Desync }, setDesync},
	constant[LoadBalancer]("routing.http.drop_invalid_header_fields.enabled", "false"),
	constant[LoadBalancer]("routing.http.preserve_host_header.enabled", "false"),
	constant[LoadBalancer]("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false"),
	constant[LoadBalancer]("routing.http.xff_client_port.enabled", "false"),
	constant[LoadBalancer]("routing.http.xff_header_processing.mode", "append"),
	boolean("routing.http2.enabled", func(lb *LoadBalancer) *bool { return &lb.Attributes.HTTP2 }),
	constant[LoadBalancer]("waf.fail_open.enabled", "false"),
	constant[LoadBalancer]("zonal_shift.config.enabled", "false"),
}

func setDesync(lb *LoadBalancer, value string) error {
	if !slices.Contains([]string{DesyncMonitor, DesyncDefensive, DesyncStrictest}, value) {
		return badAttribute("routing.http.desync_mitigation_mode", value, "must be monitor, defensive or strictest")
	}
	lb.Attributes.Desync = value
	return nil
}

func (lb *LoadBalancer) attributes() []elbv2api.LoadBalancerAttribute {
	var out []elbv2api.LoadBalancerAttribute
	for _, a := range balancerAttributes {
		out = append(out, elbv2api.LoadBalancerAttribute{Key: &a.key, Value: new(a.get(lb))})
	}
	return out
}

// DescribeLoadBalancerAttributes implements elbv2api.Handler.
func (s *Service) DescribeLoadBalancerAttributes(ctx context.Context, in *elbv2api.DescribeLoadBalancerAttributesInput) (*elbv2api.DescribeLoadBalancerAttributesOutput, error) {
	lb, err := s.get(ctx, api.Val(in.LoadBalancerArn))
	if err != nil {
		return nil, err
	}
	return &elbv2api.DescribeLoadBalancerAttributesOutput{Attributes: lb.attributes()}, nil
}

// ModifyLoadBalancerAttributes implements elbv2api.Handler. What a request leaves
// out stays as it is.
func (s *Service) ModifyLoadBalancerAttributes(ctx context.Context, in *elbv2api.ModifyLoadBalancerAttributesInput) (*elbv2api.ModifyLoadBalancerAttributesOutput, error) {
	lb, err := s.modify(ctx, api.Val(in.LoadBalancerArn), func(lb *LoadBalancer) error {
		for _, wanted := range in.Attributes {
			i := slices.IndexFunc(balancerAttributes, func(a attribute[LoadBalancer]) bool { return a.key == api.Val(wanted.Key) })
			if i < 0 {
				return invalid("Load balancer attribute key '%s' is not recognized", api.Val(wanted.Key))
			}
			if err := balancerAttributes[i].set(lb, api.Val(wanted.Value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elbv2api.ModifyLoadBalancerAttributesOutput{Attributes: lb.attributes()}, nil
}
