package ecr

import "context"

// Tagged are the tags of the repositories that have some, by ARN. The tagging
// service asks.
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	items, _, err := s.Repositories.List(ctx, "")
	all := map[string]map[string]string{}
	for _, it := range items {
		if len(it.Value.Tags) > 0 {
			all[s.scope.Of("ecr", "repository/%s", it.Value.Name)] = it.Value.Tags
		}
	}
	return all, err
}
