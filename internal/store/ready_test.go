package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3/raftpb"
)

// elected is an etcd that leads already, with one entry in its log more than the
// database had applied. read answers its linearizable reads, by their number.
type elected struct {
	read  func(n int) error
	reads int
	ready chan struct{}
}

func newElected(read func(n int) error) *elected {
	ready := make(chan struct{})
	close(ready)
	return &elected{read: read, ready: ready}
}

func (*elected) Lead() uint64           { return 1 }
func (*elected) AppliedIndex() uint64   { return 8 }
func (*elected) CommittedIndex() uint64 { return 8 }

func (*elected) Process(context.Context, *raftpb.Message) error {
	return errors.New("a leader was asked to stand for election")
}

func (e *elected) LinearizableReadNotify(context.Context) error {
	e.reads++
	return e.read(e.reads)
}

func (e *elected) ReadyNotify() <-chan struct{} { return e.ready }
func (e *elected) StopNotify() <-chan struct{}  { return nil }

// etcd sets who leads, then tells the reads that wait: the read that comes
// between the two fails, although nothing is wrong.
func TestReadBetweenElectionAndItsNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newElected(func(n int) error {
			switch n {
			case 1:
				return etcderrors.ErrLeaderChanged
			case 2:
				return context.DeadlineExceeded // etcd's own, for handing raft the request
			}
			return nil
		})
		if err := waitReady(t.Context(), m, 1, 7); err != nil || m.reads != 3 {
			t.Errorf("after %d reads: %v", m.reads, err)
		}
	})
}

func TestLogCutShortIsStillFound(t *testing.T) {
	m := newElected(func(int) error { return nil })
	if err := startError("dir", waitReady(t.Context(), m, 1, 8)); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func TestPersistEnds(t *testing.T) {
	unsettledForever := func(context.Context) error { return etcderrors.ErrLeaderChanged }
	t.Run("after a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			err := startError("dir", persist(t.Context(), unsettledForever))
			if !errors.Is(err, ErrStartAgain) || errors.Is(err, ErrDamaged) || !errors.Is(err, etcderrors.ErrLeaderChanged) {
				t.Error(err)
			}
			if took := time.Since(began); took < unsettledWait || took > unsettledWait+time.Second {
				t.Errorf("after %v", took)
			}
		})
	})
	t.Run("with the context, and says why", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			full := errors.New("the disk, for example")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(full) })
			if err := persist(ctx, unsettledForever); !errors.Is(err, full) {
				t.Error(err)
			}
		})
	})
	t.Run("at once when it is of no use", func(t *testing.T) {
		for _, want := range []error{etcderrors.ErrStopped, etcderrors.ErrCorrupt} {
			asked := 0
			err := persist(t.Context(), func(context.Context) error { asked++; return want })
			if !errors.Is(err, want) || asked != 1 {
				t.Errorf("asked %d times: %v", asked, err)
			}
		}
	})
}
