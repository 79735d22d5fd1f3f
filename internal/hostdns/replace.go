package hostdns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// replace gives a file new content: at once, so that a reader never sees half of
// it, or in place where another file cannot take its place, as in containers,
// which have /etc/hosts as a mount. Owner, mode and labels stay.
func replace(path string, content []byte) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old == nil {
		return swap(path, nil, content)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	// Other names of the file are to see the change too.
	if st.Nlink == 1 {
		err := swap(path, &st, content)
		if err == nil || !cannotSwap(err) {
			return err
		}
	}
	return overwrite(path, content)
}

// cannotSwap says whether a file can only be changed in place: it is a mount
// point, or its directory takes no new file.
func cannotSwap(err error) bool {
	for _, e := range []error{unix.EBUSY, unix.EXDEV, unix.EROFS, unix.EACCES, unix.EPERM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func swap(path string, like *unix.Stat_t, content []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tarn-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	err = func() error {
		if _, err := tmp.Write(content); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if like != nil {
			mode = os.FileMode(like.Mode & 0o777)
			if err := tmp.Chown(int(like.Uid), int(like.Gid)); err != nil {
				return err
			}
			if err := copyLabels(path, tmp); err != nil {
				return err
			}
		}
		if err := tmp.Chmod(mode); err != nil {
			return err
		}
		return tmp.Sync()
	}()
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// copyLabels copies the extended attributes: what SELinux, for one, calls the file.
func copyLabels(path string, to *os.File) error {
	names := make([]byte, 64<<10) // as long as a list may be
	n, err := unix.Listxattr(path, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the attributes of %s: %w", path, err)
	}
	value := make([]byte, 64<<10)
	for start, i := 0, 0; i < n; i++ {
		if names[i] != 0 {
			continue
		}
		name := string(names[start:i])
		start = i + 1
		size, err := unix.Getxattr(path, name, value)
		if err != nil {
			return fmt.Errorf("reading the attribute %s of %s: %w", name, path, err)
		}
		if err := unix.Fsetxattr(int(to.Fd()), name, value[:size], 0); err != nil {
			return fmt.Errorf("copying the attribute %s of %s: %w", name, path, err)
		}
	}
	return nil
}

func overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Truncate(int64(len(content)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
