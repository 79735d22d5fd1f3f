package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxForwards bounds the questions under way to the upstreams, and those waiting for them.
	maxForwards = 1024

	// Clients wait from 2 s (CoreDNS) to 5 s (the C library) for an answer. One resolver is asked
	// twice within less than that, so that a failure reaches the client as one.
	firstWait   = 800 * time.Millisecond
	secondWait  = 1100 * time.Millisecond
	wholeWait   = 4 * time.Second
	silentPause = 3 * time.Second // an upstream that did not answer is not asked again for so long
)

var errNoUpstream = errors.New("this machine has no upstream resolver")

// question is what two clients must have in common to share an answer.
type question struct {
	name    string
	qtype   uint16
	do      bool // DNSSEC records wanted
	noCheck bool // CD
	recurse bool // RD
}

func questionOf(req *dns.Msg, name string, qtype uint16) question {
	opt := req.IsEdns0()
	return question{name, qtype, opt != nil && opt.Do(), req.CheckingDisabled, req.RecursionDesired}
}

func (q question) message() *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(q.name, q.qtype)
	m.RecursionDesired = q.recurse
	m.CheckingDisabled = q.noCheck
	m.AuthenticatedData = true // RFC 6840: tell whether it is authenticated
	m.SetEdns0(ownUDP, q.do)
	return m
}

// forwarder asks the upstream resolvers. A question that is already under way is not asked again:
// that spares them, and it breaks loops, since a question that comes back here through an upstream
// only waits for itself until its time is up.
type forwarder struct {
	upstreams func() []netip.AddrPort
	lookup    func(context.Context, question) (*dns.Msg, error) // exchange, but for tests
	port      uint16                                            // of name servers that zones delegate to: 53, but for tests
	log       *slog.Logger
	slots     chan struct{}
	sockets   sync.Map    // network and local address of each socket that is asking
	failing   atomic.Bool // for the log: no upstream answered the latest question

	mu      sync.Mutex // guards the maps below
	flights map[question]*flight
	health  map[netip.AddrPort]health
}

// flight is a question under way; msg and err are set before done is closed.
type flight struct {
	done chan struct{}
	msg  *dns.Msg
	err  error
}

func newForwarder(upstreams func() []netip.AddrPort, log *slog.Logger) *forwarder {
	f := &forwarder{
		upstreams: upstreams, port: 53, log: log, slots: make(chan struct{}, maxForwards),
		flights: map[question]*flight{}, health: map[netip.AddrPort]health{},
	}
	f.lookup = f.exchange
	return f
}

// ask returns the upstreams' answer, which is shared and must not be changed. The error's text is
// for the client.
func (f *forwarder) ask(ctx context.Context, q question) (*dns.Msg, error) {
	release, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, wholeWait)
	defer cancel()

	f.mu.Lock()
	if other := f.flights[q]; other != nil {
		f.mu.Unlock()
		select {
		case <-other.done:
			return other.msg, other.err
		case <-ctx.Done():
			return nil, errors.New("no upstream resolver answered in time")
		}
	}
	mine := &flight{done: make(chan struct{})}
	f.flights[q] = mine
	f.mu.Unlock()

	mine.msg, mine.err = f.lookup(ctx, q)
	f.mu.Lock()
	delete(f.flights, q)
	f.mu.Unlock()
	close(mine.done)
	f.report(mine.err)
	return mine.msg, mine.err
}

// enter takes a slot, which the caller releases.
func (f *forwarder) enter() (release func(), err error) {
	select {
	case f.slots <- struct{}{}:
		return func() { <-f.slots }, nil
	default:
		return nil, fmt.Errorf("more than %d questions are waiting for the upstream resolvers", maxForwards)
	}
}

// direct asks name servers rather than the upstreams. The error's text is for the client.
func (f *forwarder) direct(ctx context.Context, servers []netip.AddrPort, q question) (*dns.Msg, error) {
	release, err := f.enter()
	if err != nil {
		return nil, err
	}
	defer release()
	return f.exchangeAny(ctx, "name server", servers, q)
}

// report logs when the upstreams stop answering and when they answer again, not every failure.
func (f *forwarder) report(err error) {
	switch {
	case err != nil && !f.failing.Swap(true):
		f.log.Warn("names outside of the region cannot be looked up", "err", err)
	case err == nil && f.failing.Swap(false):
		f.log.Info("names outside of the region can be looked up again")
	}
}

