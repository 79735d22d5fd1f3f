package balancing

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
)

// shop is an Application Load Balancer of both zones, and its target group.
func shop() (elbv2.LoadBalancer, elbv2.TargetGroup) {
	lb := elbv2.LoadBalancer{
		Placement:  base().Placement,
		Listeners:  []elbv2.Listener{{ID: "l", Protocol: elbv2.HTTP, Port: 80, TargetGroup: "arn:web"}},
		Attributes: elbv2.Attributes{IdleTimeout: 60, Desync: "defensive"},
	}
	lb.Type = loadbalancer.Application
	g := elbv2.TargetGroup{
		Name: "web", ID: "9", Protocol: elbv2.HTTP, Port: 8080, VPC: "vpc-1",
		HealthCheck: elbv2.HealthCheck{Protocol: elbv2.HTTP, Path: "/healthz", Matcher: "200-299,404", Interval: 30, Timeout: 5, HealthyThreshold: 5, UnhealthyThreshold: 2},
		Attributes:  elbv2.TargetGroupAttributes{DeregistrationDelay: 300, Algorithm: elbv2.RoundRobin},
		Targets:     []elbv2.Target{{ID: "i-1", Port: 8080}, {ID: "i-1", Port: 8081}, {ID: "i-3", Port: 8080}, {ID: "i-4", Port: 8080}},
	}
	return lb, g
}

