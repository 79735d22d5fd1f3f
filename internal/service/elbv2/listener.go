package elbv2

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// CreateListener implements elbv2api.Handler. One that is there already and was
// created with the same settings is what the caller wants.
func (s *Service) CreateListener(ctx context.Context, in *elbv2api.CreateListenerInput) (*elbv2api.CreateListenerOutput, error) {
	s.joining.Lock()
	defer s.joining.Unlock()
	arn := api.Val(in.LoadBalancerArn)
	lb, err := s.get(ctx, arn)
	if err != nil {
		return nil, err
	}
	l, err := s.newListener(ctx, lb, in)
	if err != nil {
		return nil, err
	}
	lb, err = s.modify(ctx, arn, func(lb *LoadBalancer) error {
		if has := lb.at(l.Port); has != nil {
			if !has.same(l) {
				return duplicateListener(arn)
			}
			l = *has
			return nil
		}
		if len(lb.Listeners) >= maxListeners {
			return elbv2api.TooManyListenersException.New("The maximum number of listeners has been reached")
		}
		lb.Listeners = append(lb.Listeners, l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elbv2api.CreateListenerOutput{Listeners: []elbv2api.Listener{s.describeListener(lb, l)}}, nil
}

func duplicateListener(balancer string) error {
	return elbv2api.DuplicateListenerException.New("A listener already exists on this port for this load balancer '%s'", balancer)
}

// same says whether two listeners do the same.
func (l Listener) same(o Listener) bool {
	return l.Protocol == o.Protocol && l.Port == o.Port && l.Certificate == o.Certificate && l.SSLPolicy == o.SSLPolicy && l.TargetGroup == o.TargetGroup
}

// newListener is the record that a request asks for.
func (s *Service) newListener(ctx context.Context, lb LoadBalancer, in *elbv2api.CreateListenerInput) (Listener, error) {
	l := Listener{ID: loadbalancer.NewID(), Rule: loadbalancer.NewID(), Port: api.Val(in.Port)}
	switch {
	case in.Protocol == "":
		return l, invalid("A protocol must be specified")
	case in.Port == nil:
		return l, invalid("A port must be specified")
	}
	if err := l.setProtocol(in.Protocol); err != nil {
		return l, err
	}
	if err := between("port", l.Port, 1, 65535); err != nil {
		return l, err
	}
	if err := refuseTLS(in.AlpnPolicy, in.MutualAuthentication); err != nil {
		return l, err
	}
	if err := s.setSecurity(ctx, &l, in.Certificates, in.SslPolicy); err != nil {
		return l, err
	}
	var err error
	if l.TargetGroup, err = readActions(in.DefaultActions); err != nil {
		return l, err
	}
	if l.Tags, err = checkTags(in.Tags); err != nil {
		return l, err
	}
	return l, s.checkForward(ctx, lb, l.TargetGroup)
}

func (l *Listener) setProtocol(protocol elbv2api.ProtocolEnum) error {
	if err := checkProtocol("protocol", protocol); err != nil {
		return err
	}
	if protocol != HTTP && protocol != HTTPS {
		return elbv2api.UnsupportedProtocolException.New("Protocol '%s' is not supported for Application Load Balancers: it must be HTTP or HTTPS", protocol)
	}
	l.Protocol = string(protocol)
	return nil
}

// refuseTLS refuses what of TLS there is not.
func refuseTLS(alpn []string, mutual *elbv2api.MutualAuthenticationAttributes) error {
	if len(alpn) > 0 {
		return notImplemented("AlpnPolicy, which is for TLS listeners of Network Load Balancers.")
	}
	if mutual != nil && api.Val(mutual.Mode) != "off" {
		return notImplemented("MutualAuthentication with Mode %s: use off.", api.Val(mutual.Mode))
	}
	return nil
}

// setSecurity gives a listener the certificate and the policy of a request; what
// the request leaves out stays as it is. A listener without TLS has neither.
func (s *Service) setSecurity(ctx context.Context, l *Listener, certificates []elbv2api.Certificate, policy *string) error {
	if l.Protocol == HTTP {
		switch {
		case len(certificates) > 0:
			return invalid("A certificate cannot be specified for HTTP listeners")
		case api.Val(policy) != "":
			return invalid("An SSL policy cannot be specified for HTTP listeners")
		}
		l.Certificate, l.SSLPolicy = "", ""
		return nil
	}
	if len(certificates) > 1 {
		return notImplemented("more than one certificate of a listener: use one that has all the names.")
	}
	if len(certificates) == 1 {
		l.Certificate = api.Val(certificates[0].CertificateArn)
		issued, err := s.certificates.Issued(ctx, l.Certificate)
		if err != nil {
			return err
		}
		if !issued {
			return elbv2api.CertificateNotFoundException.New("Certificate '%s' not found", l.Certificate)
		}
	}
	if l.Certificate == "" {
		return invalid("A certificate must be specified for HTTPS listeners")
	}
	if name := api.Val(policy); name != "" {
		l.SSLPolicy = name
	}
	if l.SSLPolicy == "" {
		l.SSLPolicy = defaultSSLPolicy
	}
	if _, ok := FindSSLPolicy(l.SSLPolicy); !ok {
		return noSSLPolicy(l.SSLPolicy)
	}
	return nil
}

// checkForward wants a target group that the load balancer may forward to. The
// caller holds joining.
func (s *Service) checkForward(ctx context.Context, lb LoadBalancer, targetGroup string) error {
	g, err := s.TargetGroup(ctx, targetGroup)
	if err != nil {
		return err
	}
	if g.VPC != lb.VPC {
		return refused("Target group '%s' is in a different VPC than load balancer '%s'", targetGroup, s.ARN(lb))
	}
	other, ok, err := s.BalancerOf(ctx, targetGroup)
	if err == nil && ok && other.ID != lb.ID {
		err = elbv2api.TargetGroupAssociationLimitException.New("The following target groups cannot be associated with more than one load balancer: %s", targetGroup)
	}
	return err
}

// ModifyListener implements elbv2api.Handler. What a request leaves out stays as it
// is.
func (s *Service) ModifyListener(ctx context.Context, in *elbv2api.ModifyListenerInput) (*elbv2api.ModifyListenerOutput, error) {
	if err := refuseTLS(in.AlpnPolicy, in.MutualAuthentication); err != nil {
		return nil, err
	}
	s.joining.Lock()
	defer s.joining.Unlock()
	var changed Listener
	lb, err := s.modifyListener(ctx, api.Val(in.ListenerArn), func(lb *LoadBalancer, l *Listener) error {
		if in.Port != nil {
			if err := between("port", *in.Port, 1, 65535); err != nil {
				return err
			}
			if o := lb.at(*in.Port); o != nil && o.ID != l.ID {
				return duplicateListener(s.ARN(*lb))
			}
			l.Port = *in.Port
		}
		if in.Protocol != "" {
			if err := l.setProtocol(in.Protocol); err != nil {
				return err
			}
		}
		if err := s.setSecurity(ctx, l, in.Certificates, in.SslPolicy); err != nil {
			return err
		}
		if len(in.DefaultActions) > 0 {
			var err error
			if l.TargetGroup, err = readActions(in.DefaultActions); err != nil {
				return err
			}
			if err := s.checkForward(ctx, *lb, l.TargetGroup); err != nil {
				return err
			}
		}
		changed = *l
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &elbv2api.ModifyListenerOutput{Listeners: []elbv2api.Listener{s.describeListener(lb, changed)}}, nil
}

// DeleteListener implements elbv2api.Handler.
func (s *Service) DeleteListener(ctx context.Context, in *elbv2api.DeleteListenerInput) (*elbv2api.DeleteListenerOutput, error) {
	_, err := s.modifyListener(ctx, api.Val(in.ListenerArn), func(lb *LoadBalancer, l *Listener) error {
		id := l.ID
		lb.Listeners = slices.DeleteFunc(lb.Listeners, func(l Listener) bool { return l.ID == id })
		return nil
	})
	return &elbv2api.DeleteListenerOutput{}, err
}
