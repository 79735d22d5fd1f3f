package vpc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/knftables"

	"github.com/tarn-eks/tarn/internal/subnet"
)

// Firewall is what may flow in a VPC: a stateful filter with the semantics of
// EC2's security groups. It is never modified once it was given to SetFirewall.
//
// Rules only allow. A new connection passes if the egress rules of the interface
// that has its source let it out and the ingress rules of the one that has its
// destination let it in; the rest of it, and the ICMP errors about it, pass with
// it. What does not pass vanishes.
//
//   - The metadata service, the resolver (both of its addresses) and the subnets'
//     routers are never filtered.
//   - An address of the VPC that no interface has is closed: nothing comes from
//     it or goes to it. So is that of an instance until a Firewall names it.
//   - Base plus three, where the region's services listen, and addresses that are
//     not in the VPC are the outside: rules of the interfaces that talk to them
//     apply, they have none themselves.
//   - Between addresses of one interface, and between those of the router itself,
//     which need no wire, everything passes.
//
// A connection that was allowed when it began goes on when the rules change, as
// tracked connections do on AWS. It is forgotten when one of its ends loses its
// interface, or by the kernel's timeouts, which are AWS's: five days for idle
// TCP, three minutes for UDP.
type Firewall struct {
	Groups     []Group
	Interfaces []Interface
}

// Group is a set of rules, and of the interfaces that have them.
type Group struct {
	ID              string // of letters, digits and dashes
	Ingress, Egress []Rule
}

// Interface is who owns addresses of the VPC: an ENI.
type Interface struct {
	ID        string
	Addresses []netip.Addr
	Groups    []string // the union of their rules counts; none: nothing passes
}

// Protocols whose rules look further than their number.
const (
	AnyProtocol = -1
	ICMP        = 1
	TCP         = 6
	UDP         = 17
)

// Rule allows traffic with peers: those in Prefix, or if that is not valid the
// addresses of all interfaces that are in Group. A group that has none matches
// nobody.
type Rule struct {
	Protocol int // IP protocol number, or AnyProtocol
	// From and To are the first and the last port of TCP and UDP, or type and
	// code of ICMP, of which -1 is any. Other protocols have none.
	From, To int
	Prefix   netip.Prefix
	Group    string
}

// filter is the state of the VPC's packet filter.
type filter struct {
	nft knftables.Interface

	mu sync.Mutex // guards the fields below, and one change at a time
	// rules are those in the kernel. After a start they are known by name only;
	// firewall is nil then.
	rules    ruleset
	firewall *Firewall
}

// SetFirewall replaces the VPC's firewall, in one step for every packet. If it
// cannot, the error says why and the former one stays. One that is equal to the
// last costs nothing.
//
// A VPC starts with the zero Firewall. Opening one that is there keeps what it
// has in the kernel.
func (v *VPC) SetFirewall(f Firewall) error {
	v.filter.mu.Lock()
	defer v.filter.mu.Unlock()
	if v.filter.firewall != nil && reflect.DeepEqual(*v.filter.firewall, f) {
		return nil
	}
	if err := f.check(v.cfg.CIDR, v.keeps()); err != nil {
		return fmt.Errorf("set the VPC's firewall: %w", err)
	}
	before, first := v.filter.rules, v.filter.firewall == nil
	if err := v.filterBy(f); err != nil {
		return err
	}
	if first || !v.filter.rules.owns(before) {
		// Best effort: what stays is bounded and times out.
		if err := v.forgetFlows(); err != nil {
			v.log.Warn("connections of interfaces that are gone stay known for a while", "error", err)
		}
	}
	return nil
}

// filterBy is SetFirewall for one that was checked. v.filter.mu is held.
func (v *VPC) filterBy(f Firewall) error {
	next := compile(f, v.cfg.CIDR, v.fixed())
	tx := v.filter.nft.NewTransaction()
	next.replace(tx, v.filter.rules, v.filter.firewall == nil)
	if tx.NumOperations() > 0 {
		err := v.net.Do(func() error { return v.filter.nft.Run(context.Background(), tx) })
		if err != nil {
			return fmt.Errorf("set the VPC's firewall: %w", err)
		}
	}
	v.filter.rules, v.filter.firewall = next, &f
	return nil
}

