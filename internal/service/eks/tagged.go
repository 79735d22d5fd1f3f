package eks

import (
	"context"
	"maps"

	"github.com/tarn-eks/tarn/internal/store"
)

// Tagged are the tags of all that has some, by ARN. The tagging service asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, list := range []func(context.Context) (map[string]map[string]string, error){
		tagsOf(s.Clusters, func(c *Cluster) (string, map[string]string) { return s.ClusterARN(c.Name), c.Tags }),
		tagsOf(s.Nodegroups, func(n *Nodegroup) (string, map[string]string) { return s.nodegroupARN(*n), n.Tags }),
		tagsOf(s.Addons, func(a *Addon) (string, map[string]string) { return s.addonARN(*a), a.Tags }),
		tagsOf(s.AccessEntries, func(e *AccessEntry) (string, map[string]string) { return s.entryARN(*e), e.Tags }),
	} {
		tagged, err := list(ctx)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, tagged)
	}
	return all, nil
}

func tagsOf[T any](c *store.Collection[T], of func(*T) (string, map[string]string)) func(context.Context) (map[string]map[string]string, error) {
	return func(ctx context.Context) (map[string]map[string]string, error) {
		items, _, err := c.List(ctx, "")
		found := map[string]map[string]string{}
		for i := range items {
			if name, tags := of(&items[i].Value); len(tags) > 0 {
				found[name] = tags
			}
		}
		return found, err
	}
}
