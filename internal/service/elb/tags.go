package elb

import (
	"context"
	"maps"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// single is the load balancer that a call about tags names: AWS takes a list, and
// allows one.
func single(names []string) (*string, error) {
	if len(names) != 1 {
		return nil, invalid("Exactly one load balancer can be specified, and %d were", len(names))
	}
	return &names[0], nil
}

// AddTags implements elbapi.Handler.
func (s *Service) AddTags(ctx context.Context, in *elbapi.AddTagsInput) (*elbapi.AddTagsOutput, error) {
	name, err := single(in.LoadBalancerNames)
	if err != nil {
		return nil, err
	}
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	_, err = s.modify(ctx, name, func(lb *LoadBalancer) error {
		if lb.Tags == nil {
			lb.Tags = map[string]string{}
		}
		maps.Copy(lb.Tags, tags)
		if len(lb.Tags) > maxTags {
			return tooManyTags()
		}
		return nil
	})
	return &elbapi.AddTagsOutput{}, err
}

// RemoveTags implements elbapi.Handler.
func (s *Service) RemoveTags(ctx context.Context, in *elbapi.RemoveTagsInput) (*elbapi.RemoveTagsOutput, error) {
	name, err := single(in.LoadBalancerNames)
	if err != nil {
		return nil, err
	}
	_, err = s.modify(ctx, name, func(lb *LoadBalancer) error {
		for _, t := range in.Tags {
			delete(lb.Tags, api.Val(t.Key))
		}
		return nil
	})
	return &elbapi.RemoveTagsOutput{}, err
}

// DescribeTags implements elbapi.Handler.
func (s *Service) DescribeTags(ctx context.Context, in *elbapi.DescribeTagsInput) (*elbapi.DescribeTagsOutput, error) {
	switch n := len(in.LoadBalancerNames); {
	case n < 1:
		return nil, constraint("loadBalancerNames", in.LoadBalancerNames, "have length greater than or equal to 1")
	case n > maxNamed:
		return nil, constraint("loadBalancerNames", in.LoadBalancerNames, "have length less than or equal to %d", maxNamed)
	}
	out := &elbapi.DescribeTagsOutput{}
	for _, name := range unique(in.LoadBalancerNames) {
		lb, err := s.get(ctx, &name)
		if err != nil {
			return nil, err
		}
		d := elbapi.TagDescription{LoadBalancerName: &name, Tags: []elbapi.Tag{}}
		for _, k := range slices.Sorted(maps.Keys(lb.Tags)) {
			d.Tags = append(d.Tags, elbapi.Tag{Key: &k, Value: new(lb.Tags[k])})
		}
		out.TagDescriptions = append(out.TagDescriptions, d)
	}
	return out, nil
}

// Tagged are the tags of the load balancers that have some, by ARN. The tagging
// service asks.
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
