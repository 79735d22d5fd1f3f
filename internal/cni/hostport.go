package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"
)

// portMapping is a container's hostPort, as runtimes pass it to a plugin that
// has the capability portMappings.
// https://www.cni.dev/docs/conventions/
type portMapping struct {
	HostPort      int    `json:"hostPort"`
	ContainerPort int    `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

func (p portMapping) check() error {
	for _, port := range []int{p.HostPort, p.ContainerPort} {
		if port < 1 || port > 65535 {
			return fmt.Errorf("port %d is not between 1 and 65535", port)
		}
	}
	switch p.Protocol {
	case "tcp", "udp", "sctp":
	default:
		return fmt.Errorf("protocol %q is not tcp, udp or sctp", p.Protocol)
	}
	if p.HostIP == "" {
		return nil
	}
	_, err := netip.ParseAddr(p.HostIP)
	return err
}

// rule is the nftables statement for the mapping, or "" for an address that the
// instance cannot have.
func (p portMapping) rule(pod netip.Addr) string {
	match := p.Protocol + " dport " + strconv.Itoa(p.HostPort)
	if p.HostIP != "" {
		ip, err := netip.ParseAddr(p.HostIP)
		if err != nil || ip.Is6() && !ip.IsUnspecified() {
			return ""
		}
		if !ip.IsUnspecified() {
			match = "ip daddr " + ip.String() + " " + match
		}
	}
	return match + " dnat to " + netip.AddrPortFrom(pod, uint16(p.ContainerPort)).String()
}

// The table has one rule per host port, with the attachment as its comment: so
// does the plugin portmap, which EKS chains behind the VPC CNI.
const (
	portsTable      = "aws_cni_hostport"
	portsChain      = "hostports"
	masqueradeChain = "masquerading"
)

// forwardPorts makes the host ports of a pod, instead of those it had.
func forwardPorts(at attachment, rec record, mappings []portMapping) error {
	if len(mappings) == 0 {
		return nil
	}
	if err := unforwardPorts(at, rec); err != nil {
		return err
	}
	nft, err := knftables.New(knftables.IPv4Family, portsTable)
	if err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	tx := nft.NewTransaction()
	tx.Add(&knftables.Table{Comment: knftables.PtrTo("host ports of pods")})
	tx.Add(&knftables.Chain{Name: portsChain})
	for name, hook := range map[string]knftables.BaseChainHook{
		"prerouting": knftables.PreroutingHook,
		"output":     knftables.OutputHook,
	} {
		tx.Add(natChain(name, hook, knftables.DNATPriority))
		tx.Flush(&knftables.Chain{Name: name})
		tx.Add(&knftables.Rule{Chain: name, Rule: "fib daddr type local jump " + portsChain})
	}
	tx.Add(natChain(masqueradeChain, knftables.PostroutingHook, knftables.SNATPriority))
	owner := knftables.PtrTo(at.String())
	for _, m := range mappings {
		if rule := m.rule(rec.Address); rule != "" {
			tx.Add(&knftables.Rule{Chain: portsChain, Rule: rule, Comment: owner})
		}
	}
	// A pod that calls itself and a caller on 127.0.0.1 need another source.
	for _, source := range []string{rec.Address.String(), "127.0.0.1"} {
		rule := "ip saddr " + source + " ip daddr " + rec.Address.String() + " masquerade"
		tx.Add(&knftables.Rule{Chain: masqueradeChain, Rule: rule, Comment: owner})
	}
	if err := nft.Run(context.Background(), tx); err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	return forgetUDP(mappings)
}

func natChain(name string, hook knftables.BaseChainHook, priority knftables.BaseChainPriority) *knftables.Chain {
	return &knftables.Chain{
		Name:     name,
		Type:     knftables.PtrTo(knftables.NATType),
		Hook:     &hook,
		Priority: &priority,
	}
}

// unforwardPorts deletes the host ports of a pod.
func unforwardPorts(at attachment, rec record) error {
	if !rec.HostPorts {
		return nil
	}
	ctx := context.Background()
	nft, err := knftables.New(knftables.IPv4Family, portsTable)
	if err != nil {
		return fmt.Errorf("host ports: %w", err)
	}
	tx := nft.NewTransaction()
	for _, chain := range []string{portsChain, masqueradeChain} {
		rules, err := nft.ListRules(ctx, chain)
		if err != nil && !knftables.IsNotFound(err) {
			return fmt.Errorf("list host ports: %w", err)
		}
		for _, r := range rules {
			if r.Comment != nil && *r.Comment == at.String() {
				tx.Delete(r)
			}
		}
	}
	if tx.NumOperations() == 0 {
		return nil
	}
	if err := nft.Run(ctx, tx); err != nil {
		return fmt.Errorf("delete host ports: %w", err)
	}
	return nil
}

// forgetUDP makes the kernel forget the flows to the ports: a client that keeps
// sending would go on reaching what answered there before.
func forgetUDP(mappings []portMapping) error {
	for _, m := range mappings {
		if m.Protocol != "udp" {
			continue
		}
		filter := &netlink.ConntrackFilter{}
		err := errors.Join(
			filter.AddProtocol(unix.IPPROTO_UDP),
			filter.AddPort(netlink.ConntrackOrigDstPort, uint16(m.HostPort)),
		)
		if err == nil {
			_, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filter)
		}
		if err != nil {
			return fmt.Errorf("forget the flows to host port %d: %w", m.HostPort, err)
		}
	}
	return nil
}
