package iam

import (
	"context"
	"slices"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

func (p *InstanceProfile) key() string { return key(p.Name) }

// CreateInstanceProfile makes an instance profile without a role.
func (s *Service) CreateInstanceProfile(ctx context.Context, in *iamapi.CreateInstanceProfileInput) (*iamapi.CreateInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, err := s.profiles.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	p := InstanceProfile{Resource: Resource{Name: *in.InstanceProfileName, Path: or(in.Path, "/"), Tags: tags}}
	exists := iamapi.EntityAlreadyExistsException.New("Instance Profile %s already exists.", p.Name)
	if err := s.profiles.create(ctx, &p, exists, nil); err != nil {
		return nil, err
	}
	out := p.api(nil)
	out.Tags = in.Tags
	return &iamapi.CreateInstanceProfileOutput{InstanceProfile: &out}, nil
}

// GetInstanceProfile describes an instance profile and its role.
func (s *Service) GetInstanceProfile(ctx context.Context, in *iamapi.GetInstanceProfileInput) (*iamapi.GetInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	p, err := s.profiles.get(ctx, *in.InstanceProfileName)
	if err != nil {
		return nil, err
	}
	role, err := s.roles.find(ctx, p.Value.Role)
	if err != nil {
		return nil, err
	}
	var out iamapi.InstanceProfile
	if role != nil {
		out = p.Value.api(&role.Value)
	} else {
		out = p.Value.api(nil)
	}
	out.Tags = allTags(p.Value.Tags)
	return &iamapi.GetInstanceProfileOutput{InstanceProfile: &out}, nil
}

// withRoles is profiles as lists show them: with their roles, without their tags.
func (s *Service) withRoles(ctx context.Context, profiles []InstanceProfile) ([]iamapi.InstanceProfile, error) {
	byKey := map[string]*Role{}
	if slices.ContainsFunc(profiles, func(p InstanceProfile) bool { return p.Role != "" }) {
		roles, err := s.roles.list(ctx)
		if err != nil {
			return nil, err
		}
		for i := range roles {
			byKey[roles[i].key()] = &roles[i]
		}
	}
	return convert(profiles, func(p *InstanceProfile) iamapi.InstanceProfile { return p.api(byKey[p.Role]) }), nil
}

// ListInstanceProfiles lists instance profiles by name.
func (s *Service) ListInstanceProfiles(ctx context.Context, in *iamapi.ListInstanceProfilesInput) (*iamapi.ListInstanceProfilesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	profiles, err := s.profiles.list(ctx)
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(s.profiles.under(profiles, in.PathPrefix), (*InstanceProfile).key, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out, err := s.withRoles(ctx, part)
	return &iamapi.ListInstanceProfilesOutput{InstanceProfiles: out, IsTruncated: truncated, Marker: next}, err
}

// ListInstanceProfilesForRole lists the instance profiles that hold a role.
func (s *Service) ListInstanceProfilesForRole(ctx context.Context, in *iamapi.ListInstanceProfilesForRoleInput) (*iamapi.ListInstanceProfilesForRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	r, err := s.roles.get(ctx, *in.RoleName)
	if err != nil {
		return nil, err
	}
	var profiles []InstanceProfile
	for _, k := range slices.Sorted(slices.Values(r.Value.Profiles)) {
		p, err := s.profiles.find(ctx, k)
		if err != nil {
			return nil, err
		}
		if p != nil && p.Value.Role == r.Key {
			profiles = append(profiles, p.Value)
		}
	}
	part, truncated, next, err := page(profiles, (*InstanceProfile).key, in.Marker, in.MaxItems)
	out := convert(part, func(p *InstanceProfile) iamapi.InstanceProfile { return p.api(&r.Value) })
	return &iamapi.ListInstanceProfilesForRoleOutput{InstanceProfiles: out, IsTruncated: truncated, Marker: next}, err
}

// AddRoleToInstanceProfile puts a role into a profile, which holds at most one.
func (s *Service) AddRoleToInstanceProfile(ctx context.Context, in *iamapi.AddRoleToInstanceProfileInput) (*iamapi.AddRoleToInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		p, r, err := s.profileAndRole(ctx, *in.InstanceProfileName, *in.RoleName)
		if err != nil {
			return nil, err
		}
		if p.Value.Role != "" {
			return nil, quota{"InstanceSessionsPerInstanceProfile", 1}.room(1)
		}
		if err := r.Value.modifiable(); err != nil {
			return nil, err
		}
		p.Value.Role = r.Key
		r.Value.Profiles = append(r.Value.Profiles, p.Key)
		return []store.Op{s.profiles.items.UpdateOp(p), s.roles.items.UpdateOp(r)}, nil
	})
}

// RemoveRoleFromInstanceProfile takes the role out.
func (s *Service) RemoveRoleFromInstanceProfile(ctx context.Context, in *iamapi.RemoveRoleFromInstanceProfileInput) (*iamapi.RemoveRoleFromInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		p, r, err := s.profileAndRole(ctx, *in.InstanceProfileName, *in.RoleName)
		if err != nil {
			return nil, err
		}
		if p.Value.Role != r.Key {
			return nil, iamapi.NoSuchEntityException.New("Role %s in Instance Profile %s cannot be found.", r.Value.Name, p.Value.Name)
		}
		p.Value.Role = ""
		r.Value.Profiles = without(r.Value.Profiles, p.Key)
		return []store.Op{s.profiles.items.UpdateOp(p), s.roles.items.UpdateOp(r)}, nil
	})
}

func (s *Service) profileAndRole(ctx context.Context, profile, role string) (p store.Item[InstanceProfile], r store.Item[Role], err error) {
	if p, err = s.profiles.get(ctx, profile); err == nil {
		r, err = s.roles.get(ctx, role)
	}
	return p, r, err
}

// DeleteInstanceProfile removes a profile that holds no role.
func (s *Service) DeleteInstanceProfile(ctx context.Context, in *iamapi.DeleteInstanceProfileInput) (*iamapi.DeleteInstanceProfileOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		p, err := s.profiles.get(ctx, *in.InstanceProfileName)
		if err != nil {
			return nil, err
		}
		if p.Value.Role != "" {
			return nil, conflict("must remove roles from instance profile first")
		}
		return []store.Op{s.profiles.items.DeleteOp(p)}, nil
	})
}
