package iam

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// question is what a call must be allowed to do, while it is put together.
type question struct {
	resources []string
	context   map[string][]string // keys in lower case
	also      []policy.Request    // other actions
}

// target is an entity that an operation is about: one that exists, or the ARN it would
// have.
type target struct {
	arn      string
	tags     map[string]string
	boundary string
}

func (q *question) on(t target) {
	q.resources = append(q.resources, t.arn)
	for key, value := range t.tags {
		policy.AddResourceTag(q.keys(), key, value, "iam")
	}
	if t.boundary != "" {
		q.set("iam:permissionsboundary", t.boundary)
	}
}

func (q *question) set(key string, values ...string) { q.keys()[key] = values }

func (q *question) keys() map[string][]string {
	if q.context == nil {
		q.context = map[string][]string{}
	}
	return q.context
}

// special are the operations whose resources are not simply what an identifying member
// names.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
var special = map[string]func(*Service, context.Context, any, *question) error{
	"AddRoleToInstanceProfile": func(s *Service, ctx context.Context, in any, q *question) error {
		t, err := s.roles.target(ctx, member(in, "RoleName"))
		q.also = append(q.also, policy.Request{
			Action: "iam:PassRole", Resources: []string{t.arn},
			Context: map[string][]string{"iam:passedtoservice": {"ec2.amazonaws.com"}},
		})
		if err != nil {
			return err
		}
		p, err := s.profiles.target(ctx, member(in, "InstanceProfileName"))
		q.on(p)
		return err
	},
	"CreateUser":            created("UserName", "user"),
	"CreateGroup":           created("GroupName", "group"),
	"CreateRole":            created("RoleName", "role"),
	"CreateInstanceProfile": created("InstanceProfileName", "instance-profile"),
	"CreatePolicy":          created("PolicyName", "policy"),
	"CreateOpenIDConnectProvider": func(s *Service, _ context.Context, in any, q *question) error {
		name, err := issuer(member(in, "Url"))
		if err != nil {
			name = "*" // the handler says what is wrong with it
		}
		q.resources = []string{s.scope.Global("iam", "oidc-provider/%s", name)}
		return nil
	},
	"CreateServiceLinkedRole": func(s *Service, _ context.Context, in any, q *question) error {
		service := member(in, "AWSServiceName")
		name := linked[service].name
		if name == "" {
			name = "*"
		} else if suffix := member(in, "CustomSuffix"); suffix != "" {
			name += "_" + suffix
		}
		q.resources = []string{s.arnOf("role", "/aws-service-role/"+service+"/", name)}
		q.set("iam:awsservicename", service)
		return nil
	},
	"GetAccessKeyLastUsed": func(s *Service, ctx context.Context, in any, q *question) error {
		owner, err := s.Key(ctx, member(in, "AccessKeyId"))
		if errors.Is(err, store.ErrNotFound) {
			return nothing(s, ctx, in, q) // the handler says that it is not for the caller to know
		}
		q.resources = []string{owner.Principal.ARN}
		return err
	},
	"ListUsers":                        under("user"),
	"ListGroups":                       under("group"),
	"ListRoles":                        under("role"),
	"ListInstanceProfiles":             under("instance-profile"),
	"ListPolicies":                     nothing,
	"ListOpenIDConnectProviders":       under("oidc-provider"),
	"ListAccountAliases":               nothing,
	"CreateAccountAlias":               nothing,
	"DeleteAccountAlias":               nothing,
	"GetAccountSummary":                nothing,
	"GetAccountAuthorizationDetails":   nothing,
	"SimulateCustomPolicy":             nothing,
	"GetContextKeysForCustomPolicy":    nothing,
	"SimulatePrincipalPolicy":          named("PolicySourceArn"),
	"GetContextKeysForPrincipalPolicy": named("PolicySourceArn"),
	"UpdateUser": func(s *Service, ctx context.Context, in any, q *question) error {
		return renamed(ctx, s.users, member(in, "UserName"), member(in, "NewUserName"), member(in, "NewPath"), q)
	},
	"UpdateGroup": func(s *Service, ctx context.Context, in any, q *question) error {
		return renamed(ctx, s.groups, member(in, "GroupName"), member(in, "NewGroupName"), member(in, "NewPath"), q)
	},
}

// nothing is for operations without a resource.
var nothing = func(_ *Service, _ context.Context, _ any, q *question) error {
	q.resources = []string{"*"}
	return nil
}

// named is for operations that give the ARN.
func named(field string) func(*Service, context.Context, any, *question) error {
	return func(_ *Service, _ context.Context, in any, q *question) error {
		q.resources = []string{member(in, field)}
		return nil
	}
}

// created is for what does not exist yet.
func created(field, what string) func(*Service, context.Context, any, *question) error {
	return func(s *Service, _ context.Context, in any, q *question) error {
		path := member(in, "Path")
		if path == "" {
			path = "/"
		}
		q.resources = []string{s.arnOf(what, path, member(in, field))}
		return nil
	}
}

// under is for lists of what lies below a path.
func under(what string) func(*Service, context.Context, any, *question) error {
	return func(s *Service, _ context.Context, in any, q *question) error {
		path := member(in, "PathPrefix")
		if path == "" {
			path = "/"
		}
		q.resources = []string{s.scope.Global("iam", "%s%s", what, path)}
		return nil
	}
}

