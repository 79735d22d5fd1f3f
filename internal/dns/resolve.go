package dns

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/miekg/dns"
)

// maxSteps bounds the names that are looked up for one question: those asked for, and those that CNAMEs
// and aliases lead to.
const maxSteps = 16

// resolution is the way to the answer of one question.
type resolution struct {
	*Server
	ctx    context.Context
	req    *dns.Msg
	res    *dns.Msg
	layers [3]*Zones
	steps  int
	cancel context.CancelFunc // of the network's time, nil before it runs
}

// resolve answers the question from the zones, following CNAMEs from one to the next and out of them.
func (s *Server) resolve(ctx context.Context, req, res *dns.Msg) {
	r := &resolution{
		Server: s, ctx: ctx, req: req, res: res,
		layers: [...]*Zones{s.hosted.Load(), s.zones.Load(), localZones},
	}
	defer func() {
		if r.cancel != nil {
			r.cancel()
		}
	}()
	name := dns.CanonicalName(req.Question[0].Name)
	var err error
	for err == nil && name != "" {
		if err = r.step(); err == nil {
			name, err = r.answer(name)
		}
	}
	if err != nil {
		r.fail(err)
	}
}

// network bounds the time that all those who are asked for one answer may take together.
func (r *resolution) network() context.Context {
	if r.cancel == nil {
		r.ctx, r.cancel = context.WithTimeout(r.ctx, wholeWait)
	}
	return r.ctx
}

// step counts a name that is looked up.
func (r *resolution) step() error {
	if r.steps++; r.steps > maxSteps {
		return errChain
	}
	return nil
}

// errNetwork is a failure of those who were asked; its text is for the client.
type errNetwork struct{ error }

func (r *resolution) fail(err error) {
	code := dns.ExtendedErrorCodeOther
	if errors.As(err, &errNetwork{}) {
		code = dns.ExtendedErrorCodeNetworkError
	}
	r.res.Rcode = dns.RcodeServerFailure
	if errors.Is(err, errChain) {
		r.res.Answer = nil // a piece of a loop helps nobody
	}
	explain(r.res, code, err.Error())
}

// find returns the zone that knows a (canonical) name, or nil.
func (r *resolution) find(name string, qtype uint16) *zone {
	z := find(name, r.layers[:]...)
	if z == nil || qtype != dns.TypeDS || z.apex != name {
		return z
	}
	// What is at both sides of a cut is asked of the upper one (RFC 4035 section 3.1.4.1).
	if off, end := dns.NextLabel(name, 0); !end {
		if above := find(name[off:], r.layers[:]...); above != nil {
			return above
		}
	}
	return z
}

// answer adds what there is about a (canonical) name. When that is a CNAME, it returns the name to go
// on with.
func (r *resolution) answer(name string) (next string, err error) {
	qtype := r.req.Question[0].Qtype
	z := r.find(name, qtype)
	if z == nil {
		return r.recurse(name)
	}
	at := z.locate(name, qtype)
	if at.cut != "" {
		if !r.req.RecursionDesired {
			r.refer(z, at.cut)
			return "", nil
		}
		return r.delegated(z, at.cut, name)
	}
	if r.steps == 1 {
		r.res.Authoritative = true
	}
	if alias := at.node.get(dns.TypeCNAME); alias != nil && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
		rrs, err := r.records(z, alias, at, name)
		if err != nil {
			return "", err
		}
		if len(rrs) > 0 {
			r.res.Answer = append(r.res.Answer, rrs...)
			return dns.CanonicalName(rrs[0].(*dns.CNAME).Target), nil
		}
	}
	found := false
	for i := range at.node {
		set := &at.node[i]
		if set.rrtype != qtype && qtype != dns.TypeANY {
			continue
		}
		rrs, err := r.records(z, set, at, name)
		if err != nil {
			return "", err
		}
		r.res.Answer = append(r.res.Answer, rrs...)
		found = found || len(rrs) > 0
	}
	if !found {
		if !at.exists {
			r.res.Rcode = dns.RcodeNameError
		}
		r.res.Ns = append(r.res.Ns, z.negative())
	}
	return "", nil
}

// records returns what a set has for one answer, under the owner's name.
func (r *resolution) records(z *zone, set *rrset, at place, owner string) ([]dns.RR, error) {
	if set.set == nil {
		rrs := shuffled(set.rrs, r.random)
		if at.synthesized {
			rrs = named(rrs, owner, math.MaxUint32)
		}
		return rrs, nil
	}
	var all []dns.RR
	for _, o := range set.set.choose(r.random) {
		rrs := shuffled(o.Records, r.random)
		switch {
		case o.Alias != "":
			var err error
			if rrs, err = r.stand(z, o, set.rrtype, owner); err != nil {
				return nil, err
			}
		case at.synthesized:
			rrs = named(rrs, owner, math.MaxUint32)
		}
		all = append(all, rrs...)
	}
	return all, nil
}

