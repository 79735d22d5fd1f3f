package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

var quiet = slog.New(slog.DiscardHandler)

// vpc is the VPC of the tests: one instance at 192.168.12.34, and a zone with some of everything.
func vpc(t testing.TB) *Zones {
	all := VPCZones("ap-northeast-2",
		[]netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}, []netip.Addr{netip.MustParseAddr("192.168.12.34")})
	return zones(t, append(all, Zone{Name: "example.test", Records: records(t, `
		example.test. 900 IN SOA ns.example.test. m. 1 2 3 4 30
		example.test. 900 IN NS ns.example.test.
		deep.down.example.test. 60 IN A 192.0.2.1
		www.example.test. 60 IN CNAME deep.down.example.test.
		gone.example.test. 60 IN CNAME nothing.example.test.
		across.example.test. 60 IN CNAME ip-192-168-12-34.ap-northeast-2.compute.internal.
		out.example.test. 60 IN CNAME www.outside.example.
		loop.example.test. 60 IN CNAME loop2.example.test.
		loop2.example.test. 60 IN CNAME loop.example.test.
	`)})...)
}

// server serves on loopback until the test ends and returns the address of both its sockets.
func server(t testing.TB, s *Server) netip.AddrPort {
	t.Helper()
	pc, l := sockets(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, pc, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// sockets listens on one loopback port over UDP and TCP.
func sockets(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 { // the port of the one may be taken for the other
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

func query(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(name, qtype)
}

func ask(t testing.TB, network string, server netip.AddrPort, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := dns.Client{Net: network, Timeout: 10 * time.Second}
	res, _, err := c.Exchange(m, server.String())
	if err != nil {
		t.Fatalf("ask for %s over %s: %v", m.Question[0].Name, network, err)
	}
	return res
}

// summary is an answer in a line a section: rcode and flags, then records.
func summary(m *dns.Msg) string {
	var b strings.Builder
	b.WriteString(dns.RcodeToString[m.Rcode])
	for _, f := range []struct {
		name string
		set  bool
	}{{"aa", m.Authoritative}, {"tc", m.Truncated}, {"ra", m.RecursionAvailable}, {"ad", m.AuthenticatedData}} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	for _, section := range []struct {
		name string
		rrs  []dns.RR
	}{{"an", m.Answer}, {"ns", m.Ns}} {
		for _, rr := range section.rrs {
			b.WriteString("\n" + section.name + " " + strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if ede, ok := o.(*dns.EDNS0_EDE); ok {
				fmt.Fprintf(&b, "\nede %d %s", ede.InfoCode, ede.ExtraText)
			}
		}
	}
	return b.String()
}

func TestExchanges(t *testing.T) {
	const (
		internalSOA = "ns ap-northeast-2.compute.internal. 60 IN SOA ns0.ap-northeast-2.compute.internal. hostmaster.amazon.com. 2012103100 3600 3600 3600 60"
		reverseSOA  = "ns 168.192.in-addr.arpa. 60 IN SOA ns0.ap-northeast-2.compute.internal. hostmaster.amazon.com. 2012103100 3600 3600 3600 60"
		testSOA     = "ns example.test. 30 IN SOA ns.example.test. m. 1 2 3 4 30"
		noUpstream  = "SERVFAIL ra\nede 23 this machine has no upstream resolver"
	)
	// There is no upstream: whatever was forwarded would fail.
	s := New(Config{Logger: quiet})
	s.SetZones(vpc(t))
	address := server(t, s)
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"ip-192-168-12-34.ap-northeast-2.compute.internal.", dns.TypeA,
			"NOERROR aa ra\nan ip-192-168-12-34.ap-northeast-2.compute.internal. 60 IN A 192.168.12.34"},
		{"IP-192-168-12-34.AP-northeast-2.Compute.Internal.", dns.TypeA,
			"NOERROR aa ra\nan ip-192-168-12-34.ap-northeast-2.compute.internal. 60 IN A 192.168.12.34"},
		{"ip-192-168-12-34.ap-northeast-2.compute.internal.", dns.TypeAAAA, "NOERROR aa ra\n" + internalSOA},
		{"ip-192-168-12-35.ap-northeast-2.compute.internal.", dns.TypeA, "NXDOMAIN aa ra\n" + internalSOA},
		{"x.ip-192-168-12-34.ap-northeast-2.compute.internal.", dns.TypeA, "NXDOMAIN aa ra\n" + internalSOA},
		{"ap-northeast-2.compute.internal.", dns.TypeSOA, "NOERROR aa ra\nan" + internalSOA[2:]},
		{"34.12.168.192.in-addr.arpa.", dns.TypePTR,
			"NOERROR aa ra\nan 34.12.168.192.in-addr.arpa. 60 IN PTR ip-192-168-12-34.ap-northeast-2.compute.internal."},
		{"35.12.168.192.in-addr.arpa.", dns.TypePTR, "NXDOMAIN aa ra\n" + reverseSOA},
		{"12.168.192.in-addr.arpa.", dns.TypePTR, "NOERROR aa ra\n" + reverseSOA}, // exists, for a name is below it
		{"13.168.192.in-addr.arpa.", dns.TypePTR, "NXDOMAIN aa ra\n" + reverseSOA},

		{"deep.down.example.test.", dns.TypeANY, "NOERROR aa ra\nan deep.down.example.test. 60 IN A 192.0.2.1"},
		{"down.example.test.", dns.TypeA, "NOERROR aa ra\n" + testSOA},
		{"www.example.test.", dns.TypeA,
			"NOERROR aa ra\nan www.example.test. 60 IN CNAME deep.down.example.test.\nan deep.down.example.test. 60 IN A 192.0.2.1"},
		{"www.example.test.", dns.TypeCNAME, "NOERROR aa ra\nan www.example.test. 60 IN CNAME deep.down.example.test."},
		{"gone.example.test.", dns.TypeA, "NXDOMAIN aa ra\nan gone.example.test. 60 IN CNAME nothing.example.test.\n" + testSOA},
		{"across.example.test.", dns.TypeA,
			"NOERROR aa ra\nan across.example.test. 60 IN CNAME ip-192-168-12-34.ap-northeast-2.compute.internal." +
				"\nan ip-192-168-12-34.ap-northeast-2.compute.internal. 60 IN A 192.168.12.34"},
		{"loop.example.test.", dns.TypeA, "SERVFAIL aa ra\nede 0 too many CNAMEs or aliases, or a loop of them"},

		{"localhost.", dns.TypeA, "NOERROR aa ra\nan localhost. 10800 IN A 127.0.0.1"},
		{"localhost.", dns.TypeAAAA, "NOERROR aa ra\nan localhost. 10800 IN AAAA ::1"},
		{"1.0.0.10.in-addr.arpa.", dns.TypePTR, "NXDOMAIN aa ra\nns 10.in-addr.arpa. 10800 IN SOA 10.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 10800"},
		{"ip-10-0-0-1.eu-west-1.compute.internal.", dns.TypeA, "NXDOMAIN aa ra\nns compute.internal. 10800 IN SOA compute.internal. nobody.invalid. 1 3600 1200 604800 10800"},

		{"printer.", dns.TypeA, "NXDOMAIN ra\nede 15 names of one label are not forwarded"},
		{"www.outside.example.", dns.TypeA, noUpstream},
		{".", dns.TypeNS, noUpstream},
		{"ap-northeast-2.compute.internal.", dns.TypeAXFR, "REFUSED ra\nede 18 no zone transfers"},
	} {
		t.Run(tc.name+" "+dns.TypeToString[tc.qtype], func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				m := query(tc.name, tc.qtype)
				m.SetEdns0(1232, false)
				res := ask(t, network, address, m)
				if diff := cmp.Diff(tc.want, summary(res)); diff != "" {
					t.Errorf("over %s (-want +got):\n%s", network, diff)
				}
				if res.Question[0] != m.Question[0] {
					t.Errorf("the question came back as %v", res.Question[0])
				}
			}
		})
	}
}

func TestOddRequests(t *testing.T) {
	s := New(Config{Logger: quiet})
	address := server(t, s)
	for _, tc := range []struct {
		name   string
		change func(*dns.Msg)
		want   int
		edns   bool
	}{
		{"no EDNS, no EDNS back", func(*dns.Msg) {}, dns.RcodeServerFailure, false},
		{"class CHAOS", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused, false},
		{"EDNS version 1", func(m *dns.Msg) { m.SetEdns0(1232, false).IsEdns0().SetVersion(1) }, dns.RcodeBadVers, true},
		{"notify", func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented, false},
		{"update", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented, false},
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError, false},
		{"no question", func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := query("www.outside.example.", dns.TypeA)
			tc.change(m)
			res, _, err := (&dns.Client{}).Exchange(m, address.String())
			if err != nil {
				t.Fatal(err)
			}
			if res.Rcode != tc.want || (res.IsEdns0() != nil) != tc.edns {
				t.Errorf("got %s, EDNS %v; want %s, %v", dns.RcodeToString[res.Rcode], res.IsEdns0() != nil, dns.RcodeToString[tc.want], tc.edns)
			}
		})
	}
}

