package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

type lake struct {
	Name  string   `json:"name"`
	Depth int      `json:"depth,omitempty"`
	Fish  []string `json:"fish,omitempty"`
}

type boat struct {
	Lake string `json:"lake"`
}

// wantOp checks that err is the OpError of op on collection and key, because of why.
func wantOp(t *testing.T, err error, op, collection, key string, why error) {
	t.Helper()
	var got *store.OpError
	if !errors.As(err, &got) || !errors.Is(err, why) || got.Op != op || got.Collection != collection || got.Key != key {
		t.Errorf("error %v, want that of %s %s %q: %v", err, op, collection, key, why)
	}
}

func keysOf[T any](items []store.Item[T]) []string {
	keys := []string{}
	for _, it := range items {
		keys = append(keys, it.Key)
	}
	return keys
}

func TestCreateGetUpdateDelete(t *testing.T) {
	ctx, lakes := t.Context(), store.NewCollection[lake](storetest.Open(t).Client(), "lakes")

	_, err := lakes.Get(ctx, "a/b")
	wantOp(t, err, "get", "lakes", "a/b", store.ErrNotFound)

	first, err := lakes.Create(ctx, "a/b", lake{Name: "b", Fish: []string{"char"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = lakes.Create(ctx, "a/b", lake{Name: "other"})
	wantOp(t, err, "create", "lakes", "a/b", store.ErrExists)
	got, err := lakes.Get(ctx, "a/b")
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}

	changed := got
	changed.Value.Depth = 7
	second, err := lakes.Update(ctx, changed)
	if err != nil || second.Revision <= first.Revision {
		t.Fatalf("updated to %+v, %v", second, err)
	}
	_, err = lakes.Update(ctx, got)
	wantOp(t, err, "update", "lakes", "a/b", store.ErrConflict)
	wantOp(t, lakes.DeleteItem(ctx, got), "delete", "lakes", "a/b", store.ErrConflict)
	if got, err := lakes.Get(ctx, "a/b"); err != nil || got.Value.Depth != 7 || got.Revision != second.Revision {
		t.Errorf("after refused writes: %+v, %v", got, err)
	}

	if err := lakes.DeleteItem(ctx, second); err != nil {
		t.Fatal(err)
	}
	wantOp(t, lakes.DeleteItem(ctx, second), "delete", "lakes", "a/b", store.ErrNotFound)
	wantOp(t, lakes.Delete(ctx, "a/b"), "delete", "lakes", "a/b", store.ErrNotFound)
	_, err = lakes.Update(ctx, second)
	wantOp(t, err, "update", "lakes", "a/b", store.ErrNotFound)

	// The same key with a new life is not the same item.
	if _, err := lakes.Create(ctx, "a/b", second.Value); err != nil {
		t.Fatal(err)
	}
	_, err = lakes.Update(ctx, second)
	wantOp(t, err, "update", "lakes", "a/b", store.ErrConflict)
	if err := lakes.Delete(ctx, "a/b"); err != nil {
		t.Fatal(err)
	}
}

func TestMisuseIsRefused(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	for name, ops := range map[string][]store.Op{
		"no operations": {},
		"empty key":     {lakes.CreateOp("", lake{})},
		"no revision":   {lakes.UpdateOp(store.Item[lake]{Key: "a"})},
		"written twice": {lakes.CreateOp("a", lake{}), lakes.CreateOp("a", lake{})},
		"not JSON":      {store.NewCollection[chan int](client, "chans").CreateOp("a", make(chan int))},
	} {
		if _, err := store.Commit(ctx, client, ops...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if items, _, err := lakes.List(ctx, ""); err != nil || len(items) != 0 {
		t.Errorf("they left %v, %v", items, err)
	}
	for _, name := range []string{"", "a/b", "A", "a b", "-a"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a collection may be called %q", name)
				}
			}()
			store.NewCollection[lake](client, name)
		}()
	}
}

func TestListPagesAndPrefixes(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	other := store.NewCollection[lake](client, "lakes-2") // shares bytes with the prefix
	const n = 1203                                        // three pages
	var ops []store.Op
	want := []string{}
	for i := range n {
		key := fmt.Sprintf("many/%05d", i)
		want = append(want, key)
		ops = append(ops, lakes.CreateOp(key, lake{Depth: i}))
		if len(ops) == 401 {
			if _, err := store.Commit(ctx, client, ops...); err != nil {
				t.Fatal(err)
			}
			ops = nil
		}
	}
	for _, key := range []string{"man", "many", "many0", "z/\x00\xff", "z/\xff\xff"} {
		if _, err := lakes.Create(ctx, key, lake{}); err != nil {
			t.Fatal(err)
		}
	}
	last, err := other.Create(ctx, "many/0", lake{})
	if err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"many/":  want,
		"":       append(append([]string{"man", "many"}, want...), "many0", "z/\x00\xff", "z/\xff\xff"),
		"z/\xff": {"z/\xff\xff"},
		"none":   {},
	} {
		items, rev, err := lakes.List(ctx, prefix)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, keysOf(items)); diff != "" {
			t.Errorf("List(%q): %s", prefix, diff)
		}
		if rev != last.Revision {
			t.Errorf("List(%q) at revision %d, want %d", prefix, rev, last.Revision)
		}
	}
}

