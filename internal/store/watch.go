package store

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Event is one change to a collection.
type Event[T any] struct {
	// Item has the new value, or for a deletion none; its Revision is that of the change.
	Item    Item[T]
	Deleted bool
}

// Watch yields the changes to keys that begin with prefix, in order, from the
// first after the given revision (of List, say). It ends with an error, always:
// ErrCompacted if the revision is older than what the store keeps (see
// History), that of ctx, or ErrClosed. Leaving the loop ends the watch.
//
// Loops that want the state rather than the changes use Follow.
func (c *Collection[T]) Watch(ctx context.Context, prefix string, after int64) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for resp := range c.watch(ctx, prefix, after) {
			events, err := c.events(resp)
			if err != nil {
				yield(Event[T]{}, c.err("watch", prefix, err))
				return
			}
			for _, ev := range events {
				if !yield(ev, nil) {
					return
				}
			}
		}
		yield(Event[T]{}, c.err("watch", prefix, watchEnd(ctx)))
	}
}

func (c *Collection[T]) watch(ctx context.Context, prefix string, after int64) clientv3.WatchChan {
	return c.client.Watch(ctx, c.path(prefix), clientv3.WithPrefix(), clientv3.WithRev(after+1))
}

func watchEnd(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return ErrClosed
}

func (c *Collection[T]) events(resp clientv3.WatchResponse) ([]Event[T], error) {
	if err := resp.Err(); err != nil {
		return nil, err
	}
	events := make([]Event[T], 0, len(resp.Events))
	for _, e := range resp.Events {
		if e.Type == clientv3.EventTypeDelete {
			key, _ := decodeKey(c.name, string(e.Kv.Key))
			events = append(events, Event[T]{Item: Item[T]{Key: key, Revision: e.Kv.ModRevision}, Deleted: true})
			continue
		}
		it, err := c.item(e.Kv)
		if err != nil {
			return nil, err
		}
		events = append(events, Event[T]{Item: it})
	}
	return events, nil
}

// Snapshot is a collection, or the part under a prefix, as it was at Revision.
// Several may share values: none may be modified.
type Snapshot[T any] struct {
	Items    []Item[T] // by key
	Revision int64
}

// Get finds an item.
func (s Snapshot[T]) Get(key string) (Item[T], bool) {
	i, ok := slices.BinarySearchFunc(s.Items, key, func(it Item[T], key string) int { return cmp.Compare(it.Key, key) })
	if !ok {
		return Item[T]{}, false
	}
	return s.Items[i], true
}

// Follower delivers snapshots; see Follow.
type Follower[T any] struct {
	// C delivers the state at the start, and again after changes; who reads
	// slowly misses states in between, never the last. It is closed at the end.
	C   <-chan Snapshot[T]
	err error // set before C is closed
}

// Err says why C was closed; it may be called only after that.
func (f *Follower[T]) Err() error { return f.err }

// Follow keeps up with the keys that begin with prefix until ctx ends, for
// level-triggered loops: each snapshot is the whole state. It lists again by
// itself when its revision was compacted, and tries again while the server does
// not answer; a value that cannot be decoded ends it. The caller ends it by ctx
// and knows from C's closing that it ended.
func (c *Collection[T]) Follow(ctx context.Context, prefix string) *Follower[T] {
	ch := make(chan Snapshot[T])
	f := &Follower[T]{C: ch}
	go func() {
		defer close(ch)
		f.err = c.follow(ctx, prefix, ch)
	}()
	return f
}

// Between attempts to reach a server that does not answer.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

func (c *Collection[T]) follow(ctx context.Context, prefix string, out chan<- Snapshot[T]) error {
	var seen int64 // revision of the newest snapshot that was delivered
	retry := firstRetry
	for {
		err := c.followOnce(ctx, prefix, out, &seen, &retry)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrCompacted):
		case transient(err):
			select {
			case <-time.After(retry):
				retry = min(2*retry, lastRetry)
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			return c.err("watch", prefix, err)
		}
	}
}

// followOnce lists and watches until something breaks.
func (c *Collection[T]) followOnce(ctx context.Context, prefix string, out chan<- Snapshot[T], seen *int64, retry *time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, rev, err := c.List(ctx, prefix)
	if err != nil {
		return err
	}
	*retry = firstRetry
	items := make(map[string]Item[T], len(list))
	for _, it := range list {
		items[it.Key] = it
	}
	snap := Snapshot[T]{Items: list, Revision: rev}
	to := out // nil while snap is delivered already
	if rev == *seen {
		to = nil
	}
	changes := c.watch(ctx, prefix, rev)
	for {
		select {
		case to <- snap:
			*seen, to = snap.Revision, nil
		case resp, ok := <-changes:
			if !ok {
				return watchEnd(ctx)
			}
			events, err := c.events(resp)
			if err != nil {
				return clientError(err)
			}
			if len(events) == 0 {
				continue
			}
			for _, ev := range events {
				rev = ev.Item.Revision
				if ev.Deleted {
					delete(items, ev.Item.Key)
				} else {
					items[ev.Item.Key] = ev.Item
				}
			}
			snap, to = snapshot(items, rev), out
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func snapshot[T any](items map[string]Item[T], rev int64) Snapshot[T] {
	byKey := func(a, b Item[T]) int { return cmp.Compare(a.Key, b.Key) }
	return Snapshot[T]{Items: slices.SortedFunc(maps.Values(items), byKey), Revision: rev}
}
