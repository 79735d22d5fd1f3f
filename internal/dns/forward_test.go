package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// upstream is a resolver on loopback that counts the questions it gets.
func upstream(t *testing.T, h dns.HandlerFunc) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	pc, l := sockets(t)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	for _, srv := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { asked.Add(1); h(w, m) })
		running.Go(func() { srv.ActivateAndServe() })
		<-started
		t.Cleanup(func() { srv.Shutdown() })
	}
	return netip.MustParseAddrPort(pc.LocalAddr().String()), asked
}

// reply answers every question with these records, an rcode and an authenticated-data flag.
func reply(t *testing.T, rcode int, text string) dns.HandlerFunc {
	var rrs []dns.RR
	if text != "" {
		rrs = records(t, text)
	}
	return func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg).SetRcode(m, rcode)
		res.Answer, res.AuthenticatedData = rrs, true
		w.WriteMsg(res)
	}
}

func over(ups ...netip.AddrPort) *Server {
	return New(Config{Logger: quiet, Upstreams: func() []netip.AddrPort { return ups }})
}

// closedPort returns a loopback address where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	pc, l := sockets(t)
	pc.Close()
	l.Close()
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// silentPort returns a loopback address that takes packets and never answers, and counts them.
func silentPort(t *testing.T) (netip.AddrPort, *atomic.Int64) {
	got := new(atomic.Int64)
	pc, l := sockets(t)
	l.Close()
	var reading sync.WaitGroup
	reading.Go(func() {
		for buf := make([]byte, 512); ; got.Add(1) {
			if _, _, err := pc.ReadFrom(buf); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { pc.Close(); reading.Wait() })
	return netip.MustParseAddrPort(pc.LocalAddr().String()), got
}

func TestForward(t *testing.T) {
	const outside = "www.outside.example. 60 IN A 203.0.113.5"
	up, _ := upstream(t, reply(t, dns.RcodeSuccess, outside))
	s := over(up)
	s.SetZones(vpc(t))
	address := server(t, s)

	for _, tc := range []struct {
		name string
		m    *dns.Msg
		want string
	}{
		{"outside", query("www.outside.example.", dns.TypeA), "NOERROR ra\nan " + outside},
		{"by a CNAME of ours", query("out.example.test.", dns.TypeA),
			"NOERROR aa ra\nan out.example.test. 60 IN CNAME www.outside.example.\nan " + outside},
		{"authenticated, for one who asks", query("www.outside.example.", dns.TypeA).SetEdns0(1232, true), "NOERROR ra ad\nan " + outside},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, summary(ask(t, "udp", address, tc.m))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotForwarded(t *testing.T) {
	up, asked := upstream(t, reply(t, dns.RcodeSuccess, ""))
	s := over(up)
	s.SetZones(vpc(t))
	for _, name := range append(localNames(),
		"printer.", "ip-192-168-9-9.ap-northeast-2.compute.internal.", "nothing.example.test.",
		"1.2.168.192.in-addr.arpa.", "www.localhost.", "backend.default.svc.cluster.local.") {
		for _, qtype := range []uint16{dns.TypeA, dns.TypePTR, dns.TypeDS, dns.TypeANY} {
			s.answer(t.Context(), query(name, qtype), nil)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d questions left the machine", n)
	}
}

func TestUpstreamsFail(t *testing.T) {
	const good = "a.example. 60 IN A 203.0.113.5"
	works, _ := upstream(t, reply(t, dns.RcodeSuccess, good))
	refuses, _ := upstream(t, reply(t, dns.RcodeRefused, ""))
	fails, _ := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg).SetRcode(m, dns.RcodeServerFailure).SetEdns0(1232, false)
		explain(res, dns.ExtendedErrorCodeDNSBogus, "signature")
		w.WriteMsg(res)
	})
	nothing, _ := upstream(t, reply(t, dns.RcodeNameError, ""))
	closed := closedPort(t)
	for _, tc := range []struct {
		name string
		ups  []netip.AddrPort
		want string
	}{
		{"none", nil, "SERVFAIL ra\nede 23 this machine has no upstream resolver"},
		{"closed", []netip.AddrPort{closed},
			fmt.Sprintf("SERVFAIL ra\nede 23 no upstream resolver answered: %s: read: connection refused", closed)},
		{"closed, then one that works", []netip.AddrPort{closed, works}, "NOERROR ra\nan " + good},
		{"refusing, then one that works", []netip.AddrPort{refuses, works}, "NOERROR ra\nan " + good},
		{"no such name is an answer", []netip.AddrPort{nothing, works}, "NXDOMAIN ra"},
		{"refusing", []netip.AddrPort{refuses, closed}, "REFUSED ra"},
		{"failing, and saying why", []netip.AddrPort{fails}, "SERVFAIL ra\nede 6 signature"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := query("a.example.", dns.TypeA).SetEdns0(1232, false)
			if diff := cmp.Diff(tc.want, summary(over(tc.ups...).answer(t.Context(), m, nil))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A silent upstream costs the first question its time; those after it fail, or go elsewhere, at once.
func TestSilentUpstream(t *testing.T) {
	t.Parallel()
	silent, got := silentPort(t)
	works, asked := upstream(t, reply(t, dns.RcodeSuccess, ""))
	s := over(silent, works)
	if res := s.answer(t.Context(), query("a.example.", dns.TypeA), nil); res.Rcode != dns.RcodeSuccess {
		t.Errorf("the second upstream was not asked: %s", summary(res))
	}
	if got.Load() != 2 {
		t.Errorf("the silent upstream was asked %d times, want 2", got.Load())
	}
	s.answer(t.Context(), query("b.example.", dns.TypeA), nil)
	if got.Load() != 2 || asked.Load() != 2 {
		t.Errorf("asked %d and %d times, want 2 and 2", got.Load(), asked.Load())
	}
	s.forward.upstreams = func() []netip.AddrPort { return []netip.AddrPort{silent} }
	res := s.answer(t.Context(), query("c.example.", dns.TypeA).SetEdns0(1232, false), nil)
	want := fmt.Sprintf("SERVFAIL ra\nede 23 no upstream resolver answered: %s did not answer lately", silent)
	if diff := cmp.Diff(want, summary(res)); diff != "" || got.Load() != 2 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHealth(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	for _, tc := range []struct {
		name       string
		answered   time.Time
		start, end time.Time
		ask        time.Time
		usable     bool
	}{
		{"silent all the while", at(1), at(10), at(12), at(13), false},
		{"never heard of", time.Time{}, at(10), at(12), at(13), false},
		{"others were answered meanwhile", at(11), at(10), at(12), at(12), true},
		{"after the pause", at(1), at(10), at(12), at(15), true},
	} {
		if got := (health{answered: tc.answered}).silent(tc.start, tc.end).usable(tc.ask); got != tc.usable {
			t.Errorf("%s: usable %v, want %v", tc.name, got, tc.usable)
		}
	}
}

func TestTruncatedUpstreamIsAskedOverTCP(t *testing.T) {
	text := ""
	for i := range 250 {
		text += fmt.Sprintf("many.example. 60 IN A 192.0.2.%d\n", i)
	}
	full := reply(t, dns.RcodeSuccess, text)
	up, asked := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if _, tcp := w.RemoteAddr().(*net.TCPAddr); tcp {
			full(w, m)
			return
		}
		res := new(dns.Msg).SetReply(m)
		res.Truncated = true
		w.WriteMsg(res)
	})
	address := server(t, over(up))
	if res := ask(t, "tcp", address, query("many.example.", dns.TypeA)); len(res.Answer) != 250 || res.Truncated {
		t.Errorf("%d records, TC %v; want 250, false", len(res.Answer), res.Truncated)
	}
	if asked.Load() != 2 {
		t.Errorf("the upstream was asked %d times, want once over each", asked.Load())
	}
	if res := ask(t, "udp", address, query("many.example.", dns.TypeA)); !res.Truncated {
		t.Error("a large answer over UDP is not marked as truncated")
	}
}

// What is not the answer to the question is not taken for it.
func TestForgeriesAreIgnored(t *testing.T) {
	const good = "a.example. 60 IN A 203.0.113.5"
	up, _ := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		for _, forge := range []func(*dns.Msg){
			func(f *dns.Msg) { f.Id++ },
			func(f *dns.Msg) { f.Response = false },
			func(f *dns.Msg) { f.Question[0].Name = "b.example." },
			func(f *dns.Msg) { f.Question[0].Qtype = dns.TypeAAAA },
			func(f *dns.Msg) { f.Question = nil },
		} {
			f := new(dns.Msg).SetRcode(m, dns.RcodeNameError)
			forge(f)
			w.WriteMsg(f)
		}
		w.Write([]byte{byte(m.Id >> 8), byte(m.Id), 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xff})
		reply(t, dns.RcodeSuccess, good)(w, m)
	})
	res := over(up).answer(t.Context(), query("a.example.", dns.TypeA), nil)
	if diff := cmp.Diff("NOERROR ra\nan "+good, summary(res)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOwnUpstream(t *testing.T) {
	var own atomic.Value // of netip.AddrPort
	s := New(Config{Logger: quiet, Upstreams: func() []netip.AddrPort { return []netip.AddrPort{own.Load().(netip.AddrPort)} }})
	own.Store(server(t, s))
	res := ask(t, "udp", own.Load().(netip.AddrPort), query("a.example.", dns.TypeA).SetEdns0(1232, false))
	if diff := cmp.Diff("REFUSED ra\nede 18 this server is its own upstream", summary(res)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A loop through another resolver ends by itself, with one question each way.
func TestLoopThroughUpstream(t *testing.T) {
	t.Parallel()
	var address atomic.Value // of netip.AddrPort
	up, asked := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		c := dns.Client{Timeout: 10 * time.Second}
		if res, _, err := c.Exchange(m.Copy(), address.Load().(netip.AddrPort).String()); err == nil {
			w.WriteMsg(res)
		}
	})
	address.Store(server(t, over(up)))
	if res := ask(t, "udp", address.Load().(netip.AddrPort), query("a.example.", dns.TypeA)); res.Rcode != dns.RcodeServerFailure {
		t.Errorf("a loop was answered: %s", summary(res))
	}
	if n := asked.Load(); n > 2 {
		t.Errorf("the question went round %d times", n)
	}
}

// The same question from many clients is asked once, and forgotten once it is answered.
func TestSharedQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, asked := make(chan struct{}), 0
		s := over()
		s.forward.lookup = func(_ context.Context, q question) (*dns.Msg, error) {
			asked++
			<-release
			res := new(dns.Msg).SetReply(q.message())
			res.Answer = records(t, "a.example. 60 IN A 203.0.113.5")
			return res, nil
		}
		check := func() {
			if res := s.answer(t.Context(), query("a.example.", dns.TypeA), nil); len(res.Answer) != 1 {
				t.Errorf("a client got %s", summary(res))
			} else if _, err := res.Pack(); err != nil { // what is shared is only read
				t.Error(err)
			}
		}
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(check)
		}
		synctest.Wait()
		close(release)
		clients.Wait()
		if asked != 1 {
			t.Errorf("asked %d times, want 1", asked)
		}
		check()
		if asked != 2 {
			t.Errorf("after the answer, asked %d times in all, want 2", asked)
		}
	})
}

// A client that waits for another's question does not wait for ever.
func TestSharedQuestionTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over()
		release := make(chan struct{})
		s.forward.lookup = func(context.Context, question) (*dns.Msg, error) { <-release; return nil, errNoUpstream }
		var first sync.WaitGroup
		first.Go(func() { s.answer(t.Context(), query("a.example.", dns.TypeA), nil) })
		synctest.Wait()
		start := time.Now()
		res := s.answer(t.Context(), query("a.example.", dns.TypeA).SetEdns0(1232, false), nil)
		if diff := cmp.Diff("SERVFAIL ra\nede 23 no upstream resolver answered in time", summary(res)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if waited := time.Since(start); waited != wholeWait {
			t.Errorf("waited %v, want %v", waited, wholeWait)
		}
		close(release)
		first.Wait()
	})
}

