package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// A cached list is what an ordinary one is, after every kind of change, and
// decodes again only what has changed.
func TestCached(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	cached := store.NewCached(lakes)
	last := map[string]*string{}
	check := func(name string, changed ...string) {
		t.Helper()
		want, rev, err := lakes.List(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		got, at, err := cached.List(ctx)
		if diff := cmp.Diff(want, got); err != nil || diff != "" || at != rev {
			t.Errorf("%s: revision %d, want %d, %v: %s", name, at, rev, err, diff)
		}
		for _, it := range got {
			again := false
			for _, key := range changed {
				again = again || key == it.Key
			}
			first := &it.Value.Fish[0]
			if known := last[it.Key]; known != nil && (known != first) != again {
				t.Errorf("%s: %s was decoded again: %v, want %v", name, it.Key, known != first, again)
			}
			last[it.Key] = first
		}
	}
	check("empty")
	for _, key := range []string{"a", "b", "c"} {
		if _, err := lakes.Create(ctx, key, lake{Name: key, Fish: []string{"char"}}); err != nil {
			t.Fatal(err)
		}
	}
	check("three")
	check("the same")
	if _, err := lakes.Modify(ctx, "b", func(l *lake) error { l.Depth = 3; return nil }); err != nil {
		t.Fatal(err)
	}
	check("one changed", "b")
	if err := lakes.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	check("one gone")
	if _, err := lakes.Create(ctx, "a", lake{Name: "a", Fish: []string{"trout"}}); err != nil {
		t.Fatal(err)
	}
	check("one there again", "a")

	var wait sync.WaitGroup
	for n := range 4 {
		wait.Go(func() {
			for i := range 20 {
				key := fmt.Sprint(n)
				if i == 0 {
					if _, err := lakes.Create(ctx, key, lake{Fish: []string{"pike"}}); err != nil {
						t.Error(err)
					}
				}
				it, err := lakes.Modify(ctx, key, func(l *lake) error { l.Depth = i; return nil })
				if err != nil {
					t.Error(err)
				}
				items, rev, err := cached.List(ctx)
				for _, got := range items {
					if got.Key == key && (got.Value.Depth != i || got.Revision > rev || rev < it.Revision) {
						t.Errorf("%s has depth %d at revision %d after %d was written at %d: %v", key, got.Value.Depth, rev, i, it.Revision, err)
					}
				}
			}
		})
	}
	wait.Wait()
}
