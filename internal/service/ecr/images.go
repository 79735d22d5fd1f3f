package ecr

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
)

// contents are the images of a repository.
type contents struct {
	pushed map[string]time.Time // by digest
	tags   map[string]string    // digests
	named  map[string][]string  // tags by digest, sorted
}

func (s *Service) contents(ctx context.Context, name string) (contents, error) {
	c := contents{named: map[string][]string{}}
	var err error
	if c.pushed, err = s.images.Manifests(ctx, name); err != nil {
		return c, err
	}
	if c.tags, err = s.images.Tags(ctx, name); err != nil {
		return c, err
	}
	for tag, digest := range c.tags {
		if _, ok := c.pushed[digest]; !ok {
			delete(c.tags, tag) // between the two reads
		} else {
			c.named[digest] = append(c.named[digest], tag)
		}
	}
	for _, tags := range c.named {
		slices.Sort(tags)
	}
	return c, nil
}

// find is the image that an identifier of a request means, or why there is none.
func (c contents) find(id ecrapi.ImageIdentifier) (digest string, failure ecrapi.ImageFailureCode) {
	digest, tag := api.Val(id.ImageDigest), api.Val(id.ImageTag)
	switch {
	case id.ImageDigest == nil && id.ImageTag == nil:
		return "", ecrapi.ImageFailureCodeMissingDigestAndTag
	case id.ImageDigest != nil && !wholeDigest.MatchString(digest):
		return "", ecrapi.ImageFailureCodeInvalidImageDigest
	case id.ImageTag != nil && !wholeTag.MatchString(tag):
		return "", ecrapi.ImageFailureCodeInvalidImageTag
	case id.ImageTag == nil:
	case c.tags[tag] == "":
		return "", ecrapi.ImageFailureCodeImageNotFound
	case id.ImageDigest != nil && c.tags[tag] != digest:
		return "", ecrapi.ImageFailureCodeImageTagDoesNotMatchDigest
	default:
		digest = c.tags[tag]
	}
	if _, ok := c.pushed[digest]; !ok {
		return "", ecrapi.ImageFailureCodeImageNotFound
	}
	return digest, ""
}

// reasons are ECR's words for what is wrong with an identifier.
var reasons = map[ecrapi.ImageFailureCode]string{
	ecrapi.ImageFailureCodeMissingDigestAndTag:        "Invalid request parameters: both tag and digest cannot be null",
	ecrapi.ImageFailureCodeInvalidImageDigest:         "Invalid request parameters: image digest should satisfy the regex '" + digestPattern + "'",
	ecrapi.ImageFailureCodeInvalidImageTag:            "Invalid request parameters: image tag should satisfy the regex '" + tagPattern + "'",
	ecrapi.ImageFailureCodeImageNotFound:              "Requested image not found",
	ecrapi.ImageFailureCodeImageTagDoesNotMatchDigest: "Requested image tag does not match requested image digest",
}

func fails(id ecrapi.ImageIdentifier, code ecrapi.ImageFailureCode) ecrapi.ImageFailure {
	return ecrapi.ImageFailure{ImageId: &id, FailureCode: code, FailureReason: new(reasons[code])}
}

// identifier names an image; tag may be empty.
func identifier(digest, tag string) ecrapi.ImageIdentifier {
	id := ecrapi.ImageIdentifier{ImageDigest: &digest}
	if tag != "" {
		id.ImageTag = &tag
	}
	return id
}

// wants says whether a filter lets images with tags, or without, through.
func wants(filter ecrapi.TagStatus, tagged bool) bool {
	switch filter {
	case ecrapi.TagStatusTagged:
		return tagged
	case ecrapi.TagStatusUntagged:
		return !tagged
	}
	return true
}

func checkFilter(f ecrapi.TagStatus) error {
	return checkEnum("filter.tagStatus", f, ecrapi.TagStatusTagged, ecrapi.TagStatusUntagged, ecrapi.TagStatusAny)
}

// ListImages implements ecrapi.Handler.
func (s *Service) ListImages(ctx context.Context, in *ecrapi.ListImagesInput) (*ecrapi.ListImagesOutput, error) {
	name := api.Val(in.RepositoryName)
	filter := api.Val(in.Filter).TagStatus
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	c, err := s.contents(ctx, name)
	if err != nil {
		return nil, err
	}
	ids := []ecrapi.ImageIdentifier{}
	for _, digest := range slices.Sorted(maps.Keys(c.pushed)) {
		tags := c.named[digest]
		if !wants(filter, len(tags) > 0) {
			continue
		}
		for _, tag := range tags {
			ids = append(ids, identifier(digest, tag))
		}
		if len(tags) == 0 {
			ids = append(ids, identifier(digest, ""))
		}
	}
	key := func(id ecrapi.ImageIdentifier) string { return *id.ImageDigest + " " + api.Val(id.ImageTag) }
	out := &ecrapi.ListImagesOutput{}
	out.ImageIds, out.NextToken, err = page(ids, key, in.MaxResults, in.NextToken)
	return out, err
}

