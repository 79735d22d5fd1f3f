package iam

import (
	"cmp"
	"encoding/base64"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
)

// defaultPage is how many items a page has when the request does not say.
const defaultPage = 100

// page cuts the page out of items that begins behind marker. Items are in the order of
// key, which the marker carries, so that items may come and go between two pages.
func page[T any](items []T, key func(*T) string, marker *string, maxItems *int32) (part []T, truncated *bool, next *string, err error) {
	if marker != nil {
		after, err := base64.RawURLEncoding.DecodeString(*marker)
		if err != nil {
			return nil, nil, nil, invalid("Invalid Marker.")
		}
		n, found := slices.BinarySearchFunc(items, string(after), func(v T, k string) int { return cmp.Compare(key(&v), k) })
		if found {
			n++
		}
		items = items[n:]
	}
	limit := defaultPage
	if maxItems != nil {
		limit = int(api.Val(maxItems))
	}
	if len(items) > limit {
		next = new(base64.RawURLEncoding.EncodeToString([]byte(key(&items[limit-1]))))
		items = items[:limit]
	}
	if items == nil {
		items = []T{}
	}
	return items, new(next != nil), next, nil
}

// convert is items in the form of answers, never nil.
func convert[T, U any](items []T, f func(*T) U) []U {
	out := make([]U, len(items))
	for i := range items {
		out[i] = f(&items[i])
	}
	return out
}

func itself(s *string) string { return *s }
