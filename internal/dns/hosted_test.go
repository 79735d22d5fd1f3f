package dns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// hosted are the zones that the tests host: example.com with some of everything, zones below it and
// below localhost, and one of load balancers' names.
func hosted(t testing.TB) *Zones {
	one := func(text string) []dns.RR { return records(t, text) }
	return zones(t,
		Zone{Name: "example.com", Records: records(t, `
			example.com. 900 IN SOA ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400
			example.com. 172800 IN NS ns-1.awsdns-01.org.
			example.com. 300 IN MX 10 mail.example.com.
			mail.example.com. 300 IN A 192.0.2.25
			a.deep.example.com. 300 IN A 192.0.2.1
			*.wild.example.com. 300 IN A 192.0.2.7
			*.wild.example.com. 300 IN TXT "any"
			host.wild.example.com. 300 IN TXT "host"
			x.ent.wild.example.com. 300 IN A 192.0.2.8
			*.sub.*.star.example.com. 300 IN A 192.0.2.9
			*.cname.example.com. 300 IN CNAME mail.example.com.
			toalias.example.com. 300 IN CNAME www.example.com.
			outside.example.com. 300 IN CNAME www.outside.example.
			gone.example.com. 300 IN CNAME nothing.localhost.
			tosub.example.com. 300 IN CNAME www.sub.example.com.
			sub.example.com. 300 IN NS ns.sub.example.com.
			sub.example.com. 300 IN NS ns.outside.example.
			ns.sub.example.com. 300 IN A 192.0.2.53
			sub.example.com. 300 IN DS 1 8 2 0102030405060708091011121314151617181920212223242526272829303132
			lame.example.com. 300 IN NS ns.lame.example.com.
			hidden.hosted.example.com. 300 IN A 192.0.2.66
		`), Sets: []Set{
			{Name: "example.com", Type: dns.TypeA, Options: []Option{{Alias: "lb.elb.test"}}},
			{Name: "www.example.com", Type: dns.TypeA, Options: []Option{{Alias: "lb.elb.test."}}},
			{Name: "www.example.com", Type: dns.TypeAAAA, Options: []Option{{Alias: "lb.elb.test."}}},
			{Name: "*.any.example.com", Type: dns.TypeA, Options: []Option{{Alias: "www.example.com.", Within: true}}},
			{Name: "short.example.com", Type: dns.TypeA, Options: []Option{{Alias: "toalias.example.com.", Within: true}}},
			{Name: "within.example.com", Type: dns.TypeA, Options: []Option{{Alias: "hidden.hosted.example.com.", Within: true}}},
			{Name: "without.example.com", Type: dns.TypeA, Options: []Option{{Alias: "hidden.hosted.example.com."}}},
			{Name: "canonical.example.com", Type: dns.TypeCNAME, Options: []Option{{Alias: "toalias.example.com.", Within: true}}},
			{Name: "nothing.example.com", Type: dns.TypeA, Options: []Option{{Alias: "none.elb.test."}}},
			{Name: "afar.example.com", Type: dns.TypeA, Options: []Option{{Alias: "www.outside.example."}}},
			{Name: "round.example.com", Type: dns.TypeA, Options: []Option{{Alias: "about.example.com.", Within: true}}},
			{Name: "about.example.com", Type: dns.TypeA, Options: []Option{{Alias: "round.example.com.", Within: true}}},
			{Name: "empty.example.com", Type: dns.TypeA},
			{Name: "weighted.example.com", Type: dns.TypeCNAME, Options: []Option{
				{Weight: 0, Records: one("weighted.example.com. 60 IN CNAME a.deep.example.com.")},
				{Weight: 200, Records: one("weighted.example.com. 60 IN CNAME mail.example.com.")},
			}},
		}},
		Zone{Name: "hosted.example.com", Records: records(t, `
			hosted.example.com. 900 IN SOA ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 60
			hosted.example.com. 172800 IN NS ns-1.awsdns-01.org.
		`)},
		Zone{Name: "example.localhost", Records: records(t, `
			example.localhost. 900 IN SOA ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400
			api.example.localhost. 60 IN A 127.64.0.1
		`)},
		Zone{Name: "elb.test", Records: records(t, `
			elb.test. 60 IN SOA ns. m. 1 7200 900 1209600 60
			lb.elb.test. 60 IN A 127.64.0.1
		`)},
	)
}

