package proc

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Descriptors that a child inherits.
const (
	lifelineFD = 3
	lockFD     = 4
	// FirstFile is the descriptor of the first of Spec.Files.
	FirstFile = 5
)

// orphanGrace is how long a child may take to end by itself once the process
// that started it is gone: its successor waits for it.
const orphanGrace = time.Second

// AwaitEnd returns when no process that was started with this lock file runs.
func AwaitEnd(ctx context.Context, lockFile string) error {
	f, err := os.OpenFile(lockFile, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening a child's lock: %w", err)
	}
	defer f.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if err != unix.EWOULDBLOCK {
			return fmt.Errorf("trying the lock %s: %w", lockFile, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the process that holds %s to end: %w", lockFile, ctx.Err())
		case <-tick.C:
		}
	}
}

// Child is the first call of a process that Start started. It waits until no
// predecessor is left, and returns a context that ends on SIGTERM or SIGINT and
// when the parent is gone, however it went.
func Child() (context.Context, error) {
	unix.CloseOnExec(lifelineFD)
	unix.CloseOnExec(lockFD)
	// The kernel calls a process that was run as /proc/self/exe "exe".
	if name, err := unix.BytePtrFromString("tarn"); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	}
	for {
		err := unix.Flock(lockFD, unix.LOCK_EX)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return nil, fmt.Errorf("waiting for the predecessor to end: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	lifeline := os.NewFile(lifelineFD, "lifeline")
	go func() {
		// Nothing is ever written: the read ends when the parent does.
		_, _ = io.Copy(io.Discard, lifeline)
		stop()
		time.Sleep(orphanGrace)
		fmt.Fprintln(os.Stderr, "the region is gone and this process did not end in time")
		os.Exit(1)
	}()
	return ctx, nil
}
