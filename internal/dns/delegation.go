package dns

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

const (
	// maxReferrals bounds the name servers that refer to others for one question, maxServers those that
	// one zone is asked of.
	maxReferrals = 8
	maxServers   = 8
)

// refer answers with the name servers of the zone that begins at a cut: for those who look for
// themselves.
func (r *resolution) refer(z *zone, cut string) {
	servers, glue := z.referral(cut)
	for _, ns := range servers {
		r.res.Ns = append(r.res.Ns, ns)
	}
	r.res.Extra = append(r.res.Extra, glue...)
}

// delegated adds what the name servers at a cut say about a name, for those who want recursion. When
// that is a CNAME to elsewhere, it returns the name to go on with.
func (r *resolution) delegated(z *zone, cut, name string) (next string, err error) {
	qtype := r.req.Question[0].Qtype
	msg, err := r.follow(z, cut, name, qtype)
	if err != nil {
		return "", err
	}
	chain, end := walk(name, qtype, msg.Answer)
	if end != name && msg.Rcode == dns.RcodeSuccess && !has(msg.Answer, end, qtype) {
		r.res.Answer = append(r.res.Answer, chain...)
		return end, nil
	}
	r.take(msg)
	return "", nil
}

func has(rrs []dns.RR, name string, rrtype uint16) bool {
	for _, rr := range rrs {
		if h := rr.Header(); h.Rrtype == rrtype && dns.CanonicalName(h.Name) == name {
			return true
		}
	}
	return false
}

// follow asks the name servers at a cut about a name, and those that they refer to. The answer's Extra
// section is left out: what it has nobody vouches for.
func (r *resolution) follow(z *zone, cut, name string, qtype uint16) (*dns.Msg, error) {
	servers, glue := z.referral(cut)
	q := questionOf(r.req, name, qtype)
	q.recurse = false
	for range maxReferrals {
		addresses := r.serverAddresses(cut, servers, glue)
		if len(addresses) == 0 {
			return nil, errNetwork{fmt.Errorf("no name server of %s has an address", cut)}
		}
		msg, err := r.forward.direct(r.network(), addresses, q)
		if err != nil {
			return nil, errNetwork{fmt.Errorf("the name servers of %s: %w", cut, err)}
		}
		switch msg.Rcode {
		case dns.RcodeSuccess, dns.RcodeNameError:
		default:
			return nil, errNetwork{fmt.Errorf("the name servers of %s: %s", cut, dns.RcodeToString[msg.Rcode])}
		}
		if msg.Authoritative || len(msg.Answer) > 0 {
			final := *msg
			final.Extra = nil
			return &final, nil
		}
		below, next := referredTo(msg, cut, name)
		if below == "" {
			return nil, errNetwork{fmt.Errorf("the name servers of %s do not answer for it", cut)}
		}
		cut, servers, glue = below, next, msg.Extra
	}
	return nil, errNetwork{errors.New("too many referrals")}
}

// referredTo returns the zone below cut, at or above name, whose name servers an answer names.
func referredTo(msg *dns.Msg, cut, name string) (below string, servers []*dns.NS) {
	for _, rr := range msg.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		owner := dns.CanonicalName(ns.Hdr.Name)
		if owner == cut || !dns.IsSubDomain(cut, owner) || !dns.IsSubDomain(owner, name) || below != "" && owner != below {
			continue
		}
		below, servers = owner, append(servers, ns)
	}
	return below, servers
}

// serverAddresses returns where to ask a zone's name servers: at the addresses that came with them for
// those in the zone itself, at those that their names have for the others.
func (r *resolution) serverAddresses(apex string, servers []*dns.NS, glue []dns.RR) []netip.AddrPort {
	var found []netip.AddrPort
	add := func(rrs []dns.RR, name string) (had bool) {
		for _, rr := range rrs {
			a, ok := rr.(*dns.A)
			if !ok || name != "" && dns.CanonicalName(a.Hdr.Name) != name {
				continue
			}
			if addr, ok := netip.AddrFromSlice(a.A); ok {
				found, had = append(found, netip.AddrPortFrom(addr.Unmap(), r.forward.port)), true
			}
		}
		return had
	}
	for _, ns := range servers {
		if len(found) >= maxServers {
			return found[:maxServers]
		}
		name := dns.CanonicalName(ns.Ns)
		if add(glue, name) || dns.IsSubDomain(apex, name) { // its name could be looked up there only
			continue
		}
		// As an alias would: names of ours, of delegated zones, of the world.
		if rrs, err := r.stand(nil, Option{Alias: name}, dns.TypeA, name); err == nil {
			add(rrs, "")
		}
	}
	return found[:min(len(found), maxServers)]
}
