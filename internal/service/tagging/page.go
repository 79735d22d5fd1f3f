package tagging

import (
	"encoding/base64"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
)

// tokenLife is how long a PaginationToken may be used.
const tokenLife = 15 * time.Minute

// page is the part of items that a call asks for, sorted, and the token of the
// next part, which is empty and not absent after the last, as AWS answers. fits
// says how many of the rest go on a page. A token says after which key to go on,
// so it holds while items come and go.
func page[T any](s *Service, operation string, items []T, key func(T) string, token *string, fits func(rest []T) int) ([]T, *string, error) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if api.Val(token) != "" {
		last, issued, ok := readToken(operation, *token)
		if !ok {
			return nil, nil, invalid("The PaginationToken is not valid")
		}
		if age := s.now().Sub(issued); age < 0 || age > tokenLife {
			return nil, nil, taggingapi.PaginationTokenExpiredException.New("The PaginationToken has expired: it is valid for %d minutes", int(tokenLife.Minutes()))
		}
		items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > last }):]
	}
	n := fits(items)
	if n == len(items) {
		return items, new(""), nil
	}
	return items[:n], new(newToken(operation, key(items[n-1]), s.now())), nil
}

// newToken is what continues an operation's list after a key.
func newToken(operation, last string, now time.Time) string {
	return base64.RawURLEncoding.EncodeToString([]byte(operation + " " + strconv.FormatInt(now.Unix(), 10) + " " + last))
}

// readToken reads what newToken made for the operation.
func readToken(operation, token string) (last string, issued time.Time, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", time.Time{}, false
	}
	rest, ours := strings.CutPrefix(string(text), operation+" ")
	stamp, last, whole := strings.Cut(rest, " ")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	return last, time.Unix(seconds, 0), ours && whole && err == nil
}
