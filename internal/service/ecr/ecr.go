// Package ecr is the Amazon ECR service: repositories as the region's records,
// and what the API says and does about the images in them. The images themselves
// are in the region's registry, which is the truth about them and which this
// package knows as an interface. It may not touch a file, nor speak the
// distribution protocol.
package ecr

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

var _ ecrapi.Handler = (*Service)(nil)

// Repository is the record of a repository.
type Repository struct {
	Name      string
	Created   time.Time
	Immutable bool `json:",omitempty"` // a tag that is given stays
	// ScanOnPush is kept, nothing is scanned; so is how images are encrypted.
	ScanOnPush     bool `json:",omitempty"`
	EncryptionType string
	KMSKey         string            `json:",omitempty"`
	Tags           map[string]string `json:",omitempty"`
	Policy         string            `json:",omitempty"`
	Lifecycle      string            `json:",omitempty"`
}

// Images is the registry's storage, by the names of repositories, tags and
// digests. What is not there is no error.
type Images interface {
	// Change runs f while nobody else, a push included, changes tags or
	// manifests. PutManifest, Untag and DeleteManifest are called in f.
	Change(ctx context.Context, f func(context.Context) error) error
	// Repositories are those with an image.
	Repositories(ctx context.Context) ([]string, error)
	// Tags are the digests that tags point to.
	Tags(ctx context.Context, repository string) (map[string]string, error)
	// Manifests are digests, and when they were pushed.
	Manifests(ctx context.Context, repository string) (map[string]time.Time, error)
	// Manifest is nil if there is none.
	Manifest(ctx context.Context, repository, digest string) ([]byte, error)
	// PutManifest stores nothing if what the manifest names is missing. The
	// error is fs.ErrInvalid for what is no manifest.
	PutManifest(ctx context.Context, repository, tag, mediaType string, raw []byte) (digest string, missing []string, err error)
	Untag(ctx context.Context, repository, tag string) error
	// DeleteManifest removes a manifest and its tags.
	DeleteManifest(ctx context.Context, repository, digest string) error

	// Layer is a layer's size in bytes.
	Layer(ctx context.Context, repository, digest string) (size int64, found bool, err error)
	// Of an upload that is not there, these return fs.ErrNotExist.
	StartUpload(ctx context.Context, repository string) (id string, err error)
	UploadSize(ctx context.Context, repository, id string) (int64, error)
	// AppendUpload returns fs.ErrInvalid and the size if it is not offset.
	AppendUpload(ctx context.Context, repository, id string, offset int64, part []byte) (size int64, err error)
	// FinishUpload returns fs.ErrInvalid if the digest is another.
	FinishUpload(ctx context.Context, repository, id, digest string) error

	// Password is what the registry accepts of the user AWS until then.
	Password(expires time.Time) string
	// LayerPath is where the registry serves a layer until then.
	LayerPath(repository, digest string, expires time.Time) string
}

// Config is what New needs.
type Config struct {
	Client  *clientv3.Client
	Account string // twelve digits
	Region  string
	Images  Images
	// Endpoint is the registry's address for clients: http://127.0.0.1:5000.
	Endpoint string
	Now      func() time.Time // nil is time.Now
}

// Service is ECR of one region.
type Service struct {
	Repositories *store.Collection[Repository]

	client   *clientv3.Client
	scope    arn.Scope
	images   Images
	endpoint string
	now      func() time.Time
	uploads  uploads
}

// New makes the service on the region's store.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{
		Repositories: store.NewCollection[Repository](cfg.Client, "repositories"),
		client:       cfg.Client,
		scope:        arn.Scope{Account: cfg.Account, Region: cfg.Region},
		images:       cfg.Images,
		endpoint:     cfg.Endpoint,
		now:          cfg.Now,
		uploads:      uploads{byID: map[string]upload{}},
	}
}

// Adopt records the repositories that have images and no record, as those
// pushed by an older Tarn. It may be called at each start.
func (s *Service) Adopt(ctx context.Context) error {
	names, err := s.images.Repositories(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := s.Pushing(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// Known says whether the repository is recorded; the registry asks.
func (s *Service) Known(ctx context.Context, name string) (bool, error) {
	_, err := s.Repositories.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Pushing records the repository to which an image is pushed, if it is not,
// and says whether its tags stay; the registry calls it. A name that ECR does
// not allow is not recorded: the registry holds such images as before.
func (s *Service) Pushing(ctx context.Context, name string) (immutable bool, err error) {
	if checkName(name) != nil {
		return false, nil
	}
	for {
		it, err := s.Repositories.Get(ctx, name)
		if !errors.Is(err, store.ErrNotFound) {
			return it.Value.Immutable, err
		}
		_, err = s.Repositories.Create(ctx, name, Repository{Name: name, Created: s.time(), EncryptionType: string(ecrapi.EncryptionTypeAes256)})
		if !errors.Is(err, store.ErrExists) {
			return false, err
		}
	}
}

// time is now as it is stored and sent: in milliseconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// repository finds the record that a request names.
func (s *Service) repository(ctx context.Context, registry *string, name string) (store.Item[Repository], error) {
	if err := s.checkRepository(registry, name); err != nil {
		return store.Item[Repository]{}, err
	}
	it, err := s.Repositories.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = s.notFound(registry, name)
	}
	return it, err
}

// modify changes the record that a request names.
func (s *Service) modify(ctx context.Context, registry *string, name string, change func(*Repository) error) (Repository, error) {
	if err := s.checkRepository(registry, name); err != nil {
		return Repository{}, err
	}
	it, err := s.Repositories.Modify(ctx, name, change)
	if errors.Is(err, store.ErrNotFound) {
		err = s.notFound(registry, name)
	}
	return it.Value, err
}

// checkRepository checks the two members by which most requests name a
// repository. Registries of other accounts have none.
func (s *Service) checkRepository(registry *string, name string) error {
	if err := checkRegistry(registry); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	if id := api.Val(registry); id != "" && id != s.scope.Account {
		return s.notFound(registry, name)
	}
	return nil
}

func (s *Service) notFound(registry *string, name string) error {
	return ecrapi.RepositoryNotFoundException.New("The repository with name '%s' does not exist in the registry with id '%s'", name, s.registryID(registry))
}

func (s *Service) registryID(registry *string) string {
	if id := api.Val(registry); id != "" {
		return id
	}
	return s.scope.Account
}
