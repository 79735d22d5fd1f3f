package policy

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// condition is one key under one operator. Its values are alternatives; the conditions
// of a statement must all hold.
type condition struct {
	op       *operator
	quant    quantifier
	ifExists bool
	key      string // lower case
	keyText  string
	values   []condValue
}

type quantifier int

const (
	single quantifier = iota
	forAnyValue
	forAllValues
)

// condValue is a value of the policy, in the form its operator wants. One that does not
// have that form matches nothing.
type condValue struct {
	ok     bool
	text   pattern
	arn    arnPattern
	number *big.Rat
	date   time.Time
	prefix netip.Prefix
	binary []byte
	truth  bool
}

type operator struct {
	negated bool
	options int // of compilePattern
	read    func(string) condValue
	match   func(v *condValue, value string, env environment) bool
	dates   bool
	null    bool
}

func readString(string) condValue { return condValue{ok: true} }

func matchString(v *condValue, value string, env environment) bool { return v.text.match(value, env) }

func stringOp(options int, negated bool) *operator {
	return &operator{negated: negated, options: options | withVariables, read: readString, match: matchString}
}

func arnOp(negated bool) *operator {
	return &operator{
		negated: negated,
		read:    readString,
		match: func(v *condValue, value string, env environment) bool {
			arn, ok := parseARN(value)
			return ok && v.arn.match(&arn, env)
		},
	}
}

func numericOp(negated bool, holds func(order int) bool) *operator {
	return &operator{
		negated: negated,
		read: func(s string) condValue {
			n, ok := parseNumber(s)
			return condValue{number: n, ok: ok}
		},
		match: func(v *condValue, value string, _ environment) bool {
			n, ok := parseNumber(value)
			return ok && holds(n.Cmp(v.number))
		},
	}
}

func dateOp(negated bool, holds func(order int) bool) *operator {
	return &operator{
		negated: negated, dates: true,
		read: func(s string) condValue {
			t, ok := parseDate(s)
			return condValue{date: t, ok: ok}
		},
		match: func(v *condValue, value string, _ environment) bool {
			t, ok := parseDate(value)
			return ok && holds(t.Compare(v.date))
		},
	}
}

func ipOp(negated bool) *operator {
	return &operator{
		negated: negated,
		read: func(s string) condValue {
			p, ok := parsePrefix(s)
			return condValue{prefix: p, ok: ok}
		},
		match: func(v *condValue, value string, _ environment) bool {
			a, err := netip.ParseAddr(value)
			return err == nil && v.prefix.Contains(a.Unmap().WithZone(""))
		},
	}
}

func readTruth(s string) condValue {
	yes := strings.EqualFold(s, "true")
	return condValue{truth: yes, ok: yes || strings.EqualFold(s, "false")}
}

func equal(order int) bool          { return order == 0 }
func less(order int) bool           { return order < 0 }
func lessOrEqual(order int) bool    { return order <= 0 }
func greater(order int) bool        { return order > 0 }
func greaterOrEqual(order int) bool { return order >= 0 }

// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
var operators = map[string]*operator{
	"StringEquals":              stringOp(0, false),
	"StringNotEquals":           stringOp(0, true),
	"StringEqualsIgnoreCase":    stringOp(withFold, false),
	"StringNotEqualsIgnoreCase": stringOp(withFold, true),
	"StringLike":                stringOp(withWildcards, false),
	"StringNotLike":             stringOp(withWildcards, true),
	"NumericEquals":             numericOp(false, equal),
	"NumericNotEquals":          numericOp(true, equal),
	"NumericLessThan":           numericOp(false, less),
	"NumericLessThanEquals":     numericOp(false, lessOrEqual),
	"NumericGreaterThan":        numericOp(false, greater),
	"NumericGreaterThanEquals":  numericOp(false, greaterOrEqual),
	"DateEquals":                dateOp(false, equal),
	"DateNotEquals":             dateOp(true, equal),
	"DateLessThan":              dateOp(false, less),
	"DateLessThanEquals":        dateOp(false, lessOrEqual),
	"DateGreaterThan":           dateOp(false, greater),
	"DateGreaterThanEquals":     dateOp(false, greaterOrEqual),
	"IpAddress":                 ipOp(false),
	"NotIpAddress":              ipOp(true),
	"ArnEquals":                 arnOp(false),
	"ArnLike":                   arnOp(false),
	"ArnNotEquals":              arnOp(true),
	"ArnNotLike":                arnOp(true),
	"Bool": {
		read: readTruth,
		match: func(v *condValue, value string, _ environment) bool {
			got := readTruth(value)
			return got.ok && got.truth == v.truth
		},
	},
	"BinaryEquals": {
		read: func(s string) condValue {
			b, err := base64.StdEncoding.DecodeString(s)
			return condValue{binary: b, ok: err == nil}
		},
		match: func(v *condValue, value string, _ environment) bool {
			b, err := base64.StdEncoding.DecodeString(value)
			return err == nil && bytes.Equal(b, v.binary)
		},
	},
	"Null": {null: true, read: readTruth},
}

