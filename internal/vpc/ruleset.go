package vpc

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// The filter is one table. Its base chains (input, forward, output) lead to
// filterChain, which every new connection passes: through egressChain, whose map
// knows by the source which rules let it out, and ingressChain, whose map knows
// by the destination which rules let it in. Interfaces with the same groups share
// a chain of rules; a rule that names a group looks into the set of its members'
// addresses. So there are as many rules as different combinations of groups need,
// however many addresses they have.
const (
	filterTable  = "security_groups"
	filterChain  = "filter"
	egressChain  = "egress"
	ingressChain = "ingress"
	egressMap    = "rules-out" // address: verdict
	ingressMap   = "rules-in"
	openSet      = "unfiltered"
	membersSet   = "members-" // and the group's id
)

var hooks = map[string]knftables.BaseChainHook{
	"input":   knftables.InputHook,
	"forward": knftables.ForwardHook,
	"output":  knftables.OutputHook,
}

// ruleset is the content of the table, comparable to another one.
type ruleset struct {
	chains map[string][]rule
	sets   map[string]map[netip.Addr]string // a map's elements have a verdict
}

type rule struct{ text, comment string }

// compile turns a firewall into rules. It is pure.
func compile(f Firewall, cidr netip.Prefix, open []netip.Addr) ruleset {
	const known = "ct state established,related accept"
	r := ruleset{
		chains: map[string][]rule{
			"input": {{text: "iif lo accept"}, {text: "goto " + filterChain}},
			"forward": {
				{text: known}, // the next one costs a look at the routes
				{text: "fib daddr . iif oif exists accept", comment: "back to the interface it comes from"},
				{text: "goto " + filterChain},
			},
			"output": {{text: "oif lo accept"}, {text: "goto " + filterChain}},
			filterChain: {
				{text: known},
				{text: "ip saddr @" + openSet + " accept"},
				{text: "ip daddr @" + openSet + " accept"},
				{text: "jump " + egressChain},
				{text: "goto " + ingressChain},
			},
			egressChain: {
				{text: "ip saddr vmap @" + egressMap},
				{text: "ip saddr " + cidr.String() + " drop", comment: "nobody's address"},
			},
			ingressChain: {
				{text: "ip daddr vmap @" + ingressMap},
				{text: "ip daddr " + cidr.String() + " drop", comment: "nobody's address"},
				{text: "accept", comment: "the outside"},
			},
		},
		sets: map[string]map[netip.Addr]string{
			openSet:    {},
			egressMap:  {services(cidr): "return"},
			ingressMap: {services(cidr): "accept"},
		},
	}
	for _, addr := range open {
		r.sets[openSet][addr] = ""
	}
	groups := map[string]Group{}
	for _, g := range f.Groups {
		groups[g.ID] = g
	}
	for _, i := range f.Interfaces {
		name := combination(i.Groups)
		if len(i.Groups) == 0 {
			continue // as closed as nobody's addresses
		}
		if _, ok := r.chains["out-"+name]; !ok {
			r.addChains(name, i.Groups, groups)
		}
		for _, addr := range i.Addresses {
			r.sets[egressMap][addr] = "goto out-" + name
			r.sets[ingressMap][addr] = "goto in-" + name
		}
	}
	for _, i := range f.Interfaces {
		for _, id := range i.Groups {
			// Only groups that rules name have a set.
			if members := r.sets[membersSet+id]; members != nil {
				for _, addr := range i.Addresses {
					members[addr] = ""
				}
			}
		}
	}
	return r
}

// combination names the chains of interfaces with these groups. A name of all
// ids would be too long for the kernel.
func combination(ids []string) string {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	sum := sha256.Sum256([]byte(strings.Join(ids, " ")))
	return hex.EncodeToString(sum[:8])
}

// addChains makes the two chains with the rules of all of the groups.
func (r ruleset) addChains(name string, ids []string, groups map[string]Group) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		g := groups[id]
		r.allow("in-"+name, g.ID, g.Ingress, "ip saddr ", "accept")
		// It is the destination's turn then.
		r.allow("out-"+name, g.ID, g.Egress, "ip daddr ", "return")
	}
	for _, chain := range []string{"in-" + name, "out-" + name} {
		r.chains[chain] = append(r.chains[chain], rule{text: "drop"})
	}
}

// allow adds rules to a chain, without those that it has already.
func (r ruleset) allow(chain, group string, rules []Rule, peer, verdict string) {
	for _, allowed := range rules {
		if !allowed.Prefix.IsValid() && r.sets[membersSet+allowed.Group] == nil {
			r.sets[membersSet+allowed.Group] = map[netip.Addr]string{}
		}
		text := strings.Join(append(allowed.matches(peer), verdict), " ")
		if !slices.ContainsFunc(r.chains[chain], func(r rule) bool { return r.text == text }) {
			r.chains[chain] = append(r.chains[chain], rule{text, group})
		}
	}
}

