package ecr

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
)

const (
	namePattern     = `(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*`
	registryPattern = `[0-9]{12}`
	digestPattern   = `[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+`
	tagPattern      = `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
	uploadPattern   = `[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`
)

func whole(pattern string) *regexp.Regexp { return regexp.MustCompile("^(?:" + pattern + ")$") }

var (
	wholeName     = whole(namePattern)
	wholeRegistry = whole(registryPattern)
	wholeDigest   = whole(digestPattern)
	wholeTag      = whole(tagPattern)
	wholeUpload   = whole(uploadPattern)
)

// invalid is ECR's error for a member that is not as it must be.
func invalid(member, constraint string, args ...any) *api.Error {
	e := ecrapi.InvalidParameterException.New(constraint, args...)
	e.Message = "Invalid parameter at '" + member + "' failed to satisfy constraint: '" + e.Message + "'"
	return e
}

func mustMatch(member, pattern string) error {
	return invalid(member, "must satisfy regular expression '%s'", pattern)
}

func checkName(name string) error {
	switch {
	case len(name) < 2:
		return invalid("repositoryName", "must have length greater than or equal to 2")
	case len(name) > 256:
		return invalid("repositoryName", "must have length less than or equal to 256")
	case !wholeName.MatchString(name):
		return mustMatch("repositoryName", namePattern)
	}
	return nil
}

func checkRegistry(id *string) error {
	if id != nil && !wholeRegistry.MatchString(*id) {
		return mustMatch("registryId", registryPattern)
	}
	return nil
}

// checkCount checks the length of a list.
func checkCount[T any](member string, list []T, lo, hi int) error {
	switch {
	case len(list) < lo:
		return invalid(member, "must have length greater than or equal to %d", lo)
	case len(list) > hi:
		return invalid(member, "must have length less than or equal to %d", hi)
	}
	return nil
}

// checkEnum checks an enumeration's value, if there is one.
func checkEnum[T ~string](member string, value T, values ...T) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	slices.Sort(names)
	return invalid(member, "Member must satisfy enum value set: [%s]", strings.Join(names, ", "))
}

// checkTags reads the tags of a request.
func checkTags(tags []ecrapi.Tag) (map[string]string, error) {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		k, v := api.Val(t.Key), api.Val(t.Value)
		switch {
		case k == "" || utf8.RuneCountInString(k) > 128:
			return nil, ecrapi.InvalidTagParameterException.New("A tag's key must have between 1 and 128 characters")
		case utf8.RuneCountInString(v) > 256:
			return nil, ecrapi.InvalidTagParameterException.New("The value of the tag '%s' must have no more than 256 characters", k)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return nil, ecrapi.InvalidTagParameterException.New("The tag key '%s' must not begin with 'aws:', which is reserved", k)
		}
		if _, ok := m[k]; ok {
			return nil, ecrapi.InvalidTagParameterException.New("The tag key '%s' is given twice", k)
		}
		m[k] = v
	}
	return m, nil
}

// maxTags is how many tags a repository may have.
const maxTags = 50

func tooManyTags() error {
	return ecrapi.TooManyTagsException.New("A repository can have no more than %d tags", maxTags)
}

// defaultPage is how many results a page has for which no number is asked.
const defaultPage = 100

// page is the part of items, sorted by key, that a call asks for, and the token
// for the next, nil after the last. A token says after which key to go on, so
// it holds while items come and go.
func page[T any](items []T, key func(T) string, limit *int32, token *string) ([]T, *string, error) {
	n := defaultPage
	if limit != nil {
		if n = int(*limit); n < 1 || n > 1000 {
			return nil, nil, invalid("maxResults", "must be between 1 and 1000")
		}
	}
	if token != nil {
		after, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil || len(after) == 0 {
			return nil, nil, ecrapi.InvalidParameterException.New("The specified pagination token is not valid")
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
