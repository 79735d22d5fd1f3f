package ec2

import (
	"slices"
	"strconv"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// maxFilterValues is EC2's quota for one call.
const maxFilterValues = 200

// attributes are what an item has for filters to look at, by filter's name. A
// filter that is not in it does not exist; one with no values matches nothing.
type attributes map[string][]string

func (a attributes) get(name string) ([]string, bool) {
	v, ok := a[name]
	return v, ok
}

// match says whether an item passes all filters. has gives the item's values for
// a filter, and whether there is a filter of that name.
func match(filters []ec2api.Filter, has func(name string) (values []string, known bool)) (bool, error) {
	for _, f := range filters {
		if f.Name == nil {
			return false, bad("InvalidParameterValue", "The filter 'null' is invalid")
		}
		values, known := has(*f.Name)
		if !known {
			return false, bad("InvalidParameterValue", "The filter '%s' is invalid", *f.Name)
		}
		if !slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(f.Values, func(pattern string) bool { return matchPattern(pattern, v) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

// selected are the items that pass all filters. Filters that do not exist are
// refused even where there is no item: has must bear the zero value.
func selected[T any](items []T, filters []ec2api.Filter, has func(T) func(name string) ([]string, bool)) ([]T, error) {
	if len(filters) == 0 {
		return items, nil
	}
	n := 0
	var zero T
	known := has(zero)
	for _, f := range filters {
		n += len(f.Values)
		if _, err := match([]ec2api.Filter{{Name: f.Name}}, known); err != nil {
			return nil, err
		}
	}
	if n > maxFilterValues {
		return nil, bad("FilterLimitExceeded", "The maximum number of filter values specified on a single call is %d", maxFilterValues)
	}
	var out []T
	for _, item := range items {
		ok, err := match(filters, has(item))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, item)
		}
	}
	return out, nil
}

// matchPattern matches the whole of s: * stands for any characters, ? for one,
// and a backslash takes the next as it is.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
func matchPattern(pattern, s string) bool {
	p, r := []rune(pattern), []rune(s)
	star, mark := -1, 0 // where the last * is, and what it was last tried against
	i, j := 0, 0
	for j < len(r) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
			continue
		case i < len(p) && p[i] == '\\' && i+1 < len(p) && p[i+1] == r[j]:
			i, j = i+2, j+1
			continue
		case i < len(p) && (p[i] == '?' || p[i] == r[j] && (p[i] != '\\' || i+1 == len(p))):
			i, j = i+1, j+1
			continue
		case star >= 0:
			mark++
			i, j = star+1, mark
			continue
		}
		return false
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// tagValues answers the filters for tags: tag:<key> and tag-key.
func tagValues(tags map[string]string, name string) ([]string, bool) {
	if name == "tag-key" {
		keys := make([]string, 0, len(tags))
		for k := range tags {
			keys = append(keys, k)
		}
		return keys, true
	}
	if key, ok := cutTag(name); ok {
		if v, ok := tags[key]; ok {
			return []string{v}, true
		}
		return nil, true
	}
	return nil, false
}

func cutTag(name string) (string, bool) {
	const prefix = "tag:"
	if len(name) < len(prefix) || name[:len(prefix)] != prefix {
		return "", false
	}
	return name[len(prefix):], true
}

// one is a filter's values for an item that has one, or none.
func one(v string) []string {
	if v == "" {
		return nil
	}
	return []string{v}
}

func boolean(b bool) []string { return []string{strconv.FormatBool(b)} }
