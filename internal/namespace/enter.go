package namespace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Start starts the command inside the namespaces of the set; cmd.Wait works as
// ever. With a mount namespace, paths in cmd are paths in it and an empty
// cmd.Dir means its root. The host's /sys stays as it is, cgroups included.
//
// SysProcAttr.Pdeathsig is refused: it follows the thread that started the
// child, and that thread ends here.
func (s Set) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0 {
		return fmt.Errorf("start %s in namespaces: Pdeathsig would end it at once: watch the child instead", cmd.Path)
	}
	if s.Mount != "" && !filepath.IsAbs(cmd.Path) {
		return fmt.Errorf("start %s in namespaces: the path of the command must be absolute", cmd.Path)
	}
	return s.inside(s.kinds(), cmd.Start)
}

// DoMount calls fn on a thread that is in the mount namespace of the set, for
// mounts and files there. What fn starts on other goroutines is not inside.
func (s Set) DoMount(fn func() error) error {
	return s.inside(Set{Mount: s.Mount}.kinds(), fn)
}

// SetHostname sets the host name that processes in the set's UTS namespace see.
func (s Set) SetHostname(name string) error {
	if s.UTS == "" {
		return errors.New("set host name: the set has no UTS namespace of its own, this would rename the host")
	}
	return s.inside(Set{UTS: s.UTS}.kinds(), func() error {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("set host name %q: %w", name, err)
		}
		return nil
	})
}

// inside calls fn on a thread that has entered the namespaces and is thrown
// away afterwards: a thread cannot come back from a mount namespace unchanged.
func (s Set) inside(kinds []kind, fn func() error) error {
	files := make([]*os.File, len(kinds))
	for i, k := range kinds {
		f, err := open(k)
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = f
	}
	return onThread(func() (bool, error) {
		// setns refuses a mount namespace to a thread that shares its root
		// and working directory with others.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return false, fmt.Errorf("unshare: %w", err)
		}
		for i, k := range kinds {
			if err := unix.Setns(int(files[i].Fd()), k.flag); err != nil {
				return false, fmt.Errorf("enter %s: %w", k.file, err)
			}
		}
		return false, fn()
	})
}

// Do calls fn on a thread that is in the network namespace of the set, and in
// no other of its namespaces: for sockets, netlink and /proc/sys/net. A socket
// made by fn stays in that namespace. What fn starts on other goroutines does
// not run inside.
func (s Set) Do(fn func() error) error {
	if s.Net == "" {
		return fn()
	}
	n, err := OpenNet(s.Net)
	if err != nil {
		return err
	}
	defer n.Close()
	return n.Do(fn)
}

// Net is an open network namespace, for those who enter it often. It keeps the
// namespace alive until Close.
type Net struct {
	file *os.File
}

// OpenNet opens the network namespace that the file pins.
func OpenNet(file string) (*Net, error) {
	f, err := open(kind{"net", unix.CLONE_NEWNET, file})
	if err != nil {
		return nil, err
	}
	return &Net{f}, nil
}

// Fd returns the descriptor of the namespace, valid until Close.
func (n *Net) Fd() int { return int(n.file.Fd()) }

// Close gives the namespace up. Sockets made inside stay.
func (n *Net) Close() error { return n.file.Close() }

// Do is Set.Do for an open namespace. It costs two system calls and no thread.
func (n *Net) Do(fn func() error) error {
	return onThread(func() (clean bool, err error) {
		home, err := home()
		if err != nil {
			return true, fmt.Errorf("open the own network namespace: %w", err)
		}
		if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
			return true, fmt.Errorf("enter network namespace %s: %w", n.file.Name(), err)
		}
		err = fn()
		// If there is no way back the thread is thrown away; fn's result stands.
		return unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil, err
	})
}

// Netlink opens a socket for links, addresses and routes in the namespace. It
// works from any goroutine.
func (n *Net) Netlink() (*netlink.Handle, error) {
	var nl *netlink.Handle
	err := n.Do(func() (err error) {
		nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open netlink in %s: %w", n.file.Name(), err)
	}
	return nl, nil
}

// home is the network namespace of this process. It is opened on a thread that
// onThread chose and that has gone nowhere yet.
var home = sync.OnceValues(func() (*os.File, error) {
	return os.Open("/proc/thread-self/ns/net")
})

func open(k kind) (*os.File, error) {
	ok, err := pinned(k)
	if err == nil && !ok {
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open %s namespace %s: %w", k.name, k.file, err)
	}
	return os.Open(k.file)
}

// onThread calls fn on an OS thread that nobody else uses meanwhile, and waits
// for it. The thread goes back to the runtime if fn says it is clean, and ends
// otherwise.
func onThread(fn func() (clean bool, err error)) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		clean, err := false, errors.New("the function ended its goroutine")
		defer func() {
			if clean {
				runtime.UnlockOSThread()
			}
			done <- err
		}()
		// /proc/self shows the process's first thread, which also cannot end:
		// hold it here while another one does the work.
		if unix.Gettid() == unix.Getpid() {
			clean, err = true, onThread(fn)
			return
		}
		clean, err = fn()
	}()
	return <-done
}
