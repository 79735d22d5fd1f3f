package policy

import (
	"strings"
	"unicode/utf8"
)

// Symbols of a compiled pattern that are no characters.
const (
	anyRun  rune = -1 // *: any number of characters
	anyChar rune = -2 // ?: exactly one
)

// environment gives variables and condition keys their values.
type environment interface {
	// lookup gives the values of a key, which is in lower case; none if it is absent.
	lookup(key string) []string
}

// pattern is a compiled string with wildcards and variables.
type pattern struct {
	literal string // the whole pattern when it is neither of the next two
	symbols []rune // with wildcards
	parts   []part // with variables
	all     bool   // nothing but stars
	prefix  string // "prefix*", when isPrefix
	isPre   bool
	fold    bool // the pattern is in lower case and values are lowered before
}

// part of a pattern is some symbols or a variable.
type part struct {
	symbols  []rune
	key      string // of the variable, in lower case; "" for symbols
	keyText  string
	fallback string
	hasElse  bool
}

// Options of compilePattern.
const (
	withWildcards = 1 << iota
	withVariables
	withFold
)

func compilePattern(text string, options int) pattern {
	p := pattern{fold: options&withFold != 0}
	if p.fold {
		text = foldCase(text)
	}
	var symbols []rune
	flush := func() {
		if len(symbols) > 0 {
			p.parts = append(p.parts, part{symbols: symbols})
			symbols = nil
		}
	}
	for i := 0; i < len(text); {
		if options&withVariables != 0 && strings.HasPrefix(text[i:], "${") {
			if end := strings.IndexByte(text[i:], '}'); end > 0 {
				v, char := parseVariable(text[i+2 : i+end])
				if char != 0 {
					symbols = append(symbols, char)
				} else {
					flush()
					p.parts = append(p.parts, v)
				}
				i += end + 1
				continue
			}
		}
		c, n := utf8.DecodeRuneInString(text[i:])
		if options&withWildcards != 0 {
			switch c {
			case '*':
				c = anyRun
			case '?':
				c = anyChar
			}
		}
		if c != anyRun || len(symbols) == 0 || symbols[len(symbols)-1] != anyRun {
			symbols = append(symbols, c)
		}
		i += n
	}
	if p.parts != nil {
		flush()
		return p
	}
	p.finish(symbols)
	return p
}

// finish takes the shortest way to match the symbols.
func (p *pattern) finish(symbols []rune) {
	wild := 0
	for _, c := range symbols {
		if c < 0 {
			wild++
		}
	}
	switch {
	case wild == 0:
		p.literal = string(symbols)
	case wild == 1 && symbols[len(symbols)-1] == anyRun:
		p.isPre, p.prefix = true, string(symbols[:len(symbols)-1])
		p.all = p.prefix == ""
	default:
		p.symbols = symbols
	}
}

// parseVariable reads what is between the braces: a key, or a key and a default, or one
// of the characters that would mean something else.
func parseVariable(text string) (v part, char rune) {
	switch text {
	case "*", "?", "$":
		return part{}, rune(text[0])
	}
	key, fallback, ok := strings.Cut(text, ",")
	v.keyText = strings.TrimSpace(key)
	v.key = strings.ToLower(v.keyText)
	if ok {
		fallback = strings.TrimSpace(fallback)
		if n := len(fallback); n >= 2 && fallback[0] == '\'' && fallback[n-1] == '\'' {
			v.fallback, v.hasElse = fallback[1:n-1], true
		}
	}
	return v, 0
}

// match reports whether value is one that the pattern describes. A pattern with a
// variable that has no value describes nothing.
func (p *pattern) match(value string, env environment) bool {
	if p.fold {
		value = foldCase(value)
	}
	switch {
	case p.all:
		return true
	case p.isPre:
		return strings.HasPrefix(value, p.prefix)
	case p.symbols != nil:
		return glob(p.symbols, value)
	case p.parts == nil:
		return value == p.literal
	}
	symbols := make([]rune, 0, 64)
	for i := range p.parts {
		part := &p.parts[i]
		if part.symbols != nil {
			symbols = append(symbols, part.symbols...)
			continue
		}
		text := part.fallback
		if values := env.lookup(part.key); len(values) == 1 {
			text = values[0]
		} else if !part.hasElse || len(values) > 1 {
			return false
		}
		if p.fold {
			text = foldCase(text)
		}
		symbols = append(symbols, []rune(text)...) // stars in a value are only stars
	}
	return glob(symbols, value)
}

