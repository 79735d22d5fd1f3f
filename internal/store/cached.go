package store

import (
	"context"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Cached reads a collection that is listed often: it reads everything anew each
// time, so it is never behind, but decodes only what has changed.
type Cached[T any] struct {
	collection *Collection[T]

	mu    sync.Mutex // guards items
	items map[string]Item[T]
}

// NewCached makes a reader of the collection.
func NewCached[T any](c *Collection[T]) *Cached[T] { return &Cached[T]{collection: c} }

// List is Collection.List of everything. The values are others' too: what they
// point to (maps, slices) must not be changed.
func (c *Cached[T]) List(ctx context.Context) ([]Item[T], int64, error) {
	c.mu.Lock()
	known := c.items
	c.mu.Unlock()
	items, rev, err := c.collection.listWith(ctx, "", func(kv *mvccpb.KeyValue) (Item[T], error) {
		if key, ok := decodeKey(c.collection.name, string(kv.Key)); ok {
			if it, ok := known[key]; ok && it.Revision == kv.ModRevision {
				return it, nil
			}
		}
		return c.collection.item(kv)
	})
	if err != nil {
		return nil, 0, err
	}
	next := make(map[string]Item[T], len(items))
	for _, it := range items {
		next[it.Key] = it
	}
	// Of several at once the last one stays: each is right about its revisions.
	c.mu.Lock()
	c.items = next
	c.mu.Unlock()
	return items, rev, nil
}
