package ecr

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
)

const (
	// partSize is the size of parts that clients are told to send, in bytes.
	partSize = 10 << 20
	// minPart is the least that a part may have, unless it is the last.
	minPart = 5 << 20
	maxPart = 20 << 20
	// uploadLife is how long the registry keeps an unfinished upload.
	uploadLife = 24 * time.Hour
	// urlLife is how long a layer's address is good for.
	urlLife = time.Hour
)

// uploads remembers which uploads have a part that is too small. To forget one,
// at a restart, only lets a mistake pass.
type uploads struct {
	mu   sync.Mutex
	byID map[string]upload // guarded by mu
}

type upload struct {
	begun    time.Time
	small    bool // its latest part is smaller than minPart
	tooSmall bool // so is one that another part followed
}

// part notes a part of an upload.
func (u *uploads) part(id string, size int, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.byID, func(_ string, up upload) bool { return now.Sub(up.begun) > uploadLife })
	up, ok := u.byID[id]
	if !ok {
		up.begun = now
	}
	up.tooSmall = up.tooSmall || up.small
	up.small = size < minPart
	u.byID[id] = up
}

// tooSmall says whether a part that is not the last was too small.
func (u *uploads) tooSmall(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.byID[id].tooSmall
}

func (u *uploads) end(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, id)
}

// InitiateLayerUpload implements ecrapi.Handler.
func (s *Service) InitiateLayerUpload(ctx context.Context, in *ecrapi.InitiateLayerUploadInput) (*ecrapi.InitiateLayerUploadOutput, error) {
	name := api.Val(in.RepositoryName)
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	id, err := s.images.StartUpload(ctx, name)
	if err != nil {
		return nil, err
	}
	return &ecrapi.InitiateLayerUploadOutput{UploadId: &id, PartSize: new(int64(partSize))}, nil
}

// UploadLayerPart implements ecrapi.Handler.
func (s *Service) UploadLayerPart(ctx context.Context, in *ecrapi.UploadLayerPartInput) (*ecrapi.UploadLayerPartOutput, error) {
	name, id := api.Val(in.RepositoryName), api.Val(in.UploadId)
	first, last := api.Val(in.PartFirstByte), api.Val(in.PartLastByte)
	switch {
	case !wholeUpload.MatchString(id):
		return nil, mustMatch("uploadId", uploadPattern)
	case len(in.LayerPartBlob) > maxPart:
		return nil, invalid("layerPartBlob", "must have length less than or equal to %d", maxPart)
	case first < 0:
		return nil, invalid("partFirstByte", "must be greater than or equal to 0")
	case last-first+1 != int64(len(in.LayerPartBlob)):
		return nil, invalid("layerPartBlob", "must have the %d bytes from partFirstByte to partLastByte, and has %d", last-first+1, len(in.LayerPartBlob))
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	size, err := s.images.AppendUpload(ctx, name, id, first, in.LayerPartBlob)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s.noUpload(name, id)
	case errors.Is(err, fs.ErrInvalid):
		return nil, ecrapi.InvalidLayerPartException.New("The layer part with first byte '%d' and last byte '%d' of upload '%s' does not follow the last byte received, '%d'", first, last, id, size-1).
			With(&ecrapi.InvalidLayerPartExceptionDetail{RegistryId: &s.scope.Account, RepositoryName: &name, UploadId: &id, LastValidByteReceived: new(size - 1)})
	case err != nil:
		return nil, err
	}
	s.uploads.part(id, len(in.LayerPartBlob), s.now())
	return &ecrapi.UploadLayerPartOutput{RegistryId: &s.scope.Account, RepositoryName: &name, UploadId: &id, LastByteReceived: new(size - 1)}, nil
}

func (s *Service) noUpload(name, id string) error {
	return ecrapi.UploadNotFoundException.New("The upload with id '%s' in the repository with name '%s' in the registry with id '%s' could not be found", id, name, s.scope.Account)
}

