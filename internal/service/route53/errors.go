package route53

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

// again runs change until nobody was faster. It must begin anew each time, with
// reading.
func again[T any](change func() (T, error)) (v T, err error) {
	for range 100 { // more would be no contention
		v, err = change()
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return v, err
		}
	}
	return v, route53api.PriorRequestNotComplete.New("The request was rejected because Route 53 was still processing a prior request.").Because(err)
}

func noZone(id string) error {
	return route53api.NoSuchHostedZone.New("No hosted zone found with ID: %s", id)
}

func noHealthCheck(id string) error {
	return route53api.NoSuchHealthCheck.New("A health check with id %s does not exist.", id)
}

func noDelegationSet(id string) error {
	return route53api.NoSuchDelegationSet.New("No delegation set found with ID: %s", id)
}

// notImplemented is for a part of an operation that Tarn does not have.
func notImplemented(what string) error {
	return api.Errorf(http.StatusNotImplemented, "NotImplemented", "Tarn does not implement %s of Route 53.", what)
}

func invalid(format string, args ...any) error { return route53api.InvalidInput.New(format, args...) }

// checks are the restrictions that Route 53's XML schema puts on values. Their
// errors are those of its parser.

func checkEnum[T ~string](value T, values ...T) error {
	if slices.Contains(values, value) {
		return nil
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return invalid("Invalid XML ; cvc-enumeration-valid: Value '%s' is not facet-valid with respect to enumeration '[%s]'. It must be a value from the enumeration.",
		value, strings.Join(names, ", "))
}

func checkLength(typ string, value *string, lo, hi int) error {
	if value == nil {
		return nil
	}
	switch n := utf8.RuneCountInString(*value); {
	case n < lo:
		return invalid("Invalid XML ; cvc-minLength-valid: Value '%s' with length = '%d' is not facet-valid with respect to minLength '%d' for type '%s'.", *value, n, lo, typ)
	case n > hi:
		return invalid("Invalid XML ; cvc-maxLength-valid: Value '%s' with length = '%d' is not facet-valid with respect to maxLength '%d' for type '%s'.", *value, n, hi, typ)
	}
	return nil
}

func checkRange[T int32 | int64](typ string, value *T, lo, hi T) error {
	switch {
	case value == nil:
		return nil
	case *value < lo:
		return invalid("Invalid XML ; cvc-minInclusive-valid: Value '%d' is not facet-valid with respect to minInclusive '%d' for type '%s'.", *value, lo, typ)
	case *value > hi:
		return invalid("Invalid XML ; cvc-maxInclusive-valid: Value '%d' is not facet-valid with respect to maxInclusive '%d' for type '%s'.", *value, hi, typ)
	}
	return nil
}

// notComplete is for a list without elements.
func notComplete(list, item string) error {
	return invalid(`Invalid XML ; cvc-complex-type.2.4.b: The content of element '%s' is not complete. One of '{"%s":%s}' is expected.`, list, route53api.Service.Namespace, item)
}

// pageSize is how many items a list has at most, of which AWS never sends more
// than limit.
func pageSize(maxItems *string, limit int) (int, error) {
	if maxItems == nil {
		return limit, nil
	}
	n, err := strconv.Atoi(*maxItems)
	if err != nil || n < 1 {
		return 0, invalid("The value '%s' of MaxItems is not a positive number", *maxItems)
	}
	return min(n, limit), nil
}

// plainID takes an id from how the API writes it: /hostedzone/Z1.
func plainID(kind string, id *string) string {
	return strings.TrimPrefix(strings.TrimPrefix(api.Val(id), "/"), kind+"/")
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// orNull writes what may be absent as AWS's messages do.
func orNull(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// message turns a problem of a name into one of the API's errors.
func message(of api.ErrorType, err error) error { return of.New("%s", fmt.Sprint(err)) }
