package elb

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
)

// The quotas of Classic Load Balancers that an account begins with, and what a
// load balancer may have.
const (
	maxLoadBalancers = 20
	maxListeners     = 100
	maxInstances     = 1000
	maxPolicies      = 98
	maxTags          = 50
	maxGroups        = 5 // that a network interface has
	maxNamed         = 20
)

// invalid is for a parameter that is wrong by itself.
func invalid(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// constraint is what AWS says of a value that the model does not allow.
func constraint(member string, value any, must string, args ...any) *api.Error {
	e := invalid(must, args...)
	return invalid("1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, member, e.Message)
}

// between wants a number from least to most.
func between(member string, n, least, most int32) error {
	switch {
	case n < least:
		return constraint(member, n, "have value greater than or equal to %d", least)
	case n > most:
		return constraint(member, n, "have value less than or equal to %d", most)
	}
	return nil
}

// refused is for what the load balancer's state does not allow.
func refused(format string, args ...any) *api.Error {
	return elbapi.InvalidConfigurationRequestException.New(format, args...)
}

func notFound(name string) *api.Error {
	return elbapi.AccessPointNotFoundException.New("There is no ACTIVE Load Balancer named '%s'", name)
}

var (
	nameChars = regexp.MustCompile(`^[a-zA-Z0-9-]+$`) // of load balancers and policies
	tagChars  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// checkName wants the name of a load balancer.
func checkName(name string) error {
	switch {
	case name == "":
		return invalid("LoadBalancer name cannot be empty")
	case len(name) > 32:
		return invalid("LoadBalancer name cannot be longer than 32 characters")
	case !nameChars.MatchString(name):
		return invalid("LoadBalancer name cannot contain characters that are not letters, or digits or the dash.")
	case strings.HasPrefix(name, "-"), strings.HasSuffix(name, "-"):
		return invalid("LoadBalancer name cannot begin or end with the dash.")
	}
	return nil
}

// checkTags reads tags as a request gives them.
func checkTags(tags []elbapi.Tag) (map[string]string, error) {
	read := map[string]string{}
	for _, t := range tags {
		key, value := api.Val(t.Key), api.Val(t.Value)
		if err := checkTagKey(key); err != nil {
			return nil, err
		}
		if n := len([]rune(value)); n > 256 {
			return nil, constraint("tags.member.value", value, "have length less than or equal to 256")
		}
		if !tagChars.MatchString(value) {
			return nil, constraint("tags.member.value", value, "satisfy regular expression pattern: %s", tagChars)
		}
		if _, ok := read[key]; ok {
			return nil, elbapi.DuplicateTagKeysException.New("Tag key was specified more than once: %s", key)
		}
		read[key] = value
	}
	return read, nil
}

func checkTagKey(key string) error {
	switch n := len([]rune(key)); {
	case n < 1:
		return constraint("tags.member.key", key, "have length greater than or equal to 1")
	case n > 128:
		return constraint("tags.member.key", key, "have length less than or equal to 128")
	case !tagChars.MatchString(key):
		return constraint("tags.member.key", key, "satisfy regular expression pattern: %s", tagChars)
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return invalid("aws: prefixed tag key names are not allowed for external use.")
	}
	return nil
}

func tooManyTags() error {
	return elbapi.TooManyTagsException.New("The quota for the number of tags that can be assigned to a load balancer has been reached")
}

// page cuts a list that is sorted by key. A marker names the last item before it.
func page[T any](items []T, key func(T) string, size *int32, marker *string) ([]T, *string, error) {
	n := 400
	if size != nil {
		if err := between("pageSize", *size, 1, 400); err != nil {
			return nil, nil, err
		}
		n = int(*size)
	}
	if api.Val(marker) != "" {
		after, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil {
			return nil, nil, invalid("Invalid marker: %s", *marker)
		}
		i, found := slices.BinarySearchFunc(items, string(after), func(item T, after string) int { return strings.Compare(key(item), after) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) <= n {
		return items, nil, nil
	}
	return items[:n], new(base64.RawURLEncoding.EncodeToString([]byte(key(items[n-1])))), nil
}

// unique are the strings without repetitions, in their order.
func unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// sameSet says whether two lists have the same strings.
func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
