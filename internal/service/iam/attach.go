package iam

import (
	"context"
	"slices"
	"strings"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// attachPolicy attaches a managed policy; it may be attached already.
func (k *kind[T]) attachPolicy(ctx context.Context, name, policy string) error {
	return k.s.change(ctx, func() ([]store.Op, error) {
		it, err := k.get(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := k.guarded(&it.Value); err != nil {
			return nil, err
		}
		h := k.holder(&it.Value)
		if slices.Contains(h.Attached, policy) {
			return nil, nil
		}
		ops, err := k.s.attach(ctx, policy, 1, 0, iamapi.NoSuchEntityException.New("Policy %s does not exist or is not attachable.", policy))
		if err != nil {
			return nil, err
		}
		if err := k.attachable.room(len(h.Attached)); err != nil {
			return nil, err
		}
		h.Attached = append(h.Attached, policy)
		return append(ops, k.items.UpdateOp(it)), nil
	})
}

// detachPolicy detaches a managed policy.
func (k *kind[T]) detachPolicy(ctx context.Context, name, policy string) error {
	return k.s.change(ctx, func() ([]store.Op, error) {
		it, err := k.get(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := k.guarded(&it.Value); err != nil {
			return nil, err
		}
		absent := iamapi.NoSuchEntityException.New("Policy %s was not found.", policy)
		h := k.holder(&it.Value)
		if _, err := policyARN(policy); err != nil {
			return nil, err
		}
		if !slices.Contains(h.Attached, policy) {
			return nil, absent
		}
		ops, err := k.s.attach(ctx, policy, -1, 0, absent)
		if err != nil {
			return nil, err
		}
		h.Attached = without(h.Attached, policy)
		return append(ops, k.items.UpdateOp(it)), nil
	})
}

// attached lists what is attached, by name.
func (k *kind[T]) attached(ctx context.Context, name string, prefix, marker *string, maxItems *int32) ([]iamapi.AttachedPolicy, *bool, *string, error) {
	it, err := k.get(ctx, name)
	if err != nil {
		return nil, nil, nil, err
	}
	list := k.holder(&it.Value).attachedPolicies()
	list = slices.DeleteFunc(list, func(p iamapi.AttachedPolicy) bool {
		_, path, _ := strings.Cut(*p.PolicyArn, ":policy")
		return prefix != nil && !strings.HasPrefix(path, *prefix)
	})
	return page(list, func(p *iamapi.AttachedPolicy) string { return attachedOrder(*p.PolicyArn) }, marker, maxItems)
}

func attachedOrder(arn string) string { return key(last(arn)) + " " + arn }

func (h *Holder) attachedPolicies() []iamapi.AttachedPolicy {
	arns := slices.SortedFunc(slices.Values(h.Attached), func(a, b string) int { return strings.Compare(attachedOrder(a), attachedOrder(b)) })
	return convert(arns, func(arn *string) iamapi.AttachedPolicy {
		return iamapi.AttachedPolicy{PolicyName: new(last(*arn)), PolicyArn: arn}
	})
}

// bound sets or, with "", removes the permissions boundary.
func (k *kind[T]) bound(ctx context.Context, name, boundary string) error {
	return k.s.change(ctx, func() ([]store.Op, error) {
		it, err := k.get(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := k.guarded(&it.Value); err != nil {
			return nil, err
		}
		h := k.holder(&it.Value)
		if h.Boundary == boundary {
			return nil, nil
		}
		ops, err := k.s.countBoundary(ctx, h.Boundary, boundary)
		h.Boundary = boundary
		return append(ops, k.items.UpdateOp(it)), err
	})
}

// AttachUserPolicy attaches a managed policy to a user.
func (s *Service) AttachUserPolicy(ctx context.Context, in *iamapi.AttachUserPolicyInput) (*iamapi.AttachUserPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.attachPolicy(ctx, *in.UserName, *in.PolicyArn)
}

// AttachGroupPolicy attaches a managed policy to a group.
func (s *Service) AttachGroupPolicy(ctx context.Context, in *iamapi.AttachGroupPolicyInput) (*iamapi.AttachGroupPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.groups.attachPolicy(ctx, *in.GroupName, *in.PolicyArn)
}

// AttachRolePolicy attaches a managed policy to a role.
func (s *Service) AttachRolePolicy(ctx context.Context, in *iamapi.AttachRolePolicyInput) (*iamapi.AttachRolePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.attachPolicy(ctx, *in.RoleName, *in.PolicyArn)
}

// DetachUserPolicy detaches a managed policy from a user.
func (s *Service) DetachUserPolicy(ctx context.Context, in *iamapi.DetachUserPolicyInput) (*iamapi.DetachUserPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.detachPolicy(ctx, *in.UserName, *in.PolicyArn)
}

// DetachGroupPolicy detaches a managed policy from a group.
func (s *Service) DetachGroupPolicy(ctx context.Context, in *iamapi.DetachGroupPolicyInput) (*iamapi.DetachGroupPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.groups.detachPolicy(ctx, *in.GroupName, *in.PolicyArn)
}

// DetachRolePolicy detaches a managed policy from a role.
func (s *Service) DetachRolePolicy(ctx context.Context, in *iamapi.DetachRolePolicyInput) (*iamapi.DetachRolePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.detachPolicy(ctx, *in.RoleName, *in.PolicyArn)
}

// ListAttachedUserPolicies lists a user's managed policies by name.
func (s *Service) ListAttachedUserPolicies(ctx context.Context, in *iamapi.ListAttachedUserPoliciesInput) (*iamapi.ListAttachedUserPoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	list, truncated, next, err := s.users.attached(ctx, *in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedUserPoliciesOutput{AttachedPolicies: list, IsTruncated: truncated, Marker: next}, err
}

// ListAttachedGroupPolicies lists a group's managed policies by name.
func (s *Service) ListAttachedGroupPolicies(ctx context.Context, in *iamapi.ListAttachedGroupPoliciesInput) (*iamapi.ListAttachedGroupPoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	list, truncated, next, err := s.groups.attached(ctx, *in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedGroupPoliciesOutput{AttachedPolicies: list, IsTruncated: truncated, Marker: next}, err
}

// ListAttachedRolePolicies lists a role's managed policies by name.
func (s *Service) ListAttachedRolePolicies(ctx context.Context, in *iamapi.ListAttachedRolePoliciesInput) (*iamapi.ListAttachedRolePoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	list, truncated, next, err := s.roles.attached(ctx, *in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	return &iamapi.ListAttachedRolePoliciesOutput{AttachedPolicies: list, IsTruncated: truncated, Marker: next}, err
}

// PutUserPermissionsBoundary sets a user's permissions boundary.
func (s *Service) PutUserPermissionsBoundary(ctx context.Context, in *iamapi.PutUserPermissionsBoundaryInput) (*iamapi.PutUserPermissionsBoundaryOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.bound(ctx, *in.UserName, *in.PermissionsBoundary)
}

// PutRolePermissionsBoundary sets a role's permissions boundary.
func (s *Service) PutRolePermissionsBoundary(ctx context.Context, in *iamapi.PutRolePermissionsBoundaryInput) (*iamapi.PutRolePermissionsBoundaryOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.bound(ctx, *in.RoleName, *in.PermissionsBoundary)
}

// DeleteUserPermissionsBoundary removes a user's permissions boundary.
func (s *Service) DeleteUserPermissionsBoundary(ctx context.Context, in *iamapi.DeleteUserPermissionsBoundaryInput) (*iamapi.DeleteUserPermissionsBoundaryOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.bound(ctx, *in.UserName, "")
}

// DeleteRolePermissionsBoundary removes a role's permissions boundary.
func (s *Service) DeleteRolePermissionsBoundary(ctx context.Context, in *iamapi.DeleteRolePermissionsBoundaryInput) (*iamapi.DeleteRolePermissionsBoundaryOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.bound(ctx, *in.RoleName, "")
}
