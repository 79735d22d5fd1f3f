package ec2

import (
	"encoding/base64"
	"slices"
	"sort"
	"strings"
)

// tokenMark begins what a NextToken holds, so that other text is recognised.
const tokenMark = "after "

// page is the part of items that a call asks for, and the token for the next
// part, nil after the last. A token says after which key to go on, so it holds
// while items come and go. Fewer than lo results may not be asked for; more than
// hi are not returned. The result is sorted by key, unless all fits and nothing
// was asked for in parts.
func page[T any](items []T, key func(T) string, maxResults *int32, token *string, lo, hi int) ([]T, *string, error) {
	n := hi
	if maxResults != nil {
		n = int(*maxResults)
		if n < lo {
			return nil, nil, bad("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than %d.", n, lo)
		}
		n = min(n, hi)
	}
	if maxResults == nil && (token == nil || *token == "") {
		return items, nil, nil // without MaxResults EC2 returns everything
	}
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if token != nil && *token != "" {
		last, err := base64.URLEncoding.DecodeString(*token)
		after, ok := strings.CutPrefix(string(last), tokenMark)
		if err != nil || !ok {
			return nil, nil, bad("InvalidParameterValue", "Unable to parse pagination token")
		}
		items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > after }):]
	}
	if len(items) <= n {
		return items, nil, nil
	}
	next := base64.URLEncoding.EncodeToString([]byte(tokenMark + key(items[n-1])))
	return items[:n], &next, nil
}
