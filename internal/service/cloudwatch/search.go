package cloudwatch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/tarn-eks/tarn/internal/metrics"
)

// searchExpression is what SEARCH looks for: metrics with exactly these dimensions,
// if a schema names them, for which the condition holds.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
type searchExpression struct {
	namespace  string
	dimensions []string // of the schema
	schema     bool
	holds      func(metrics.ID) bool
}

// maxFound is how many time series a search returns.
const maxFound = 100

// search evaluates SEARCH('text', 'statistic', period).
func (e *mathEval) search(args []value) (value, error) {
	if args[0].kind != text || args[1].kind != text || len(args) > 2 && args[2].kind != scalar {
		return value{}, unfit(args...)
	}
	x, err := parseSearch(args[0].text)
	if err != nil {
		return value{}, err
	}
	stat, err := parseStatistic(args[1].text)
	if err != nil {
		return value{}, err
	}
	period := e.period
	if len(args) > 2 {
		if period = time.Duration(args[2].number) * time.Second; !validPeriod(int32(min(args[2].number, 1e6))) {
			return value{}, fmt.Errorf("%s is no period", number(args[2].number))
		}
	}
	ids, err := e.s.Metrics.List(e.ctx, metrics.ID{Namespace: x.namespace}, e.span.start.Add(-period))
	if err != nil {
		return value{}, err
	}
	out := arrayValue(nil)
	for _, id := range ids {
		if !x.matches(id) {
			continue
		}
		source := &metricSource{id: id, stat: args[1].text, period: period}
		found, _, err := e.read(source, stat, "")
		if err != nil {
			return value{}, err
		}
		found.label = searchLabel(id)
		if out.series = append(out.series, found); len(out.series) == maxFound {
			break
		}
	}
	return out, nil
}

// searchLabel is what tells a metric that was found from others.
func searchLabel(id metrics.ID) string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(id.Dimensions)) {
		parts = append(parts, id.Dimensions[n])
	}
	return strings.Join(append(parts, id.Name), " ")
}

func (x searchExpression) matches(id metrics.ID) bool {
	if x.schema {
		if len(id.Dimensions) != len(x.dimensions) {
			return false
		}
		for _, d := range x.dimensions {
			if _, ok := id.Dimensions[d]; !ok {
				return false
			}
		}
	}
	return x.holds(id)
}

// parseSearch reads the first argument of SEARCH.
func parseSearch(text string) (searchExpression, error) {
	x := searchExpression{}
	if len(text) > 1024 {
		return x, fmt.Errorf("a search can have at most 1024 characters")
	}
	p := searchParser{rest: strings.TrimSpace(text)}
	if strings.HasPrefix(p.rest, "{") {
		schema, rest, ok := strings.Cut(p.rest[1:], "}")
		if !ok {
			return x, fmt.Errorf("the search's schema has no '}'")
		}
		parts := splitQuoted(schema)
		x.schema, x.namespace, x.dimensions = true, parts[0], parts[1:]
		if x.namespace == "" {
			return x, fmt.Errorf("the search's schema has no namespace")
		}
		p.rest = rest
	}
	p.next()
	if p.token == "" {
		x.holds = func(metrics.ID) bool { return true }
		return x, p.err
	}
	x.holds = p.or()
	if p.err == nil && p.token != "" {
		p.fail("unexpected '%s'", p.token)
	}
	return x, p.err
}

// splitQuoted splits at commas, and takes quotation marks off.
func splitQuoted(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		out = append(out, strings.Trim(strings.TrimSpace(part), `"`))
	}
	return out
}

// searchParser reads terms with AND (which may be left out), OR and NOT.
type searchParser struct {
	rest  string
	token string // "" at the end
	exact bool   // the token was in quotation marks
	depth int
	err   error
}

func (p *searchParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("the search is invalid: "+format, args...)
	}
	p.token, p.rest = "", ""
}

