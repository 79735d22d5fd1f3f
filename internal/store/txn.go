package store

import (
	"context"
	"encoding/json"
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Op is one part of a Commit, made by a Collection: a write with the condition
// under which it is valid, or a condition alone.
type Op struct {
	name       string // for errors
	collection string
	key        string
	path       string

	cond  clientv3.Cmp
	write *clientv3.Op // nil for a condition alone
	value []byte       // what is written
	// failure says why cond does not hold for kv, which is nil if the key is
	// absent; nil if it holds.
	failure func(kv *mvccpb.KeyValue) error

	err error // found while the operation was built
}

func (o Op) wrap(err error) error {
	return &OpError{Op: o.name, Collection: o.collection, Key: o.key, Err: clientError(err)}
}

func (c *Collection[T]) op(name, key string) Op {
	o := Op{name: name, collection: c.name, key: key, path: c.path(key)}
	if key == "" {
		o.err = errors.New("a key must not be empty")
	}
	return o
}

func (o Op) put(v any) Op {
	data, err := json.Marshal(v)
	if err != nil {
		o.err = errors.Join(o.err, err)
	}
	w := clientv3.OpPut(o.path, string(data))
	o.value, o.write = data, &w
	return o
}

// ifAt makes revision the condition.
func (o Op) ifAt(revision int64) Op {
	if revision <= 0 {
		o.err = errors.Join(o.err, errors.New("the item has no revision: it was not read from the store"))
	}
	o.cond = clientv3.Compare(clientv3.ModRevision(o.path), "=", revision)
	o.failure = func(kv *mvccpb.KeyValue) error {
		switch {
		case kv == nil:
			return ErrNotFound
		case kv.ModRevision != revision:
			return ErrConflict
		}
		return nil
	}
	return o
}

// CreateOp stores v under a key that must not exist (ErrExists).
func (c *Collection[T]) CreateOp(key string, v T) Op {
	o := c.op("create", key).put(v)
	o.cond = clientv3.Compare(clientv3.CreateRevision(o.path), "=", 0)
	o.failure = func(kv *mvccpb.KeyValue) error {
		if kv != nil {
			return ErrExists
		}
		return nil
	}
	return o
}

// UpdateOp stores the item's value if the item is as it was when read
// (ErrConflict, ErrNotFound).
func (c *Collection[T]) UpdateOp(it Item[T]) Op {
	return c.op("update", it.Key).put(it.Value).ifAt(it.Revision)
}

// DeleteOp removes the item if it is as it was when read (ErrConflict, ErrNotFound).
func (c *Collection[T]) DeleteOp(it Item[T]) Op {
	o := c.op("delete", it.Key).ifAt(it.Revision)
	w := clientv3.OpDelete(o.path)
	o.write = &w
	return o
}

// Unchanged writes nothing, and requires that the item is as it was when read
// (ErrConflict, ErrNotFound).
func (c *Collection[T]) Unchanged(it Item[T]) Op {
	return c.op("require", it.Key).ifAt(it.Revision)
}

// MustExist writes nothing, and requires that the key exists, with whatever
// value (ErrNotFound): for what refers to it.
func (c *Collection[T]) MustExist(key string) Op {
	o := c.op("require", key)
	o.cond = clientv3.Compare(clientv3.CreateRevision(o.path), ">", 0)
	o.failure = func(kv *mvccpb.KeyValue) error {
		if kv == nil {
			return ErrNotFound
		}
		return nil
	}
	return o
}

// MustNotExist writes nothing, and requires that the key does not exist (ErrExists).
func (c *Collection[T]) MustNotExist(key string) Op {
	o := c.CreateOp(key, *new(T))
	o.name, o.write = "require", nil
	return o
}

// Commit does all of ops or none, and returns the revision that every written
// item now has. If a condition does not hold, the error is the *OpError of the
// first such operation. At most MaxTxnOps, and one write per key.
//
// After any other error (a timeout, say) it is unknown whether the commit
// happened: read again. Once it returned nil, it survives a crash.
func Commit(ctx context.Context, client *clientv3.Client, ops ...Op) (revision int64, err error) {
	if len(ops) == 0 {
		return 0, errors.New("commit: no operations")
	}
	var conds []clientv3.Cmp
	var writes, reads []clientv3.Op
	written := make(map[string]bool, len(ops))
	for _, o := range ops {
		if o.err != nil {
			return 0, o.wrap(o.err)
		}
		if o.write != nil {
			if written[o.path] {
				return 0, o.wrap(errors.New("the same key is written twice in one commit"))
			}
			written[o.path] = true
			writes = append(writes, *o.write)
		}
		conds = append(conds, o.cond)
		reads = append(reads, clientv3.OpGet(o.path))
	}
	resp, err := client.Txn(ctx).If(conds...).Then(writes...).Else(reads...).Commit()
	if err != nil {
		return 0, ops[0].wrap(err)
	}
	if resp.Succeeded {
		return resp.Header.Revision, nil
	}
	for i, o := range ops {
		var kv *mvccpb.KeyValue
		if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			kv = kvs[0]
		}
		if err := o.failure(kv); err != nil {
			return 0, o.wrap(err)
		}
	}
	return 0, errors.New("commit: refused, although every condition holds")
}
