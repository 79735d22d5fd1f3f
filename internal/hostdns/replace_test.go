package hostdns

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func newFile(t *testing.T, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("an older and longer text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// alone checks that nothing was left beside a file.
func alone(t *testing.T, path string, others int) {
	t.Helper()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1+others {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestReplace(t *testing.T) {
	path := newFile(t, 0o640)
	before := inode(t, path)
	label := "user.tarn"
	labelled := unix.Setxattr(path, label, []byte("x"), 0)
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	if err := replace(path, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o640 || fileAt(t, path) != "new\n" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 12 || st.Gid != 34) {
		t.Errorf("it belongs to %d:%d", st.Uid, st.Gid)
	}
	if inode(t, path) == before {
		t.Error("it was written in place: a reader may see half of it")
	}
	value := make([]byte, 9)
	if n, err := unix.Getxattr(path, label, value); labelled == nil && (err != nil || string(value[:n]) != "x") {
		t.Errorf("its attribute is %q, %v", value[:max(n, 0)], err)
	}
	alone(t, path, 0)
}

func TestReplaceMakesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := replace(path, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 || fileAt(t, path) != "new\n" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	alone(t, path, 0)
	if err := replace(filepath.Join(path, "below"), nil); err == nil {
		t.Error("below a file")
	}
}

func TestReplaceFollowsLinks(t *testing.T) {
	path := newFile(t, 0o644)
	link := path + ".link"
	if err := os.Symlink("hosts", link); err != nil {
		t.Fatal(err)
	}
	if err := replace(link, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != "hosts" || fileAt(t, path) != "new\n" {
		t.Errorf("%s, %v", target, err)
	}
	alone(t, path, 1)
}

func TestReplaceKeepsOtherNames(t *testing.T) {
	path := newFile(t, 0o644)
	if err := os.Link(path, path+".other"); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	if fileAt(t, path) != "new\n" || fileAt(t, path+".other") != "new\n" || inode(t, path) != inode(t, path+".other") {
		t.Error("the names lead to two files now")
	}
	alone(t, path, 1)
}

// Containers have /etc/hosts as a mount: no file can take its place.
func TestReplaceAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	path, source := newFile(t, 0o644), newFile(t, 0o604)
	failed := make(chan error)
	go func() {
		// The thread has the mount for itself, and ends with this goroutine.
		runtime.LockOSThread()
		failed <- func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
				return err
			}
			if err := os.Rename(source, path); !errors.Is(err, unix.EBUSY) {
				return errors.Join(errors.New("the file can be replaced: this tests nothing"), err)
			}
			return replace(path, []byte("new\n"))
		}()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if got := fileAt(t, source); got != "new\n" {
		t.Errorf("behind the mount: %q", got)
	}
	if info, err := os.Stat(source); err != nil || info.Mode() != 0o604 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if got := fileAt(t, path); got != "an older and longer text\n" {
		t.Errorf("under the mount: %q", got)
	}
	alone(t, path, 0)
}
