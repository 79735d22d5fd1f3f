package ecr

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// CreateRepository implements ecrapi.Handler.
func (s *Service) CreateRepository(ctx context.Context, in *ecrapi.CreateRepositoryInput) (*ecrapi.CreateRepositoryOutput, error) {
	r, err := s.newRepository(in)
	if err != nil {
		return nil, err
	}
	_, err = s.Repositories.Create(ctx, r.Name, r)
	if errors.Is(err, store.ErrExists) {
		return nil, ecrapi.RepositoryAlreadyExistsException.New("The repository with name '%s' already exists in the registry with id '%s'", r.Name, s.scope.Account)
	}
	if err != nil {
		return nil, err
	}
	return &ecrapi.CreateRepositoryOutput{Repository: new(s.describe(r))}, nil
}

// newRepository is the record that a request asks for.
func (s *Service) newRepository(in *ecrapi.CreateRepositoryInput) (Repository, error) {
	r := Repository{Name: api.Val(in.RepositoryName), Created: s.time(), EncryptionType: string(ecrapi.EncryptionTypeAes256)}
	if err := checkRegistry(in.RegistryId); err != nil {
		return r, err
	}
	if id := s.registryID(in.RegistryId); id != s.scope.Account {
		return r, invalid("registryId", "repositories are made in the account's own registry, %s", s.scope.Account)
	}
	if err := checkName(r.Name); err != nil {
		return r, err
	}
	var err error
	if r.Immutable, err = immutable(in.ImageTagMutability); err != nil {
		return r, err
	}
	if in.ImageScanningConfiguration != nil {
		r.ScanOnPush = api.Val(in.ImageScanningConfiguration.ScanOnPush)
	}
	if e := in.EncryptionConfiguration; e != nil {
		if err := checkEnum("encryptionConfiguration.encryptionType", e.EncryptionType, ecrapi.EncryptionTypeAes256, ecrapi.EncryptionTypeKms); err != nil {
			return r, err
		}
		r.EncryptionType, r.KMSKey = string(e.EncryptionType), api.Val(e.KmsKey)
		if r.KMSKey != "" && e.EncryptionType != ecrapi.EncryptionTypeKms {
			return r, invalid("encryptionConfiguration.kmsKey", "a key is for the encryption type KMS")
		}
	}
	if r.Tags, err = checkTags(in.Tags); err != nil {
		return r, err
	}
	if len(r.Tags) > maxTags {
		return r, tooManyTags()
	}
	return r, nil
}

func immutable(m ecrapi.ImageTagMutability) (bool, error) {
	err := checkEnum("imageTagMutability", m, ecrapi.ImageTagMutabilityMutable, ecrapi.ImageTagMutabilityImmutable)
	return m == ecrapi.ImageTagMutabilityImmutable, err
}

func mutability(immutable bool) ecrapi.ImageTagMutability {
	if immutable {
		return ecrapi.ImageTagMutabilityImmutable
	}
	return ecrapi.ImageTagMutabilityMutable
}

func (s *Service) arn(name string) string { return s.scope.Of("ecr", "repository/%s", name) }

// uri is how images of the repository are named, here as on AWS.
func (s *Service) uri(name string) string {
	suffix := "amazonaws.com"
	if arn.Partition(s.scope.Region) == "aws-cn" {
		suffix += ".cn"
	}
	return s.scope.Account + ".dkr.ecr." + s.scope.Region + "." + suffix + "/" + name
}

func (s *Service) describe(r Repository) ecrapi.Repository {
	out := ecrapi.Repository{
		RepositoryArn: new(s.arn(r.Name)), RegistryId: &s.scope.Account,
		RepositoryName: &r.Name, RepositoryUri: new(s.uri(r.Name)), CreatedAt: &r.Created,
		ImageTagMutability:         mutability(r.Immutable),
		ImageScanningConfiguration: &ecrapi.ImageScanningConfiguration{ScanOnPush: &r.ScanOnPush},
		EncryptionConfiguration:    &ecrapi.EncryptionConfiguration{EncryptionType: ecrapi.EncryptionType(r.EncryptionType)},
	}
	if r.KMSKey != "" {
		out.EncryptionConfiguration.KmsKey = &r.KMSKey
	}
	return out
}

