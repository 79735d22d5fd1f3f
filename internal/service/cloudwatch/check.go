package cloudwatch

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

// What an account may have, and a call.
const (
	maxAlarms     = 5000
	maxActions    = 5
	maxDimensions = 30
	maxNamed      = 100 // alarms in a call
	maxTags       = 50
	maxQueries    = 500
)

// invalid is for what the API's front finds wrong.
func invalid(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// constraint is what AWS says of a value that the model does not allow.
func constraint(member string, value any, must string, args ...any) *api.Error {
	return invalid("1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, member, fmt.Sprintf(must, args...))
}

func wrong(format string, args ...any) *api.Error {
	return cloudwatchapi.InvalidParameterValueException.New(format, args...)
}

func missing(format string, args ...any) *api.Error {
	return cloudwatchapi.MissingRequiredParameterException.New(format, args...)
}

func both(a, b string) *api.Error {
	return cloudwatchapi.InvalidParameterCombinationException.New("The parameters %s and %s are mutually exclusive and you have specified both.", a, b)
}

// length wants a text from least to most characters.
func length(member, text string, least, most int) error {
	switch n := utf8.RuneCountInString(text); {
	case n < least:
		return constraint(member, text, "have length greater than or equal to %d", least)
	case n > most:
		return constraint(member, text, "have length less than or equal to %d", most)
	}
	return nil
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

// oneOf wants one of the values, or nothing.
func oneOf[T ~string](member string, v T, values ...T) error {
	if v == "" || slices.Contains(values, v) {
		return nil
	}
	var list []string
	for _, v := range values {
		list = append(list, string(v))
	}
	return constraint(member, string(v), "satisfy enum value set: [%s]", strings.Join(list, ", "))
}

// units are CloudWatch's, in the order of its messages.
var units = []cloudwatchapi.StandardUnit{
	"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits", "Kilobits", "Megabits", "Gigabits", "Terabits",
	"Percent", "Count", "Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second",
	"Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None",
}

// statistics are the five that have a name in the API.
var statistics = []cloudwatchapi.Statistic{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}

// validPeriod says whether metrics can be had in such periods: AWS has 1, 5, 10, 20
// and 30 s, and whole minutes.
func validPeriod(seconds int32) bool {
	switch seconds {
	case 1, 5, 10, 20, 30:
		return true
	}
	return seconds > 0 && seconds%60 == 0 && seconds <= 86400
}

// checkDimensions wants at most 30 that are different and have values.
func checkDimensions(member string, dimensions []cloudwatchapi.Dimension) error {
	if len(dimensions) > maxDimensions {
		return wrong("The collection %s must not have a size greater than %d.", member, maxDimensions)
	}
	seen := map[string]bool{}
	for i, d := range dimensions {
		at := fmt.Sprintf("%s.member.%d", member, i+1)
		name, value := api.Val(d.Name), api.Val(d.Value)
		switch {
		case strings.TrimSpace(name) == "":
			return wrong("The parameter %s.Name must not be blank.", at)
		case strings.TrimSpace(value) == "":
			return wrong("The parameter %s.Value must not be blank.", at)
		case !printable(name) || len(name) > 255 || strings.HasPrefix(name, ":"):
			return wrong("The value %s for parameter %s.Name is invalid.", name, at)
		case !printable(value) || len(value) > 1024:
			return wrong("The value %s for parameter %s.Value is invalid.", value, at)
		case seen[name]:
			return wrong("The collection %s must not contain the dimension %s more than once.", member, name)
		}
		seen[name] = true
	}
	return nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// metricID is a metric as package metrics names it.
func metricID(namespace, name string, dimensions []cloudwatchapi.Dimension) metrics.ID {
	id := metrics.ID{Namespace: namespace, Name: name}
	for _, d := range dimensions {
		if id.Dimensions == nil {
			id.Dimensions = map[string]string{}
		}
		id.Dimensions[api.Val(d.Name)] = api.Val(d.Value)
	}
	return id
}

// queryPeriod is the period that a query gives; 0: none.
func queryPeriod(q cloudwatchapi.MetricDataQuery) time.Duration {
	p := api.Val(q.Period)
	if q.MetricStat != nil {
		p = api.Val(q.MetricStat.Period)
	}
	return time.Duration(p) * time.Second
}

// page cuts a sorted list behind the token. The next token is the last one's key.
func page[T any](items []T, key func(T) string, size int, token *string) ([]T, *string, error) {
	if api.Val(token) != "" {
		after, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil {
			return nil, nil, cloudwatchapi.InvalidNextToken.New("The specified NextToken is invalid.")
		}
		i, found := slices.BinarySearchFunc(items, string(after), func(item T, after string) int { return strings.Compare(key(item), after) })
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) <= size {
		return items, nil, nil
	}
	return items[:size], new(base64.RawURLEncoding.EncodeToString([]byte(key(items[size-1])))), nil
}

// list is a list that is present, even if it is empty.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// present is a text that is absent where it is empty.
func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
