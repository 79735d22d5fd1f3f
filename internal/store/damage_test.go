package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// stateDir makes a state directory with some data in it that nobody uses.
func stateDir(t *testing.T) string {
	t.Helper()
	cfg := store.Config{Dir: t.TempDir(), Socket: storetest.Socket(t), Version: "v1.2.3"}
	s := storetest.Start(t, cfg)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	for i := range 300 {
		if _, err := lakes.Create(t.Context(), fmt.Sprint(i), lake{Name: strings.Repeat("x", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg.Dir
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// edit replaces a file's content; name is a pattern that fits one file.
func edit(name string, change func([]byte) []byte) func(dir string) error {
	return func(dir string) error {
		files, err := filepath.Glob(filepath.Join(dir, name))
		if err != nil || len(files) != 1 {
			return fmt.Errorf("%v, %v: not one file", files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			return err
		}
		return os.WriteFile(files[0], change(data), 0o600)
	}
}

const (
	dbFile  = "member/snap/db"
	walFile = "member/wal/*.wal"
)

// used is the length of a write-ahead log without the zeroes allocated ahead.
func used(data []byte) int {
	for len(data) > 0 && data[len(data)-1] == 0 {
		data = data[:len(data)-1]
	}
	return len(data)
}

func TestDamagedAndForeign(t *testing.T) {
	t.Parallel()
	base := stateDir(t)
	for name, tc := range map[string]struct {
		do   func(dir string) error
		why  error
		says string
	}{
		"newer format": {
			edit("format", func([]byte) []byte { return []byte(`{"format":3,"tarn":"v9.0.0","more":{}}`) }),
			store.ErrNewer, "state format 3, written by Tarn v9.0.0, and this is Tarn v1.2.3, which knows formats up to 2; run the newer Tarn",
		},
		"older format": {
			edit("format", func([]byte) []byte { return []byte(`{"format":1,"tarn":"v0.1.0"}`) }),
			store.ErrOlder, "state format 1, written by Tarn v0.1.0, and this is Tarn v1.2.3, which knows formats from 2 on; run the older Tarn",
		},
		"garbled format": {
			edit("format", func([]byte) []byte { return []byte("{") }), store.ErrDamaged, "format file",
		},
		"no format": {
			func(dir string) error { return os.Remove(filepath.Join(dir, "format")) },
			store.ErrDamaged, "not a state directory of Tarn",
		},
		"no database": {
			func(dir string) error { return os.Remove(filepath.Join(dir, dbFile)) },
			store.ErrDamaged, "database file is missing",
		},
		"empty database": {
			edit(dbFile, func([]byte) []byte { return nil }), store.ErrDamaged, "it is empty",
		},
		"database cut short": {
			edit(dbFile, func(b []byte) []byte { return b[:5*4096] }), store.ErrDamaged, "it is cut short",
		},
		"database of one page": {
			edit(dbFile, func(b []byte) []byte { return b[:4096] }), store.ErrDamaged, "database",
		},
		"database overwritten": {
			edit(dbFile, func(b []byte) []byte { clear(b); return b }), store.ErrDamaged, "database",
		},
		"no log": {
			func(dir string) error { return os.RemoveAll(filepath.Join(dir, "member/wal")) },
			store.ErrDamaged, "write-ahead log is missing",
		},
		"log garbled": {
			edit(walFile, func(b []byte) []byte { b[used(b)/2] ^= 0xff; return b }), store.ErrDamaged, "crc mismatch",
		},
		"log cut short": {
			edit(walFile, func(b []byte) []byte { return b[:used(b)/2] }), store.ErrDamaged, "write-ahead log is cut short",
		},
		"log's end overwritten": {
			edit(walFile, func(b []byte) []byte { clear(b[used(b)/2:]); return b }), store.ErrDamaged, "",
		},
		"log empty": {
			edit(walFile, func([]byte) []byte { return nil }), store.ErrDamaged, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, base)
			if err := tc.do(dir); err != nil {
				t.Fatal(err)
			}
			_, err := store.Start(t.Context(), store.Config{Dir: dir, Socket: storetest.Socket(t), Version: "v1.2.3"})
			if !errors.Is(err, tc.why) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), "tarn delete") {
				t.Errorf("no way out in %q", err)
			}
		})
	}
}

// usedPages is how many pages of the database file are not free space at its end.
func usedPages(t *testing.T, dir string) (n int) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, dbFile), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error { n = int(tx.Size()) / 4096; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A page of noise anywhere in the database is either found, or it was in no use;
// it never takes the process with it.
func TestGarbledPages(t *testing.T) {
	t.Parallel()
	base := stateDir(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	damaged, pages := 0, usedPages(t, base)
	for page := 2; page < pages; page++ {
		dir := copyDir(t, base)
		err := edit(dbFile, func(b []byte) []byte {
			for i := range 4096 {
				b[page*4096+i] = byte(rnd.Uint32())
			}
			return b
		})(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := store.Start(t.Context(), store.Config{Dir: dir, Socket: storetest.Socket(t)})
		switch {
		case errors.Is(err, store.ErrDamaged):
			damaged++
		case err != nil:
			t.Errorf("page %d: %v", page, err)
		default:
			if err := s.Close(); err != nil {
				t.Errorf("page %d: %v", page, err)
			}
		}
	}
	t.Logf("%d pages, %d found damaged", pages, damaged)
	if damaged == 0 {
		t.Error("no damage was found in any page")
	}
}

// etcd can repair a log whose last record was being written when the power failed.
func TestTornLogIsRepaired(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	torn := append([]byte{0x60, 0, 0, 0, 0, 0, 0, 0}, "torn"...) // a record of 96 bytes, so far 4
	err := edit(walFile, func(b []byte) []byte {
		end := (used(b) + 7) &^ 7
		return append(b[:end:end], torn...)
	})(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := storetest.Start(t, store.Config{Dir: dir})
	items, _, err := store.NewCollection[lake](s.Client(), "lakes").List(t.Context(), "")
	if err != nil || len(items) != 300 {
		t.Errorf("%d items, %v", len(items), err)
	}
}

// What is left of a first start that was cut short is no data, and no damage.
func TestFirstStartCutShort(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "format"), []byte(`{"format":1,"new":true}`), 0o600),
		os.MkdirAll(filepath.Join(dir, "member/snap"), 0o700),
		os.WriteFile(filepath.Join(dir, dbFile), []byte("half a d"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	cfg := store.Config{Dir: dir, Socket: storetest.Socket(t)}
	s := storetest.Start(t, cfg)
	if _, err := store.NewCollection[lake](s.Client(), "lakes").Create(t.Context(), "a", lake{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = storetest.Start(t, cfg)
	if _, err := store.NewCollection[lake](s.Client(), "lakes").Get(t.Context(), "a"); err != nil {
		t.Errorf("the second start lost it: %v", err)
	}
}

// Whoever opens the database file behind Tarn's back must not make Start hang.
func TestDatabaseHeldElsewhere(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	db, err := bolt.Open(filepath.Join(dir, dbFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := store.Start(t.Context(), store.Config{Dir: dir, Socket: storetest.Socket(t)}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("got %v", err)
	}
}
