package autoscaling

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// tagged is the only type of resource that has tags.
const tagged = "auto-scaling-group"

// checkTag reads a tag as a request gives it.
func checkTag(t autoscalingapi.Tag) (Tag, error) {
	read := Tag{Key: api.Val(t.Key), Value: api.Val(t.Value), Propagate: api.Val(t.PropagateAtLaunch)}
	if kind := api.Val(t.ResourceType); kind != "" && kind != tagged {
		return Tag{}, invalid("Invalid tag resource type: %s", kind)
	}
	if err := length("tags.member.key", read.Key, 1, 128); err != nil {
		return Tag{}, err
	}
	if err := length("tags.member.value", read.Value, 0, 256); err != nil {
		return Tag{}, err
	}
	if strings.HasPrefix(strings.ToLower(read.Key), "aws:") {
		return Tag{}, invalid("Your account is not allowed to create tag %s", read.Key)
	}
	return read, nil
}

// put sets a tag of the group.
func (g *Group) put(t Tag) error {
	i := slices.IndexFunc(g.Tags, func(has Tag) bool { return has.Key == t.Key })
	if i >= 0 {
		g.Tags[i] = t
		return nil
	}
	if len(g.Tags) >= maxTags {
		return autoscalingapi.LimitExceededFault.New("You tried to create more tags than allowed")
	}
	g.Tags = append(g.Tags, t)
	slices.SortFunc(g.Tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
	return nil
}

// CreateOrUpdateTags implements autoscalingapi.Handler: all tags or, if one is not
// valid or a group does not exist, none.
func (s *Service) CreateOrUpdateTags(ctx context.Context, in *autoscalingapi.CreateOrUpdateTagsInput) (*autoscalingapi.CreateOrUpdateTagsOutput, error) {
	return &autoscalingapi.CreateOrUpdateTagsOutput{}, s.retag(ctx, in.Tags, func(g *Group, t autoscalingapi.Tag) error {
		tag, err := checkTag(t)
		if err != nil {
			return err
		}
		return g.put(tag)
	})
}

// DeleteTags implements autoscalingapi.Handler. A tag that is given with a value
// goes only if it has that value.
func (s *Service) DeleteTags(ctx context.Context, in *autoscalingapi.DeleteTagsInput) (*autoscalingapi.DeleteTagsOutput, error) {
	return &autoscalingapi.DeleteTagsOutput{}, s.retag(ctx, in.Tags, func(g *Group, t autoscalingapi.Tag) error {
		g.Tags = slices.DeleteFunc(g.Tags, func(has Tag) bool {
			return has.Key == *t.Key && (t.Value == nil || has.Value == *t.Value)
		})
		return nil
	})
}

// retag changes the tags of the groups that a call names, in one commit.
func (s *Service) retag(ctx context.Context, tags []autoscalingapi.Tag, change func(*Group, autoscalingapi.Tag) error) error {
	var names []string
	for _, t := range tags {
		if kind := api.Val(t.ResourceType); kind != "" && kind != tagged {
			return invalid("Invalid tag resource type: %s", kind)
		}
		names = append(names, api.Val(t.ResourceId))
	}
	if len(names) == 0 {
		return nil
	}
	return retry(func() error {
		var ops []store.Op
		for _, name := range unique(names) {
			it, err := s.get(ctx, &name)
			if err != nil {
				return err
			}
			for _, t := range tags {
				if api.Val(t.ResourceId) != name {
					continue
				}
				if err := change(&it.Value, t); err != nil {
					return err
				}
			}
			ops = append(ops, s.Groups.UpdateOp(it))
		}
		_, err := store.Commit(ctx, s.client, ops...)
		return err
	})
}

func (g Group) tags() []autoscalingapi.TagDescription {
	out := []autoscalingapi.TagDescription{}
	for _, t := range g.Tags {
		out = append(out, autoscalingapi.TagDescription{
			ResourceId: &g.Name, ResourceType: new(tagged), Key: &t.Key, Value: &t.Value, PropagateAtLaunch: &t.Propagate,
		})
	}
	return out
}

// DescribeTags implements autoscalingapi.Handler.
func (s *Service) DescribeTags(ctx context.Context, in *autoscalingapi.DescribeTagsInput) (*autoscalingapi.DescribeTagsOutput, error) {
	of := map[string]func(autoscalingapi.TagDescription) string{
		tagged:                func(t autoscalingapi.TagDescription) string { return *t.ResourceId },
		"key":                 func(t autoscalingapi.TagDescription) string { return *t.Key },
		"value":               func(t autoscalingapi.TagDescription) string { return *t.Value },
		"propagate-at-launch": func(t autoscalingapi.TagDescription) string { return strconv.FormatBool(*t.PropagateAtLaunch) },
	}
	for _, f := range in.Filters {
		if of[api.Val(f.Name)] == nil {
			return nil, invalid("Filter type %s is not correct. Allowed Filter types are: auto-scaling-group key value propagate-at-launch", api.Val(f.Name))
		}
	}
	groups, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []autoscalingapi.TagDescription
	for _, it := range groups {
		all = append(all, it.Value.tags()...)
	}
	all = slices.DeleteFunc(all, func(t autoscalingapi.TagDescription) bool {
		return slices.ContainsFunc(in.Filters, func(f autoscalingapi.Filter) bool { return !slices.Contains(f.Values, of[*f.Name](t)) })
	})
	key := func(t autoscalingapi.TagDescription) string { return Prefix(*t.ResourceId) + *t.Key }
	slices.SortFunc(all, func(a, b autoscalingapi.TagDescription) int { return cmp.Compare(key(a), key(b)) })
	tags, next, err := page(all, key, in.MaxRecords, in.NextToken, 50, 100)
	return &autoscalingapi.DescribeTagsOutput{Tags: tags, NextToken: next}, err
}

// Tagged are the tags of the groups that have some, by ARN. The tagging service
// asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	groups, _, err := s.groups.List(ctx)
	tags := map[string]map[string]string{}
	for _, it := range groups {
		for _, t := range it.Value.Tags {
			name := s.ARN(it.Value)
			if tags[name] == nil {
				tags[name] = map[string]string{}
			}
			tags[name][t.Key] = t.Value
		}
	}
	return tags, err
}
