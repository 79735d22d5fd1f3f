package ecr

import (
	"context"
	"errors"
	"reflect"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// Authorization returns what a call must be allowed to do: one request for each
// action and repository. The principal is for the caller to fill in.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	about := s.aboutRepository
	if f, ok := exceptions[operation]; ok {
		about = func(input any) []subject { return f(s, input) }
	}
	var requests []policy.Request
	for _, subject := range about(input) {
		r := policy.Request{
			Action: "ecr:" + operation, Resources: []string{subject.arn},
			ResourceAccount: subject.account, Context: subject.context,
		}
		if err := s.addResourceTags(ctx, &r, subject); err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	return requests, nil
}

// subject is what a request is about.
type subject struct {
	arn, account string
	repository   string // "" if it is not one that may have tags
	context      map[string][]string
}

// exceptions are the operations that are not about the repository that the
// members RegistryId and RepositoryName name.
var exceptions = map[string]func(*Service, any) []subject{
	"GetAuthorizationToken": func(s *Service, _ any) []subject {
		return []subject{{arn: "*", account: s.scope.Account}}
	},
	"CreateRepository": func(s *Service, input any) []subject {
		in := input.(*ecrapi.CreateRepositoryInput)
		return []subject{s.about(s.registryID(in.RegistryId), api.Val(in.RepositoryName)).asking(in.Tags)}
	},
	"DescribeRepositories": func(s *Service, input any) []subject {
		in := input.(*ecrapi.DescribeRepositoriesInput)
		account := s.registryID(in.RegistryId)
		if len(in.RepositoryNames) == 0 {
			return []subject{{arn: arn.Scope{Account: account, Region: s.scope.Region}.Of("ecr", "repository/*"), account: account}}
		}
		var all []subject
		for _, name := range in.RepositoryNames {
			all = append(all, s.about(account, name))
		}
		return all
	},
	"TagResource": func(s *Service, input any) []subject {
		in := input.(*ecrapi.TagResourceInput)
		return []subject{s.aboutARN(in.ResourceArn).asking(in.Tags)}
	},
	"UntagResource": func(s *Service, input any) []subject {
		in := input.(*ecrapi.UntagResourceInput)
		about := s.aboutARN(in.ResourceArn)
		about.context = map[string][]string{"aws:tagkeys": in.TagKeys}
		return []subject{about}
	},
	"ListTagsForResource": func(s *Service, input any) []subject {
		return []subject{s.aboutARN(input.(*ecrapi.ListTagsForResourceInput).ResourceArn)}
	},
}

// aboutRepository reads the two members that nearly all requests have.
func (s *Service) aboutRepository(input any) []subject {
	in := reflect.ValueOf(input).Elem()
	registry, _ := in.FieldByName("RegistryId").Interface().(*string)
	name, _ := in.FieldByName("RepositoryName").Interface().(*string)
	return []subject{s.about(s.registryID(registry), api.Val(name))}
}

func (s *Service) about(account, name string) subject {
	about := subject{arn: arn.Scope{Account: account, Region: s.scope.Region}.Of("ecr", "repository/%s", name), account: account}
	if account == s.scope.Account {
		about.repository = name
	}
	return about
}

func (s *Service) aboutARN(resource *string) subject {
	registry, name, err := s.named(resource)
	if err != nil { // the handler says what is wrong
		return subject{arn: api.Val(resource), account: s.scope.Account}
	}
	return s.about(*registry, name)
}

// asking adds the tags that a request gives.
func (a subject) asking(tags []ecrapi.Tag) subject {
	if len(tags) == 0 {
		return a
	}
	a.context = map[string][]string{}
	for _, t := range tags {
		policy.AddRequestTag(a.context, api.Val(t.Key), api.Val(t.Value))
	}
	return a
}

// addResourceTags adds the tags that the repository has.
func (s *Service) addResourceTags(ctx context.Context, r *policy.Request, about subject) error {
	if about.repository == "" {
		return nil
	}
	it, err := s.Repositories.Get(ctx, about.repository)
	if errors.Is(err, store.ErrNotFound) {
		return nil // authorization comes before existence
	}
	if err != nil {
		return err
	}
	if r.Context == nil {
		r.Context = map[string][]string{}
	}
	for k, v := range it.Value.Tags {
		policy.AddResourceTag(r.Context, k, v, "ecr")
	}
	return nil
}
