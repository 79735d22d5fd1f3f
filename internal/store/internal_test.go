package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.uber.org/zap"
)

func FuzzKey(f *testing.F) {
	f.Add("lakes", "a/b", "boats", "a/b")
	f.Add("a", "b/c", "a.b", "c")
	f.Add("a", "\xff\x00/../", "a-", "\n")
	f.Fuzz(func(t *testing.T, name1, key1, name2, key2 string) {
		if !validName.MatchString(name1) || !validName.MatchString(name2) {
			t.Skip()
		}
		path1, path2 := encodeKey(name1, key1), encodeKey(name2, key2)
		if key, ok := decodeKey(name1, path1); !ok || key != key1 {
			t.Errorf("%q of %s came back as %q, %v", key1, name1, key, ok)
		}
		if same := name1 == name2 && key1 == key2; (path1 == path2) != same {
			t.Errorf("%s %q and %s %q: paths %q and %q", name1, key1, name2, key2, path1, path2)
		}
		if _, ok := decodeKey(name2, path1); ok != (name1 == name2) {
			t.Errorf("%q taken for a path of %s: %v", path1, name2, ok)
		}
	})
}

func FuzzParseFormat(f *testing.F) {
	f.Add([]byte(`{"format":1,"tarn":"v0.1.0"}`))
	f.Add([]byte(`{"format":1,"new":true}`))
	f.Add([]byte(`{"format":99,"tarn":"v9","more":[]}`))
	f.Add([]byte(`{"format":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parseFormat(data)
		if err == nil && parsed.Format < 1 {
			t.Errorf("accepted %+v", parsed)
		}
		if err != nil && parsed != (format{}) {
			t.Errorf("%+v with %v", parsed, err)
		}
	})
}

func TestDecideFormat(t *testing.T) {
	for name, tc := range map[string]struct {
		data   string
		member bool
		want   format
		err    error
	}{
		"empty directory":   {"", false, format{2, "v2", true}, nil},
		"foreign data":      {"", true, format{}, ErrDamaged},
		"same":              {`{"format":2,"tarn":"v2"}`, true, format{2, "v2", false}, nil},
		"of an older Tarn":  {`{"format":2,"tarn":"v1"}`, true, format{2, "v2", false}, nil},
		"start cut short":   {`{"format":1,"tarn":"v1","new":true}`, true, format{2, "v2", true}, nil},
		"of too old a Tarn": {`{"format":1,"tarn":"v1"}`, true, format{}, ErrOlder},
		"newer":             {`{"format":3,"tarn":"v3"}`, true, format{}, ErrNewer},
		"newer and new":     {`{"format":3,"tarn":"v3","new":true}`, false, format{}, ErrNewer},
		"not a version":     {`{"format":-1}`, true, format{}, ErrDamaged},
		"not JSON":          {"\x00\x00", true, format{}, ErrDamaged},
		"empty format file": {" ", true, format{}, ErrDamaged},
	} {
		var data []byte
		if tc.data != "" {
			data = []byte(tc.data)
		}
		got, err := decideFormat("dir", "v2", data, tc.member)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestErrorsAreNamed(t *testing.T) {
	path := func(errno error) error { return &os.PathError{Op: "write", Path: "db", Err: errno} }
	for _, tc := range []struct {
		cause error
		want  error // nil: the cause keeps its own name
	}{
		{path(syscall.ENOSPC), ErrDiskFull},
		{path(syscall.EDQUOT), ErrDiskFull},
		{path(syscall.EFBIG), ErrDiskFull},
		{fmt.Errorf("twice: %w", diskFull("d", path(syscall.ENOSPC))), ErrDiskFull},
		{path(syscall.EACCES), nil},
		{path(syscall.EMFILE), nil},
		{context.DeadlineExceeded, nil},
		{path(syscall.EIO), ErrDamaged},
		{path(syscall.ENOENT), ErrDamaged},
		{errors.New("walpb: crc mismatch"), ErrDamaged},
		{inUse("d"), ErrInUse},
	} {
		err := startError("the-dir", tc.cause)
		if !errors.Is(err, tc.cause) {
			t.Errorf("%v lost its cause", err)
		}
		for _, e := range []error{ErrDiskFull, ErrDamaged, ErrNewer, ErrInUse} {
			if errors.Is(err, e) != (e == tc.want) {
				t.Errorf("%v: is %v", err, e)
			}
		}
		if strings.Count(err.Error(), "start again") > 1 {
			t.Errorf("%v tells the way out twice", err)
		}
	}
	if err := runError("d", errors.New("walpb: crc mismatch")); errors.Is(err, ErrDamaged) {
		t.Errorf("%v claims damage on disk", err)
	}
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		rpctypes.ErrTimeout: true, rpctypes.ErrNoLeader: true, rpctypes.ErrStopped: true,
		rpctypes.ErrCompacted: false, rpctypes.ErrRequestTooLarge: false,
		context.Canceled: false, ErrClosed: false,
	} {
		if transient(&OpError{Err: err}) != want {
			t.Errorf("%v: transient is %v", err, !want)
		}
	}
}

func TestZapToSlog(t *testing.T) {
	var buf strings.Builder
	h := slog.NewTextHandler(&buf, &slog.HandlerOptions{
		Level:       slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return drop(a, slog.TimeKey) },
	})
	cr := newCrash()
	lg := newZap(h, cr).Named("raft").With(zap.Int("member", 7))
	lg.Debug("unseen")
	lg.Info("hello", zap.Strings("urls", []string{"a"}), zap.Error(nil))
	lg.Warn("hm", zap.Error(syscall.ENOSPC))
	ended := make(chan struct{})
	survived := false
	go func() {
		defer close(ended)
		lg.Fatal("failed to save", zap.String("path", "wal"), zap.Error(syscall.ENOSPC))
		survived = true
	}()
	<-ended
	<-cr.done
	if survived || !errors.Is(cr.err, syscall.ENOSPC) || cr.err.Error() != "failed to save (path wal): no space left on device" {
		t.Errorf("survived %v, crash %v", survived, cr.err)
	}
	want := `level=INFO msg=hello member=7 logger=raft urls=[a]
level=WARN msg=hm member=7 logger=raft error="no space left on device"
level=ERROR+4 msg="failed to save" member=7 logger=raft path=wal error="no space left on device"
`
	if diff := cmp.Diff(want, buf.String()); diff != "" {
		t.Error(diff)
	}

	// The end of the goroutine must not depend on whether the line is written.
	cr = newCrash()
	silent := newZap(slog.DiscardHandler, cr)
	go silent.Panic("tocommit is out of range")
	<-cr.done
}

func drop(a slog.Attr, key string) slog.Attr {
	if a.Key == key {
		return slog.Attr{}
	}
	return a
}
