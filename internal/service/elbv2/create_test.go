package elbv2_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

func TestCreate(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
		Name: new("web"), Type: "application", IpAddressType: "ipv4", SecurityGroups: []string{"sg-1"},
		SubnetMappings: []types.SubnetMapping{{SubnetId: new("subnet-a")}, {SubnetId: new("subnet-b")}},
		Tags:           []types.Tag{{Key: new("kubernetes.io/cluster/eks-work"), Value: new("owned")}, {Key: new("empty")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := out.LoadBalancers[0]
	for text, pattern := range map[string]string{
		*d.DNSName:         `^web-[0-9]{9,10}\.ap-northeast-2\.elb\.amazonaws\.com$`,
		*d.LoadBalancerArn: `^` + base + `loadbalancer/app/web/[0-9a-f]{16}$`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("%s is not %s", text, pattern)
		}
	}
	text, _ := json.Marshal(f.describe(*d.LoadBalancerArn))
	again, _ := json.Marshal(d)
	same(t, "described", string(text), string(again))
	same(t, "names", []string{*d.LoadBalancerName, *d.CanonicalHostedZoneId, string(d.Scheme), *d.VpcId, string(d.Type), string(d.IpAddressType), string(d.State.Code)},
		[]string{"web", "ZWKZPGTI48KDX", "internet-facing", "vpc-1", "application", "ipv4", "provisioning"})
	same(t, "places", zones(d.AvailabilityZones), "ap-northeast-2a=subnet-a ap-northeast-2b=subnet-b")
	same(t, "groups", d.SecurityGroups, []string{"sg-1"})
	same(t, "time", *d.CreatedTime, time.Date(2026, 11, 29, 1, 2, 3, 450_000_000, time.UTC))
	tags, err := f.DescribeTags(t.Context(), &sdk.DescribeTagsInput{ResourceArns: []string{*d.LoadBalancerArn}})
	f.ok("tags", err)
	text, _ = json.Marshal(tags.TagDescriptions[0].Tags)
	same(t, "tags", string(text), `[{"Key":"empty","Value":""},{"Key":"kubernetes.io/cluster/eks-work","Value":"owned"}]`)
}

func zones(in []types.AvailabilityZone) string {
	var all []string
	for _, z := range in {
		all = append(all, *z.ZoneName+"="+*z.SubnetId)
	}
	return strings.Join(all, " ")
}

func TestCreateInternal(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
		Name: new("db"), Subnets: []string{"subnet-x", "subnet-y"}, Scheme: "internal",
	})
	if err != nil {
		t.Fatal(err) // its VPC has no internet gateway, and need not
	}
	d := out.LoadBalancers[0]
	if !strings.HasPrefix(*d.DNSName, "internal-db-") {
		t.Errorf("the DNS name is %s", *d.DNSName)
	}
	same(t, "groups", d.SecurityGroups, []string{"sg-x"})
	same(t, "scheme", d.Scheme, "internal")
}

// A load balancer is active once it is where clients find it.
func TestState(t *testing.T) {
	f := newFixture(t)
	arn := f.create("web")
	node := func(subnet string) loadbalancer.Node { return loadbalancer.Node{Subnet: subnet} }
	for _, tt := range []struct {
		host  string
		nodes []loadbalancer.Node
		want  types.LoadBalancerStateEnum
	}{
		{"", nil, "provisioning"},
		{"", []loadbalancer.Node{node("subnet-a")}, "provisioning"},
		{"", []loadbalancer.Node{node("subnet-a"), node("subnet-b")}, "active"},
		{"127.0.0.9", nil, "active"},
	} {
		_, err := f.service.LoadBalancers.Modify(t.Context(), "web", func(lb *elbv2.LoadBalancer) error {
			lb.HostAddress, lb.Nodes = netip.Addr{}, tt.nodes
			if tt.host != "" {
				lb.HostAddress = netip.MustParseAddr(tt.host)
			}
			return nil
		})
		f.ok("place", err)
		same(t, fmt.Sprintf("%+v", tt), f.describe(arn).State.Code, tt.want)
	}
}

