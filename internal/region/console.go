package region

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// maxConsole is how much of an instance's console EC2 keeps.
const maxConsole = 64 << 10

// consoles are what instances have shown: what is written to their logs.
type consoles struct{ layout }

// ConsoleOutput implements ec2.Console.
func (c consoles) ConsoleOutput(_ context.Context, instance string) ([]byte, time.Time, error) {
	f, err := os.Open(c.log(instance))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("opening the console of %s: %w", instance, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("looking at the console of %s: %w", instance, err)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-maxConsole), maxConsole))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reading the console of %s: %w", instance, err)
	}
	return text, info.ModTime(), nil
}

// say writes a line to an instance's console, as a machine's firmware does.
func (c consoles) say(instance, line string) error {
	f, err := os.OpenFile(c.log(instance), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening the console of %s: %w", instance, err)
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// Forget implements booting.Host.
func (h *host) Forget(_ context.Context, i ec2.Instance) error {
	for _, name := range []string{"", ".1", ".2", ".3"} { // as rotated
		if err := os.Remove(h.layout.log(i.ID) + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the console of %s: %w", i.ID, err)
		}
	}
	return nil
}
