package elb_test

import (
	"fmt"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/loadbalancer/loadbalancertest"
	"github.com/tarn-eks/tarn/internal/service/elb"
)

func (f *fixture) listeners(name string) string {
	f.Helper()
	var all []string
	for _, l := range f.describe(name).ListenerDescriptions {
		text := fmt.Sprint(*l.Listener.Protocol, ":", l.Listener.LoadBalancerPort, ":", *l.Listener.InstanceProtocol, ":", *l.Listener.InstancePort)
		if len(l.PolicyNames) > 0 {
			text += fmt.Sprint(l.PolicyNames)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestListeners(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	add := func(texts ...string) error {
		in := &sdk.CreateLoadBalancerListenersInput{LoadBalancerName: new("web")}
		for _, l := range texts {
			in.Listeners = append(in.Listeners, listener(l))
		}
		_, err := f.CreateLoadBalancerListeners(t.Context(), in)
		return err
	}
	remove := func(ports ...int32) error {
		_, err := f.DeleteLoadBalancerListeners(t.Context(), &sdk.DeleteLoadBalancerListenersInput{LoadBalancerName: new("web"), LoadBalancerPorts: ports})
		return err
	}
	f.ok("one that is there and a new one", add("http:80:HTTP:8080", "https:443:http:8080"))
	f.fails("other instance port", add("http:80:http:8081"), "DuplicateListener",
		"A listener already exists for web with LoadBalancerPort 80, but with a different InstancePort, Protocol, or SSLCertificateId")
	f.fails("other protocol", add("tcp:80:tcp:8080"), "DuplicateListener",
		"A listener already exists for web with LoadBalancerPort 80, but with a different InstancePort, Protocol, or SSLCertificateId")
	f.fails("secure and not", add("https:8443:https:8080"), "InvalidConfigurationRequest",
		"The listener at port 80 has InstancePort 8080 with protocol HTTP. InstanceProtocol HTTPS for the same InstancePort is not compatible")
	same(t, "listeners", f.listeners("web"), "HTTP:80:HTTP:8080 HTTPS:443:HTTP:8080[ELBSecurityPolicy-2016-08]")

	certificate := func(port int32, id string) error {
		_, err := f.SetLoadBalancerListenerSSLCertificate(t.Context(), &sdk.SetLoadBalancerListenerSSLCertificateInput{
			LoadBalancerName: new("web"), LoadBalancerPort: port, SSLCertificateId: &id,
		})
		return err
	}
	f.ok("other certificate", certificate(443, other))
	same(t, "certificate", *f.describe("web").ListenerDescriptions[1].Listener.SSLCertificateId, other)
	f.fails("pending certificate", certificate(443, pending), "CertificateNotFound", "Server Certificate not found for the key: "+pending)
	f.fails("no listener", certificate(444, issued), "ListenerNotFound", "The load balancer web does not have a listener configured at port 444")
	f.fails("not secure", certificate(80, issued), "InvalidConfigurationRequest",
		"The listener of web at port 80 has protocol HTTP: only HTTPS and SSL listeners have a certificate")

	f.ok("delete", remove(80, 81))
	same(t, "left", f.listeners("web"), "HTTPS:443:HTTP:8080[ELBSecurityPolicy-2016-08]")
	f.ok("delete all", remove(443))
	same(t, "none left", f.listeners("web"), "")
}

func TestPlaces(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	attach := func(ids ...string) ([]string, error) {
		out, err := f.AttachLoadBalancerToSubnets(t.Context(), &sdk.AttachLoadBalancerToSubnetsInput{LoadBalancerName: new("web"), Subnets: ids})
		if err != nil {
			return nil, err
		}
		return out.Subnets, nil
	}
	detach := func(ids ...string) ([]string, error) {
		out, err := f.DetachLoadBalancerFromSubnets(t.Context(), &sdk.DetachLoadBalancerFromSubnetsInput{LoadBalancerName: new("web"), Subnets: ids})
		if err != nil {
			return nil, err
		}
		return out.Subnets, nil
	}
	_, err := attach("subnet-a2")
	f.fails("same zone", err, "InvalidConfigurationRequest", "ELB cannot be attached to multiple subnets in the same AZ.")
	_, err = attach("subnet-9")
	f.fails("no subnet", err, "SubnetNotFound", "The subnet ID 'subnet-9' does not exist")
	_, err = detach("subnet-a", "subnet-b")
	f.fails("all", err, "InvalidConfigurationRequest", `Requested configuration change for LoadBalancer "web" is invalid because you attempted to detach all the subnets for this LoadBalancer and a LoadBalancer cannot be attached to zero subnets in VPC.`)
	left, err := detach("subnet-a")
	f.ok("detach", err)
	same(t, "left", left, []string{"subnet-b"})
	have, err := attach("subnet-a2", "subnet-b")
	f.ok("attach", err)
	same(t, "have", have, []string{"subnet-b", "subnet-a2"})
	same(t, "zones", f.describe("web").AvailabilityZones, []string{"ap-northeast-2b", "ap-northeast-2a"})

	groups := func(ids ...string) ([]string, error) {
		out, err := f.ApplySecurityGroupsToLoadBalancer(t.Context(), &sdk.ApplySecurityGroupsToLoadBalancerInput{LoadBalancerName: new("web"), SecurityGroups: ids})
		if err != nil {
			return nil, err
		}
		return out.SecurityGroups, nil
	}
	got, err := groups("sg-2", "sg-1", "sg-2")
	f.ok("groups", err)
	same(t, "groups", got, []string{"sg-2", "sg-1"})
	same(t, "source group", *f.describe("web").SourceSecurityGroup.GroupName, "more")
	_, err = groups("sg-9")
	f.fails("no group", err, "InvalidSecurityGroup", "One or more of the specified security groups do not exist.")
	_, err = groups([]string{}...)
	f.fails("no groups", err, "InvalidConfigurationRequest", "A load balancer in a VPC must have at least one security group")
}

func TestZones(t *testing.T) {
	f := newFixture(t)
	f.create("elsewhere", "http:80:http:8080")
	f.world.DefaultNets = []loadbalancer.Subnet{loadbalancertest.Subnet("subnet-d1", "vpc-d", "a", 20), loadbalancertest.Subnet("subnet-d2", "vpc-d", "b", 20)}
	f.world.Gateways = append(f.world.Gateways, "vpc-d")
	f.world.Groups = append(f.world.Groups, loadbalancertest.Group("sg-d", "vpc-d", "default"))
	_, err := f.CreateLoadBalancer(t.Context(), &sdk.CreateLoadBalancerInput{
		LoadBalancerName: new("web"), AvailabilityZones: []string{"ap-northeast-2a"}, Listeners: []types.Listener{listener("http:80:http:8080")},
	})
	f.ok("create", err)
	enable := func(name string, zones ...string) ([]string, error) {
		out, err := f.EnableAvailabilityZonesForLoadBalancer(t.Context(), &sdk.EnableAvailabilityZonesForLoadBalancerInput{LoadBalancerName: &name, AvailabilityZones: zones})
		if err != nil {
			return nil, err
		}
		return out.AvailabilityZones, nil
	}
	got, err := enable("web", "ap-northeast-2b", "ap-northeast-2a")
	f.ok("enable", err)
	same(t, "zones", got, []string{"ap-northeast-2a", "ap-northeast-2b"})
	same(t, "subnets", f.describe("web").Subnets, []string{"subnet-d1", "subnet-d2"})
	_, err = enable("web", "mars-1a")
	f.fails("no zone", err, "ValidationError", "Invalid Availability Zone: mars-1a")
	_, err = enable("elsewhere", "ap-northeast-2c")
	f.fails("not the default VPC", err, "InvalidConfigurationRequest",
		"Availability zones of elsewhere cannot be changed, as it is not in the default VPC: use AttachLoadBalancerToSubnets")
	out, err := f.DisableAvailabilityZonesForLoadBalancer(t.Context(), &sdk.DisableAvailabilityZonesForLoadBalancerInput{
		LoadBalancerName: new("web"), AvailabilityZones: []string{"ap-northeast-2a"},
	})
	f.ok("disable", err)
	same(t, "zones left", out.AvailabilityZones, []string{"ap-northeast-2b"})
}

func healthCheck(target string, interval, timeout, unhealthy, healthy int32) *types.HealthCheck {
	return &types.HealthCheck{Target: &target, Interval: &interval, Timeout: &timeout, UnhealthyThreshold: &unhealthy, HealthyThreshold: &healthy}
}

func TestConfigureHealthCheck(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	below := func(member, value, least string) string {
		return "1 validation error detected: Value '" + value + "' at 'healthCheck." + member + "' failed to satisfy constraint: Member must have value " + least
	}
	path := func(p string) string {
		return "HealthCheck " + p + " Target must specify a port followed by a path that begins with a slash. e.g. " + p + ":80/ping/this/path"
	}
	for _, tt := range []struct {
		check   *types.HealthCheck
		want    string // the target as it is shown, or
		message string // what is wrong
	}{
		{healthCheck("HTTP:30061/healthz", 10, 5, 6, 2), "HTTP:30061/healthz", ""},
		{healthCheck("https:1/a?b=c&d", 300, 60, 10, 10), "HTTPS:1/a?b=c&d", ""},
		{healthCheck("tcp:65535", 5, 2, 2, 2), "TCP:65535", ""},
		{healthCheck("ssl:443", 5, 4, 2, 2), "SSL:443", ""},
		{healthCheck("UDP:1", 10, 5, 2, 2), "", "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL"},
		{healthCheck("", 10, 5, 2, 2), "", "HealthCheck Target must begin with one of HTTP, TCP, HTTPS, SSL"},
		{healthCheck("HTTP:80", 10, 5, 2, 2), "", path("HTTP")},
		{healthCheck("HTTP:/x", 10, 5, 2, 2), "", path("HTTP")},
		{healthCheck("HTTPS:65536/x", 10, 5, 2, 2), "", path("HTTPS")},
		{healthCheck("HTTP:80/a b", 10, 5, 2, 2), "", "HealthCheck HTTP Target must have a path of printable ASCII characters without spaces"},
		{healthCheck("TCP:80/x", 10, 5, 2, 2), "", "HealthCheck TCP Target must specify a port. e.g. TCP:80"},
		{healthCheck("TCP:0", 10, 5, 2, 2), "", "HealthCheck TCP Target must specify a port. e.g. TCP:80"},
		{healthCheck("TCP:+1", 10, 5, 2, 2), "", "HealthCheck TCP Target must specify a port. e.g. TCP:80"},
		{healthCheck("HTTP:80/"+strings.Repeat("x", 1024), 10, 5, 2, 2), "", "HealthCheck Target cannot be longer than 1024 characters"},
		{healthCheck("TCP:1", 4, 2, 2, 2), "", below("interval", "4", "greater than or equal to 5")},
		{healthCheck("TCP:1", 301, 2, 2, 2), "", below("interval", "301", "less than or equal to 300")},
		{healthCheck("TCP:1", 10, 1, 2, 2), "", below("timeout", "1", "greater than or equal to 2")},
		{healthCheck("TCP:1", 100, 61, 2, 2), "", below("timeout", "61", "less than or equal to 60")},
		{healthCheck("TCP:1", 10, 5, 1, 2), "", below("unhealthyThreshold", "1", "greater than or equal to 2")},
		{healthCheck("TCP:1", 10, 5, 2, 11), "", below("healthyThreshold", "11", "less than or equal to 10")},
		{healthCheck("TCP:1", 5, 5, 2, 2), "", "HealthCheck timeout must be less than interval."},
	} {
		out, err := f.ConfigureHealthCheck(t.Context(), &sdk.ConfigureHealthCheckInput{LoadBalancerName: new("web"), HealthCheck: tt.check})
		if tt.message != "" {
			f.fails(*tt.check.Target, err, "ValidationError", tt.message)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", *tt.check.Target, err)
			continue
		}
		same(t, "answer", *out.HealthCheck.Target, tt.want)
		d := f.describe("web").HealthCheck
		same(t, tt.want, fmt.Sprint(*d.Target, *d.Interval, *d.Timeout, *d.UnhealthyThreshold, *d.HealthyThreshold),
			fmt.Sprint(tt.want, *tt.check.Interval, *tt.check.Timeout, *tt.check.UnhealthyThreshold, *tt.check.HealthyThreshold))
	}
}

func TestInstances(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	register := func(ids ...string) (string, error) {
		out, err := f.RegisterInstancesWithLoadBalancer(t.Context(), &sdk.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: new("web"), Instances: instances(ids...)})
		if err != nil {
			return "", err
		}
		return show(out.Instances), nil
	}
	deregister := func(ids ...string) (string, error) {
		out, err := f.DeregisterInstancesFromLoadBalancer(t.Context(), &sdk.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: new("web"), Instances: instances(ids...)})
		if err != nil {
			return "", err
		}
		return show(out.Instances), nil
	}
	_, err := register("i-1", "i-foooo")
	f.fails("no instance", err, "InvalidInstance", "Could not find EC2 instance i-foooo.")
	_, err = register("i-1", "i-e")
	f.fails("other VPC", err, "InvalidInstance", "EC2 instance i-e is not in the same VPC as ELB.")
	got, err := register("i-2", "i-1")
	f.ok("register", err)
	same(t, "registered", got, "i-2 i-1")
	got, err = register("i-1", "i-3", "i-4")
	f.ok("register again", err)
	same(t, "registered", got, "i-2 i-1 i-3 i-4")
	same(t, "described", show(f.describe("web").Instances), "i-2 i-1 i-3 i-4")

	f.world.health = []elb.InstanceHealth{
		{ID: "i-1", State: "InService", ReasonCode: "N/A", Description: "N/A"}, {ID: "i-4", State: "InService", ReasonCode: "N/A", Description: "N/A"},
	}
	states := func(ids ...string) ([]string, error) {
		out, err := f.DescribeInstanceHealth(t.Context(), &sdk.DescribeInstanceHealthInput{LoadBalancerName: new("web"), Instances: instances(ids...)})
		if err != nil {
			return nil, err
		}
		var all []string
		for _, s := range out.InstanceStates {
			all = append(all, strings.Join([]string{*s.InstanceId, *s.State, *s.ReasonCode, *s.Description}, "|"))
		}
		return all, nil
	}
	health, err := states()
	f.ok("health", err)
	same(t, "health", strings.Join(health, "\n"), strings.Join([]string{
		"i-2|OutOfService|ELB|Instance registration is still in progress.",
		"i-1|InService|N/A|N/A",
		"i-3|OutOfService|ELB|Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.",
		"i-4|OutOfService|Instance|Instance is in stopped state.",
	}, "\n"))
	health, err = states("i-e", "i-1")
	f.ok("health", err)
	same(t, "health", health, []string{"i-e|OutOfService|Instance|Instance is not currently registered with the LoadBalancer.", "i-1|InService|N/A|N/A"})
	_, err = states("i-foooo")
	f.fails("health of nobody", err, "InvalidInstance", "Could not find EC2 instance i-foooo.")

	// Instances that were terminated have no health, and can be deregistered.
	f.world.Machines = f.world.Machines[2:]
	health, err = states()
	if err != nil || len(health) != 2 {
		t.Errorf("%v, %v", health, err)
	}
	if health, err := states("i-1"); err != nil || len(health) != 0 {
		t.Errorf("%v, %v", health, err)
	}
	got, err = deregister("i-1", "i-e", "i-2")
	f.ok("deregister", err)
	same(t, "left", got, "i-3 i-4")
	_, err = deregister("i-1")
	f.fails("deregister nobody", err, "InvalidInstance", "Could not find EC2 instance i-1.")
}

func show(list []types.Instance) string {
	var ids []string
	for _, i := range list {
		ids = append(ids, *i.InstanceId)
	}
	return strings.Join(ids, " ")
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	add := func(names []string, keys ...string) error {
		in := &sdk.AddTagsInput{LoadBalancerNames: names}
		for _, k := range keys {
			in.Tags = append(in.Tags, types.Tag{Key: &k, Value: new("v" + k)})
		}
		_, err := f.AddTags(t.Context(), in)
		return err
	}
	web := []string{"web"}
	f.ok("add", add(web, "a", "b"))
	f.ok("again", add(web, "b", "c"))
	f.fails("two load balancers", add([]string{"web", "x"}, "a"), "ValidationError", "Exactly one load balancer can be specified, and 2 were")
	var many []string
	for n := range 48 {
		many = append(many, fmt.Sprint("k", n))
	}
	f.fails("too many", add(web, many...), "TooManyTags", "The quota for the number of tags that can be assigned to a load balancer has been reached")
	_, err := f.RemoveTags(t.Context(), &sdk.RemoveTagsInput{LoadBalancerNames: web, Tags: []types.TagKeyOnly{{Key: new("a")}, {Key: new("none")}}})
	f.ok("remove", err)
	tagged, err := f.service.Tagged(t.Context())
	f.ok("tagged", err)
	same(t, "tagged", tagged, map[string]map[string]string{
		"arn:aws:elasticloadbalancing:ap-northeast-2:111122223333:loadbalancer/web": {"b": "vb", "c": "vc"},
	})
}

func TestAttributes(t *testing.T) {
	f := newFixture(t)
	f.create("web", "http:80:http:8080")
	get := func() string {
		out, err := f.DescribeLoadBalancerAttributes(t.Context(), &sdk.DescribeLoadBalancerAttributesInput{LoadBalancerName: new("web")})
		if err != nil {
			t.Fatal(err)
		}
		return showAttributes(out.LoadBalancerAttributes)
	}
	const standard = "cross=false draining=false/300 idle=60 log=false elb.http.desyncmitigationmode=defensive"
	same(t, "defaults", get(), standard)
	set := func(a types.LoadBalancerAttributes) (string, error) {
		out, err := f.ModifyLoadBalancerAttributes(t.Context(), &sdk.ModifyLoadBalancerAttributesInput{LoadBalancerName: new("web"), LoadBalancerAttributes: &a})
		if err != nil {
			return "", err
		}
		return showAttributes(out.LoadBalancerAttributes), nil
	}
	for _, tt := range []struct {
		in            types.LoadBalancerAttributes
		code, message string
	}{
		{types.LoadBalancerAttributes{ConnectionSettings: &types.ConnectionSettings{IdleTimeout: new(int32(0))}}, "ValidationError",
			"1 validation error detected: Value '0' at 'loadBalancerAttributes.connectionSettings.idleTimeout' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{types.LoadBalancerAttributes{ConnectionSettings: &types.ConnectionSettings{IdleTimeout: new(int32(4001))}}, "ValidationError",
			"1 validation error detected: Value '4001' at 'loadBalancerAttributes.connectionSettings.idleTimeout' failed to satisfy constraint: Member must have value less than or equal to 4000"},
		{types.LoadBalancerAttributes{ConnectionDraining: &types.ConnectionDraining{Enabled: true, Timeout: new(int32(3601))}}, "ValidationError",
			"1 validation error detected: Value '3601' at 'loadBalancerAttributes.connectionDraining.timeout' failed to satisfy constraint: Member must have value less than or equal to 3600"},
		{types.LoadBalancerAttributes{AccessLog: &types.AccessLog{Enabled: true}}, "ValidationError", "An S3BucketName must be specified to enable the access log"},
		{types.LoadBalancerAttributes{AccessLog: &types.AccessLog{Enabled: true, S3BucketName: new("logs"), EmitInterval: new(int32(10))}}, "ValidationError",
			"The access log's EmitInterval must be 5 or 60 minutes, and is 10"},
		{types.LoadBalancerAttributes{AccessLog: &types.AccessLog{Enabled: true, S3BucketName: new("../etc")}}, "InvalidConfigurationRequest", "'../etc' is no name of an S3 bucket"},
		{types.LoadBalancerAttributes{AccessLog: &types.AccessLog{Enabled: true, S3BucketName: new("logs"), S3BucketPrefix: new("a/../b")}}, "InvalidConfigurationRequest",
			"'a/../b' is no prefix in an S3 bucket: it must not begin or end with a slash, nor have AWSLogs, an empty name or dots alone between slashes"},
		{types.LoadBalancerAttributes{AdditionalAttributes: []types.AdditionalAttribute{{Key: new("elb.x"), Value: new("y")}}}, "LoadBalancerAttributeNotFound",
			"Load balancer attribute key 'elb.x' is not recognized"},
		{types.LoadBalancerAttributes{AdditionalAttributes: []types.AdditionalAttribute{{Key: new("elb.http.desyncmitigationmode"), Value: new("off")}}}, "InvalidConfigurationRequest",
			"The value of 'elb.http.desyncmitigationmode' must be monitor, defensive or strictest, and is 'off'"},
	} {
		_, err := set(tt.in)
		f.fails("modify", err, tt.code, tt.message)
	}
	same(t, "after failures", get(), standard)

	got, err := set(types.LoadBalancerAttributes{ConnectionDraining: &types.ConnectionDraining{Enabled: true}})
	f.ok("draining", err)
	same(t, "what changed", got, "draining=true/300")
	_, err = set(types.LoadBalancerAttributes{
		CrossZoneLoadBalancing: &types.CrossZoneLoadBalancing{Enabled: true},
		ConnectionSettings:     &types.ConnectionSettings{IdleTimeout: new(int32(4000))},
		ConnectionDraining:     &types.ConnectionDraining{Enabled: true, Timeout: new(int32(1))},
		AccessLog:              &types.AccessLog{Enabled: true, S3BucketName: new("my-logs"), S3BucketPrefix: new("prod/web"), EmitInterval: new(int32(5))},
		AdditionalAttributes:   []types.AdditionalAttribute{{Key: new("elb.http.desyncmitigationmode"), Value: new("strictest")}},
	})
	f.ok("all", err)
	same(t, "all", get(), "cross=true draining=true/1 idle=4000 log=true/my-logs/prod/web/5 elb.http.desyncmitigationmode=strictest")
}

func showAttributes(a *types.LoadBalancerAttributes) string {
	var all []string
	if a.CrossZoneLoadBalancing != nil {
		all = append(all, fmt.Sprint("cross=", a.CrossZoneLoadBalancing.Enabled))
	}
	if a.ConnectionDraining != nil {
		all = append(all, fmt.Sprint("draining=", a.ConnectionDraining.Enabled, "/", *a.ConnectionDraining.Timeout))
	}
	if a.ConnectionSettings != nil {
		all = append(all, fmt.Sprint("idle=", *a.ConnectionSettings.IdleTimeout))
	}
	if l := a.AccessLog; l != nil {
		text := fmt.Sprint("log=", l.Enabled)
		if l.Enabled {
			text += fmt.Sprint("/", *l.S3BucketName, "/", *l.S3BucketPrefix, "/", *l.EmitInterval)
		}
		all = append(all, text)
	}
	for _, m := range a.AdditionalAttributes {
		all = append(all, *m.Key+"="+*m.Value)
	}
	return strings.Join(all, " ")
}
