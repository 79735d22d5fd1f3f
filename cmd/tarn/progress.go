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
	fmt.Fprintf(p.w, "\r\033[K%s", fit(fmt.Sprintf(format, args...), p.width()))
	p.open = true
}

// width is the terminal's, in columns; 0 when it does not say, as a serial
// console does not.
func (p *printer) width() int {
	f, ok := p.w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// fit cuts a text so that it does not wrap.
func fit(text string, width int) string {
	if runes := []rune(text); width > 0 && len(runes) >= width {
		return string(runes[:width-1])
	}
	return text
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