// DescribeImages implements ecrapi.Handler.
func (s *Service) DescribeImages(ctx context.Context, in *ecrapi.DescribeImagesInput) (*ecrapi.DescribeImagesOutput, error) {
	name := api.Val(in.RepositoryName)
	if err := checkFilter(api.Val(in.Filter).TagStatus); err != nil {
		return nil, err
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	c, err := s.contents(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &ecrapi.DescribeImagesOutput{ImageDetails: []ecrapi.ImageDetail{}}
	digests, err := s.described(in, c)
	if err != nil {
		return nil, err
	}
	if in.ImageIds == nil {
		if digests, out.NextToken, err = page(digests, strings.Clone, in.MaxResults, in.NextToken); err != nil {
			return nil, err
		}
	}
	for _, digest := range digests {
		d, found, err := s.detail(ctx, name, digest, c)
		if err != nil {
			return nil, err
		}
		if found {
			out.ImageDetails = append(out.ImageDetails, d)
		}
	}
	return out, nil
}

// described are the digests that a request asks for, sorted.
func (s *Service) described(in *ecrapi.DescribeImagesInput, c contents) ([]string, error) {
	asked := map[string]bool{}
	if in.ImageIds == nil {
		for digest := range c.pushed {
			asked[digest] = true
		}
	} else {
		if in.MaxResults != nil || in.NextToken != nil {
			return nil, ecrapi.InvalidParameterException.New("maxResults and nextToken cannot be used when imageIds are specified")
		}
		if err := checkCount("imageIds", in.ImageIds, 1, 100); err != nil {
			return nil, err
		}
		for _, id := range in.ImageIds {
			digest, failure := c.find(id)
			switch failure {
			case "":
				asked[digest] = true
			case ecrapi.ImageFailureCodeImageNotFound, ecrapi.ImageFailureCodeImageTagDoesNotMatchDigest:
				return nil, ecrapi.ImageNotFoundException.New("The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
					cmp.Or(api.Val(id.ImageDigest), "null"), cmp.Or(api.Val(id.ImageTag), "null"), api.Val(in.RepositoryName), s.scope.Account)
			default:
				return nil, ecrapi.InvalidParameterException.New("%s", reasons[failure])
			}
		}
	}
	var digests []string
	for _, digest := range slices.Sorted(maps.Keys(asked)) {
		if wants(api.Val(in.Filter).TagStatus, len(c.named[digest]) > 0) {
			digests = append(digests, digest)
		}
	}
	return digests, nil
}

// detail describes an image; found is false if it is gone since it was listed.
func (s *Service) detail(ctx context.Context, name, digest string, c contents) (d ecrapi.ImageDetail, found bool, err error) {
	raw, err := s.images.Manifest(ctx, name, digest)
	if raw == nil || err != nil {
		return d, false, err
	}
	m, _ := readManifest(raw)
	size := m.size()
	if m.isList() { // the largest of its images, of those that are here
		for _, child := range m.Manifests {
			raw, err := s.images.Manifest(ctx, name, child.Digest)
			if err != nil {
				return d, false, err
			}
			image, _ := readManifest(raw)
			size = max(size, image.size())
		}
	}
	d = ecrapi.ImageDetail{
		RegistryId: &s.scope.Account, RepositoryName: &name, ImageDigest: &digest,
		ImageTags: c.named[digest], ImageSizeInBytes: &size,
		ImagePushedAt:          new(c.pushed[digest].UTC().Truncate(time.Millisecond)),
		ImageManifestMediaType: &m.MediaType,
	}
	if a := m.artifact(); a != "" {
		d.ArtifactMediaType = &a
	}
	return d, true, nil
}

// BatchGetImage implements ecrapi.Handler.
func (s *Service) BatchGetImage(ctx context.Context, in *ecrapi.BatchGetImageInput) (*ecrapi.BatchGetImageOutput, error) {
	name := api.Val(in.RepositoryName)
	if err := checkCount("imageIds", in.ImageIds, 1, 100); err != nil {
		return nil, err
	}
	if _, err := s.repository(ctx, in.RegistryId, name); err != nil {
		return nil, err
	}
	c, err := s.contents(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &ecrapi.BatchGetImageOutput{Images: []ecrapi.Image{}, Failures: []ecrapi.ImageFailure{}}
	for _, id := range in.ImageIds {
		digest, failure := c.find(id)
		if failure != "" {
			out.Failures = append(out.Failures, fails(id, failure))
			continue
		}
		raw, err := s.images.Manifest(ctx, name, digest)
		if err != nil {
			return nil, err
		}
		m, _ := readManifest(raw)
		if raw == nil || in.AcceptedMediaTypes != nil && !slices.Contains(in.AcceptedMediaTypes, m.MediaType) {
			out.Failures = append(out.Failures, fails(id, ecrapi.ImageFailureCodeImageNotFound))
			continue
		}
		out.Images = append(out.Images, s.image(name, identifier(digest, api.Val(id.ImageTag)), m.MediaType, raw))
	}
	return out, nil
}

func (s *Service) image(name string, id ecrapi.ImageIdentifier, mediaType string, raw []byte) ecrapi.Image {
	return ecrapi.Image{
		RegistryId: &s.scope.Account, RepositoryName: &name, ImageId: &id,
		ImageManifest: new(string(raw)), ImageManifestMediaType: &mediaType,
	}
}
