package tagging

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
	"github.com/tarn-eks/tarn/internal/arn"
)

const (
	maxTypes        = 100
	maxTypeLength   = 256
	maxTagFilters   = 50
	maxFilterValues = 20
	maxKey          = 128
	maxValue        = 256
)

// types are filters by resource type: what matches one of them passes.
type types []resourceType

// resourceType is ec2:instance, or ec2 for all of a service's.
type resourceType struct{ service, kind string }

func typeFilters(filters []string) (types, error) {
	if len(filters) > maxTypes {
		return nil, invalid("ResourceTypeFilters can have at most %d items", maxTypes)
	}
	var all types
	for _, f := range filters {
		service, kind, colon := strings.Cut(f, ":")
		if service == "" || colon && kind == "" || utf8.RuneCountInString(f) > maxTypeLength {
			return nil, invalid("%.256q is not a valid resource type filter: the format is service[:resourceType]", f)
		}
		all = append(all, resourceType{service, kind})
	}
	return all, nil
}

// service says whether resources of the service can pass.
func (t types) service(name string) bool {
	return len(t) == 0 || slices.ContainsFunc(t, func(f resourceType) bool { return f.service == name })
}

func (t types) match(a arn.ARN) bool {
	kind := a.Resource
	if i := strings.IndexAny(kind, "/:"); i >= 0 {
		kind = kind[:i]
	}
	return len(t) == 0 || slices.Contains(t, resourceType{a.Service, kind}) || slices.Contains(t, resourceType{a.Service, ""})
}

func checkTagFilters(filters []taggingapi.TagFilter) error {
	if len(filters) > maxTagFilters {
		return invalid("TagFilters can have at most %d items", maxTagFilters)
	}
	for _, f := range filters {
		key := api.Val(f.Key)
		if n := utf8.RuneCountInString(key); n < 1 || n > maxKey {
			return invalid("The key of a tag filter must have 1 to %d characters", maxKey)
		}
		if len(f.Values) > maxFilterValues {
			return invalid("The filter for the tag %s can have at most %d values", key, maxFilterValues)
		}
		for _, v := range f.Values {
			if utf8.RuneCountInString(v) > maxValue {
				return invalid("A value in the filter for the tag %s can have at most %d characters", key, maxValue)
			}
		}
	}
	return nil
}

// matchTags says whether tags pass all filters: each wants its key, and one of its
// values if it has any. Case counts.
func matchTags(filters []taggingapi.TagFilter, tags map[string]string) bool {
	for _, f := range filters {
		value, ok := tags[api.Val(f.Key)]
		if !ok || len(f.Values) > 0 && !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}
