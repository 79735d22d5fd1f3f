package policy

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// keys is an environment of fixed values.
type keys map[string][]string

func (k keys) lookup(key string) []string { return k[key] }

func TestPattern(t *testing.T) {
	env := keys{"aws:username": {"ann"}, "aws:principaltag/team": {"a*b"}, "many": {"x", "y"}, "odd": {"Ann"}}
	tests := []struct {
		pattern, value string
		options        int
		want           bool
	}{
		{"abc", "abc", withWildcards, true},
		{"abc", "ABC", withWildcards, false},
		{"aBc", "AbC", withWildcards | withFold, true},
		{"", "", withWildcards, true},
		{"", "a", withWildcards, false},
		{"*", "", withWildcards, true},
		{"**", "anything", withWildcards, true},
		{"?", "", withWildcards, false},
		{"?", "한", withWildcards, true},
		{"?", "ab", withWildcards, false},
		{"a*", "a", withWildcards, true},
		{"a*c", "abbc", withWildcards, true},
		{"a*c", "abbcd", withWildcards, false},
		{"*a*b*", "xxaxxbxx", withWildcards, true},
		{"*ab", "aab", withWildcards, true},
		{"a?c*", "abcde", withWildcards, true},
		{"*?", "", withWildcards, false},
		{"?*", "a", withWildcards, true},
		{"*??", "한", withWildcards, false}, // characters, not bytes
		{"*글?", "한글글!", withWildcards, true},
		{"a*b", "a*b", 0, true},
		{"a*b", "axb", 0, false},
		{"a.c", "abc", withWildcards, false},
		{"${aws:username}", "ann", withVariables, true},
		{"${aws:username}", "bob", withVariables, false},
		{"${aws:username}", "${aws:username}", withWildcards, true}, // no variables in the old version
		{"${ AWS:UserName }", "ann", withVariables, true},
		{"x-${aws:username}-*", "x-ann-1", withVariables | withWildcards, true},
		{"${aws:nothing}", "", withVariables, false},
		{"${aws:nothing, 'none'}", "none", withVariables, true},
		{"${aws:username, 'none'}", "none", withVariables, false},
		{"${aws:username, 'none'}", "ann", withVariables, true},
		{"${aws:nothing, ''}", "", withVariables, true},
		{"${many}", "x", withVariables, false},
		{"${many, 'z'}", "z", withVariables, false},
		{"${*}${?}${$}", "*?$", withVariables | withWildcards, true},
		{"${*}", "x", withVariables | withWildcards, false},
		{"${aws:PrincipalTag/team}", "a*b", withVariables | withWildcards, true},
		{"${aws:PrincipalTag/team}", "axb", withVariables | withWildcards, false}, // a tag is no pattern
		{"${aws:username", "${aws:username", withVariables, true},
		{"$", "$", withVariables, true},
		{"${odd}", "aNN", withVariables | withFold, true},
	}
	for _, tt := range tests {
		p := compilePattern(tt.pattern, tt.options)
		if got := p.match(tt.value, env); got != tt.want {
			t.Errorf("%q (options %b) on %q: %v", tt.pattern, tt.options, tt.value, got)
		}
	}
}

// TestGlobIsNotExponential would not end if it were.
func TestGlobIsNotExponential(t *testing.T) {
	p := compilePattern(strings.Repeat("*a", 200), withWildcards)
	if p.match(strings.Repeat("a", 5000)+"b", nil) {
		t.Error("matched")
	}
}

