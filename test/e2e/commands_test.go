package e2e

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/util/jsonpath"
)

// kubectl [ARG...] is `exec kubectl`: the program is built apart, so that it starts
// without what the tests link.
func kubectl(ts *testscript.TestScript, neg bool, args []string) {
	switch err := ts.Exec("kubectl", args...); {
	case err != nil && !neg:
		ts.Fatalf("kubectl: %v", err)
	case err == nil && neg:
		ts.Fatalf("unexpected kubectl success")
	}
}

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

// as FILE makes the script's further AWS calls with the keys in a file that the
// aws CLI wrote: of create-access-key, assume-role or get-session-token. as root
// goes back to the account's root.
func as(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as FILE, or as root")
	}
	type keys struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	var answer struct{ AccessKey, Credentials keys }
	if args[0] != "root" {
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &answer))
	}
	k := answer.AccessKey
	if k.AccessKeyID == "" {
		k = answer.Credentials
	}
	ts.Setenv("AWS_ACCESS_KEY_ID", k.AccessKeyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", k.SecretAccessKey)
	ts.Setenv("AWS_SESSION_TOKEN", k.SessionToken)
}
