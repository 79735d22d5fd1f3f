package trail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// poll is how often a follower looks for more.
const poll = 100 * time.Millisecond

// Read calls fn with each record of the trail in file, the oldest first, and
// through the files that were put away. What is no record, such as half a line
// from a crash, is left out. fn must not keep the line; its error ends Read and
// is returned.
//
// With follow Read goes on with what is written later, in whichever file, until
// ctx ends, and returns ctx's error. Without, a trail that does not exist is
// fs.ErrNotExist.
func Read(ctx context.Context, file string, follow bool, fn func(line []byte) error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	r := reader{file: file}
	defer r.close()
	for {
		err := r.next()
		switch {
		case err == nil:
			if err := r.lines(ctx, follow, tick.C, fn); err != nil {
				return err
			}
		case errors.Is(err, fs.ErrNotExist) && follow:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		case errors.Is(err, fs.ErrNotExist) && r.f != nil:
			return ctx.Err()
		default:
			return fmt.Errorf("reading the trail: %w", err)
		}
	}
}

// reader goes through a trail's files.
type reader struct {
	file string
	// f is the file read last. It is held open so that it stays recognisable
	// under its next name.
	f *os.File
	// passed is the highest number among the files that come before f, or f's own.
	passed int
}

func (r *reader) close() {
	if r.f != nil {
		r.f.Close()
	}
}

// next opens the file after the one read last, or fs.ErrNotExist. Files may be
// put away and removed meanwhile: what was opened counts only if it is still the
// next one afterwards.
func (r *reader) next() error {
	const attempts = 100
	for range attempts {
		name, passed, err := r.after()
		if err != nil {
			return err
		}
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		again, _, err := r.after()
		if err == nil && again == name && same(name, f) {
			r.close()
			r.f, r.passed = f, passed
			return nil
		}
		f.Close()
	}
	return fmt.Errorf("the files of %s change faster than they can be opened", r.file)
}

// after is the name of the file after the one read last, and what passed is
// once that is open.
func (r *reader) after() (name string, passed int, err error) {
	old, err := rotated(r.file)
	if err != nil {
		return "", 0, err
	}
	old = slices.DeleteFunc(old, func(n int) bool { return n <= r.passed })
	if len(old) > 0 && r.f != nil && same(numbered(r.file, old[0]), r.f) {
		r.passed = old[0] // f has been put away
		old = old[1:]
	}
	if len(old) > 0 {
		return numbered(r.file, old[0]), old[0], nil
	}
	if _, err := os.Stat(r.file); err != nil {
		return "", 0, err
	}
	if r.f != nil && same(r.file, r.f) {
		return "", 0, fmt.Errorf("after %s: %w", r.file, fs.ErrNotExist)
	}
	return r.file, r.passed, nil
}

// same tells whether f is the file of that name.
func same(name string, f *os.File) bool {
	named, err := os.Stat(name)
	if err != nil {
		return false
	}
	mine, err := f.Stat()
	return err == nil && os.SameFile(named, mine)
}

// lines reads f to its end. If f is the file that grows, and follow is set, that
// end comes when it is put away.
func (r *reader) lines(ctx context.Context, follow bool, tick <-chan time.Time, fn func([]byte) error) error {
	in := bufio.NewReader(r.f)
	var half []byte
	ended := !follow
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case err == nil:
			if half != nil {
				line, half = append(half, line...), nil
			}
			if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte("{")) && json.Valid(line) {
				if err := fn(line); err != nil {
					return err
				}
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		case !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("reading the trail: %w", err)
		}
		half = append(half, line...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case ended:
			return nil
		case !same(r.file, r.f):
			ended = true // it was put away: now its end is the end
		default:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick:
			}
		}
	}
}
