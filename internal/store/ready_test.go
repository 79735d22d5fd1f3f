package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/raft/v3/raftpb"
)

// candidate is an etcd whose log holds seven entries, of terms up to 3. Once it
// leads, the disk takes its time for an eighth, of term 4.
type candidate struct {
	read  func(n int) error // answers its linearizable reads, by their number
	reads int
	ready chan struct{}

	disk  time.Duration
	leads time.Time // zero until it was asked to stand for election
	terms []uint64  // what Term says before the eighth, in turn
}

func newCandidate(disk time.Duration) *candidate {
	ready := make(chan struct{})
	close(ready)
	return &candidate{read: func(int) error { return nil }, ready: ready, disk: disk, terms: []uint64{3}}
}

func (c *candidate) elect() *candidate {
	c.leads = time.Now()
	return c
}

func (c *candidate) replaying(terms ...uint64) *candidate {
	c.terms = terms
	return c
}

func (c *candidate) written() bool {
	return !c.leads.IsZero() && time.Since(c.leads) >= c.disk
}

func (c *candidate) Lead() uint64 {
	if c.leads.IsZero() {
		return 0
	}
	return 1
}

func (c *candidate) Term() uint64 {
	if c.written() {
		return 4
	}
	term := c.terms[0]
	if len(c.terms) > 1 {
		c.terms = c.terms[1:]
	}
	return term
}

func (c *candidate) AppliedIndex() uint64 { return c.CommittedIndex() }

func (c *candidate) CommittedIndex() uint64 {
	if c.written() {
		return 8
	}
	return 7
}

func (c *candidate) Process(_ context.Context, m *raftpb.Message) error {
	if !c.leads.IsZero() || m.GetType() != raftpb.MsgTimeoutNow {
		return fmt.Errorf("it was sent %v", m)
	}
	c.elect()
	return nil
}

func (c *candidate) LinearizableReadNotify(context.Context) error {
	c.reads++
	return c.read(c.reads)
}

func (c *candidate) ReadyNotify() <-chan struct{} { return c.ready }
func (c *candidate) StopNotify() <-chan struct{}  { return nil }

// etcd sets who leads, then tells the reads that wait: the read that comes
// between the two fails, although nothing is wrong.
func TestReadBetweenElectionAndItsNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCandidate(0)
		m.read = func(n int) error {
			switch n {
			case 1:
				return etcderrors.ErrLeaderChanged
			case 2:
				return context.DeadlineExceeded // etcd's own, for handing raft the request
			}
			return nil
		}
		if err := waitReady(t.Context(), m, 1, 7); err != nil || m.reads != 3 {
			t.Errorf("after %d reads: %v", m.reads, err)
		}
	})
}

// A cluster of one answers reads before its own entry is on the disk.
func TestSlowDiskIsNoDamage(t *testing.T) {
	for name, m := range map[string]func() *candidate{
		"asked to lead":              func() *candidate { return newCandidate(20 * time.Second) },
		"elected while it came up":   func() *candidate { return newCandidate(20 * time.Second).elect() },
		"elected before old entries": func() *candidate { return newCandidate(20*time.Second).elect().replaying(1, 2, 3) },
		"its entry is there at once": func() *candidate { return newCandidate(0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := m()
				if err := waitReady(t.Context(), m, 1, 7); err != nil {
					t.Error(err)
				}
				if !m.written() {
					t.Error("it did not wait for the leader's own entry")
				}
			})
		})
	}
}

func TestLogCutShortIsStillFound(t *testing.T) {
	for name, tc := range map[string]struct {
		m      func() *candidate
		within time.Duration
	}{
		"asked to lead":              {func() *candidate { return newCandidate(0) }, time.Second},
		"asked to lead, slow disk":   {func() *candidate { return newCandidate(9 * time.Second) }, 10 * time.Second},
		"elected while it came up":   {func() *candidate { return newCandidate(0).elect() }, 2 * unsettledWait},
		"elected before old entries": {func() *candidate { return newCandidate(0).elect().replaying(1, 2, 3) }, 2 * unsettledWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				if err := startError("dir", waitReady(t.Context(), tc.m(), 1, 8)); !errors.Is(err, ErrDamaged) {
					t.Error(err)
				}
				if took := time.Since(began); took > tc.within {
					t.Errorf("told after %v", took)
				}
			})
		})
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
