package iam

import (
	"context"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// subject is whose credentials or description an operation is about.
type subject struct {
	user string // a name
	root bool
}

// subject is the user that a request names, or else who makes it.
func (s *Service) subject(ctx context.Context, name *string) (subject, error) {
	if name != nil {
		return subject{user: *name}, nil
	}
	switch p := caller.From(ctx).Principal; p.Type {
	case policy.User:
		return subject{user: p.UserName}, nil
	case policy.Root:
		return subject{root: true}, nil
	}
	return subject{}, invalid("Must specify userName when calling with non-User credentials")
}

// CreateUser makes a user, without keys and permissions.
func (s *Service) CreateUser(ctx context.Context, in *iamapi.CreateUserInput) (*iamapi.CreateUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, err := s.users.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	u := User{
		Resource: Resource{Name: *in.UserName, Path: or(in.Path, "/"), Tags: tags},
		Holder:   Holder{Boundary: api.Val(in.PermissionsBoundary)},
	}
	exists := iamapi.EntityAlreadyExistsException.New("User with name %s already exists.", u.Name)
	err = s.users.create(ctx, &u, exists, func() ([]store.Op, error) { return s.countBoundary(ctx, "", u.Boundary) })
	if err != nil {
		return nil, err
	}
	out := u.api()
	out.Tags = in.Tags
	return &iamapi.CreateUserOutput{User: &out}, nil
}

// GetUser describes a user, or the caller.
func (s *Service) GetUser(ctx context.Context, in *iamapi.GetUserInput) (*iamapi.GetUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	who, err := s.subject(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	if who.root {
		return s.rootUser(ctx)
	}
	it, err := s.users.get(ctx, who.user)
	if err != nil {
		return nil, err
	}
	out := it.Value.api()
	out.Tags = toTags(it.Value.Tags)
	return &iamapi.GetUserOutput{User: &out}, nil
}

// rootUser is the account's root as a user, which has neither name nor path. It is as
// old as its first key.
func (s *Service) rootUser(ctx context.Context) (*iamapi.GetUserOutput, error) {
	out := &iamapi.User{UserId: &s.scope.Account, Arn: new(s.scope.Global("iam", "root"))}
	a, err := s.readAccount(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range a.Value.Keys {
		k, err := s.keys.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if out.CreateDate == nil || k.Value.Created.Before(*out.CreateDate) {
			out.CreateDate = &k.Value.Created
		}
	}
	return &iamapi.GetUserOutput{User: out}, nil
}

// ListUsers lists users by name.
func (s *Service) ListUsers(ctx context.Context, in *iamapi.ListUsersInput) (*iamapi.ListUsersOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	users, err := s.users.list(ctx)
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(s.users.under(users, in.PathPrefix), (*User).key, in.Marker, in.MaxItems)
	return &iamapi.ListUsersOutput{Users: convert(part, (*User).listed), IsTruncated: truncated, Marker: next}, err
}

func (u *User) key() string { return key(u.Name) }

// listed is the user as lists show it: without boundary and tags.
func (u *User) listed() iamapi.User {
	out := u.api()
	out.PermissionsBoundary = nil
	return out
}

// UpdateUser gives a user another name or path. What refers to it follows.
func (s *Service) UpdateUser(ctx context.Context, in *iamapi.UpdateUserInput) (*iamapi.UpdateUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, err := s.users.get(ctx, *in.UserName)
		if err != nil {
			return nil, err
		}
		ops, err := s.users.rename(ctx, it, in.NewUserName, in.NewPath)
		if err != nil || it.Key == key(or(in.NewUserName, it.Value.Name)) {
			return ops, err
		}
		for _, id := range it.Value.Keys {
			k, err := s.keys.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			k.Value.User = key(*in.NewUserName)
			ops = append(ops, s.keys.UpdateOp(k))
		}
		return ops, nil
	})
}

// rename is how an item gets another name or path.
func (k *kind[T]) rename(ctx context.Context, it store.Item[T], name, path *string) ([]store.Op, error) {
	r := k.resource(&it.Value)
	r.Name, r.Path = or(name, r.Name), or(path, r.Path)
	r.ARN = k.s.arnOf(k.what, r.Path, r.Name)
	if key(r.Name) == it.Key {
		return []store.Op{k.items.UpdateOp(it)}, nil
	}
	switch other, err := k.find(ctx, r.Name); {
	case err != nil:
		return nil, err
	case other != nil:
		return nil, iamapi.EntityAlreadyExistsException.New("%s with name %s already exists.", k.title, r.Name)
	}
	return []store.Op{k.items.DeleteOp(it), k.items.CreateOp(key(r.Name), it.Value)}, nil
}

// DeleteUser removes a user that has nothing left.
func (s *Service) DeleteUser(ctx context.Context, in *iamapi.DeleteUserInput) (*iamapi.DeleteUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, err := s.users.get(ctx, *in.UserName)
		if err != nil {
			return nil, err
		}
		u := &it.Value
		if err := u.empty(); err != nil {
			return nil, err
		}
		switch {
		case len(u.Keys) > 0:
			return nil, conflict("must delete access keys first")
		case len(u.Groups) > 0:
			return nil, conflict("must remove users from group first")
		}
		ops, err := s.countBoundary(ctx, u.Boundary, "")
		return append(ops, s.users.items.DeleteOp(it)), err
	})
}

// conflict is the error of deleting what still has something.
func conflict(what string) error {
	return iamapi.DeleteConflictException.New("Cannot delete entity, %s.", what)
}

// empty is an error if there are policies.
func (h *Holder) empty() error {
	switch {
	case len(h.Attached) > 0:
		return conflict("must detach all policies first")
	case len(h.Inline) > 0:
		return conflict("must delete policies first")
	}
	return nil
}
