package proc

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

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
// that started it is gone.
const orphanGrace = 10 * time.Second

// Child is the first call of a process that Start started. It waits until no
// predecessor is left, and returns a context that ends on SIGTERM or SIGINT and
// when the parent is gone, however it went.
func Child() (context.Context, error) {
	unix.CloseOnExec(lifelineFD)
	unix.CloseOnExec(lockFD)
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
