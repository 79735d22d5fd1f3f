package balancing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
)

// planApplication is an Application Load Balancer as the proxy runs it. Its groups
// there have the target groups' labels.
func planApplication(lb elbv2.LoadBalancer, s State) (b proxy.Balancer, errs []error) {
	b = placed(lb.Placement)
	b.Application, b.CrossZone, b.Groups = true, true, map[string]proxy.Group{}
	b.IdleTimeout, b.DesyncMitigation = seconds(lb.Attributes.IdleTimeout), lb.Attributes.Desync
	for _, l := range lb.Listeners {
		planned, err := planForward(l, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("listener on port %d: %w", l.Port, err))
			continue
		}
		b.Listeners = append(b.Listeners, planned)
		if _, known := b.Groups[planned.Group]; known {
			continue
		}
		g := s.TargetGroups[l.TargetGroup]
		if b.Groups[planned.Group], err = planGroup(g); err != nil {
			errs = append(errs, fmt.Errorf("health check of target group %s: %w", g.Name, err))
		}
		for _, t := range g.Targets {
			if i, ok := s.Instances[t.ID]; ok && i.State == ec2.Running && i.Address.IsValid() {
				b.Backends = append(b.Backends, proxy.Backend{ID: t.ID, Zone: i.Zone, Address: i.Address, Group: planned.Group, Port: int(t.Port)})
			}
		}
	}
	return b, errs
}

// planForward is a listener that sends requests to a target group.
func planForward(l elbv2.Listener, s State) (proxy.Listener, error) {
	out := proxy.Listener{Port: int(l.Port), Protocol: proxy.Protocol(l.Protocol)}
	g, ok := s.TargetGroups[l.TargetGroup]
	if !ok {
		return out, fmt.Errorf("there is no target group %s", l.TargetGroup)
	}
	out.Group, out.BackendProtocol = g.Label(), proxy.Protocol(g.Protocol)
	if g.Attributes.Sticky {
		out.Sticky = &proxy.Sticky{Duration: seconds(g.Attributes.StickyDuration)}
	}
	if !out.Protocol.Secure() {
		return out, nil
	}
	if out.Certificate = s.Certificates[l.Certificate]; out.Certificate == nil {
		return out, notServed(l.Certificate)
	}
	policy, ok := elbv2.FindSSLPolicy(l.SSLPolicy)
	if !ok {
		return out, fmt.Errorf("there is no SSL policy %s", l.SSLPolicy)
	}
	var err error
	if out.TLS, err = planTLS(policy.Protocols, policy.Ciphers); err != nil {
		err = fmt.Errorf("SSL policy %s: %w", policy.Name, err)
	}
	return out, err
}

func planGroup(g elbv2.TargetGroup) (proxy.Group, error) {
	statuses, err := elbv2.ParseMatcher(g.HealthCheck.Matcher)
	out := proxy.Group{
		HealthCheck: proxy.HealthCheck{
			Protocol: proxy.Protocol(g.HealthCheck.Protocol), Port: int(g.HealthCheck.Port), Path: g.HealthCheck.Path,
			Interval: seconds(g.HealthCheck.Interval), Timeout: seconds(g.HealthCheck.Timeout),
			Healthy: int(g.HealthCheck.HealthyThreshold), Unhealthy: int(g.HealthCheck.UnhealthyThreshold),
		},
		Drain: seconds(g.Attributes.DeregistrationDelay), SlowStart: seconds(g.Attributes.SlowStart),
		RoundRobin: g.Attributes.Algorithm != elbv2.LeastOutstanding,
	}
	for _, r := range statuses {
		out.HealthCheck.Statuses.Add(r.From, r.To)
	}
	return out, err
}

// TargetHealth implements elbv2.Health.
func (l *Loop) TargetHealth(_ context.Context, lb elbv2.LoadBalancer, g elbv2.TargetGroup) ([]elbv2.TargetHealth, error) {
	var all []elbv2.TargetHealth
	for _, h := range l.proxy.Health(lb.ID) {
		if h.Group == g.Label() {
			all = append(all, targetHealth(h))
		}
	}
	return all, nil
}

// targetHealth puts what the proxy says into the words of DescribeTargetHealth.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
func targetHealth(h proxy.BackendHealth) elbv2.TargetHealth {
	out := elbv2.TargetHealth{Target: elbv2.Target{ID: h.ID, Port: int32(h.Port)}, State: "unhealthy"}
	status, mismatch := errors.AsType[proxy.StatusError](h.Cause)
	switch {
	case h.Draining:
		out.State, out.Reason, out.Description = "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
	case h.State == proxy.InService:
		out.State = "healthy"
	case h.Reason == proxy.ReasonELB:
		out.State, out.Reason, out.Description = "initial", "Elb.InitialHealthChecking", "Initial health checks in progress"
	case mismatch:
		out.Reason, out.Description = "Target.ResponseCodeMismatch", fmt.Sprintf("Health checks failed with these codes: [%d]", int(status))
	case errors.Is(h.Cause, context.DeadlineExceeded):
		out.Reason, out.Description = "Target.Timeout", "Request timed out"
	default:
		out.Reason, out.Description = "Target.FailedHealthChecks", "Health checks failed"
	}
	return out
}

// forget deregisters targets whose instances have been terminated, as AWS does.
func (l *Loop) forget(ctx context.Context, s State, w *work) {
	for _, g := range s.TargetGroups {
		gone := map[string]bool{} // instances
		for _, t := range g.Targets {
			if i, ok := s.Instances[t.ID]; !ok || i.State == ec2.Terminated {
				gone[t.ID] = true
			}
		}
		for id := range gone {
			w.fail(g.Label(), l.forgetInstance(ctx, g, id))
		}
	}
}

// forgetInstance deregisters an instance, unless the store has it after all: what
// the loop has seen of instances may be older than what it has seen of targets.
func (l *Loop) forgetInstance(ctx context.Context, g elbv2.TargetGroup, id string) error {
	it, err := l.cfg.EC2.Instances.Get(ctx, id)
	if err == nil && it.Value.State != ec2.Terminated {
		return nil
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, err = l.cfg.ELBv2.TargetGroups.Modify(ctx, g.Name, func(now *elbv2.TargetGroup) error {
		now.Targets = slices.DeleteFunc(now.Targets, func(t elbv2.Target) bool { return t.ID == id })
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		l.log.Info("deregistered a target whose instance was terminated", "targetGroup", g.Name, "instance", id)
	}
	return err
}