// stand returns the records that an alias stands for, as the owner's own.
func (r *resolution) stand(z *zone, o Option, qtype uint16, owner string) ([]dns.RR, error) {
	name, ttl := o.Alias, uint32(math.MaxUint32)
	for within := o.Within; ; within = false {
		if err := r.step(); err != nil {
			return nil, err
		}
		if !within || !dns.IsSubDomain(z.apex, name) {
			z = r.find(name, qtype)
		}
		if z == nil {
			msg, err := r.upstream(name, qtype)
			if err != nil {
				return nil, err
			}
			return taken(msg, qtype, owner, ttl)
		}
		at := z.locate(name, qtype)
		if at.cut != "" {
			msg, err := r.follow(z, at.cut, name, qtype)
			if err != nil {
				return nil, err
			}
			return taken(msg, qtype, owner, ttl)
		}
		set := at.node.get(qtype)
		cname := set == nil
		if cname {
			set = at.node.get(dns.TypeCNAME)
		}
		if set == nil {
			return nil, nil
		}
		rrs, err := r.records(z, set, at, name)
		if err != nil || len(rrs) == 0 {
			return nil, err
		}
		if !cname {
			return named(rrs, owner, ttl), nil
		}
		ttl = min(ttl, rrs[0].Header().Ttl)
		name = dns.CanonicalName(rrs[0].(*dns.CNAME).Target)
	}
}

// taken returns the records of a type in another server's answer, CNAMEs left out, as the owner's own.
func taken(msg *dns.Msg, qtype uint16, owner string, ttl uint32) ([]dns.RR, error) {
	if msg.Rcode != dns.RcodeSuccess && msg.Rcode != dns.RcodeNameError {
		return nil, errNetwork{fmt.Errorf("the alias's target: %s", dns.RcodeToString[msg.Rcode])}
	}
	var rrs []dns.RR
	for _, rr := range msg.Answer {
		ttl = min(ttl, rr.Header().Ttl)
		if rr.Header().Rrtype == qtype {
			rrs = append(rrs, rr)
		}
	}
	return named(rrs, owner, ttl), nil
}

// upstream asks the upstream resolvers about a name in none of the zones.
func (r *resolution) upstream(name string, qtype uint16) (*dns.Msg, error) {
	if dns.CountLabel(name) == 1 { // names of the local network are nobody else's business
		res := new(dns.Msg).SetRcode(r.req, dns.RcodeNameError)
		explain(res.SetEdns0(ownUDP, false), dns.ExtendedErrorCodeBlocked, "names of one label are not forwarded")
		return res, nil
	}
	msg, err := r.forward.ask(r.network(), questionOf(r.req, name, qtype))
	if err != nil {
		return nil, errNetwork{err}
	}
	return msg, nil
}

// recurse adds what the upstream resolvers say about a name. When that leads back into the zones, it
// returns the name to go on with.
func (r *resolution) recurse(name string) (next string, err error) {
	q := r.req.Question[0]
	up, err := r.upstream(name, q.Qtype)
	if err != nil {
		return "", err
	}
	chain, end := walk(name, q.Qtype, up.Answer)
	if end != name && find(end, r.layers[0], r.layers[1]) != nil {
		r.res.Answer = append(r.res.Answer, chain...)
		return end, nil
	}
	// RFC 6840 section 5.8: for those who ask, and not for what came from a zone here.
	do := r.req.IsEdns0() != nil && r.req.IsEdns0().Do()
	r.res.AuthenticatedData = up.AuthenticatedData && (r.req.AuthenticatedData || do) && len(r.res.Answer) == 0
	r.take(up)
	return "", nil
}

// take completes the answer with that of another server.
func (r *resolution) take(up *dns.Msg) {
	r.res.Rcode = up.Rcode
	r.res.Answer = append(r.res.Answer, up.Answer...)
	r.res.Ns = append(r.res.Ns, up.Ns...)
	for _, rr := range up.Extra { // OPT is between two neighbours only; its explanation is for the client
		if opt, ok := rr.(*dns.OPT); ok {
			for _, o := range opt.Option {
				if ede, ok := o.(*dns.EDNS0_EDE); ok {
					explain(r.res, ede.InfoCode, ede.ExtraText)
				}
			}
			continue
		}
		r.res.Extra = append(r.res.Extra, rr)
	}
}

// walk follows the CNAMEs of an answer from a name, and returns them and the name where they end.
func walk(name string, qtype uint16, rrs []dns.RR) (chain []dns.RR, end string) {
	if qtype == dns.TypeCNAME || qtype == dns.TypeANY {
		return nil, name
	}
	for range rrs { // no longer than there are records
		var next *dns.CNAME
		for _, rr := range rrs {
			if c, ok := rr.(*dns.CNAME); ok && dns.CanonicalName(c.Hdr.Name) == name {
				next = c
			}
		}
		if next == nil {
			break
		}
		chain, name = append(chain, next), dns.CanonicalName(next.Target)
	}
	return chain, name
}
