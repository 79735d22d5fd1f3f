package ecr

import (
	"strings"
	"testing"
)

func TestCheckLifecycle(t *testing.T) {
	rules := func(all ...string) string { return `{"rules":[` + strings.Join(all, ",") + `]}` }
	rule := func(selection string) string {
		return `{"rulePriority":1,"selection":{` + selection + `},"action":{"type":"expire"}}`
	}
	second := func(rule string) string { return strings.Replace(rule, `y":1`, `y":2`, 1) }
	const (
		count    = `"countType":"imageCountMoreThan","countNumber":1`
		untagged = `"tagStatus":"untagged",`
		anyTag   = `"tagStatus":"any",`
		tagged   = `"tagStatus":"tagged",`
	)
	for _, tc := range []struct{ name, text, want string }{
		{"count", rules(rule(untagged + count)), ""},
		{"age", rules(rule(anyTag + `"countType":"sinceImagePushed","countUnit":"days","countNumber":1`)), ""},
		{"prefix", rules(rule(tagged + `"tagPrefixList":["v"],` + count)), ""},
		{"pattern", rules(rule(tagged + `"tagPatternList":["v*"],` + count)), ""},
		{"two", rules(rule(untagged+count), second(rule(anyTag+count))), ""},

		{"not JSON", "rules", string(unreadable)},
		{"empty", "", string(unreadable)},
		{"two documents", rules(rule(untagged+count)) + "{}", string(unreadable)},
		{"a list", "[]", string(unreadable)},
		{"unknown property", `{"rules":[],"x":1}`, string(unreadable)},
		{"no rules", `{}`, `object has missing required properties (["rules"])`},
		{"none", `{"rules":[]}`, "array is too short"},
		{"no priority", rules(`{"selection":{},"action":{"type":"expire"}}`), `(["rulePriority"])`},
		{"no selection", rules(`{"rulePriority":1,"action":{"type":"expire"}}`), `(["selection"])`},
		{"no action", rules(`{"rulePriority":1,"selection":{}}`), `(["action"])`},
		{"no type", rules(`{"rulePriority":1,"selection":{},"action":{}}`), `(["type"])`},
		{"another type", rules(`{"rulePriority":1,"selection":{},"action":{"type":"keep"}}`), `instance value ("keep") not found in enum (possible values: ["expire"])`},
		{"priority 0", rules(strings.Replace(rule(untagged+count), `y":1`, `y":0`, 1)), "minimum: 1, found: 0"},
		{"no status", rules(rule(count)), `(["tagStatus"])`},
		{"another status", rules(rule(`"tagStatus":"some",` + count)), `("some") not found`},
		{"no count type", rules(rule(untagged + `"countNumber":1`)), `(["countType"])`},
		{"another count type", rules(rule(untagged + `"countType":"x","countNumber":1`)), `("x") not found`},
		{"no number", rules(rule(untagged + `"countType":"imageCountMoreThan"`)), `(["countNumber"])`},
		{"number 0", rules(rule(untagged + `"countType":"imageCountMoreThan","countNumber":0`)), "found: 0"},
		{"no unit", rules(rule(untagged + `"countType":"sinceImagePushed","countNumber":1`)), `(["countUnit"])`},
		{"another unit", rules(rule(untagged + `"countType":"sinceImagePushed","countUnit":"weeks","countNumber":1`)), `("weeks") not found`},
		{"a unit for a count", rules(rule(untagged + `"countUnit":"days",` + count)), "countUnit is for"},
		{"tagged, how", rules(rule(tagged + count)), "one of them, must be specified"},
		{"tagged, both", rules(rule(tagged + `"tagPrefixList":["v"],"tagPatternList":["v*"],` + count)), "one of them"},
		{"prefixes of what has no tags", rules(rule(untagged + `"tagPrefixList":["v"],` + count)), "not untagged"},
		{"same priority", rules(rule(untagged+count), rule(tagged+`"tagPrefixList":["v"],`+count)), "two rules have the rulePriority 1"},
		{"any is not last", rules(rule(anyTag+count), second(rule(untagged+count))), "highest rulePriority"},
		{"any twice", rules(second(rule(anyTag+count)), strings.Replace(rule(anyTag+count), `y":1`, `y":2`, 1)), "two rules"},
		{"untagged twice", rules(rule(untagged+count), second(rule(untagged+count))), "one rule with tagStatus untagged"},
		{"long", strings.Repeat(" ", 30721), "string is too long"},
	} {
		err := checkLifecycle(tc.text)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
}

// FuzzLifecycle wants an answer, and of what is accepted that it says all that
// is needed to act by it.
func FuzzLifecycle(f *testing.F) {
	f.Add(`{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if checkLifecycle(text) == nil && (len(text) < 100 || !strings.Contains(text, "{")) {
			t.Errorf("accepted %q", text)
		}
	})
}

// FuzzManifest wants an answer.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:00","size":-1}]}`))
	f.Add([]byte(`{"schemaVersion":2,"config":null,"layers":[{"size":1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, ok := readManifest(raw)
		if ok && m.MediaType == "" {
			t.Errorf("%s has no type", raw)
		}
		_, _, _ = m.size(), m.artifact(), m.isList()
	})
}