// renamed needs the permission for both names.
func renamed[T any](ctx context.Context, k *kind[T], from, to, path string, q *question) error {
	t, err := k.target(ctx, from)
	if err != nil {
		return err
	}
	q.on(t)
	if to == "" && path == "" {
		return nil
	}
	r := Resource{Name: from, Path: "/"}
	if it, err := k.find(ctx, from); err != nil {
		return err
	} else if it != nil {
		r = *k.resource(&it.Value)
	}
	if arn := k.s.arnOf(k.what, or(&path, r.Path), or(&to, r.Name)); arn != t.arn {
		q.resources = append(q.resources, arn)
	}
	return nil
}

// target finds an entity by name.
func (k *kind[T]) target(ctx context.Context, name string) (target, error) {
	it, err := k.find(ctx, name)
	if err != nil || it == nil {
		return target{arn: k.s.arnOf(k.what, "/", name)}, err
	}
	r := k.resource(&it.Value)
	t := target{arn: r.ARN, tags: r.Tags}
	if k.holder != nil {
		t.boundary = k.holder(&it.Value).Boundary
	}
	return t, nil
}

// Authorization says what a call must be allowed to do: iam: and its name on what its
// input identifies, and what special says. The principals are the caller's to fill in.
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	q := &question{}
	find := special[operation]
	if find == nil {
		find = (*Service).identified
	}
	if err := find(s, ctx, input, q); err != nil {
		return nil, fmt.Errorf("authorizing %s: %w", operation, err)
	}
	s.requested(operation, input, q)
	requests := []policy.Request{{Action: "iam:" + operation, Resources: q.resources, Context: q.context}}
	if len(tagsOf(input)) > 0 && strings.HasPrefix(operation, "Create") {
		tag := "iam:Tag" + strings.TrimPrefix(operation, "Create")
		requests = append(requests, policy.Request{Action: tag, Resources: q.resources, Context: q.context})
	}
	return append(requests, q.also...), nil
}

// identified is the entity that the input's identifying member names, or the caller.
func (s *Service) identified(ctx context.Context, in any, q *question) (err error) {
	var t target
	switch name := member(in, "InstanceProfileName"); {
	case name != "":
		t, err = s.profiles.target(ctx, name)
	case has(in, "GroupName"): // before users: AddUserToGroup
		t, err = s.groups.target(ctx, member(in, "GroupName"))
	case has(in, "RoleName"):
		t, err = s.roles.target(ctx, member(in, "RoleName"))
	case has(in, "UserName"):
		t, err = s.userTarget(ctx, member(in, "UserName"))
	case has(in, "OpenIDConnectProviderArn"):
		t = target{arn: member(in, "OpenIDConnectProviderArn")}
		if name, parseErr := s.providerName(t.arn); parseErr == nil {
			var found *store.Item[OIDCProvider]
			if found, err = s.providers.find(ctx, name); found != nil {
				t.tags = found.Value.Tags
			}
		}
	case has(in, "PolicyArn"):
		t = target{arn: member(in, "PolicyArn")}
		var found *store.Item[Policy]
		if found, err = s.policies.find(ctx, last(t.arn)); found != nil && found.Value.ARN == t.arn {
			t.tags = found.Value.Tags
		}
	default:
		return nothing(s, ctx, in, q)
	}
	q.on(t)
	return err
}

// userTarget is the user of a name, or else the caller.
func (s *Service) userTarget(ctx context.Context, name string) (target, error) {
	if name != "" {
		return s.users.target(ctx, name)
	}
	switch p := caller.From(ctx).Principal; p.Type {
	case policy.User:
		return s.users.target(ctx, p.UserName)
	default:
		return target{arn: p.ARN}, nil
	}
}

// requested adds what the request carries to the context.
func (s *Service) requested(operation string, in any, q *question) {
	for _, t := range tagsOf(in) {
		policy.AddRequestTag(q.keys(), api.Val(t.Key), api.Val(t.Value))
	}
	if un, ok := fieldOf(in, "TagKeys").([]string); ok && len(un) > 0 {
		q.set("aws:tagkeys", un...)
	}
	if strings.HasPrefix(operation, "Attach") || strings.HasPrefix(operation, "Detach") {
		q.set("iam:policyarn", member(in, "PolicyArn"))
	}
	if b := member(in, "PermissionsBoundary"); b != "" {
		q.set("iam:permissionsboundary", b)
	}
}

// fieldOf is a member of an input structure; nil if it has none of the name.
func fieldOf(in any, field string) any {
	if f := reflect.Indirect(reflect.ValueOf(in)).FieldByName(field); f.IsValid() {
		return f.Interface()
	}
	return nil
}

func has(in any, field string) bool { return fieldOf(in, field) != nil }

// member is a string member; "" if it is absent.
func member(in any, field string) string {
	p, _ := fieldOf(in, field).(*string)
	return api.Val(p)
}

func tagsOf(in any) []iamapi.Tag {
	tags, _ := fieldOf(in, "Tags").([]iamapi.Tag)
	return tags
}
