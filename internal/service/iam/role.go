package iam

import (
	"context"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// defaultSession is how long sessions of a role may last if it does not say: seconds.
const defaultSession = 3600

// modifiable is the error of changing a role that belongs to an AWS service.
func (r *Role) modifiable() error {
	if r.Service == "" {
		return nil
	}
	return iamapi.UnmodifiableEntityException.New("Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", r.Name)
}

func (r *Role) key() string { return key(r.Name) }

// CreateRole makes a role without permissions.
func (s *Service) CreateRole(ctx context.Context, in *iamapi.CreateRoleInput) (*iamapi.CreateRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, err := s.roles.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	r := Role{
		Resource: Resource{Name: *in.RoleName, Path: or(in.Path, "/"), Tags: tags},
		Holder:   Holder{Boundary: api.Val(in.PermissionsBoundary)},
		Trust:    *in.AssumeRolePolicyDocument, Description: api.Val(in.Description), MaxSeconds: defaultSession,
	}
	if in.MaxSessionDuration != nil {
		r.MaxSeconds = *in.MaxSessionDuration
	}
	exists := iamapi.EntityAlreadyExistsException.New("Role with name %s already exists.", r.Name)
	err = s.roles.create(ctx, &r, exists, func() ([]store.Op, error) {
		if err := s.checkTrust(ctx, r.Trust); err != nil {
			return nil, err
		}
		return s.countBoundary(ctx, "", r.Boundary)
	})
	if err != nil {
		return nil, err
	}
	out := r.api()
	out.PermissionsBoundary = r.boundary()
	out.Tags = in.Tags
	return &iamapi.CreateRoleOutput{Role: &out}, nil
}

// GetRole describes a role.
func (s *Service) GetRole(ctx context.Context, in *iamapi.GetRoleInput) (*iamapi.GetRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	it, err := s.roles.get(ctx, *in.RoleName)
	if err != nil {
		return nil, err
	}
	r := &it.Value
	out := r.listed()
	out.PermissionsBoundary, out.Tags = r.boundary(), toTags(r.Tags)
	out.RoleLastUsed, err = s.roleLastUsed(ctx, r)
	return &iamapi.GetRoleOutput{Role: &out}, err
}

// roleLastUsed is empty, but there, for a role that was never used.
func (s *Service) roleLastUsed(ctx context.Context, r *Role) (*iamapi.RoleLastUsed, error) {
	use, err := s.used.get(ctx, roleUse(r.ID))
	if err != nil || use.Time.IsZero() {
		return &iamapi.RoleLastUsed{}, err
	}
	return &iamapi.RoleLastUsed{LastUsedDate: &use.Time, Region: &use.Region}, nil
}

// listed is the role as lists show it: without boundary, tags and last use.
func (r *Role) listed() iamapi.Role {
	out := r.api()
	out.Description, out.MaxSessionDuration = ptr(r.Description), &r.MaxSeconds
	return out
}

// ListRoles lists roles by name.
func (s *Service) ListRoles(ctx context.Context, in *iamapi.ListRolesInput) (*iamapi.ListRolesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	roles, err := s.roles.list(ctx)
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(s.roles.under(roles, in.PathPrefix), (*Role).key, in.Marker, in.MaxItems)
	return &iamapi.ListRolesOutput{Roles: convert(part, (*Role).listed), IsTruncated: truncated, Marker: next}, err
}

// UpdateRole changes a role's description and the longest duration of its sessions.
func (s *Service) UpdateRole(ctx context.Context, in *iamapi.UpdateRoleInput) (*iamapi.UpdateRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	_, err := s.roles.modify(ctx, *in.RoleName, func(r *Role) error {
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSessionDuration == nil {
			return nil
		}
		r.MaxSeconds = *in.MaxSessionDuration
		return r.modifiable()
	})
	return nil, err
}

// UpdateRoleDescription changes a role's description.
func (s *Service) UpdateRoleDescription(ctx context.Context, in *iamapi.UpdateRoleDescriptionInput) (*iamapi.UpdateRoleDescriptionOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	r, err := s.roles.modify(ctx, *in.RoleName, func(r *Role) error {
		r.Description = *in.Description
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := r.api()
	out.Description = ptr(r.Description)
	return &iamapi.UpdateRoleDescriptionOutput{Role: &out}, nil
}

// UpdateAssumeRolePolicy replaces a role's trust policy.
func (s *Service) UpdateAssumeRolePolicy(ctx context.Context, in *iamapi.UpdateAssumeRolePolicyInput) (*iamapi.UpdateAssumeRolePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	_, err := s.roles.modify(ctx, *in.RoleName, func(r *Role) error {
		r.Trust = *in.PolicyDocument
		if err := r.modifiable(); err != nil {
			return err
		}
		return s.checkTrust(ctx, r.Trust)
	})
	return nil, err
}

// DeleteRole removes a role that has no policies and is in no instance profile.
func (s *Service) DeleteRole(ctx context.Context, in *iamapi.DeleteRoleInput) (*iamapi.DeleteRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	var id string
	err := s.change(ctx, func() ([]store.Op, error) {
		it, err := s.roles.get(ctx, *in.RoleName)
		if err != nil {
			return nil, err
		}
		r := &it.Value
		id = r.ID
		if err := r.modifiable(); err != nil {
			return nil, err
		}
		if err := r.empty(); err != nil {
			return nil, err
		}
		if len(r.Profiles) > 0 {
			return nil, conflict("must remove roles from instance profile first")
		}
		ops, err := s.countBoundary(ctx, r.Boundary, "")
		return append(ops, s.roles.items.DeleteOp(it)), err
	})
	if err != nil {
		return nil, err
	}
	return nil, s.used.drop(ctx, roleUse(id))
}

// linked are the services that roles can be linked to.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_aws-services-that-work-with-iam.html
var linked = map[string]struct {
	name   string
	suffix bool // whether there may be several, which differ by a suffix
}{
	"autoscaling.amazonaws.com":          {"AWSServiceRoleForAutoScaling", true},
	"eks.amazonaws.com":                  {"AWSServiceRoleForAmazonEKS", false},
	"eks-nodegroup.amazonaws.com":        {"AWSServiceRoleForAmazonEKSNodegroup", false},
	"elasticloadbalancing.amazonaws.com": {"AWSServiceRoleForElasticLoadBalancing", false},
	"spot.amazonaws.com":                 {"AWSServiceRoleForEC2Spot", false},
}

// CreateServiceLinkedRole makes the role that belongs to an AWS service. The services of
// the region act in their own name, so it carries no policy.
func (s *Service) CreateServiceLinkedRole(ctx context.Context, in *iamapi.CreateServiceLinkedRoleInput) (*iamapi.CreateServiceLinkedRoleOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	service := *in.AWSServiceName
	l, ok := linked[service]
	if !ok {
		return nil, iamapi.InvalidInputException.New("Service-linked roles are not supported for %s", service)
	}
	if in.CustomSuffix != nil {
		if !l.suffix {
			return nil, iamapi.InvalidInputException.New("Custom suffix is not allowed for %s", service)
		}
		l.name += "_" + *in.CustomSuffix
	}
	r := Role{
		Resource: Resource{Name: l.name, Path: "/aws-service-role/" + service + "/"},
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service +
			`"},"Action":"sts:AssumeRole"}]}`,
		Description: api.Val(in.Description), MaxSeconds: defaultSession, Service: service,
	}
	taken := iamapi.InvalidInputException.New("Service role name %s has been taken in this account, please try a different suffix.", r.Name)
	if err := s.roles.create(ctx, &r, taken, nil); err != nil {
		return nil, err
	}
	return &iamapi.CreateServiceLinkedRoleOutput{Role: new(r.api())}, nil
}
