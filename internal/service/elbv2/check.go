package elbv2

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
)

// The quotas that an account begins with, and what a resource may have.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
const (
	maxLoadBalancers = 50
	maxTargetGroups  = 3000
	maxListeners     = 50   // of a load balancer
	maxTargets       = 1000 // of a target group, and of a load balancer
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

// among wants one of the values that the model lists.
func among[T ~string](member string, value T, values ...T) error {
	if slices.Contains(values, value) {
		return nil
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return constraint(member, value, "satisfy enum value set: [%s]", strings.Join(names, ", "))
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

// refused is for what the state of things does not allow.
func refused(format string, args ...any) *api.Error {
	return elbv2api.InvalidConfigurationRequestException.New(format, args...)
}

// notImplemented is for a part of an operation that Tarn does not have.
func notImplemented(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusNotImplemented, "NotImplemented", "Tarn does not implement "+format, args...)
}

func noBalancer(arn string) *api.Error {
	return elbv2api.LoadBalancerNotFoundException.New("Load balancer '%s' not found", arn)
}

func noListener(arn string) *api.Error {
	return elbv2api.ListenerNotFoundException.New("Listener '%s' not found", arn)
}

func noGroup(arn string) *api.Error {
	return elbv2api.TargetGroupNotFoundException.New("Target groups '%s' not found", arn)
}

var (
	nameChars = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)
	tagChars  = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// checkName wants the name of what is said: The load balancer, or Target group.
func checkName(what, name string) error {
	switch {
	case name == "":
		return invalid("%s name cannot be empty", what)
	case len(name) > 32:
		return invalid("%s name '%s' cannot be longer than '32' characters", what, name)
	case !nameChars.MatchString(name):
		return invalid("%s name '%s' can only contain characters that are alphanumeric characters or hyphens(-)", what, name)
	case strings.HasPrefix(name, "-"), strings.HasSuffix(name, "-"):
		return invalid("%s name '%s' cannot begin or end with '-'", what, name)
	}
	return nil
}

// checkTags reads tags as a request gives them.
func checkTags(tags []elbv2api.Tag) (map[string]string, error) {
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
			return nil, elbv2api.DuplicateTagKeysException.New("Tag key was specified more than once: %s", key)
		}
		read[key] = value
	}
	if len(read) > maxTags {
		return nil, tooManyTags()
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
	return elbv2api.TooManyTagsException.New("The quota for the number of tags that can be assigned to a resource has been reached")
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