// matches are the rule's conditions; peer is the address that its peers are
// compared with. Fragments come whole: connection tracking puts them together.
func (r Rule) matches(peer string) []string {
	var m []string
	if !r.Prefix.IsValid() {
		m = append(m, peer+"@"+membersSet+r.Group)
	} else if r.Prefix.Bits() > 0 {
		m = append(m, peer+r.Prefix.Masked().String())
	}
	switch protocol := fmt.Sprint("ip protocol ", r.Protocol); {
	case r.Protocol == AnyProtocol:
	case r.Protocol == TCP && (r.From > 0 || r.To < 65535):
		m = append(m, fmt.Sprintf("tcp dport %d-%d", r.From, r.To))
	case r.Protocol == UDP && (r.From > 0 || r.To < 65535):
		m = append(m, fmt.Sprintf("udp dport %d-%d", r.From, r.To))
	case r.Protocol == ICMP && r.From >= 0:
		m = append(m, fmt.Sprint("icmp type ", r.From))
		if r.To >= 0 {
			m = append(m, fmt.Sprint("icmp code ", r.To))
		}
	default:
		m = append(m, protocol)
	}
	return m
}

// named is a ruleset of which only the objects' names are known, by type.
func named(objects map[string][]string) ruleset {
	r := ruleset{chains: map[string][]rule{}, sets: map[string]map[netip.Addr]string{}}
	for _, name := range objects["chain"] {
		r.chains[name] = nil
	}
	for _, name := range slices.Concat(objects["set"], objects["map"]) {
		r.sets[name] = nil
	}
	return r
}

// owns reports whether every address that had an interface before has one.
func (r ruleset) owns(before ruleset) bool {
	for addr := range before.sets[egressMap] {
		if _, ok := r.sets[egressMap][addr]; !ok {
			return false
		}
	}
	return true
}

// replace adds to the transaction what makes this ruleset of the old one, whose
// content may be unknown. Nothing is added if they are the same.
func (r ruleset) replace(tx *knftables.Transaction, old ruleset, unknown bool) {
	r.addObjects(tx, old, unknown)
	// First the rules go that use what changes, then they come again.
	changed := func(name string) bool {
		before, ok := old.chains[name]
		return !ok || unknown || !slices.Equal(before, r.chains[name])
	}
	for _, name := range sorted(old.chains) {
		if changed(name) {
			tx.Flush(&knftables.Chain{Name: name})
		}
	}
	for _, name := range sorted(old.sets) {
		if unknown {
			tx.Flush(set(name))
		}
		for _, addr := range addresses(old.sets[name]) {
			if verdict, ok := r.sets[name][addr]; r.sets[name] != nil && (!ok || verdict != old.sets[name][addr]) {
				tx.Delete(element(name, addr, old.sets[name][addr]))
			}
		}
	}
	for _, name := range sorted(r.sets) {
		for _, addr := range addresses(r.sets[name]) {
			if verdict, ok := old.sets[name][addr]; !ok || verdict != r.sets[name][addr] {
				tx.Add(element(name, addr, r.sets[name][addr]))
			}
		}
	}
	for _, name := range sorted(r.chains) {
		for _, rule := range r.chains[name] {
			if changed(name) {
				tx.Add(&knftables.Rule{Chain: name, Rule: rule.text, Comment: optional(rule.comment)})
			}
		}
	}
	for _, name := range sorted(old.chains) {
		if _, ok := r.chains[name]; !ok {
			tx.Delete(&knftables.Chain{Name: name})
		}
	}
	for _, name := range sorted(old.sets) {
		if _, ok := r.sets[name]; !ok {
			tx.Delete(set(name))
		}
	}
}

// addObjects adds the table, and the chains and sets that the old ruleset lacks.
func (r ruleset) addObjects(tx *knftables.Transaction, old ruleset, unknown bool) {
	if unknown {
		tx.Add(&knftables.Table{})
	}
	for _, name := range sorted(r.chains) {
		if _, ok := old.chains[name]; ok {
			continue
		}
		chain := &knftables.Chain{Name: name}
		if hook, ok := hooks[name]; ok {
			// They exist for good and accept: a chain whose rules are being
			// replaced is never seen without them.
			chain.Type = knftables.PtrTo(knftables.FilterType)
			chain.Hook, chain.Priority = &hook, knftables.PtrTo(knftables.FilterPriority)
		}
		tx.Add(chain)
	}
	for _, name := range sorted(r.sets) {
		if _, ok := old.sets[name]; !ok {
			tx.Add(set(name))
		}
	}
}

func isMap(name string) bool { return name == egressMap || name == ingressMap }

func set(name string) knftables.Object {
	if isMap(name) {
		return &knftables.Map{Name: name, Type: "ipv4_addr : verdict"}
	}
	return &knftables.Set{Name: name, Type: "ipv4_addr"}
}

func element(name string, addr netip.Addr, verdict string) *knftables.Element {
	if isMap(name) {
		return &knftables.Element{Map: name, Key: []string{addr.String()}, Value: []string{verdict}}
	}
	return &knftables.Element{Set: name, Key: []string{addr.String()}}
}

func optional(comment string) *string {
	if comment == "" {
		return nil
	}
	return &comment
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func addresses(m map[netip.Addr]string) []netip.Addr {
	return slices.SortedFunc(maps.Keys(m), netip.Addr.Compare)
}
