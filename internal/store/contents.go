package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Contents are the values of collections as they are stored, by collection and
// key: for who keeps them to bring them back, whatever they mean.
type Contents map[string]map[string]json.RawMessage

// Set adds a value.
func (c Contents) Set(collection, key string, value json.RawMessage) {
	if c[collection] == nil {
		c[collection] = map[string]json.RawMessage{}
	}
	c[collection][key] = value
}

// Read returns what the collections hold, all as they are at one revision.
func Read(ctx context.Context, client *clientv3.Client, collections ...string) (Contents, error) {
	contents := Contents{}
	var gets []clientv3.Op
	for _, name := range collections {
		path := NewCollection[json.RawMessage](client, name).path("")
		gets = append(gets, clientv3.OpGet(path, clientv3.WithPrefix()))
	}
	if len(gets) == 0 {
		return contents, nil
	}
	resp, err := client.Txn(ctx).Then(gets...).Commit()
	if err != nil {
		return nil, fmt.Errorf("reading collections: %w", clientError(err))
	}
	for i, name := range collections {
		contents[name] = map[string]json.RawMessage{}
		for _, kv := range resp.Responses[i].GetResponseRange().Kvs {
			key, _ := decodeKey(name, string(kv.Key))
			contents[name][key] = kv.Value
		}
	}
	return contents, nil
}

// What one commit of Restore may have; etcd refuses more than 1.5 MiB.
const (
	restoreOps   = MaxTxnOps / 4
	restoreBytes = 512 << 10
)

// Restore makes each of the collections hold exactly what the contents have of
// it, over whatever was written meanwhile, and touches nothing that is so
// already. What refers to something else is to be named after it: values come
// in the collections' order, and then go in reverse. It is not one commit but
// several; after an error it may be run again.
func Restore(ctx context.Context, client *clientv3.Client, contents Contents, collections ...string) error {
	now, err := Read(ctx, client, collections...)
	if err != nil {
		return err
	}
	var writes []clientv3.Op
	size := 0
	commit := func() error {
		if len(writes) == 0 {
			return nil
		}
		if _, err := client.Txn(ctx).Then(writes...).Commit(); err != nil {
			return fmt.Errorf("restoring collections: %w", clientError(err))
		}
		writes, size = nil, 0
		return nil
	}
	write := func(op clientv3.Op) error {
		more := len(op.KeyBytes()) + len(op.ValueBytes())
		if len(writes) == restoreOps || size+more > restoreBytes {
			if err := commit(); err != nil {
				return err
			}
		}
		writes, size = append(writes, op), size+more
		return nil
	}
	for _, name := range collections {
		for _, key := range slices.Sorted(maps.Keys(contents[name])) {
			value := contents[name][key]
			if have, there := now[name][key]; there && bytes.Equal(have, value) {
				continue
			}
			if err := write(clientv3.OpPut(encodeKey(name, key), string(value))); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Backward(collections) {
		for _, key := range slices.Sorted(maps.Keys(now[name])) {
			if _, stays := contents[name][key]; stays {
				continue
			}
			if err := write(clientv3.OpDelete(encodeKey(name, key))); err != nil {
				return err
			}
		}
	}
	return commit()
}