func TestCreateFails(t *testing.T) {
	f := newFixture(t)
	f.create("here")
	const notImplemented = "NotImplemented"
	for _, tt := range []struct {
		name, code, message string
		change              func(*sdk.CreateLoadBalancerInput)
	}{
		{"long name", "ValidationError", "The load balancer name '" + strings.Repeat("x", 33) + "' cannot be longer than '32' characters",
			func(in *sdk.CreateLoadBalancerInput) { in.Name = new(strings.Repeat("x", 33)) }},
		{"odd name", "ValidationError", "The load balancer name 'a_b' can only contain characters that are alphanumeric characters or hyphens(-)",
			func(in *sdk.CreateLoadBalancerInput) { in.Name = new("a_b") }},
		{"hyphen", "ValidationError", "The load balancer name 'a-' cannot begin or end with '-'",
			func(in *sdk.CreateLoadBalancerInput) { in.Name = new("a-") }},
		{"internal", "ValidationError", "The load balancer name 'internal-a' cannot begin with 'internal-'",
			func(in *sdk.CreateLoadBalancerInput) { in.Name = new("internal-a") }},
		{"network", notImplemented, "Tarn does not implement Network Load Balancers: use Type application for HTTP, or a Classic Load Balancer for TCP.",
			func(in *sdk.CreateLoadBalancerInput) { in.Type = "network" }},
		{"gateway", notImplemented, "Tarn does not implement Gateway Load Balancers.",
			func(in *sdk.CreateLoadBalancerInput) { in.Type = "gateway" }},
		{"classic", "ValidationError", "1 validation error detected: Value 'classic' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [application, network, gateway]",
			func(in *sdk.CreateLoadBalancerInput) { in.Type = "classic" }},
		{"dualstack", notImplemented, "Tarn does not implement IpAddressType dualstack of load balancers: use ipv4.",
			func(in *sdk.CreateLoadBalancerInput) { in.IpAddressType = "dualstack" }},
		{"pool", notImplemented, "Tarn does not implement CustomerOwnedIpv4Pool, which is for Outposts.",
			func(in *sdk.CreateLoadBalancerInput) { in.CustomerOwnedIpv4Pool = new("ipv4pool-coip-1") }},
		{"elastic address", notImplemented, "Tarn does not implement AllocationId of SubnetMappings, which is for Network Load Balancers: use SubnetId alone.",
			func(in *sdk.CreateLoadBalancerInput) {
				in.Subnets, in.SubnetMappings = nil, []types.SubnetMapping{{SubnetId: new("subnet-a"), AllocationId: new("eipalloc-1")}}
			}},
		{"scheme", "ValidationError", "1 validation error detected: Value 'public' at 'scheme' failed to satisfy constraint: Member must satisfy enum value set: [internal, internet-facing]",
			func(in *sdk.CreateLoadBalancerInput) { in.Scheme = "public" }},
		{"no place", "ValidationError", "A subnet must be specified",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = nil }},
		{"two places", "ValidationError", "Subnets and subnet mappings cannot be specified at the same time",
			func(in *sdk.CreateLoadBalancerInput) {
				in.SubnetMappings = []types.SubnetMapping{{SubnetId: new("subnet-a")}}
			}},
		{"one zone", "ValidationError", "At least two subnets in two different Availability Zones must be specified",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-a"} }},
		{"no subnet", "SubnetNotFound", "The subnet ID 'subnet-9' does not exist",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-9"} }},
		{"same zone", "InvalidConfigurationRequest", "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-b", "subnet-a2"} }},
		{"other VPC", "InvalidConfigurationRequest", "All subnets must belong to the same VPC: 'subnet-y' is in vpc-2, and the load balancer in vpc-1",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-y"} }},
		{"full subnet", "InvalidSubnet", "Not enough IP space available in subnet-full. ELB requires at least 8 free IP addresses in each subnet.",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-full"} }},
		{"no gateway", "InvalidSubnet", "VPC vpc-2 has no internet gateway",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-x", "subnet-y"} }},
		{"no group", "InvalidSecurityGroup", "One or more of the specified security groups do not exist.",
			func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-9"} }},
		{"other VPC's group", "InvalidConfigurationRequest", "One or more security groups are invalid",
			func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-1", "sg-x"} }},
		{"tag twice", "DuplicateTagKeys", "Tag key was specified more than once: k",
			func(in *sdk.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: new("k")}, {Key: new("k")}} }},
		{"reserved tag", "ValidationError", "aws: prefixed tag key names are not allowed for external use.",
			func(in *sdk.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: new("aws:k")}} }},
		{"too many tags", "TooManyTags", "The quota for the number of tags that can be assigned to a resource has been reached",
			func(in *sdk.CreateLoadBalancerInput) {
				for n := range 51 {
					in.Tags = append(in.Tags, types.Tag{Key: new(fmt.Sprint("k", n))})
				}
			}},
		{"long tag", "ValidationError", "1 validation error detected: Value '" + strings.Repeat("x", 257) + "' at 'tags.member.value' failed to satisfy constraint: Member must have length less than or equal to 256",
			func(in *sdk.CreateLoadBalancerInput) {
				in.Tags = []types.Tag{{Key: new("k"), Value: new(strings.Repeat("x", 257))}}
			}},
		{"odd tag", "ValidationError", "1 validation error detected: Value 'a*' at 'tags.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*$",
			func(in *sdk.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: new("a*")}} }},
		{"there elsewhere", "DuplicateLoadBalancerName", "A load balancer with the same name 'here' exists, but with different settings",
			func(in *sdk.CreateLoadBalancerInput) { in.Name, in.Scheme = new("here"), "internal" }},
	} {
		in := &sdk.CreateLoadBalancerInput{Name: new("new"), Subnets: []string{"subnet-a", "subnet-b"}}
		tt.change(in)
		_, err := f.CreateLoadBalancer(t.Context(), in)
		f.fails(tt.name, err, tt.code, tt.message)
	}
	out, err := f.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{})
	if err != nil || len(out.LoadBalancers) != 1 {
		t.Errorf("after all that: %+v, %v", out, err)
	}
}

