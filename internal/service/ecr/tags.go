package ecr

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/arn"
)

// named is the repository that an ARN names, and whose registry it is in.
func (s *Service) named(resource *string) (registry *string, name string, err error) {
	a, err := arn.Parse(api.Val(resource))
	name, ok := strings.CutPrefix(a.Resource, "repository/")
	if err != nil || !ok || a.Service != "ecr" {
		return nil, "", invalid("resourceArn", "Invalid ARN")
	}
	if a.Region != s.scope.Region {
		return nil, "", s.notFound(&a.Account, name)
	}
	return &a.Account, name, nil
}

// TagResource implements ecrapi.Handler.
func (s *Service) TagResource(ctx context.Context, in *ecrapi.TagResourceInput) (*ecrapi.TagResourceOutput, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &ecrapi.TagResourceOutput{}, s.changeTags(ctx, in.ResourceArn, func(has map[string]string) { maps.Copy(has, tags) })
}

// UntagResource implements ecrapi.Handler.
func (s *Service) UntagResource(ctx context.Context, in *ecrapi.UntagResourceInput) (*ecrapi.UntagResourceOutput, error) {
	return &ecrapi.UntagResourceOutput{}, s.changeTags(ctx, in.ResourceArn, func(has map[string]string) {
		for _, k := range in.TagKeys {
			delete(has, k)
		}
	})
}

func (s *Service) changeTags(ctx context.Context, resource *string, change func(map[string]string)) error {
	registry, name, err := s.named(resource)
	if err != nil {
		return err
	}
	_, err = s.modify(ctx, registry, name, func(r *Repository) error {
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		change(r.Tags)
		if len(r.Tags) > maxTags {
			return tooManyTags()
		}
		return nil
	})
	return err
}

// ListTagsForResource implements ecrapi.Handler.
func (s *Service) ListTagsForResource(ctx context.Context, in *ecrapi.ListTagsForResourceInput) (*ecrapi.ListTagsForResourceOutput, error) {
	registry, name, err := s.named(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	it, err := s.repository(ctx, registry, name)
	if err != nil {
		return nil, err
	}
	out := &ecrapi.ListTagsForResourceOutput{Tags: []ecrapi.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(it.Value.Tags)) {
		out.Tags = append(out.Tags, ecrapi.Tag{Key: new(k), Value: new(it.Value.Tags[k])})
	}
	return out, nil
}
