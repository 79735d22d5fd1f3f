package eks

import (
	"context"
	"errors"
	"maps"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// tagged is something that has tags.
type tagged struct {
	arn    string
	tags   map[string]string
	change func(ctx context.Context, to func(map[string]string) (map[string]string, error)) error
}

// byARN finds what an ARN names.
func (s *Service) byARN(ctx context.Context, text string) (tagged, error) {
	bad := eksapi.BadRequestException.New("Invalid resource ARN: %s", text)
	a, err := arn.Parse(text)
	if err != nil || a.Service != "eks" || a.Account != s.arns.Account || a.Region != s.arns.Region {
		return tagged{}, bad
	}
	parts := strings.Split(a.Resource, "/")
	var found tagged
	switch {
	case parts[0] == "cluster" && len(parts) == 2:
		found, err = findTagged(ctx, s.Clusters, parts[1],
			func(c *Cluster) (string, *map[string]string) { return s.ClusterARN(c.Name), &c.Tags })
	case parts[0] == "nodegroup" && len(parts) == 4:
		found, err = findTagged(ctx, s.Nodegroups, parts[1]+"/"+parts[2],
			func(n *Nodegroup) (string, *map[string]string) { return s.nodegroupARN(*n), &n.Tags })
	case parts[0] == "addon" && len(parts) == 4:
		found, err = findTagged(ctx, s.Addons, parts[1]+"/"+parts[2],
			func(a *Addon) (string, *map[string]string) { return s.addonARN(*a), &a.Tags })
	case parts[0] == "access-entry" && len(parts) == 6:
		found, err = s.entryByARN(ctx, parts[1], text)
	default:
		return tagged{}, bad
	}
	if errors.Is(err, store.ErrNotFound) || err == nil && found.arn != text {
		err = eksapi.NotFoundException.New("No resource found for ARN: %s", text)
	}
	return found, err
}

// entryByARN looks through a cluster's entries: the ARN lacks the principal's path.
func (s *Service) entryByARN(ctx context.Context, cluster, text string) (tagged, error) {
	items, _, err := s.AccessEntries.List(ctx, cluster+"/")
	if err != nil {
		return tagged{}, err
	}
	for _, item := range items {
		if s.entryARN(item.Value) == text {
			return findTagged(ctx, s.AccessEntries, item.Key,
				func(e *AccessEntry) (string, *map[string]string) { return s.entryARN(*e), &e.Tags })
		}
	}
	return tagged{}, store.ErrNotFound
}

func findTagged[T any](ctx context.Context, c *store.Collection[T], key string, of func(*T) (string, *map[string]string)) (tagged, error) {
	item, err := c.Get(ctx, key)
	if err != nil {
		return tagged{}, err
	}
	name, tags := of(&item.Value)
	return tagged{arn: name, tags: *tags, change: func(ctx context.Context, to func(map[string]string) (map[string]string, error)) error {
		_, err := c.Modify(ctx, key, func(v *T) error {
			_, tags := of(v)
			changed, err := to(*tags)
			*tags = changed
			return err
		})
		return err
	}}, nil
}

// TagResource adds tags, and replaces those that have the key.
func (s *Service) TagResource(ctx context.Context, in *eksapi.TagResourceInput) (*eksapi.TagResourceOutput, error) {
	found, err := s.byARN(ctx, api.Val(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	err = found.change(ctx, func(tags map[string]string) (map[string]string, error) {
		merged := maps.Clone(tags)
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, in.Tags)
		if problem := checkTags(merged); problem != "" {
			return tags, eksapi.BadRequestException.New("%s", problem)
		}
		return merged, nil
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.TagResourceOutput{}, nil
}

// UntagResource removes tags by their keys.
func (s *Service) UntagResource(ctx context.Context, in *eksapi.UntagResourceInput) (*eksapi.UntagResourceOutput, error) {
	found, err := s.byARN(ctx, api.Val(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	err = found.change(ctx, func(tags map[string]string) (map[string]string, error) {
		left := maps.Clone(tags)
		for _, k := range in.TagKeys {
			delete(left, k)
		}
		return left, nil
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UntagResourceOutput{}, nil
}

// ListTagsForResource lists tags.
func (s *Service) ListTagsForResource(ctx context.Context, in *eksapi.ListTagsForResourceInput) (*eksapi.ListTagsForResourceOutput, error) {
	found, err := s.byARN(ctx, api.Val(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	tags := found.tags
	if tags == nil {
		tags = map[string]string{}
	}
	return &eksapi.ListTagsForResourceOutput{Tags: tags}, nil
}
