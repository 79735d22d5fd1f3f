package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// memo remembers values that were read from the store, as long as nobody writes. Values
// carry the epoch that was current before they were read.
type memo[K comparable, V any] struct {
	mu     sync.RWMutex // guards epoch and values
	epoch  uint64
	values map[K]V
}

// get returns the value for k, remembered or read.
func (m *memo[K, V]) get(s *Service, k K, read func() (V, error)) (V, error) {
	now := s.epoch.Load()
	m.mu.RLock()
	v, ok := m.values[k]
	ok = ok && m.epoch == now
	m.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch < now || m.values == nil || len(m.values) >= maxDocuments {
		m.epoch, m.values = now, map[K]V{}
	}
	if m.epoch == now {
		m.values[k] = v
	}
	return v, nil
}

// KeyOwner is a long-term access key and who it belongs to.
type KeyOwner struct {
	ID, Secret string
	Active     bool
	Principal  policy.Principal // a User, or Root
}

// Key finds a long-term access key. The error for a key that does not exist wraps
// store.ErrNotFound. Inactive keys are returned: they are to be refused.
func (s *Service) Key(ctx context.Context, id string) (KeyOwner, error) {
	return s.keyMemo.get(s, id, func() (KeyOwner, error) {
		if id == "" {
			return KeyOwner{}, fmt.Errorf("access key: %w", store.ErrNotFound)
		}
		k, err := s.keys.Get(ctx, id)
		if err != nil {
			return KeyOwner{}, fmt.Errorf("access key %s: %w", id, err)
		}
		owner := KeyOwner{ID: k.Value.ID, Secret: k.Value.Secret, Active: k.Value.Active, Principal: policy.Principal{
			Type: policy.Root, ARN: s.scope.Global("iam", "root"), Account: s.scope.Account, UserID: s.scope.Account,
		}}
		if k.Value.User == "" {
			return owner, nil
		}
		u, err := s.users.items.Get(ctx, k.Value.User)
		if err != nil {
			return KeyOwner{}, fmt.Errorf("owner of access key %s: %w", id, err)
		}
		owner.Principal = policy.Principal{
			Type: policy.User, ARN: u.Value.ARN, Account: s.scope.Account, UserName: u.Value.Name, UserID: u.Value.ID,
		}
		return owner, nil
	})
}

type principalKey struct {
	kind      policy.PrincipalType
	name, arn string // arn of the user or role, where no id tells
	id        string // AIDA…, AROA…; may be empty
}

type principalPolicies = *policy.Policies

// Policies are what the principal has: its identity policies, those of its groups, and
// its permissions boundary. The result is shared: it must not be changed. Sources are
// named as IAM's simulator does it: managed policies by their names, inline ones as
// user_NAME_POLICY, group_… and role_….
//
// Root and who is no user or role have none; package policy knows what root may. A user
// or role that does not exist (any more), or is another one of the same name, is an error
// that wraps store.ErrNotFound.
func (s *Service) Policies(ctx context.Context, p policy.Principal) (*policy.Policies, error) {
	k := principalKey{kind: p.Type}
	switch p.Type {
	case policy.User:
		k = userKey(p)
	case policy.AssumedRole:
		k.name = last(p.RoleARN)
		if k.id, _, _ = strings.Cut(p.UserID, ":"); k.id == "" {
			k.arn = p.RoleARN
		}
	default:
		return &policy.Policies{}, nil
	}
	return s.memo.get(s, k, func() (*policy.Policies, error) {
		found, err := s.readPolicies(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("policies of %s: %w", p.ARN, err)
		}
		return found, nil
	})
}

func userKey(p policy.Principal) principalKey {
	k := principalKey{kind: p.Type, name: p.UserName, id: p.UserID}
	if k.id == "" {
		k.arn = p.ARN
	}
	return k
}