func TestTruncation(t *testing.T) {
	text := "big.test. 60 IN SOA ns. m. 1 2 3 4 5\n"
	for i := range 250 {
		text += fmt.Sprintf("many.big.test. 60 IN A 192.0.2.%d\n", i)
	}
	s := New(Config{Logger: quiet})
	s.SetZones(zones(t, Zone{Name: "big.test", Records: records(t, text)}))
	address := server(t, s)
	for _, tc := range []struct {
		name      string
		edns      uint16 // offered size; 0 for no EDNS
		limit     int
		truncated bool
	}{
		{"no EDNS", 0, 512, true},
		{"less than the least", 100, 512, true},
		{"1232", 1232, 1232, true},
		{"what it takes", 4096, 4096, false},
		{"more than we send", 65535, 4096, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := query("many.big.test.", dns.TypeA)
			if tc.edns > 0 {
				m.SetEdns0(tc.edns, false)
			}
			packet := exchangeRaw(t, address, m)
			var res dns.Msg
			if err := res.Unpack(packet); err != nil {
				t.Fatal(err)
			}
			if len(packet) > tc.limit || res.Truncated != tc.truncated || tc.truncated == (len(res.Answer) == 250) {
				t.Errorf("%d bytes, %d records, TC %v; want at most %d bytes, TC %v",
					len(packet), len(res.Answer), res.Truncated, tc.limit, tc.truncated)
			}
		})
	}
	if res := ask(t, "tcp", address, query("many.big.test.", dns.TypeA)); res.Truncated || len(res.Answer) != 250 {
		t.Errorf("over TCP: %d records, TC %v; want 250, false", len(res.Answer), res.Truncated)
	}
}

