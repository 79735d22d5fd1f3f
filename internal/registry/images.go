package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"time"

	"github.com/distribution/distribution/v3"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wholeTag is the grammar of a tag.
var wholeTag = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")

// What follows is for who keeps the records of the region's own repositories.
// Images that came with Tarn are left out, they are nobody's, until they are
// pushed to a repository that Tarn did not bring.

// Change runs f while nobody else, a push included, changes tags or manifests.
// PutManifest, Untag and DeleteManifest may be called only in f.
func (r *Registry) Change(ctx context.Context, f func(context.Context) error) error {
	end, err := r.traffic.step(ctx)
	if err != nil {
		return err
	}
	defer end()
	r.changing.Lock()
	defer r.changing.Unlock()
	return f(ctx)
}

// Repositories are the names of those that have an image.
func (r *Registry) Repositories(ctx context.Context) ([]string, error) {
	all, ok := r.own.repos.(distribution.RepositoryEnumerator)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	var names []string
	err := ifThere(all.Enumerate(ctx, func(name string) error {
		images, err := r.Manifests(ctx, name)
		if err == nil && len(images) > 0 {
			names = append(names, name)
		}
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("listing the repositories: %w", err)
	}
	return names, nil
}

// Tags are the digests of the images that the repository's tags point to.
func (r *Registry) Tags(ctx context.Context, repository string) (map[string]string, error) {
	repo, err := r.own.repository(ctx, repository)
	if err != nil {
		return nil, err
	}
	names, err := repo.Tags(ctx).All(ctx)
	if err != nil && !errors.As(err, &distribution.ErrRepositoryUnknown{}) {
		return nil, fmt.Errorf("listing the tags of %s: %w", repository, err)
	}
	tags := make(map[string]string, len(names))
	for _, name := range names {
		desc, err := repo.Tags(ctx).Get(ctx, name)
		if errors.As(err, &distribution.ErrTagUnknown{}) {
			continue // removed just now
		}
		if err != nil {
			return nil, fmt.Errorf("reading tag %s:%s: %w", repository, name, err)
		}
		if ours, err := r.isOursDigest(ctx, repository, desc.Digest.String()); err != nil {
			return nil, err
		} else if !ours {
			tags[name] = desc.Digest.String()
		}
	}
	return tags, nil
}

// Manifests are the digests of the repository's images, and when they were
// pushed.
func (r *Registry) Manifests(ctx context.Context, repository string) (map[string]time.Time, error) {
	const revisions = "/docker/registry/v2/repositories/%s/_manifests/revisions"
	found := map[string]time.Time{}
	if _, err := reference.WithName(repository); err != nil {
		return nil, err
	}
	algorithms, err := r.own.driver.List(ctx, fmt.Sprintf(revisions, repository))
	if err := ifThere(err); err != nil {
		return nil, fmt.Errorf("listing the images of %s: %w", repository, err)
	}
	for _, algorithm := range algorithms {
		revisions, err := r.own.driver.List(ctx, algorithm)
		if err := ifThere(err); err != nil {
			return nil, fmt.Errorf("listing the images of %s: %w", repository, err)
		}
		for _, revision := range revisions {
			link, err := r.own.driver.Stat(ctx, path.Join(revision, "link"))
			if errors.As(err, &storagedriver.PathNotFoundError{}) {
				continue // deleted
			}
			if err != nil {
				return nil, fmt.Errorf("listing the images of %s: %w", repository, err)
			}
			dgst := path.Base(algorithm) + ":" + path.Base(revision)
			if ours, err := r.isOursDigest(ctx, repository, dgst); err != nil {
				return nil, err
			} else if !ours {
				found[dgst] = link.ModTime()
			}
		}
	}
	return found, nil
}

// Manifest is the content of an image's manifest, or nil if there is none.
func (r *Registry) Manifest(ctx context.Context, repository, dgst string) ([]byte, error) {
	if _, err := digest.Parse(dgst); err != nil {
		return nil, nil
	}
	_, raw, err := r.own.manifest(ctx, repository, dgst)
	if raw != nil && r.isOurs(repository, raw) {
		raw = nil
	}
	return raw, err
}

// PutManifest stores a manifest and, unless tag is empty, points the tag to it.
// missing are the layers or manifests that it names and the repository lacks;
// then nothing is stored. The error is fs.ErrInvalid for what is no manifest.
func (r *Registry) PutManifest(ctx context.Context, repository, tag, mediaType string, raw []byte) (dgst string, missing []string, err error) {
	end := r.traffic.push(repository)
	defer end()
	if tag != "" && !wholeTag.MatchString(tag) {
		return "", nil, fmt.Errorf("%w: %q is no tag", fs.ErrInvalid, tag)
	}
	d, err := r.own.putManifest(ctx, repository, tag, mediaType, raw, true)
	var bad distribution.ErrManifestVerification
	if !errors.As(err, &bad) {
		return d.String(), nil, err
	}
	for _, e := range bad {
		var unknown distribution.ErrManifestBlobUnknown
		if errors.As(e, &unknown) {
			missing = append(missing, unknown.Digest.String())
		}
	}
	if len(missing) == 0 {
		return "", nil, fmt.Errorf("%w: %w", fs.ErrInvalid, err)
	}
	return "", missing, nil
}

// Untag removes a tag, if it is there.
func (r *Registry) Untag(ctx context.Context, repository, tag string) error {
	if !wholeTag.MatchString(tag) {
		return nil // it would lead elsewhere on the disk
	}
	repo, err := r.own.repository(ctx, repository)
	if err != nil {
		return err
	}
	if err := ifThere(repo.Tags(ctx).Untag(ctx, tag)); err != nil {
		return fmt.Errorf("removing tag %s:%s: %w", repository, tag, err)
	}
	return nil
}

// DeleteManifest removes an image and its tags, if it is there. What its layers
// take on disk is freed in a while.
func (r *Registry) DeleteManifest(ctx context.Context, repository, dgst string) error {
	if _, err := digest.Parse(dgst); err != nil {
		return nil
	}
	repo, err := r.own.repository(ctx, repository)
	if err != nil {
		return err
	}
	// The tags first: none may point to nothing.
	tags, err := repo.Tags(ctx).Lookup(ctx, ocispec.Descriptor{Digest: digest.Digest(dgst)})
	if err != nil {
		return fmt.Errorf("looking for tags of %s@%s: %w", repository, dgst, err)
	}
	for _, tag := range tags {
		if err := r.Untag(ctx, repository, tag); err != nil {
			return err
		}
	}
	manifests, err := repo.Manifests(ctx)
	if err != nil {
		return err
	}
	if err := manifests.Delete(ctx, digest.Digest(dgst)); err != nil && !errors.Is(err, distribution.ErrBlobUnknown) {
		return fmt.Errorf("deleting %s@%s: %w", repository, dgst, err)
	}
	r.Collect()
	return nil
}

// isOurs says whether a manifest of the repository is that of an image that
// came with Tarn.
func (r *Registry) isOurs(repository string, raw []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.brought[repository] && preloaded(raw)
}

func (r *Registry) isOursDigest(ctx context.Context, repository, dgst string) (bool, error) {
	r.mu.Lock()
	brought := r.brought[repository]
	r.mu.Unlock()
	if !brought {
		return false, nil // most repositories, without a read
	}
	_, raw, err := r.own.manifest(ctx, repository, dgst)
	return raw != nil && preloaded(raw), err
}