// DescribeRepositories implements ecrapi.Handler.
func (s *Service) DescribeRepositories(ctx context.Context, in *ecrapi.DescribeRepositoriesInput) (*ecrapi.DescribeRepositoriesOutput, error) {
	if err := checkRegistry(in.RegistryId); err != nil {
		return nil, err
	}
	var all []store.Item[Repository]
	if s.registryID(in.RegistryId) == s.scope.Account {
		var err error
		if all, _, err = s.Repositories.List(ctx, ""); err != nil {
			return nil, err
		}
	}
	out := &ecrapi.DescribeRepositoriesOutput{Repositories: []ecrapi.Repository{}}
	var err error
	if in.RepositoryNames != nil {
		all, err = s.among(all, in)
	} else {
		all, out.NextToken, err = page(all, func(it store.Item[Repository]) string { return it.Key }, in.MaxResults, in.NextToken)
	}
	if err != nil {
		return nil, err
	}
	for _, it := range all {
		out.Repositories = append(out.Repositories, s.describe(it.Value))
	}
	return out, nil
}

// among are the repositories that a request names, all of which must exist.
func (s *Service) among(all []store.Item[Repository], in *ecrapi.DescribeRepositoriesInput) ([]store.Item[Repository], error) {
	if in.MaxResults != nil || in.NextToken != nil {
		return nil, ecrapi.InvalidParameterException.New("maxResults and nextToken cannot be used when repositoryNames are specified")
	}
	if err := checkCount("repositoryNames", in.RepositoryNames, 1, 100); err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, name := range in.RepositoryNames {
		if err := checkName(name); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(it store.Item[Repository]) bool { return it.Key == name }) {
			return nil, s.notFound(in.RegistryId, name)
		}
		named[name] = true
	}
	return slices.DeleteFunc(all, func(it store.Item[Repository]) bool { return !named[it.Key] }), nil
}

// DeleteRepository implements ecrapi.Handler.
func (s *Service) DeleteRepository(ctx context.Context, in *ecrapi.DeleteRepositoryInput) (*ecrapi.DeleteRepositoryOutput, error) {
	name := api.Val(in.RepositoryName)
	var deleted Repository
	// No push comes between the images' end and the record's.
	err := s.images.Change(ctx, func(ctx context.Context) error {
		it, err := s.repository(ctx, in.RegistryId, name)
		if err != nil {
			return err
		}
		deleted = it.Value
		images, err := s.images.Manifests(ctx, name)
		if err != nil {
			return err
		}
		if len(images) > 0 && !api.Val(in.Force) {
			return ecrapi.RepositoryNotEmptyException.New("The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", name, s.scope.Account)
		}
		for _, digest := range slices.Sorted(maps.Keys(images)) {
			if err := s.images.DeleteManifest(ctx, name, digest); err != nil {
				return err
			}
		}
		err = s.Repositories.Delete(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			err = s.notFound(in.RegistryId, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.DeleteRepositoryOutput{Repository: new(s.describe(deleted))}, nil
}

// PutImageTagMutability implements ecrapi.Handler.
func (s *Service) PutImageTagMutability(ctx context.Context, in *ecrapi.PutImageTagMutabilityInput) (*ecrapi.PutImageTagMutabilityOutput, error) {
	stay, err := immutable(in.ImageTagMutability)
	if err != nil {
		return nil, err
	}
	r, err := s.modify(ctx, in.RegistryId, api.Val(in.RepositoryName), func(r *Repository) error {
		r.Immutable = stay
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.PutImageTagMutabilityOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, ImageTagMutability: mutability(r.Immutable)}, nil
}

// PutImageScanningConfiguration implements ecrapi.Handler.
func (s *Service) PutImageScanningConfiguration(ctx context.Context, in *ecrapi.PutImageScanningConfigurationInput) (*ecrapi.PutImageScanningConfigurationOutput, error) {
	r, err := s.modify(ctx, in.RegistryId, api.Val(in.RepositoryName), func(r *Repository) error {
		r.ScanOnPush = api.Val(in.ImageScanningConfiguration.ScanOnPush)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.PutImageScanningConfigurationOutput{
		RegistryId: &s.scope.Account, RepositoryName: &r.Name,
		ImageScanningConfiguration: &ecrapi.ImageScanningConfiguration{ScanOnPush: &r.ScanOnPush},
	}, nil
}
