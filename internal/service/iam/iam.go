// Package iam is AWS Identity and Access Management: users, access keys, groups,
// roles, instance profiles, managed and inline policies, and OIDC providers, in the
// region's store. It keeps who there is and which policies they have, and hands both to
// who decides. What a document means is package policy; signatures are package sigv4;
// sessions are service/sts. It touches no other service and no data plane.
//
// An entity's item holds its inline policies and the ARNs of what is attached to it, so
// that evaluating a principal reads few items; what spans items is one commit.
package iam

import (
	"log/slog"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// Config is what a Service needs.
type Config struct {
	// Client is of the region's store. The Service must be its only writer of the
	// collections whose names begin with "iam-": see Forget.
	Client *clientv3.Client
	// Account is the twelve-digit account id.
	Account string
	// Region decides the partition of ARNs.
	Region string
	// Logger gets what has no caller to go to. Nil is silence.
	Logger *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Service is IAM of one account.
type Service struct {
	client *clientv3.Client
	scope  arn.Scope
	log    *slog.Logger
	now    func() time.Time

	users     *kind[User]
	groups    *kind[Group]
	roles     *kind[Role]
	profiles  *kind[InstanceProfile]
	policies  *kind[Policy]
	providers *kind[OIDCProvider]
	versions  *store.Collection[Version]
	keys      *store.Collection[AccessKey]
	account   *store.Collection[Account]

	// epoch counts the writes; what the memos hold is valid in its epoch only.
	epoch     atomic.Uint64
	memo      memo[principalKey, principalPolicies]
	keyMemo   memo[string, KeyOwner]
	tagMemo   memo[principalKey, map[string]string]
	documents documents
	used      lastUsed
}

var _ iamapi.Handler = (*Service)(nil)

// New makes the service. What it keeps of the use of keys and roles is written by Run.
func New(cfg Config) *Service {
	s := &Service{
		client:   cfg.Client,
		scope:    arn.Scope{Account: cfg.Account, Region: cfg.Region},
		log:      cfg.Logger,
		now:      cfg.Now,
		versions: store.NewCollection[Version](cfg.Client, "iam-policy-versions"),
		keys:     store.NewCollection[AccessKey](cfg.Client, "iam-access-keys"),
		account:  store.NewCollection[Account](cfg.Client, "iam-account"),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.used.items = store.NewCollection[Use](cfg.Client, "iam-last-used")
	s.users = &kind[User]{
		s: s, items: store.NewCollection[User](cfg.Client, "iam-users"), what: "user", title: "User", prefix: "AIDA",
		resource: func(u *User) *Resource { return &u.Resource }, holder: func(u *User) *Holder { return &u.Holder },
		quota: quota{"UsersPerAccount", 5000}, inlineBytes: 2048, attachable: quota{"PoliciesPerUser", 10},
	}
	s.groups = &kind[Group]{
		s: s, items: store.NewCollection[Group](cfg.Client, "iam-groups"), what: "group", title: "Group", prefix: "AGPA",
		resource: func(g *Group) *Resource { return &g.Resource }, holder: func(g *Group) *Holder { return &g.Holder },
		quota: quota{"GroupsPerAccount", 300}, inlineBytes: 5120, attachable: quota{"PoliciesPerGroup", 10},
	}
	s.roles = &kind[Role]{
		s: s, items: store.NewCollection[Role](cfg.Client, "iam-roles"), what: "role", title: "Role", prefix: "AROA",
		resource: func(r *Role) *Resource { return &r.Resource }, holder: func(r *Role) *Holder { return &r.Holder },
		quota: quota{"RolesPerAccount", 1000}, inlineBytes: 10240, attachable: quota{"PoliciesPerRole", 10},
		guard: func(r *Role) error { return r.modifiable() },
	}
	s.profiles = &kind[InstanceProfile]{
		s: s, items: store.NewCollection[InstanceProfile](cfg.Client, "iam-instance-profiles"),
		what: "instance-profile", title: "Instance Profile", prefix: "AIPA",
		resource: func(p *InstanceProfile) *Resource { return &p.Resource },
		quota:    quota{"InstanceProfilesPerAccount", 1000},
		absent: func(name string) error {
			return iamapi.NoSuchEntityException.New("Instance Profile %s cannot be found.", name)
		},
	}
	s.policies = &kind[Policy]{
		s: s, items: store.NewCollection[Policy](cfg.Client, "iam-policies"), what: "policy", title: "Policy", prefix: "ANPA",
		resource: func(p *Policy) *Resource { return &p.Resource },
		quota:    quota{"PoliciesPerAccount", 1500}, distinctCase: true,
	}
	s.providers = &kind[OIDCProvider]{
		s: s, items: store.NewCollection[OIDCProvider](cfg.Client, "iam-oidc-providers"),
		what: "oidc-provider", title: "OpenIDConnect Provider",
		resource: func(p *OIDCProvider) *Resource { return &p.Resource },
		quota:    quota{"OpenIdConnectProvidersPerAccount", 100}, distinctCase: true,
		absent: func(name string) error {
			return iamapi.NoSuchEntityException.New("OpenIDConnect Provider not found for arn %s", s.scope.Global("iam", "oidc-provider/%s", name))
		},
	}
	return s
}

// Forget drops what is remembered of the store. Whoever writes to IAM's collections
// other than through the Service (a reset, say) must call it afterwards.
func (s *Service) Forget() {
	s.used.forget()
	s.epoch.Add(1)
}

// time is now as IAM's dates have it, in whole seconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Second) }

// arnOf names an entity: path begins and ends with a slash.
func (s *Service) arnOf(what, path, name string) string {
	return s.scope.Global("iam", "%s%s%s", what, path, name)
}

// ptr is nil for the empty string: an absent member.
func ptr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// or is the string at p, or another when there is none.
func or(p *string, other string) string {
	if v := api.Val(p); v != "" {
		return v
	}
	return other
}
