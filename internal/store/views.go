package store

import (
	"context"
	"sync"
	"sync/atomic"
)

// View is one collection as a loop sees it, beside others: see FollowAll.
type View[T any] struct {
	collection *Collection[T]
	latest     atomic.Pointer[Snapshot[T]]
}

// NewView makes the view of a collection, for FollowAll.
func NewView[T any](c *Collection[T]) *View[T] { return &View[T]{collection: c} }

// Snapshot is the newest state. There is none before Views.C has told of one.
func (v *View[T]) Snapshot() Snapshot[T] { return *v.latest.Load() }

func (v *View[T]) follow(ctx context.Context, news func(first bool)) error {
	f := v.collection.Follow(ctx, "")
	for s := range f.C {
		news(v.latest.Swap(&s) == nil)
	}
	return f.Err()
}

// Views keeps up with several collections, for level-triggered loops that look at
// all of them at once.
type Views struct {
	// C tells that all have been read, and then of changes; who reads slowly hears
	// of several at once, and never misses the last. It is closed at the end.
	C <-chan struct{}

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // guards the fields below, and the sending to c
	c      chan struct{}
	unread int
	err    error // set when C is closed
}

// FollowAll follows the views until ctx ends, until Close, or until one of them
// cannot be followed any more: see Follow.
func FollowAll(ctx context.Context, views ...interface {
	follow(ctx context.Context, news func(first bool)) error
}) *Views {
	ctx, cancel := context.WithCancel(ctx)
	c := make(chan struct{}, 1)
	v := &Views{C: c, c: c, cancel: cancel, unread: len(views)}
	for _, view := range views {
		v.running.Go(func() { v.end(view.follow(ctx, v.tell)) })
	}
	return v
}

// Err says why C was closed; it may be called only after that.
func (v *Views) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Close ends the following and waits for it.
func (v *Views) Close() {
	v.cancel()
	v.running.Wait()
}

func (v *Views) tell(first bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if first {
		v.unread--
	}
	if v.unread > 0 || v.err != nil {
		return
	}
	select {
	case v.c <- struct{}{}:
	default: // there is one to be seen
	}
}

func (v *Views) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.err = err
		close(v.c)
		v.cancel()
	}
}
