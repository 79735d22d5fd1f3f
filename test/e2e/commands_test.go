package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/util/jsonpath"
)

// waitfor [-for DURATION] PATTERN PROGRAM [ARG...] runs the program until its
// output matches. What the pattern's named groups matched becomes variables.
// With ! it waits until the output does not match.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	patience := time.Minute
	if len(args) > 2 && args[0] == "-for" {
		var err error
		patience, err = time.ParseDuration(args[1])
		ts.Check(err)
		args = args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor [-for DURATION] PATTERN PROGRAM [ARG...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		// A program that fails has not got there yet.
		failed := ts.Exec(args[1], args[2:]...)
		match := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
		if failed == nil && (match != nil) != neg {
			for i, name := range pattern.SubexpNames() {
				if name != "" && match != nil {
					ts.Setenv(name, match[i])
				}
			}
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("%s has passed; match %t was wanted of %q", patience, !neg, args[0])
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

// machine FILE writes down what is on this machine.
func machine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: machine FILE")
	}
	text, err := describeMachine(ts.Getenv("TARN_DATA_DIR"))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// processes FILE writes down which processes the region has, by name and number.
func processes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: processes FILE")
	}
	found, err := regionProcesses(ts.Getenv("TARN_DATA_DIR"))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(found.count()), 0o644))
}
