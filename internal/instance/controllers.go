package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// controllers are what an instance's cgroup and its pods' need, on v2.
var controllers = []string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}

// enableControllers hands the controllers on to a cgroup's children. One that
// the machine does not have is left out; Preflight names those that must be.
func enableControllers(dir string) error {
	file := filepath.Join(dir, "cgroup.subtree_control")
	for _, c := range controllers {
		if err := writeControl(file, "+"+c); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("enabling the controller %s in %s: %w", c, dir, err)
		}
	}
	return nil
}

// BorrowControllers enables, at the root of cgroup v2, the controllers that
// instances need. It writes down all that the machine does not use yet, because
// runc enables every one that there is. On v1 there is nothing to do.
func BorrowControllers(record string) error { return borrowControllers(cgroupRoot, record) }

func borrowControllers(root, record string) error {
	enabled, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the machine's cgroup controllers: %w", err)
	}
	earlier, err := os.ReadFile(record) // of a region that was killed
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	available, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the machine's cgroup controllers: %w", err)
	}
	borrowed := strings.Fields(string(earlier))
	for c := range strings.FieldsSeq(string(available)) {
		if !slices.Contains(strings.Fields(string(enabled)), c) && !slices.Contains(borrowed, c) {
			borrowed = append(borrowed, c)
		}
	}
	if err := os.WriteFile(record, []byte(strings.Join(borrowed, "\n")), 0o600); err != nil {
		return fmt.Errorf("noting the cgroup controllers that were enabled: %w", err)
	}
	return enableControllers(root)
}

// ReturnControllers disables what BorrowControllers has enabled, except what
// others have come to use.
func ReturnControllers(record string) error { return returnControllers(cgroupRoot, record) }

func returnControllers(root, record string) error {
	borrowed, err := os.ReadFile(record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading which cgroup controllers were enabled: %w", err)
	}
	for c := range strings.FieldsSeq(string(borrowed)) {
		err := writeControl(filepath.Join(root, "cgroup.subtree_control"), "-"+c)
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("disabling the cgroup controller %s: %w", c, err)
		}
	}
	return os.Remove(record)
}