func (p *searchParser) next() {
	p.rest, p.exact = strings.TrimLeft(p.rest, " \t\r\n"), false
	if p.rest == "" {
		p.token = ""
		return
	}
	if p.rest[0] == '"' {
		end := strings.IndexByte(p.rest[1:], '"')
		if end < 1 {
			p.fail("a quotation mark has no other, or nothing before it")
			return
		}
		p.token, p.rest, p.exact = p.rest[1:end+1], p.rest[end+2:], true
		return
	}
	n := strings.IndexAny(p.rest, " \t\r\n()=\"")
	if n < 0 {
		n = len(p.rest)
	}
	n = max(n, 1)
	p.token, p.rest = p.rest[:n], p.rest[n:]
}

type condition = func(metrics.ID) bool

func (p *searchParser) or() condition {
	if p.depth++; p.depth > maxMathDepth {
		p.fail("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	left := p.and()
	for p.token == "OR" && !p.exact {
		p.next()
		l, r := left, p.and()
		left = func(id metrics.ID) bool { return l(id) || r(id) }
	}
	return left
}

func (p *searchParser) and() condition {
	left := p.term()
	for p.token != "" && (p.exact || p.token != "OR" && p.token != ")") {
		if p.token == "AND" && !p.exact {
			p.next()
		}
		l, r := left, p.term()
		left = func(id metrics.ID) bool { return l(id) && r(id) }
	}
	return left
}

func (p *searchParser) term() condition {
	token, exact := p.token, p.exact
	switch {
	case token == "":
		p.fail("it ends too early")
	case exact:
	case token == "NOT":
		if p.depth++; p.depth > maxMathDepth {
			p.fail("it is nested too deeply")
		}
		defer func() { p.depth-- }()
		p.next()
		of := p.term()
		return func(id metrics.ID) bool { return !of(id) }
	case token == "(":
		p.next()
		of := p.or()
		if p.token != ")" {
			p.fail("')' is expected")
		}
		p.next()
		return of
	case token == ")" || token == "=" || token == "AND" || token == "OR":
		p.fail("unexpected '%s'", token)
	}
	if p.err != nil {
		return func(metrics.ID) bool { return false }
	}
	p.next()
	if p.token == "=" && !p.exact {
		p.next()
		return p.property(token)
	}
	return func(id metrics.ID) bool {
		return slices.ContainsFunc(slices.Concat([]string{id.Name, id.Namespace}, slices.Collect(maps.Keys(id.Dimensions)), slices.Collect(maps.Values(id.Dimensions))),
			func(have string) bool { return found(have, token, exact) })
	}
}

// property reads the value, or the values in parentheses, of name=value.
func (p *searchParser) property(name string) condition {
	type wanted struct {
		text  string
		exact bool
	}
	var values []wanted
	take := func() {
		if p.token == "" || !p.exact && strings.Contains("()=", p.token) {
			p.fail("a value of %s is expected", name)
			return
		}
		values = append(values, wanted{p.token, p.exact})
		p.next()
	}
	if p.token == "(" && !p.exact {
		p.next()
		take()
		for p.token == "OR" && !p.exact {
			p.next()
			take()
		}
		if p.token != ")" {
			p.fail("')' is expected")
		}
		p.next()
	} else {
		take()
	}
	return func(id metrics.ID) bool {
		have, ok := id.Dimensions[name]
		switch {
		case strings.EqualFold(name, "MetricName"):
			have, ok = id.Name, true
		case strings.EqualFold(name, "Namespace"):
			have, ok = id.Namespace, true
		}
		return ok && slices.ContainsFunc(values, func(w wanted) bool { return found(have, w.text, w.exact) })
	}
}

// found says whether a text is what is looked for, or if that is not exact, whether
// it has its words in their order.
func found(have, want string, exact bool) bool {
	if exact {
		return have == want
	}
	h, w := wordsOf(have), wordsOf(want)
	for i := 0; i+len(w) <= len(h); i++ {
		if slices.Equal(h[i:i+len(w)], w) {
			return true
		}
	}
	return strings.EqualFold(have, want)
}

// wordsOf splits a text as CloudWatch does: at what is no letter or digit, between
// letters and digits, and before a capital.
func wordsOf(s string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = nil
		}
	}
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case i > 0 && unicode.IsDigit(r) != unicode.IsDigit(runes[i-1]):
			end()
		case unicode.IsUpper(r) && (i > 0 && !unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end()
		}
		word = append(word, r)
	}
	end()
	return words
}
