package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"time"
)

// patience is how long Kubernetes may take to get somewhere.
const patience = time.Minute

// waitforProgram is `waitfor PATTERN PROGRAM [ARG...]` in the scripts: it runs
// the program until its output matches.
func waitforProgram() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: waitfor PATTERN PROGRAM [ARG...]"))
	}
	pattern, err := regexp.Compile("(?m)" + os.Args[1])
	if err != nil {
		fail(err)
	}
	poll(os.Args[2:], pattern.Match)
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
	poll(os.Args[2:], func(output []byte) bool { return bytes.Equal(output, want) })
}

// poll runs a program until it succeeds and its output is as wanted, and prints
// the last output.
func poll(program []string, wanted func(output []byte) bool) {
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	for {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(program[0], program[1:]...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err == nil && wanted(stdout.Bytes()) {
			_, _ = os.Stdout.Write(stdout.Bytes())
			return
		}
		select {
		case <-deadline:
			_, _ = os.Stdout.Write(stdout.Bytes())
			_, _ = os.Stderr.Write(stderr.Bytes())
			fail(fmt.Errorf("this is the output after %s (%v)", patience, err))
		case <-tick.C:
		}
	}
}