// refilter makes the rules follow what the VPC keeps for itself. After a start
// the first SetFirewall does that.
func (v *VPC) refilter() error {
	v.filter.mu.Lock()
	defer v.filter.mu.Unlock()
	if v.filter.firewall == nil {
		return nil
	}
	return v.filterBy(*v.filter.firewall)
}

// openFilter finds the filter that is there, or makes one that is closed.
func (v *VPC) openFilter() error {
	v.filter.mu.Lock()
	defer v.filter.mu.Unlock()
	var objects map[string][]string
	err := v.net.Do(func() (err error) {
		if v.filter.nft, err = knftables.New(knftables.IPv4Family, filterTable); err != nil {
			return err
		}
		objects, err = v.filter.nft.ListAll(context.Background())
		if knftables.IsNotFound(err) {
			err = nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("open the VPC's firewall: %w", err)
	}
	v.filter.rules = named(objects)
	if len(v.filter.rules.chains) == 0 {
		err = v.filterBy(Firewall{})
	}
	if err == nil {
		err = v.net.Do(conntrackSysctls) // there since a rule needs connections
	}
	return err
}

// keeps lists the addresses that no interface may have.
func (v *VPC) keeps() []netip.Addr { return append(v.fixed(), services(v.cfg.CIDR)) }

// services is the address that AWS keeps in each VPC for the future, and where
// the region's own services listen.
func services(cidr netip.Prefix) netip.Addr { return subnet.Nth(cidr, 3) }

// check says what is wrong, and with which interface or group.
func (f Firewall) check(cidr netip.Prefix, kept []netip.Addr) error {
	var errs []error
	groups := map[string]bool{}
	for _, g := range f.Groups {
		if err := g.check(); err != nil {
			errs = append(errs, fmt.Errorf("group %q: %w", g.ID, err))
		}
		if groups[g.ID] {
			errs = append(errs, fmt.Errorf("group %q: it is there twice", g.ID))
		}
		groups[g.ID] = true
	}
	owners := map[netip.Addr]string{}
	for _, i := range f.Interfaces {
		for _, id := range i.Groups {
			if !groups[id] {
				errs = append(errs, fmt.Errorf("interface %q: there is no group %q", i.ID, id))
			}
		}
		for _, addr := range i.Addresses {
			owner, taken := owners[addr]
			switch {
			case !cidr.Contains(addr):
				errs = append(errs, fmt.Errorf("interface %q: address %s is not in the VPC's block %s", i.ID, addr, cidr))
			case slices.Contains(kept, addr):
				errs = append(errs, fmt.Errorf("interface %q: address %s is the VPC's own", i.ID, addr))
			case taken:
				errs = append(errs, fmt.Errorf("interface %q: address %s is also that of %q", i.ID, addr, owner))
			}
			owners[addr] = i.ID
		}
	}
	return errors.Join(errs...)
}

func (g Group) check() error {
	if err := checkID(g.ID); err != nil {
		return err
	}
	for _, rule := range slices.Concat(g.Ingress, g.Egress) {
		if err := rule.check(); err != nil {
			return fmt.Errorf("rule %+v: %w", rule, err)
		}
	}
	return nil
}

func (r Rule) check() error {
	if !r.Prefix.IsValid() {
		if err := checkID(r.Group); err != nil {
			return fmt.Errorf("it has no prefix, and as its group: %w", err)
		}
	} else if !r.Prefix.Addr().Is4() {
		return fmt.Errorf("the VPC has only IPv4, %s is not", r.Prefix)
	}
	within := func(n, low, high int) bool { return low <= n && n <= high }
	switch {
	case !within(r.Protocol, AnyProtocol, 255):
		return errors.New("the protocol is not a number up to 255")
	case r.Protocol == TCP || r.Protocol == UDP:
		if !within(r.From, 0, 65535) || !within(r.To, r.From, 65535) {
			return errors.New("the ports are not a range within 0 to 65535")
		}
	case r.Protocol == ICMP:
		if !within(r.From, -1, 255) || !within(r.To, -1, 255) {
			return errors.New("type and code are not -1 to 255")
		}
	}
	return nil
}

// checkID refuses what cannot be a part of names and links.
func checkID(id string) error {
	if id == "" || len(id) > 100 || strings.ContainsFunc(id, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) {
		return fmt.Errorf("the id %q is not made of up to 100 letters, digits and dashes", id)
	}
	return nil
}
