package route53

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestValues(t *testing.T) {
	for _, tc := range []struct{ typ, value, want string }{
		{"A", "192.0.2.1", "192.0.2.1"},
		{"A", "192.0.2.01", "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '192.0.2.01'"},
		{"A", "::1", "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with '::1'"},
		{"A", "ns-738.awsdns-28.net.", "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with 'ns-738.awsdns-28.net.'"},
		{"A", "trebuie sa crape", "ARRDATANotSingleField (Value contains spaces) encountered with 'trebuie sa crape'"},
		{"AAAA", "2001:0DB8::0001", "2001:db8::1"},
		{"AAAA", "::ffff:192.0.2.1", "::ffff:192.0.2.1"},
		{"AAAA", "fe80::1%eth0", "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address) encountered with 'fe80::1%eth0'"},
		{"AAAA", "192.0.2.1", "AAAARRDATAIllegalIPv6Address"},
		{"CNAME", "WWW.Example.com", "www.example.com."},
		{"CNAME", `\052.a\056b.example.com.`, `*.a\.b.example.com.`},
		{"CNAME", "a..b", "DomainLabelEmpty (Domain label is empty) encountered with 'a..b'"},
		{"CNAME", "", "DomainNameEmpty (Domain name is empty) encountered with ''"},
		{"CNAME", "a b", "CNAMERRDATANotSingleField (Value contains spaces) encountered with 'a b'"},
		{"CNAME", strings.Repeat("a", 64) + ".b", "DomainLabelTooLong (Domain label is too long) encountered with '" + strings.Repeat("a", 64)},
		{"CNAME", strings.Repeat("abcdefghi.", 26), "DomainNameTooLong"},
		{"CNAME", "bücher.example", "UnsupportedCharacter (Value contains unsupported characters) encountered with 'ü'"},
		{"CNAME", `b\9.example`, "InvalidEscapeSequence"},
		{"NS", "ns-1.awsdns-01.com", "ns-1.awsdns-01.com."},
		{"PTR", "host.example.", "host.example."},
		{"MX", "10 mail.example.com", "10 mail.example.com."},
		{"MX", "0 .", "0 ."},
		{"MX", "mail.example.com", "MXRRDATANotTwoFields (MX record doesn't have 2 fields) encountered with 'mail.example.com'"},
		{"MX", "65536 a", "MXRRDATAIllegalPriority"},
		{"MX", "-1 a", "MXRRDATAIllegalPriority"},
		{"MX", "+1 a", "MXRRDATAIllegalPriority"},
		{"SRV", "1  2 443\tserver.example.com", "1 2 443 server.example.com."},
		{"SRV", "1 2 server.example.com", "SRVRRDATANotFourFields (SRV record doesn't have 4 fields) encountered with '1 2 server.example.com'"},
		{"SRV", "1 2 70000 a", "SRVRRDATAIllegalPort"},
		{"SOA", "ns-1.awsdns-01.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", "ns-1.awsdns-01.com. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"},
		{"SOA", "a b 1 2 3 4", "SOARRDATANotSevenFields"},
		{"SOA", "a b 1 2 3 4 4294967295", "SOARRDATAIllegalMinimumTTL"},
		{"CAA", `0 issue "amazon.com"`, `0 issue "amazon.com"`},
		{"CAA", `128 iodef "mailto:a@b; x=\073"`, `128 iodef "mailto:a@b; x=;"`},
		{"CAA", `0 issue amazon.com`, "InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '0 issue amazon.com'"},
		{"CAA", `0 is-sue "a"`, "CAARRDATAIllegalTag"},
		{"CAA", `256 issue "a"`, "CAARRDATAIllegalFlags"},
		{"CAA", `0 issue`, "CAARRDATANotThreeFields (CAA record doesn't have 3 fields) encountered with '0 issue'"},
		{"NAPTR", `100 50 "u" "E2U+sip" "!^(\\+441632960083)$!sip:\\1@example.com!" .`, `100 50 "u" "E2U+sip" "!^(\\+441632960083)$!sip:\\1@example.com!" .`},
		{"NAPTR", `100 50 "u" "" "" a b`, "NAPTRRRDATANotSixFields"},
		{"DS", "123 4 1 1234567890abcdef1234567890ABCDEF12345678", "123 4 1 1234567890ABCDEF1234567890ABCDEF12345678"},
		{"DS", "123 4 2 1234", "DSRRDATAIllegalDigest"},
		{"DS", "123 4 5 12345", "DSRRDATAIllegalDigest"},
		{"SSHFP", "4 2 " + strings.Repeat("AB", 32), "4 2 " + strings.Repeat("AB", 32)},
		{"SSHFP", "4 1 " + strings.Repeat("ab", 32), "SSHFPRRDATAIllegalDigest"},
		{"TLSA", "3 1 1 " + strings.Repeat("ab", 32), "3 1 1 " + strings.Repeat("ab", 32)},
		{"TLSA", "3 1 0 00", "3 1 0 00"},
		{"TLSA", "3 1 0", "TLSARRDATANotFourFields"},
		{"HTTPS", `1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1`, `1 . alpn="h2,h3" port="8443" ipv4hint="192.0.2.1"`},
		{"HTTPS", `0 WWW.example.com`, `0 www.example.com.`},
		{"SVCB", "16 foo.example.com. port=53", `16 foo.example.com. port="53"`},
		{"SVCB", "16 foo.example.com. port=x", "SVCBRRDATAIllegalParameters"},
		{"SVCB", "0 foo.example.com. port=53", "SVCBRRDATAIllegalParameters"},
		{"SVCB", "1 . ( \n", "SVCBRRDATAIllegalParameters"},
		{"SVCB", "1", "SVCBRRDATANotTwoFields"},
		{"TXT", `"v=spf1 -all"`, `"v=spf1 -all"`},
		{"TXT", `"a" "b c"`, `"a" "b c"`},
		{"TXT", `""`, `""`},
		{"TXT", `"a\"b\\c\011\377"`, `"a\"b\\c\009\255"`},
		{"TXT", `"` + strings.Repeat("a", 255) + `"`, `"` + strings.Repeat("a", 255) + `"`},
		{"TXT", `"` + strings.Repeat("a", 256) + `"`, `CharacterStringTooLong (Value is too long) encountered with '"` + strings.Repeat("a", 256) + `"'`},
		{"TXT", "ccEesV+N/LXO1M=", "InvalidCharacterString (Value should be enclosed in quotation marks) encountered with 'ccEesV+N/LXO1M='"},
		{"TXT", `"a`, "InvalidCharacterString"},
		{"TXT", `"a\"`, "InvalidCharacterString"},
		{"TXT", `"a""b"`, `"a" "b"`},
		{"TXT", `"a" b`, "InvalidCharacterString"},
		{"TXT", "", "InvalidCharacterString"},
		{"TXT", `"\400"`, "InvalidEscapeSequence"},
		{"TXT", `"\08"`, "InvalidEscapeSequence"},
		{"TXT", `"é"`, "UnsupportedCharacter (Value contains unsupported characters) encountered with 'é'"},
		{"SPF", `"v=spf1 ip4:192.168.0.1/16 -all"`, `"v=spf1 ip4:192.168.0.1/16 -all"`},
		{"LOC", "x", "UnsupportedType"},
	} {
		set := RecordSet{Name: "x.example.com.", Type: tc.typ, TTL: 60, Values: []string{tc.value}}
		rrs, err := set.RRs()
		if err != nil {
			if !strings.HasPrefix(err.Error(), "FATAL problem: "+tc.want) {
				t.Errorf("%s %q: %v\nwant %s", tc.typ, tc.value, err, tc.want)
			}
			continue
		}
		if got, want := rrs[0].String(), "x.example.com.\t60\tIN\t"+tc.typ+"\t"+tc.want; got != want {
			t.Errorf("%s %q:\n%s\nwant\n%s", tc.typ, tc.value, got, want)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, seed := range [][2]string{{"A", "192.0.2.1"}, {"TXT", `"a" "\"\\\377"`}, {"HTTPS", `1 . alpn="h2"`}, {"CAA", `0 issue ";"`}, {"MX", `10 a\056b.c`}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, typ, value string) {
		set := RecordSet{Name: "x.", Type: typ, Values: []string{value}}
		rrs, err := set.RRs()
		if err != nil {
			return
		}
		// What is accepted can be sent, and comes out as it went in.
		rr := rrs[0]
		buf := make([]byte, dns.MaxMsgSize)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatalf("%s %q cannot be sent: %v", typ, value, err)
		}
		back, _, err := dns.UnpackRR(buf[:n], 0)
		if err != nil {
			t.Fatalf("%s %q cannot be read: %v", typ, value, err)
		}
		before, _ := data(rr)
		after, err := data(back)
		if err != nil || before != after {
			t.Errorf("%s %q: %q became %q, %v", typ, value, before, after, err)
		}
		if strings.ContainsAny(rr.String(), "\n\r") {
			t.Errorf("%s %q has more than one line: %q", typ, value, rr)
		}
	})
}

