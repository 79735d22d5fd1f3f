package ec2

import (
	"errors"
	"net/http"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/store"
)

// bad is an error of the client's: EC2 answers all of them with 400.
func bad(code, format string, args ...any) error {
	return api.Errorf(http.StatusBadRequest, code, format, args...)
}

// dryRun ends a call that only asks whether it would be allowed: to be returned
// where it would begin to write.
func dryRun(flag *bool) error {
	if api.Val(flag) {
		return api.Errorf(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return nil
}

// missing says that a parameter is needed; name is as in EC2's documentation.
func missing(name string) error {
	return bad("MissingParameter", "The request must contain the parameter %s", name)
}

func invalid(name, value string) error {
	return bad("InvalidParameterValue", "Value (%s) for parameter %s is invalid.", value, name)
}

// orMissing turns the store's word for what does not exist into EC2's.
func orMissing(err error, code, format string, args ...any) error {
	if errors.Is(err, store.ErrNotFound) {
		return bad(code, format, args...)
	}
	return err
}

// exclusively makes one decision that rests on more than what it writes at a time,
// and makes it anew if somebody else changed what it writes.
func exclusively[O any](s *Service, decide func() (*O, error)) (*O, error) {
	s.allocating.Lock()
	defer s.allocating.Unlock()
	for {
		out, err := decide()
		if !errors.Is(err, store.ErrConflict) {
			return out, err
		}
	}
}
