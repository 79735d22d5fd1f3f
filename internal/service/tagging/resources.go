package tagging

import (
	"context"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
	"github.com/tarn-eks/tarn/internal/arn"
)

// resource is one that has tags.
type resource struct {
	name string // its ARN
	arn  arn.ARN
	tags map[string]string
}

// resources are those that the call's region has: what is global is in one of
// them. Only services that are wanted are asked; nil wants all.
func (s *Service) resources(ctx context.Context, wanted func(service string) bool) ([]resource, error) {
	var found []resource
	region := s.asked(ctx)
	for service, source := range s.sources {
		if wanted != nil && !wanted(service) {
			continue
		}
		tagged, err := source.Tagged(ctx)
		if err != nil {
			return nil, err
		}
		for name, tags := range tagged {
			a, err := arn.Parse(name)
			if err != nil {
				return nil, err
			}
			here := a.Region == region || a.Region == "" && region == globalRegion
			if here && len(tags) > 0 {
				found = append(found, resource{name, a, tags})
			}
		}
	}
	return found, nil
}

const (
	// defaultPerPage is how many resources a page has if nothing is said about it.
	defaultPerPage = 50
	maxPerPage     = 100
	minTagsPerPage = 100
	maxTagsPerPage = 500
	maxNamed       = 100 // ARNs in one GetResources
)

// GetResources lists what has tags now. AWS also lists what once had some.
func (s *Service) GetResources(ctx context.Context, in *taggingapi.GetResourcesInput) (*taggingapi.GetResourcesOutput, error) {
	fits, err := perPage(in)
	if err != nil {
		return nil, err
	}
	names, err := s.listed(ctx, in)
	if err != nil {
		return nil, err
	}
	types, err := typeFilters(in.ResourceTypeFilters)
	if err != nil {
		return nil, err
	}
	if err := checkTagFilters(in.TagFilters); err != nil {
		return nil, err
	}
	compliance := api.Val(in.IncludeComplianceDetails)
	if api.Val(in.ExcludeCompliantResources) && !compliance {
		return nil, invalid("ExcludeCompliantResources can be true only if IncludeComplianceDetails is true")
	}
	all, err := s.resources(ctx, types.service)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(r resource) bool {
		return names != nil && !names[r.name] || !types.match(r.arn) || !matchTags(in.TagFilters, r.tags) ||
			// Without an organization there is no tag policy: everything complies.
			api.Val(in.ExcludeCompliantResources)
	})
	if names != nil {
		fits = func(all []resource) int { return len(all) }
	}
	part, next, err := page(s, "GetResources", all, func(r resource) string { return r.name }, in.PaginationToken, fits)
	if err != nil {
		return nil, err
	}
	out := &taggingapi.GetResourcesOutput{PaginationToken: next, ResourceTagMappingList: []taggingapi.ResourceTagMapping{}}
	for _, r := range part {
		m := taggingapi.ResourceTagMapping{ResourceARN: &r.name, Tags: []taggingapi.Tag{}}
		for _, k := range slices.Sorted(maps.Keys(r.tags)) {
			m.Tags = append(m.Tags, taggingapi.Tag{Key: new(k), Value: new(r.tags[k])})
		}
		if compliance {
			m.ComplianceDetails = &taggingapi.ComplianceDetails{
				ComplianceStatus: new(true), NoncompliantKeys: []string{}, KeysWithNoncompliantValues: []string{},
			}
		}
		out.ResourceTagMappingList = append(out.ResourceTagMappingList, m)
	}
	return out, nil
}

// listed are the resources that a request names; nil if it names none.
func (s *Service) listed(ctx context.Context, in *taggingapi.GetResourcesInput) (map[string]bool, error) {
	if in.ResourceARNList == nil {
		return nil, nil
	}
	if in.ResourcesPerPage != nil || in.TagsPerPage != nil || api.Val(in.PaginationToken) != "" {
		return nil, invalid("ResourceARNList cannot be specified together with ResourcesPerPage, TagsPerPage or PaginationToken")
	}
	arns, err := s.parse(ctx, "GetResources", in.ResourceARNList, maxNamed)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, a := range arns {
		names[a.String()] = true
	}
	return names, nil
}

// perPage is how many of the resources fit on a page. A resource and its tags stay
// together, and the first one always fits.
func perPage(in *taggingapi.GetResourcesInput) (func([]resource) int, error) {
	most, tags := defaultPerPage, 0
	if in.TagsPerPage != nil {
		most, tags = maxPerPage, int(*in.TagsPerPage)
		if tags < minTagsPerPage || tags > maxTagsPerPage {
			return nil, invalid("TagsPerPage must be between %d and %d", minTagsPerPage, maxTagsPerPage)
		}
	}
	if in.ResourcesPerPage != nil {
		most = int(*in.ResourcesPerPage)
		if most < 1 || most > maxPerPage {
			return nil, invalid("ResourcesPerPage must be between 1 and %d", maxPerPage)
		}
	}
	return func(all []resource) int {
		n := min(most, len(all))
		if tags == 0 {
			return n
		}
		sum := 0
		for i, r := range all[:n] {
			if sum += len(r.tags); sum > tags && i > 0 {
				return i
			}
		}
		return n
	}, nil
}

// keysPerPage is how many keys or values a page has.
const keysPerPage = 100

// GetTagKeys lists the keys that are in use.
func (s *Service) GetTagKeys(ctx context.Context, in *taggingapi.GetTagKeysInput) (*taggingapi.GetTagKeysOutput, error) {
	found, next, err := s.strings(ctx, "GetTagKeys", in.PaginationToken, func(tags map[string]string, add func(string)) {
		for k := range tags {
			add(k)
		}
	})
	return &taggingapi.GetTagKeysOutput{TagKeys: found, PaginationToken: next}, err
}

// GetTagValues lists the values that a key has.
func (s *Service) GetTagValues(ctx context.Context, in *taggingapi.GetTagValuesInput) (*taggingapi.GetTagValuesOutput, error) {
	key := api.Val(in.Key)
	if n := utf8.RuneCountInString(key); n < 1 || n > maxKey {
		return nil, invalid("The tag key must have 1 to %d characters", maxKey)
	}
	found, next, err := s.strings(ctx, "GetTagValues", in.PaginationToken, func(tags map[string]string, add func(string)) {
		if v, ok := tags[key]; ok {
			add(v)
		}
	})
	return &taggingapi.GetTagValuesOutput{TagValues: found, PaginationToken: next}, err
}

// strings is a page of what of adds from the tags of all resources, each once.
func (s *Service) strings(ctx context.Context, operation string, token *string, of func(tags map[string]string, add func(string))) ([]string, *string, error) {
	all, err := s.resources(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	set := map[string]bool{}
	for _, r := range all {
		of(r.tags, func(text string) { set[text] = true })
	}
	list := slices.AppendSeq([]string{}, maps.Keys(set))
	return page(s, operation, list, func(text string) string { return text }, token,
		func(rest []string) int { return min(keysPerPage, len(rest)) })
}
