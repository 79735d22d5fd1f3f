package tagging

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
	"github.com/tarn-eks/tarn/internal/arn"
)

const (
	maxChanged = 20 // resources in one call
	maxTags    = 50
	maxARN     = 1011
)

// TagResources adds tags to resources, or gives them other values. What cannot be
// tagged is in the answer, with the reason that its own service gives.
func (s *Service) TagResources(ctx context.Context, in *taggingapi.TagResourcesInput) (*taggingapi.TagResourcesOutput, error) {
	if n := len(in.Tags); n < 1 || n > maxTags {
		return nil, invalid("Tags must have 1 to %d items", maxTags)
	}
	for k, v := range in.Tags {
		if err := checkKey(k); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(v) > maxValue {
			return nil, invalid("The value of the tag %s can have at most %d characters", k, maxValue)
		}
	}
	failed, err := s.change(ctx, "TagResources", in.ResourceARNList, func(source Source, name string) error {
		return source.Tag(ctx, name, in.Tags)
	})
	return &taggingapi.TagResourcesOutput{FailedResourcesMap: failed}, err
}

// UntagResources removes tags by their keys. Those that are not there are no error.
func (s *Service) UntagResources(ctx context.Context, in *taggingapi.UntagResourcesInput) (*taggingapi.UntagResourcesOutput, error) {
	if n := len(in.TagKeys); n < 1 || n > maxTags {
		return nil, invalid("TagKeys must have 1 to %d items", maxTags)
	}
	for _, k := range in.TagKeys {
		if err := checkKey(k); err != nil {
			return nil, err
		}
	}
	failed, err := s.change(ctx, "UntagResources", in.ResourceARNList, func(source Source, name string) error {
		return source.Untag(ctx, name, in.TagKeys)
	})
	return &taggingapi.UntagResourcesOutput{FailedResourcesMap: failed}, err
}

func checkKey(key string) error {
	if n := utf8.RuneCountInString(key); n < 1 || n > maxKey {
		return invalid("A tag key must have 1 to %d characters", maxKey)
	}
	if strings.HasPrefix(strings.ToLower(key), "aws:") {
		return invalid("Tag keys starting with 'aws:' are reserved for system use")
	}
	return nil
}

// change does something to each of the resources, and returns what failed.
func (s *Service) change(ctx context.Context, operation string, names []string, do func(Source, string) error) (map[string]taggingapi.FailureInfo, error) {
	arns, err := s.parse(ctx, operation, names, maxChanged)
	if err != nil {
		return nil, err
	}
	for _, a := range arns {
		if a.Region == "" && s.asked(ctx) != globalRegion {
			return nil, invalid("%s is not a valid AmazonResourceName (ARN)", a) // here: AWS's words
		}
	}
	failed := map[string]taggingapi.FailureInfo{}
	for _, a := range arns {
		if err := s.changeOne(a, do); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			failed[a.String()] = failure(err)
		}
	}
	return failed, nil
}

func (s *Service) changeOne(a arn.ARN, do func(Source, string) error) error {
	source, ok := s.sources[a.Service]
	if !ok {
		return invalid("Unrecognized service or resource type for tagging")
	}
	if a.Account != s.account {
		return api.Errorf(http.StatusForbidden, "InvalidClientTokenId", "No account found for the given parameters")
	}
	return do(source, a.String())
}

// failure is an error of another service in the answer of this one.
func failure(err error) taggingapi.FailureInfo {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		e = taggingapi.InternalServiceException.New("The service of the resource could not be asked.")
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
		if e.Fault == api.Receiver {
			status = http.StatusInternalServerError
		}
	}
	return taggingapi.FailureInfo{
		StatusCode: new(int32(status)), ErrorCode: taggingapi.ErrorCode(cmp.Or(e.Shape, e.Code)), ErrorMessage: &e.Message,
	}
}

// parse reads the ARNs of a request, each once. One that is none, or of another
// region, fails the whole call.
func (s *Service) parse(ctx context.Context, operation string, names []string, most int) ([]arn.ARN, error) {
	if len(names) < 1 || len(names) > most {
		return nil, invalid("ResourceARNList must have 1 to %d items", most)
	}
	var all []arn.ARN
	for _, name := range names {
		a, err := arn.Parse(name)
		_, ours := s.sources[a.Service]
		switch {
		case err != nil, utf8.RuneCountInString(name) > maxARN, a.Partition != arn.Partition(s.region),
			ours && (a.Account == "" || !strings.ContainsAny(a.Resource, "/:")):
			return nil, invalid("%.1011s is not a valid AmazonResourceName (ARN)", name)
		case a.Region != "" && a.Region != s.asked(ctx):
			return nil, invalid("Region in the ARN %s does not match with the region in which %s API is invoked", name, operation)
		}
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all, nil
}
