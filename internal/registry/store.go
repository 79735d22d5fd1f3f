package registry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	// The manifest formats that UnmarshalManifest knows.
	_ "github.com/distribution/distribution/v3/manifest/manifestlist"
	_ "github.com/distribution/distribution/v3/manifest/ocischema"
	_ "github.com/distribution/distribution/v3/manifest/schema2"
)

// uploadAge is how long an interrupted upload can be resumed.
const uploadAge = 24 * time.Hour

// store is one directory of repositories and blobs: the distribution library's
// HTTP handlers, and the same storage for the code here.
type store struct {
	dir    string
	app    *handlers.App
	driver storagedriver.StorageDriver
	repos  distribution.Namespace
}

// openStore opens the store in dir, which is made when something is put into
// it. secret signs the state that clients carry between the requests of an upload.
func openStore(ctx context.Context, dir, secret string) (s *store, err error) {
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem": configuration.Parameters{"rootdirectory": dir},
			"delete":     configuration.Parameters{"enabled": true},
			// The registry purges by itself, to know when it is done.
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
			"tag":         configuration.Parameters{"concurrencylimit": 4},
		},
	}
	config.HTTP.Secret = secret
	// A client knows this registry under another name than the one it
	// reaches it by.
	config.HTTP.RelativeURLs = true
	config.Catalog.MaxEntries = 1000
	config.Tags.MaxTags = 1000

	defer func() { // NewApp has no other way to say what is wrong
		if r := recover(); r != nil {
			err = fmt.Errorf("opening the image store %s: %v", dir, r)
		}
	}()
	s = &store{dir: dir, app: handlers.NewApp(ctx, config)}
	s.driver = filesystem.New(filesystem.DriverParameters{RootDirectory: dir, MaxThreads: 100})
	if s.repos, err = storage.NewRegistry(ctx, s.driver, storage.EnableDelete, storage.EnableValidateImageIndexImagesExist); err != nil {
		return nil, fmt.Errorf("opening the image store %s: %w", dir, err)
	}
	return s, nil
}

func (s *store) close() error { return s.app.Shutdown() }

func (s *store) repository(ctx context.Context, name string) (distribution.Repository, error) {
	named, err := reference.WithName(name)
	if err != nil {
		return nil, err
	}
	return s.repos.Repository(ctx, named)
}

// hasTags says whether an image has a tag in the repository.
func (s *store) hasTags(ctx context.Context, name string) bool {
	repo, err := s.repository(ctx, name)
	if err != nil {
		return false
	}
	tags, err := repo.Tags(ctx).All(ctx)
	return err == nil && len(tags) > 0
}

// hasRepository says whether there is an image in the repository. Where there was
// one the library knows the repository for ever.
func (s *store) hasRepository(ctx context.Context, name string) bool {
	repo, err := s.repository(ctx, name)
	if err != nil {
		return false
	}
	manifests, err := repo.Manifests(ctx)
	if err != nil {
		return false
	}
	all, ok := manifests.(distribution.ManifestEnumerator)
	if !ok {
		return false
	}
	found := false
	_ = all.Enumerate(ctx, func(digest.Digest) error { // which fails where there is nothing
		found = true
		return storagedriver.ErrFilledBuffer // enough
	})
	return found
}

// manifest finds the manifest that ref, a tag or a digest, names. The content
// is nil when there is none.
func (s *store) manifest(ctx context.Context, name, ref string) (digest.Digest, []byte, error) {
	repo, err := s.repository(ctx, name)
	if err != nil {
		return "", nil, err
	}
	dgst, err := digest.Parse(ref)
	if err != nil {
		desc, err := repo.Tags(ctx).Get(ctx, ref)
		if errors.As(err, &distribution.ErrTagUnknown{}) {
			return "", nil, nil
		}
		if err != nil {
			return "", nil, fmt.Errorf("reading tag %s:%s: %w", name, ref, err)
		}
		dgst = desc.Digest
	}
	manifests, err := repo.Manifests(ctx)
	if err != nil {
		return "", nil, err
	}
	m, err := manifests.Get(ctx, dgst)
	if errors.As(err, &distribution.ErrManifestUnknownRevision{}) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading manifest %s of %s: %w", dgst, name, err)
	}
	_, payload, err := m.Payload()
	return dgst, payload, err
}

