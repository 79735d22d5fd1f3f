package vpc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/knftables"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func addrs(list ...string) []netip.Addr {
	var a []netip.Addr
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

var world = prefix("0.0.0.0/0")

func TestRuleBecomesConditions(t *testing.T) {
	for want, r := range map[string]Rule{
		"":                       {Protocol: AnyProtocol, Prefix: world},
		"ip saddr 10.1.0.0/16":   {Protocol: AnyProtocol, Prefix: prefix("10.1.2.3/16")},
		"ip saddr @members-sg-1": {Protocol: AnyProtocol, Group: "sg-1"},
		"tcp dport 80-80":        {Protocol: TCP, From: 80, To: 80, Prefix: world},
		"tcp dport 0-1":          {Protocol: TCP, From: 0, To: 1, Prefix: world},
		"ip protocol 6":          {Protocol: TCP, From: 0, To: 65535, Prefix: world},
		"ip saddr @members-sg-1 udp dport 1-65535": {Protocol: UDP, From: 1, To: 65535, Group: "sg-1"},
		"ip protocol 17":          {Protocol: UDP, From: 0, To: 65535, Prefix: world},
		"ip protocol 1":           {Protocol: ICMP, From: -1, To: -1, Prefix: world},
		"icmp type 8":             {Protocol: ICMP, From: 8, To: -1, Prefix: world},
		"icmp type 3 icmp code 4": {Protocol: ICMP, From: 3, To: 4, Prefix: world},
		"icmp type 0 icmp code 0": {Protocol: ICMP, Prefix: world},
		"ip protocol 50":          {Protocol: 50, From: 80, To: 80, Prefix: world},
		"ip protocol 0":           {Protocol: 0, Prefix: world},
	} {
		if got := strings.Join(r.matches("ip saddr "), " "); got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
}

// The whole table for a small firewall, as nft is told.
func TestCompile(t *testing.T) {
	f := Firewall{
		Groups: []Group{
			{ID: "sg-web", Ingress: []Rule{
				{Protocol: TCP, From: 80, To: 80, Prefix: world},
				{Protocol: AnyProtocol, Group: "sg-web"}, // itself
			}, Egress: []Rule{{Protocol: AnyProtocol, Prefix: world}}},
			{ID: "sg-ping", Ingress: []Rule{
				{Protocol: ICMP, From: 8, To: -1, Group: "sg-gone"},
				{Protocol: TCP, From: 80, To: 80, Prefix: world}, // as sg-web's
			}},
			{ID: "sg-unused", Ingress: []Rule{{Protocol: UDP, From: 5, To: 5, Group: "sg-ping"}}},
		},
		Interfaces: []Interface{
			{"eni-1", addrs("192.168.0.10", "192.168.0.11"), []string{"sg-web", "sg-ping"}},
			{"eni-2", addrs("192.168.0.20"), []string{"sg-ping", "sg-web", "sg-ping"}},
			{"eni-3", addrs("192.168.0.30"), []string{"sg-web"}},
			{"eni-4", addrs("192.168.0.40"), nil},
		},
	}
	nft := knftables.NewFake(knftables.IPv4Family, filterTable)
	tx := nft.NewTransaction()
	compile(f, testCIDR, addrs("169.254.169.254", "192.168.0.1")).replace(tx, ruleset{}, true)
	if err := nft.Run(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	both, web := combination([]string{"sg-ping", "sg-web"}), combination([]string{"sg-web"})
	want := strings.NewReplacer("BOTH", both, "WEB", web).Replace(`
add table ip security_groups
add chain ip security_groups egress
add chain ip security_groups filter
add chain ip security_groups forward { type filter hook forward priority 0 ; }
add chain ip security_groups in-BOTH
add chain ip security_groups in-WEB
add chain ip security_groups ingress
add chain ip security_groups input { type filter hook input priority 0 ; }
add chain ip security_groups out-BOTH
add chain ip security_groups out-WEB
add chain ip security_groups output { type filter hook output priority 0 ; }
add set ip security_groups members-sg-gone { type ipv4_addr ; }
add set ip security_groups members-sg-web { type ipv4_addr ; }
add set ip security_groups unfiltered { type ipv4_addr ; }
add map ip security_groups rules-in { type ipv4_addr : verdict ; }
add map ip security_groups rules-out { type ipv4_addr : verdict ; }
add rule ip security_groups egress ip saddr vmap @rules-out
add rule ip security_groups egress ip saddr 192.168.0.0/16 drop comment "nobody's address"
add rule ip security_groups filter ct state established,related accept
add rule ip security_groups filter ip saddr @unfiltered accept
add rule ip security_groups filter ip daddr @unfiltered accept
add rule ip security_groups filter jump egress
add rule ip security_groups filter goto ingress
add rule ip security_groups forward ct state established,related accept
add rule ip security_groups forward fib daddr . iif oif exists accept comment "back to the interface it comes from"
add rule ip security_groups forward goto filter
add rule ip security_groups in-BOTH ip saddr @members-sg-gone icmp type 8 accept comment "sg-ping"
add rule ip security_groups in-BOTH tcp dport 80-80 accept comment "sg-ping"
add rule ip security_groups in-BOTH ip saddr @members-sg-web accept comment "sg-web"
add rule ip security_groups in-BOTH drop
add rule ip security_groups in-WEB tcp dport 80-80 accept comment "sg-web"
add rule ip security_groups in-WEB ip saddr @members-sg-web accept comment "sg-web"
add rule ip security_groups in-WEB drop
add rule ip security_groups ingress ip daddr vmap @rules-in
add rule ip security_groups ingress ip daddr 192.168.0.0/16 drop comment "nobody's address"
add rule ip security_groups ingress accept comment "the outside"
add rule ip security_groups input iif lo accept
add rule ip security_groups input goto filter
add rule ip security_groups out-BOTH return comment "sg-web"
add rule ip security_groups out-BOTH drop
add rule ip security_groups out-WEB return comment "sg-web"
add rule ip security_groups out-WEB drop
add rule ip security_groups output oif lo accept
add rule ip security_groups output goto filter
add element ip security_groups members-sg-web { 192.168.0.10 }
add element ip security_groups members-sg-web { 192.168.0.11 }
add element ip security_groups members-sg-web { 192.168.0.20 }
add element ip security_groups members-sg-web { 192.168.0.30 }
add element ip security_groups unfiltered { 169.254.169.254 }
add element ip security_groups unfiltered { 192.168.0.1 }
add element ip security_groups rules-in { 192.168.0.10 : goto in-BOTH }
add element ip security_groups rules-in { 192.168.0.11 : goto in-BOTH }
add element ip security_groups rules-in { 192.168.0.20 : goto in-BOTH }
add element ip security_groups rules-in { 192.168.0.3 : accept }
add element ip security_groups rules-in { 192.168.0.30 : goto in-WEB }
add element ip security_groups rules-out { 192.168.0.10 : goto out-BOTH }
add element ip security_groups rules-out { 192.168.0.11 : goto out-BOTH }
add element ip security_groups rules-out { 192.168.0.20 : goto out-BOTH }
add element ip security_groups rules-out { 192.168.0.3 : return }
add element ip security_groups rules-out { 192.168.0.30 : goto out-WEB }
`)
	compare(t, "the table", nft.Dump(), want)
}

func compare(t *testing.T, what, got, want string) {
	t.Helper()
	if got, want = ordered(got), ordered(want); got != want {
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

// ordered sorts a dump's elements, which come last and have no order.
func ordered(dump string) string {
	lines := strings.Split(strings.TrimSpace(dump), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "add element") }); i >= 0 {
		slices.Sort(lines[i:])
	}
	return strings.Join(lines, "\n")
}

// randomFirewall uses few names, so that firewalls overlap.
func randomFirewall(r *rand.Rand) Firewall {
	var f Firewall
	rules := func() []Rule {
		var rules []Rule
		for range r.IntN(4) {
			rule := Rule{Protocol: TCP, From: r.IntN(3), To: 3 + r.IntN(3), Group: fmt.Sprint("sg-", r.IntN(6))}
			if r.IntN(2) == 0 {
				rule.Prefix = prefix(fmt.Sprintf("10.%d.0.0/16", r.IntN(4)))
			}
			rules = append(rules, rule)
		}
		return rules
	}
	for i := range 4 {
		f.Groups = append(f.Groups, Group{fmt.Sprint("sg-", i), rules(), rules()})
	}
	for i := range r.IntN(6) {
		eni := Interface{ID: fmt.Sprint("eni-", i)}
		for j := range r.IntN(4) {
			eni.Addresses = append(eni.Addresses, netip.AddrFrom4([4]byte{192, 168, byte(1 + i), byte(j)}))
		}
		for range r.IntN(3) {
			eni.Groups = append(eni.Groups, f.Groups[r.IntN(4)].ID)
		}
		f.Interfaces = append(f.Interfaces, eni)
	}
	return f
}

// A firewall that replaces another one step by step ends as one that is made
// anew, also where the former one's content is unknown.
func TestReplaceEndsTheSame(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		nft := knftables.NewFake(knftables.IPv4Family, filterTable)
		var old ruleset
		for step := range 8 {
			next := compile(randomFirewall(random), testCIDR, addrs("169.254.169.254"))
			unknown := step == 0
			if step == 4 {
				unknown = true
				objects, err := nft.ListAll(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				old = named(objects)
			}
			tx := nft.NewTransaction()
			next.replace(tx, old, unknown)
			if err := nft.Run(t.Context(), tx); err != nil {
				t.Fatalf("seed %d: %v in\n%s", seed, err, tx)
			}
			fresh := knftables.NewFake(knftables.IPv4Family, filterTable)
			tx = fresh.NewTransaction()
			next.replace(tx, ruleset{}, true)
			if err := fresh.Run(t.Context(), tx); err != nil {
				t.Fatal(err)
			}
			compare(t, fmt.Sprintf("seed %d, step %d", seed, step), nft.Dump(), fresh.Dump())
			tx = nft.NewTransaction()
			if next.replace(tx, next, false); tx.NumOperations() > 0 {
				t.Errorf("seed %d: nothing has changed, but\n%s", seed, tx)
			}
			old = next
		}
	}
}

func TestFirewallIsChecked(t *testing.T) {
	all := []Rule{{Protocol: AnyProtocol, Prefix: world}}
	with := func(r Rule) Firewall {
		return Firewall{Groups: []Group{{ID: "sg-1"}, {ID: "sg-2", Egress: append(all, r)}}}
	}
	owners := func(i ...Interface) Firewall { return Firewall{Groups: []Group{{ID: "sg-1"}}, Interfaces: i} }
	for _, tt := range []struct {
		name string
		f    Firewall
		want string // of the error, or none
	}{
		{"empty", Firewall{}, ""},
		{"good", owners(Interface{"eni-1", addrs("192.168.0.10"), []string{"sg-1"}}), ""},
		{"stale reference", with(Rule{Protocol: AnyProtocol, Group: "sg-gone"}), ""},
		{"foreign address", owners(Interface{ID: "eni-1", Addresses: addrs("10.0.0.1")}), `interface "eni-1": address 10.0.0.1 is not in the VPC's block`},
		{"two owners", owners(Interface{ID: "eni-1", Addresses: addrs("192.168.9.9")}, Interface{ID: "eni-2", Addresses: addrs("192.168.9.9")}), `interface "eni-2": address 192.168.9.9 is also that of "eni-1"`},
		{"the resolver's", owners(Interface{ID: "eni-1", Addresses: addrs("192.168.0.2")}), `is the VPC's own`},
		{"the services'", owners(Interface{ID: "eni-1", Addresses: addrs("192.168.0.3")}), `is the VPC's own`},
		{"no such group", owners(Interface{ID: "eni-1", Groups: []string{"sg-2"}}), `interface "eni-1": there is no group "sg-2"`},
		{"group twice", Firewall{Groups: []Group{{ID: "sg-1"}, {ID: "sg-1"}}}, `group "sg-1": it is there twice`},
		{"id", Firewall{Groups: []Group{{ID: "sg 1; flush ruleset"}}}, `group "sg 1; flush ruleset": the id`},
		{"reference", with(Rule{Protocol: AnyProtocol, Group: "x }"}), `group "sg-2": rule`},
		{"no peer", with(Rule{Protocol: AnyProtocol}), `it has no prefix`},
		{"IPv6", with(Rule{Protocol: AnyProtocol, Prefix: prefix("::/0")}), "only IPv4"},
		{"protocol", with(Rule{Protocol: 256, Prefix: world}), "not a number up to 255"},
		{"ports", with(Rule{Protocol: TCP, From: 90, To: 80, Prefix: world}), "not a range"},
		{"high port", with(Rule{Protocol: UDP, From: 90, To: 65536, Prefix: world}), "not a range"},
		{"type", with(Rule{Protocol: ICMP, From: 256, Prefix: world}), "type and code"},
	} {
		err := tt.f.check(testCIDR, addrs("192.168.0.2", "192.168.0.3"))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
