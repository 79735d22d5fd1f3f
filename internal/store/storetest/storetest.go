// Package storetest gives other packages' tests a running store. It holds
// nothing that is not about starting one.
package storetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tarn-eks/tarn/internal/store"
)

// Open starts a store with data of its own that ends with the test.
func Open(t testing.TB) *store.Server {
	t.Helper()
	return Start(t, store.Config{})
}

// Start is Open with a Config of which Dir and Socket are filled in if empty.
func Start(t testing.TB, cfg store.Config) *store.Server {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Socket == "" {
		cfg.Socket = Socket(t)
	}
	s, err := store.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Socket returns a path short enough for a unix socket, which that of
// testing.T.TempDir, made from the test's name, need not be.
func Socket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "s")
}
