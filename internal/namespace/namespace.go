// Package namespace makes Linux namespaces that outlive the process that made
// them, and runs code and programs inside them.
//
// A namespace is kept alive by a bind mount of its nsfs inode on an ordinary
// file ("pinned"). The package knows namespaces, pins and threads; what is
// built inside a namespace (links, routes, mounts) belongs to its callers.
package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Set names the files that pin the namespaces of one sandbox. An empty name
// means the caller's own namespace of that kind.
type Set struct {
	Net, Mount, UTS string
}

// kind is one namespace of a set.
type kind struct {
	name string // as in /proc/<pid>/ns
	flag int    // CLONE_NEW…
	file string
}

// kinds lists the namespaces that the set has of its own. The mount namespace
// is last: entering it changes what every path means.
func (s Set) kinds() []kind {
	var kinds []kind
	for _, k := range []kind{
		{"net", unix.CLONE_NEWNET, s.Net},
		{"uts", unix.CLONE_NEWUTS, s.UTS},
		{"mnt", unix.CLONE_NEWNS, s.Mount},
	} {
		if k.file != "" {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// Create makes the namespaces of the set that do not exist yet and pins them;
// those that are pinned already are kept as they are. The files must lie in a
// directory that Prepare was called for.
//
// In a new network namespace the loopback is up. A new mount namespace starts
// as a copy of the caller's, receives what the host mounts and unmounts later,
// and sends nothing back; pins are not visible in it, so that it keeps no other
// namespace alive.
//
// Create must not be called twice at once for the same files.
func Create(set Set) error {
	var missing []kind
	for _, k := range set.kinds() {
		ok, err := pinned(k)
		if err != nil {
			return fmt.Errorf("create namespaces: %w", err)
		}
		if !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := create(missing); err != nil {
		return fmt.Errorf("create namespaces: %w", err)
	}
	return nil
}

// create makes the namespaces on a thread of their own. That thread cannot pin
// them: a mount namespace is pinned from the namespace it was copied from.
func create(kinds []kind) error {
	made, pinnedAll, ended := make(chan int, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- onThread(func() (bool, error) {
			if err := unshare(kinds); err != nil {
				return false, err
			}
			made <- unix.Gettid()
			<-pinnedAll
			return false, nil
		})
	}()
	select {
	case err := <-ended:
		return err
	case tid := <-made:
		err := pinAll(kinds, tid)
		close(pinnedAll)
		return errors.Join(err, <-ended)
	}
}

// unshare moves the calling thread, which is thrown away afterwards, into new
// namespaces and furnishes them.
func unshare(kinds []kind) error {
	flags := unix.CLONE_FS
	for _, k := range kinds {
		flags |= k.flag
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	for _, k := range kinds {
		var err error
		switch k.flag {
		case unix.CLONE_NEWNET:
			err = loopbackUp()
		case unix.CLONE_NEWNS:
			err = isolateMounts()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func loopbackUp() error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer nl.Close()
	lo, err := nl.LinkByName("lo")
	if err == nil {
		err = nl.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	return nil
}

// Remove unpins the namespaces of the set and deletes the files. What is gone
// already is fine. The kernel ends a namespace when its last process, thread
// and socket have left it.
func Remove(set Set) error {
	var errs []error
	for _, k := range set.kinds() {
		if err := unpin(k); err != nil {
			errs = append(errs, fmt.Errorf("remove namespace: %w", err))
		}
	}
	return errors.Join(errs...)
}

// pinned reports whether the file holds a namespace; one of another kind is an
// error.
func pinned(k kind) (bool, error) {
	var st unix.Statfs_t
	switch err := unix.Statfs(k.file, &st); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at %s: %w", k.file, err)
	case st.Type != unix.NSFS_MAGIC:
		return false, nil
	}
	f, err := os.Open(k.file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	flag, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if err != nil {
		return false, fmt.Errorf("ask %s for its kind of namespace: %w", k.file, err)
	}
	if flag != k.flag {
		return false, fmt.Errorf("%s pins a namespace that is not of kind %q: remove it or choose another file", k.file, k.name)
	}
	return true, nil
}

// pinAll pins the namespaces of the thread, or none.
func pinAll(kinds []kind, tid int) error {
	for i, k := range kinds {
		if err := pin(k, tid); err != nil {
			for _, done := range kinds[:i+1] {
				err = errors.Join(err, unpin(done))
			}
			return err
		}
	}
	return nil
}

func pin(k kind, tid int) error {
	f, err := os.OpenFile(k.file, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	source := fmt.Sprintf("/proc/self/task/%d/ns/%s", tid, k.name)
	if err := unix.Mount(source, k.file, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("pin a %s namespace on %s (its directory must be prepared): %w", k.name, k.file, err)
	}
	return nil
}

func unpin(k kind) error {
	// More than one mount can be stacked on a file when somebody else helped.
	for {
		ok, err := pinned(k)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := unix.Unmount(k.file, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unpin %s: %w", k.file, err)
		}
	}
	return removePinFile(k.file)
}

// removePinFile deletes the empty file that a pin was mounted on, and nothing
// that holds data.
func removePinFile(file string) error {
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() != 0 {
		return fmt.Errorf("%s is not an empty file, so it never pinned a namespace: not deleted", file)
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
