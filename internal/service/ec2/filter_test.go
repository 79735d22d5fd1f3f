package ec2

import (
	"regexp"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

func TestMatchPattern(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false}, {"a", "ab", false},
		{"*", "", true}, {"*", "anything", true}, {"a*", "a", true}, {"a*c", "abbbc", true}, {"a*c", "abbbcd", false},
		{"*b*", "abc", true}, {"*a*a*", "banana", true}, {"*a*a*a*a*", "banana", false},
		{"?", "a", true}, {"?", "", false}, {"a?c", "abc", true}, {"호?", "호수", true}, {"??", "호수", true},
		{`\*`, "*", true}, {`\*`, "a", false}, {`a\?`, "a?", true}, {`\\`, `\`, true}, {`a\`, `a\`, true}, {`*\*amazon\?\\`, `so-called *amazon?\`, true},
	} {
		if got := matchPattern(test.pattern, test.s); got != test.want {
			t.Errorf("%q against %q: %v", test.pattern, test.s, got)
		}
	}
}

func FuzzMatchPattern(f *testing.F) {
	for _, p := range []string{"*", "a*b?c", `\*\\`, "호*"} {
		f.Add(p, "a*b?c")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 50 || len(s) > 200 || !isText(pattern) || !isText(s) {
			t.Skip("regexp has other ideas of broken text, and takes long for long patterns")
		}
		if got, want := matchPattern(pattern, s), regexp.MustCompile(expression(pattern)).MatchString(s); got != want {
			t.Errorf("%q against %q: %v, want %v", pattern, s, got, want)
		}
	})
}

func isText(s string) bool { return strings.ToValidUTF8(s, "") == s }

// expression is a pattern as a regular expression.
func expression(pattern string) string {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	r := []rune(pattern)
	for i := 0; i < len(r); i++ {
		switch {
		case r[i] == '*':
			b.WriteString(".*")
		case r[i] == '?':
			b.WriteString(".")
		case r[i] == '\\' && i+1 < len(r):
			i++
			fallthrough
		default:
			b.WriteString(regexp.QuoteMeta(string(r[i])))
		}
	}
	return b.String() + `\z`
}

func TestSelected(t *testing.T) {
	type lake struct {
		name string
		tags map[string]string
	}
	lakes := []lake{{"tarn", map[string]string{"size": "small"}}, {"sea", map[string]string{"size": "", "salt": "yes"}}, {name: "pond"}}
	has := func(l lake) func(string) ([]string, bool) {
		return attributes{"name": one(l.name), "depth": nil}.tagged(l.tags)
	}
	f := func(name string, values ...string) ec2api.Filter { return ec2api.Filter{Name: &name, Values: values} }
	for _, test := range []struct {
		filters []ec2api.Filter
		want    string
	}{
		{nil, "tarn sea pond"},
		{[]ec2api.Filter{f("name", "t*", "sea")}, "tarn sea"},
		{[]ec2api.Filter{f("name", "t*", "sea"), f("tag-key", "salt")}, "sea"},
		{[]ec2api.Filter{f("tag:size", "small")}, "tarn"},
		{[]ec2api.Filter{f("tag:size", "")}, "sea"},
		{[]ec2api.Filter{f("tag:size", "*")}, "tarn sea"},
		{[]ec2api.Filter{f("tag-key", "size", "salt")}, "tarn sea"},
		{[]ec2api.Filter{f("depth", "*")}, ""},
		{[]ec2api.Filter{f("name")}, ""},
	} {
		got, err := selected(lakes, test.filters, has)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, l := range got {
			names = append(names, l.name)
		}
		if strings.Join(names, " ") != test.want {
			t.Errorf("%v: %v, want %s", test.filters, names, test.want)
		}
	}
	for code, filters := range map[string][]ec2api.Filter{
		"InvalidParameterValue": {f("name", "tarn"), f("colour", "blue")},
		"FilterLimitExceeded":   {f("name", make([]string, 201)...)},
	} {
		for _, items := range [][]lake{lakes, nil} { // wrong is wrong, whatever there is
			if _, err := selected(items, filters, has); api.Code(err) != code {
				t.Errorf("%v, want %s", err, code)
			}
		}
	}
	if _, err := selected(lakes, []ec2api.Filter{{Values: []string{"a"}}}, has); api.Code(err) != "InvalidParameterValue" {
		t.Errorf("a filter without a name: %v", err)
	}
}

// FuzzPage reads tokens from outside: they give a page or an error.
func FuzzPage(f *testing.F) {
	f.Add("")
	f.Add("YWZ0ZXIgYg==")
	f.Fuzz(func(t *testing.T, token string) {
		items := []string{"a", "b", "c"}
		got, next, err := page(items, func(s string) string { return s }, new(int32(2)), &token, 1, 2)
		if err != nil && api.Code(err) != "InvalidParameterValue" || len(got) > 2 || next != nil && len(got) != 2 {
			t.Errorf("%v, %v, %v", got, next, err)
		}
	})
}

// FuzzBlock reads the blocks of rules.
func FuzzBlock(f *testing.F) {
	for _, s := range []string{"0.0.0.0/0", "10.1.2.3/8", "::/0", "1.2.3.4", "::ffff:1.2.3.4/96", "fe80::1%eth0"} {
		f.Add(s, strings.Contains(s, ":"))
	}
	f.Fuzz(func(t *testing.T, s string, v6 bool) {
		p, err := blockOf(s, v6)
		if err != nil {
			if api.Code(err) != "InvalidParameterValue" {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if p != p.Masked() || p.Addr().Is4() == v6 {
			t.Errorf("%q became %s", s, p)
		}
		if again, err := blockOf(p.String(), v6); err != nil || again != p {
			t.Errorf("%s became %s, %v", p, again, err)
		}
	})
}

func TestPorts(t *testing.T) {
	n := func(i int32) *int32 { return &i }
	for _, test := range []struct {
		protocol string
		from, to *int32
		want     [2]int32
		ok       bool
	}{
		{"tcp", n(0), n(65535), [2]int32{0, 65535}, true}, {"tcp", n(-1), n(-1), [2]int32{}, false}, {"udp", n(1), nil, [2]int32{}, false},
		{"icmp", n(-1), n(-1), [2]int32{-1, -1}, true}, {"icmp", n(8), n(0), [2]int32{8, 0}, true}, {"icmp", n(8), n(-1), [2]int32{8, -1}, true},
		{"icmp", n(-1), n(0), [2]int32{}, false}, {"icmp", n(256), n(0), [2]int32{}, false}, {"icmp", nil, nil, [2]int32{}, false},
		{"icmpv6", nil, nil, [2]int32{-1, -1}, true}, {"-1", n(22), n(22), [2]int32{-1, -1}, true}, {"50", n(22), n(22), [2]int32{-1, -1}, true},
	} {
		from, to, err := ports(test.protocol, test.from, test.to)
		if (err == nil) != test.ok || err == nil && [2]int32{from, to} != test.want {
			t.Errorf("%s %v %v: %d, %d, %v", test.protocol, test.from, test.to, from, to, err)
		}
	}
}

func TestRuleText(t *testing.T) {
	for text, want := range map[string]bool{
		"Permit the control plane to communicate (443) [a=b] & more!$*": true,
		"a\nb": false, "a'b": false, "호수": false, "": true, "a?": false, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false,
	} {
		if got := ruleText(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
