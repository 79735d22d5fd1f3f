package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	maxLogSize  = 16 << 20 // bytes
	keptLogs    = 3
	rotateEvery = 10 * time.Second
)

// KeepRotated rotates this process's own log, whose file it was given as its
// output, until ctx ends.
func KeepRotated(ctx context.Context, file string) error {
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := rotateLog(file, maxLogSize, keptLogs); err != nil {
				return fmt.Errorf("rotating %s: %w", file, err)
			}
		}
	}
}

// openLog opens a log to append to. Children write to the file itself, not
// through a pipe, so that nothing of what they say at the end is lost.
func openLog(file string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, fmt.Errorf("making the log directory: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return f, nil
}

// rotateLog copies a log that has grown past limit to file.1 (and file.1 to
// file.2 …, keeping keep of them) and truncates it. The writer appends, so it
// goes on at the start; what it writes between the copy and the truncation is
// lost, which is the price of children that hold the file themselves.
func rotateLog(file string, limit int64, keep int) error {
	info, err := os.Stat(file)
	if err != nil || info.Size() <= limit {
		return err
	}
	for i := keep; i > 1; i-- {
		err := os.Rename(fmt.Sprintf("%s.%d", file, i-1), fmt.Sprintf("%s.%d", file, i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := copyFile(file, file+".1"); err != nil {
		return err
	}
	return os.Truncate(file, 0)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
