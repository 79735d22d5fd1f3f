package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/tarn-eks/tarn/internal/region"
)

// printer shows progress: one line a step, rewritten while it goes on where the
// output is a terminal.
type printer struct {
	w        io.Writer
	terminal bool
	open     bool // a line that is still to be rewritten
}

func newPrinter(w io.Writer) *printer {
	f, ok := w.(*os.File)
	return &printer{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (p *printer) show(e region.Event) {
	switch e.State {
	case region.StepBegan:
		p.transient("  %-14s …", e.Step)
	case region.StepWaiting:
		p.transient("  %-14s … %s", e.Step, e.Detail)
	case region.StepDone:
		p.line("✓ %-14s %5.1f s  %s", e.Step, e.Elapsed.Seconds(), e.Detail)
	case region.StepFailed:
		p.line("✗ %-14s %5.1f s", e.Step, e.Elapsed.Seconds())
	case region.Warning:
		p.line("! %s", e.Detail)
	}
}

func (p *printer) transient(format string, args ...any) {
	if !p.terminal {
		return
	}
	text := fmt.Sprintf(format, args...)
	if width, _, err := term.GetSize(1); err == nil && len(text) >= width {
		text = text[:width-1]
	}
	fmt.Fprintf(p.w, "\r\033[K%s", text)
	p.open = true
}

func (p *printer) line(format string, args ...any) {
	p.end()
	fmt.Fprintf(p.w, format+"\n", args...)
}

// end clears a line that was left open.
func (p *printer) end() {
	if p.open {
		fmt.Fprint(p.w, "\r\033[K")
		p.open = false
	}
}
