package elbv2

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// owned is a listener with the load balancer that has it.
type owned struct {
	lb LoadBalancer
	l  Listener
}

// key sorts listeners by load balancer and port.
func (o owned) key() string { return fmt.Sprintf("%s/%05d", o.lb.Name, o.l.Port) }

func byKey(a, b owned) int { return strings.Compare(a.key(), b.key()) }

// getListener finds a listener by its ARN.
func (s *Service) getListener(ctx context.Context, arn string) (owned, error) {
	balancer, id, err := s.parseListener(arn)
	if err != nil {
		return owned{}, err
	}
	lb, err := s.get(ctx, balancer)
	if elbv2api.LoadBalancerNotFoundException.Is(err) {
		return owned{}, noListener(arn)
	}
	if err != nil {
		return owned{}, err
	}
	l := lb.listener(id)
	if l == nil {
		return owned{}, noListener(arn)
	}
	return owned{lb, *l}, nil
}

// getRule finds the listener whose default rule has the ARN.
func (s *Service) getRule(ctx context.Context, arn string) (owned, error) {
	listener, id, err := s.parseRule(arn)
	if err != nil {
		return owned{}, err
	}
	o, err := s.getListener(ctx, listener)
	if elbv2api.ListenerNotFoundException.Is(err) || err == nil && o.l.Rule != id {
		err = elbv2api.RuleNotFoundException.New("One or more rules not found")
	}
	return o, err
}

// DescribeListeners implements elbv2api.Handler.
func (s *Service) DescribeListeners(ctx context.Context, in *elbv2api.DescribeListenersInput) (*elbv2api.DescribeListenersOutput, error) {
	var all []owned
	switch {
	case api.Val(in.LoadBalancerArn) != "" && len(in.ListenerArns) > 0:
		return nil, invalid("Listener ARNs and a load balancer ARN cannot be specified at the same time")
	case api.Val(in.LoadBalancerArn) != "":
		lb, err := s.get(ctx, *in.LoadBalancerArn)
		if err != nil {
			return nil, err
		}
		for _, l := range lb.Listeners {
			all = append(all, owned{lb, l})
		}
	case len(in.ListenerArns) > 0:
		for _, arn := range unique(in.ListenerArns) {
			o, err := s.getListener(ctx, arn)
			if elbv2api.ListenerNotFoundException.Is(err) {
				err = elbv2api.ListenerNotFoundException.New("One or more listeners not found")
			}
			if err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	default:
		return nil, invalid("You must specify either listener ARNs or a load balancer ARN")
	}
	slices.SortFunc(all, byKey)
	all, next, err := loadbalancer.Page(all, owned.key, in.PageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	out := &elbv2api.DescribeListenersOutput{Listeners: []elbv2api.Listener{}, NextMarker: next}
	for _, o := range all {
		out.Listeners = append(out.Listeners, s.describeListener(o.lb, o.l))
	}
	return out, nil
}

func (s *Service) describeListener(lb LoadBalancer, l Listener) elbv2api.Listener {
	out := elbv2api.Listener{
		ListenerArn: new(s.ListenerARN(lb, l)), LoadBalancerArn: new(s.ARN(lb)), Port: &l.Port, Protocol: elbv2api.ProtocolEnum(l.Protocol),
		DefaultActions: l.actionsOut(),
	}
	if l.Protocol == HTTPS {
		out.Certificates = []elbv2api.Certificate{{CertificateArn: &l.Certificate}}
		out.SslPolicy = &l.SSLPolicy
		out.MutualAuthentication = &elbv2api.MutualAuthenticationAttributes{Mode: new("off")}
	}
	return out
}

// DescribeRules implements elbv2api.Handler. A listener has its default rule alone.
func (s *Service) DescribeRules(ctx context.Context, in *elbv2api.DescribeRulesInput) (*elbv2api.DescribeRulesOutput, error) {
	var all []owned
	switch {
	case api.Val(in.ListenerArn) != "" && len(in.RuleArns) > 0:
		return nil, invalid("Listener rule ARNs and a listener ARN cannot be specified at the same time")
	case api.Val(in.ListenerArn) != "":
		o, err := s.getListener(ctx, *in.ListenerArn)
		if elbv2api.ListenerNotFoundException.Is(err) {
			err = elbv2api.ListenerNotFoundException.New("One or more listeners not found")
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	case len(in.RuleArns) > 0:
		for _, arn := range unique(in.RuleArns) {
			o, err := s.getRule(ctx, arn)
			if err != nil {
				return nil, err
			}
			all = append(all, o)
		}
	default:
		return nil, invalid("You must specify either listener rule ARNs or a listener ARN")
	}
	slices.SortFunc(all, byKey)
	all, next, err := loadbalancer.Page(all, owned.key, in.PageSize, in.Marker)
	if err != nil {
		return nil, err
	}
	out := &elbv2api.DescribeRulesOutput{Rules: []elbv2api.Rule{}, NextMarker: next}
	for _, o := range all {
		out.Rules = append(out.Rules, elbv2api.Rule{
			RuleArn: new(s.ruleARN(o.lb, o.l)), Priority: new("default"), IsDefault: new(true),
			Conditions: []elbv2api.RuleCondition{}, Actions: o.l.actionsOut(),
		})
	}
	return out, nil
}