const (
	comSOA   = "ns example.com. 900 IN SOA ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
	chained  = "ede 0 too many CNAMEs or aliases, or a loop of them"
	noServer = "ede 23 this machine has no upstream resolver"
)

func TestHosted(t *testing.T) {
	s := New(Config{Logger: quiet, Random: func(int) int { return 0 }})
	s.SetZones(vpc(t))
	s.SetHosted(hosted(t))
	address := server(t, s)
	for _, tc := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		// Wildcards: RFC 4592 section 2.2.1.
		{"a.wild.example.com.", dns.TypeA, "NOERROR aa ra\nan a.wild.example.com. 300 IN A 192.0.2.7"},
		{"B.A.Wild.example.com.", dns.TypeA, "NOERROR aa ra\nan b.a.wild.example.com. 300 IN A 192.0.2.7"},
		{"a.wild.example.com.", dns.TypeAAAA, "NOERROR aa ra\n" + comSOA},
		{"host.wild.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},    // it exists
		{"a.host.wild.example.com.", dns.TypeA, "NXDOMAIN aa ra\n" + comSOA}, // nothing is below it
		{"ent.wild.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},     // a name on the way exists
		{"y.ent.wild.example.com.", dns.TypeA, "NXDOMAIN aa ra\n" + comSOA},  // and covers what is below it
		{"wild.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},         // not covered by its own wildcard
		{"*.wild.example.com.", dns.TypeTXT, "NOERROR aa ra\nan *.wild.example.com. 300 IN TXT \"any\""},
		{"a.star.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA}, // the wildcard exists, as a name on the way
		{"a.sub.*.star.example.com.", dns.TypeA, "NOERROR aa ra\nan a.sub.*.star.example.com. 300 IN A 192.0.2.9"},
		{"a.sub.b.star.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA}, // the one label * covers both, with no records
		{"x.cname.example.com.", dns.TypeA,
			"NOERROR aa ra\nan x.cname.example.com. 300 IN CNAME mail.example.com.\nan mail.example.com. 300 IN A 192.0.2.25"},
		{"cname.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},
		{"no.example.com.", dns.TypeA, "NXDOMAIN aa ra\n" + comSOA},

		// Aliases
		{"example.com.", dns.TypeA, "NOERROR aa ra\nan example.com. 60 IN A 127.64.0.1"},
		{"www.example.com.", dns.TypeA, "NOERROR aa ra\nan www.example.com. 60 IN A 127.64.0.1"},
		{"www.example.com.", dns.TypeAAAA, "NOERROR aa ra\n" + comSOA},
		{"www.example.com.", dns.TypeANY, "NOERROR aa ra\nan www.example.com. 60 IN A 127.64.0.1"},
		{"some.any.example.com.", dns.TypeA, "NOERROR aa ra\nan some.any.example.com. 60 IN A 127.64.0.1"},
		{"toalias.example.com.", dns.TypeA, "NOERROR aa ra\nan toalias.example.com. 300 IN CNAME www.example.com.\nan www.example.com. 60 IN A 127.64.0.1"},
		{"short.example.com.", dns.TypeA, "NOERROR aa ra\nan short.example.com. 60 IN A 127.64.0.1"},
		{"within.example.com.", dns.TypeA, "NOERROR aa ra\nan within.example.com. 300 IN A 192.0.2.66"},
		{"without.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},
		{"canonical.example.com.", dns.TypeA, "NOERROR aa ra\nan canonical.example.com. 300 IN CNAME www.example.com.\nan www.example.com. 60 IN A 127.64.0.1"},
		{"nothing.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},
		{"afar.example.com.", dns.TypeA, "SERVFAIL aa ra\n" + noServer},
		{"round.example.com.", dns.TypeA, "SERVFAIL aa ra\n" + chained},
		{"empty.example.com.", dns.TypeA, "NOERROR aa ra\n" + comSOA},
		{"weighted.example.com.", dns.TypeMX, "NOERROR aa ra\nan weighted.example.com. 60 IN CNAME mail.example.com.\n" + comSOA},

		// CNAMEs out of the zone
		{"outside.example.com.", dns.TypeA, "SERVFAIL aa ra\nan outside.example.com. 300 IN CNAME www.outside.example.\n" + noServer},
		{"gone.example.com.", dns.TypeA, "NXDOMAIN aa ra\nan gone.example.com. 300 IN CNAME nothing.localhost." +
			"\nns localhost. 10800 IN SOA localhost. nobody.invalid. 1 3600 1200 604800 10800"},

		// Which zone
		{"hidden.hosted.example.com.", dns.TypeA, "NXDOMAIN aa ra\nns hosted.example.com. 60 IN SOA ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 60"},
		{"api.example.localhost.", dns.TypeA, "NOERROR aa ra\nan api.example.localhost. 60 IN A 127.64.0.1"},
		{"localhost.", dns.TypeA, "NOERROR aa ra\nan localhost. 10800 IN A 127.0.0.1"},
		{"other.localhost.", dns.TypeA, "NXDOMAIN aa ra\nns localhost. 10800 IN SOA localhost. nobody.invalid. 1 3600 1200 604800 10800"},
		{"ip-192-168-12-34.ap-northeast-2.compute.internal.", dns.TypeA,
			"NOERROR aa ra\nan ip-192-168-12-34.ap-northeast-2.compute.internal. 60 IN A 192.168.12.34"},

		// At a cut
		{"sub.example.com.", dns.TypeDS, "NOERROR aa ra\nan sub.example.com. 300 IN DS 1 8 2 0102030405060708091011121314151617181920212223242526272829303132"},
		{"hosted.example.com.", dns.TypeDS, "NOERROR aa ra\n" + comSOA},
		{"lame.example.com.", dns.TypeA, "SERVFAIL ra\nede 23 no name server of lame.example.com. has an address"},
	} {
		t.Run(tc.name+dns.TypeToString[tc.qtype], func(t *testing.T) {
			for _, network := range []string{"udp", "tcp"} {
				m := query(tc.name, tc.qtype).SetEdns0(1232, false)
				if diff := cmp.Diff(tc.want, summary(ask(t, network, address, m))); diff != "" {
					t.Errorf("over %s (-want +got):\n%s", network, diff)
				}
			}
		})
	}
}

// Who does not want recursion is told whom to ask.
func TestReferral(t *testing.T) {
	s := New(Config{Logger: quiet})
	s.SetHosted(hosted(t))
	address := server(t, s)
	const want = "NOERROR ra\nns sub.example.com. 300 IN NS ns.sub.example.com.\nns sub.example.com. 300 IN NS ns.outside.example."
	for _, name := range []string{"sub.example.com.", "a.b.sub.example.com.", "ns.sub.example.com."} {
		m := query(name, dns.TypeA)
		m.RecursionDesired = false
		res := ask(t, "udp", address, m)
		if diff := cmp.Diff(want, summary(res)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(res.Extra) != 1 || res.Extra[0].String() != "ns.sub.example.com.\t300\tIN\tA\t192.0.2.53" {
			t.Errorf("%s: glue %v", name, res.Extra)
		}
	}
	m := query("tosub.example.com.", dns.TypeA)
	m.RecursionDesired = false
	if diff := cmp.Diff("NOERROR aa ra\nan tosub.example.com. 300 IN CNAME www.sub.example.com."+want[len("NOERROR ra"):],
		summary(ask(t, "udp", address, m))); diff != "" {
		t.Errorf("a CNAME to a delegated zone (-want +got):\n%s", diff)
	}
}

// delegating is a server that hosts parent.test and delegates child.parent.test to a server on loopback.
func delegating(t *testing.T, h dns.HandlerFunc) (*Server, *atomic.Int64) {
	up, asked := upstream(t, h)
	s := New(Config{Logger: quiet, Random: func(int) int { return 0 }})
	s.forward.port = up.Port()
	s.SetHosted(zones(t, Zone{Name: "parent.test", Records: records(t, fmt.Sprintf(`
		parent.test. 900 IN SOA ns. m. 1 2 3 4 5
		child.parent.test. 60 IN NS ns.child.parent.test.
		ns.child.parent.test. 60 IN A %[1]s
		other.parent.test. 60 IN NS ns.parent.test.
		ns.parent.test. 60 IN A %[1]s
		www.parent.test. 60 IN CNAME www.child.parent.test.
		home.parent.test. 60 IN A 192.0.2.1
	`, up.Addr())), Sets: []Set{
		{Name: "alias.parent.test", Type: dns.TypeA, Options: []Option{{Alias: "www.child.parent.test.", Within: true}}},
	}}))
	return s, asked
}

// Who wants recursion gets what the name servers of a delegated zone say.
func TestFollowsDelegations(t *testing.T) {
	answers := map[string]string{
		"www.child.parent.test.":   "www.child.parent.test. 30 IN A 192.0.2.99",
		"back.child.parent.test.":  "back.child.parent.test. 30 IN CNAME home.parent.test.",
		"www.other.parent.test.":   "www.other.parent.test. 30 IN A 192.0.2.98",
		"x.low.child.parent.test.": "x.low.child.parent.test. 30 IN A 192.0.2.97",
	}
	var referred atomic.Bool
	s, asked := delegating(t, func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg).SetReply(m)
		name := m.Question[0].Name
		switch text := answers[name]; {
		case m.RecursionDesired:
			res.Rcode = dns.RcodeRefused
		case strings.HasSuffix(name, ".low.child.parent.test.") && !referred.Swap(true):
			res.Ns = records(t, "low.child.parent.test. 30 IN NS ns.low.child.parent.test.")
			res.Extra = records(t, "ns.low.child.parent.test. 30 IN A 127.0.0.1")
		case strings.HasPrefix(name, "lame."):
			res.Ns = records(t, "child.parent.test. 30 IN NS ns.child.parent.test.")
		case strings.HasPrefix(name, "refused."):
			res.Rcode = dns.RcodeRefused
		case text == "":
			res.Authoritative, res.Rcode = true, dns.RcodeNameError
			res.Ns = records(t, "child.parent.test. 30 IN SOA ns. m. 1 2 3 4 5")
		default:
			res.Authoritative, res.Answer = true, records(t, text)
		}
		w.WriteMsg(res)
	})
	for _, tc := range []struct{ name, want string }{
		{"www.child.parent.test.", "NOERROR ra\nan www.child.parent.test. 30 IN A 192.0.2.99"},
		{"www.other.parent.test.", "NOERROR ra\nan www.other.parent.test. 30 IN A 192.0.2.98"},
		{"x.low.child.parent.test.", "NOERROR ra\nan x.low.child.parent.test. 30 IN A 192.0.2.97"},
		{"no.child.parent.test.", "NXDOMAIN ra\nns child.parent.test. 30 IN SOA ns. m. 1 2 3 4 5"},
		{"back.child.parent.test.", "NOERROR ra\nan back.child.parent.test. 30 IN CNAME home.parent.test.\nan home.parent.test. 60 IN A 192.0.2.1"},
		{"www.parent.test.", "NOERROR aa ra\nan www.parent.test. 60 IN CNAME www.child.parent.test.\nan www.child.parent.test. 30 IN A 192.0.2.99"},
		{"alias.parent.test.", "NOERROR aa ra\nan alias.parent.test. 30 IN A 192.0.2.99"},
		{"lame.child.parent.test.", "SERVFAIL ra\nede 23 the name servers of child.parent.test. do not answer for it"},
		{"refused.child.parent.test.", "SERVFAIL ra\nede 23 the name servers of child.parent.test.: REFUSED"},
	} {
		if diff := cmp.Diff(tc.want, summary(s.answer(t.Context(), query(tc.name, dns.TypeA).SetEdns0(1232, false), nil))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
	// A zone that is hosted too is not asked of anybody.
	n := asked.Load()
	both := hosted(t)
	s.SetZones(zones(t, Zone{Name: "child.parent.test", Records: records(t, "child.parent.test. 60 IN SOA ns. m. 1 2 3 4 5\nwww.child.parent.test. 60 IN A 192.0.2.5")}))
	if diff := cmp.Diff("NOERROR aa ra\nan www.child.parent.test. 60 IN A 192.0.2.5", summary(s.answer(t.Context(), query("www.child.parent.test.", dns.TypeA), nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.SetHosted(both)
	if asked.Load() != n {
		t.Error("the name servers of a zone that is hosted were asked")
	}
}

// Referrals that never end, do.
func TestReferralsAreBounded(t *testing.T) {
	var deep atomic.Int64
	s, asked := delegating(t, func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg).SetReply(m)
		// Each server refers to the zone one label further down.
		labels := dns.SplitDomainName(m.Question[0].Name)
		at := strings.Join(labels[max(0, len(labels)-3-int(deep.Add(1))):], ".") + "."
		res.Ns = records(t, at+" 30 IN NS ns."+at)
		res.Extra = records(t, "ns."+at+" 30 IN A 127.0.0.1")
		w.WriteMsg(res)
	})
	res := s.answer(t.Context(), query("a.b.c.d.e.f.g.h.i.j.child.parent.test.", dns.TypeA).SetEdns0(1232, false), nil)
	if diff := cmp.Diff("SERVFAIL ra\nede 23 too many referrals", summary(res)); diff != "" || asked.Load() != maxReferrals {
		t.Errorf("after %d questions (-want +got):\n%s", asked.Load(), diff)
	}
}

// An answer of the upstream that leads to a zone of ours goes on here.
func TestBackFromUpstream(t *testing.T) {
	up, _ := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		res := new(dns.Msg).SetRcode(m, dns.RcodeNameError) // the world does not know what is hosted here
		res.Answer = records(t, "www.outside.example. 60 IN CNAME alias.outside.example.\nalias.outside.example. 60 IN CNAME www.example.com.")
		w.WriteMsg(res)
	})
	s := over(up)
	s.SetHosted(hosted(t))
	want := "NOERROR ra\nan www.outside.example. 60 IN CNAME alias.outside.example.\nan alias.outside.example. 60 IN CNAME www.example.com." +
		"\nan www.example.com. 60 IN A 127.64.0.1"
	if diff := cmp.Diff(want, summary(s.answer(t.Context(), query("www.outside.example.", dns.TypeA), nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An alias to a name of the world has the world's addresses, under its own name.
func TestAliasToUpstream(t *testing.T) {
	up, _ := upstream(t, reply(t, dns.RcodeSuccess, "www.outside.example. 20 IN CNAME b.outside.example.\nb.outside.example. 60 IN A 203.0.113.5"))
	s := over(up)
	s.SetHosted(hosted(t))
	if diff := cmp.Diff("NOERROR aa ra\nan afar.example.com. 20 IN A 203.0.113.5",
		summary(s.answer(t.Context(), query("afar.example.com.", dns.TypeA), nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A question that needs one slow server after the other is answered in time all the same.
func TestWholeQuestionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := over()
		s.SetHosted(hosted(t))
		s.forward.lookup = func(ctx context.Context, _ question) (*dns.Msg, error) { <-ctx.Done(); return nil, ctx.Err() }
		start := time.Now()
		if res := s.answer(t.Context(), query("outside.example.com.", dns.TypeA), nil); res.Rcode != dns.RcodeServerFailure {
			t.Errorf("got %s", summary(res))
		}
		if waited := time.Since(start); waited != wholeWait {
			t.Errorf("waited %v, want %v", waited, wholeWait)
		}
	})
}

func TestPrepareRefusesSets(t *testing.T) {
	soa := "example.com. 60 IN SOA ns. m. 1 2 3 4 5\n"
	a := records(t, "a.example.com. 60 IN A 192.0.2.1")
	for _, tc := range []struct {
		name, records string
		set           Set
		want          string
	}{
		{"outside", soa, Set{Name: "a.example.org", Type: dns.TypeA}, "not in it"},
		{"beside records", soa + "a.example.com. 60 IN A 192.0.2.1", Set{Name: "A.example.com", Type: dns.TypeA}, "beside a set"},
		{"beside a CNAME", soa + "a.example.com. 60 IN CNAME b.", Set{Name: "a.example.com", Type: dns.TypeA}, "beside a CNAME"},
		{"SOA", soa, Set{Name: "example.com", Type: dns.TypeSOA}, "not a type"},
		{"NS", soa, Set{Name: "sub.example.com", Type: dns.TypeNS}, "not a type"},
		{"neither records nor alias", soa, Set{Name: "a.example.com", Type: dns.TypeA, Options: []Option{{}}}, "either"},
		{"both", soa, Set{Name: "a.example.com", Type: dns.TypeA, Options: []Option{{Records: a, Alias: "b."}}}, "either"},
		{"another type's record", soa, Set{Name: "a.example.com", Type: dns.TypeAAAA, Options: []Option{{Records: a}}}, "an option has"},
		{"another name's record", soa, Set{Name: "b.example.com", Type: dns.TypeA, Options: []Option{{Records: a}}}, "an option has"},
		{"no name", soa, Set{Name: "a.example.com", Type: dns.TypeA, Options: []Option{{Alias: strings.Repeat("a", 64)}}}, "not a name"},
		{"two CNAMEs at once", soa, Set{Name: "a.example.com", Type: dns.TypeCNAME, Options: []Option{
			{Records: records(t, "a.example.com. 60 IN CNAME b.\na.example.com. 60 IN CNAME c.")}}}, "beside a CNAME"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Prepare(Zone{Name: "example.com", Records: records(t, tc.records), Sets: []Set{tc.set}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Prepare: %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	options := func(weights ...uint32) (all []Option) {
		for i, w := range weights {
			all = append(all, Option{Weight: w, Alias: fmt.Sprint(i)})
		}
		return all
	}
	names := func(all []Option) (names []string) {
		for _, o := range all {
			names = append(names, o.Alias)
		}
		return names
	}
	t.Run("every number has its option", func(t *testing.T) {
		set, got := Set{Options: options(0, 3, 0, 1)}, []string{}
		for i := range 4 {
			got = append(got, names(set.choose(func(n int) int {
				if n != 4 {
					t.Errorf("a number below %d is asked for", n)
				}
				return i
			}))...)
		}
		if diff := cmp.Diff([]string{"1", "1", "1", "3"}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("all weights 0", func(t *testing.T) {
		set := Set{Options: options(0, 0, 0)}
		for i := range 3 {
			if got := names(set.choose(func(int) int { return i })); !slices.Equal(got, []string{fmt.Sprint(i)}) {
				t.Errorf("%d: got %v", i, got)
			}
		}
	})
	t.Run("multivalue", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for _, n := range []int{0, 1, 5, 8, 30} {
			set, seen := Set{Policy: Multivalue, Options: options(make([]uint32, n)...)}, map[string]int{}
			for range 1000 {
				got := names(set.choose(random.IntN))
				slices.Sort(got)
				if len(got) != min(n, maxValues) || len(slices.Compact(got)) != len(got) {
					t.Fatalf("%d options: got %v", n, got)
				}
				for _, name := range got {
					seen[name]++
				}
			}
			for name, times := range seen {
				if want := 1000 * min(n, maxValues) / n; times < want*7/10 || times > want*13/10 && times != 1000 {
					t.Errorf("%d options: %s came %d times, want about %d", n, name, times, want)
				}
			}
		}
	})
}

func TestLead(t *testing.T) {
	z := hosted(t)
	for host, want := range map[string]string{
		"www.example.com":              "www.example.com. lb.elb.test. [127.64.0.1]",
		"WWW.example.com.":             "www.example.com. lb.elb.test. [127.64.0.1]",
		"short.example.com":            "short.example.com. toalias.example.com. www.example.com. lb.elb.test. [127.64.0.1]",
		"*.any.example.com":            "*.any.example.com. www.example.com. lb.elb.test. [127.64.0.1]",
		"x.any.example.com":            "x.any.example.com. www.example.com. lb.elb.test. [127.64.0.1]",
		"weighted.example.com":         "weighted.example.com. mail.example.com. [192.0.2.25]",
		"within.example.com":           "within.example.com. hidden.hosted.example.com. [192.0.2.66]",
		"without.example.com":          "without.example.com. []",
		"outside.example.com":          "outside.example.com. www.outside.example. []",
		"tosub.example.com":            "tosub.example.com. www.sub.example.com. []",
		"nothing.example.com":          "nothing.example.com. []",
		"no.example.com":               "[]",
		"round.example.com":            "[]",
		"empty.example.com":            "empty.example.com. []",
		"host.wild.example.com":        "host.wild.example.com. []",
		"api.example.localhost":        "api.example.localhost. [127.64.0.1]",
		"somewhere.in.another.example": "somewhere.in.another.example. []",
	} {
		names, addresses := z.Lead(host)
		if addresses == nil {
			addresses = []netip.Addr{}
		}
		got := strings.TrimSpace(fmt.Sprint(strings.Join(names, " "), " ", addresses))
		if got != want {
			t.Errorf("Lead(%s) = %s, want %s", host, got, want)
		}
	}
}

// A server for its zones alone refuses other names, and follows its CNAMEs out.
func TestHostedOnly(t *testing.T) {
	const outside = "www.outside.example. 60 IN A 203.0.113.5"
	up, _ := upstream(t, reply(t, dns.RcodeSuccess, outside))
	s := New(Config{Logger: quiet, HostedOnly: true, Upstreams: func() []netip.AddrPort { return []netip.AddrPort{up} }})
	s.SetHosted(hosted(t))
	address := server(t, s)
	for name, want := range map[string]string{
		"mail.example.com.":      "NOERROR aa ra\nan mail.example.com. 300 IN A 192.0.2.25",
		"outside.example.com.":   "NOERROR aa ra\nan outside.example.com. 300 IN CNAME www.outside.example.\nan " + outside,
		"no.example.com.":        "NXDOMAIN aa ra\n" + comSOA,
		"www.outside.example.":   "REFUSED ra\nede 20 not a name of a zone here",
		"localhost.":             "REFUSED ra\nede 20 not a name of a zone here",
		"api.example.localhost.": "NOERROR aa ra\nan api.example.localhost. 60 IN A 127.64.0.1",
	} {
		if diff := cmp.Diff(want, summary(ask(t, "udp", address, query(name, dns.TypeA).SetEdns0(1232, false)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, err := s.Addresses(t.Context(), "www.outside.example"); err != nil || len(got) == 0 {
		t.Errorf("asked from within: %v, %v", got, err)
	}
}

func TestAddresses(t *testing.T) {
	s := New(Config{Logger: quiet})
	s.SetHosted(hosted(t))
	got, err := s.Addresses(t.Context(), "toalias.example.com")
	if err != nil || !slices.Equal(got, []netip.Addr{netip.MustParseAddr("127.64.0.1")}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := s.Addresses(t.Context(), "localhost"); err != nil || len(got) != 2 {
		t.Errorf("localhost: %v, %v", got, err)
	}
	if _, err := s.Addresses(t.Context(), "no.example.com"); err == nil || !strings.Contains(err.Error(), "NXDOMAIN") {
		t.Errorf("a name that does not exist: %v", err)
	}
}

// Several addresses come in every order, so that clients spread.
func TestAddressesAreShuffled(t *testing.T) {
	s := New(Config{Logger: quiet})
	s.SetHosted(zones(t, Zone{Name: "many.test", Records: records(t, `
		many.test. 60 IN SOA ns. m. 1 2 3 4 5
		many.test. 60 IN A 192.0.2.1
		many.test. 60 IN A 192.0.2.2
		many.test. 60 IN A 192.0.2.3
	`)}))
	first := map[string]bool{}
	for range 200 {
		res := s.answer(t.Context(), query("many.test.", dns.TypeA), nil)
		if len(res.Answer) != 3 {
			t.Fatal(summary(res))
		}
		first[res.Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) != 3 {
		t.Errorf("only %v came first", first)
	}
}
