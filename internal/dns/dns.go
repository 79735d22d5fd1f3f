// Package dns is the resolver that a VPC has at its base address plus two, and the one that the host
// may ask about the zones that the region hosts: it answers with authority from the zones it was given,
// and asks the machine's own resolvers about everything else. It knows DNS only: what is in the zones,
// and when they change, is decided elsewhere. There is no cache; CoreDNS in front of it and the
// machine's resolvers behind it have theirs.
package dns

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
)

// Config is what a [Server] needs.
type Config struct {
	// Upstreams returns the resolvers for names in none of the zones, best first; see [ResolvConf].
	// It is called for every question that is forwarded and must be safe for concurrent use. Without
	// one, or with an empty list, such questions fail at once.
	Upstreams func() []netip.AddrPort

	// HostedOnly refuses clients' questions about names in no zone, for a server that is asked only
	// for the sake of its zones. Where CNAMEs and aliases of theirs lead is found out all the same.
	HostedOnly bool

	// Random returns a number from 0 to n-1, for what is chosen at random; rand.IntN when nil. It must
	// be safe for concurrent use.
	Random func(n int) int

	Logger *slog.Logger // slog.Default() when nil
}

// Server answers DNS questions. It is safe for concurrent use.
type Server struct {
	zones   atomic.Pointer[Zones]
	hosted  atomic.Pointer[Zones]
	forward *forwarder
	only    bool // Config.HostedOnly
	random  func(n int) int
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
	if cfg.Random == nil {
		cfg.Random = rand.IntN
	}
	s := &Server{forward: newForwarder(cfg.Upstreams, cfg.Logger), only: cfg.HostedOnly, random: cfg.Random, log: cfg.Logger}
	s.SetZones(nil)
	s.SetHosted(nil)
	return s
}

// SetZones replaces the zones that the server's place has of its own; nil means none. Questions under
// way are still answered from those before.
func (s *Server) SetZones(z *Zones) {
	if z == nil {
		z = new(Zones)
	}
	s.zones.Store(z)
}

// SetHosted replaces the zones that are hosted for others, as SetZones does. Of all the server's zones
// the one with the longest name answers; of two with the same name the hosted one does.
func (s *Server) SetHosted(z *Zones) {
	if z == nil {
		z = new(Zones)
	}
	s.hosted.Store(z)
}

// Ask returns what the server answers to a request, whole. It asks the upstreams whatever the server is
// for.
func (s *Server) Ask(ctx context.Context, req *dns.Msg) *dns.Msg { return s.answer(ctx, req, nil) }

// Addresses returns the IPv4 addresses, then the IPv6 ones, of a host name. It is an error if there
// are none.
func (s *Server) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var addresses []netip.Addr
	rcode := dns.RcodeSuccess
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		res := s.Ask(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(host), qtype))
		rcode = max(rcode, res.Rcode)
		for _, rr := range res.Answer {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				addresses = append(addresses, a.Unmap())
			}
		}
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%s has no address: %s", host, dns.RcodeToString[rcode])
	}
	return addresses, nil
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
	case s.only && from != nil && find(dns.CanonicalName(q.Name), s.hosted.Load(), s.zones.Load()) == nil:
		refuse(res, dns.ExtendedErrorCodeNotAuthoritative, "not a name of a zone here")
	default:
		s.resolve(ctx, req, res)
	}
	return res
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
