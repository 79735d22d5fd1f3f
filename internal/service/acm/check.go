package acm

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
)

// The patterns are the model's, as it writes them.
const (
	arnPattern   = `arn:[\w+=/,.@-]+:acm:[\w+=/,.@-]*:[0-9]+:[\w+=,.@-]+(/[\w+=,.@-]+)*`
	pcaPattern   = `arn:[\w+=/,.@-]+:acm-pca:[\w+=/,.@-]*:[0-9]+:[\w+=,.@-]+(/[\w+=,.@-]+)*`
	namePattern  = `^(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])$`
	tokenPattern = `\w+`
	tagPattern   = `[\p{L}\p{Z}\p{N}_.:\/=+\-@]*`
)

func whole(pattern string) *regexp.Regexp { return regexp.MustCompile("^(?:" + pattern + ")$") }

var (
	wholeARN   = whole(arnPattern)
	wholePCA   = whole(pcaPattern)
	wholeToken = whole(tokenPattern)
	wholeTag   = whole(tagPattern)
	// wholeName is namePattern without the look-ahead, which Go has not.
	wholeName = whole(`(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]`)
)

// violations collects what in a request is not as the model says: AWS tells all
// of it at once.
type violations []string

func (v *violations) add(value, member, constraint string) {
	*v = append(*v, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, member, constraint))
}

// secret adds a violation of a value that is not to be shown.
func (v *violations) secret(member, constraint string) {
	*v = append(*v, fmt.Sprintf("Value at '%s' failed to satisfy constraint: %s", member, constraint))
}

func (v violations) err() error {
	switch len(v) {
	case 0:
		return nil
	case 1:
		return acmapi.ValidationException.New("1 validation error detected: %s", v[0])
	}
	return acmapi.ValidationException.New("%d validation errors detected: %s", len(v), strings.Join(v, "; "))
}

func atMost(n int) string { return fmt.Sprintf("Member must have length less than or equal to %d", n) }
func atLeast(n int) string {
	return fmt.Sprintf("Member must have length greater than or equal to %d", n)
}
func mustMatch(pattern string) string {
	return "Member must satisfy regular expression pattern: " + pattern
}

// text checks a string's length and pattern.
func (v *violations) text(value, member string, lo, hi int, pattern *regexp.Regexp, shown string) {
	n := utf8.RuneCountInString(value)
	if n > hi {
		v.add(value, member, atMost(hi))
	}
	if n < lo {
		v.add(value, member, atLeast(lo))
	}
	if !pattern.MatchString(value) {
		v.add(value, member, mustMatch(shown))
	}
}

// name checks a domain name.
func (v *violations) name(value, member string) {
	v.text(value, member, 1, 253, wholeName, namePattern)
}

// blob checks the length of bytes that are not to be shown.
func (v *violations) blob(value []byte, member string, hi int) {
	switch {
	case len(value) == 0:
		v.secret(member, atLeast(1))
	case len(value) > hi:
		v.secret(member, atMost(hi))
	}
}

// enum checks an enumeration's value, if there is one.
func enum[T ~string](v *violations, value T, member string, values ...T) {
	if value == "" || slices.Contains(values, value) {
		return
	}
	names := make([]string, len(values))
	for i, known := range values {
		names[i] = string(known)
	}
	v.add(string(value), member, "Member must satisfy enum value set: ["+strings.Join(names, ", ")+"]")
}

func (v *violations) arn(value *string) {
	v.text(val(value), "certificateArn", 20, 2048, wholeARN, arnPattern)
}

// checkARN checks the member by which most requests name a certificate.
func checkARN(certificate *string) error {
	var v violations
	v.arn(certificate)
	return v.err()
}

const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// tags checks the tags of a request.
func (v *violations) tags(tags []acmapi.Tag) {
	for i, t := range tags {
		v.text(val(t.Key), fmt.Sprintf("tags.%d.member.key", i+1), 1, maxTagKey, wholeTag, tagPattern)
		v.text(val(t.Value), fmt.Sprintf("tags.%d.member.value", i+1), 0, maxTagValue, wholeTag, tagPattern)
	}
}

// tagMap reads tags that the model allows.
func tagMap(tags []acmapi.Tag) (map[string]string, error) {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(val(t.Key)), "aws:") {
			return nil, acmapi.ValidationException.New("Invalid Tag Key: %q. AWS internal tags cannot be changed with this API", val(t.Key))
		}
		if _, ok := m[val(t.Key)]; ok {
			return nil, acmapi.InvalidTagException.New("Duplicate Tag Key: %q.", val(t.Key))
		}
		m[val(t.Key)] = val(t.Value)
	}
	if len(m) > maxTags {
		return nil, tooManyTags(m)
	}
	return m, nil
}

// keyAlgorithms are all that the model has.
var keyAlgorithms = []acmapi.KeyAlgorithm{
	acmapi.KeyAlgorithmRsa1024, acmapi.KeyAlgorithmRsa2048, acmapi.KeyAlgorithmRsa3072, acmapi.KeyAlgorithmRsa4096,
	acmapi.KeyAlgorithmEcPrime256v1, acmapi.KeyAlgorithmEcSecp384r1, acmapi.KeyAlgorithmEcSecp521r1,
}
