package elb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

func TestCreate(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
		LoadBalancerName: new("web"), Subnets: []string{"subnet-a", "subnet-b"}, SecurityGroups: []string{"sg-1"},
		Listeners: []types.Listener{listener("http:80:http:30080"), listener("ssl:443::30443")},
		Tags:      []types.Tag{{Key: new("kubernetes.io/cluster/eks-work"), Value: new("owned")}, {Key: new("empty")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^web-[0-9]{9,10}\.ap-northeast-2\.elb\.amazonaws\.com$`).MatchString(*out.DNSName) {
		t.Errorf("the DNS name is %s", *out.DNSName)
	}
	d := f.describe("web")
	same(t, "names", []string{*d.LoadBalancerName, *d.DNSName, *d.CanonicalHostedZoneName, *d.CanonicalHostedZoneNameID, *d.Scheme, *d.VPCId},
		[]string{"web", *out.DNSName, *out.DNSName, "ZWKZPGTI48KDX", "internet-facing", "vpc-1"})
	same(t, "places", [][]string{d.Subnets, d.AvailabilityZones, d.SecurityGroups},
		[][]string{{"subnet-a", "subnet-b"}, {"ap-northeast-2a", "ap-northeast-2b"}, {"sg-1"}})
	same(t, "source group", *d.SourceSecurityGroup.OwnerAlias+"/"+*d.SourceSecurityGroup.GroupName, account+"/web")
	same(t, "time", *d.CreatedTime, time.Date(2026, 11, 29, 1, 2, 3, 450_000_000, time.UTC))
	check := d.HealthCheck
	same(t, "health check", fmt.Sprintln(*check.Target, *check.Interval, *check.Timeout, *check.UnhealthyThreshold, *check.HealthyThreshold), "TCP:30080 30 5 2 10\n")
	var listeners []string
	for _, l := range d.ListenerDescriptions {
		listeners = append(listeners, fmt.Sprint(*l.Listener.Protocol, " ", l.Listener.LoadBalancerPort, " ", *l.Listener.InstanceProtocol, " ", *l.Listener.InstancePort, l.PolicyNames))
	}
	same(t, "listeners", listeners, []string{"HTTP 80 HTTP 30080 []", "SSL 443 TCP 30443 [ELBSecurityPolicy-2016-08]"})
	same(t, "certificate", *d.ListenerDescriptions[1].Listener.SSLCertificateId, issued)
	same(t, "policies", d.Policies.OtherPolicies, []string{"ELBSecurityPolicy-2016-08"})
	if len(d.Instances)+len(d.BackendServerDescriptions)+len(d.Policies.AppCookieStickinessPolicies)+len(d.Policies.LBCookieStickinessPolicies) > 0 {
		t.Errorf("a new load balancer has %+v", d)
	}
	tags, err := f.DescribeTags(t.Context(), &sdk.DescribeTagsInput{LoadBalancerNames: []string{"web"}})
	f.ok("tags", err)
	text, _ := json.Marshal(tags.TagDescriptions)
	same(t, "tags", string(text), `[{"LoadBalancerName":"web","Tags":[{"Key":"empty","Value":""},{"Key":"kubernetes.io/cluster/eks-work","Value":"owned"}]}]`)
}

func TestCreateInternal(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
		LoadBalancerName: new("db"), Subnets: []string{"subnet-x"}, Scheme: new("internal"), Listeners: []types.Listener{listener("tcp:5432:tcp:30432")},
	})
	if err != nil {
		t.Fatal(err) // its VPC has no internet gateway, and need not
	}
	if !strings.HasPrefix(*out.DNSName, "internal-db-") {
		t.Errorf("the DNS name is %s", *out.DNSName)
	}
	d := f.describe("db")
	same(t, "groups", d.SecurityGroups, []string{"sg-x"})
	same(t, "scheme", *d.Scheme, "internal")
}

func TestCreateFails(t *testing.T) {
	f := newFixture(t)
	f.create("here", "http:80:http:8080")
	for _, tt := range []struct {
		name, code, message string
		change              func(*sdk.CreateLoadBalancerInput)
	}{
		{"long name", "ValidationError", "LoadBalancer name cannot be longer than 32 characters",
			func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = new(strings.Repeat("x", 33)) }},
		{"odd name", "ValidationError", "LoadBalancer name cannot contain characters that are not letters, or digits or the dash.",
			func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = new("a_b") }},
		{"dash", "ValidationError", "LoadBalancer name cannot begin or end with the dash.",
			func(in *sdk.CreateLoadBalancerInput) { in.LoadBalancerName = new("a-") }},
		{"no listeners", "ValidationError", "Listeners cannot be empty",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners = []types.Listener{} }},
		{"scheme", "InvalidScheme", "The specified value for the scheme is not valid: 'public' is neither internet-facing nor internal",
			func(in *sdk.CreateLoadBalancerInput) { in.Scheme = new("public") }},
		{"no place", "ValidationError", "Either AvailabilityZones or SubnetIds must be specified",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = nil }},
		{"two places", "ValidationError", "Only one of SubnetIds or AvailabilityZones may be specified",
			func(in *sdk.CreateLoadBalancerInput) { in.AvailabilityZones = []string{"ap-northeast-2a"} }},
		{"zones", "InvalidConfigurationRequest", "Availability zones are for load balancers in the default VPC, and there is none: specify Subnets",
			func(in *sdk.CreateLoadBalancerInput) {
				in.Subnets, in.AvailabilityZones = nil, []string{"ap-northeast-2a"}
			}},
		{"no subnet", "SubnetNotFound", "The subnet ID 'subnet-9' does not exist",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-9"} }},
		{"same zone", "InvalidConfigurationRequest", "ELB cannot be attached to multiple subnets in the same AZ.",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-a2"} }},
		{"other VPC", "InvalidConfigurationRequest", "All subnets must belong to the same VPC: 'subnet-x' is in vpc-2, and the load balancer in vpc-1",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-a", "subnet-x"} }},
		{"full subnet", "InvalidSubnet", "Not enough IP space available in subnet-full. ELB requires at least 8 free IP addresses in each subnet.",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-full"} }},
		{"no gateway", "InvalidSubnet", "VPC vpc-2 has no internet gateway",
			func(in *sdk.CreateLoadBalancerInput) { in.Subnets = []string{"subnet-x"} }},
		{"no group", "InvalidSecurityGroup", "One or more of the specified security groups do not exist.",
			func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-9"} }},
		{"other VPC's group", "InvalidConfigurationRequest", "One or more security groups are invalid",
			func(in *sdk.CreateLoadBalancerInput) { in.SecurityGroups = []string{"sg-1", "sg-x"} }},
		{"no certificate", "ValidationError", "Secure Listeners need to specify a SSLCertificateId",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0].Protocol = new("HTTPS") }},
		{"certificate not issued", "CertificateNotFound", "Server Certificate not found for the key: " + pending,
			func(in *sdk.CreateLoadBalancerInput) {
				in.Listeners[0].Protocol, in.Listeners[0].SSLCertificateId = new("HTTPS"), new(pending)
			}},
		{"certificate of IAM", "CertificateNotFound", "Server Certificate not found for the key: arn:aws:iam::111122223333:server-certificate/x",
			func(in *sdk.CreateLoadBalancerInput) {
				in.Listeners[0].Protocol, in.Listeners[0].SSLCertificateId = new("HTTPS"), new("arn:aws:iam::111122223333:server-certificate/x")
			}},
		{"certificate for HTTP", "ValidationError", "SSLCertificateId is for listeners with protocol HTTPS or SSL, and port 80 has HTTP",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0].SSLCertificateId = new(issued) }},
		{"protocol", "UnsupportedProtocol", "Protocol 'udp' is not supported: it must be HTTP, HTTPS, TCP or SSL",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0].Protocol = new("udp") }},
		{"layers", "ValidationError", "Protocol HTTP and InstanceProtocol TCP must be at the same layer: HTTP and HTTPS go together, and so do TCP and SSL",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0].InstanceProtocol = new("TCP") }},
		{"port", "ValidationError", "LoadBalancer port must be from 1 to 65535, and is 65536",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0].LoadBalancerPort = 65536 }},
		{"instance port", "ValidationError", "1 validation error detected: Value '0' at 'listeners.1.member.instancePort' failed to satisfy constraint: Member must have value greater than or equal to 1",
			func(in *sdk.CreateLoadBalancerInput) { in.Listeners[0].InstancePort = new(int32(0)) }},
		{"port twice", "DuplicateListener", "A listener already exists for new with LoadBalancerPort 80, but with a different InstancePort, Protocol, or SSLCertificateId",
			func(in *sdk.CreateLoadBalancerInput) {
				in.Listeners = append(in.Listeners, listener("http:80:http:8081"))
			}},
		{"tag twice", "DuplicateTagKeys", "Tag key was specified more than once: k",
			func(in *sdk.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: new("k")}, {Key: new("k")}} }},
		{"reserved tag", "ValidationError", "aws: prefixed tag key names are not allowed for external use.",
			func(in *sdk.CreateLoadBalancerInput) { in.Tags = []types.Tag{{Key: new("aws:k")}} }},
		{"too many tags", "TooManyTags", "The quota for the number of tags that can be assigned to a load balancer has been reached",
			func(in *sdk.CreateLoadBalancerInput) {
				for n := range 51 {
					in.Tags = append(in.Tags, types.Tag{Key: new(fmt.Sprint("k", n))})
				}
			}},
		{"there with other listeners", "DuplicateLoadBalancerName", "Load Balancer named here already exists and it is configured with different parameters.",
			func(in *sdk.CreateLoadBalancerInput) {
				in.LoadBalancerName, in.Listeners[0].InstancePort = new("here"), new(int32(8081))
			}},
	} {
		in := &sdk.CreateLoadBalancerInput{
			LoadBalancerName: new("new"), Subnets: []string{"subnet-a", "subnet-b"}, Listeners: []types.Listener{listener("http:80:http:8080")},
		}
		tt.change(in)
		_, err := f.CreateLoadBalancer(t.Context(), in)
		f.fails(tt.name, err, tt.code, tt.message)
	}
	out, err := f.DescribeLoadBalancers(t.Context(), &sdk.DescribeLoadBalancersInput{})
	if err != nil || len(out.LoadBalancerDescriptions) != 1 {
		t.Errorf("after all that: %+v, %v", out, err)
	}
}

// The same load balancer again is the same load balancer.
func TestCreateAgain(t *testing.T) {
	f := newFixture(t)
	if first, again := f.create("web", "HTTP:80:http:8080"), f.create("web", "http:80::8080"); first != again {
		t.Errorf("%s became %s", first, again)
	}
	before, err := f.service.LoadBalancers.Get(t.Context(), "web")
	f.ok("get", err)
	for range 2 { // a load balancer that is gone is gone
		_, err := f.DeleteLoadBalancer(t.Context(), &sdk.DeleteLoadBalancerInput{LoadBalancerName: new("web")})
		f.ok("delete", err)
	}
	f.create("web", "http:80:http:8080")
	after, err := f.service.LoadBalancers.Get(t.Context(), "web")
	f.ok("get", err)
	if before.Value.ID == after.Value.ID {
		t.Error("a later load balancer with the name has the same id")
	}
}

// As many as the quota allows, even if many ask at once.
func TestCreateQuota(t *testing.T) {
	f := newFixture(t)
	var made sync.WaitGroup
	var mu sync.Mutex
	refusals := 0
	for n := range 25 {
		made.Go(func() {
			_, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
				LoadBalancerName: new(fmt.Sprint("lb", n)), Subnets: []string{"subnet-a"}, Listeners: []types.Listener{listener("tcp:1:tcp:1")},
			})
			if err != nil {
				f.fails("one too many", err, "TooManyLoadBalancers", "Exceeded quota of account "+account)
				mu.Lock()
				refusals++
				mu.Unlock()
			}
		})
	}
	made.Wait()
	if refusals != 5 {
		t.Errorf("%d of 25 were refused", refusals)
	}
}

func TestDescribe(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"c", "a", "b"} {
		f.create(name, "http:80:http:8080")
	}
	var names []string
	in := &sdk.DescribeLoadBalancersInput{PageSize: new(int32(2))}
	pages := 0
	for p := sdk.NewDescribeLoadBalancersPaginator(f.Client, in); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range out.LoadBalancerDescriptions {
			names = append(names, *d.LoadBalancerName)
		}
	}
	same(t, "pages", fmt.Sprint(pages, names), "2 [a b c]")
	for _, tt := range []struct {
		in            sdk.DescribeLoadBalancersInput
		code, message string
	}{
		{sdk.DescribeLoadBalancersInput{LoadBalancerNames: []string{"a", "z"}}, "LoadBalancerNotFound", "There is no ACTIVE Load Balancer named 'z'"},
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
	same(t, "limits", all, []string{"classic-listeners=100", "classic-load-balancers=20", "classic-registered-instances=1000"})
}

// Every operation about a load balancer wants one that is there.
func TestNotFound(t *testing.T) {
	f := newFixture(t)
	lb, p := new("z"), new("p")
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"AddTags": func() error {
			_, err := f.AddTags(ctx, &sdk.AddTagsInput{LoadBalancerNames: []string{"z"}, Tags: []types.Tag{{Key: p}}})
			return err
		},
		"ApplySecurityGroups": func() error {
			_, err := f.ApplySecurityGroupsToLoadBalancer(ctx, &sdk.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: lb, SecurityGroups: []string{"sg-1"}})
			return err
		},
		"AttachSubnets": func() error {
			_, err := f.AttachLoadBalancerToSubnets(ctx, &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: lb, Subnets: []string{"subnet-a"}})
			return err
		},
		"ConfigureHealthCheck": func() error {
			_, err := f.ConfigureHealthCheck(ctx, &sdk.ConfigureHealthCheckInput{LoadBalancerName: lb, HealthCheck: healthCheck("TCP:1", 10, 5, 2, 2)})
			return err
		},
		"CreateAppCookie": func() error {
			_, err := f.CreateAppCookieStickinessPolicy(ctx, &sdk.CreateAppCookieStickinessPolicyInput{LoadBalancerName: lb, PolicyName: p, CookieName: p})
			return err
		},
		"CreateLBCookie": func() error {
			_, err := f.CreateLBCookieStickinessPolicy(ctx, &sdk.CreateLBCookieStickinessPolicyInput{LoadBalancerName: lb, PolicyName: p})
			return err
		},
		"CreateListeners": func() error {
			_, err := f.CreateLoadBalancerListeners(ctx, &sdk.CreateLoadBalancerListenersInput{LoadBalancerName: lb, Listeners: []types.Listener{listener("tcp:1:tcp:1")}})
			return err
		},
		"CreatePolicy": func() error { return f.policy("z", "p", "ProxyProtocolPolicyType", "ProxyProtocol=true") },
		"DeleteListeners": func() error {
			_, err := f.DeleteLoadBalancerListeners(ctx, &sdk.DeleteLoadBalancerListenersInput{LoadBalancerName: lb, LoadBalancerPorts: []int32{1}})
			return err
		},
		"DeletePolicy": func() error {
			_, err := f.DeleteLoadBalancerPolicy(ctx, &sdk.DeleteLoadBalancerPolicyInput{LoadBalancerName: lb, PolicyName: p})
			return err
		},
		"Deregister": func() error {
			_, err := f.DeregisterInstancesFromLoadBalancer(ctx, &sdk.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: lb, Instances: instances("i-1")})
			return err
		},
		"DescribeHealth": func() error {
			_, err := f.DescribeInstanceHealth(ctx, &sdk.DescribeInstanceHealthInput{LoadBalancerName: lb})
			return err
		},
		"DescribeAttributes": func() error {
			_, err := f.DescribeLoadBalancerAttributes(ctx, &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerName: lb})
			return err
		},
		"DescribePolicies": func() error {
			_, err := f.DescribeLoadBalancerPolicies(ctx, &sdk.DescribeLoadBalancerPoliciesInput{LoadBalancerName: lb})
			return err
		},
		"DescribeTags": func() error {
			_, err := f.DescribeTags(ctx, &sdk.DescribeTagsInput{LoadBalancerNames: []string{"z"}})
			return err
		},
		"DetachSubnets": func() error {
			_, err := f.DetachLoadBalancerFromSubnets(ctx, &sdk.DetachLoadBalancerFromSubnetsInput{LoadBalancerName: lb, Subnets: []string{"subnet-a"}})
			return err
		},
		"DisableZones": func() error {
			_, err := f.DisableAvailabilityZonesForLoadBalancer(ctx, &sdk.DisableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: lb, AvailabilityZones: []string{"a"}})
			return err
		},
		"EnableZones": func() error {
			_, err := f.EnableAvailabilityZonesForLoadBalancer(ctx, &sdk.EnableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: lb, AvailabilityZones: []string{"a"}})
			return err
		},
		"ModifyAttributes": func() error {
			_, err := f.ModifyLoadBalancerAttributes(ctx, &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerName: lb, LoadBalancerAttributes: &types.LoadBalancerAttributes{ConnectionSettings: &types.ConnectionSettings{IdleTimeout: new(int32(5))}}})
			return err
		},
		"Register": func() error {
			_, err := f.RegisterInstancesWithLoadBalancer(ctx, &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: lb, Instances: instances("i-1")})
			return err
		},
		"RemoveTags": func() error {
			_, err := f.RemoveTags(ctx, &sdk.RemoveTagsInput{LoadBalancerNames: []string{"z"}, Tags: []types.TagKeyOnly{{Key: p}}})
			return err
		},
		"SetCertificate": func() error {
			_, err := f.SetLoadBalancerListenerSSLCertificate(ctx, &sdk.SetLoadBalancerListenerSSLCertificateInput{LoadBalancerName: lb, LoadBalancerPort: 1, SSLCertificateId: new(issued)})
			return err
		},
		"SetPoliciesForBackend": func() error { return f.onBackend("z", 80) },
		"SetPoliciesOfListener": func() error { return f.onListener("z", 80) },
	} {
		f.fails(name, call(), "LoadBalancerNotFound", "There is no ACTIVE Load Balancer named 'z'")
	}
}

func TestByDNSName(t *testing.T) {
	f := newFixture(t)
	name := f.create("Web", "https:443:http:8080")
	for text, want := range map[string]bool{
		name: true, strings.ToUpper(name) + ".": true, "dualstack." + strings.ToLower(name): true,
		"x" + name: false, "a." + name: false, loadbalancer.Domain(region): false, "www.example.com": false, "": false,
	} {
		lb, ok, err := f.service.ByDNSName(t.Context(), text)
		if err != nil || ok != want || ok && lb.Name != "Web" {
			t.Errorf("%q: %v %v %v", text, lb.Name, ok, err)
		}
	}
	users, err := f.service.InUse(t.Context(), issued)
	f.ok("in use", err)
	same(t, "users", users, []string{"arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:loadbalancer/Web"})
	users, err = f.service.InUse(t.Context(), other)
	if err != nil || len(users) > 0 {
		t.Errorf("%v, %v", users, err)
	}
}

// What another service fails with is not taken for an answer of its.
func TestOthersFail(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	f.world.Err = errors.New("the store is gone")
	list := []elbapi.Instance{{InstanceId: new("i-1")}}
	_, register := f.service.RegisterInstancesWithLoadBalancer(t.Context(), &elbapi.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: new("web"), Instances: list})
	_, deregister := f.service.DeregisterInstancesFromLoadBalancer(t.Context(), &elbapi.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: new("web"), Instances: list})
	_, health := f.service.DescribeInstanceHealth(t.Context(), &elbapi.DescribeInstanceHealthInput{LoadBalancerName: new("web"), Instances: list})
	_, attach := f.service.AttachLoadBalancerToSubnets(t.Context(), &elbapi.AttachLoadBalancerToSubnetsInput{LoadBalancerName: new("web"), Subnets: []string{"subnet-a"}})
	_, groups := f.service.ApplySecurityGroupsToLoadBalancer(t.Context(), &elbapi.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: new("web"), SecurityGroups: []string{"sg-1"}})
	_, add := f.service.CreateLoadBalancerListeners(t.Context(), &elbapi.CreateLoadBalancerListenersInput{LoadBalancerName: new("web"), Listeners: []elbapi.Listener{
		{Protocol: new("HTTPS"), LoadBalancerPort: new(int32(443)), InstancePort: new(int32(8080)), SSLCertificateId: new(issued)},
	}})
	for what, err := range map[string]error{"register": register, "deregister": deregister, "health": health, "attach": attach, "groups": groups, "listener": add} {
		if !errors.Is(err, f.world.Err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
