package store_test

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
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestOtherProcessesUseTheSocketOnly(t *testing.T) {
	before := listeners(t)
	s := storetest.Open(t)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := t.Context()
	put, err := client.Put(ctx, "/registry/pods/a", "pod")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Client().Get(ctx, "/registry/pods/a"); err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "pod" {
		t.Errorf("through the in-process client: %v, %v", got, err)
	}
	watch := client.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(put.Header.Revision))
	if resp := <-watch; resp.Err() != nil || len(resp.Events) != 1 {
		t.Errorf("watch: %+v", resp)
	}
	if after := listeners(t); after != before {
		t.Errorf("TCP listeners of this machine before:\n%safter:\n%s", before, after)
	}
	info, err := os.Stat(strings.TrimPrefix(s.Endpoint(), "unix://"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}

	// The open watch must not hold up the end.
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second { // etcd alone takes 7 s
		t.Errorf("Close took %v", took)
	}
}

// listeners returns the listening TCP sockets that this process owns.
func listeners(t *testing.T) string {
	t.Helper()
	mine := map[string]bool{}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err == nil { // it may be closed by now
			if inode, ok := strings.CutPrefix(link, "socket:["); ok {
				mine[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	var out strings.Builder
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		data, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine[f[9]] {
				out.WriteString(line)
			}
		}
	}
	return out.String()
}

func TestRestart(t *testing.T) {
	cfg := store.Config{Dir: t.TempDir(), Socket: storetest.Socket(t)}
	want := map[string]int64{}
	for round := range 4 {
		s := storetest.Start(t, cfg)
		lakes := store.NewCollection[lake](s.Client(), "lakes")
		items, _, err := lakes.List(t.Context(), "")
		if err != nil || len(items) != len(want) {
			t.Fatalf("round %d: %d items of %d, %v", round, len(items), len(want), err)
		}
		for _, it := range items {
			if it.Revision != want[it.Key] {
				t.Errorf("round %d: %s at revision %d, not %d", round, it.Key, it.Revision, want[it.Key])
			}
		}
		for i := range 200 {
			it, err := lakes.Create(t.Context(), fmt.Sprintf("%d/%d", round, i), lake{})
			if err != nil {
				t.Fatal(err)
			}
			want[it.Key] = it.Revision
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if err, open := <-s.Err(); open {
			t.Errorf("Err after Close: %v", err)
		}
		if _, err := os.Stat(cfg.Socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
		if _, err := lakes.Get(t.Context(), "0/0"); err == nil {
			t.Error("a closed store answers")
		}
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	dir, socket := t.TempDir(), storetest.Socket(t)
	acknowledged := map[string]bool{}
	for _, kill := range []int{1, 50, 400} {
		cmd := child(t, "writer", dir, socket)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n := 0
		err = lines(out, func(key string) {
			acknowledged[key] = true
			if n++; n == kill {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil || n < kill {
			t.Fatalf("the child ended by itself after %d writes: %v", n, err)
		}
	}
	s := storetest.Start(t, store.Config{Dir: dir, Socket: socket}) // over the dead socket
	items, _, err := store.NewCollection[lake](s.Client(), "lakes").List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.Value.Name != it.Key {
			t.Errorf("%q holds %+v", it.Key, it.Value)
		}
		delete(acknowledged, it.Key)
	}
	for key := range acknowledged {
		t.Errorf("%s was acknowledged and is lost", key)
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	dir, socket := t.TempDir(), storetest.Socket(t)
	cmd := child(t, "holder", dir, socket)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, err = store.Start(ctx, store.Config{Dir: dir, Socket: storetest.Socket(t)})
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the same directory: %v", err)
	}
	_, err = store.Start(ctx, store.Config{Dir: t.TempDir(), Socket: socket})
	if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), socket) {
		t.Errorf("the same socket: %v", err)
	}
	soon, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := store.Start(soon, store.Config{Dir: dir, Socket: storetest.Socket(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}

	// One that is just ending is waited for.
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Start(t, store.Config{Dir: dir, Socket: storetest.Socket(t)})
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestBadConfig(t *testing.T) {
	long := "/" + strings.Repeat("x", 107)
	for _, tc := range []struct {
		cfg  store.Config
		want string
	}{
		{store.Config{Socket: "s"}, "must be set"},
		{store.Config{Dir: "d"}, "must be set"},
		{store.Config{Dir: t.TempDir(), Socket: long}, "108 bytes, and Linux allows 107"},
	} {
		if _, err := store.Start(t.Context(), tc.cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v", tc.cfg, err)
		}
	}
	// The longest that is allowed works.
	dir := filepath.Dir(storetest.Socket(t))
	storetest.Start(t, store.Config{Socket: dir + "/" + strings.Repeat("x", 106-len(dir))})
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("not root: a small disk of its own needs the right to mount")
	}
	cmd := child(t, "disk", t.TempDir(), storetest.Socket(t))
	// Go makes the new namespace's mounts private, so the disk is seen by the child only.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this root may not make a mount namespace")
	}
	if err != nil || !bytes.HasPrefix(out, []byte("kept ")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSizeLimit(t *testing.T) {
	cfg := store.Config{Dir: t.TempDir(), Socket: storetest.Socket(t), QuotaBytes: 8 << 20}
	s := storetest.Start(t, cfg)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	value := lake{Name: strings.Repeat("x", 512<<10)}
	it, err := lakes.Create(t.Context(), "a", value)
	for range 100 { // each update leaves its predecessor in the history
		if err != nil {
			break
		}
		it, err = lakes.Update(t.Context(), it)
	}
	if !errors.Is(err, store.ErrDiskFull) || !strings.Contains(err.Error(), "size limit") {
		t.Fatalf("at the limit: %v", err)
	}
	if _, err := lakes.Get(t.Context(), "a"); err != nil {
		t.Errorf("reading at the limit: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As the error says: a restart makes room.
	s = storetest.Start(t, cfg)
	if _, err := store.NewCollection[lake](s.Client(), "lakes").Create(t.Context(), "b", value); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

func TestLogIsBridged(t *testing.T) {
	var buf bytes.Buffer // slog's handlers lock
	lg := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelInfo}))
	s := storetest.Start(t, store.Config{Logger: lg})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log := buf.String()
	for _, want := range []string{`level=INFO msg="now serving peer/client/metrics"`, "logger=raft", "store serves"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	if strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=DEBUG") {
		t.Error("errors or debug lines in the log of a good run")
	}
	if t.Failed() {
		t.Log(log)
	}
}

func BenchmarkStart(b *testing.B) {
	cfg := store.Config{Dir: b.TempDir(), Socket: storetest.Socket(b)}
	for b.Loop() {
		s, err := store.Start(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	lakes := store.NewCollection[lake](storetest.Open(b).Client(), "lakes")
	for i := 0; b.Loop(); i++ {
		if _, err := lakes.Create(b.Context(), fmt.Sprint(i), lake{}); err != nil {
			b.Fatal(err)
		}
	}
}