// user reads the user of a key; the error for one of whom only the name is left is
// store.ErrNotFound.
func (s *Service) user(ctx context.Context, k principalKey) (*User, error) {
	if k.name == "" {
		return nil, store.ErrNotFound
	}
	u, err := s.users.items.Get(ctx, key(k.name))
	if err != nil {
		return nil, err
	}
	if k.id != "" && k.id != u.Value.ID || k.arn != "" && k.arn != u.Value.ARN {
		return nil, store.ErrNotFound
	}
	return &u.Value, nil
}

// UserTags are the tags of a user. They are shared: they must not be changed. The error
// for a user who does not exist (any more) wraps store.ErrNotFound.
func (s *Service) UserTags(ctx context.Context, p policy.Principal) (map[string]string, error) {
	k := userKey(p)
	return s.tagMemo.get(s, k, func() (map[string]string, error) {
		u, err := s.user(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("tags of %s: %w", p.ARN, err)
		}
		return u.Tags, nil
	})
}

func (s *Service) readPolicies(ctx context.Context, k principalKey) (*policy.Policies, error) {
	if k.kind == policy.AssumedRole {
		if k.name == "" {
			return nil, store.ErrNotFound
		}
		r, err := s.roles.items.Get(ctx, key(k.name))
		if err != nil {
			return nil, err
		}
		if k.id != "" && k.id != r.Value.ID || k.arn != "" && k.arn != r.Value.ARN {
			return nil, store.ErrNotFound
		}
		return s.policiesOf(ctx, "role", r.Value.Name, &r.Value.Holder)
	}
	u, err := s.user(ctx, k)
	if err != nil {
		return nil, err
	}
	out, err := s.policiesOf(ctx, "user", u.Name, &u.Holder)
	if err != nil {
		return nil, err
	}
	groups, err := s.groupsOf(ctx, u)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		more, err := s.policiesOf(ctx, "group", g.Name, &g.Holder)
		if err != nil {
			return nil, err
		}
		out.Identity = append(out.Identity, more.Identity...)
	}
	return out, nil
}

// policiesOf are the policies that a user, group or role has itself.
func (s *Service) policiesOf(ctx context.Context, what, name string, h *Holder) (*policy.Policies, error) {
	out := &policy.Policies{}
	for _, in := range h.Inline {
		p, err := s.documents.parse(policy.IdentityPolicy, in.Document)
		if err != nil {
			return nil, err
		}
		out.Identity = append(out.Identity, policy.Source{ID: what + "_" + name + "_" + in.Name, Policy: p})
	}
	for _, a := range h.Attached {
		p, err := s.managed(ctx, a)
		if errors.Is(err, store.ErrNotFound) {
			continue // detached and deleted since the holder was read
		}
		if err != nil {
			return nil, err
		}
		out.Identity = append(out.Identity, p)
	}
	if h.Boundary == "" {
		return out, nil
	}
	// A boundary that is gone must not let everything through.
	var err error
	out.Boundary, err = s.managed(ctx, h.Boundary)
	return out, err
}

// managed finds a managed policy by its ARN.
func (s *Service) managed(ctx context.Context, name string) (policy.Source, error) {
	if m := s.awsManaged(name); m != nil {
		return policy.Source{ID: m.Name, Policy: m.Policy}, nil
	}
	it, err := s.policies.items.Get(ctx, key(last(name)))
	if err == nil && it.Value.ARN != name {
		err = store.ErrNotFound
	}
	if err != nil {
		return policy.Source{}, fmt.Errorf("policy %s: %w", name, err)
	}
	p, err := s.documents.parse(policy.IdentityPolicy, it.Value.Document)
	return policy.Source{ID: it.Value.Name, Policy: p}, err
}

// ManagedPolicy finds a managed policy, AWS's or a customer's, by its ARN; the error for
// none wraps store.ErrNotFound.
func (s *Service) ManagedPolicy(ctx context.Context, name string) (*policy.Policy, error) {
	source, err := s.managed(ctx, name)
	return source.Policy, err
}

