package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	// patience is how long Kubernetes may take to get somewhere.
	patience = 3 * time.Minute
	// pause is between two looks: a look is a process that takes up to half a second of
	// CPU, and scripts wait side by side.
	pause = time.Second
)

// waitforProgram is `waitfor [-for DURATION] PATTERN PROGRAM [ARG...]` in the
// scripts: it runs the program until its output matches.
func waitforProgram() {
	patience := flag.Duration("for", patience, "how long to wait")
	flag.Parse()
	if flag.NArg() < 2 {
		fail(fmt.Errorf("usage: waitfor [-for DURATION] PATTERN PROGRAM [ARG...]"))
	}
	pattern, err := regexp.Compile("(?m)" + flag.Arg(0))
	if err != nil {
		fail(err)
	}
	last, err := poll(*patience, flag.Args()[1:], pattern.Match)
	fmt.Printf("%s", last)
	if err != nil {
		fail(err)
	}
}

// settlesProgram is `settles FILE PROGRAM [ARG...]` in the scripts: it runs the
// program until its output is what the file holds.
func settlesProgram() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: settles FILE PROGRAM [ARG...]"))
	}
	want, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	last, err := poll(patience, os.Args[2:], func(output []byte) bool { return bytes.Equal(output, want) })
	if err != nil {
		fail(fmt.Errorf("%w; differences:\n%s", err, cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(last), "\n"))))
	}
}

// stillProgram is `still PROGRAM [ARG...]` in the scripts: it runs the program until
// its output is what it was a moment before.
func stillProgram() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: still PROGRAM [ARG...]"))
	}
	var before []byte
	last, err := poll(patience, os.Args[1:], func(output []byte) bool {
		same := before != nil && bytes.Equal(output, before)
		before = output
		return same
	})
	fmt.Printf("%s", last)
	if err != nil {
		fail(err)
	}
}

// poll runs a program until it succeeds and its output is as wanted, and returns
// the last output.
func poll(patience time.Duration, program []string, wanted func(output []byte) bool) ([]byte, error) {
	deadline := time.After(patience)
	for {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(program[0], program[1:]...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err == nil && wanted(stdout.Bytes()) {
			return stdout.Bytes(), nil
		}
		select {
		case <-deadline:
			if err != nil {
				return stdout.Bytes(), fmt.Errorf("still failing after %s: %w\n%s", patience, err, stderr.Bytes())
			}
			return stdout.Bytes(), fmt.Errorf("the output is not yet as wanted after %s: %s", patience, stdout.Bytes())
		case <-time.After(pause):
		}
	}
}
