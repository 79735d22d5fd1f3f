package elbv2

import (
	"context"
	"maps"
	"slices"
	"strings"

	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
)

// kind is what an ARN of the region's Elastic Load Balancing names: loadbalancer,
// listener, listener-rule, targetgroup; or anything else.
func (s *Service) kind(arn string) string {
	rest, _ := strings.CutPrefix(arn, s.scope.Of(service, ""))
	kind, _, _ := strings.Cut(rest, "/")
	return kind
}

// tagsOf are the tags that a resource has. A default rule has none.
func (s *Service) tagsOf(ctx context.Context, arn string) (map[string]string, error) {
	switch s.kind(arn) {
	case "loadbalancer":
		lb, err := s.get(ctx, arn)
		return lb.Tags, err
	case "listener":
		o, err := s.getListener(ctx, arn)
		return o.l.Tags, err
	case "targetgroup":
		g, err := s.TargetGroup(ctx, arn)
		return g.Tags, err
	case "listener-rule":
		_, err := s.getRule(ctx, arn)
		return nil, err
	default:
		return nil, invalid("'%s' is not a valid ARN of a load balancer, listener or target group", arn)
	}
}

// retag changes the tags of resources, all of which must exist.
func (s *Service) retag(ctx context.Context, arns []string, change func(tags map[string]string) error) error {
	arns = unique(arns)
	if len(arns) == 0 {
		return invalid("At least one resource ARN must be specified")
	}
	for _, arn := range arns {
		if _, err := s.tagsOf(ctx, arn); err != nil {
			return err
		}
		if s.kind(arn) == "listener-rule" {
			return notImplemented("tags of rules: tag the listener, which has its default rule alone.")
		}
	}
	apply := func(tags *map[string]string) error {
		if *tags == nil {
			*tags = map[string]string{}
		}
		return change(*tags)
	}
	for _, arn := range arns {
		var err error
		switch s.kind(arn) {
		case "loadbalancer":
			_, err = s.modify(ctx, arn, func(lb *LoadBalancer) error { return apply(&lb.Tags) })
		case "listener":
			_, err = s.modifyListener(ctx, arn, func(_ *LoadBalancer, l *Listener) error { return apply(&l.Tags) })
		default:
			_, err = s.modifyGroup(ctx, arn, func(g *TargetGroup) error { return apply(&g.Tags) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// AddTags implements elbv2api.Handler.
func (s *Service) AddTags(ctx context.Context, in *elbv2api.AddTagsInput) (*elbv2api.AddTagsOutput, error) {
	tags, err := checkTags(in.Tags)
	if err != nil {
		return nil, err
	}
	return &elbv2api.AddTagsOutput{}, s.retag(ctx, in.ResourceArns, func(has map[string]string) error {
		maps.Copy(has, tags)
		if len(has) > maxTags {
			return tooManyTags()
		}
		return nil
	})
}

// RemoveTags implements elbv2api.Handler.
func (s *Service) RemoveTags(ctx context.Context, in *elbv2api.RemoveTagsInput) (*elbv2api.RemoveTagsOutput, error) {
	return &elbv2api.RemoveTagsOutput{}, s.retag(ctx, in.ResourceArns, func(has map[string]string) error {
		for _, k := range in.TagKeys {
			delete(has, k)
		}
		return nil
	})
}

// DescribeTags implements elbv2api.Handler.
func (s *Service) DescribeTags(ctx context.Context, in *elbv2api.DescribeTagsInput) (*elbv2api.DescribeTagsOutput, error) {
	if n := len(in.ResourceArns); n > maxNamed {
		return nil, invalid("The maximum number of resources that can be specified is %d, and %d were", maxNamed, n)
	}
	out := &elbv2api.DescribeTagsOutput{TagDescriptions: []elbv2api.TagDescription{}}
	for _, arn := range unique(in.ResourceArns) {
		tags, err := s.tagsOf(ctx, arn)
		if err != nil {
			return nil, err
		}
		d := elbv2api.TagDescription{ResourceArn: &arn, Tags: []elbv2api.Tag{}}
		for _, k := range slices.Sorted(maps.Keys(tags)) {
			d.Tags = append(d.Tags, elbv2api.Tag{Key: &k, Value: new(tags[k])})
		}
		out.TagDescriptions = append(out.TagDescriptions, d)
	}
	return out, nil
}

// Tagged are the tags of the load balancers, listeners and target groups that have
// some, by ARN. The tagging service asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	balancers, _, err := s.balancers.List(ctx)
	if err != nil {
		return nil, err
	}
	groups, _, err := s.groups.List(ctx)
	tagged := map[string]map[string]string{}
	add := func(arn string, tags map[string]string) {
		if len(tags) > 0 {
			tagged[arn] = maps.Clone(tags)
		}
	}
	for _, it := range balancers {
		add(s.ARN(it.Value), it.Value.Tags)
		for _, l := range it.Value.Listeners {
			add(s.ListenerARN(it.Value, l), l.Tags)
		}
	}
	for _, it := range groups {
		add(s.TargetGroupARN(it.Value), it.Value.Tags)
	}
	return tagged, err
}
