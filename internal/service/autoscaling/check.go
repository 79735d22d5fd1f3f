package autoscaling

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// The quotas that an account begins with, and what a group may have.
const (
	maxGroups         = 500
	maxConfigurations = 200
	maxPolicies       = 50
	maxScheduled      = 125
	maxHooks          = 50
	maxNewHooks       = 5
	maxTags           = 50
	maxSteps          = 20
	maxLoadBalancers  = 50
	maxBatch          = 50
	maxRefreshAlarms  = 10
	maxAttached       = 20 // instances that one call attaches or detaches
)

// checkName wants the name of a group, policy or anything else.
func checkName(member, name string) error {
	if err := length(member, name, 1, 255); err != nil {
		return err
	}
	if strings.Contains(name, ":") {
		return constraint(member, name, "satisfy regular expression pattern: [^:]+")
	}
	return nil
}

// tokenMark begins what a NextToken holds, so that other text is recognised.
const tokenMark = "after "

// page is the part of items, which are sorted by key, that a call asks for, and the
// token of the next part, nil after the last. A token says after which key to go
// on, so it holds while items come and go.
func page[T any](items []T, key func(T) string, size *int32, token *string, normal, most int) ([]T, *string, error) {
	n := normal
	if size != nil {
		n = int(*size)
		if err := between("maxRecords", n, 1, most); err != nil {
			return nil, nil, err
		}
	}
	if api.Val(token) != "" {
		last, err := parseToken(*token)
		if err != nil {
			return nil, nil, err
		}
		items = slices.DeleteFunc(slices.Clone(items), func(item T) bool { return key(item) <= last })
	}
	if len(items) <= n {
		return items, nil, nil
	}
	return items[:n], new(token64(key(items[n-1]))), nil
}

func token64(key string) string {
	return base64.URLEncoding.EncodeToString([]byte(tokenMark + key))
}

// parseToken returns the key that a token says.
func parseToken(token string) (string, error) {
	text, err := base64.URLEncoding.Strict().DecodeString(token)
	key, ok := strings.CutPrefix(string(text), tokenMark)
	if err != nil || !ok {
		return "", autoscalingapi.InvalidNextToken.New("The token '%s' is invalid.", token)
	}
	return key, nil
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

// missing are the strings of want that have does not have.
func missing(want, have []string) []string {
	return slices.DeleteFunc(unique(want), func(s string) bool { return slices.Contains(have, s) })
}

// fields are the parts of a list that is separated by commas.
func fields(list string) []string {
	var out []string
	for f := range strings.SplitSeq(list, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// number is a count as the API has it.
func number(n int) *int32 { return new(int32(n)) }

// pointer is nil for "", which the API leaves out.
func pointer(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
