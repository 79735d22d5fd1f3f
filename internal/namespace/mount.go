package namespace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Prepare makes dir (mode 0700) a place where namespaces can be pinned: a
// private mount of the directory on itself, so that pins reach no other mount
// namespace. It may be called again.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("prepare for namespaces: %w", err)
	}
	dir, err := realPath(dir)
	if err != nil {
		return fmt.Errorf("prepare for namespaces: %w", err)
	}
	bound, err := isSelfBound(dir)
	if err != nil {
		return fmt.Errorf("prepare %s for namespaces: %w", dir, err)
	}
	if !bound {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s on itself: %w", dir, err)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mount %s private: %w", dir, err)
	}
	return nil
}

// Teardown undoes Prepare: it unpins every namespace below dir, deletes the
// files that pinned them and unmounts dir. Other files stay. It is fine if dir
// is gone or was never prepared.
func Teardown(dir string) error {
	dir, err := realPath(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tear down namespaces: %w", err)
	}
	for {
		bound, err := isSelfBound(dir)
		if err != nil {
			return fmt.Errorf("tear down namespaces in %s: %w", dir, err)
		}
		if !bound {
			return nil
		}
		pins, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
			return m.FSType != "nsfs" || !strings.HasPrefix(m.Mountpoint, dir+"/"), false
		})
		if err != nil {
			return fmt.Errorf("list the namespaces in %s: %w", dir, err)
		}
		// Takes the pins with it.
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
		for _, pin := range pins {
			if err := removePinFile(pin.Mountpoint); err != nil {
				return fmt.Errorf("tear down namespaces: %w", err)
			}
		}
	}
}

func isSelfBound(dir string) (bool, error) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return false, fmt.Errorf("list mounts: %w", err)
	}
	return selfBound(mounts, dir), nil
}

// selfBound reports whether the uppermost mount on dir is a mount of dir on
// itself: a disk of the user's that is mounted there must not be taken for one.
func selfBound(mounts []*mountinfo.Info, dir string) bool {
	byID := make(map[int]*mountinfo.Info, len(mounts))
	covered := make(map[int]bool)
	for _, m := range mounts {
		byID[m.ID] = m
		if m.Mountpoint == dir {
			covered[m.Parent] = true
		}
	}
	for _, m := range mounts {
		if m.Mountpoint != dir || covered[m.ID] {
			continue
		}
		parent, ok := byID[m.Parent]
		if !ok || parent.Major != m.Major || parent.Minor != m.Minor {
			return false
		}
		below, err := filepath.Rel(parent.Mountpoint, dir)
		return err == nil && m.Root == filepath.Join(parent.Root, below)
	}
	return false
}

// isolateMounts furnishes the new mount namespace of the calling thread.
func isolateMounts() error {
	// Slave and not private: what the host unmounts must not stay busy here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("cut mount propagation to the host: %w", err)
	}
	pins, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("nsfs"))
	if err != nil {
		return fmt.Errorf("list pinned namespaces: %w", err)
	}
	for _, pin := range pins {
		err := unix.Unmount(pin.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		// Gone already (the host's unmounts arrive here), or covered.
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("drop the copy of the pinned namespace %s: %w", pin.Mountpoint, err)
		}
	}
	return nil
}

func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
