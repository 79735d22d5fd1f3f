package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// root is where all collections live; kube-apiservers keep to other prefixes.
const root = "/tarn/"

// listPage is how many items one request of a List asks for.
const listPage = 500

// Item is a value as the store had it at Revision.
type Item[T any] struct {
	Key   string
	Value T
	// Revision is that of the last change; it grows with each change to anything
	// in the store. UpdateOp, DeleteOp and Unchanged compare it.
	Revision int64
}

// Collection holds values of one type as JSON under /tarn/<name>/<key>. It has
// no state of its own; it may be copied, and used by many goroutines.
type Collection[T any] struct {
	client *clientv3.Client
	name   string
}

// A name has no slash, so that no key of one collection lies in another.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// NewCollection gives access to the collection; name is of lower-case letters,
// digits, dots and dashes, anything else panics. Keys are any bytes but the
// empty string, slashes included.
func NewCollection[T any](client *clientv3.Client, name string) *Collection[T] {
	if !validName.MatchString(name) {
		panic(fmt.Sprintf("store: %q is no name for a collection", name))
	}
	return &Collection[T]{client: client, name: name}
}

// Name returns the collection's name.
func (c *Collection[T]) Name() string { return c.name }

// etcd's keys are bytes, so a key needs no escaping, and reads well in etcdctl.
func encodeKey(name, key string) string { return root + name + "/" + key }

// decodeKey undoes encodeKey for a path of the collection.
func decodeKey(name, path string) (string, bool) {
	return strings.CutPrefix(path, root+name+"/")
}

func (c *Collection[T]) path(key string) string { return encodeKey(c.name, key) }

func (c *Collection[T]) err(op, key string, err error) error {
	return &OpError{Op: op, Collection: c.name, Key: key, Err: clientError(err)}
}

func (c *Collection[T]) item(kv *mvccpb.KeyValue) (Item[T], error) {
	key, ok := decodeKey(c.name, string(kv.Key))
	if !ok {
		return Item[T]{}, fmt.Errorf("key %q is of another collection", kv.Key)
	}
	it := Item[T]{Key: key, Revision: kv.ModRevision}
	if err := json.Unmarshal(kv.Value, &it.Value); err != nil {
		return Item[T]{}, fmt.Errorf("decode %q: %w", key, err)
	}
	return it, nil
}

// Get returns the item, or ErrNotFound.
func (c *Collection[T]) Get(ctx context.Context, key string) (Item[T], error) {
	it, _, err := c.get(ctx, key)
	return it, err
}

// get returns the stored bytes too.
func (c *Collection[T]) get(ctx context.Context, key string) (Item[T], []byte, error) {
	resp, err := c.client.Get(ctx, c.path(key))
	if err != nil {
		return Item[T]{}, nil, c.err("get", key, err)
	}
	if len(resp.Kvs) == 0 {
		return Item[T]{}, nil, c.err("get", key, ErrNotFound)
	}
	it, err := c.item(resp.Kvs[0])
	if err != nil {
		return Item[T]{}, nil, c.err("get", key, err)
	}
	return it, resp.Kvs[0].Value, nil
}

// List returns the items whose keys begin with prefix, by key, all as they were
// at the returned revision; Watch from there misses nothing.
func (c *Collection[T]) List(ctx context.Context, prefix string) ([]Item[T], int64, error) {
	return c.listWith(ctx, prefix, c.item)
}

// listWith is List with another way to decode.
func (c *Collection[T]) listWith(ctx context.Context, prefix string, decode func(*mvccpb.KeyValue) (Item[T], error)) ([]Item[T], int64, error) {
	for {
		items, rev, err := c.list(ctx, prefix, decode)
		if errors.Is(err, ErrCompacted) && ctx.Err() == nil {
			continue // between two pages; the next attempt reads a newer revision
		}
		return items, rev, err
	}
}

func (c *Collection[T]) list(ctx context.Context, prefix string, decode func(*mvccpb.KeyValue) (Item[T], error)) (items []Item[T], rev int64, err error) {
	from, end := c.path(prefix), clientv3.GetPrefixRangeEnd(c.path(prefix))
	for {
		resp, err := c.client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(rev), clientv3.WithLimit(listPage))
		if err != nil {
			return nil, 0, c.err("list", prefix, err)
		}
		if rev == 0 {
			rev = resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			it, err := decode(kv)
			if err != nil {
				return nil, 0, c.err("list", prefix, err)
			}
			items = append(items, it)
		}
		if !resp.More {
			return items, rev, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// Create stores a value under a key that must not exist (ErrExists).
func (c *Collection[T]) Create(ctx context.Context, key string, v T) (Item[T], error) {
	rev, err := Commit(ctx, c.client, c.CreateOp(key, v))
	if err != nil {
		return Item[T]{}, err
	}
	return Item[T]{Key: key, Value: v, Revision: rev}, nil
}

// Update replaces the value of an item that must be as it was when read:
// ErrConflict if it changed since, ErrNotFound if it is gone. It returns the
// item with its new revision.
func (c *Collection[T]) Update(ctx context.Context, it Item[T]) (Item[T], error) {
	rev, err := Commit(ctx, c.client, c.UpdateOp(it))
	if err != nil {
		return Item[T]{}, err
	}
	it.Revision = rev
	return it, nil
}

// Delete removes whatever is stored under key, or returns ErrNotFound.
func (c *Collection[T]) Delete(ctx context.Context, key string) error {
	resp, err := c.client.Delete(ctx, c.path(key))
	if err == nil && resp.Deleted == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return c.err("delete", key, err)
	}
	return nil
}

// DeleteItem removes an item that must be as it was when read: ErrConflict if
// it changed since, ErrNotFound if it is gone.
func (c *Collection[T]) DeleteItem(ctx context.Context, it Item[T]) error {
	_, err := Commit(ctx, c.client, c.DeleteOp(it))
	return err
}

// Remove reads the item and removes it if may has nothing against it; when somebody
// changes it meanwhile it does that again. It returns ErrNotFound if the item is not
// there, and an error of may as it is.
func (c *Collection[T]) Remove(ctx context.Context, key string, may func(T) error) error {
	for {
		it, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		if err := may(it.Value); err != nil {
			return err
		}
		if err := c.DeleteItem(ctx, it); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// Modify reads the item, lets change edit its value and writes it back; when
// somebody else was faster it does all that again. A value that stays the same
// is not written. An error of change ends it and is returned as it is.
func (c *Collection[T]) Modify(ctx context.Context, key string, change func(*T) error) (Item[T], error) {
	for {
		it, before, err := c.get(ctx, key)
		if err != nil {
			return Item[T]{}, err
		}
		if err := change(&it.Value); err != nil {
			return Item[T]{}, err
		}
		op := c.UpdateOp(it)
		if op.err == nil && bytes.Equal(op.value, before) {
			return it, nil
		}
		it.Revision, err = Commit(ctx, c.client, op)
		if err == nil {
			return it, nil
		}
		if !errors.Is(err, ErrConflict) {
			return Item[T]{}, err
		}
	}
}
