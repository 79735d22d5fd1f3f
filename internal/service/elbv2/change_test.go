package elbv2_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func TestPlaces(t *testing.T) {
	f := newFixture(t)
	arn := f.create("web")
	set := func(ids ...string) (string, error) {
		out, err := f.SetSubnets(t.Context(), &sdk.SetSubnetsInput{LoadBalancerArn: &arn, Subnets: ids})
		if err != nil {
			return "", err
		}
		return zones(out.AvailabilityZones), nil
	}
	_, err := set("subnet-a", "subnet-a2")
	f.fails("same zone", err, "InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone")
	_, err = set("subnet-a")
	f.fails("one zone", err, "ValidationError", "At least two subnets in two different Availability Zones must be specified")
	_, err = set("subnet-x", "subnet-y")
	f.fails("other VPC", err, "InvalidConfigurationRequest", "All subnets must belong to the same VPC: 'subnet-x' is in vpc-2, and the load balancer in vpc-1")
	_, err = set("subnet-a", "subnet-full")
	f.fails("full", err, "InvalidSubnet", "Not enough IP space available in subnet-full. ELB requires at least 8 free IP addresses in each subnet.")
	f.world.Nets[1].Free = 0 // it is there already
	got, err := set("subnet-b", "subnet-c")
	f.ok("set", err)
	same(t, "set", got, "ap-northeast-2b=subnet-b ap-northeast-2c=subnet-c")
	same(t, "described", zones(f.describe(arn).AvailabilityZones), got)
	_, err = f.SetSubnets(t.Context(), &sdk.SetSubnetsInput{LoadBalancerArn: &arn, Subnets: []string{"subnet-a", "subnet-b"}, IpAddressType: "dualstack"})
	f.fails("dualstack", err, "NotImplemented", "Tarn does not implement IpAddressType dualstack of load balancers: use ipv4.")

	groups := func(ids ...string) ([]string, error) {
		out, err := f.SetSecurityGroups(t.Context(), &sdk.SetSecurityGroupsInput{LoadBalancerArn: &arn, SecurityGroups: append([]string{}, ids...)})
		if err != nil {
			return nil, err
		}
		return out.SecurityGroupIds, nil
	}
	ids, err := groups("sg-2", "sg-1", "sg-2")
	f.ok("groups", err)
	same(t, "groups", ids, []string{"sg-2", "sg-1"})
	same(t, "groups described", f.describe(arn).SecurityGroups, ids)
	_, err = groups("sg-9")
	f.fails("no group", err, "InvalidSecurityGroup", "One or more of the specified security groups do not exist.")
	_, err = f.SetSecurityGroups(t.Context(), &sdk.SetSecurityGroupsInput{
		LoadBalancerArn: &arn, SecurityGroups: []string{"sg-1"}, EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: "on",
	})
	f.fails("PrivateLink", err, "NotImplemented", "Tarn does not implement EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic, which is for Network Load Balancers.")
	_, err = groups()
	f.fails("no groups", err, "InvalidConfigurationRequest", "A load balancer in a VPC must have at least one security group")
}

// attributes are key=value.
func attributes(texts []string) []types.LoadBalancerAttribute {
	var out []types.LoadBalancerAttribute
	for _, text := range texts {
		k, v, _ := strings.Cut(text, "=")
		out = append(out, types.LoadBalancerAttribute{Key: &k, Value: &v})
	}
	return out
}

func texts(in []types.LoadBalancerAttribute) string {
	var all []string
	for _, a := range in {
		all = append(all, *a.Key+"="+*a.Value)
	}
	return strings.Join(all, "\n")
}

func TestAttributes(t *testing.T) {
	f := newFixture(t)
	arn := f.create("web")
	const all = `access_logs.s3.bucket=
access_logs.s3.enabled=false
access_logs.s3.prefix=
client_keep_alive.seconds=3600
connection_logs.s3.bucket=
connection_logs.s3.enabled=false
connection_logs.s3.prefix=
deletion_protection.enabled=false
health_check_logs.s3.bucket=
health_check_logs.s3.enabled=false
health_check_logs.s3.prefix=
idle_timeout.timeout_seconds=60
ipv6.deny_all_igw_traffic=false
load_balancing.cross_zone.enabled=true
routing.http.desync_mitigation_mode=defensive
routing.http.drop_invalid_header_fields.enabled=false
routing.http.preserve_host_header.enabled=false
routing.http.x_amzn_tls_version_and_cipher_suite.enabled=false
routing.http.xff_client_port.enabled=false
routing.http.xff_header_processing.mode=append
routing.http2.enabled=true
waf.fail_open.enabled=false
zonal_shift.config.enabled=false`
	described := func() string {
		out, err := f.DescribeLoadBalancerAttributes(t.Context(), &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		return texts(out.Attributes)
	}
	set := func(texts ...string) error {
		_, err := f.ModifyLoadBalancerAttributes(t.Context(), &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerArn: &arn, Attributes: attributes(texts)})
		return err
	}
	same(t, "new", described(), all)
	f.ok("all as they are", set(strings.Split(all, "\n")...))
	for _, tt := range []struct{ text, code, message string }{
		{"x=y", "ValidationError", "Load balancer attribute key 'x' is not recognized"},
		{"deletion_protection.enabled=yes", "ValidationError", "The value 'yes' of the attribute 'deletion_protection.enabled' must be true or false"},
		{"idle_timeout.timeout_seconds=0", "ValidationError", "The value '0' of the attribute 'idle_timeout.timeout_seconds' must be a number from 1 to 4000"},
		{"idle_timeout.timeout_seconds=4001", "ValidationError", "The value '4001' of the attribute 'idle_timeout.timeout_seconds' must be a number from 1 to 4000"},
		{"idle_timeout.timeout_seconds=4294967297", "ValidationError", "The value '4294967297' of the attribute 'idle_timeout.timeout_seconds' must be a number from 1 to 4000"},
		{"routing.http.desync_mitigation_mode=lax", "ValidationError", "The value 'lax' of the attribute 'routing.http.desync_mitigation_mode' must be monitor, defensive or strictest"},
		{"access_logs.s3.enabled=true", "NotImplemented", "Tarn does not implement the attribute access_logs.s3.enabled with the value 'true': it is 'false'."},
	} {
		f.fails(tt.text, set("idle_timeout.timeout_seconds=7", tt.text), tt.code, tt.message)
	}
	same(t, "after all that", described(), all)
	f.ok("set", set("idle_timeout.timeout_seconds=4000", "routing.http.desync_mitigation_mode=strictest", "deletion_protection.enabled=true", "routing.http2.enabled=false"))
	want := strings.NewReplacer("seconds=60", "seconds=4000", "=defensive", "=strictest", "deletion_protection.enabled=false", "deletion_protection.enabled=true", "http2.enabled=true", "http2.enabled=false").Replace(all)
	same(t, "set", described(), want)

	_, err := f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerArn: &arn})
	f.fails("delete", err, "OperationNotPermitted", "Load balancer '"+arn+"' cannot be deleted because deletion protection is enabled")
	f.ok("unprotect", set("deletion_protection.enabled=false"))
	_, err = f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerArn: &arn})
	f.ok("delete", err)
}
