package vpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"sigs.k8s.io/knftables"

	"github.com/tarn-eks/tarn/internal/namespace"
)

// townhouse is a VPC with a client, a server, one that has no permission, and an
// address of the router, as a control plane has it.
type townhouse struct {
	*lab
	client, server, other namespace.Set
	f                     Firewall
}

const (
	clientAddr  = "192.168.0.10"
	podAddr     = "192.168.0.11" // of the client's interface
	strayAddr   = "192.168.0.12" // too
	serverAddr  = "192.168.64.20"
	otherAddr   = "192.168.0.30"
	controlAddr = "192.168.32.40"
)

func newTownhouse(t *testing.T) *townhouse {
	l := newLab(t)
	h := &townhouse{
		lab:    l,
		client: l.closedInstance(l.eni(1, 0, 10, 11, 12)),
		server: l.closedInstance(l.eni(2, 2, 20)),
		other:  l.closedInstance(l.eni(3, 0, 30)),
	}
	control := netip.MustParseAddr(controlAddr)
	if err := l.AddAddress(control); err != nil {
		t.Fatal(err)
	}
	if err := l.AddAddress(netip.MustParseAddr("192.168.0.3")); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{":80", ":81", ":8080"} {
		serve(t, h.server, serverAddr+port)
		serve(t, h.client, clientAddr+port)
		serve(t, l, controlAddr+port)
	}
	serve(t, l, "192.168.0.3:80")
	serve(t, l, "169.254.169.254:80")
	serve(t, l, "169.254.169.253:53")
	serve(t, l, "192.168.0.2:53")
	anything := Rule{Protocol: AnyProtocol, Prefix: world}
	h.f = Firewall{
		Groups: []Group{
			{ID: "sg-client", Egress: []Rule{anything}},
			{ID: "sg-server", Ingress: []Rule{
				{Protocol: TCP, From: 80, To: 80, Group: "sg-client"},
				{Protocol: TCP, From: 85, To: 85, Group: "sg-client"},
				{Protocol: UDP, From: 81, To: 90, Prefix: prefix("192.168.0.0/28")}, // .10 and .11, not .30
				{Protocol: ICMP, From: 8, To: 0, Group: "sg-client"},
			}},
			{ID: "sg-more", Ingress: []Rule{{Protocol: TCP, From: 8080, To: 8080, Group: "sg-client"}}},
			{ID: "sg-other", Egress: []Rule{{Protocol: TCP, From: 80, To: 80, Prefix: world}}},
			{ID: "sg-control", Ingress: []Rule{{Protocol: TCP, From: 80, To: 80, Group: "sg-client"}}, Egress: []Rule{
				{Protocol: TCP, From: 80, To: 8080, Group: "sg-server"},
			}},
		},
		Interfaces: []Interface{
			{"eni-1", addrs(clientAddr, podAddr, strayAddr), []string{"sg-client"}},
			{"eni-2", addrs(serverAddr), []string{"sg-server", "sg-more"}},
			{"eni-3", addrs(otherAddr), []string{"sg-other"}},
			{"eni-4", addrs(controlAddr), []string{"sg-control"}},
		},
	}
	return h
}

func TestFirewallLetsInAndOut(t *testing.T) {
	h := newTownhouse(t)
	h.set(h.f)
	pod := h.pod(h.client, "pod", netip.MustParseAddr(podAddr))
	checkFlows(t, map[string]flow{
		"port and group":                  {h.client, "", "tcp", serverAddr + ":80", true},
		"a pod is in its node's group":    {pod, "", "tcp", serverAddr + ":80", true},
		"the union of groups":             {h.client, "", "tcp", serverAddr + ":8080", true},
		"another port":                    {h.client, "", "tcp", serverAddr + ":81", false},
		"another group":                   {h.other, "", "tcp", serverAddr + ":80", false},
		"range and prefix":                {h.client, "", "udp", serverAddr + ":81", true},
		"not of that protocol":            {h.client, "", "udp", serverAddr + ":80", false},
		"prefix, but no egress":           {h.other, "", "udp", serverAddr + ":81", false},
		"echo":                            {h.client, "", "icmp", serverAddr, true},
		"echo of another group":           {h.other, "", "icmp", serverAddr, false},
		"no way back for new connections": {h.server, "", "tcp", clientAddr + ":80", false},
		"no echo back either":             {h.server, "", "icmp", clientAddr, false},
		"to the router's own address":     {h.client, "", "tcp", controlAddr + ":80", true},
		"another port there":              {h.client, "", "tcp", controlAddr + ":81", false},
		"another group there":             {h.other, "", "tcp", controlAddr + ":80", false},
		"from the router's own address":   {h, controlAddr, "tcp", serverAddr + ":80", false}, // no ingress
		"egress there":                    {h, controlAddr, "tcp", clientAddr + ":80", false},
		"router: itself":                  {h, controlAddr, "tcp", controlAddr + ":81", true},
		"router: its other address":       {h, "192.168.0.3", "tcp", controlAddr + ":81", true},
		"a subnet's router":               {h, "", "tcp", serverAddr + ":81", true},
		"the outside, with egress":        {h.client, "", "tcp", "192.168.0.3:80", true},
		"the outside, with that egress":   {h.other, "", "tcp", "192.168.0.3:80", true},
		"the outside, without":            {h.server, "", "tcp", "192.168.0.3:80", false},
		"the outside, another protocol":   {h.other, "", "udp", "192.168.0.3:80", false},
		"metadata":                        {h.server, "", "tcp", "169.254.169.254:80", true},
		"DNS":                             {h.server, "", "udp", "192.168.0.2:53", true},
		"DNS by TCP":                      {h.server, "", "tcp", "192.168.0.2:53", true},
		"the other DNS":                   {h.server, "", "udp", "169.254.169.253:53", true},
		"the gateway":                     {h.server, "", "icmp", "192.168.64.1", true},
		"pod to its node":                 {pod, "", "tcp", clientAddr + ":81", true},
	})
	// The control plane's group may enter now.
	f := h.f
	f.Groups = slices.Clone(f.Groups)
	f.Groups[1].Ingress = append(slices.Clone(f.Groups[1].Ingress), Rule{Protocol: TCP, From: 80, To: 80, Group: "sg-control"})
	h.set(f)
	checkFlow(t, "from the router's own address", flow{h, controlAddr, "tcp", serverAddr + ":80", true})
}

