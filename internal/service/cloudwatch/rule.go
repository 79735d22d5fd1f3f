package cloudwatch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Rule is the expression of a composite alarm, parsed.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
type Rule struct {
	// Names are the alarms that it is about, each once, in the order of the text.
	Names []string
	root  ruleNode
}

// ruleNode is a part of a rule that is true or not.
type ruleNode interface {
	holds(states func(name string) string) bool
}

type (
	ruleConst bool
	ruleState struct{ state, name string }
	ruleNot   struct{ of ruleNode }
	ruleAll   []ruleNode // AND
	ruleAny   []ruleNode // OR
	// ruleLeast is AT_LEAST: so many of the alarms are, or are not, in the state.
	ruleLeast struct {
		least   int
		percent bool
		not     bool
		state   string
		names   []string
	}
)

func (r ruleConst) holds(func(string) string) bool        { return bool(r) }
func (r ruleState) holds(states func(string) string) bool { return states(r.name) == r.state }
func (r ruleNot) holds(states func(string) string) bool   { return !r.of.holds(states) }

func (r ruleAll) holds(states func(string) string) bool {
	return !slices.ContainsFunc(r, func(n ruleNode) bool { return !n.holds(states) })
}

func (r ruleAny) holds(states func(string) string) bool {
	return slices.ContainsFunc(r, func(n ruleNode) bool { return n.holds(states) })
}

func (r ruleLeast) holds(states func(string) string) bool {
	n := 0
	for _, name := range r.names {
		if (states(name) == r.state) != r.not {
			n++
		}
	}
	if r.percent {
		return n*100 >= r.least*len(r.names)
	}
	return n >= r.least
}

// Holds says whether the rule is true of the alarms' states. Of an alarm that does
// not exist the state is "", which no rule asks for.
func (r Rule) Holds(states func(name string) string) bool { return r.root.holds(states) }

// EvaluateRule parses a composite alarm's rule and says whether it is true.
func EvaluateRule(rule string, states func(name string) string) (bool, error) {
	r, err := ParseRule(rule)
	if err != nil {
		return false, err
	}
	return r.Holds(states), nil
}

// What a rule may have.
const (
	maxRule         = 10240 // characters
	maxRuleElements = 500
	maxRuleAlarms   = 100
)

// ParseRule reads a rule. The error is a sentence for the caller.
func ParseRule(text string) (Rule, error) {
	if len(text) > maxRule {
		return Rule{}, fmt.Errorf("AlarmRule must have at most %d characters", maxRule)
	}
	p := ruleParser{text: text}
	p.next()
	root := p.or()
	if p.err == nil && p.token != "" {
		p.fail("unexpected '%s'", p.token)
	}
	if p.err != nil {
		return Rule{}, p.err
	}
	if len(p.names) > maxRuleAlarms {
		return Rule{}, fmt.Errorf("AlarmRule must refer to at most %d alarms", maxRuleAlarms)
	}
	return Rule{Names: p.names, root: root}, nil
}

// ruleParser reads a rule by recursive descent: OR binds less than AND, and AND less
// than NOT. After the first error everything else comes to nothing.
type ruleParser struct {
	text     string
	at       int    // behind the token
	start    int    // of the token
	token    string // "" at the end; a name in quotation marks begins with one
	elements int
	names    []string
	err      error
}

func (p *ruleParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("AlarmRule is invalid at character %d: %s", p.start+1, fmt.Sprintf(format, args...))
	}
	p.token, p.at = "", len(p.text)
}

// next reads a token: a parenthesis, a comma, a quoted name, or a word.
func (p *ruleParser) next() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.start = p.at
	if p.at == len(p.text) {
		p.token = ""
		return
	}
	rest := p.text[p.at:]
	n := strings.IndexAny(rest, " \t\r\n(),\"")
	switch {
	case rest[0] == '"':
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			p.fail("a name has no closing quotation mark")
			return
		}
		n = end + 1
		p.token = rest[:n]
		p.at += n + 1
		return
	case n == 0:
		n = 1
	case n < 0:
		n = len(rest)
	}
	p.token = rest[:n]
	p.at += n
}

func (p *ruleParser) expect(token string) {
	if p.token != token {
		p.fail("'%s' is expected", token)
		return
	}
	p.next()
}

func (p *ruleParser) or() ruleNode {
	list := ruleAny{p.and()}
	for p.token == "OR" {
		p.element()
		p.next()
		list = append(list, p.and())
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func (p *ruleParser) and() ruleNode {
	list := ruleAll{p.not()}
	for p.token == "AND" {
		p.element()
		p.next()
		list = append(list, p.not())
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// element counts what a rule is made of, which bounds how deep it goes too.
func (p *ruleParser) element() {
	if p.elements++; p.elements > maxRuleElements {
		p.fail("it has more than %d elements", maxRuleElements)
	}
}

func (p *ruleParser) not() ruleNode {
	p.element()
	token := p.token
	switch token {
	case "NOT":
		p.next()
		return ruleNot{p.not()}
	case "(":
		p.next()
		n := p.or()
		p.expect(")")
		return n
	case "TRUE", "FALSE":
		p.next()
		return ruleConst(token == "TRUE")
	case OK, InAlarm, InsufficientData:
		p.next()
		p.expect("(")
		n := ruleState{token, p.name()}
		p.expect(")")
		return n
	case "AT_LEAST":
		return p.atLeast()
	case "":
		p.fail("it ends too early")
	default:
		p.fail("unexpected '%s'", token)
	}
	return ruleConst(false)
}

// name reads an alarm's name or ARN.
func (p *ruleParser) name() string {
	name, quoted := strings.CutPrefix(p.token, `"`)
	if name == "" || !quoted && strings.Contains("(),", name) {
		p.fail("an alarm's name is expected")
		return ""
	}
	p.element()
	p.next()
	name = nameOf(name)
	if name != "" && !slices.Contains(p.names, name) {
		p.names = append(p.names, name)
	}
	return name
}

// nameOf is the name in an alarm's ARN, or what is none itself.
func nameOf(arn string) string {
	if strings.HasPrefix(arn, "arn:") {
		if _, name, ok := strings.Cut(arn, ":alarm:"); ok {
			return name
		}
	}
	return arn
}

// atLeast reads AT_LEAST(2, ALARM, (a, b, c)); the number may be a percentage, the
// state follow a NOT.
func (p *ruleParser) atLeast() ruleNode {
	var r ruleLeast
	p.next()
	p.expect("(")
	digits, percent := strings.CutSuffix(p.token, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || percent && n > 100 {
		p.fail("a number or percentage is expected")
		return r
	}
	r.least, r.percent = n, percent
	p.next()
	p.expect(",")
	if p.token == "NOT" {
		r.not = true
		p.next()
	}
	if p.token != OK && p.token != InAlarm && p.token != InsufficientData {
		p.fail("a state is expected")
		return r
	}
	r.state = p.token
	p.next()
	p.expect(",")
	p.expect("(")
	r.names = append(r.names, p.name())
	for p.token == "," {
		p.next()
		r.names = append(r.names, p.name())
	}
	p.expect(")")
	p.expect(")")
	if !r.percent && r.least > len(r.names) {
		p.fail("AT_LEAST asks for more alarms than it has")
	}
	return r
}
