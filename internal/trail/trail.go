// Package trail is the record of the calls that the region was asked to serve:
// who, what, with which result, in CloudTrail's format, one JSON record per
// line in a file that grows, is rotated by size, and is read back by whoever
// wants to see it. It knows neither HTTP nor services; what a record says is
// the caller's to fill in.
//
// The format: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
package trail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// DefaultMaxBytes is the size at which a file is put away, in bytes.
	DefaultMaxBytes = 16 << 20
	// DefaultKeep is how many of the files put away are kept.
	DefaultKeep = 4

	waiting  = 1024     // records between the callers and the writer
	maxBatch = 64 << 10 // bytes written at once
)

// Config says where a trail is kept.
type Config struct {
	// File is the path of the file that grows. Those put away lie beside it, with
	// a rising number: trail.json.7.
	File     string
	MaxBytes int64        // at which a file is put away; 0 is DefaultMaxBytes
	Keep     int          // files put away that are kept; 0 is DefaultKeep
	Logger   *slog.Logger // nil is slog.Default
}

// Trail writes records. It is safe for concurrent use.
type Trail struct {
	cfg   Config
	lines chan *bytes.Buffer
	done  chan struct{} // closed when the writer has ended

	mu     sync.RWMutex // guards closed, and lines against being closed under a sender
	closed bool

	// The writer's own.
	file *os.File
	size int64
	torn bool // the file may end in half a line
	lost int
	err  error // why records were lost, the last time
}

// Open opens or makes the trail's file, and starts the goroutine that writes to
// it; Close ends that. What a crash has left half-written stays a line by
// itself, which Read leaves out.
func Open(cfg Config) (*Trail, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	t := &Trail{cfg: cfg, lines: make(chan *bytes.Buffer, waiting), done: make(chan struct{})}
	if err := t.open(); err != nil {
		return nil, fmt.Errorf("opening the trail: %w", err)
	}
	go t.run()
	return t, nil
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Add writes a record, soon: it returns when the record is in the queue, and
// waits for room there rather than lose it. It fills in what all records have in
// common: version, ids, type and category.
func (t *Trail) Add(r Record) {
	r.complete()
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // people read it
	if err := enc.Encode(&r); err != nil {
		t.cfg.Logger.Error("a call is missing in the trail: it cannot be written as JSON",
			"event", r.EventName, "request", r.RequestID, "err", err)
		return
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		t.cfg.Logger.Warn("a call is missing in the trail: it ended after the trail was closed",
			"event", r.EventName, "request", r.RequestID)
		return
	}
	t.lines <- b
}

// Close writes what is waiting and closes the file. Its error says how many
// records were lost since Open, and why. It may be called twice.
func (t *Trail) Close() error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.lines)
	}
	t.mu.Unlock()
	<-t.done
	if t.lost > 0 {
		return fmt.Errorf("%d records of the trail were lost: %w", t.lost, t.err)
	}
	return nil
}

func (t *Trail) run() {
	defer close(t.done)
	var batch []byte
	failing := false
	for b := range t.lines {
		batch = take(batch[:0], b)
		n := 1
		for more := true; more && len(batch) < maxBatch; {
			select {
			case b, more = <-t.lines:
				if more {
					batch = take(batch, b)
					n++
				}
			default:
				more = false
			}
		}
		err := t.write(batch)
		switch {
		case err != nil && !failing:
			t.cfg.Logger.Error("the trail cannot be written: calls will be missing in it", "file", t.cfg.File, "err", err)
		case err == nil && failing:
			t.cfg.Logger.Warn("the trail can be written again", "file", t.cfg.File, "lost", t.lost)
		}
		if failing = err != nil; failing {
			t.lost, t.err = t.lost+n, err
		}
	}
	if t.file != nil {
		if err := t.file.Close(); err != nil {
			t.cfg.Logger.Error("closing the trail", "file", t.cfg.File, "err", err)
		}
	}
}

// take moves a line to the end of the batch.
func take(batch []byte, b *bytes.Buffer) []byte {
	batch = append(batch, b.Bytes()...)
	if b.Cap() <= maxBatch {
		buffers.Put(b)
	}
	return batch
}

func (t *Trail) write(batch []byte) error {
	if t.size > 0 && t.size+int64(len(batch)) > t.cfg.MaxBytes {
		t.rotate()
	}
	if t.file == nil {
		if err := t.open(); err != nil {
			return err
		}
	}
	if t.torn {
		n, err := t.file.WriteString("\n")
		t.size += int64(n)
		if err != nil {
			return err
		}
		t.torn = false
	}
	n, err := t.file.Write(batch)
	t.size += int64(n)
	t.torn = err != nil && n > 0
	return err
}

// open opens the file to append to it.
func (t *Trail) open() error {
	f, err := os.OpenFile(t.cfg.File, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, 2)
	if err == nil && size > 0 {
		var last [1]byte
		if _, err = f.ReadAt(last[:], size-1); err == nil {
			t.torn = last[0] != '\n'
		}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.file, t.size = f, size
	return nil
}

// rotate puts the file away, and removes the oldest. If it fails the file goes
// on growing: better a large trail than none.
func (t *Trail) rotate() {
	old, err := rotated(t.cfg.File)
	if err == nil {
		next := 1
		if len(old) > 0 {
			next = old[len(old)-1] + 1
		}
		err = os.Rename(t.cfg.File, numbered(t.cfg.File, next))
		old = append(old, next)
	}
	if err != nil {
		t.cfg.Logger.Warn("the trail's file cannot be put away and grows on", "file", t.cfg.File, "err", err)
		return
	}
	if err := t.file.Close(); err != nil {
		t.cfg.Logger.Error("closing the trail", "file", t.cfg.File, "err", err)
	}
	t.file, t.size, t.torn = nil, 0, false
	for _, n := range old[:max(0, len(old)-t.cfg.Keep)] {
		if err := os.Remove(numbered(t.cfg.File, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.cfg.Logger.Warn("an old file of the trail cannot be removed", "err", err)
		}
	}
}

func numbered(file string, n int) string { return file + "." + strconv.Itoa(n) }

// rotated lists the numbers of the files put away, the oldest first.
func rotated(file string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, e := range entries {
		if text, ok := strings.CutPrefix(e.Name(), filepath.Base(file)+"."); ok {
			if n, err := strconv.Atoi(text); err == nil && n > 0 && strconv.Itoa(n) == text {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// complete fills in what all records have in common.
func (r *Record) complete() {
	r.EventVersion = eventVersion
	r.EventTime = r.EventTime.UTC().Truncate(time.Second)
	if r.EventID == "" {
		r.EventID = uuid.NewString()
	}
	if r.EventType == "" {
		r.EventType = "AwsApiCall"
	}
	if r.EventCategory == "" {
		r.EventCategory = "Management"
	}
	r.ManagementEvent = r.EventCategory == "Management"
}
