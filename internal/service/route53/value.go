package route53

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// RRs are the records of a record set as DNS has them; an alias has none of its
// own.
func (r *RecordSet) RRs() ([]dns.RR, error) {
	rrs := make([]dns.RR, 0, len(r.Values))
	for _, value := range r.Values {
		rr, err := parseValue(r.Type, value)
		if err != nil {
			return nil, err
		}
		*rr.Header() = dns.RR_Header{Name: DNSName(r.Name), Rrtype: dns.StringToType[r.Type], Class: dns.ClassINET, Ttl: r.TTL}
		rrs = append(rrs, rr)
	}
	return rrs, nil
}

// parsers are the types of records that Route 53 has, and how their values are
// read.
//
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html
var parsers = map[string]func(value string) (dns.RR, error){
	"A":     parseA,
	"AAAA":  parseAAAA,
	"CAA":   parseCAA,
	"CNAME": oneName(func(name string) dns.RR { return &dns.CNAME{Target: name} }, "CNAME"),
	"DS":    parseDS,
	"HTTPS": parseService("HTTPS"),
	"MX":    parseMX,
	"NAPTR": parseNAPTR,
	"NS":    oneName(func(name string) dns.RR { return &dns.NS{Ns: name} }, "NS"),
	"PTR":   oneName(func(name string) dns.RR { return &dns.PTR{Ptr: name} }, "PTR"),
	"SOA":   parseSOA,
	"SPF":   func(value string) (dns.RR, error) { txt, err := parseTXT(value); return &dns.SPF{Txt: txt}, err },
	"SRV":   parseSRV,
	"SSHFP": parseSSHFP,
	"SVCB":  parseService("SVCB"),
	"TLSA":  parseTLSA,
	"TXT":   func(value string) (dns.RR, error) { txt, err := parseTXT(value); return &dns.TXT{Txt: txt}, err },
}

// parseValue reads the value of a record; its header is left empty. The errors
// are in Route 53's words.
func parseValue(typ, value string) (dns.RR, error) {
	parse := parsers[typ]
	if parse == nil {
		return nil, &problem{"UnsupportedType", "Record type is not supported", typ}
	}
	rr, err := parse(value)
	if err != nil {
		return nil, err
	}
	rr.Header().Rrtype, rr.Header().Class, rr.Header().Name = dns.StringToType[typ], dns.ClassINET, "."
	if _, err := data(rr); err != nil {
		return nil, &problem{typ + "RRDATATooLong", "Value is too long", value}
	}
	return rr, nil
}

// data are a record's contents as they travel, with no name shortened: what
// makes two values the same.
func data(rr dns.RR) (string, error) {
	buf := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return "", err
	}
	const header = 10 // type, class, TTL, length
	_, begin, err := dns.UnpackDomainName(buf[:n], 0)
	if err != nil {
		return "", err
	}
	return string(buf[begin+header : n]), nil
}

func parseA(value string) (dns.RR, error) {
	if strings.ContainsAny(value, " \t") {
		return nil, &problem{"ARRDATANotSingleField", "Value contains spaces", value}
	}
	a, err := netip.ParseAddr(value)
	if err != nil || !a.Is4() {
		return nil, &problem{"ARRDATAIllegalIPv4Address", "Value is not a valid IPv4 address", value}
	}
	return &dns.A{A: a.AsSlice()}, nil
}

func parseAAAA(value string) (dns.RR, error) {
	if strings.ContainsAny(value, " \t") {
		return nil, &problem{"AAAARRDATANotSingleField", "Value contains spaces", value}
	}
	a, err := netip.ParseAddr(value)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return nil, &problem{"AAAARRDATAIllegalIPv6Address", "Value is not a valid IPv6 address", value}
	}
	return &dns.AAAA{AAAA: a.AsSlice()}, nil
}

func oneName(rr func(name string) dns.RR, typ string) func(string) (dns.RR, error) {
	return func(value string) (dns.RR, error) {
		if strings.ContainsAny(value, " \t") {
			return nil, &problem{typ + "RRDATANotSingleField", "Value contains spaces", value}
		}
		name, err := nameField(value)
		return rr(name), err
	}
}

// nameField reads a name in a value, and writes it as package dns does.
func nameField(text string) (string, error) {
	name, err := Name(text)
	if err != nil {
		return "", err
	}
	return DNSName(name), nil
}

func parseMX(value string) (dns.RR, error) {
	f := fields{typ: "MX", value: value}
	f.split(2, "Two")
	mx := &dns.MX{Preference: uint16(f.number(0, 16, "Priority")), Mx: f.name(1)}
	return mx, f.err
}

func parseSRV(value string) (dns.RR, error) {
	f := fields{typ: "SRV", value: value}
	f.split(4, "Four")
	srv := &dns.SRV{
		Priority: uint16(f.number(0, 16, "Priority")), Weight: uint16(f.number(1, 16, "Weight")),
		Port: uint16(f.number(2, 16, "Port")), Target: f.name(3),
	}
	return srv, f.err
}

func parseSOA(value string) (dns.RR, error) {
	f := fields{typ: "SOA", value: value}
	f.split(7, "Seven")
	soa := &dns.SOA{
		Ns: f.name(0), Mbox: f.name(1),
		Serial: f.number(2, 32, "Serial"), Refresh: f.number(3, 31, "Refresh"), Retry: f.number(4, 31, "Retry"),
		Expire: f.number(5, 31, "Expire"), Minttl: f.number(6, 31, "MinimumTTL"),
	}
	return soa, f.err
}

