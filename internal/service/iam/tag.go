package iam

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
)

// maxTags is how many tags anything may have.
const maxTags = 50

// sameKey compares the keys of tags. Those of users, groups, roles and instance profiles
// are one if they differ by case alone.
func (k *kind[T]) sameKey(a, b string) bool {
	return a == b || !k.distinctCase && strings.EqualFold(a, b)
}

// newTags checks a request's tags.
func (k *kind[T]) newTags(in []iamapi.Tag) (map[string]string, error) {
	if len(in) == 0 {
		return nil, nil
	}
	tags := make(map[string]string, len(in))
	for _, t := range in {
		name := api.Val(t.Key)
		if strings.HasPrefix(strings.ToLower(name), "aws:") {
			return nil, iamapi.InvalidInputException.New("aws: prefixed tag key names are not allowed for external use.")
		}
		for have := range tags {
			if k.sameKey(have, name) {
				text := "Duplicate tag keys found."
				if !k.distinctCase {
					text += " Please note that Tag keys are case insensitive."
				}
				return nil, iamapi.InvalidInputException.New("%s", text)
			}
		}
		tags[name] = api.Val(t.Value)
	}
	return tags, nil
}

// toTags is tags in answers, by key; nil, which leaves the member out, if there are none.
func toTags(tags map[string]string) []iamapi.Tag {
	if len(tags) == 0 {
		return nil
	}
	return allTags(tags)
}

// allTags is toTags for answers in which the member is there even if it is empty.
func allTags(tags map[string]string) []iamapi.Tag {
	return convert(slices.Sorted(maps.Keys(tags)), func(k *string) iamapi.Tag { return iamapi.Tag{Key: k, Value: new(tags[*k])} })
}

// remove takes out the tags that have one of the keys.
func (k *kind[T]) remove(tags map[string]string, keys iter.Seq[string]) {
	for gone := range keys {
		maps.DeleteFunc(tags, func(have, _ string) bool { return k.sameKey(have, gone) })
	}
}

func (k *kind[T]) tag(ctx context.Context, name string, in []iamapi.Tag) error {
	tags, err := k.newTags(in)
	if err != nil {
		return err
	}
	_, err = k.modify(ctx, name, func(v *T) error {
		r := k.resource(v)
		k.remove(r.Tags, maps.Keys(tags))
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		maps.Copy(r.Tags, tags)
		if len(r.Tags) > maxTags {
			return iamapi.LimitExceededException.New("The number of tags has reached the maximum limit.")
		}
		return nil
	})
	return err
}

func (k *kind[T]) untag(ctx context.Context, name string, keys []string) error {
	_, err := k.modify(ctx, name, func(v *T) error {
		k.remove(k.resource(v).Tags, slices.Values(keys))
		return nil
	})
	return err
}

func (k *kind[T]) tags(ctx context.Context, name string, marker *string, maxItems *int32) ([]iamapi.Tag, *bool, *string, error) {
	it, err := k.get(ctx, name)
	if err != nil {
		return nil, nil, nil, err
	}
	return page(allTags(k.resource(&it.Value).Tags), func(t *iamapi.Tag) string { return *t.Key }, marker, maxItems)
}

// TagUser adds tags to a user, or gives them other values.
func (s *Service) TagUser(ctx context.Context, in *iamapi.TagUserInput) (*iamapi.TagUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.tag(ctx, *in.UserName, in.Tags)
}

// UntagUser removes tags.
func (s *Service) UntagUser(ctx context.Context, in *iamapi.UntagUserInput) (*iamapi.UntagUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.untag(ctx, *in.UserName, in.TagKeys)
}

// ListUserTags lists tags by key.
func (s *Service) ListUserTags(ctx context.Context, in *iamapi.ListUserTagsInput) (*iamapi.ListUserTagsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, truncated, next, err := s.users.tags(ctx, *in.UserName, in.Marker, in.MaxItems)
	return &iamapi.ListUserTagsOutput{Tags: tags, IsTruncated: truncated, Marker: next}, err
}

