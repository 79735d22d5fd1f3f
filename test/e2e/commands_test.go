package e2e

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/util/jsonpath"
)

// let NAME [JSONPATH] sets a variable to the last output, or to what the path
// finds in it.
func let(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: let NAME [JSONPATH]")
	}
	value := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		var document any
		ts.Check(json.Unmarshal([]byte(value), &document))
		path := jsonpath.New(args[0])
		ts.Check(path.Parse(args[1]))
		var found strings.Builder
		ts.Check(path.Execute(&found, document))
		value = found.String()
	}
	if value == "" {
		ts.Fatalf("%s would be empty", args[0])
	}
	ts.Setenv(args[0], value)
}

// within ADDRESS... PREFIX checks that the addresses lie in a network.
func within(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: within ADDRESS... PREFIX")
	}
	last := len(args) - 1
	prefix, err := netip.ParsePrefix(args[last])
	ts.Check(err)
	for _, arg := range args[:last] {
		address, err := netip.ParseAddr(arg)
		ts.Check(err)
		if prefix.Contains(address) == neg {
			ts.Fatalf("%s is in %s: %t", address, prefix, !neg)
		}
	}
}
