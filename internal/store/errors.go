package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3"
	"google.golang.org/grpc/codes"
)

// What can be wrong with the state directory; Start and Server.Err wrap one of
// these with the cause and the way out.
var (
	ErrNewer   = errors.New("the state was written by a newer Tarn")
	ErrOlder   = errors.New("the state was written by an older Tarn")
	ErrDamaged = errors.New("the state is damaged")
	// ErrStartAgain is for a new process: this one's etcd is stuck or did not settle
	// in time, and nothing says that the state is not well.
	ErrStartAgain = errors.New("the store must be started again")
	ErrDiskFull   = errors.New("the disk is full")
	ErrInUse      = errors.New("the state is in use")
)

// Why an operation on a collection was refused; each comes wrapped in an
// [*OpError] that names the collection and the key.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrConflict = errors.New("changed by someone else")
	// ErrTooLarge is of a commit with more than about 1.5 MB.
	ErrTooLarge = errors.New("too large for one commit")
)

var (
	// ErrCompacted ends a Watch whose starting revision is no longer kept.
	ErrCompacted = errors.New("revision is no longer kept")
	// ErrClosed ends a Watch or a Follower whose client was closed.
	ErrClosed = errors.New("the store is closed")
)

// OpError says which operation failed, and on what.
type OpError struct {
	Op         string // get, list, create, update, delete, require, watch
	Collection string
	Key        string // for list and watch, the prefix
	Err        error
}

func (e *OpError) Error() string {
	return fmt.Sprintf("%s %s %q: %v", e.Op, e.Collection, e.Key, e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

// clientError gives etcd's errors this package's names where it has one.
func clientError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: the state database has reached its size limit; delete resources if there are very many, and restart the region, which compacts it (%w)", ErrDiskFull, err)
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		return fmt.Errorf("%w (%w)", ErrTooLarge, err)
	case errors.Is(err, rpctypes.ErrCompacted):
		return fmt.Errorf("%w (%w)", ErrCompacted, err)
	}
	return err
}

// transient reports whether the same request may succeed later.
func transient(err error) bool {
	var e rpctypes.EtcdError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return true
	}
	return false
}

// unsettled recognises the errors with which etcd puts off a request while it
// elects a leader or is too slow. They say nothing about the state on disk. They
// come from the server itself, or, through its client, as an EtcdError.
func unsettled(err error) bool {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return transient(err) && !errors.Is(err, rpctypes.ErrStopped) && !errors.Is(err, rpctypes.ErrNoSpace)
	}
	for _, known := range []error{
		etcderrors.ErrLeaderChanged, etcderrors.ErrNoLeader, etcderrors.ErrNotLeader,
		etcderrors.ErrTimeout, etcderrors.ErrTimeoutDueToLeaderFail, etcderrors.ErrTimeoutDueToConnectionLost,
		etcderrors.ErrTimeoutLeaderTransfer, etcderrors.ErrTimeoutWaitAppliedIndex,
		etcderrors.ErrTooManyRequests, etcderrors.ErrUnhealthy, raft.ErrProposalDropped,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// startError turns what stopped etcd from starting on dir into an error that
// names the cause and the way out. Machine errors (permissions, limits) keep
// their own name: they are not the state's fault.
func startError(dir string, err error) error {
	if known(err) {
		return err
	}
	if isDiskFull(err) {
		return diskFull(dir, err)
	}
	if isElectionRace(err) || unsettled(err) {
		return fmt.Errorf("%w: %s: %w", ErrStartAgain, dir, err)
	}
	var errno syscall.Errno
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		(errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist) && errno != syscall.EIO) {
		return fmt.Errorf("start the store in %s: %w", dir, err)
	}
	return damaged(dir, err)
}

func known(err error) bool {
	for _, e := range []error{ErrNewer, ErrOlder, ErrDamaged, ErrStartAgain, ErrDiskFull, ErrInUse} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// runError is the same for an etcd that ran: a failure then says nothing about
// the state on disk, which the next start examines.
func runError(dir string, err error) error {
	if isDiskFull(err) {
		return diskFull(dir, err)
	}
	return fmt.Errorf("the store in %s died: %w", dir, err)
}

// isElectionRace recognises a panic of etcd's in which nothing is wrong with the
// state: while a member replays its log after a crash, etcd cuts raft's log in
// memory (EtcdServer.compactRaftLog, to index 1 at least) before raft knows the
// entries to be applied, and an election in between looks for them. It takes a
// disk that stalls at that moment.
func isElectionRace(err error) bool {
	text := err.Error()
	return strings.Contains(text, "error scanning unapplied entries") && strings.Contains(text, "compaction")
}

// isDiskFull includes quotas and file-size limits: for the user all are “no
// more room here”.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func diskFull(dir string, err error) error {
	return fmt.Errorf("%w: %s: %w; free some space there and start again: nothing that was acknowledged is lost", ErrDiskFull, dir, err)
}

func damaged(dir string, err error) error {
	return fmt.Errorf("%w: %s: %w; put back a copy of the directory, or remove the region with `tarn delete` and start anew", ErrDamaged, dir, err)
}