// hasBlob says whether the repository has the blob.
func (s *store) hasBlob(ctx context.Context, name string, dgst digest.Digest) (bool, error) {
	repo, err := s.repository(ctx, name)
	if err != nil {
		return false, err
	}
	_, err = repo.Blobs(ctx).Stat(ctx, dgst)
	if errors.Is(err, distribution.ErrBlobUnknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for blob %s of %s: %w", dgst, name, err)
	}
	return true, nil
}

// putBlob stores what r gives, all of it or nothing: it must have the digest.
// What is stored is also written to tee, before it is known to be right.
func (s *store) putBlob(ctx context.Context, name string, dgst digest.Digest, r io.Reader, tee io.Writer) error {
	repo, err := s.repository(ctx, name)
	if err != nil {
		return err
	}
	bw, err := repo.Blobs(ctx).Create(ctx)
	if err != nil {
		return fmt.Errorf("storing blob %s of %s: %w", dgst, name, err)
	}
	_, err = io.Copy(io.MultiWriter(bw, tee), r)
	if err == nil {
		_, err = bw.Commit(ctx, ocispec.Descriptor{Digest: dgst})
	}
	if err != nil {
		// The client may be why, and its context over.
		return errors.Join(fmt.Errorf("storing blob %s of %s: %w", dgst, name, err), bw.Cancel(context.WithoutCancel(ctx)))
	}
	return nil
}

// putManifest stores a manifest and, unless tag is empty, points the tag to
// it. The blobs it names need not be there unless whole is set. The error is
// fs.ErrInvalid for what is no manifest.
func (s *store) putManifest(ctx context.Context, name, tag, mediaType string, raw []byte, whole bool) (digest.Digest, error) {
	m, desc, err := distribution.UnmarshalManifest(mediaType, raw)
	if err != nil {
		return "", fmt.Errorf("manifest of %s: %w: %w", name, fs.ErrInvalid, err)
	}
	repo, err := s.repository(ctx, name)
	if err != nil {
		return "", err
	}
	var options []distribution.ManifestServiceOption
	if !whole {
		options = append(options, storage.SkipLayerVerification())
	}
	manifests, err := repo.Manifests(ctx, options...)
	if err != nil {
		return "", err
	}
	if _, err := manifests.Put(ctx, m); err != nil {
		return "", fmt.Errorf("storing the manifest of %s: %w", name, err)
	}
	if tag != "" {
		if err := repo.Tags(ctx).Tag(ctx, tag, desc); err != nil {
			return "", fmt.Errorf("tagging %s:%s: %w", name, tag, err)
		}
	}
	return desc.Digest, nil
}

// purgeUploads discards uploads that nobody resumed for a day.
func (s *store) purgeUploads(ctx context.Context, now time.Time) error {
	_, errs := storage.PurgeUploads(ctx, s.driver, now.Add(-uploadAge), true)
	var failed []error
	for _, err := range errs {
		// An empty store has no repositories to walk, and uploads may end
		// while they are looked at; the library keeps only the text.
		if !errors.As(err, &storagedriver.PathNotFoundError{}) && !strings.Contains(err.Error(), "Path not found") {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// readSecret returns the secret kept in dir, made at the first call: uploads
// can be resumed after a restart because it stays the same.
func readSecret(dir string) (string, error) {
	file := filepath.Join(dir, "http-secret")
	b, err := os.ReadFile(file)
	if err == nil && len(b) >= 32 {
		return string(b), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	secret := hex.EncodeToString(key)
	// Renamed into place: a half-written secret would be kept for ever.
	if err := os.WriteFile(file+".new", []byte(secret), 0o600); err != nil {
		return "", err
	}
	return secret, os.Rename(file+".new", file)
}
