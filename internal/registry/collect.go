package registry

import (
	"context"
	"errors"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

const (
	// collectAfter is how long after a deletion what it freed is removed: many
	// deletions come together.
	collectAfter = 10 * time.Second
	// pushQuiet is the longest that a client is expected to be silent in the
	// middle of a push.
	pushQuiet = 10 * time.Minute
)

// Collect lets what no image uses be removed, in a while. The registry calls it
// for what is deleted through it.
func (r *Registry) Collect() {
	select {
	case r.freed <- struct{}{}:
	default: // it is going to be done
	}
}

// collector removes layers and manifests that no image uses, some time after
// images were deleted, and once after the start for deletions before it. quiet
// is after how long what was held back by a push is tried again.
func (r *Registry) collector(quiet time.Duration) {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.freed:
			timer.Reset(r.collectAfter)
			continue
		case <-timer.C:
		}
		whole, err := r.collect(r.ctx)
		switch {
		case r.ctx.Err() != nil:
			return
		case err != nil:
			r.logger.Warn("unused layers of images were not all removed", "dir", r.dir, "error", err)
		case !whole: // pushes are under way
			timer.Reset(quiet)
		}
	}
}

// collect removes what no image uses, from the repositories that nobody pushes
// to; whole says that this is all of them.
func (r *Registry) collect(ctx context.Context) (whole bool, err error) {
	end, err := r.traffic.exclude(ctx)
	if err != nil {
		return false, err
	}
	defer end()
	busy, all := r.traffic.busy()
	if all {
		return false, nil
	}
	begin := time.Now()
	c := collection{Namespace: r.own.repos, busy: busy, kept: map[digest.Digest]bool{}}
	if err := c.keep(ctx); err != nil {
		return false, err
	}
	if err := storage.MarkAndSweep(ctx, r.own.driver, &c, storage.GCOpts{Quiet: true}); err != nil {
		return false, err
	}
	r.logger.Debug("removed unused layers of images", "took", time.Since(begin), "repositories with pushes", len(busy))
	return len(busy) == 0, nil
}

// collection shows the storage to the library's MarkAndSweep so that what busy
// repositories have seems to be absent, and a directory that is not there empty.
type collection struct {
	distribution.Namespace
	busy map[string]bool
	kept map[digest.Digest]bool // layers of busy repositories
}

// keep notes the layers of busy repositories. One without a manifest is no
// repository yet to Enumerate.
func (c *collection) keep(ctx context.Context) error {
	for name := range c.busy {
		named, err := reference.WithName(name)
		if err != nil {
			return err
		}
		repo, err := c.Namespace.Repository(ctx, named)
		if err != nil {
			return err
		}
		err = layers{BlobStore: repo.Blobs(ctx)}.Enumerate(ctx, func(d digest.Digest) error {
			c.kept[d] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Enumerate implements distribution.RepositoryEnumerator.
func (c *collection) Enumerate(ctx context.Context, f func(string) error) error {
	all, ok := c.Namespace.(distribution.RepositoryEnumerator)
	if !ok {
		return errors.ErrUnsupported
	}
	return ifThere(all.Enumerate(ctx, f))
}

// Repository implements distribution.Namespace.
func (c *collection) Repository(ctx context.Context, name reference.Named) (distribution.Repository, error) {
	repo, err := c.Namespace.Repository(ctx, name)
	return collected{repo, c.busy[name.Name()]}, err
}

// Blobs implements distribution.Namespace.
func (c *collection) Blobs() distribution.BlobEnumerator {
	return sweepable{c.Namespace.Blobs(), c.kept}
}

type collected struct {
	distribution.Repository
	busy bool
}

func (r collected) Blobs(ctx context.Context) distribution.BlobStore {
	return layers{r.Repository.Blobs(ctx), r.busy}
}

// layers are those that a repository has links to.
type layers struct {
	distribution.BlobStore
	busy bool
}

func (l layers) Enumerate(ctx context.Context, f func(digest.Digest) error) error {
	if l.busy {
		return nil
	}
	all, ok := l.BlobStore.(distribution.ManifestEnumerator)
	if !ok {
		return errors.ErrUnsupported
	}
	return ifThere(all.Enumerate(ctx, f))
}

type sweepable struct {
	distribution.BlobEnumerator
	kept map[digest.Digest]bool
}

func (s sweepable) Enumerate(ctx context.Context, f func(digest.Digest) error) error {
	return ifThere(s.BlobEnumerator.Enumerate(ctx, func(d digest.Digest) error {
		if s.kept[d] {
			return nil
		}
		return f(d)
	}))
}

func ifThere(err error) error {
	if errors.As(err, &storagedriver.PathNotFoundError{}) {
		return nil
	}
	return err
}
