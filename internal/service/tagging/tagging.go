// Package tagging is the AWS Resource Groups Tagging API: all that has tags in one
// list, whichever service it belongs to. It keeps nothing and knows no service:
// each comes in as a Source, and what a source does for a caller it does with that
// caller's permissions.
package tagging

import (
	"context"
	"maps"
	"slices"
	"time"

	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

var _ taggingapi.Handler = (*Service)(nil)

// Source is a service with resources that have tags, which it knows by their ARNs.
type Source interface {
	// Tagged are the resources that this API lists, and their tags. Those without
	// tags may be among them.
	Tagged(ctx context.Context) (map[string]map[string]string, error)
	// Tag and Untag change a resource as whom the context says: they fail if that
	// caller may not do so in the resource's own service. Their errors are
	// *api.Error, as the service's clients get them.
	Tag(ctx context.Context, arn string, tags map[string]string) error
	Untag(ctx context.Context, arn string, keys []string) error
}

// Config says what there is to tag.
type Config struct {
	Account string // twelve digits
	Region  string
	Sources map[string]Source // by the services' names in ARNs
	Now     func() time.Time  // nil is time.Now
}

// Service is the tagging API of one region, and of the one for what is global.
type Service struct {
	account, region string
	sources         map[string]Source
	now             func() time.Time
}

// New makes the service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{account: c.Account, region: c.Region, sources: c.Sources, now: c.Now}
}

// Authorization returns what a call must be allowed to do in this service, whose
// actions have no resources. What it must be allowed in the services of the
// resources that it tags is asked there, for each: one that is refused does not
// keep the others from being tagged.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonresourcegrouptaggingapi.html
func (s *Service) Authorization(_ context.Context, operation string, input any) ([]policy.Request, error) {
	r := policy.Request{Action: "tag:" + operation}
	switch in := input.(type) {
	case *taggingapi.TagResourcesInput:
		r.Context = map[string][]string{}
		for _, k := range slices.Sorted(maps.Keys(in.Tags)) {
			policy.AddRequestTag(r.Context, k, in.Tags[k])
		}
	case *taggingapi.UntagResourcesInput:
		r.Context = map[string][]string{"aws:tagkeys": in.TagKeys}
	}
	return []policy.Request{r}, nil
}

// globalRegion is where the API has what belongs to no region.
const globalRegion = "us-east-1"

// asked is the region that a call is for.
func (s *Service) asked(ctx context.Context) string {
	if region := caller.From(ctx).Region; region != "" {
		return region
	}
	return s.region
}

// invalid is the error for nearly all that can be wrong with a request.
func invalid(format string, args ...any) error {
	return taggingapi.InvalidParameterException.New(format, args...)
}
