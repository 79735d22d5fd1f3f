package e2e

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/util/jsonpath"
)

// patience is how long Kubernetes may take to get somewhere.
const patience = time.Minute

// waitfor PATTERN PROGRAM [ARG...] runs the program until its output matches;
// what named groups match becomes variables. With ! it waits until the output
// does not match.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor PATTERN PROGRAM [ARG...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	poll(ts, args[1:], func(output string) bool {
		match := pattern.FindStringSubmatch(output)
		for i, name := range pattern.SubexpNames() {
			if name != "" && match != nil {
				ts.Setenv(name, match[i])
			}
		}
		return (match != nil) != neg
	})
}

// settles FILE PROGRAM [ARG...] runs the program until its output is the file's.
func settles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: settles FILE PROGRAM [ARG...]")
	}
	want := ts.ReadFile(args[0])
	poll(ts, args[1:], func(output string) bool { return output == want })
}

// poll runs a program until it succeeds and its output is as wanted. A program
// that fails has not got there yet.
func poll(ts *testscript.TestScript, program []string, wanted func(output string) bool) {
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(program[0], program[1:]...)
		if err == nil && wanted(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("waited %s for another output (%v)", patience, err)
		case <-tick.C:
		}
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
