package region

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/ec2"
)

func TestConsole(t *testing.T) {
	r := newRegion(t)
	c, i := consoles{r.layout}, ec2.Instance{ID: "i-1"}
	if text, _, err := c.ConsoleOutput(t.Context(), "i-1"); err != nil || text != nil {
		t.Errorf("before the first boot: %q, %v", text, err)
	}
	if err := os.MkdirAll(filepath.Dir(r.layout.log("i-1")), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"first", "second"} {
		if err := c.say("i-1", line); err != nil {
			t.Fatal(err)
		}
	}
	text, at, err := c.ConsoleOutput(t.Context(), "i-1")
	if err != nil || string(text) != "first\nsecond\n" || at.IsZero() {
		t.Errorf("%q of %v, %v", text, at, err)
	}
	if err := c.say("i-1", strings.Repeat("x", maxConsole-5)+" last"); err != nil {
		t.Fatal(err)
	}
	text, _, err = c.ConsoleOutput(t.Context(), "i-1")
	if err != nil || len(text) != maxConsole || !bytes.HasSuffix(text, []byte("x last\n")) {
		t.Errorf("%d bytes, %v; want the last %d", len(text), err, maxConsole)
	}
	rotated := r.layout.log("i-1") + ".1"
	if err := os.WriteFile(rotated, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := &host{layout: r.layout}
	for range 2 {
		if err := h.Forget(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(rotated); err == nil {
		t.Error("a part of the console is left")
	}
	if text, _, err := c.ConsoleOutput(t.Context(), "i-1"); err != nil || text != nil {
		t.Errorf("after it was forgotten: %q, %v", text, err)
	}
}