// CompleteLayerUpload implements ecrapi.Handler.
func (s *Service) CompleteLayerUpload(ctx context.Context, in *ecrapi.CompleteLayerUploadInput) (*ecrapi.CompleteLayerUploadOutput, error) {
	name, id := api.Val(in.RepositoryName), api.Val(in.UploadId)
	if !wholeUpload.MatchString(id) {
		return nil, mustMatch("uploadId", uploadPattern)
	}
	digest, err := layerDigest(in.LayerDigests)
	if err != nil {
		return nil, err
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	size, err := s.images.UploadSize(ctx, name, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s.noUpload(name, id)
	case err != nil:
		return nil, err
	case size == 0:
		return nil, ecrapi.EmptyUploadException.New("The upload with id '%s' does not contain any layer parts", id)
	case s.uploads.tooSmall(id):
		return nil, ecrapi.LayerPartTooSmallException.New("Layer parts must be at least %d bytes in size", minPart)
	}
	if _, found, err := s.images.Layer(ctx, name, digest); err != nil {
		return nil, err
	} else if found {
		return nil, ecrapi.LayerAlreadyExistsException.New("Layer with digest '%s' already exists in the repository with name '%s' in the registry with id '%s'", digest, name, s.scope.Account)
	}
	err = s.images.FinishUpload(ctx, name, id, digest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, s.noUpload(name, id)
	case errors.Is(err, fs.ErrInvalid):
		s.uploads.end(id)
		return nil, ecrapi.InvalidLayerException.New("The digest of the layer that was received does not match the digest '%s' that was specified", digest)
	case err != nil:
		return nil, err
	}
	s.uploads.end(id)
	return &ecrapi.CompleteLayerUploadOutput{RegistryId: &s.scope.Account, RepositoryName: &name, UploadId: &id, LayerDigest: &digest}, nil
}

// layerDigest is the sha256 digest among those of a layer.
func layerDigest(digests []string) (string, error) {
	if err := checkCount("layerDigests", digests, 1, 100); err != nil {
		return "", err
	}
	found := ""
	for _, d := range digests {
		if !wholeDigest.MatchString(d) {
			return "", mustMatch("layerDigests", digestPattern)
		}
		if strings.HasPrefix(d, "sha256:") {
			found = d
		}
	}
	if found == "" {
		return "", invalid("layerDigests", "must include a sha256 digest")
	}
	return found, nil
}

// BatchCheckLayerAvailability implements ecrapi.Handler.
func (s *Service) BatchCheckLayerAvailability(ctx context.Context, in *ecrapi.BatchCheckLayerAvailabilityInput) (*ecrapi.BatchCheckLayerAvailabilityOutput, error) {
	name := api.Val(in.RepositoryName)
	if err := checkCount("layerDigests", in.LayerDigests, 1, 100); err != nil {
		return nil, err
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	out := &ecrapi.BatchCheckLayerAvailabilityOutput{Layers: []ecrapi.Layer{}, Failures: []ecrapi.LayerFailure{}}
	for _, digest := range in.LayerDigests {
		switch {
		case digest == "":
			out.Failures = append(out.Failures, ecrapi.LayerFailure{LayerDigest: &digest,
				FailureCode: ecrapi.LayerFailureCodeMissingLayerDigest, FailureReason: new("Invalid request parameters: layer digest cannot be null")})
			continue
		case !wholeDigest.MatchString(digest):
			out.Failures = append(out.Failures, ecrapi.LayerFailure{LayerDigest: &digest,
				FailureCode: ecrapi.LayerFailureCodeInvalidLayerDigest, FailureReason: new("Invalid request parameters: layer digest should satisfy the regex '" + digestPattern + "'")})
			continue
		}
		size, found, err := s.images.Layer(ctx, name, digest)
		if err != nil {
			return nil, err
		}
		layer := ecrapi.Layer{LayerDigest: &digest, LayerAvailability: ecrapi.LayerAvailabilityUnavailable}
		if found {
			layer.LayerAvailability, layer.LayerSize = ecrapi.LayerAvailabilityAvailable, &size
		}
		out.Layers = append(out.Layers, layer)
	}
	return out, nil
}

// GetDownloadUrlForLayer implements ecrapi.Handler.
func (s *Service) GetDownloadUrlForLayer(ctx context.Context, in *ecrapi.GetDownloadUrlForLayerInput) (*ecrapi.GetDownloadUrlForLayerOutput, error) {
	name, digest := api.Val(in.RepositoryName), api.Val(in.LayerDigest)
	if !wholeDigest.MatchString(digest) {
		return nil, mustMatch("layerDigest", digestPattern)
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	_, found, err := s.images.Layer(ctx, name, digest)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ecrapi.LayersNotFoundException.New("The layer with digest '%s' does not exist in the repository with name '%s' in the registry with id '%s'", digest, name, s.scope.Account)
	}
	return &ecrapi.GetDownloadUrlForLayerOutput{
		DownloadUrl: new(s.endpoint + s.images.LayerPath(name, digest, s.now().Add(urlLife))), LayerDigest: &digest,
	}, nil
}
