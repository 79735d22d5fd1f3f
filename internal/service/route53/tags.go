package route53

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// maxTagsAtATime is how many tags one call adds or removes.
const maxTagsAtATime = 10

// ChangeTagsForResource implements route53api.Handler.
func (s *Service) ChangeTagsForResource(ctx context.Context, in *route53api.ChangeTagsForResourceInput) (*route53api.ChangeTagsForResourceOutput, error) {
	if in.AddTags == nil && in.RemoveTagKeys == nil {
		return nil, invalid("At least one of AddTags and RemoveTagKeys must be specified")
	}
	if len(in.AddTags) > maxTagsAtATime || len(in.RemoveTagKeys) > maxTagsAtATime {
		return nil, invalid("No more than %d tags can be added or removed at a time", maxTagsAtATime)
	}
	if in.AddTags != nil && len(in.AddTags) == 0 {
		return nil, notComplete("AddTags", "Tag")
	}
	if in.RemoveTagKeys != nil && len(in.RemoveTagKeys) == 0 {
		return nil, notComplete("RemoveTagKeys", "Key")
	}
	add := map[string]string{}
	for _, t := range in.AddTags {
		key := api.Val(t.Key)
		if err := first(checkLength("TagKey", &key, 1, 128), checkLength("TagValue", t.Value, 0, 256)); err != nil {
			return nil, err
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalid("The tag key %s begins with aws:, which is reserved", key)
		}
		if _, twice := add[key]; twice {
			return nil, invalid("The tag key %s is given twice", key)
		}
		add[key] = api.Val(t.Value)
	}
	change := func(tags *map[string]string) error {
		if *tags == nil {
			*tags = map[string]string{}
		}
		maps.DeleteFunc(*tags, func(key, _ string) bool { return slices.Contains(in.RemoveTagKeys, key) })
		maps.Copy(*tags, add)
		if len(*tags) > maxTags {
			return invalid("A resource can have no more than %d tags", maxTags)
		}
		return nil
	}
	return &route53api.ChangeTagsForResourceOutput{}, s.modifyTags(ctx, in.ResourceType, in.ResourceId, change)
}

func (s *Service) modifyTags(ctx context.Context, kind route53api.TagResourceType, id *string, change func(*map[string]string) error) error {
	switch kind {
	case route53api.TagResourceTypeHostedzone:
		_, err := s.modifyZone(ctx, id, func(z *HostedZone) error { return change(&z.Tags) })
		return err
	case route53api.TagResourceTypeHealthcheck:
		it, err := s.healthCheck(ctx, id)
		if err != nil {
			return err
		}
		_, err = s.HealthChecks.Modify(ctx, it.Key, func(h *HealthCheck) error { return change(&h.Tags) })
		if errors.Is(err, store.ErrNotFound) {
			err = noHealthCheck(it.Key)
		}
		return err
	}
	return checkEnum(kind, route53api.TagResourceTypeHealthcheck, route53api.TagResourceTypeHostedzone)
}

// tags are those of a resource.
func (s *Service) tags(ctx context.Context, kind route53api.TagResourceType, id *string) (route53api.ResourceTagSet, error) {
	out := route53api.ResourceTagSet{ResourceType: kind, Tags: []route53api.Tag{}}
	var tags map[string]string
	switch kind {
	case route53api.TagResourceTypeHostedzone:
		it, err := s.zone(ctx, id)
		if err != nil {
			return out, err
		}
		out.ResourceId, tags = &it.Key, it.Value.Tags
	case route53api.TagResourceTypeHealthcheck:
		it, err := s.healthCheck(ctx, id)
		if err != nil {
			return out, err
		}
		out.ResourceId, tags = &it.Key, it.Value.Tags
	default:
		return out, checkEnum(kind, route53api.TagResourceTypeHealthcheck, route53api.TagResourceTypeHostedzone)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out.Tags = append(out.Tags, route53api.Tag{Key: new(key), Value: new(tags[key])})
	}
	return out, nil
}

// ListTagsForResource implements route53api.Handler.
func (s *Service) ListTagsForResource(ctx context.Context, in *route53api.ListTagsForResourceInput) (*route53api.ListTagsForResourceOutput, error) {
	set, err := s.tags(ctx, in.ResourceType, in.ResourceId)
	return &route53api.ListTagsForResourceOutput{ResourceTagSet: &set}, err
}

// ListTagsForResources implements route53api.Handler.
func (s *Service) ListTagsForResources(ctx context.Context, in *route53api.ListTagsForResourcesInput) (*route53api.ListTagsForResourcesOutput, error) {
	switch n := len(in.ResourceIds); {
	case n == 0:
		return nil, notComplete("ResourceIds", "ResourceId")
	case n > 10:
		return nil, invalid("The tags of no more than 10 resources can be listed at a time")
	}
	out := &route53api.ListTagsForResourcesOutput{ResourceTagSets: []route53api.ResourceTagSet{}}
	for i := range in.ResourceIds {
		set, err := s.tags(ctx, in.ResourceType, &in.ResourceIds[i])
		if err != nil {
			return nil, err
		}
		out.ResourceTagSets = append(out.ResourceTagSets, set)
	}
	return out, nil
}

// Tagged are the tags of all that has some, by ARN. The tagging service asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	zones, _, err := s.HostedZones.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, it := range zones {
		if len(it.Value.Tags) > 0 {
			all[s.arn("hostedzone/%s", it.Key)] = it.Value.Tags
		}
	}
	checks, _, err := s.HealthChecks.List(ctx, "")
	for _, it := range checks {
		if len(it.Value.Tags) > 0 {
			all[s.arn("healthcheck/%s", it.Key)] = it.Value.Tags
		}
	}
	return all, err
}

// TagCalls are the calls that add and remove tags of what an ARN names, as many
// as one of them may have at a time. The tagging service makes them.
func TagCalls(resource string, add map[string]string, remove []string) ([]*route53api.ChangeTagsForResourceInput, error) {
	a, err := arn.Parse(resource)
	if err != nil {
		return nil, err
	}
	kind, id, ok := strings.Cut(a.Resource, "/")
	if a.Service != "route53" || !ok || kind != string(route53api.TagResourceTypeHostedzone) && kind != string(route53api.TagResourceTypeHealthcheck) {
		return nil, fmt.Errorf("%s is nothing of Route 53 that has tags", resource)
	}
	var calls []*route53api.ChangeTagsForResourceInput
	call := func() *route53api.ChangeTagsForResourceInput {
		calls = append(calls, &route53api.ChangeTagsForResourceInput{ResourceType: route53api.TagResourceType(kind), ResourceId: &id})
		return calls[len(calls)-1]
	}
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(add)), maxTagsAtATime) {
		in := call()
		for _, key := range keys {
			in.AddTags = append(in.AddTags, route53api.Tag{Key: new(key), Value: new(add[key])})
		}
	}
	for keys := range slices.Chunk(remove, maxTagsAtATime) {
		call().RemoveTagKeys = keys
	}
	return calls, nil
}
