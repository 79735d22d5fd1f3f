package iam

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// Use is when a key or role was last used, and for what.
type Use struct {
	Time            time.Time
	Service, Region string
}

// useInterval is how often uses are written.
const useInterval = time.Minute

// lastUsed keeps uses in memory and writes them now and then: a write for each call would
// cost more than the call.
type lastUsed struct {
	items *store.Collection[Use]

	mu    sync.Mutex      // guards fresh
	fresh map[string]used // by key in items: not written yet
}

type used struct {
	Use
	alive store.Op // holds as long as the key or role exists
}

func keyUse(id string) string  { return "key/" + id }
func roleUse(id string) string { return "role/" + id }

// Touch records that a principal made a call to a service (ec2) in a region. It costs no
// write; Run writes.
func (s *Service) Touch(p policy.Principal, accessKeyID, service, region string) {
	u := used{Use: Use{Time: s.time(), Service: service, Region: region}}
	switch p.Type {
	case policy.Root, policy.User:
		if !strings.HasPrefix(accessKeyID, "AKIA") {
			return
		}
		u.alive = s.keys.MustExist(accessKeyID)
		s.used.set(keyUse(accessKeyID), u)
	case policy.AssumedRole:
		id, _, _ := strings.Cut(p.UserID, ":")
		if id == "" {
			return
		}
		u.alive = s.roles.items.MustExist(key(last(p.RoleARN)))
		s.used.set(roleUse(id), u)
	}
}

func (l *lastUsed) set(k string, u used) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fresh == nil {
		l.fresh = map[string]used{}
	}
	l.fresh[k] = u
}

// get is the last use; the zero Use if there is none.
func (l *lastUsed) get(ctx context.Context, k string) (Use, error) {
	l.mu.Lock()
	u, ok := l.fresh[k]
	l.mu.Unlock()
	if ok {
		return u.Use, nil
	}
	it, err := l.items.Get(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return Use{}, nil
	}
	return it.Value, err
}

// drop forgets the uses of what was deleted.
func (l *lastUsed) drop(ctx context.Context, k string) error {
	l.mu.Lock()
	delete(l.fresh, k)
	l.mu.Unlock()
	err := l.items.Delete(ctx, k)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (l *lastUsed) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = nil
}

// Run writes what Touch recorded, once a minute and when ctx ends; then it returns.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(useInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.flush(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("the last uses of access keys and roles were not written", "error", err)
			}
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return s.flush(last)
		}
	}
}

// flush writes what is fresh. It stays fresh until it is written.
func (s *Service) flush(ctx context.Context) error {
	l := &s.used
	l.mu.Lock()
	fresh := maps.Clone(l.fresh)
	l.mu.Unlock()
	var errs []error
	for k, u := range fresh {
		if err := s.writeUse(ctx, k, u); err != nil {
			errs = append(errs, err)
			continue
		}
		l.mu.Lock()
		if l.fresh[k].Use == u.Use { // no newer one has come
			delete(l.fresh, k)
		}
		l.mu.Unlock()
	}
	return errors.Join(errs...)
}

// writeUse writes one use, unless the key or role is gone.
func (s *Service) writeUse(ctx context.Context, k string, u used) error {
	for {
		it, err := s.used.items.Get(ctx, k)
		op := s.used.items.CreateOp(k, u.Use)
		switch {
		case err == nil:
			it.Value = u.Use
			op = s.used.items.UpdateOp(it)
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		_, err = store.Commit(ctx, s.client, u.alive, op)
		failed, _ := errors.AsType[*store.OpError](err)
		switch {
		case err == nil:
			return nil
		case failed != nil && failed.Op == "require" && errors.Is(err, store.ErrNotFound):
			return nil // deleted; there is nothing to tell about it any more
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrNotFound):
			continue
		}
		return err
	}
}
