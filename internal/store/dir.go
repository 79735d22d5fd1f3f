package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"golang.org/x/sys/unix"
)

// Format is the version of the state directory's contents: etcd's own files and
// the meaning of the collections. It grows when an older Tarn could no longer
// read, or would spoil, what a newer one wrote.
//
// 2: a VPC has its security groups, route tables and gateway; clusters and node
// groups have states, roles and a network interface.
const Format = 2

// oldest is the format that this Tarn still reads. There was no release before.
const oldest = 2

const formatFile = "format"

// inUseWait is how long Start waits for another process to let go of the
// directory: long enough for a region that is just ending.
const inUseWait = 3 * time.Second

// format is the content of the format file, which can be read without etcd.
type format struct {
	Format int    `json:"format"`
	Tarn   string `json:"tarn,omitempty"` // version of the Tarn that wrote it, for messages only
	// New is true until the first start is complete. etcd cannot go on from a
	// start that was cut short, and nothing was acknowledged then.
	New bool `json:"new,omitempty"`
}

func parseFormat(data []byte) (format, error) {
	var f format
	if err := json.Unmarshal(data, &f); err != nil {
		return format{}, fmt.Errorf("read the format file: %w", err)
	}
	if f.Format < 1 {
		return format{}, fmt.Errorf("read the format file: %d is no state format", f.Format)
	}
	return f, nil
}

// decideFormat says what to do with a directory whose format file is data (nil
// if it has none) and which has etcd's files in it or not: refuse it, or use it
// with the returned format file. A result that is New has no data worth keeping.
func decideFormat(dir, version string, data []byte, haveMember bool) (format, error) {
	mine := format{Format: Format, Tarn: version}
	if data == nil {
		if haveMember {
			return format{}, damaged(dir, fmt.Errorf("there is data, but no file %q beside it: not a state directory of Tarn", formatFile))
		}
		mine.New = true
		return mine, nil
	}
	f, err := parseFormat(data)
	if err != nil {
		return format{}, damaged(dir, err)
	}
	if f.Format > Format {
		return format{}, fmt.Errorf("%w: %s has state format %d, written by Tarn %s, and this is Tarn %s, which knows formats up to %d; run the newer Tarn, or remove the region with `tarn delete` and start anew",
			ErrNewer, dir, f.Format, orUnknown(f.Tarn), orUnknown(version), Format)
	}
	if f.Format < oldest && !f.New {
		return format{}, fmt.Errorf("%w: %s has state format %d, written by Tarn %s, and this is Tarn %s, which knows formats from %d on; run the older Tarn, or remove the region with `tarn delete` and start anew",
			ErrOlder, dir, f.Format, orUnknown(f.Tarn), orUnknown(version), oldest)
	}
	mine.New = f.New
	return mine, nil
}

// prepareDir checks that this Tarn may use dir and marks it as its own.
func prepareDir(dir, version string) error {
	name, member := filepath.Join(dir, formatFile), filepath.Join(dir, "member")
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err = os.Stat(member)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := decideFormat(dir, version, data, err == nil)
	if err != nil {
		return err
	}
	if f.New {
		if err := os.RemoveAll(member); err != nil {
			return err
		}
	}
	return writeFormat(name, f)
}

// markReady records that dir may hold acknowledged data from now on.
func markReady(dir string) error {
	name := filepath.Join(dir, formatFile)
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := parseFormat(data)
	if err != nil || !f.New {
		return err
	}
	f.New = false
	return writeFormat(name, f)
}

func orUnknown(version string) string {
	if version == "" {
		return "(unknown version)"
	}
	return version
}

// writeFormat replaces the file whole or not at all, power cut included.
func writeFormat(name string, f format) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), formatFile+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // nothing is left to remove after the rename
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockDir takes the directory for this process. The lock is the kernel's: it
// goes with the process, however that ends.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(inUseWait)
	defer deadline.Stop()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), d.Close())
		}
		select {
		case <-retry.C:
		case <-deadline.C:
			return nil, errors.Join(inUse(dir), d.Close())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), d.Close())
		}
	}
}

func inUse(dir string) error {
	return fmt.Errorf("%w: %s is held by another process, probably a region that runs; stop it with `tarn down`, or choose another --data-dir", ErrInUse, dir)
}

// checkData looks at etcd's files before etcd does, because on a damaged
// database file etcd panics in goroutines of its own, where nothing can catch
// it. It returns the index of the last log entry that the database holds.
func checkData(dir string) (applied uint64, err error) {
	member := filepath.Join(dir, "member")
	if _, err := os.Stat(member); errors.Is(err, fs.ErrNotExist) {
		return 0, nil // a new directory
	}
	if !wal.Exist(filepath.Join(member, "wal")) {
		return 0, damaged(dir, errors.New("the write-ahead log is missing"))
	}
	applied, err = checkDB(filepath.Join(member, "snap", "db"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, damaged(dir, errors.New("the database file is missing"))
	case errors.Is(err, bolterrors.ErrTimeout):
		return 0, inUse(dir)
	case err != nil:
		return 0, fmt.Errorf("check the database file: %w", err)
	}
	return applied, nil
}

// checkDB reads every page of the bbolt file and returns etcd's consistent index.
func checkDB(name string) (applied uint64, err error) {
	// A page outside the file is a memory fault, which is fatal unless this is set.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	if info.Size() == 0 {
		return 0, errors.New("it is empty") // bbolt would try to fill it
	}
	db, err := bolt.Open(name, 0o600, &bolt.Options{
		ReadOnly: true, Timeout: inUseWait, MmapFlags: unix.MAP_POPULATE,
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("it is cut short: %d bytes of %d", info.Size(), tx.Size())
		}
		if err := tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readAll(b) }); err != nil {
			return err
		}
		if b := tx.Bucket([]byte("meta")); b != nil {
			if v := b.Get([]byte("consistent_index")); len(v) == 8 {
				applied = binary.BigEndian.Uint64(v)
			}
		}
		var first error
		for err := range tx.Check() { // to the end, or its goroutine would stay
			if first == nil {
				first = err
			}
		}
		return first
	})
	return applied, err
}

// readAll touches every byte, so that what cannot be read fails here, in a
// goroutine that can recover.
func readAll(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return readAll(b.Bucket(k))
		}
		crc32.ChecksumIEEE(k)
		crc32.ChecksumIEEE(v)
		return nil
	})
}
