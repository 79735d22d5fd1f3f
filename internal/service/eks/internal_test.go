package eks

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestAdvance(t *testing.T) {
	issues := []Issue{{Code: "AsgInstanceLaunchFailures"}}
	reached, failing, givenUp := Progress{Reached: true}, Progress{Issues: issues}, Progress{Issues: issues, GivenUp: true}
	for _, test := range []struct {
		from   Status
		p      Progress
		to     Status
		update string
	}{
		{Creating, Progress{}, Creating, ""},
		{Creating, reached, Active, ""},
		{Creating, failing, Creating, ""},
		{Creating, givenUp, CreateFailed, ""},
		{CreateFailed, givenUp, CreateFailed, ""},
		{CreateFailed, reached, Active, ""},
		{Updating, Progress{}, Updating, ""},
		{Updating, reached, Active, successful},
		{Updating, failing, Updating, ""},
		{Updating, givenUp, Degraded, failed},
		{Active, Progress{}, Active, ""}, // an instance is replaced
		{Active, failing, Active, ""},
		{Active, givenUp, Degraded, ""},
		{Degraded, Progress{}, Degraded, ""},
		{Degraded, reached, Active, ""},
		{Deleting, reached, Deleting, ""},
		{Deleting, givenUp, Deleting, ""},
	} {
		status, update := Nodegroup{Status: test.from}.Advance(test.p)
		if status != test.to || update != test.update {
			t.Errorf("%s with %+v: %s %q, want %s %q", test.from, test.p, status, update, test.to, test.update)
		}
	}
}

// Whatever values are, they are checked without a panic; and what is allowed is
// an object of the kinds that the schema names.
func FuzzAddonValues(f *testing.F) {
	for _, s := range []string{"", "{}", "replicaCount: 2", `{"corefile": ".:53 {}"}`, "[1]", "a: &a [*a]", "replicaCount: 1e99"} {
		f.Add(s)
	}
	coredns := addonKinds("1.37.2")[0]
	f.Fuzz(func(t *testing.T, text string) {
		if coredns.check(text) != "" {
			return
		}
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatalf("%q is allowed: %v", text, err)
		}
		for k, value := range v {
			if kind, _ := typeOf(value); coredns.values[k].Type != kind {
				t.Errorf("%q is allowed", text)
			}
		}
		if _, err := json.Marshal(v); err != nil {
			t.Error(err)
		}
	})
}

func FuzzPrincipal(f *testing.F) {
	for _, s := range []string{"", "arn:aws:iam::1:role/a/b", "arn:aws:iam::1:user/", "arn:aws:iam::1:root", "arn:aws:iam::1:group/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parsePrincipal(text)
		if ok && (p.String() != text || p.name == "" || !slices.Contains([]string{"role", "user", "root"}, p.kind)) {
			t.Errorf("%q became %+v", text, p)
		}
	})
}

// A list read page by page is the list, whatever the size of pages.
func FuzzPage(f *testing.F) {
	f.Add(3, 1, "")
	f.Add(250, 100, "YQ")
	f.Fuzz(func(t *testing.T, n, size int, token string) {
		if n < 0 || n > 1000 {
			return
		}
		var keys, got []string
		for i := range n {
			keys = append(keys, fmt.Sprintf("%04d", i))
		}
		if _, _, err := page(slices.Clone(keys), new(int32(size)), &token); err != nil && token == "" && size >= 1 && size <= maxResultsLimit {
			t.Fatal(err)
		}
		for next := new(""); next != nil; {
			var part []string
			var err error
			if part, next, err = page(slices.Clone(keys), new(int32(size)), next); err != nil {
				return
			}
			got = append(got, part...)
		}
		if !slices.Equal(keys, got) {
			t.Errorf("%d keys by %d: %v", n, size, got)
		}
	})
}

func FuzzServiceCIDR(f *testing.F) {
	for _, s := range []string{"", "10.100.0.0/16", "192.168.0.0/16", "::/0", "172.16.0.0/11"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, problem := serviceCIDR(text, private[2:])
		if problem == "" && (!p.Addr().IsPrivate() || p.Bits() < 12 || p.Bits() > 24 || p.Overlaps(private[2])) {
			t.Errorf("%q became %s", text, p)
		}
	})
}