func TestNames(t *testing.T) {
	for _, tc := range []struct{ in, name, dns, reversed string }{
		{"Example.COM", "example.com.", "example.com.", "com.example."},
		{"*.example.com.", `\052.example.com.`, "*.example.com.", `com.example.\052.`},
		{`\052.Example.com.`, `\052.example.com.`, "*.example.com.", `com.example.\052.`},
		{`_acme-challenge.a.b`, `_acme-challenge.a.b.`, `_acme-challenge.a.b.`, `b.a._acme-challenge.`},
		{`a\056b.c`, `a\056b.c.`, `a\.b.c.`, `c.a\056b.`},
		{`a.\056`, `a.\056.`, `a.\..`, `\056.a.`},
		{`\101\040\000.c`, `a\040\000.c.`, `a\ \000.c.`, `c.a\040\000.`},
		{`ex\344mple.com`, `ex\344mple.com.`, `ex\228mple.com.`, `com.ex\344mple.`},
		{".", ".", ".", "."},
	} {
		name, err := Name(tc.in)
		if err != nil || name != tc.name || DNSName(name) != tc.dns || reversed(name) != tc.reversed || fromDNS(tc.dns) != tc.name {
			t.Errorf("%q: %q, %v; %q, %q, %q", tc.in, name, err, DNSName(name), reversed(name), fromDNS(tc.dns))
		}
	}
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{"Example.COM", `\052.a\056b.`, ".", "a..b", `\400`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name, err := Name(text)
		if err != nil {
			return
		}
		if again, err := Name(name); err != nil || again != name {
			t.Errorf("%q: %q became %q, %v", text, name, again, err)
		}
		if _, ok := dns.IsDomainName(DNSName(name)); !ok {
			t.Errorf("%q: %q is no name for package dns", text, DNSName(name))
		}
		if back := fromDNS(DNSName(name)); back != name {
			t.Errorf("%q: %q became %q in DNS", text, name, back)
		}
	})
}

// fromDNS undoes DNSName, for names of package dns.
func fromDNS(name string) string {
	buf := make([]byte, maxName+1)
	n, err := dns.PackDomainName(dns.CanonicalName(name), buf, 0, nil, false)
	if err != nil {
		return "."
	}
	var labels []string
	for i := 0; i < n && buf[i] != 0; i += 1 + int(buf[i]) {
		labels = append(labels, string(buf[i+1:i+1+int(buf[i])]))
	}
	return writeName(labels)
}