// The same load balancer again is the same load balancer, and a later one of its
// name is another.
func TestCreateAgain(t *testing.T) {
	f := newFixture(t)
	before := f.create("web")
	same(t, "again", f.create("web"), before)
	for range 2 { // a load balancer that is gone is gone
		_, err := f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerArn: &before})
		f.ok("delete", err)
	}
	after := f.create("web")
	if before == after {
		t.Error("a later load balancer with the name has the same ARN")
	}
	for _, gone := range []string{before, base + "loadbalancer/net/web/0123456789abcdef"} {
		_, err := f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerArn: &gone})
		f.ok("delete another", err)
	}
	_, err := f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerArn: new("web")})
	f.fails("delete by name", err, "ValidationError", "'web' is not a valid load balancer ARN")
	_, err = f.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{LoadBalancerArns: []string{before}})
	f.fails("the one of before", err, "LoadBalancerNotFound", "One or more load balancers not found")
	_, err = f.DescribeLoadBalancerAttributes(t.Context(), &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &before})
	f.fails("its attributes", err, "LoadBalancerNotFound", "Load balancer '"+before+"' not found")
	_, err = f.SetSecurityGroups(t.Context(), &sdk.SetSecurityGroupsInput{LoadBalancerArn: &before, SecurityGroups: []string{"sg-1"}})
	f.fails("its groups", err, "LoadBalancerNotFound", "Load balancer '"+before+"' not found")
	same(t, "left", *f.describe(after).LoadBalancerName, "web")
}

// As many as the quota allows, even if many ask at once.
func TestCreateQuota(t *testing.T) {
	f := newFixture(t)
	var made sync.WaitGroup
	var mu sync.Mutex
	refusals := 0
	for n := range 55 {
		made.Go(func() {
			_, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
				Name: new(fmt.Sprint("lb", n)), Subnets: []string{"subnet-a", "subnet-b"},
			})
			if err != nil {
				f.fails("one too many", err, "TooManyLoadBalancers", "The maximum number of load balancers has been reached")
				mu.Lock()
				refusals++
				mu.Unlock()
			}
		})
	}
	made.Wait()
	if refusals != 5 {
		t.Errorf("%d of 55 were refused", refusals)
	}
}

func TestDescribe(t *testing.T) {
	f := newFixture(t)
	var last string
	for _, name := range []string{"c", "a", "b"} {
		last = f.create(name)
	}
	var names []string
	pages := 0
	for p := sdk.NewDescribeLoadBalancersPaginator(f.Client, &sdk.DescribeLoadBalancersInput{PageSize: new(int32(2))}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range out.LoadBalancers {
			names = append(names, *d.LoadBalancerName)
		}
	}
	same(t, "pages", fmt.Sprint(pages, names), "2 [a b c]")
	network := base + "loadbalancer/net/a/0123456789abcdef"
	for _, tt := range []struct {
		in            sdk.DescribeLoadBalancersInput
		code, message string
	}{
		{sdk.DescribeLoadBalancersInput{Names: []string{"a", "y", "z"}}, "LoadBalancerNotFound", "Load balancers '[y, z]' not found"},
		{sdk.DescribeLoadBalancersInput{LoadBalancerArns: []string{last, network}}, "LoadBalancerNotFound", "One or more load balancers not found"},
		{sdk.DescribeLoadBalancersInput{LoadBalancerArns: []string{"a"}}, "ValidationError", "'a' is not a valid load balancer ARN"},
		{sdk.DescribeLoadBalancersInput{Names: []string{"a"}, LoadBalancerArns: []string{last}}, "ValidationError", "Load balancer names and load balancer ARNs cannot be specified at the same time"},
		{sdk.DescribeLoadBalancersInput{PageSize: new(int32(401))}, "ValidationError", "1 validation error detected: Value '401' at 'pageSize' failed to satisfy constraint: Member must have value less than or equal to 400"},
		{sdk.DescribeLoadBalancersInput{Marker: new("?")}, "ValidationError", "Invalid marker: ?"},
	} {
		_, err := f.DescribeLoadBalancers(t.Context(), &tt.in)
		f.fails("describe", err, tt.code, tt.message)
	}
	limits, err := f.DescribeAccountLimits(t.Context(), &sdk.DescribeAccountLimitsInput{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range limits.Limits {
		all = append(all, *l.Name+"="+*l.Max)
	}
	same(t, "limits", all, []string{"application-load-balancers=50", "listeners-per-application-load-balancer=50", "target-groups=3000",
		"target-groups-per-action-on-application-load-balancer=1", "targets-per-application-load-balancer=1000"})
}