// variables calls add with the key of each variable.
func (p *pattern) variables(add func(string)) {
	for _, part := range p.parts {
		if part.key != "" {
			add(part.keyText)
		}
	}
}

// glob matches in time proportional to the lengths' product at worst: a star takes back
// only what the last star has eaten.
func glob(symbols []rune, s string) bool {
	i, j := 0, 0 // in symbols, in s
	star, mark := -1, 0
	for j < len(s) {
		c, n := utf8.DecodeRuneInString(s[j:])
		switch {
		case i < len(symbols) && symbols[i] == anyRun:
			star, mark = i, j
			i++
		case i < len(symbols) && (symbols[i] == anyChar || symbols[i] == c):
			i++
			j += n
		case star >= 0:
			_, skip := utf8.DecodeRuneInString(s[mark:])
			mark += skip
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(symbols) && symbols[i] == anyRun {
		i++
	}
	return i == len(symbols)
}

// foldCase lowers ASCII letters; what else IAM folds is not documented.
func foldCase(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; 'A' <= c && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// actionSet is Action or NotAction.
type actionSet struct {
	not      bool
	all      bool
	exact    map[string]struct{}
	patterns []pattern
}

func newActionSet(actions []string, not bool) actionSet {
	s := actionSet{not: not, exact: map[string]struct{}{}}
	for _, a := range actions {
		p := compilePattern(a, withWildcards|withFold)
		switch {
		case p.all, strings.Trim(a, "*") == ":": // "*" and "*:*"
			s.all = true
		case p.isPre || p.symbols != nil:
			s.patterns = append(s.patterns, p)
		default:
			s.exact[p.literal] = struct{}{}
		}
	}
	return s
}

// match wants the action in lower case.
func (s *actionSet) match(action string) bool {
	if s.all {
		return !s.not
	}
	if _, ok := s.exact[action]; ok {
		return !s.not
	}
	for i := range s.patterns {
		if s.patterns[i].match(action, nil) {
			return !s.not
		}
	}
	return s.not
}

// arnPattern is compared part by part: a wildcard does not reach over a colon, except in
// the last part.
type arnPattern [6]pattern

func newARNPattern(text string, variables bool) arnPattern {
	options := withWildcards
	if variables {
		options |= withVariables
	}
	var out arnPattern
	parts := splitARN(text)
	for i := range out {
		part := "*" // an incomplete ARN is completed
		if i < len(parts) {
			part = parts[i]
		}
		out[i] = compilePattern(part, options)
	}
	return out
}

func (a *arnPattern) match(arn *[6]string, env environment) bool {
	for i := len(a) - 1; i >= 0; i-- { // the ends of ARNs differ most
		if !a[i].match(arn[i], env) {
			return false
		}
	}
	return true
}

// parseARN cuts an ARN into its six parts.
func parseARN(s string) (arn [6]string, ok bool) {
	if !strings.HasPrefix(s, "arn:") {
		return arn, false
	}
	rest := s
	for i := range 5 {
		if arn[i], rest, ok = strings.Cut(rest, ":"); !ok {
			return arn, false
		}
	}
	arn[5] = rest
	return arn, true
}

// resourceSet is Resource or NotResource.
type resourceSet struct {
	not  bool
	all  bool
	arns []arnPattern
}

func newResourceSet(resources []string, not, variables bool) *resourceSet {
	s := &resourceSet{not: not}
	for _, r := range resources {
		if strings.Trim(r, "*") == "" {
			s.all = true
		} else {
			s.arns = append(s.arns, newARNPattern(r, variables))
		}
	}
	return s
}

// match takes an ARN, or nil for an operation that has no resource: "*" alone stands for
// that.
func (s *resourceSet) match(arn *[6]string, env environment) bool {
	if s.all {
		return !s.not
	}
	if arn != nil {
		for i := range s.arns {
			if s.arns[i].match(arn, env) {
				return !s.not
			}
		}
	}
	return s.not
}
