package loadbalancer

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
)

// Invalid is for a parameter that is wrong by itself.
func Invalid(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// Constraint is what AWS says of a value that the model does not allow.
func Constraint(member string, value any, must string, args ...any) *api.Error {
	e := Invalid(must, args...)
	return Invalid("1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, member, e.Message)
}

// Between wants a number from least to most.
func Between(member string, n, least, most int32) error {
	switch {
	case n < least:
		return Constraint(member, n, "have value greater than or equal to %d", least)
	case n > most:
		return Constraint(member, n, "have value less than or equal to %d", most)
	}
	return nil
}

var tagChars = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// CheckTag wants a tag that a client may give.
func CheckTag(key, value string) error {
	if err := checkTagKey(key); err != nil {
		return err
	}
	if n := len([]rune(value)); n > 256 {
		return Constraint("tags.member.value", value, "have length less than or equal to 256")
	}
	if !tagChars.MatchString(value) {
		return Constraint("tags.member.value", value, "satisfy regular expression pattern: %s", tagChars)
	}
	return nil
}

func checkTagKey(key string) error {
	switch n := len([]rune(key)); {
	case n < 1:
		return Constraint("tags.member.key", key, "have length greater than or equal to 1")
	case n > 128:
		return Constraint("tags.member.key", key, "have length less than or equal to 128")
	case !tagChars.MatchString(key):
		return Constraint("tags.member.key", key, "satisfy regular expression pattern: %s", tagChars)
	case strings.HasPrefix(strings.ToLower(key), "aws:"):
		return Invalid("aws: prefixed tag key names are not allowed for external use.")
	}
	return nil
}

// Page cuts a list that is sorted by key. A marker names the last item before it.
func Page[T any](items []T, key func(T) string, size *int32, marker *string) ([]T, *string, error) {
	n := 400
	if size != nil {
		if err := Between("pageSize", *size, 1, 400); err != nil {
			return nil, nil, err
		}
		n = int(*size)
	}
	if api.Val(marker) != "" {
		after, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil {
			return nil, nil, Invalid("Invalid marker: %s", *marker)
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

// Unique are the strings without repetitions, in their order.
func Unique(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// SameSet says whether two lists have the same strings.
func SameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
