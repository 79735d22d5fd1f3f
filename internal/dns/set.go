package dns

import (
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

// maxValues is how many options an answer of a [Multivalue] set has, as Route 53 gives.
const maxValues = 8

// Policy says which options of a [Set] are in an answer.
type Policy int

// The policies.
const (
	Weighted   Policy = iota // one, by weight; any one where all weights are 0
	Multivalue               // eight at most
)

// Set is the records of a name and type that are chosen at random for each answer. One without any
// option makes its name exist.
type Set struct {
	Name    string
	Type    uint16
	Policy  Policy
	Options []Option
}

// Option is some of a [Set]'s records.
type Option struct {
	Weight  uint32
	Records []dns.RR // of the Set's name and type

	// Alias is a name whose records of the Set's type are given in place of Records, as if they were
	// the Set's own. They live as long as the shortest-lived on the way.
	Alias string
	// Within has the name looked up in this very zone, whatever other zones have it.
	Within bool
}

// prepare checks a set and returns it with canonical names.
func (s Set) prepare() (Set, error) {
	s.Name = dns.CanonicalName(s.Name)
	wrong := func(format string, args ...any) (Set, error) {
		return Set{}, fmt.Errorf("%s %s: %w", s.Name, dns.TypeToString[s.Type], fmt.Errorf(format, args...))
	}
	switch s.Type {
	case dns.TypeNone, dns.TypeSOA, dns.TypeNS, dns.TypeOPT, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR:
		return wrong("not a type that a set can have")
	}
	options := make([]Option, 0, len(s.Options))
	for _, o := range s.Options {
		if (len(o.Records) == 0) == (o.Alias == "") {
			return wrong("an option has either records or an alias")
		}
		if s.Type == dns.TypeCNAME && len(o.Records) > 1 {
			return wrong("other records beside a CNAME")
		}
		for _, rr := range o.Records {
			if h := rr.Header(); h.Rrtype != s.Type || dns.CanonicalName(h.Name) != s.Name {
				return wrong("an option has a record of %s %s", h.Name, dns.TypeToString[h.Rrtype])
			}
		}
		if o.Alias != "" {
			if _, ok := dns.IsDomainName(o.Alias); !ok {
				return wrong("alias %q is not a name", o.Alias)
			}
			o.Alias = dns.CanonicalName(o.Alias)
		}
		options = append(options, o)
	}
	s.Options = options
	return s, nil
}

// choose returns the options of one answer; random(n) is a number below n.
func (s *Set) choose(random func(n int) int) []Option {
	if len(s.Options) < 2 {
		return s.Options
	}
	if s.Policy == Multivalue {
		chosen := append([]Option(nil), s.Options...)
		for i := range min(maxValues, len(chosen)) {
			j := i + random(len(chosen)-i)
			chosen[i], chosen[j] = chosen[j], chosen[i]
		}
		return chosen[:min(maxValues, len(chosen))]
	}
	total := 0
	for _, o := range s.Options {
		total += int(o.Weight)
	}
	if total == 0 {
		i := random(len(s.Options))
		return s.Options[i : i+1]
	}
	at := random(total)
	for i, o := range s.Options {
		if at -= int(o.Weight); at < 0 {
			return s.Options[i : i+1]
		}
	}
	return nil // random gave a number that is none of those below total
}

// shuffled returns addresses beginning with any of them, so that clients that take the first one
// spread.
func shuffled(rrs []dns.RR, random func(n int) int) []dns.RR {
	if len(rrs) < 2 {
		return rrs
	}
	if t := rrs[0].Header().Rrtype; t != dns.TypeA && t != dns.TypeAAAA {
		return rrs
	}
	i := random(len(rrs))
	return append(append(make([]dns.RR, 0, len(rrs)), rrs[i:]...), rrs[:i]...)
}

// named returns copies of records with another owner, and times to live of at most ttl.
func named(rrs []dns.RR, owner string, ttl uint32) []dns.RR {
	out := make([]dns.RR, 0, len(rrs))
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		h := rr.Header()
		h.Name, h.Ttl = owner, min(h.Ttl, ttl)
		out = append(out, rr)
	}
	return out
}

var errChain = errors.New("too many CNAMEs or aliases, or a loop of them")