func TestPlanApplication(t *testing.T) {
	lb, g := shop()
	got, problems := Plan(State{Applications: []elbv2.LoadBalancer{lb}, TargetGroups: map[string]elbv2.TargetGroup{"arn:web": g}, Instances: theInstances})
	var passes proxy.Statuses
	passes.Add(200, 299)
	passes.Add(404, 404)
	want := []proxy.Balancer{{
		ID: "1", Name: "app/web/1", Application: true, CrossZone: true, Zones: []string{"a", "b"},
		Addresses:   map[string]netip.Addr{"": addr("127.64.1.2"), "a": addr("192.168.0.10"), "b": addr("192.168.1.10")},
		IdleTimeout: time.Minute, DesyncMitigation: "defensive",
		Listeners: []proxy.Listener{{Port: 80, Protocol: proxy.HTTP, BackendProtocol: proxy.HTTP, Group: "targetgroup/web/9"}},
		Groups: map[string]proxy.Group{"targetgroup/web/9": {
			HealthCheck: proxy.HealthCheck{
				Protocol: proxy.HTTP, Path: "/healthz", Interval: 30 * time.Second, Timeout: 5 * time.Second, Healthy: 5, Unhealthy: 2, Statuses: passes,
			},
			Drain: 5 * time.Minute, RoundRobin: true,
		}},
		Backends: []proxy.Backend{
			{ID: "i-1", Zone: "a", Address: addr("192.168.0.20"), Group: "targetgroup/web/9", Port: 8080},
			{ID: "i-1", Zone: "a", Address: addr("192.168.0.20"), Group: "targetgroup/web/9", Port: 8081},
		},
	}}
	if diff := gocmp.Diff(want, got, gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || len(problems) > 0 {
		t.Errorf("%v\n%s", problems, diff)
	}
}

func TestPlanApplicationParts(t *testing.T) {
	pair := &tls.Certificate{Certificate: [][]byte{{1}}}
	for _, tt := range []struct {
		name    string
		change  func(*elbv2.LoadBalancer, *elbv2.TargetGroup)
		want    func(proxy.Balancer) string
		is      string
		problem string
	}{
		{"two listeners, one group", func(lb *elbv2.LoadBalancer, _ *elbv2.TargetGroup) {
			lb.Listeners = append(lb.Listeners, elbv2.Listener{Protocol: elbv2.HTTP, Port: 81, TargetGroup: "arn:web"})
		}, func(b proxy.Balancer) string { return fmt.Sprint(len(b.Listeners), len(b.Groups), len(b.Backends)) }, "2 1 2", ""},
		{"HTTPS", func(lb *elbv2.LoadBalancer, _ *elbv2.TargetGroup) {
			lb.Listeners[0] = elbv2.Listener{Protocol: elbv2.HTTPS, Port: 443, Certificate: "arn:1", SSLPolicy: "ELBSecurityPolicy-TLS13-1-2-2021-06", TargetGroup: "arn:web"}
		}, func(b proxy.Balancer) string {
			l := b.Listeners[0]
			return fmt.Sprintf("%s %x %x %t", l.Protocol, l.TLS.MinVersion, l.TLS.MaxVersion, l.Certificate == pair)
		}, "HTTPS 303 304 true", ""},
		{"a certificate that is not issued", func(lb *elbv2.LoadBalancer, _ *elbv2.TargetGroup) {
			lb.Listeners[0] = elbv2.Listener{Protocol: elbv2.HTTPS, Port: 443, Certificate: "arn:2", SSLPolicy: "ELBSecurityPolicy-2016-08", TargetGroup: "arn:web"}
		}, func(b proxy.Balancer) string { return fmt.Sprint(len(b.Listeners)) }, "0",
			"listener on port 443: its certificate cannot be served: arn:2; it must be issued in ACM"},
		{"a group that is gone", func(lb *elbv2.LoadBalancer, _ *elbv2.TargetGroup) { lb.Listeners[0].TargetGroup = "arn:gone" },
			func(b proxy.Balancer) string { return fmt.Sprint(len(b.Listeners), len(b.Groups)) }, "0 0",
			"listener on port 80: there is no target group arn:gone"},
		{"stickiness, slow start, a port of its own for checks", func(_ *elbv2.LoadBalancer, g *elbv2.TargetGroup) {
			g.Attributes.Sticky, g.Attributes.StickyDuration, g.Attributes.SlowStart, g.HealthCheck.Port = true, 60, 30, 9000
			g.Attributes.Algorithm = elbv2.LeastOutstanding
		}, func(b proxy.Balancer) string {
			of := b.Groups["targetgroup/web/9"]
			return fmt.Sprint(b.Listeners[0].Sticky.Duration, of.SlowStart, of.HealthCheck.Port, of.RoundRobin)
		}, "1m0s 30s 9000 false", ""},
		{"no listeners", func(lb *elbv2.LoadBalancer, _ *elbv2.TargetGroup) { lb.Listeners = nil },
			func(b proxy.Balancer) string { return fmt.Sprint(len(b.Backends)) }, "0", ""},
	} {
		lb, g := shop()
		tt.change(&lb, &g)
		got, problems := Plan(State{
			Applications: []elbv2.LoadBalancer{lb}, TargetGroups: map[string]elbv2.TargetGroup{"arn:web": g},
			Instances: theInstances, Certificates: map[string]*tls.Certificate{"arn:1": pair},
		})
		if is := tt.want(got[0]); is != tt.is {
			t.Errorf("%s: %s, want %s", tt.name, is, tt.is)
		}
		said := ""
		if len(problems) > 0 {
			said = problems[0].Err.Error()
		}
		if said != tt.problem {
			t.Errorf("%s: %q, want %q", tt.name, said, tt.problem)
		}
	}
}

func TestTargetHealth(t *testing.T) {
	for _, tt := range []struct {
		name string
		is   proxy.BackendHealth
		want elbv2.TargetHealth
	}{
		{"healthy", proxy.BackendHealth{State: proxy.InService, Reason: proxy.ReasonNone}, elbv2.TargetHealth{State: "healthy"}},
		{"registering", proxy.BackendHealth{State: proxy.OutOfService, Reason: proxy.ReasonELB},
			elbv2.TargetHealth{State: "initial", Reason: "Elb.InitialHealthChecking", Description: "Initial health checks in progress"}},
		{"another status", proxy.BackendHealth{State: proxy.OutOfService, Reason: proxy.ReasonInstance, Cause: fmt.Errorf("health check: %w", proxy.StatusError(503))},
			elbv2.TargetHealth{State: "unhealthy", Reason: "Target.ResponseCodeMismatch", Description: "Health checks failed with these codes: [503]"}},
		{"no answer", proxy.BackendHealth{State: proxy.OutOfService, Reason: proxy.ReasonInstance, Cause: errors.Join(errors.New("read"), context.DeadlineExceeded)},
			elbv2.TargetHealth{State: "unhealthy", Reason: "Target.Timeout", Description: "Request timed out"}},
		{"refused", proxy.BackendHealth{State: proxy.OutOfService, Reason: proxy.ReasonInstance, Cause: errors.New("connection refused")},
			elbv2.TargetHealth{State: "unhealthy", Reason: "Target.FailedHealthChecks", Description: "Health checks failed"}},
		{"draining", proxy.BackendHealth{State: proxy.InService, Draining: true},
			elbv2.TargetHealth{State: "draining", Reason: "Target.DeregistrationInProgress", Description: "Target deregistration is in progress"}},
	} {
		tt.is.ID, tt.is.Port = "i-1", 8080
		tt.want.Target = elbv2.Target{ID: "i-1", Port: 8080}
		if got := targetHealth(tt.is); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// The life of an Application Load Balancer, from its record to a page, and to its end.
func TestApplicationLife(t *testing.T) {
	f := newFixture(t)
	f.start()
	port := freePort(t)
	_, g := shop()
	g.Targets, g.HealthCheck.Interval, g.HealthCheck.Timeout = []elbv2.Target{{ID: "i-1", Port: 30080}, {ID: "i-gone", Port: 30080}, {ID: "i-gone", Port: 30081}}, 5, 2
	put(f, f.apps.TargetGroups, "web", g)
	arn := f.apps.TargetGroupARN(g)
	put(f, f.apps.LoadBalancers, "shop", elbv2.LoadBalancer{
		Placement:  func() loadbalancer.Placement { p := inBoth("shop", "12"); p.Type = loadbalancer.Application; return p }(),
		Listeners:  []elbv2.Listener{{ID: "l", Protocol: elbv2.HTTP, Port: port, TargetGroup: arn}},
		Attributes: elbv2.Attributes{IdleTimeout: 60, Desync: "defensive"},
	})
	var lb elbv2.LoadBalancer
	f.await("it is placed", func() bool {
		it, err := f.apps.LoadBalancers.Get(t.Context(), "shop")
		lb = it.Value
		return err == nil && lb.HostAddress.IsValid() && len(lb.Nodes) == 2
	})
	for _, eni := range f.interfaces() {
		if eni.Description != "ELB app/shop/12" || eni.Requester != Requester {
			t.Errorf("an interface is %q, of %s", eni.Description, eni.Requester)
		}
	}
	f.await("its target is healthy", func() bool {
		all, err := f.loop.TargetHealth(t.Context(), lb, g)
		return err == nil && len(all) == 1 && all[0].State == "healthy" && all[0].Port == 30080
	})
	if got, want := f.get(fmt.Sprintf("http://%s:%d/page", lb.HostAddress, port), nil), fmt.Sprint("200 /page for ", port); got != want {
		t.Errorf("on the host: %q, want %q", got, want)
	}
	f.await("a target whose instance is gone is deregistered", func() bool {
		it, err := f.apps.TargetGroups.Get(t.Context(), "web")
		return err == nil && len(it.Value.Targets) == 1 && it.Value.Targets[0].ID == "i-1"
	})
	if err := f.apps.LoadBalancers.Delete(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	f.await("its interfaces are gone", func() bool { return len(f.interfaces()) == 0 })
	if n := strings.Count(f.said.String(), "deregistered a target"); n != 1 {
		t.Errorf("that is logged %d times:\n%s", n, f.said)
	}
}
