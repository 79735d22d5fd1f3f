package iam

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/tarn-eks/tarn/internal/arn"
)

// What the tagging service asks.

// Tagged are the tags of all that has some, by ARN, but for users and roles: those
// the tagging API tags and does not list.
// https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html
func (s *Service) Tagged(ctx context.Context) (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, list := range []func(context.Context) (map[string]map[string]string, error){
		s.policies.tagged, s.profiles.tagged, s.providers.tagged,
	} {
		tagged, err := list(ctx)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, tagged)
	}
	return all, nil
}

func (k *kind[T]) tagged(ctx context.Context) (map[string]map[string]string, error) {
	values, err := k.list(ctx)
	all := map[string]map[string]string{}
	for i := range values {
		if r := k.resource(&values[i]); len(r.Tags) > 0 {
			all[r.ARN] = r.Tags
		}
	}
	return all, err
}

// TaggedName is what an ARN names: role and its name, for example. The kind is
// empty for what cannot be tagged. A path that is not the entity's own is an error,
// a name that nobody has is not: the call that tags it says so.
func (s *Service) TaggedName(ctx context.Context, name string) (what, entity string, err error) {
	a, err := arn.Parse(name)
	if err != nil {
		return "", "", err
	}
	what, path, _ := strings.Cut(a.Resource, "/")
	entity = path[strings.LastIndexByte(path, '/')+1:]
	switch what {
	case "user":
		err = s.users.isNamed(ctx, entity, name)
	case "role":
		err = s.roles.isNamed(ctx, entity, name)
	case "instance-profile":
		err = s.profiles.isNamed(ctx, entity, name)
	case "policy", "oidc-provider": // their calls take ARNs
	default:
		return "", "", nil
	}
	return what, entity, err
}

// isNamed is an error if there is one with the name, and another ARN.
func (k *kind[T]) isNamed(ctx context.Context, entity, name string) error {
	found, err := k.find(ctx, entity)
	if err != nil {
		return fmt.Errorf("looking for %s: %w", name, err)
	}
	if found != nil && k.resource(&found.Value).ARN != name {
		return k.notFound(entity)
	}
	return nil
}