// TagRole adds tags to a role, or gives them other values.
func (s *Service) TagRole(ctx context.Context, in *iamapi.TagRoleInput) (*iamapi.TagRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.tag(ctx, *in.RoleName, in.Tags)
}

// UntagRole removes tags.
func (s *Service) UntagRole(ctx context.Context, in *iamapi.UntagRoleInput) (*iamapi.UntagRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.untag(ctx, *in.RoleName, in.TagKeys)
}

// ListRoleTags lists tags by key.
func (s *Service) ListRoleTags(ctx context.Context, in *iamapi.ListRoleTagsInput) (*iamapi.ListRoleTagsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, truncated, next, err := s.roles.tags(ctx, *in.RoleName, in.Marker, in.MaxItems)
	return &iamapi.ListRoleTagsOutput{Tags: tags, IsTruncated: truncated, Marker: next}, err
}

// TagInstanceProfile adds tags to an instance profile, or gives them other values.
func (s *Service) TagInstanceProfile(ctx context.Context, in *iamapi.TagInstanceProfileInput) (*iamapi.TagInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.profiles.tag(ctx, *in.InstanceProfileName, in.Tags)
}

// UntagInstanceProfile removes tags.
func (s *Service) UntagInstanceProfile(ctx context.Context, in *iamapi.UntagInstanceProfileInput) (*iamapi.UntagInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.profiles.untag(ctx, *in.InstanceProfileName, in.TagKeys)
}

// ListInstanceProfileTags lists tags by key.
func (s *Service) ListInstanceProfileTags(ctx context.Context, in *iamapi.ListInstanceProfileTagsInput) (*iamapi.ListInstanceProfileTagsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, truncated, next, err := s.profiles.tags(ctx, *in.InstanceProfileName, in.Marker, in.MaxItems)
	return &iamapi.ListInstanceProfileTagsOutput{Tags: tags, IsTruncated: truncated, Marker: next}, err
}

// TagPolicy adds tags to a customer managed policy, or gives them other values.
func (s *Service) TagPolicy(ctx context.Context, in *iamapi.TagPolicyInput) (*iamapi.TagPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	p, err := s.customer(ctx, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return nil, s.policies.tag(ctx, p.Value.Name, in.Tags)
}

// UntagPolicy removes tags.
func (s *Service) UntagPolicy(ctx context.Context, in *iamapi.UntagPolicyInput) (*iamapi.UntagPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	p, err := s.customer(ctx, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return nil, s.policies.untag(ctx, p.Value.Name, in.TagKeys)
}

// ListPolicyTags lists tags by key.
func (s *Service) ListPolicyTags(ctx context.Context, in *iamapi.ListPolicyTagsInput) (*iamapi.ListPolicyTagsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	p, err := s.customer(ctx, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	tags, truncated, next, err := s.policies.tags(ctx, p.Value.Name, in.Marker, in.MaxItems)
	return &iamapi.ListPolicyTagsOutput{Tags: tags, IsTruncated: truncated, Marker: next}, err
}

// TagOpenIDConnectProvider adds tags to a provider, or gives them other values.
func (s *Service) TagOpenIDConnectProvider(ctx context.Context, in *iamapi.TagOpenIDConnectProviderInput) (*iamapi.TagOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	name, err := s.providerName(*in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	return nil, s.providers.tag(ctx, name, in.Tags)
}

// UntagOpenIDConnectProvider removes tags.
func (s *Service) UntagOpenIDConnectProvider(ctx context.Context, in *iamapi.UntagOpenIDConnectProviderInput) (*iamapi.UntagOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	name, err := s.providerName(*in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	return nil, s.providers.untag(ctx, name, in.TagKeys)
}

// ListOpenIDConnectProviderTags lists tags by key.
func (s *Service) ListOpenIDConnectProviderTags(ctx context.Context, in *iamapi.ListOpenIDConnectProviderTagsInput) (*iamapi.ListOpenIDConnectProviderTagsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	name, err := s.providerName(*in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	tags, truncated, next, err := s.providers.tags(ctx, name, in.Marker, in.MaxItems)
	return &iamapi.ListOpenIDConnectProviderTagsOutput{Tags: tags, IsTruncated: truncated, Marker: next}, err
}
