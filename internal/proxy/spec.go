package proxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// check says what cannot be run.
func (b *Balancer) check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	ports := map[int]bool{}
	portless := map[string]int{} // listeners, by their groups, that leave the port to the backends
	for i := range b.Listeners {
		l := &b.Listeners[i]
		least := 1
		if l.Group != "" {
			if least = 0; l.BackendPort == 0 {
				portless[l.Group] = l.Port
			}
			if _, ok := b.Groups[l.Group]; !ok {
				fail("listener %d: there is no target group %q", l.Port, l.Group)
			}
		}
		switch {
		case l.Port < 1 || l.Port > 65535 || l.BackendPort < least || l.BackendPort > 65535:
			fail("listener %d to %d: ports are from 1 to 65535", l.Port, l.BackendPort)
		case ports[l.Port]:
			fail("listener %d: there are two", l.Port)
		case !l.Protocol.known() || !l.BackendProtocol.known():
			fail("listener %d: %q to %q: protocols are HTTP, HTTPS, TCP and SSL", l.Port, l.Protocol, l.BackendProtocol)
		case l.Protocol.Web() != l.BackendProtocol.Web():
			fail("listener %d: %s cannot be forwarded as %s", l.Port, l.Protocol, l.BackendProtocol)
		case l.Protocol.Secure() && l.Certificate == nil:
			fail("listener %d: %s needs a certificate", l.Port, l.Protocol)
		case l.Sticky != nil && !l.Protocol.Web():
			fail("listener %d: stickiness needs HTTP or HTTPS", l.Port)
		}
		ports[l.Port] = true
	}
	keys := map[string]bool{}
	own := len(b.Groups) == 0 && !b.Application // whether its own health check is needed
	for i := range b.Backends {
		k := &b.Backends[i]
		own = own || k.Group == ""
		if !k.Address.IsValid() {
			fail("backend %s has no address", k.name())
		}
		if keys[k.key()] {
			fail("backend %s: there are two", k.name())
		}
		keys[k.key()] = true
		if err := b.checkPort(k, portless); err != nil {
			fail("backend %s: %w", k.name(), err)
		}
	}
	if own {
		if err := b.HealthCheck.check(1); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.Groups)) {
		if name == "" {
			fail("a target group has no id")
		}
		g := b.Groups[name]
		if err := g.HealthCheck.check(0); err != nil {
			fail("target group %s: %w", name, err)
		}
	}
	switch b.DesyncMitigation {
	case "", Monitor, Defensive, Strictest:
	default:
		fail("desync mitigation mode %q: modes are monitor, defensive and strictest", b.DesyncMitigation)
	}
	return errors.Join(errs...)
}

// checkPort says why a backend has no port, or no settings, to be reached by.
func (b *Balancer) checkPort(k *Backend, portless map[string]int) error {
	if k.Port < 0 || k.Port > 65535 {
		return fmt.Errorf("port %d: ports are from 1 to 65535", k.Port)
	}
	if k.Group == "" {
		return nil
	}
	g, ok := b.Groups[k.Group]
	switch {
	case !ok:
		return fmt.Errorf("there is no target group %q", k.Group)
	case k.Port != 0:
		return nil
	case g.HealthCheck.Port == 0:
		return fmt.Errorf("it needs a port, as the health check of its target group has none")
	}
	if l, ok := portless[k.Group]; ok {
		return fmt.Errorf("it needs a port, as listener %d has none for backends", l)
	}
	return nil
}

// check says what cannot be run; ports are from least on.
func (h *HealthCheck) check(least int) error {
	if !h.Protocol.known() || h.Port < least || h.Port > 65535 || h.Interval <= 0 || h.Timeout <= 0 {
		return fmt.Errorf("health check %s:%d every %s within %s: protocol, port, interval and timeout are needed", h.Protocol, h.Port, h.Interval, h.Timeout)
	}
	return nil
}

// name is a backend's in errors.
func (s *Backend) name() string {
	switch {
	case s.Group != "" && s.Port != 0:
		return fmt.Sprintf("%s:%d in target group %s", s.ID, s.Port, s.Group)
	case s.Group != "":
		return fmt.Sprintf("%s in target group %s", s.ID, s.Group)
	case s.Port != 0:
		return fmt.Sprintf("%s:%d", s.ID, s.Port)
	}
	return s.ID
}

func (p Protocol) known() bool { return p.Web() || p == TCP || p == SSL }