// exchangeRaw returns the very packet that answers m.
func exchangeRaw(t *testing.T, server netip.AddrPort, m *dns.Msg) []byte {
	t.Helper()
	c, err := net.Dial("udp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, dns.MaxMsgSize)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestZonesAreSwapped asks from many sides while the zones change; run it with -race.
func TestZonesAreSwapped(t *testing.T) {
	s := New(Config{Logger: quiet})
	snapshots := []*Zones{vpc(t), nil}
	s.SetZones(snapshots[0])
	address := server(t, s)
	stop := make(chan struct{})
	var swapping, asking sync.WaitGroup
	swapping.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				s.SetZones(snapshots[i%2])
			}
		}
	})
	for i := range 8 {
		network := []string{"udp", "tcp"}[i%2]
		asking.Go(func() {
			c := dns.Client{Net: network, Timeout: 10 * time.Second}
			for range 50 {
				res, _, err := c.Exchange(query("ip-192-168-12-34.ap-northeast-2.compute.internal.", dns.TypeA), address.String())
				if err != nil {
					t.Errorf("over %s: %v", network, err)
					return
				}
				// Either snapshot's whole answer, never a mixture.
				if (res.Rcode == dns.RcodeSuccess) != (len(res.Answer) == 1) {
					t.Errorf("half an answer: %s", summary(res))
				}
			}
		})
	}
	asking.Wait()
	close(stop)
	swapping.Wait()
}

