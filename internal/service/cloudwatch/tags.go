package cloudwatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// checkTags reads tags as a request gives them.
func checkTags(tags []cloudwatchapi.Tag) (map[string]string, error) {
	if len(tags) > maxTags {
		return nil, wrong("The collection Tags must not have a size greater than %d.", maxTags)
	}
	var read map[string]string
	for _, t := range tags {
		k, v := api.Val(t.Key), api.Val(t.Value)
		switch n := utf8.RuneCountInString(k); {
		case n < 1 || n > 128:
			return nil, wrong("Tag keys must have 1 to 128 characters")
		case utf8.RuneCountInString(v) > 256:
			return nil, wrong("Tag values must have at most 256 characters")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return nil, wrong("Tag keys starting with 'aws:' are reserved for system use")
		}
		if _, ok := read[k]; ok {
			return nil, wrong("Duplicate tag key: %s", k)
		}
		if read == nil {
			read = map[string]string{}
		}
		read[k] = v
	}
	return read, nil
}

// tagged is the alarm that an ARN names.
func (s *Service) tagged(name *string) (string, error) {
	a, err := arn.Parse(api.Val(name))
	alarm, ok := strings.CutPrefix(a.Resource, "alarm:")
	if err != nil || a.Service != "cloudwatch" {
		return "", wrong("Invalid resource ARN: %s", api.Val(name))
	}
	if !ok || alarm == "" || a.Account != s.scope.Account || a.Region != s.scope.Region {
		return "", s.noResource(api.Val(name))
	}
	return alarm, nil
}

func (s *Service) noResource(name string) error {
	return cloudwatchapi.ResourceNotFoundException.New("The resource %s does not exist", name).With(
		&cloudwatchapi.ResourceNotFoundExceptionDetail{ResourceType: new("alarm"), ResourceId: &name})
}

// retag changes the tags of the alarm that an ARN names.
func (s *Service) retag(ctx context.Context, name *string, change func(*Alarm) error) error {
	alarm, err := s.tagged(name)
	if err != nil {
		return err
	}
	_, err = s.Alarms.Modify(ctx, alarm, change)
	if errors.Is(err, store.ErrNotFound) {
		return s.noResource(*name)
	}
	return err
}

// TagResource implements cloudwatchapi.Handler.
func (s *Service) TagResource(ctx context.Context, in *cloudwatchapi.TagResourceInput) (*cloudwatchapi.TagResourceOutput, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &cloudwatchapi.TagResourceOutput{}, s.retag(ctx, in.ResourceARN, func(a *Alarm) error {
		if a.Tags == nil {
			a.Tags = map[string]string{}
		}
		maps.Copy(a.Tags, tags)
		if len(a.Tags) > maxTags {
			return wrong("The maximum number of tags per resource is %d", maxTags)
		}
		return nil
	})
}

// UntagResource implements cloudwatchapi.Handler.
func (s *Service) UntagResource(ctx context.Context, in *cloudwatchapi.UntagResourceInput) (*cloudwatchapi.UntagResourceOutput, error) {
	return &cloudwatchapi.UntagResourceOutput{}, s.retag(ctx, in.ResourceARN, func(a *Alarm) error {
		for _, k := range in.TagKeys {
			delete(a.Tags, k)
		}
		return nil
	})
}

// ListTagsForResource implements cloudwatchapi.Handler.
func (s *Service) ListTagsForResource(ctx context.Context, in *cloudwatchapi.ListTagsForResourceInput) (*cloudwatchapi.ListTagsForResourceOutput, error) {
	alarm, err := s.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	it, err := s.Alarms.Get(ctx, alarm)
	if errors.Is(err, store.ErrNotFound) {
		return nil, s.noResource(*in.ResourceARN)
	}
	if err != nil {
		return nil, err
	}
	out := &cloudwatchapi.ListTagsForResourceOutput{Tags: []cloudwatchapi.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(it.Value.Tags)) {
		out.Tags = append(out.Tags, cloudwatchapi.Tag{Key: &k, Value: new(it.Value.Tags[k])})
	}
	return out, nil
}

// Tagged are the tags of the alarms that have some, by ARN. The tagging service
// asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	items, _, err := s.all.List(ctx)
	tags := map[string]map[string]string{}
	for _, it := range items {
		if len(it.Value.Tags) > 0 {
			tags[s.ARN(it.Key)] = maps.Clone(it.Value.Tags)
		}
	}
	return tags, err
}