func parseCAA(value string) (dns.RR, error) {
	f := fields{typ: "CAA", value: value}
	f.split(3, "Three")
	caa := &dns.CAA{Flag: uint8(f.number(0, 8, "Flags")), Tag: f.text(1), Value: escape(f.quoted(2))}
	if f.err == nil && (caa.Tag == "" || len(caa.Tag) > 15 || strings.Trim(strings.ToLower(caa.Tag), "abcdefghijklmnopqrstuvwxyz0123456789") != "") {
		f.fail("IllegalTag", "CAA tag must consist of letters and digits")
	}
	return caa, f.err
}

func parseNAPTR(value string) (dns.RR, error) {
	f := fields{typ: "NAPTR", value: value}
	f.split(6, "Six")
	naptr := &dns.NAPTR{
		Order: uint16(f.number(0, 16, "Order")), Preference: uint16(f.number(1, 16, "Preference")),
		Flags: escape(f.quoted(2)), Service: escape(f.quoted(3)), Regexp: escape(f.quoted(4)), Replacement: f.name(5),
	}
	return naptr, f.err
}

func parseDS(value string) (dns.RR, error) {
	f := fields{typ: "DS", value: value}
	f.split(4, "Four")
	ds := &dns.DS{KeyTag: uint16(f.number(0, 16, "KeyTag")), Algorithm: uint8(f.number(1, 8, "Algorithm")), DigestType: uint8(f.number(2, 8, "DigestType"))}
	ds.Digest = f.hex(3, map[uint8]int{1: 20, 2: 32, 4: 48}[ds.DigestType])
	return ds, f.err
}

func parseSSHFP(value string) (dns.RR, error) {
	f := fields{typ: "SSHFP", value: value}
	f.split(3, "Three")
	sshfp := &dns.SSHFP{Algorithm: uint8(f.number(0, 8, "Algorithm")), Type: uint8(f.number(1, 8, "Type"))}
	sshfp.FingerPrint = f.hex(2, map[uint8]int{1: 20, 2: 32}[sshfp.Type])
	return sshfp, f.err
}

func parseTLSA(value string) (dns.RR, error) {
	f := fields{typ: "TLSA", value: value}
	f.split(4, "Four")
	tlsa := &dns.TLSA{Usage: uint8(f.number(0, 8, "Usage")), Selector: uint8(f.number(1, 8, "Selector")), MatchingType: uint8(f.number(2, 8, "MatchingType"))}
	tlsa.Certificate = f.hex(3, map[uint8]int{1: 32, 2: 64}[tlsa.MatchingType])
	return tlsa, f.err
}

// parseService reads SVCB and HTTPS: a priority, a name, and parameters, which
// package dns reads.
func parseService(typ string) func(value string) (dns.RR, error) {
	return func(value string) (dns.RR, error) {
		priority, rest, _ := strings.Cut(value, " ")
		target, params, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
		f := fields{typ: typ, value: value, parts: []string{priority, target}}
		if target == "" {
			f.fail("NotTwoFields", typ+" record doesn't have 2 fields")
		}
		n, name := f.number(0, 16, "Priority"), f.name(1)
		if f.err == nil && strings.ContainsFunc(params, func(c rune) bool { return c < ' ' || c > '~' || c == '(' || c == ')' || c == ';' }) {
			f.fail("IllegalParameters", "Value contains unsupported characters")
		}
		if f.err == nil && n == 0 && strings.TrimSpace(params) != "" {
			f.fail("IllegalParameters", "A record with priority 0 has no parameters")
		}
		if f.err != nil {
			return nil, f.err
		}
		rr, err := dns.NewRR(". 0 IN " + typ + " " + strconv.Itoa(int(n)) + " " + name + " " + params)
		if err != nil || rr == nil {
			f.fail("IllegalParameters", "Value contains invalid service parameters")
			return nil, f.err
		}
		return rr, nil
	}
}

// fields reads a value that has several parts. After an error its methods
// return nothing of use.
type fields struct {
	typ, value string
	parts      []string // a quoted one with its quotes
	err        error
}

func (f *fields) fail(code, text string) {
	if f.err == nil {
		f.err = &problem{f.typ + "RRDATA" + code, text, f.value}
	}
}

func (f *fields) split(n int, word string) {
	rest := f.value
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" {
			break
		}
		end := strings.IndexAny(rest, " \t")
		if rest[0] == '"' {
			end = quoteEnd(rest)
		}
		if end < 0 {
			end = len(rest)
		}
		f.parts, rest = append(f.parts, rest[:end]), rest[end:]
	}
	if len(f.parts) != n {
		f.fail("Not"+word+"Fields", f.typ+" record doesn't have "+strconv.Itoa(n)+" fields")
	}
}

// quoteEnd is the index behind the quote that ends the string that text begins
// with, or -1.
func quoteEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

func (f *fields) number(i, bits int, what string) uint32 {
	if f.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(f.parts[i], 10, bits)
	if err != nil || f.parts[i][0] == '+' {
		f.fail("Illegal"+what, "Value is not a number between 0 and "+strconv.Itoa(1<<bits-1))
	}
	return uint32(n)
}

func (f *fields) name(i int) (name string) {
	if f.err == nil {
		name, f.err = nameField(f.parts[i])
	}
	return name
}

func (f *fields) text(i int) string {
	if f.err != nil {
		return ""
	}
	return f.parts[i]
}

func (f *fields) quoted(i int) (text string) {
	if f.err == nil {
		text, f.err = unquote(f.parts[i], f.value)
	}
	return text
}

// hex reads digits of which there must be as many as size bytes have; 0 is any
// number of bytes.
func (f *fields) hex(i, size int) string {
	if f.err != nil {
		return ""
	}
	b, err := hex.DecodeString(f.parts[i])
	if err != nil || len(b) == 0 || size != 0 && len(b) != size {
		f.fail("IllegalDigest", "Value is not a hexadecimal digest of the right length")
	}
	return hex.EncodeToString(b)
}