// exchange asks one upstream after the other until one has an answer.
func (f *forwarder) exchange(ctx context.Context, q question) (*dns.Msg, error) {
	all := f.upstreams()
	if len(all) == 0 {
		return nil, errNoUpstream
	}
	return f.exchangeAny(ctx, "upstream resolver", all, q)
}

// exchangeAny asks one server after the other until one has an answer.
func (f *forwarder) exchangeAny(ctx context.Context, kind string, all []netip.AddrPort, q question) (*dns.Msg, error) {
	var refused *dns.Msg
	var failures []string
	for _, up := range all {
		if !f.usable(up) {
			failures = append(failures, fmt.Sprintf("%s did not answer lately", up))
			continue
		}
		start := time.Now()
		msg, err := f.exchangeWith(ctx, up, q)
		f.note(ctx, up, start, err)
		switch {
		case err != nil:
			failures = append(failures, cause(up, err))
		case msg.Rcode == dns.RcodeServerFailure || msg.Rcode == dns.RcodeRefused:
			refused = msg
		default:
			return msg, nil
		}
	}
	if refused != nil {
		return refused, nil
	}
	return nil, fmt.Errorf("no %s answered: %s", kind, strings.Join(failures, "; "))
}

// cause names the upstream and the reason, without the sockets that net's errors tell of.
func cause(up netip.AddrPort, err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Sprintf("%s: %v", up, err)
}

func (f *forwarder) exchangeWith(ctx context.Context, up netip.AddrPort, q question) (*dns.Msg, error) {
	msg, err := f.exchangeOver(ctx, "udp", up, q)
	if err == nil && msg.Truncated {
		return f.exchangeOver(ctx, "tcp", up, q)
	}
	return msg, err
}

func (f *forwarder) exchangeOver(ctx context.Context, network string, up netip.AddrPort, q question) (*dns.Msg, error) {
	dialer := net.Dialer{Timeout: firstWait + secondWait}
	raw, err := dialer.DialContext(ctx, network, up.String())
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	socket := network + raw.LocalAddr().String()
	f.sockets.Store(socket, nil)
	defer f.sockets.Delete(socket)

	conn, m := &dns.Conn{Conn: raw, UDPSize: maxUDP}, q.message()
	waits := []time.Duration{firstWait, secondWait}
	if network == "tcp" {
		waits = []time.Duration{firstWait + secondWait}
	}
	for _, wait := range waits {
		var msg *dns.Msg
		if msg, err = send(ctx, conn, m, wait); err == nil {
			return msg, nil
		}
		if !timeout(err) || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// send asks once and waits for the answer to just that question.
func send(ctx context.Context, conn *dns.Conn, m *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	_ = conn.SetDeadline(time.Now().Add(wait))
	if ctx.Err() != nil { // it may have ended before the deadline was set, and not be heard of again
		return nil, ctx.Err()
	}
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		msg, err := conn.ReadMsg()
		var network net.Error
		switch {
		case errors.As(err, &network):
			return nil, err
		case err != nil && msg == nil: // the connection's end
			return nil, err
		case err != nil || !answers(msg, m): // a forgery or a stray: go on waiting
			continue
		}
		return msg, nil
	}
}

func answers(msg, m *dns.Msg) bool {
	return msg.Response && msg.Id == m.Id && len(msg.Question) == 1 &&
		msg.Question[0].Qtype == m.Question[0].Qtype && msg.Question[0].Qclass == m.Question[0].Qclass &&
		strings.EqualFold(msg.Question[0].Name, m.Question[0].Name)
}

func timeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// asks reports whether a question comes from a socket of this forwarder, that is, whether the server
// is its own upstream.
func (f *forwarder) asks(from net.Addr) bool {
	if from == nil {
		return false
	}
	_, own := f.sockets.Load(from.Network() + from.String())
	return own
}

// health is how an upstream has done, so that a silent one is not waited for again and again.
type health struct{ answered, pausedUntil time.Time }

func (h health) usable(now time.Time) bool { return !now.Before(h.pausedUntil) }

// silent notes that a question asked at start got no answer. One lost packet, or one slow name, is
// not silence when others were answered meanwhile.
func (h health) silent(start, now time.Time) health {
	if h.answered.Before(start) {
		h.pausedUntil = now.Add(silentPause)
	}
	return h
}

func (f *forwarder) usable(up netip.AddrPort) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.health[up].usable(time.Now())
}

func (f *forwarder) note(ctx context.Context, up netip.AddrPort, start time.Time, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.health[up] = health{answered: time.Now()}
	case timeout(err) && ctx.Err() == nil: // an end by ctx says nothing about the upstream
		f.health[up] = f.health[up].silent(start, time.Now())
	}
}
