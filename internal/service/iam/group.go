package iam

import (
	"context"
	"errors"
	"slices"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// groupsPerUser is how many groups a user may be in.
var groupsPerUser = quota{"GroupsPerUser", 10}

// CreateGroup makes a group without members.
func (s *Service) CreateGroup(ctx context.Context, in *iamapi.CreateGroupInput) (*iamapi.CreateGroupOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	g := Group{Resource: Resource{Name: *in.GroupName, Path: or(in.Path, "/")}}
	exists := iamapi.EntityAlreadyExistsException.New("Group with name %s already exists.", g.Name)
	if err := s.groups.create(ctx, &g, exists, nil); err != nil {
		return nil, err
	}
	return &iamapi.CreateGroupOutput{Group: new(g.api())}, nil
}

// GetGroup describes a group and lists its members by name.
func (s *Service) GetGroup(ctx context.Context, in *iamapi.GetGroupInput) (*iamapi.GetGroupOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	g, err := s.groups.get(ctx, *in.GroupName)
	if err != nil {
		return nil, err
	}
	members, err := s.members(ctx, &g.Value)
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(convert(members, func(it *store.Item[User]) User { return it.Value }), (*User).key, in.Marker, in.MaxItems)
	return &iamapi.GetGroupOutput{Group: new(g.Value.api()), Users: convert(part, (*User).listed), IsTruncated: truncated, Marker: next}, err
}

// members are the users in a group, by name.
func (s *Service) members(ctx context.Context, g *Group) ([]store.Item[User], error) {
	if len(g.Members) == 0 {
		return nil, nil
	}
	users, _, err := s.users.items.List(ctx, "")
	return slices.DeleteFunc(users, func(it store.Item[User]) bool { return !slices.Contains(g.Members, it.Value.ID) }), err
}

// ListGroups lists groups by name.
func (s *Service) ListGroups(ctx context.Context, in *iamapi.ListGroupsInput) (*iamapi.ListGroupsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	groups, err := s.groups.list(ctx)
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(s.groups.under(groups, in.PathPrefix), (*Group).key, in.Marker, in.MaxItems)
	return &iamapi.ListGroupsOutput{Groups: convert(part, (*Group).api), IsTruncated: truncated, Marker: next}, err
}

func (g *Group) key() string { return key(g.Name) }

// ListGroupsForUser lists the groups that a user is in, by name.
func (s *Service) ListGroupsForUser(ctx context.Context, in *iamapi.ListGroupsForUserInput) (*iamapi.ListGroupsForUserOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	u, err := s.users.get(ctx, *in.UserName)
	if err != nil {
		return nil, err
	}
	groups, err := s.groupsOf(ctx, &u.Value)
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(groups, (*Group).key, in.Marker, in.MaxItems)
	return &iamapi.ListGroupsForUserOutput{Groups: convert(part, (*Group).api), IsTruncated: truncated, Marker: next}, err
}

// groupsOf are the groups that a user is in, by name.
func (s *Service) groupsOf(ctx context.Context, u *User) ([]Group, error) {
	var groups []Group
	for _, k := range slices.Sorted(slices.Values(u.Groups)) {
		g, err := s.groups.items.Get(ctx, k)
		if errors.Is(err, store.ErrNotFound) {
			continue // renamed or deleted since the user was read
		}
		if err != nil {
			return nil, err
		}
		groups = append(groups, g.Value)
	}
	return groups, nil
}

// AddUserToGroup makes a user a member; it may be one already.
func (s *Service) AddUserToGroup(ctx context.Context, in *iamapi.AddUserToGroupInput) (*iamapi.AddUserToGroupOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		u, g, err := s.userAndGroup(ctx, *in.UserName, *in.GroupName)
		if err != nil || slices.Contains(u.Value.Groups, g.Key) {
			return nil, err
		}
		if err := groupsPerUser.room(len(u.Value.Groups)); err != nil {
			return nil, err
		}
		u.Value.Groups = append(u.Value.Groups, g.Key)
		g.Value.Members = append(g.Value.Members, u.Value.ID)
		return []store.Op{s.users.items.UpdateOp(u), s.groups.items.UpdateOp(g)}, nil
	})
}

// RemoveUserFromGroup ends a membership, if there is one.
func (s *Service) RemoveUserFromGroup(ctx context.Context, in *iamapi.RemoveUserFromGroupInput) (*iamapi.RemoveUserFromGroupOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		u, g, err := s.userAndGroup(ctx, *in.UserName, *in.GroupName)
		if err != nil || !slices.Contains(u.Value.Groups, g.Key) {
			return nil, err
		}
		u.Value.Groups = without(u.Value.Groups, g.Key)
		g.Value.Members = without(g.Value.Members, u.Value.ID)
		return []store.Op{s.users.items.UpdateOp(u), s.groups.items.UpdateOp(g)}, nil
	})
}

func without(list []string, v string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == v })
}

func (s *Service) userAndGroup(ctx context.Context, user, group string) (u store.Item[User], g store.Item[Group], err error) {
	if u, err = s.users.get(ctx, user); err == nil {
		g, err = s.groups.get(ctx, group)
	}
	return u, g, err
}

// UpdateGroup gives a group another name or path. Its members follow.
func (s *Service) UpdateGroup(ctx context.Context, in *iamapi.UpdateGroupInput) (*iamapi.UpdateGroupOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		g, err := s.groups.get(ctx, *in.GroupName)
		if err != nil {
			return nil, err
		}
		ops, err := s.groups.rename(ctx, g, in.NewGroupName, in.NewPath)
		renamed := key(or(in.NewGroupName, g.Value.Name))
		if err != nil || renamed == g.Key {
			return ops, err
		}
		members, err := s.members(ctx, &g.Value)
		if err != nil {
			return nil, err
		}
		// Each member says which groups it is in, and one commit has its limit.
		if err := (quota{"MembersOfRenamedGroup", store.MaxTxnOps - len(ops)}).room(len(members) - 1); err != nil {
			return nil, err
		}
		for _, u := range members {
			u.Value.Groups = append(without(u.Value.Groups, g.Key), renamed)
			ops = append(ops, s.users.items.UpdateOp(u))
		}
		return ops, nil
	})
}

// DeleteGroup removes a group that has neither members nor policies.
func (s *Service) DeleteGroup(ctx context.Context, in *iamapi.DeleteGroupInput) (*iamapi.DeleteGroupOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		g, err := s.groups.get(ctx, *in.GroupName)
		if err != nil {
			return nil, err
		}
		if len(g.Value.Members) > 0 {
			return nil, conflict("must remove users from group first")
		}
		if err := g.Value.empty(); err != nil {
			return nil, err
		}
		return []store.Op{s.groups.items.DeleteOp(g)}, nil
	})
}
