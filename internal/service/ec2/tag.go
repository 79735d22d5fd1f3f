package ec2

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// Limits of tags.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
const (
	maxTags     = 50 // aws: ones not counted
	maxTagKey   = 128
	maxTagValue = 256
	maxTagged   = 1000
)

// toTags are the tags as the API has them, by key; an empty list if there are none.
func toTags(tags map[string]string) []ec2api.Tag {
	out := make([]ec2api.Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, ec2api.Tag{Key: new(k), Value: new(tags[k])})
	}
	return out
}

// addTags checks tags that a client gives, and adds them to those that are there.
// Keys that begin with aws: are for AWS's own services.
func addTags(ctx context.Context, to map[string]string, tags []ec2api.Tag) error {
	for _, t := range tags {
		key, value := api.Val(t.Key), api.Val(t.Value)
		switch {
		case key == "":
			return bad("InvalidParameterValue", "Tag keys must not be empty.")
		case utf8.RuneCountInString(key) > maxTagKey:
			return bad("InvalidParameterValue", "Tag key exceeds the maximum length of %d Unicode characters", maxTagKey)
		case utf8.RuneCountInString(value) > maxTagValue:
			return bad("InvalidParameterValue", "Tag value exceeds the maximum length of %d Unicode characters", maxTagValue)
		case reservedTag(key) && caller.From(ctx).Principal.Type != policy.Service:
			return bad("InvalidParameterValue", "Value ( %s ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use", key)
		}
		to[key] = value
	}
	n := 0
	for key := range to {
		if !reservedTag(key) {
			n++
		}
	}
	if n > maxTags {
		return bad("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
	}
	return nil
}

func reservedTag(key string) bool {
	return len(key) >= 4 && strings.EqualFold(key[:4], "aws:")
}

// tagSpecifications are the tags of a request, by the type of what they are for.
// Only types in allowed are made by the call; others are refused.
func tagSpecifications(ctx context.Context, specs []ec2api.TagSpecification, allowed ...ec2api.ResourceType) (map[ec2api.ResourceType]map[string]string, error) {
	out := map[ec2api.ResourceType]map[string]string{}
	for _, spec := range specs {
		switch {
		case spec.ResourceType == "":
			return nil, bad("MissingParameter", "Tag specification resource type must have a value")
		case !slices.Contains(allowed, spec.ResourceType):
			return nil, bad("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", spec.ResourceType)
		case len(spec.Tags) == 0:
			return nil, bad("InvalidParameterValue", "Tag specification must have at least one tag")
		}
		if out[spec.ResourceType] == nil {
			out[spec.ResourceType] = map[string]string{}
		}
		before := len(out[spec.ResourceType])
		if err := addTags(ctx, out[spec.ResourceType], spec.Tags); err != nil {
			return nil, err
		}
		if len(out[spec.ResourceType]) != before+len(spec.Tags) {
			return nil, bad("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
	}
	return out, nil
}

// CreateTags sets tags of resources: of all, or of none when one does not exist.
func (s *Service) CreateTags(ctx context.Context, in *ec2api.CreateTagsInput) (*ec2api.CreateTagsOutput, error) {
	if len(in.Tags) == 0 {
		return nil, missing("Tag")
	}
	return &ec2api.CreateTagsOutput{}, s.changeTags(ctx, in.Resources, in.DryRun, func(tags map[string]string) error {
		return addTags(ctx, tags, in.Tags)
	})
}

// DeleteTags removes tags: those with the key, and with the value if one is given;
// without tags in the request, all but AWS's own.
func (s *Service) DeleteTags(ctx context.Context, in *ec2api.DeleteTagsInput) (*ec2api.DeleteTagsOutput, error) {
	for _, t := range in.Tags {
		if reservedTag(api.Val(t.Key)) {
			return nil, bad("InvalidParameterValue", "Value ( %s ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use", *t.Key)
		}
	}
	return &ec2api.DeleteTagsOutput{}, s.changeTags(ctx, in.Resources, in.DryRun, func(tags map[string]string) error {
		maps.DeleteFunc(tags, func(key, value string) bool {
			if in.Tags == nil {
				return !reservedTag(key)
			}
			return slices.ContainsFunc(in.Tags, func(t ec2api.Tag) bool {
				return api.Val(t.Key) == key && (t.Value == nil || *t.Value == value)
			})
		})
		return nil
	})
}

// changeTags edits the tags of all resources at once.
func (s *Service) changeTags(ctx context.Context, ids []string, dry *bool, change func(map[string]string) error) error {
	if len(ids) == 0 {
		return missing("resourceIdSet")
	}
	if len(ids) > maxTagged {
		return bad("InvalidParameterValue", "The maximum number of resources for one call is %d.", maxTagged)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for {
		ops, err := s.tagOps(ctx, ids, change)
		if err != nil {
			return err
		}
		if err := dryRun(dry); err != nil {
			return err
		}
		// Somebody else may change or delete what the tags are on at the same time.
		if _, err = store.Commit(ctx, s.client, ops...); !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}

func (s *Service) tagOps(ctx context.Context, ids []string, change func(map[string]string) error) ([]store.Op, error) {
	kinds := s.kinds()
	var ops []store.Op
	writes := map[string]func() store.Op{}
	for _, id := range ids {
		k, err := kindByID(kinds, id)
		if err != nil {
			return nil, err
		}
		found, err := k.find(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, k.missing(id)
		}
		if err != nil {
			return nil, err
		}
		if *found.tags == nil {
			*found.tags = map[string]string{}
		}
		if err := change(*found.tags); err != nil {
			return nil, err
		}
		writes[found.key] = found.write
	}
	for _, key := range slices.Sorted(maps.Keys(writes)) {
		ops = append(ops, writes[key]())
	}
	return ops, nil
}

// DescribeTags lists tags of all kinds of resources, by resource and key.
func (s *Service) DescribeTags(ctx context.Context, in *ec2api.DescribeTagsInput) (*ec2api.DescribeTagsOutput, error) {
	var all []ec2api.TagDescription
	for _, k := range s.kinds() {
		if !passes(in.Filters, "resource-type", string(k.resource)) {
			continue
		}
		byID, err := k.tags(ctx)
		if err != nil {
			return nil, err
		}
		for id, tags := range byID {
			for _, t := range toTags(tags) {
				all = append(all, ec2api.TagDescription{Key: t.Key, Value: t.Value, ResourceId: new(id), ResourceType: k.resource})
			}
		}
	}
	found, err := selected(all, in.Filters, func(t ec2api.TagDescription) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) {
			switch name {
			case "key", "tag-key":
				return []string{api.Val(t.Key)}, true
			case "value", "tag-value":
				return []string{api.Val(t.Value)}, true
			case "resource-id":
				return []string{api.Val(t.ResourceId)}, true
			case "resource-type":
				return []string{string(t.ResourceType)}, true
			}
			if key, ok := cutTag(name); ok {
				if key == api.Val(t.Key) {
					return []string{api.Val(t.Value)}, true
				}
				return nil, true
			}
			return nil, false
		}
	})
	if err != nil {
		return nil, err
	}
	key := func(t ec2api.TagDescription) string { return api.Val(t.ResourceId) + "\x00" + api.Val(t.Key) }
	slices.SortFunc(found, func(a, b ec2api.TagDescription) int { return strings.Compare(key(a), key(b)) })
	found, next, err := page(found, key, in.MaxResults, in.NextToken, 5, 1000)
	if err != nil {
		return nil, err
	}
	return &ec2api.DescribeTagsOutput{Tags: orEmpty(found), NextToken: next}, nil
}

// passes says that the filters of this one name, if there are any, let the value through.
func passes(filters []ec2api.Filter, name, value string) bool {
	for _, f := range filters {
		if api.Val(f.Name) == name && !slices.ContainsFunc(f.Values, func(p string) bool { return matchPattern(p, value) }) {
			return false
		}
	}
	return true
}

// orEmpty is the list, present even if it is empty: as EC2 answers.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