func TestServeEnds(t *testing.T) {
	s := New(Config{Logger: quiet})
	pc, l := sockets(t)
	pc.Close()
	if err := s.Serve(t.Context(), pc, l); err == nil || !strings.Contains(err.Error(), "over udp") {
		t.Errorf("Serve with a closed UDP socket: %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the TCP listener is still open")
	}
	pc, l = sockets(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ended, pc, l); err != nil {
		t.Errorf("Serve after the end: %v", err)
	}
}

// FuzzAnswer holds the server to what a client may rely on, whatever it sent.
func FuzzAnswer(f *testing.F) {
	s := New(Config{Logger: quiet})
	s.SetZones(vpc(f))
	s.SetHosted(hosted(f))
	for range maxForwards { // nobody is asked
		s.forward.slots <- struct{}{}
	}
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		req := new(dns.Msg)
		if req.Unpack(packet) != nil {
			return // the library refuses it
		}
		res := s.answer(t.Context(), req, nil)
		limit := size(req, tcp)
		res.Truncate(limit)
		out, err := res.Pack()
		if err != nil {
			t.Fatalf("an answer that cannot be sent: %v\n%v", err, res)
		}
		if len(out) > limit {
			t.Errorf("%d bytes for a client that takes %d", len(out), limit)
		}
		if res.Id != req.Id || !res.Response || res.Opcode != req.Opcode {
			t.Errorf("not an answer to the request: %v", res)
		}
		if len(req.Question) > 0 && (len(res.Question) != 1 || res.Question[0] != req.Question[0]) {
			t.Errorf("an answer to another question: %v", res)
		}
		if (res.IsEdns0() != nil) != (req.IsEdns0() != nil) {
			t.Errorf("EDNS %v for EDNS %v", res.IsEdns0(), req.IsEdns0())
		}
	})
}

// FuzzZone holds zones, whatever is in them, to what an answer from them must be.
func FuzzZone(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, name string, qtype uint16) {
		var rrs []dns.RR
		parser := dns.NewZoneParser(strings.NewReader(text), "z.test.", "")
		for rr, ok := parser.Next(); ok && len(rrs) < 100; rr, ok = parser.Next() {
			rrs = append(rrs, rr)
		}
		rrs = append(rrs, &dns.SOA{Hdr: header("z.test.", dns.TypeSOA, 60), Ns: "ns.z.test.", Mbox: "m.z.test.", Minttl: 60})
		var sets []Set
		for _, rr := range rrs { // what refers to a name is an alias of it as well
			if c, ok := rr.(*dns.MX); ok {
				sets = append(sets, Set{Name: c.Hdr.Name, Type: dns.TypeA, Options: []Option{{Alias: c.Mx, Within: c.Preference == 0}}})
			}
		}
		prepared, err := Prepare(Zone{Name: "z.test", Records: rrs, Sets: sets})
		if err != nil {
			return
		}
		set, err := Assemble(prepared)
		if err != nil {
			t.Fatal(err)
		}
		s := New(Config{Logger: quiet})
		s.SetHosted(set)
		for range maxForwards { // nobody is asked
			s.forward.slots <- struct{}{}
		}
		req := new(dns.Msg)
		packet, err := query(dns.Fqdn(name), qtype).Pack()
		if err != nil || req.Unpack(packet) != nil {
			return // not a question that a client can ask
		}
		res := s.answer(t.Context(), req, nil)
		if _, err := res.Pack(); err != nil {
			t.Fatalf("an answer that cannot be sent: %v\n%v", err, res)
		}
		if res.Rcode == dns.RcodeNameError && len(res.Answer) > 0 && res.Answer[len(res.Answer)-1].Header().Rrtype != dns.TypeCNAME {
			t.Errorf("records of a name that does not exist: %s", summary(res))
		}
		next := dns.CanonicalName(req.Question[0].Name)
		for _, rr := range res.Answer { // a chain of CNAMEs, and what is at its end
			if owner := dns.CanonicalName(rr.Header().Name); owner != next {
				t.Errorf("%s is not about %s: %s", owner, next, summary(res))
			}
			if c, ok := rr.(*dns.CNAME); ok && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
				next = dns.CanonicalName(c.Target)
			}
		}
		set.Lead(req.Question[0].Name)
	})
}