// name is the name in a name or ARN of what (role, instance-profile). An ARN must be
// exactly that of the entity that is found: arn is empty for a mere name.
func (s *Service) name(what, nameOrARN string) (name, full string, err error) {
	if !strings.HasPrefix(nameOrARN, "arn:") {
		return nameOrARN, "", nil
	}
	a, err := arn.Parse(nameOrARN)
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, what+"/") {
		return "", "", fmt.Errorf("%s is the ARN of no %s: %w", nameOrARN, what, store.ErrNotFound)
	}
	return last(a.Resource), nameOrARN, nil
}

// lookup reads one by its name or ARN (store.ErrNotFound).
func (k *kind[T]) lookup(ctx context.Context, nameOrARN string) (v T, err error) {
	name, full, err := k.s.name(k.what, nameOrARN)
	if err != nil {
		return v, err
	}
	it, err := k.find(ctx, name)
	if err != nil {
		return v, err
	}
	if it == nil || full != "" && k.resource(&it.Value).ARN != full {
		return v, fmt.Errorf("%s %s: %w", k.what, nameOrARN, store.ErrNotFound)
	}
	return it.Value, nil
}

// Role reads a role by its name or ARN; the error for none wraps store.ErrNotFound.
func (s *Service) Role(ctx context.Context, nameOrARN string) (Role, error) {
	return s.roles.lookup(ctx, nameOrARN)
}

// TrustPolicy is a role's, parsed.
func (s *Service) TrustPolicy(r Role) (*policy.Policy, error) {
	return s.documents.parse(policy.TrustPolicy, r.Trust)
}

// Profile is an instance profile with the role that it holds.
type Profile struct {
	InstanceProfile
	RoleARN string // empty if it holds none
}

// InstanceProfile reads an instance profile by its name or ARN; the error for none wraps
// store.ErrNotFound.
func (s *Service) InstanceProfile(ctx context.Context, nameOrARN string) (Profile, error) {
	p, err := s.profiles.lookup(ctx, nameOrARN)
	if err != nil {
		return Profile{}, err
	}
	role, err := s.roles.find(ctx, p.Role)
	if err != nil || role == nil {
		return Profile{InstanceProfile: p}, err
	}
	return Profile{p, role.Value.ARN}, nil
}

// OIDCProvider reads the provider of an issuer's URL (https://host/path), as it stands in
// a token; the error for none wraps store.ErrNotFound.
func (s *Service) OIDCProvider(ctx context.Context, issuerURL string) (OIDCProvider, error) {
	name, err := issuer(issuerURL)
	if err != nil {
		return OIDCProvider{}, fmt.Errorf("issuer %s: %w", issuerURL, store.ErrNotFound)
	}
	it, err := s.providers.find(ctx, name)
	if err == nil && it == nil {
		err = store.ErrNotFound
	}
	if err != nil {
		return OIDCProvider{}, fmt.Errorf("issuer %s: %w", issuerURL, err)
	}
	return it.Value, nil
}

// PrincipalExists tells whether an ARN is that of a user, a role, a role's session or the
// root of this account: there are no others.
func (s *Service) PrincipalExists(ctx context.Context, name string) (bool, error) {
	a, err := arn.Parse(name)
	if err != nil || a.Account != s.scope.Account || a.Partition != arn.Partition(s.scope.Region) {
		return false, nil
	}
	what, rest, _ := strings.Cut(a.Resource, "/")
	if a.Service == "iam" && a.Resource == "root" {
		return true, nil
	}
	switch a.Service + " " + what {
	case "iam user":
		it, err := s.users.find(ctx, last(rest))
		return it != nil && it.Value.ARN == name, err
	case "iam role":
		it, err := s.roles.find(ctx, last(rest))
		return it != nil && it.Value.ARN == name, err
	case "sts assumed-role":
		role, _, _ := strings.Cut(rest, "/")
		it, err := s.roles.find(ctx, role)
		return it != nil && it.Value.Name == role, err
	}
	return what == "federated-user", nil
}