func TestARNPattern(t *testing.T) {
	tests := []struct {
		pattern, arn string
		want         bool
	}{
		{"arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a/b", true},
		{"arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", false},
		{"arn:aws:ec2:*:*:network-interface/*", "arn:aws:ec2:eu-west-1:123456789012:network-interface/eni-1", true},
		{"arn:aws:ec2:*:*:network-interface/*", "arn:aws:ec2:eu-west-1:123456789012:instance/i-1", false},
		{"arn:aws:ec2:*:instance/*", "arn:aws:ec2:eu-west-1:123456789012:instance/i-1", false}, // a star stays in its part
		{"arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/eks-*", "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:uuid:autoScalingGroupName/eks-x", true},
		{"arn:aws:sqs", "arn:aws:sqs:eu-west-1:123456789012:q", true},
		{"arn:aws:s?s:*:*:q", "arn:aws:sqs:eu-west-1:123456789012:q", true},
		{"arn:*:s3:::b", "arn:aws-cn:s3:::b", true},
		{"arn:aws:iam::123456789012:role/${aws:username}", "arn:aws:iam::123456789012:role/ann", true},
		{"arn:aws:iam::${acct}:role/r", "arn:aws:iam::123456789012:role/r", true},
	}
	env := keys{"aws:username": {"ann"}, "acct": {"123456789012"}}
	for _, tt := range tests {
		p := newARNPattern(tt.pattern, true)
		arn, ok := parseARN(tt.arn)
		if got := p.match(&arn, env); !ok || got != tt.want {
			t.Errorf("%s on %s: %v", tt.pattern, tt.arn, got)
		}
	}
}

func TestActionSet(t *testing.T) {
	s := newActionSet([]string{"ec2:Describe*", "S3:GetObject", "iam:*User?"}, false)
	n := newActionSet([]string{"ec2:Describe*", "S3:GetObject", "iam:*User?"}, true)
	for action, want := range map[string]bool{
		"ec2:DescribeInstances": true, "EC2:describeinstances": true, "s3:getobject": true, "s3:GetObjectAcl": false,
		"iam:ListUsers": true, "iam:ListUser": false, "": false,
	} {
		if got := s.match(foldCase(action)); got != want {
			t.Errorf("%s: %v", action, got)
		}
		if got := n.match(foldCase(action)); got == want {
			t.Errorf("not %s: %v", action, got)
		}
	}
	for _, all := range []string{"*", "**", "*:*"} {
		s := newActionSet([]string{all}, false)
		if !s.match("a:b") {
			t.Error(all)
		}
	}
}

// FuzzMatch compares with a regular expression that says the same.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*?*", "한글")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		if len(pattern) > 200 || len(value) > 1000 || !utf8.ValidString(pattern) || !utf8.ValidString(value) {
			return
		}
		var re strings.Builder
		re.WriteString(`(?s)\A`)
		for _, c := range pattern {
			switch c {
			case '*':
				re.WriteString(".*")
			case '?':
				re.WriteString(".")
			default:
				re.WriteString(regexp.QuoteMeta(string(c)))
			}
		}
		re.WriteString(`\z`)
		p := compilePattern(pattern, withWildcards)
		if got, want := p.match(value, nil), regexp.MustCompile(re.String()).MatchString(value); got != want {
			t.Fatalf("%q on %q: %v, the regular expression says %v", pattern, value, got, want)
		}
	})
}

// FuzzParse: no document makes the parser fail otherwise than with IAM's error, and what
// it takes can be evaluated.
func FuzzParse(f *testing.F) {
	f.Add(identity(`{"Sid":"a","Effect":"Allow","Action":["s3:*"],"Resource":"arn:aws:s3:::${aws:username}/*","Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":["a*"]}}}`))
	f.Add(`{"Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}`)
	f.Fuzz(func(t *testing.T, document string) {
		for _, kind := range []Kind{IdentityPolicy, TrustPolicy, ResourcePolicy} {
			p, err := Parse(kind, document)
			if err != nil {
				if _, ok := err.(*Error); !ok || p != nil {
					t.Fatalf("%T %v", err, p)
				}
				continue
			}
			r := &Request{
				Principal: Principal{Type: User, ARN: "arn:aws:iam::123456789012:user/a", Account: "123456789012", UserName: "a"},
				Action:    "s3:GetObject", Resources: []string{"arn:aws:s3:::a/b"},
				Context: map[string][]string{"aws:tagkeys": {"ab", "c"}, "aws:currenttime": {"2026-01-01T00:00:00Z"}},
			}
			ps := &Policies{Resource: Source{"r", p}}
			if kind == IdentityPolicy {
				ps = &Policies{Identity: []Source{{"i", p}}}
			}
			d := Evaluate(r, ps)
			if d.Allowed() && len(d.Matched) == 0 {
				t.Fatal("allowed by nothing")
			}
			ContextKeys(p)
			for _, s := range p.statements {
				if s.start.Line < 1 || s.end.Line < s.start.Line {
					t.Fatalf("positions %v %v", s.start, s.end)
				}
			}
		}
	})
}
