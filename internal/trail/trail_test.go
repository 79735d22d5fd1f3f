package trail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func opened(t *testing.T, cfg Config) *Trail {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	tr, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// names are the events that a trail's files hold now, in order.
func names(t *testing.T, file string) []string {
	t.Helper()
	var out []string
	err := Read(t.Context(), file, false, func(line []byte) error {
		r, err := Parse(line)
		out = append(out, r.EventName)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAddAndRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trail.json")
	at := time.Date(2026, 11, 23, 8, 35, 36, 789, time.FixedZone("KST", 9*3600))
	want := Record{
		UserIdentity: Identity{Type: "IAMUser", PrincipalID: "AIDA", ARN: "arn:aws:iam::000000000000:user/alice", UserName: "alice"},
		EventTime:    at, EventSource: "iam.amazonaws.com", EventName: "CreateUser", AWSRegion: "us-east-1",
		RequestParameters: []byte(`{"userName":"<b>"}`), RequestID: "r-1",
		AdditionalEventData: Additional{DurationMilliseconds: 1.25},
	}
	tr := opened(t, Config{File: file})
	tr.Add(want)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDA",`,
		`"eventTime":"2026-11-22T23:35:36Z"`, `"requestParameters":{"userName":"<b>"},"responseElements":null,`,
		`"eventType":"AwsApiCall","managementEvent":true,`, `"eventCategory":"Management"}` + "\n",
	} {
		if !strings.Contains(string(b), part) {
			t.Errorf("%s\nlacks %s", b, part)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: it holds what callers sent, and is for its owner alone", info.Mode(), err)
	}
	got, err := Parse(bytes.TrimSpace(b))
	if err != nil || got.EventID == "" || got.UserIdentity != want.UserIdentity {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestRotation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trail.json")
	tr := opened(t, Config{File: file, MaxBytes: 1, Keep: 2}) // a file for each record
	for i := range 6 {
		tr.Add(Record{EventName: fmt.Sprint(i)})
		waitFor(t, func() bool { // or several become one batch, in one file
			b, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(b), fmt.Sprintf(`"eventName":"%d"`, i))
		})
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(t, file), " "); got != "3 4 5" {
		t.Errorf("records left: %s", got)
	}
	if old, err := rotated(file); err != nil || fmt.Sprint(old) != "[4 5]" {
		t.Errorf("files put away: %v, %v", old, err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen within 10 s")
		}
	}
}

// TestFollow has many callers write, files put away all the time, and a follower
// that must see every record once, those of each caller in order.
func TestFollow(t *testing.T) {
	const writers, each = 4, 500
	file := filepath.Join(t.TempDir(), "trail.json")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tr := opened(t, Config{File: file, MaxBytes: 20_000, Keep: 10_000})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				tr.Add(Record{EventName: fmt.Sprint(i), EventSource: fmt.Sprint(w)})
			}
		})
	}
	seen := map[string]int{}
	total, done := 0, errors.New("all seen")
	err := Read(ctx, file, true, func(line []byte) error {
		r, err := Parse(line)
		if err != nil {
			return err
		}
		if want := fmt.Sprint(seen[r.EventSource]); r.EventName != want {
			return fmt.Errorf("writer %s: record %s instead of %s", r.EventSource, r.EventName, want)
		}
		seen[r.EventSource]++
		if total++; total == writers*each {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Errorf("after %d records: %v", total, err)
	}
	wg.Wait()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if old, _ := rotated(file); len(old) < 10 {
		t.Errorf("only %d files were put away: the test shows nothing", len(old))
	}
	if got := len(names(t, file)); got != writers*each {
		t.Errorf("read again: %d records", got)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "trail.json")
	tr := opened(t, Config{File: file})
	tr.Add(Record{EventName: "one"})
	err := Read(ctx, file, true, func([]byte) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFollowAfterRemoval: whoever empties the trail by hand does not make a
// follower begin again.
func TestFollowAfterRemoval(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trail.json")
	write := func(name, event string) {
		if err := os.WriteFile(name, []byte(`{"eventName":"`+event+"\"}\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	write(file+".1", "a")
	write(file, "b")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []string
	err := Read(ctx, file, true, func(line []byte) error {
		r, err := Parse(line)
		got = append(got, r.EventName)
		switch r.EventName {
		case "b":
			if err := os.Remove(file); err != nil {
				return err
			}
			write(file, "c")
		case "c":
			cancel()
		}
		return err
	})
	if !errors.Is(err, context.Canceled) || strings.Join(got, " ") != "a b c" {
		t.Errorf("seen %v, %v", got, err)
	}
}

func TestHalfALine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trail.json")
	if err := os.WriteFile(file, []byte("{\"eventName\":\"a\"}\n{\"eventName\":\"b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(t, file), " "); got != "a" {
		t.Errorf("before the next start: %s", got)
	}
	tr := opened(t, Config{File: file})
	tr.Add(Record{EventName: "c"})
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(t, file), " "); got != "a c" {
		t.Errorf("after it: %s", got)
	}
}

func TestNothingToRead(t *testing.T) {
	err := Read(t.Context(), filepath.Join(t.TempDir(), "trail.json"), false, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read: %v", err)
	}
}

func TestLossIsSaid(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full, which is how the test fills a disk")
	}
	tr := opened(t, Config{File: "/dev/full", Logger: logger})
	tr.Add(Record{EventName: "a"})
	tr.Add(Record{EventName: "b"})
	err := tr.Close()
	if err == nil || !strings.Contains(err.Error(), "2 records of the trail were lost") {
		t.Errorf("Close: %v", err)
	}
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("said %d times instead of once:\n%s", n, &log)
	}
	tr.Add(Record{EventName: "late"})
	if !strings.Contains(log.String(), "event=late") {
		t.Errorf("a record after Close is not said to be missing:\n%s", &log)
	}
	if second := tr.Close(); second == nil || second.Error() != err.Error() {
		t.Errorf("Close again: %v", second)
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(Config{File: filepath.Join(t.TempDir(), "none", "trail.json")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open: %v", err)
	}
}

func BenchmarkAdd(b *testing.B) {
	tr, err := Open(Config{File: filepath.Join(b.TempDir(), "trail.json"), Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	r := Record{
		UserIdentity: Identity{
			Type: "AssumedRole", PrincipalID: "AROAEXAMPLE:session", ARN: "arn:aws:sts::000000000000:assumed-role/role/session",
			AccountID: "000000000000", AccessKeyID: "ASIAEXAMPLE",
			SessionContext: &SessionContext{
				SessionIssuer: &SessionIssuer{"Role", "AROAEXAMPLE", "arn:aws:iam::000000000000:role/role", "000000000000", "role"},
				Attributes:    &SessionAttributes{time.Now().UTC(), "false"},
			},
		},
		EventTime: time.Now(), EventSource: "ec2.amazonaws.com", EventName: "DescribeInstances", AWSRegion: "ap-northeast-2",
		SourceIPAddress: "192.168.1.2", UserAgent: "aws-sdk-go-v2/1.47.7 os/linux", ReadOnly: true,
		RequestParameters:  []byte(`{"instancesSet":{"items":[{"instanceId":"i-0123456789abcdef0"}]}}`),
		RequestID:          "11111111-2222-3333-4444-555555555555",
		RecipientAccountID: "000000000000",
	}
	b.ReportAllocs()
	for b.Loop() {
		tr.Add(r)
	}
	if err := tr.Close(); err != nil {
		b.Fatal(err)
	}
}
