package elb

import (
	"context"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// secure says whether a protocol is inside TLS.
func secure(protocol string) bool { return protocol == HTTPS || protocol == SSL }

// web says whether a protocol is HTTP, inside TLS or not.
func web(protocol string) bool { return protocol == HTTP || protocol == HTTPS }

// listeners reads listeners as a request gives them, and finds their certificates.
func (s *Service) readListeners(ctx context.Context, in []elbapi.Listener) ([]Listener, error) {
	if len(in) == 0 {
		return nil, invalid("Listeners cannot be empty")
	}
	var out []Listener
	for _, l := range in {
		read, err := readListener(l)
		if err != nil {
			return nil, err
		}
		if secure(read.Protocol) {
			if err := s.checkCertificate(ctx, read.Certificate); err != nil {
				return nil, err
			}
		}
		out = append(out, read)
	}
	return out, nil
}

func readListener(in elbapi.Listener) (Listener, error) {
	l := Listener{Port: api.Val(in.LoadBalancerPort), InstancePort: api.Val(in.InstancePort), Certificate: api.Val(in.SSLCertificateId)}
	var err error
	if l.Protocol, err = readProtocol(api.Val(in.Protocol)); err != nil {
		return l, err
	}
	switch {
	case in.InstanceProtocol != nil && *in.InstanceProtocol != "":
		if l.InstanceProtocol, err = readProtocol(*in.InstanceProtocol); err != nil {
			return l, err
		}
	case web(l.Protocol):
		l.InstanceProtocol = HTTP
	default:
		l.InstanceProtocol = TCP
	}
	if web(l.Protocol) != web(l.InstanceProtocol) {
		return l, invalid("Protocol %s and InstanceProtocol %s must be at the same layer: HTTP and HTTPS go together, and so do TCP and SSL", l.Protocol, l.InstanceProtocol)
	}
	if l.Port < 1 || l.Port > 65535 {
		return l, invalid("LoadBalancer port must be from 1 to 65535, and is %d", l.Port)
	}
	if err := between("listeners.1.member.instancePort", l.InstancePort, 1, 65535); err != nil {
		return l, err
	}
	switch {
	case secure(l.Protocol) && l.Certificate == "":
		return l, invalid("Secure Listeners need to specify a SSLCertificateId")
	case !secure(l.Protocol) && l.Certificate != "":
		return l, invalid("SSLCertificateId is for listeners with protocol HTTPS or SSL, and port %d has %s", l.Port, l.Protocol)
	}
	return l, nil
}

// readProtocol takes any case: the cloud controller manager sends lower-case ones.
func readProtocol(protocol string) (string, error) {
	switch p := strings.ToUpper(protocol); p {
	case HTTP, HTTPS, TCP, SSL:
		return p, nil
	}
	return "", elbapi.UnsupportedProtocolException.New("Protocol '%s' is not supported: it must be HTTP, HTTPS, TCP or SSL", protocol)
}

func (s *Service) checkCertificate(ctx context.Context, id string) error {
	issued, err := s.certificates.Issued(ctx, id)
	if err == nil && !issued {
		err = elbapi.CertificateNotFoundException.New("Server Certificate not found for the key: %s", id)
	}
	return err
}

// same says whether two listeners do the same; policies do not count.
func (l Listener) same(o Listener) bool {
	return l.Protocol == o.Protocol && l.Port == o.Port && l.InstanceProtocol == o.InstanceProtocol && l.InstancePort == o.InstancePort && l.Certificate == o.Certificate
}

// addListeners adds those that the load balancer does not have.
func (lb *LoadBalancer) addListeners(add []Listener) error {
	for _, l := range add {
		if has := lb.listener(l.Port); has != nil {
			if !has.same(l) {
				return elbapi.DuplicateListenerException.New("A listener already exists for %s with LoadBalancerPort %d, but with a different InstancePort, Protocol, or SSLCertificateId", lb.Name, l.Port)
			}
			continue
		}
		for _, o := range lb.Listeners {
			if o.InstancePort == l.InstancePort && secure(o.InstanceProtocol) != secure(l.InstanceProtocol) {
				return refused("The listener at port %d has InstancePort %d with protocol %s. InstanceProtocol %s for the same InstancePort is not compatible", o.Port, o.InstancePort, o.InstanceProtocol, l.InstanceProtocol)
			}
		}
		if len(lb.Listeners) == maxListeners {
			return refused("A load balancer cannot have more than %d listeners", maxListeners)
		}
		if secure(l.Protocol) {
			l.Policies = []string{defaultSecurityPolicy}
			if err := lb.addPolicy(predefined(defaultSecurityPolicy)); err != nil {
				return err
			}
		}
		lb.Listeners = append(lb.Listeners, l)
	}
	return nil
}

// CreateLoadBalancerListeners implements elbapi.Handler.
func (s *Service) CreateLoadBalancerListeners(ctx context.Context, in *elbapi.CreateLoadBalancerListenersInput) (*elbapi.CreateLoadBalancerListenersOutput, error) {
	if _, err := s.get(ctx, in.LoadBalancerName); err != nil {
		return nil, err
	}
	listeners, err := s.readListeners(ctx, in.Listeners)
	if err != nil {
		return nil, err
	}
	_, err = s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error { return lb.addListeners(listeners) })
	return &elbapi.CreateLoadBalancerListenersOutput{}, err
}

// DeleteLoadBalancerListeners implements elbapi.Handler. A port without a listener
// is as it is to be.
func (s *Service) DeleteLoadBalancerListeners(ctx context.Context, in *elbapi.DeleteLoadBalancerListenersInput) (*elbapi.DeleteLoadBalancerListenersOutput, error) {
	_, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		lb.Listeners = slices.DeleteFunc(lb.Listeners, func(l Listener) bool { return slices.Contains(in.LoadBalancerPorts, l.Port) })
		return nil
	})
	return &elbapi.DeleteLoadBalancerListenersOutput{}, err
}

// SetLoadBalancerListenerSSLCertificate implements elbapi.Handler.
func (s *Service) SetLoadBalancerListenerSSLCertificate(ctx context.Context, in *elbapi.SetLoadBalancerListenerSSLCertificateInput) (*elbapi.SetLoadBalancerListenerSSLCertificateOutput, error) {
	_, err := s.modify(ctx, in.LoadBalancerName, func(lb *LoadBalancer) error {
		l := lb.listener(api.Val(in.LoadBalancerPort))
		if l == nil {
			return noListener(lb.Name, api.Val(in.LoadBalancerPort))
		}
		if !secure(l.Protocol) {
			return refused("The listener of %s at port %d has protocol %s: only HTTPS and SSL listeners have a certificate", lb.Name, l.Port, l.Protocol)
		}
		if err := s.checkCertificate(ctx, api.Val(in.SSLCertificateId)); err != nil {
			return err
		}
		l.Certificate = api.Val(in.SSLCertificateId)
		return nil
	})
	return &elbapi.SetLoadBalancerListenerSSLCertificateOutput{}, err
}

func noListener(name string, port int32) error {
	return elbapi.ListenerNotFoundException.New("The load balancer %s does not have a listener configured at port %d", name, port)
}