func TestForwardsAreBounded(t *testing.T) {
	s := over(closedPort(t))
	for range maxForwards {
		s.forward.slots <- struct{}{}
	}
	res := s.answer(t.Context(), query("a.example.", dns.TypeA).SetEdns0(1232, false), nil)
	if !strings.Contains(summary(res), "SERVFAIL ra\nede 23 more than 1024 questions") {
		t.Errorf("got %s", summary(res))
	}
}

func TestResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	read := ResolvConf(file)
	check := func(want ...string) {
		t.Helper()
		var got []string
		for _, a := range read() {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check() // no such file
	write("# comment\nsearch example.com\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\nnameserver nonsense\n")
	check("192.0.2.1:53", "[2001:db8::1]:53", "[fe80::1%eth0]:53")
	write("nameserver 192.0.2.2\n")
	check("192.0.2.2:53")
	next := file + ".new" // replaced as network managers do, with the same size
	if err := os.WriteFile(next, []byte("nameserver 192.0.2.3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
	check("192.0.2.3:53")
	os.Remove(file)
	check()
}

func FuzzResolvConf(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range nameservers(strings.NewReader(text)) {
			if !a.IsValid() || a.Port() != 53 {
				t.Errorf("%v is no nameserver", a)
			}
		}
	})
}