// newCondition compiles a condition; not ok for an operator that does not exist.
func newCondition(name, key string, values []string, variables bool) (*condition, bool) {
	c := &condition{key: strings.ToLower(key), keyText: key}
	if rest, ok := strings.CutPrefix(name, "ForAnyValue:"); ok {
		c.quant, name = forAnyValue, rest
	} else if rest, ok := strings.CutPrefix(name, "ForAllValues:"); ok {
		c.quant, name = forAllValues, rest
	}
	name, c.ifExists = strings.CutSuffix(name, "IfExists")
	c.op = operators[name]
	if c.op == nil || c.op.null && c.ifExists {
		return nil, false
	}
	for _, s := range values {
		v := c.op.read(s)
		options := c.op.options
		if !variables {
			options &^= withVariables
		}
		v.text = compilePattern(s, options)
		if strings.HasPrefix(name, "Arn") {
			v.arn = newARNPattern(s, variables)
			if strings.Trim(s, "*") == "" {
				v.arn = newARNPattern("arn", variables)
			}
			v.text = pattern{}
		}
		c.values = append(c.values, v)
	}
	return c, true
}

// badDate reports a date that IAM's parser refuses.
func (c *condition) badDate() bool {
	if c.op.dates {
		for _, v := range c.values {
			if !v.ok {
				return true
			}
		}
	}
	return false
}

func (c *condition) holds(env environment) bool {
	values := env.lookup(c.key)
	if c.op.null {
		for _, v := range c.values {
			if v.ok && v.truth == (len(values) == 0) {
				return true
			}
		}
		return false
	}
	if len(values) == 0 {
		switch {
		case c.ifExists, c.quant == forAllValues:
			return true
		case c.quant == forAnyValue:
			return false
		}
		return c.op.negated
	}
	for _, value := range values {
		matches := c.matches(value, env)
		switch c.quant {
		case single:
			if matches {
				return !c.op.negated
			}
		case forAnyValue:
			if matches != c.op.negated {
				return true
			}
		case forAllValues:
			if matches == c.op.negated {
				return false
			}
		}
	}
	switch c.quant {
	case forAnyValue:
		return false
	case forAllValues:
		return true
	}
	return c.op.negated
}

// matches reports whether one value of the request is among those of the policy.
func (c *condition) matches(value string, env environment) bool {
	for i := range c.values {
		if v := &c.values[i]; v.ok && c.op.match(v, value, env) {
			return true
		}
	}
	return false
}

// parseNumber reads an integer or a decimal fraction; exponents are not numbers here.
func parseNumber(s string) (*big.Rat, bool) {
	if s == "" || len(s) > 64 {
		return nil, false
	}
	for i := range len(s) {
		if c := s[i]; !('0' <= c && c <= '9' || c == '.' || i == 0 && (c == '-' || c == '+')) {
			return nil, false
		}
	}
	return new(big.Rat).SetString(s)
}

// parseDate reads ISO 8601 as W3C profiles it, or seconds since 1970.
func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"} {
		if len(s) == 4 != (layout == "2006") {
			continue // four digits are a year
		}
		if t, err := time.Parse(layout, strings.ToUpper(s)); err == nil {
			return t, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(n, 0), true
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil
}
