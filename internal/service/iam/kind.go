package iam

import (
	"context"
	"errors"
	"slices"
	"strings"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// quota is a limit, with the name that its error carries.
type quota struct {
	name  string
	limit int
}

// room is the error of having n already.
func (q quota) room(n int) error {
	if q.limit > 0 && n >= q.limit {
		return iamapi.LimitExceededException.New("Cannot exceed quota for %s: %d", q.name, q.limit)
	}
	return nil
}

// kind is one kind of entity: where its items are, and what is particular to it.
type kind[T any] struct {
	s        *Service
	items    *store.Collection[T]
	what     string // in ARNs and in errors: user
	title    string // at the beginning of errors: User
	prefix   string // of its ids
	resource func(*T) *Resource
	holder   func(*T) *Holder // nil for kinds without policies
	quota    quota            // how many there may be
	// inlineBytes is how much the inline policies may have together, without spaces.
	inlineBytes int
	attachable  quota // managed policies for each
	// distinctCase says that two tag keys may differ by case alone.
	distinctCase bool
	guard        func(*T) error          // whether its policies may be changed; nil: they may
	absent       func(name string) error // nil: the common wording
}

// key is the key in the store: names that differ by case alone are one name.
func key(name string) string { return strings.ToLower(name) }

func (k *kind[T]) notFound(name string) error {
	if k.absent != nil {
		return k.absent(name)
	}
	return iamapi.NoSuchEntityException.New("The %s with name %s cannot be found.", k.what, name)
}

// get reads one by its name (NoSuchEntity).
func (k *kind[T]) get(ctx context.Context, name string) (store.Item[T], error) {
	if name == "" {
		return store.Item[T]{}, k.notFound(name)
	}
	it, err := k.items.Get(ctx, key(name))
	if errors.Is(err, store.ErrNotFound) {
		return it, k.notFound(name)
	}
	return it, err
}

// find is get, with nil for none.
func (k *kind[T]) find(ctx context.Context, name string) (*store.Item[T], error) {
	if name == "" {
		return nil, nil
	}
	it, err := k.items.Get(ctx, key(name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &it, err
}

// list reads all of them, by name.
func (k *kind[T]) list(ctx context.Context) ([]T, error) {
	items, _, err := k.items.List(ctx, "")
	if err != nil {
		return nil, err
	}
	values := make([]T, len(items))
	for i := range items {
		values[i] = items[i].Value
	}
	return values, nil
}

// under keeps those whose path begins with prefix.
func (k *kind[T]) under(values []T, prefix *string) []T {
	if prefix == nil {
		return values
	}
	return slices.DeleteFunc(values, func(v T) bool { return !strings.HasPrefix(k.resource(&v).Path, *prefix) })
}

// room is an error when the account may have no more of the kind.
func (k *kind[T]) room(ctx context.Context) error {
	items, _, err := k.items.List(ctx, "")
	if err != nil {
		return err
	}
	return k.quota.room(len(items))
}

// create fills in what a new entity has, and stores it; exists is the error for a name
// that is taken. more are operations of the same commit, made from what is stored now.
func (k *kind[T]) create(ctx context.Context, v *T, exists error, more func() ([]store.Op, error)) error {
	r := k.resource(v)
	r.Created = k.s.time()
	r.ARN = k.s.arnOf(k.what, r.Path, r.Name)
	if k.prefix != "" {
		r.ID = newID(k.prefix)
	}
	return k.s.change(ctx, func() ([]store.Op, error) {
		switch old, err := k.find(ctx, r.Name); {
		case err != nil:
			return nil, err
		case old != nil:
			return nil, exists
		}
		if err := k.room(ctx); err != nil {
			return nil, err
		}
		ops := []store.Op{k.items.CreateOp(key(r.Name), *v)}
		if more == nil {
			return ops, nil
		}
		others, err := more()
		return append(ops, others...), err
	})
}

// modify changes one item.
func (k *kind[T]) modify(ctx context.Context, name string, change func(*T) error) (T, error) {
	defer k.s.epoch.Add(1)
	it, err := k.items.Modify(ctx, key(name), change)
	if errors.Is(err, store.ErrNotFound) {
		err = k.notFound(name)
	}
	return it.Value, err
}

// guarded is the error of changing what must stay as it is.
func (k *kind[T]) guarded(v *T) error {
	if k.guard == nil {
		return nil
	}
	return k.guard(v)
}

// change lets decide read and build operations and commits them; when somebody else was
// faster, it does all that again, so that decide finds out why. No operations: nothing
// is to be done.
func (s *Service) change(ctx context.Context, decide func() ([]store.Op, error)) error {
	for {
		ops, err := decide()
		if err != nil || len(ops) == 0 {
			return err
		}
		_, err = store.Commit(ctx, s.client, ops...)
		s.epoch.Add(1) // also after errors, which may hide a success
		switch {
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists):
			continue
		}
		return err
	}
}
