package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/trail"
)

// recorded is a state directory with two calls on record.
func recorded(t *testing.T) string {
	t.Helper()
	dir := stateDir(t, identity(t, known))
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	record(t, dir, trail.Record{
		UserIdentity: trail.Identity{Type: "Root"}, EventTime: time.Date(2026, 11, 23, 8, 5, 6, 0, time.UTC),
		EventSource: "eks.amazonaws.com", EventName: "CreateCluster", AdditionalEventData: trail.Additional{DurationMilliseconds: 12.34},
	}, trail.Record{
		UserIdentity: trail.Identity{Type: "IAMUser", UserName: "alice"}, EventTime: time.Date(2026, 11, 23, 8, 5, 7, 0, time.UTC),
		EventSource: "ec2.amazonaws.com", EventName: "RunInstances", ErrorCode: "Client.UnauthorizedOperation", ErrorMessage: "You are not <authorized>",
	})
	return dir
}

func record(t *testing.T, dir string, records ...trail.Record) {
	t.Helper()
	to, err := trail.Open(trail.Config{File: filepath.Join(dir, "log", "trail.json")})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		to.Add(r)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTrail(t *testing.T) {
	dir := recorded(t)
	out, err := tarn(t, "trail", "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), out)
	}
	for n, words := range [][]string{{"root", "eks.CreateCluster", "ok", "12.3 ms"}, {"alice", "ec2.RunInstances", "UnauthorizedOperation"}} {
		at := time.Date(2026, 11, 23, 8, 5, 6+n, 0, time.UTC).Local().Format(time.DateTime)
		for _, w := range append(words, at) {
			if !strings.Contains(lines[n], w) {
				t.Errorf("%q does not say %q", lines[n], w)
			}
		}
	}
}

func TestTrailAsJSON(t *testing.T) {
	dir := recorded(t)
	out, err := tarn(t, "trail", "--data-dir", dir, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "log", "trail.json"))
	if err != nil || out != string(file) {
		t.Errorf("%s\n%v, want what was written:\n%s", out, err, file)
	}
	var names []string
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var r trail.Record
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		names = append(names, r.EventName)
	}
	if strings.Join(names, " ") != "CreateCluster RunInstances" {
		t.Errorf("%v", names)
	}
}

// watcher is an output that tells of each line.
type watcher struct{ lines chan string }

func (w watcher) Write(p []byte) (int, error) {
	w.lines <- string(p)
	return len(p), nil
}

func TestTrailFollows(t *testing.T) {
	dir := recorded(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := watcher{make(chan string, 9)}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"trail", "--data-dir", dir, "--follow"}, out, io.Discard) }()
	next := func(want string) {
		t.Helper()
		select {
		case line := <-out.lines:
			if !strings.Contains(line, want) {
				t.Errorf("%q, want %s", line, want)
			}
		case err := <-ended:
			t.Fatalf("it ended before %s: %v", want, err)
		case <-time.After(20 * time.Second):
			t.Fatalf("waited in vain for %s", want)
		}
	}
	next("CreateCluster")
	next("RunInstances")
	record(t, dir, trail.Record{EventSource: "sts.amazonaws.com", EventName: "GetCallerIdentity"})
	next("GetCallerIdentity")
	cancel() // Ctrl-C
	if err := <-ended; err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
}

func TestTrailErrors(t *testing.T) {
	dir := stateDir(t, identity(t, known))
	_, err := tarn(t, "trail", "--data-dir", dir)
	says(t, "before there are calls", err, dir, "tarn up")
	for _, args := range [][]string{{"-o", "yaml"}, {"-o", "table"}} {
		_, err := tarn(t, append([]string{"trail", "--data-dir", dir}, args...)...)
		says(t, args[1], err, args[1], "json")
	}
	_, err = tarn(t, "trail", "--data-dir", dir, "--since", "1h")
	says(t, "an unknown flag", err, "--since")
	_, err = tarn(t, "trail", "--data-dir", dir, "more")
	says(t, "an argument", err, "more")

	// What is no record is left out.
	dir = recorded(t)
	file := filepath.Join(dir, "log", "trail.json")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(bytes.Clone(whole), `{"eventName":"Half`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := tarn(t, "trail", "--data-dir", dir); err != nil || strings.Count(out, "\n") != 2 || strings.Contains(out, "Half") {
		t.Errorf("half a line: %s, %v", out, err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		_, err := tarn(t, "trail", "--data-dir", dir)
		says(t, "root's file", err, file, "sudo")
	}
}
