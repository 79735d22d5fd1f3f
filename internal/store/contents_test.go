package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestRestore(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	boats := store.NewCollection[boat](client, "boats")
	others := store.NewCollection[boat](client, "boats-2") // shares bytes with a name
	for _, name := range []string{"a", "b/c", "kept <&>"} {
		if _, err := lakes.Create(ctx, name, lake{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := boats.Create(ctx, "first", boat{Lake: "a"}); err != nil {
		t.Fatal(err)
	}
	want, err := store.Read(ctx, client, "lakes", "boats", "none")
	if err != nil || len(want["lakes"]) != 3 || len(want["boats"]) != 1 || len(want["none"]) != 0 {
		t.Fatal(want, err)
	}
	// It survives being written to a file.
	file, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	kept := store.Contents{}
	if err := json.Unmarshal(file, &kept); err != nil {
		t.Fatal(err)
	}

	before, err := lakes.Get(ctx, "kept <&>")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lakes.Modify(ctx, "a", func(l *lake) error { l.Depth = 9; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := lakes.Delete(ctx, "b/c"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*store.Collection[boat]{boats, others} {
		if _, err := c.Create(ctx, "second", boat{Lake: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Restore(ctx, client, kept, "lakes", "boats"); err != nil {
		t.Fatal(err)
	}
	got, err := store.Read(ctx, client, "lakes", "boats", "none")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if after, err := lakes.Get(ctx, "kept <&>"); err != nil || after.Revision != before.Revision {
		t.Errorf("what had not changed was written: %+v, %v", after, err)
	}
	if _, err := others.Get(ctx, "second"); err != nil {
		t.Error("a collection that was not named:", err)
	}
	// A collection that is named and that the contents do not have ends empty.
	if err := store.Restore(ctx, client, store.Contents{}, "boats"); err != nil {
		t.Fatal(err)
	}
	if left, _, err := boats.List(ctx, ""); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

// Values come in order and go in reverse, so that nobody sees a boat without its
// lake, also where it takes many commits.
func TestRestoreOrderAndSize(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakes := store.NewCollection[lake](client, "lakes")
	boats := store.NewCollection[boat](client, "boats")
	contents := store.Contents{}
	const n = 700
	for i := range n {
		key := fmt.Sprintf("%04d", i)
		contents.Set("lakes", key, json.RawMessage(`{"name":"`+strings.Repeat("x", 5000)+`"}`))
		contents.Set("boats", key, json.RawMessage(`{"lake":"`+key+`"}`))
	}
	_, rev, err := lakes.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Restore(ctx, client, contents, "lakes", "boats"); err != nil {
		t.Fatal(err)
	}
	if err := store.Restore(ctx, client, nil, "lakes", "boats"); err != nil {
		t.Fatal(err)
	}
	var lastLake, firstBoat, lastBoatGone, firstLakeGone int64
	seen := 0
	for ev, err := range lakes.Watch(ctx, "", rev) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; !ev.Deleted {
			lastLake = ev.Item.Revision
		} else if firstLakeGone == 0 {
			firstLakeGone = ev.Item.Revision
		}
		if seen == 2*n {
			break
		}
	}
	seen = 0
	for ev, err := range boats.Watch(ctx, "", rev) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; ev.Deleted {
			lastBoatGone = ev.Item.Revision
		} else if firstBoat == 0 {
			firstBoat = ev.Item.Revision
		}
		if seen == 2*n {
			break
		}
	}
	if lastLake > firstBoat || lastBoatGone > firstLakeGone {
		t.Errorf("lakes until %d, boats from %d; boats went until %d, lakes from %d", lastLake, firstBoat, lastBoatGone, firstLakeGone)
	}
}
