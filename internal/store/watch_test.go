package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestWatch(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	boats := store.NewCollection[boat](client, "boats")
	if _, err := lakes.Create(ctx, "p/old", lake{}); err != nil {
		t.Fatal(err)
	}
	_, rev, err := lakes.List(ctx, "p/")
	if err != nil {
		t.Fatal(err)
	}
	created, err := lakes.Create(ctx, "p/new", lake{Depth: 1})
	if err != nil {
		t.Fatal(err)
	}
	// Neither another prefix nor another collection is seen.
	if _, err := store.Commit(ctx, client, lakes.CreateOp("q", lake{}), boats.CreateOp("p/x", boat{})); err != nil {
		t.Fatal(err)
	}
	updated := created
	updated.Value.Depth = 2
	if updated, err = lakes.Update(ctx, updated); err != nil {
		t.Fatal(err)
	}
	if err := lakes.Delete(ctx, "p/old"); err != nil {
		t.Fatal(err)
	}
	want := []store.Event[lake]{
		{Item: created}, {Item: updated},
		{Item: store.Item[lake]{Key: "p/old", Revision: updated.Revision + 1}, Deleted: true},
	}
	var got []store.Event[lake]
	ctx, cancel := context.WithCancel(ctx)
	for ev, err := range lakes.Watch(ctx, "p/", rev) {
		if err != nil {
			wantOp(t, err, "watch", "lakes", "p/", context.Canceled)
			break
		}
		if got = append(got, ev); len(got) == len(want) {
			cancel()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cancel()
}

func TestWatchEndsWithTheServer(t *testing.T) {
	s := storetest.Open(t)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	it, err := lakes.Create(t.Context(), "a", lake{})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range lakes.Watch(t.Context(), "", it.Revision-1) {
		if last = err; err == nil { // it is watching now
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if !errors.Is(last, store.ErrClosed) {
		t.Errorf("ended with %v", last)
	}
}

// compact lets the store forget what was before its current revision, which it returns.
func compact(t *testing.T, lakes *store.Collection[lake], s *store.Server) int64 {
	t.Helper()
	_, rev, err := lakes.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client().Compact(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestWatchFromCompactedRevision(t *testing.T) {
	s := storetest.Open(t)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	for i := range 5 {
		if _, err := lakes.Create(t.Context(), fmt.Sprint(i), lake{}); err != nil {
			t.Fatal(err)
		}
	}
	rev := compact(t, lakes, s)
	for ev, err := range lakes.Watch(t.Context(), "", 1) {
		if !errors.Is(err, store.ErrCompacted) {
			t.Fatalf("got %+v, %v", ev, err)
		}
	}
	// The last revision itself is still there to watch from.
	if _, err := lakes.Create(t.Context(), "new", lake{}); err != nil {
		t.Fatal(err)
	}
	for ev, err := range lakes.Watch(t.Context(), "", rev) {
		if err != nil || ev.Item.Key != "new" {
			t.Errorf("got %+v, %v", ev, err)
		}
		break
	}
}

func TestFollow(t *testing.T) {
	s := storetest.Open(t)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := lakes.Create(ctx, "p/b", lake{Depth: 1}); err != nil {
		t.Fatal(err)
	}
	f := lakes.Follow(ctx, "p/")
	first := <-f.C
	if diff := cmp.Diff([]string{"p/b"}, keysOf(first.Items)); diff != "" {
		t.Fatal(diff)
	}

	// A slow reader gets the last of many states, without the ones between.
	var last store.Item[lake]
	for i := range 100 {
		it, err := lakes.Modify(ctx, "p/b", func(l *lake) error { l.Depth = i + 2; return nil })
		if err != nil {
			t.Fatal(err)
		}
		last = it
	}
	n := 0
	for snap := range f.C {
		n++
		if it, ok := snap.Get("p/b"); ok && it.Revision == last.Revision {
			if diff := cmp.Diff(last, it); diff != "" || snap.Revision != last.Revision {
				t.Errorf("at revision %d: %s", snap.Revision, diff)
			}
			break
		}
	}
	if n >= 100 {
		t.Errorf("%d snapshots of 100 states: nothing was left out", n)
	}
	if _, ok := first.Get("p/a"); ok || first.Items[0].Value.Depth != 1 {
		t.Error("an old snapshot changed")
	}

	if _, err := lakes.Create(ctx, "p/a", lake{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p/a", "p/b"}, keysOf((<-f.C).Items)); diff != "" {
		t.Error(diff)
	}
	if err := lakes.Delete(ctx, "p/b"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p/a"}, keysOf((<-f.C).Items)); diff != "" {
		t.Error(diff)
	}
	cancel()
	for range f.C {
		t.Error("a snapshot of nothing new")
	}
	if !errors.Is(f.Err(), context.Canceled) {
		t.Errorf("ended with %v", f.Err())
	}
}

// Writers, a compactor and followers at once: every follower ends up with the
// last state, whatever was compacted under it.
func TestFollowUnderLoad(t *testing.T) {
	s := storetest.Open(t)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const writers, each = 4, 50
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range each {
				key := fmt.Sprintf("%d/%d", w, i)
				it, err := lakes.Create(ctx, key, lake{Depth: i})
				if err == nil && i%3 == 0 {
					err = lakes.DeleteItem(ctx, it)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var followers sync.WaitGroup
	for range 4 {
		followers.Go(func() {
			f := lakes.Follow(ctx, "")
			var seen int64
			for snap := range f.C {
				if snap.Revision < seen {
					t.Errorf("revision %d after %d", snap.Revision, seen)
				}
				seen = snap.Revision
				if _, done := snap.Get("done"); done {
					if n := len(snap.Items); n != writers*(each-(each+2)/3)+1 {
						t.Errorf("%d items at the end", n)
					}
					return
				}
			}
			t.Errorf("ended with %v", f.Err())
		})
	}
	for range 20 {
		_, rev, err := lakes.List(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		s.Client().Compact(ctx, rev) // an error says that it was done already
	}
	work.Wait()
	if _, err := lakes.Create(ctx, "done", lake{}); err != nil {
		t.Fatal(err)
	}
	followers.Wait()
}

// meddler is a client on which something happens after each read.
type meddler struct {
	clientv3.KV
	after func(nth int) error
	n     int
}

func (m *meddler) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := m.KV.Get(ctx, key, opts...)
	m.n++
	if e := m.after(m.n); e != nil {
		return nil, e
	}
	return resp, err
}

func meddle(t *testing.T, s *store.Server, after func(nth int) error) *clientv3.Client {
	c := clientv3.NewCtxClient(t.Context())
	c.KV, c.Watcher = &meddler{KV: s.Client().KV, after: after}, s.Client().Watcher
	return c
}

func TestFollowListsAgain(t *testing.T) {
	for name, trouble := range map[string]func(t *testing.T, s *store.Server, lakes *store.Collection[lake]) error{
		"after compaction": func(t *testing.T, s *store.Server, lakes *store.Collection[lake]) error {
			// Between List and Watch: the watch starts at a revision that is gone.
			for _, key := range []string{"b", "c"} {
				if _, err := lakes.Create(t.Context(), key, lake{}); err != nil {
					t.Error(err)
				}
			}
			if err := lakes.Delete(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			compact(t, lakes, s)
			return nil
		},
		"after no answer": func(t *testing.T, _ *store.Server, lakes *store.Collection[lake]) error {
			if err := lakes.Delete(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			return rpctypes.ErrTimeout
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := storetest.Open(t)
			lakes := store.NewCollection[lake](s.Client(), "lakes")
			if _, err := lakes.Create(t.Context(), "a", lake{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			client := meddle(t, s, func(nth int) error {
				if nth == 1 {
					return trouble(t, s, lakes)
				}
				return nil
			})
			f := store.NewCollection[lake](client, "lakes").Follow(ctx, "")
			for snap := range f.C {
				if _, ok := snap.Get("a"); !ok { // the item that went meanwhile
					cancel()
				}
			}
			if !errors.Is(f.Err(), context.Canceled) {
				t.Errorf("ended with %v", f.Err())
			}
			cancel()
		})
	}
}

func TestListStartsAgainAfterCompaction(t *testing.T) {
	s := storetest.Open(t)
	lakes := store.NewCollection[lake](s.Client(), "lakes")
	var ops []store.Op
	for i := range 600 { // two pages
		ops = append(ops, lakes.CreateOp(fmt.Sprintf("%03d", i), lake{}))
	}
	if _, err := store.Commit(t.Context(), s.Client(), ops...); err != nil {
		t.Fatal(err)
	}
	client := meddle(t, s, func(nth int) error {
		if nth == 1 {
			if err := lakes.Delete(t.Context(), "000"); err != nil {
				t.Error(err)
			}
			compact(t, lakes, s)
		}
		return nil
	})
	items, rev, err := store.NewCollection[lake](client, "lakes").List(t.Context(), "")
	if err != nil || len(items) != 599 || items[0].Key != "001" || rev <= items[0].Revision {
		t.Errorf("%d items at revision %d, %v", len(items), rev, err)
	}
}
