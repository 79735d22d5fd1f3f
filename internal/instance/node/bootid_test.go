package node

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBootIDLastsUntilTheNextBoot(t *testing.T) {
	run := filepath.Join(t.TempDir(), "run")
	file := filepath.Join(run, "boot-id")
	first, fresh, err := bootID(file)
	if err != nil || !fresh || len(first) != 36 {
		t.Fatalf("%q, fresh %t, %v", first, fresh, err)
	}
	again, fresh, err := bootID(file)
	if err != nil || fresh || again != first {
		t.Errorf("%q after %q, fresh %t, %v", again, first, fresh, err)
	}
	if err := os.RemoveAll(run); err != nil { // as a reboot does
		t.Fatal(err)
	}
	next, fresh, err := bootID(file)
	if err != nil || !fresh || next == first {
		t.Errorf("%q after %q, fresh %t, %v", next, first, fresh, err)
	}
	if _, _, err := bootID(filepath.Join(file, "below-a-file")); err == nil {
		t.Error("a place that cannot be is accepted")
	}
}
