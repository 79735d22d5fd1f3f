package policy

import "testing"

func TestConditions(t *testing.T) {
	env := keys{
		"k": {"Apple"}, "empty": {}, "n": {"42"}, "frac": {"2.50"}, "word": {"x"}, "t": {"true"},
		"ip": {"192.168.3.4"}, "ip6": {"2001:db8::1"}, "mapped": {"::ffff:10.0.0.1"}, "date": {"2026-03-04T05:06:07Z"}, "epoch": {"1772600767"},
		"bin": {"aGVsbG8="}, "arn": {"arn:aws:iam::123456789012:role/path/r"}, "many": {"a", "b"}, "one": {"a"}, "aws:username": {"ann"}, "who": {"ann"},
		"odd": {"?*"},
	}
	tests := []struct {
		op, key string
		values  []string
		want    bool
	}{
		{"StringEquals", "k", []string{"Apple"}, true},
		{"StringEquals", "K", []string{"Apple"}, true}, // keys fold, values do not
		{"StringEquals", "k", []string{"apple"}, false},
		{"StringEquals", "k", []string{"Pear", "Apple"}, true},
		{"StringEquals", "k", []string{"App*"}, false},
		{"StringEquals", "absent", []string{"x"}, false},
		{"StringEquals", "empty", []string{"x"}, false},
		{"StringEquals", "k", nil, false},
		{"StringEqualsIfExists", "absent", []string{"x"}, true},
		{"StringEqualsIfExists", "k", []string{"x"}, false},
		{"StringEquals", "who", []string{"${aws:username}"}, true},
		{"StringEquals", "odd", []string{"${?}${*}"}, true},
		{"StringNotEquals", "k", []string{"Pear"}, true},
		{"StringNotEquals", "k", []string{"Pear", "Apple"}, false},
		{"StringNotEquals", "absent", []string{"x"}, true},
		{"StringNotEqualsIfExists", "absent", []string{"x"}, true},
		{"StringEqualsIgnoreCase", "k", []string{"aPPLE"}, true},
		{"StringNotEqualsIgnoreCase", "k", []string{"aPPLE"}, false},
		{"StringLike", "k", []string{"A?p*"}, true},
		{"StringLike", "k", []string{"a?p*"}, false},
		{"StringNotLike", "k", []string{"A*"}, false},
		{"StringNotLike", "k", []string{"B*"}, true},

		{"NumericEquals", "n", []string{"42.0"}, true},
		{"NumericEquals", "word", []string{"42"}, false},
		{"NumericNotEquals", "n", []string{"42"}, false},
		{"NumericNotEquals", "word", []string{"42"}, true},
		{"NumericLessThan", "n", []string{"42"}, false},
		{"NumericLessThan", "n", []string{"43"}, true},
		{"NumericLessThanEquals", "frac", []string{"2.5"}, true},
		{"NumericGreaterThan", "frac", []string{"2.49"}, true},
		{"NumericGreaterThanEquals", "n", []string{"100", "42"}, true},
		{"NumericEquals", "n", []string{"4.2e1"}, false},
		{"NumericEquals", "n", []string{"forty-two"}, false},

		{"DateEquals", "date", []string{"2026-03-04T05:06:07Z"}, true},
		{"DateEquals", "date", []string{"2026-03-04T14:06:07+09:00"}, true},
		{"DateEquals", "epoch", []string{"2026-03-04T05:06:07Z"}, true},
		{"DateEquals", "date", []string{"1772600767"}, true},
		{"DateNotEquals", "date", []string{"2026-03-04"}, true},
		{"DateLessThan", "date", []string{"2027"}, true},
		{"DateLessThanEquals", "date", []string{"2026-03-04T05:06:07.0Z"}, true},
		{"DateGreaterThan", "date", []string{"2026-03-04"}, true},
		{"DateGreaterThanEquals", "date", []string{"2026-04"}, false},
		{"DateGreaterThan", "word", []string{"2020-01-01"}, false},

		{"Bool", "t", []string{"true"}, true},
		{"Bool", "t", []string{"TRUE"}, true},
		{"Bool", "t", []string{"false"}, false},
		{"Bool", "word", []string{"false"}, false},
		{"Bool", "absent", []string{"false"}, false},
		{"BoolIfExists", "absent", []string{"true"}, true},

		{"BinaryEquals", "bin", []string{"aGVsbG8="}, true},
		{"BinaryEquals", "bin", []string{"aGVsbG8h"}, false},
		{"BinaryEquals", "bin", []string{"!"}, false},

		{"IpAddress", "ip", []string{"192.168.0.0/16"}, true},
		{"IpAddress", "ip", []string{"10.0.0.0/8", "192.168.3.4"}, true},
		{"IpAddress", "ip", []string{"10.0.0.0/8"}, false},
		{"IpAddress", "ip6", []string{"2001:db8::/32"}, true},
		{"IpAddress", "mapped", []string{"10.0.0.0/8"}, true},
		{"IpAddress", "word", []string{"0.0.0.0/0"}, false},
		{"IpAddress", "absent", []string{"0.0.0.0/0"}, false},
		{"NotIpAddress", "ip", []string{"10.0.0.0/8"}, true},
		{"NotIpAddress", "ip", []string{"192.168.0.0/16"}, false},
		{"NotIpAddress", "absent", []string{"10.0.0.0/8"}, true},

		{"ArnEquals", "arn", []string{"arn:aws:iam::123456789012:role/path/r"}, true},
		{"ArnEquals", "arn", []string{"arn:aws:iam::*:role/*"}, true},
		{"ArnLike", "arn", []string{"arn:aws:iam::123456789012:user/*"}, false},
		{"ArnLike", "arn", []string{"*"}, true},
		{"ArnLike", "word", []string{"*"}, false},
		{"ArnLike", "arn", []string{"arn:aws:*:role/*"}, false},
		{"ArnNotLike", "arn", []string{"arn:aws:iam::*:user/*"}, true},
		{"ArnNotEquals", "arn", []string{"arn:aws:iam::*:role/*"}, false},
		{"ArnLikeIfExists", "absent", []string{"arn:aws:iam::*:role/*"}, true},

		{"Null", "absent", []string{"true"}, true},
		{"Null", "absent", []string{"false"}, false},
		{"Null", "k", []string{"true"}, false},
		{"Null", "k", []string{"false"}, true},
		{"Null", "empty", []string{"true"}, true},

		// AWS's table of set operators.
		{"ForAllValues:StringEquals", "many", []string{"a", "b", "c"}, true},
		{"ForAllValues:StringEquals", "many", []string{"a"}, false},
		{"ForAllValues:StringEquals", "absent", []string{"a"}, true},
		{"ForAllValues:StringEquals", "empty", []string{"a"}, true},
		{"ForAllValues:StringNotEquals", "many", []string{"c"}, true},
		{"ForAllValues:StringNotEquals", "many", []string{"a", "c"}, false},
		{"ForAnyValue:StringEquals", "many", []string{"b", "z"}, true},
		{"ForAnyValue:StringEquals", "many", []string{"z"}, false},
		{"ForAnyValue:StringEquals", "absent", []string{"z"}, false},
		{"ForAnyValue:StringEqualsIfExists", "absent", []string{"z"}, true},
		{"ForAnyValue:StringNotEquals", "many", []string{"a"}, true},
		{"ForAnyValue:StringNotEquals", "one", []string{"a"}, false},
		{"ForAnyValue:StringNotEquals", "absent", []string{"a"}, false},
		{"ForAnyValue:StringLike", "many", []string{"B*", "b*"}, true},
		{"ForAllValues:ArnLike", "arn", []string{"arn:aws:iam::*:role/*"}, true},
		// Several values without a set operator.
		{"StringEquals", "many", []string{"b"}, true},
		{"StringNotEquals", "many", []string{"b"}, false},
	}
	for _, tt := range tests {
		c, ok := newCondition(tt.op, tt.key, tt.values, true)
		if !ok {
			t.Errorf("%s does not exist", tt.op)
			continue
		}
		if got := c.holds(env); got != tt.want {
			t.Errorf("%s %s %q: %v", tt.op, tt.key, tt.values, got)
		}
	}
	for _, name := range []string{"", "stringEquals", "StringEqual", "ForAnyValues:StringEquals", "ForAnyValue:ForAllValues:StringEquals", "IfExists", "NullIfExists"} {
		if _, ok := newCondition(name, "k", nil, true); ok {
			t.Errorf("%q was taken", name)
		}
	}
}
