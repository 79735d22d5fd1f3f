package cloudwatch

import (
	"fmt"
	"strconv"
	"strings"
)

// mathNode is a part of an expression of metric math.
type mathNode interface{}

type (
	mathNumber float64
	mathString string
	mathName   string // the id of a query, or a word that a function takes
	mathUnary  struct{ of mathNode }
	mathBinary struct {
		op   string
		l, r mathNode
	}
	mathCall struct {
		name string // in capitals
		args []mathNode
	}
)

const (
	maxExpression = 2048 // characters
	maxMathDepth  = 100
)

// parseMath reads an expression. The error is the end of a sentence for the caller.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
func parseMath(text string) (mathNode, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("an expression can have at most %d characters", maxExpression)
	}
	p := mathParser{text: text}
	p.next()
	n := p.expression(0)
	if p.err == nil && p.token != "" {
		p.fail("unexpected '%s'", p.token)
	}
	return n, p.err
}

// binding of the binary operators: the more, the tighter. ^ binds to the right.
var binding = map[string]int{
	"OR": 1, "||": 1, "AND": 2, "&&": 2,
	"==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4,
	"+": 5, "-": 5, "*": 6, "/": 6, "^": 8,
}

const unaryBinding = 7

// mathParser reads by precedence climbing. After the first error everything else
// comes to nothing.
type mathParser struct {
	text  string
	at    int    // behind the token
	start int    // of the token
	token string // "" at the end; a string begins with a quotation mark
	depth int
	err   error
}

func (p *mathParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%s at character %d", fmt.Sprintf(format, args...), p.start+1)
	}
	p.token, p.at = "", len(p.text)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWord(c byte) bool  { return isDigit(c) || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func (p *mathParser) next() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.start = p.at
	rest := p.text[p.at:]
	n := 1
	switch {
	case rest == "":
		n = 0
	case rest[0] == '"' || rest[0] == '\'':
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 0 {
			p.fail("a string has no end")
			return
		}
		p.token, p.at = rest[:end+1], p.at+end+2
		return
	case isDigit(rest[0]) || rest[0] == '.':
		n = numberLength(rest)
	case isWord(rest[0]):
		for n < len(rest) && isWord(rest[n]) {
			n++
		}
	default:
		for _, op := range []string{"||", "&&", "==", "!=", "<=", ">="} {
			if strings.HasPrefix(rest, op) {
				n = 2
			}
		}
	}
	p.token = rest[:n]
	p.at += n
}

// numberLength is how long the number is that a text begins with: 12, .5, 1e-3.
func numberLength(s string) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || s[n] == '.') {
		n++
	}
	if n < len(s) && s[n]|0x20 == 'e' {
		e := n + 1
		if e < len(s) && (s[e] == '+' || s[e] == '-') {
			e++
		}
		if e < len(s) && isDigit(s[e]) {
			for n = e; n < len(s) && isDigit(s[n]); n++ {
			}
		}
	}
	return n
}

// expression reads operators that bind at least so tightly.
func (p *mathParser) expression(least int) mathNode {
	if p.depth++; p.depth > maxMathDepth {
		p.fail("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	left := p.operand()
	for {
		op := strings.ToUpper(p.token)
		b := binding[op]
		if b == 0 || b < least {
			return left
		}
		p.next()
		if op == "^" {
			left = mathBinary{op, left, p.expression(b)}
		} else {
			left = mathBinary{op, left, p.expression(b + 1)}
		}
	}
}

func (p *mathParser) operand() mathNode {
	token := p.token
	switch {
	case token == "":
		p.fail("it ends too early")
	case token == "-" || token == "+":
		p.next()
		n := p.expression(unaryBinding)
		if token == "-" {
			return mathUnary{n}
		}
		return n
	case token == "(":
		p.next()
		n := p.expression(0)
		p.expect(")")
		return n
	case token == "[":
		return p.array()
	case token[0] == '"' || token[0] == '\'':
		p.next()
		return mathString(token[1:])
	case isDigit(token[0]) || token[0] == '.':
		v, err := strconv.ParseFloat(token, 64)
		if err != nil {
			p.fail("%s is no number", token)
			return nil
		}
		p.next()
		return mathNumber(v)
	case isWord(token[0]):
		if strings.EqualFold(token, "SELECT") {
			p.fail("Metrics Insights queries (SELECT) are not supported")
			return nil
		}
		p.next()
		if p.token == "(" {
			return mathCall{strings.ToUpper(token), p.arguments(")")}
		}
		return mathName(token)
	default:
		p.fail("unexpected '%s'", token)
	}
	return nil
}

// array reads [m1, m2], which is the same as a function of all of them.
func (p *mathParser) array() mathNode { return mathCall{arrayOf, p.arguments("]")} }

// arrayOf is the name of what [ ] makes; no word is.
const arrayOf = "[]"

// arguments reads what is between the opening token, which it is at, and the end.
func (p *mathParser) arguments(end string) []mathNode {
	p.next()
	var args []mathNode
	if p.token == end {
		p.next()
		return args
	}
	args = append(args, p.expression(0))
	for p.token == "," {
		p.next()
		args = append(args, p.expression(0))
	}
	p.expect(end)
	return args
}

func (p *mathParser) expect(token string) {
	if p.token != token {
		p.fail("'%s' is expected", token)
		return
	}
	p.next()
}

// walk calls do with a node and all that it is made of.
func walk(n mathNode, do func(mathNode)) {
	do(n)
	switch n := n.(type) {
	case mathUnary:
		walk(n.of, do)
	case mathBinary:
		walk(n.l, do)
		walk(n.r, do)
	case mathCall:
		for _, a := range n.args {
			walk(a, do)
		}
	}
}
