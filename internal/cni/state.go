package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// attachment is one interface of one container: what an address is held by.
type attachment struct {
	containerID, ifName string
}

// String is the attachment's file name. Neither part may contain a colon or a
// slash; skel checks it.
func (a attachment) String() string { return a.containerID + ":" + a.ifName }

func parseAttachment(s string) (attachment, bool) {
	id, name, ok := strings.Cut(s, ":")
	return attachment{id, name}, ok && id != "" && name != ""
}

// record is what is kept about an attachment.
type record struct {
	Address       netip.Addr `json:"address"`
	HostInterface string     `json:"hostInterface"`
	HostPorts     bool       `json:"hostPorts,omitempty"`
}

var errExhausted = errors.New("no free address")

// next chooses the address for a new attachment: one that was never used, else
// the one that was given back longest ago. The VPC CNI lets an address rest for
// 30 s, so that packets to its last pod do not reach the next one; here it rests
// as long as there are others.
func next(addresses []netip.Addr, held map[netip.Addr]bool, released map[netip.Addr]time.Time) (netip.Addr, error) {
	var best netip.Addr
	for _, addr := range addresses {
		if !held[addr] && (!best.IsValid() || released[addr].Before(released[best])) {
			best = addr
		}
	}
	if !best.IsValid() {
		return best, errExhausted
	}
	return best, nil
}

// state is the directory where the instance's attachments are kept:
//
//	lock                           held by who changes something
//	attachments/<container>:<if>   a record in JSON
//	released/<address>             when it was given back: the file's time
//
// Files are not synced to disk. Only a crash of the machine can lose them, and
// it ends all pods as well.
type state struct{ dir string }

func (s state) attachmentFile(at attachment) string {
	return filepath.Join(s.dir, "attachments", at.String())
}

func (s state) releasedFile(addr netip.Addr) string {
	return filepath.Join(s.dir, "released", addr.String())
}

// locked calls fn while no other plugin process changes the state.
func (s state) locked(fn func() error) error {
	for _, sub := range []string{"attachments", "released"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o700); err != nil {
			return err
		}
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // unlocks
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if err == nil {
			return fn()
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
	}
}

// acquire gives the attachment an address and records it. If it has one
// already, it keeps that.
func (s state) acquire(at attachment, addresses []netip.Addr, rec record) (record, error) {
	err := s.locked(func() error {
		old, ok, err := s.lookup(at)
		if err != nil {
			return err
		}
		if rec.Address = old.Address; !ok {
			held, released, err := s.usage()
			if err != nil {
				return err
			}
			if rec.Address, err = next(addresses, held, released); err != nil {
				return err
			}
		}
		return s.write(at, rec)
	})
	return rec, err
}

// write puts the record in its place at once: a process that is killed leaves
// no half of one.
func (s state) write(at attachment, rec record) error {
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	temp := filepath.Join(s.dir, "new") // ours, by the lock
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, s.attachmentFile(at))
}

// lookup finds the attachment's record.
func (s state) lookup(at attachment) (record, bool, error) {
	var rec record
	data, err := os.ReadFile(s.attachmentFile(at))
	if errors.Is(err, fs.ErrNotExist) {
		return rec, false, nil
	}
	if err != nil {
		return rec, false, err
	}
	// A file that lost its content in a crash of the machine holds nothing.
	if json.Unmarshal(data, &rec) != nil || !rec.Address.IsValid() {
		return record{}, false, nil
	}
	return rec, true, nil
}

// release gives the attachment's address back.
func (s state) release(at attachment) error {
	return s.locked(func() error {
		rec, ok, err := s.lookup(at)
		if err != nil || !ok {
			return err
		}
		if err := os.WriteFile(s.releasedFile(rec.Address), nil, 0o600); err != nil {
			return err
		}
		now := time.Now()
		if err := os.Chtimes(s.releasedFile(rec.Address), now, now); err != nil {
			return err
		}
		return os.Remove(s.attachmentFile(at))
	})
}

// list returns all attachments.
func (s state) list() (map[attachment]record, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "attachments"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := make(map[attachment]record, len(entries))
	for _, e := range entries {
		at, ok := parseAttachment(e.Name())
		if !ok {
			continue
		}
		rec, ok, err := s.lookup(at)
		if err != nil {
			return nil, err
		}
		if ok {
			all[at] = rec
		}
	}
	return all, nil
}

// usage tells which addresses are held, and when the others were given back.
func (s state) usage() (held map[netip.Addr]bool, released map[netip.Addr]time.Time, err error) {
	all, err := s.list()
	if err != nil {
		return nil, nil, err
	}
	held = make(map[netip.Addr]bool, len(all))
	for _, rec := range all {
		held[rec.Address] = true
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, "released"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	released = make(map[netip.Addr]time.Time, len(entries))
	for _, e := range entries {
		addr, err := netip.ParseAddr(e.Name())
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, nil, err
		}
		released[addr] = info.ModTime()
	}
	return held, released, nil
}

// free counts the addresses that nobody holds.
func (s state) free(addresses []netip.Addr) (int, error) {
	n := 0
	err := s.locked(func() error {
		held, _, err := s.usage()
		for _, addr := range addresses {
			if !held[addr] {
				n++
			}
		}
		return err
	})
	return n, err
}
