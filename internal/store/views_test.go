package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

func TestFollowAll(t *testing.T) {
	ctx, client := t.Context(), storetest.Open(t).Client()
	lakeStore := store.NewCollection[lake](client, "lakes")
	boatStore := store.NewCollection[boat](client, "boats")
	if _, err := lakeStore.Create(ctx, "loch", lake{Depth: 1}); err != nil {
		t.Fatal(err)
	}
	following, cancel := context.WithCancel(ctx)
	lakes, boats := store.NewView(lakeStore), store.NewView(boatStore)
	views := store.FollowAll(following, lakes, boats)
	defer views.Close()
	news := func() {
		t.Helper()
		if _, ok := <-views.C; !ok {
			t.Fatal("it has ended: ", views.Err())
		}
	}

	news() // both are read now
	if _, ok := lakes.Snapshot().Get("loch"); !ok || len(boats.Snapshot().Items) != 0 {
		t.Errorf("lakes %v, boats %v", lakes.Snapshot(), boats.Snapshot())
	}
	boat, err := boatStore.Create(ctx, "raft", boat{})
	if err != nil {
		t.Fatal(err)
	}
	for boats.Snapshot().Revision < boat.Revision {
		news()
	}
	if _, ok := boats.Snapshot().Get("raft"); !ok {
		t.Errorf("boats %v", boats.Snapshot())
	}
	// Many changes may be one piece of news, and the last is among them.
	it, err := lakeStore.Get(ctx, "loch")
	if err != nil {
		t.Fatal(err)
	}
	for depth := range 50 {
		it.Value.Depth = depth + 2
		if it, err = lakeStore.Update(ctx, it); err != nil {
			t.Fatal(err)
		}
	}
	for lakes.Snapshot().Revision < it.Revision {
		news()
	}
	if loch, _ := lakes.Snapshot().Get("loch"); loch.Value.Depth != 51 {
		t.Errorf("it is %d deep", loch.Value.Depth)
	}

	cancel()
	for range views.C { // one may be left
	}
	if err := views.Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFollowAllEndsWithOne(t *testing.T) {
	client := storetest.Open(t).Client()
	lakeStore := store.NewCollection[lake](client, "lakes")
	boatStore := store.NewCollection[boat](client, "boats")
	views := store.FollowAll(t.Context(), store.NewView(lakeStore), store.NewView(boatStore))
	defer views.Close()
	<-views.C
	if _, err := store.NewCollection[string](client, "boats").Create(t.Context(), "wreck", "not a boat"); err != nil {
		t.Fatal(err)
	}
	for range views.C { // until it ends
	}
	var failed *store.OpError
	if err := views.Err(); !errors.As(err, &failed) || failed.Collection != "boats" {
		t.Error(err)
	}
	views.Close() // does not wait for the other one for ever
}
