package ecr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
)

// PutImage implements ecrapi.Handler.
func (s *Service) PutImage(ctx context.Context, in *ecrapi.PutImageInput) (*ecrapi.PutImageOutput, error) {
	name, tag := api.Val(in.RepositoryName), api.Val(in.ImageTag)
	raw := []byte(api.Val(in.ImageManifest))
	m, digest, err := checkImage(in, raw)
	if err != nil {
		return nil, err
	}
	err = s.images.Change(ctx, func(ctx context.Context) error {
		it, err := s.repository(ctx, in.RegistryId, name)
		if err != nil {
			return err
		}
		c, err := s.contents(ctx, name)
		if err != nil {
			return err
		}
		if err := s.mayPut(it.Value, digest, tag, c); err != nil {
			return err
		}
		_, missing, err := s.images.PutManifest(ctx, name, tag, m.MediaType, raw)
		switch {
		case errors.Is(err, fs.ErrInvalid):
			return ecrapi.InvalidParameterException.New("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'").Because(err)
		case err != nil:
			return err
		case len(missing) > 0 && m.isList():
			return ecrapi.ReferencedImagesNotFoundException.New("Images with digests '[%s]' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", strings.Join(missing, ", "), name, s.scope.Account)
		case len(missing) > 0:
			return ecrapi.LayersNotFoundException.New("Layers with digests '[%s]' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", strings.Join(missing, ", "), name, s.scope.Account)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.PutImageOutput{Image: new(s.image(name, identifier(digest, tag), m.MediaType, raw))}, nil
}

// checkImage reads the manifest of a request.
func checkImage(in *ecrapi.PutImageInput, raw []byte) (m manifest, digest string, err error) {
	if len(raw) == 0 || len(raw) > 4<<20 {
		return m, "", invalid("imageManifest", "must have length between 1 and %d", 4<<20)
	}
	if in.ImageTag != nil && !wholeTag.MatchString(*in.ImageTag) {
		return m, "", mustMatch("imageTag", tagPattern)
	}
	m, ok := readManifest(raw)
	if !ok {
		return m, "", invalid("imageManifest", "Invalid JSON syntax")
	}
	if given := api.Val(in.ImageManifestMediaType); given != "" {
		if !slices.Contains(manifestTypes, given) {
			return m, "", invalid("imageManifestMediaType", "unsupported manifest media type %s", given)
		}
		if m.isList() != (manifest{MediaType: given}).isList() {
			return m, "", invalid("imageManifestMediaType", "the manifest is of type %s", m.MediaType)
		}
		m.MediaType = given
	}
	sum := sha256.Sum256(raw)
	digest = "sha256:" + hex.EncodeToString(sum[:])
	if in.ImageDigest != nil && *in.ImageDigest != digest {
		return m, "", ecrapi.ImageDigestDoesNotMatchException.New("The specified image digest '%s' does not match the digest '%s' that was calculated for the image", *in.ImageDigest, digest)
	}
	return m, digest, nil
}

// mayPut says whether an image may be put where there are others.
func (s *Service) mayPut(r Repository, digest, tag string, c contents) error {
	_, exists := c.pushed[digest]
	switch {
	case tag != "" && r.Immutable && c.tags[tag] != "":
		return ecrapi.ImageTagAlreadyExistsException.New("The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the repository is immutable.", tag, r.Name)
	case tag != "" && c.tags[tag] == digest:
		return ecrapi.ImageAlreadyExistsException.New("Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", digest, tag, r.Name, s.scope.Account)
	case tag == "" && exists:
		return ecrapi.ImageAlreadyExistsException.New("Image with digest '%s' already exists in the repository with name '%s' in registry with id '%s'", digest, r.Name, s.scope.Account)
	}
	return nil
}

// BatchDeleteImage implements ecrapi.Handler. A tag takes its image along when
// it is the last; a digest takes its tags.
func (s *Service) BatchDeleteImage(ctx context.Context, in *ecrapi.BatchDeleteImageInput) (*ecrapi.BatchDeleteImageOutput, error) {
	name := api.Val(in.RepositoryName)
	if err := checkCount("imageIds", in.ImageIds, 1, 100); err != nil {
		return nil, err
	}
	out := &ecrapi.BatchDeleteImageOutput{ImageIds: []ecrapi.ImageIdentifier{}, Failures: []ecrapi.ImageFailure{}}
	err := s.images.Change(ctx, func(ctx context.Context) error {
		if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
			return err
		}
		c, err := s.contents(ctx, name)
		if err != nil {
			return err
		}
		users, err := s.users(ctx, name, c)
		if err != nil {
			return err
		}
		// Lists first: they hold the images that they name.
		ids := slices.Clone(in.ImageIds)
		slices.SortStableFunc(ids, func(a, b ecrapi.ImageIdentifier) int {
			return users.rank(c, a) - users.rank(c, b)
		})
		for _, id := range ids {
			deleted, failure, err := s.deleteImage(ctx, name, id, c, users)
			if err != nil {
				return err
			}
			out.ImageIds = append(out.ImageIds, deleted...)
			if failure != nil {
				out.Failures = append(out.Failures, *failure)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// users are the manifest lists of a repository, by the images that they name.
type users map[string]map[string]bool

func (s *Service) users(ctx context.Context, name string, c contents) (users, error) {
	u := users{}
	for digest := range c.pushed {
		raw, err := s.images.Manifest(ctx, name, digest)
		if err != nil {
			return nil, err
		}
		m, _ := readManifest(raw)
		for _, child := range m.Manifests {
			if u[child.Digest] == nil {
				u[child.Digest] = map[string]bool{}
			}
			u[child.Digest][digest] = true
		}
	}
	return u, nil
}

// rank is how many lists are between an image and the top.
func (u users) rank(c contents, id ecrapi.ImageIdentifier) int {
	digest, _ := c.find(id)
	n := 0
	for list := range u[digest] {
		n = max(n, 1+u.rank(contents{pushed: c.pushed}, identifier(list, "")))
	}
	return n
}

// deleteImage deletes one image or tag, in c too, and says what went.
func (s *Service) deleteImage(ctx context.Context, name string, id ecrapi.ImageIdentifier, c contents, u users) (deleted []ecrapi.ImageIdentifier, failure *ecrapi.ImageFailure, err error) {
	digest, code := c.find(id)
	if code != "" {
		return nil, new(fails(id, code)), nil
	}
	if tag := api.Val(id.ImageTag); id.ImageDigest == nil && (len(c.named[digest]) > 1 || len(u[digest]) > 0) {
		c.named[digest] = slices.DeleteFunc(slices.Clone(c.named[digest]), func(t string) bool { return t == tag })
		delete(c.tags, tag)
		return []ecrapi.ImageIdentifier{identifier(digest, tag)}, nil, s.images.Untag(ctx, name, tag)
	}
	if len(u[digest]) > 0 {
		f := fails(id, ecrapi.ImageFailureCodeImageReferencedByManifestList)
		f.FailureReason = new(fmt.Sprintf("Requested image referenced by manifest list: [%s]", strings.Join(slices.Sorted(maps.Keys(u[digest])), ", ")))
		return nil, &f, nil
	}
	for _, tag := range c.named[digest] {
		deleted = append(deleted, identifier(digest, tag))
		delete(c.tags, tag)
	}
	if len(deleted) == 0 {
		deleted = append(deleted, identifier(digest, ""))
	}
	delete(c.named, digest)
	delete(c.pushed, digest)
	for _, lists := range u {
		delete(lists, digest)
	}
	return deleted, nil, s.images.DeleteManifest(ctx, name, digest)
}