func TestUndecodableValueIsNamed(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	if _, err := client.Put(ctx, "/tarn/lakes/bad", `{"depth":"deep"}`); err != nil {
		t.Fatal(err)
	}
	_, err := lakes.Get(ctx, "bad")
	_, _, listErr := lakes.List(ctx, "")
	f := lakes.Follow(ctx, "")
	for range f.C {
		t.Error("a snapshot without the bad item")
	}
	for _, err := range []error{err, listErr, f.Err()} {
		if err == nil || !strings.Contains(err.Error(), `decode "bad"`) {
			t.Errorf("error %v does not name the item", err)
		}
	}
}

func TestCommit(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	boats := store.NewCollection[boat](client, "boats")
	a, err := lakes.Create(ctx, "a", lake{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	stale := a
	if a, err = lakes.Update(ctx, a); err != nil {
		t.Fatal(err)
	}
	gone := store.Item[lake]{Key: "gone", Revision: a.Revision}

	for name, tc := range map[string]struct {
		bad           store.Op
		op, coll, key string
		why           error
	}{
		"create":    {lakes.CreateOp("a", lake{}), "create", "lakes", "a", store.ErrExists},
		"update":    {lakes.UpdateOp(stale), "update", "lakes", "a", store.ErrConflict},
		"delete":    {lakes.DeleteOp(stale), "delete", "lakes", "a", store.ErrConflict},
		"gone":      {lakes.DeleteOp(gone), "delete", "lakes", "gone", store.ErrNotFound},
		"unchanged": {lakes.Unchanged(stale), "require", "lakes", "a", store.ErrConflict},
		"exist":     {lakes.MustExist("gone"), "require", "lakes", "gone", store.ErrNotFound},
		"not exist": {lakes.MustNotExist("a"), "require", "lakes", "a", store.ErrExists},
	} {
		_, err := store.Commit(ctx, client, boats.CreateOp("x", boat{"a"}), tc.bad, boats.CreateOp("y", boat{"a"}))
		wantOp(t, err, tc.op, tc.coll, tc.key, tc.why)
		if items, _, err := boats.List(ctx, ""); err != nil || len(items) > 0 {
			t.Fatalf("%s: half of the commit is there: %v, %v", name, items, err)
		}
	}

	a.Value.Depth = 3
	rev, err := store.Commit(ctx, client,
		lakes.UpdateOp(a), lakes.MustNotExist("b"), lakes.MustExist("a"),
		boats.CreateOp("x", boat{"a"}), boats.CreateOp("y", boat{"a"}))
	if err != nil {
		t.Fatal(err)
	}
	items, _, err := boats.List(ctx, "")
	want := []store.Item[boat]{{Key: "x", Value: boat{"a"}, Revision: rev}, {Key: "y", Value: boat{"a"}, Revision: rev}}
	if diff := cmp.Diff(want, items); err != nil || diff != "" {
		t.Error(err, diff)
	}
	a.Revision = rev // as Commit's contract says
	if _, err := store.Commit(ctx, client, lakes.Unchanged(a), boats.DeleteOp(items[0]), boats.DeleteOp(items[1])); err != nil {
		t.Error(err)
	}
	if items, _, err := boats.List(ctx, ""); err != nil || len(items) > 0 {
		t.Errorf("left %v, %v", items, err)
	}
}

func TestLargeCommit(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	boats := store.NewCollection[boat](client, "boats")
	ops := make([]store.Op, store.MaxTxnOps)
	for i := range ops {
		ops[i] = boats.CreateOp(fmt.Sprint(i), boat{})
	}
	if _, err := store.Commit(ctx, client, append(ops, boats.MustNotExist("z"))...); err == nil {
		t.Error("more than MaxTxnOps were accepted")
	}
	if _, err := store.Commit(ctx, client, ops...); err != nil {
		t.Error(err)
	}
}

func TestModify(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	if _, err := lakes.Modify(ctx, "a", func(*lake) error { t.Error("called for nothing"); return nil }); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	before, err := lakes.Create(ctx, "a", lake{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if it, err := lakes.Modify(ctx, "a", func(*lake) error { return nil }); err != nil || it.Revision != before.Revision {
		t.Errorf("no change was written as revision %d, %v", it.Revision, err)
	}
	no := errors.New("no")
	if _, err := lakes.Modify(ctx, "a", func(l *lake) error { l.Depth = 9; return no }); err != no {
		t.Error(err)
	}

	// Each of many concurrent changes is applied once.
	const workers, each = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := lakes.Modify(ctx, "a", func(l *lake) error { l.Depth++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if it, err := lakes.Get(ctx, "a"); err != nil || it.Value.Depth != workers*each {
		t.Errorf("depth %d, %v; want %d", it.Value.Depth, err, workers*each)
	}

	ctx, cancel := context.WithCancel(ctx)
	_, err = lakes.Modify(ctx, "a", func(l *lake) error { l.Depth++; cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
}

// What the collections do must not depend on the in-process client.
func TestRemove(t *testing.T) {
	ctx, lakes := t.Context(), store.NewCollection[lake](storetest.Open(t).Client(), "lakes")
	if err := lakes.Remove(ctx, "a", func(lake) error { t.Error("called for nothing"); return nil }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Remove of nothing: %v", err)
	}
	if _, err := lakes.Create(ctx, "a", lake{Depth: 1}); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	if err := lakes.Remove(ctx, "a", func(lake) error { return no }); err != no {
		t.Errorf("against its will: %v", err)
	}
	var seen []int
	err := lakes.Remove(ctx, "a", func(l lake) error {
		seen = append(seen, l.Depth)
		if l.Depth == 1 { // somebody is faster
			if _, err := lakes.Modify(ctx, "a", func(l *lake) error { l.Depth = 2; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	})
	if err != nil || !slices.Equal(seen, []int{1, 2}) {
		t.Errorf("%v, and was asked about %v", err, seen)
	}
	if _, err := lakes.Get(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}

func TestRemoteClient(t *testing.T) {
	s := storetest.Open(t)
	remote, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	ctx := t.Context()
	near, far := store.NewCollection[lake](s.Client(), "lakes"), store.NewCollection[lake](remote, "lakes")
	it, err := far.Create(ctx, "a", lake{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for ev, err := range near.Watch(ctx, "", it.Revision-1) {
		if diff := cmp.Diff(store.Event[lake]{Item: it}, ev); err != nil || diff != "" {
			t.Error(err, diff)
		}
		break
	}
	if _, err := near.Modify(ctx, "a", func(l *lake) error { l.Depth = 1; return nil }); err != nil {
		t.Fatal(err)
	}
	_, err = far.Update(ctx, it)
	wantOp(t, err, "update", "lakes", "a", store.ErrConflict)
}
