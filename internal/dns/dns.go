// Package dns is the resolver that a VPC has at its base address plus two: it answers with authority
// from the zones it was given, and asks the machine's own resolvers about everything else. It knows
// DNS only: what is in the zones, and when they change, is decided elsewhere. There is no cache;
// CoreDNS in front of it and the machine's resolvers behind it have theirs.
package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
)

const (
	// maxUDP bounds answers over UDP, whatever the client offers; the VPC resolver of AWS has the
	// same bound. ownUDP is what this server offers in turn: what surely fits one packet.
	maxUDP = 4096
	ownUDP = 1232

	maxConns = 256 // TCP connections at a time, per listener
	maxChain = 8   // CNAMEs followed for one question
)

// Config is what a [Server] needs.
type Config struct {
	// Upstreams returns the resolvers for names in none of the zones, best first; see [ResolvConf].
	// It is called for every question that is forwarded and must be safe for concurrent use. Without
	// one, or with an empty list, such questions fail at once.
	Upstreams func() []netip.AddrPort

	Logger *slog.Logger // slog.Default() when nil
}

// Server answers DNS questions. It is safe for concurrent use.
type Server struct {
	zones   atomic.Pointer[Zones]
	forward *forwarder
	log     *slog.Logger
}

// New returns a Server that has no zones yet but those that no resolver should leave to others:
// localhost, private reverse zones and the like.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Upstreams == nil {
		cfg.Upstreams = func() []netip.AddrPort { return nil }
	}
	s := &Server{forward: newForwarder(cfg.Upstreams, cfg.Logger), log: cfg.Logger}
	s.SetZones(nil)
	return s
}

// SetZones replaces the zones; nil means none. Questions under way are still answered from those
// before.
func (s *Server) SetZones(z *Zones) {
	if z == nil {
		z = new(Zones)
	}
	s.zones.Store(z)
}

// Serve answers over UDP and TCP until ctx ends, then returns nil. It closes both sockets. Any other
// end is an error, which ends the other of the two as well. Serve may be called several times, with
// sockets in different places.
func (s *Server) Serve(ctx context.Context, pc net.PacketConn, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) { s.respond(ctx, w, req) })
	servers := []*dns.Server{
		{Net: "udp", PacketConn: pc, Handler: handler, UDPSize: maxUDP},
		{Net: "tcp", Listener: netutil.LimitListener(l, maxConns), Handler: handler, ReadTimeout: 5 * time.Second},
	}
	results := make(chan error, len(servers))
	for _, srv := range servers {
		go func() { results <- run(ctx, srv) }()
	}
	var failed error
	for range servers {
		err := <-results
		cancel()
		if failed == nil {
			failed = err
		}
	}
	return failed
}

// run serves until ctx ends and waits for the answers under way.
func run(ctx context.Context, srv *dns.Server) error {
	started, done := make(chan struct{}), make(chan error, 1)
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { done <- srv.ActivateAndServe() }()
	select {
	case err := <-done:
		return fmt.Errorf("serve DNS over %s: %w", srv.Net, err)
	case <-started:
	}
	select {
	case err := <-done:
		return fmt.Errorf("serve DNS over %s: %w", srv.Net, err)
	case <-ctx.Done():
		// An error says that it had ended already, and the first of the two results why.
		_ = srv.Shutdown()
		<-done
		return nil
	}
}

func (s *Server) respond(ctx context.Context, w dns.ResponseWriter, req *dns.Msg) {
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	res := s.answer(ctx, req, w.RemoteAddr())
	res.Truncate(size(req, tcp))
	if err := w.WriteMsg(res); err != nil {
		s.log.Debug("dns answer not sent", "to", w.RemoteAddr(), "err", err)
	}
}

// size is how many bytes the client takes.
func size(req *dns.Msg, tcp bool) int {
	if tcp {
		return dns.MaxMsgSize
	}
	if opt := req.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
	}
	return dns.MinMsgSize
}

// answer returns the whole answer to a request from an address, before it is cut to size.
func (s *Server) answer(ctx context.Context, req *dns.Msg, from net.Addr) *dns.Msg {
	res := new(dns.Msg)
	res.SetReply(req)
	res.RecursionAvailable = true
	if opt := req.IsEdns0(); opt != nil {
		res.SetEdns0(ownUDP, opt.Do())
		if opt.Version() != 0 {
			res.Rcode = dns.RcodeBadVers
			return res
		}
	}
	switch {
	case req.Opcode != dns.OpcodeQuery:
		res.Rcode = dns.RcodeNotImplemented
		return res
	case len(req.Question) != 1:
		res.Rcode = dns.RcodeFormatError
		return res
	case s.forward.asks(from):
		refuse(res, dns.ExtendedErrorCodeProhibited, "this server is its own upstream")
		return res
	}
	switch q := req.Question[0]; {
	case q.Qclass != dns.ClassINET:
		refuse(res, dns.ExtendedErrorCodeNotSupported, "class IN only")
	case q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR:
		refuse(res, dns.ExtendedErrorCodeProhibited, "no zone transfers")
	default:
		s.resolve(ctx, req, res)
	}
	return res
}

// resolve answers the question from the zones, following CNAMEs from one to the next and out of them.
func (s *Server) resolve(ctx context.Context, req, res *dns.Msg) {
	q := req.Question[0]
	name, zones := dns.CanonicalName(q.Name), s.zones.Load()
	for i := range maxChain {
		zone := find(name, zones, localZones)
		if zone == nil {
			s.recurse(ctx, req, name, res)
			return
		}
		res.Authoritative = res.Authoritative || i == 0
		if name = zone.answer(name, q.Qtype, res); name == "" {
			return
		}
	}
	res.Rcode, res.Answer = dns.RcodeServerFailure, nil
	explain(res, dns.ExtendedErrorCodeOther, "too many CNAMEs, or a loop of them")
}

// recurse completes res with what the upstream resolvers say about name.
func (s *Server) recurse(ctx context.Context, req *dns.Msg, name string, res *dns.Msg) {
	if dns.CountLabel(name) == 1 { // names of the local network are nobody else's business
		res.Rcode = dns.RcodeNameError
		explain(res, dns.ExtendedErrorCodeBlocked, "names of one label are not forwarded")
		return
	}
	q := questionOf(req, name)
	up, err := s.forward.ask(ctx, q)
	if err != nil {
		res.Rcode = dns.RcodeServerFailure
		explain(res, dns.ExtendedErrorCodeNetworkError, err.Error())
		return
	}
	res.Rcode = up.Rcode
	// RFC 6840 section 5.8: for those who ask, and not for what came from a zone here.
	res.AuthenticatedData = up.AuthenticatedData && (req.AuthenticatedData || q.do) && len(res.Answer) == 0
	res.Answer = append(res.Answer, up.Answer...)
	res.Ns = append(res.Ns, up.Ns...)
	for _, rr := range up.Extra { // OPT is between two neighbours only; its explanation is for the client
		if opt, ok := rr.(*dns.OPT); ok {
			for _, o := range opt.Option {
				if ede, ok := o.(*dns.EDNS0_EDE); ok {
					explain(res, ede.InfoCode, ede.ExtraText)
				}
			}
			continue
		}
		res.Extra = append(res.Extra, rr)
	}
}

func refuse(res *dns.Msg, code uint16, text string) {
	res.Rcode = dns.RcodeRefused
	explain(res, code, text)
}

// explain adds an extended error (RFC 8914) for clients that speak EDNS.
func explain(res *dns.Msg, code uint16, text string) {
	if opt := res.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	}
}