func TestFirewallStartsClosed(t *testing.T) {
	h := newTownhouse(t)
	checkFlows(t, map[string]flow{
		"neighbours":         {h.client, "", "tcp", serverAddr + ":80", false},
		"a router's address": {h.client, "", "tcp", controlAddr + ":80", false},
		"from there":         {h, controlAddr, "tcp", clientAddr + ":80", false},
		"the outside":        {h.client, "", "tcp", "192.168.0.3:80", false},
		"metadata":           {h.client, "", "tcp", "169.254.169.254:80", true},
		"DNS":                {h.client, "", "udp", "192.168.0.2:53", true},
		"the router":         {h, "", "tcp", clientAddr + ":80", true},
		"oneself":            {h.client, "", "tcp", clientAddr + ":80", true},
	})
	if out, err := exec.Command("nft", "list", "tables").Output(); err != nil || strings.Contains(string(out), filterTable) {
		t.Errorf("the host's tables: %s, %v", out, err)
	}
	// A SYN that was dropped before the firewall names the interfaces is sent
	// again: nobody who was early fails.
	result := make(chan error, 1)
	go func() {
		conn, err := connect(h.client, "", controlAddr+":80", 10*time.Second)
		if err == nil {
			conn.Close()
		}
		result <- err
	}()
	h.set(h.f)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// Nothing is filtered between a node and its pods, nor where a packet for an
// address of the same interface is sent by way of the router.
func TestFirewallLeavesAnInterfaceAlone(t *testing.T) {
	h := newTownhouse(t)
	f := Firewall{Groups: []Group{{ID: "sg-closed"}}}
	f.Interfaces = []Interface{{"eni-1", addrs(clientAddr, podAddr, strayAddr), []string{"sg-closed"}}}
	h.set(f)
	pod := h.pod(h.client, "pod", netip.MustParseAddr(podAddr))
	serve(t, pod, podAddr+":80")
	checkFlows(t, map[string]flow{
		"node to pod": {h.client, "", "tcp", podAddr + ":80", true},
		"pod to node": {pod, "", "udp", clientAddr + ":80", true},
		"to others":   {pod, "", "tcp", serverAddr + ":80", false},
	})
	// The node sends a packet for one of its addresses to the router, which sends
	// it back, until it has made too many hops.
	n, nl, err := openNet(h.client.Net)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	defer nl.Close()
	eth0, err := nl.LinkByName(device)
	if err == nil {
		err = nl.RouteAdd(&netlink.Route{
			LinkIndex: eth0.Attrs().Index, Dst: hostAddr(netip.MustParseAddr(strayAddr)).IPNet, Gw: net.IPv4(192, 168, 0, 1),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(pod, podAddr, strayAddr, 5*time.Second); !errors.Is(err, errHops) {
		t.Errorf("to the same interface, by way of the router: %v", err)
	}
}

func TestFirewallReplies(t *testing.T) {
	h := newTownhouse(t)
	h.set(h.f)
	held := hold(t, h.client, serverAddr+":85", h.server)
	held.check("allowed")

	// Not allowed any more: new connections fail, this one goes on.
	f := h.f
	f.Groups = slices.Clone(f.Groups)
	f.Groups[1].Ingress = nil
	h.set(f)
	checkFlow(t, "revoked", flow{h.client, "", "tcp", serverAddr + ":80", false})
	held.check("established")

	// Opening the VPC again changes nothing, neither does the next SetFirewall.
	if err := h.VPC.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.VPC = again
	held.check("opened again")
	checkFlow(t, "opened again: closed", flow{h.client, "", "tcp", serverAddr + ":80", false})
	checkFlow(t, "opened again: open", flow{h.client, "", "tcp", serverAddr + ":8080", true})
	h.set(f)
	held.check("set again")

	// Without its interface the connection is forgotten.
	f.Interfaces = slices.DeleteFunc(slices.Clone(f.Interfaces), func(i Interface) bool { return i.ID == "eni-1" })
	h.set(f)
	held.cut("the client's interface is gone")
}

// counting counts transactions, and lets them fail.
type counting struct {
	knftables.Interface
	n    int
	fail error
}

func (c *counting) Run(ctx context.Context, tx *knftables.Transaction) error {
	c.n++
	if c.fail != nil {
		return c.fail
	}
	return c.Interface.Run(ctx, tx)
}

func TestFirewallKeepsTheOldOne(t *testing.T) {
	h := newTownhouse(t)
	nft := &counting{Interface: h.filter.nft}
	h.filter.nft = nft
	h.set(h.f)
	h.set(h.f)
	same := h.f
	same.Interfaces = slices.Clone(same.Interfaces)
	slices.Reverse(same.Interfaces)
	h.set(same)
	if nft.n != 1 {
		t.Errorf("%d transactions for firewalls that are equal", nft.n)
	}

	empty := Firewall{}
	nft.fail = errors.New("no room")
	if err := h.SetFirewall(empty); !errors.Is(err, nft.fail) {
		t.Errorf("the kernel's refusal: %v", err)
	}
	bad := h.f
	bad.Interfaces = append(slices.Clone(bad.Interfaces), Interface{"eni-9", addrs(clientAddr), nil})
	if err := h.SetFirewall(bad); err == nil || !strings.Contains(err.Error(), "eni-9") {
		t.Errorf("an address of two interfaces: %v", err)
	}
	checkFlow(t, "the old firewall", flow{h.client, "", "tcp", serverAddr + ":80", true})
	// The same one is tried again.
	nft.fail = nil
	h.set(empty)
	checkFlow(t, "the new firewall", flow{h.client, "", "tcp", serverAddr + ":80", false})
	// The kernel refuses a transaction as a whole.
	err := h.VPC.Do(func() error {
		tx := nft.NewTransaction()
		compile(h.f, testCIDR, nil).replace(tx, h.filter.rules, false)
		tx.Add(&knftables.Rule{Chain: filterChain, Rule: "jump nowhere"})
		return nft.Run(t.Context(), tx)
	})
	if err == nil {
		t.Error("a jump to nowhere was accepted")
	}
	checkFlow(t, "half of a transaction", flow{h.client, "", "tcp", serverAddr + ":80", false})
}

// Two firewalls let the same in for different reasons, so that everything
// changes each time: at no moment may it fail, or may what neither lets in pass.
func TestFirewallChangesUnderTraffic(t *testing.T) {
	h := newTownhouse(t)
	f, g := h.f, h.f
	g.Groups = []Group{
		{ID: "sg-a", Egress: []Rule{{Protocol: TCP, From: 8080, To: 8080, Group: "sg-b"}, {Protocol: TCP, From: 81, To: 81, Prefix: world}}},
		{ID: "sg-b", Ingress: []Rule{{Protocol: TCP, From: 8080, To: 8080, Prefix: prefix(clientAddr + "/32")}}},
	}
	g.Interfaces = []Interface{
		{"eni-1", addrs(clientAddr), []string{"sg-a"}},
		{"eni-2", addrs(serverAddr), []string{"sg-b"}},
	}
	h.set(f)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var passed, barred int
	var slowest time.Duration
	work.Go(func() {
		for ctx.Err() == nil {
			start := time.Now()
			conn, err := connect(h.client, "", serverAddr+":8080", 5*time.Second)
			if err != nil {
				t.Errorf("allowed by both: %v", err)
				return
			}
			conn.Close()
			passed++
			slowest = max(slowest, time.Since(start))
		}
	})
	work.Go(func() {
		for ctx.Err() == nil {
			conn, err := connect(h.client, "", serverAddr+":81", patience/5)
			if err == nil {
				conn.Close()
				t.Error("allowed by none, yet it passed")
				return
			}
			barred++
		}
	})
	for i := range 20 {
		h.set([]Firewall{g, f}[i%2])
		checkFlow(t, "only one of them", flow{h.client, "", "tcp", serverAddr + ":80", i%2 == 1})
		if t.Failed() {
			break
		}
	}
	stop()
	work.Wait()
	t.Logf("%d connections passed, the slowest in %v; %d did not", passed, slowest, barred)
	if passed == 0 || barred == 0 {
		t.Error("there was no traffic")
	}
}
