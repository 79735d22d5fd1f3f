package iam

import (
	"context"
	"slices"
	"strings"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
)

// putInline adds an inline policy, or replaces the one of its name.
func (k *kind[T]) putInline(ctx context.Context, name, policyName, document string) error {
	if _, err := k.s.documents.parse(policy.IdentityPolicy, document); err != nil {
		return err
	}
	_, err := k.modify(ctx, name, func(v *T) error {
		if err := k.guarded(v); err != nil {
			return err
		}
		h := k.holder(v)
		h.Inline = slices.DeleteFunc(h.Inline, func(p Inline) bool { return p.Name == policyName })
		h.Inline = append(h.Inline, Inline{policyName, document})
		slices.SortFunc(h.Inline, func(a, b Inline) int { return strings.Compare(a.Name, b.Name) })
		sum := 0
		for _, p := range h.Inline {
			sum += size(p.Document)
		}
		if sum > k.inlineBytes {
			return iamapi.LimitExceededException.New("Maximum policy size of %d bytes exceeded for %s %s", k.inlineBytes, k.what, k.resource(v).Name)
		}
		return nil
	})
	return err
}

func (k *kind[T]) noInline(name string) error {
	return iamapi.NoSuchEntityException.New("The %s policy with name %s cannot be found.", k.what, name)
}

func (k *kind[T]) deleteInline(ctx context.Context, name, policyName string) error {
	_, err := k.modify(ctx, name, func(v *T) error {
		if err := k.guarded(v); err != nil {
			return err
		}
		h := k.holder(v)
		rest := slices.DeleteFunc(slices.Clone(h.Inline), func(p Inline) bool { return p.Name == policyName })
		if len(rest) == len(h.Inline) {
			return k.noInline(policyName)
		}
		h.Inline = rest
		return nil
	})
	return err
}

// inline reads one inline policy; owner is the entity's name as it was created.
func (k *kind[T]) inline(ctx context.Context, name, policyName string) (owner *string, p Inline, err error) {
	it, err := k.get(ctx, name)
	if err != nil {
		return nil, p, err
	}
	for _, p := range k.holder(&it.Value).Inline {
		if p.Name == policyName {
			return &k.resource(&it.Value).Name, p, nil
		}
	}
	return nil, p, k.noInline(policyName)
}

func (k *kind[T]) inlines(ctx context.Context, name string, marker *string, maxItems *int32) ([]string, *bool, *string, error) {
	it, err := k.get(ctx, name)
	if err != nil {
		return nil, nil, nil, err
	}
	names := convert(k.holder(&it.Value).Inline, func(p *Inline) string { return p.Name })
	return page(names, itself, marker, maxItems)
}

// inlinePolicies is inline policies in GetAccountAuthorizationDetails.
func (h *Holder) inlinePolicies() []iamapi.PolicyDetail {
	return convert(h.Inline, func(p *Inline) iamapi.PolicyDetail {
		return iamapi.PolicyDetail{PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}
	})
}

// PutUserPolicy adds or replaces an inline policy of a user.
func (s *Service) PutUserPolicy(ctx context.Context, in *iamapi.PutUserPolicyInput) (*iamapi.PutUserPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.putInline(ctx, *in.UserName, *in.PolicyName, *in.PolicyDocument)
}

// PutGroupPolicy adds or replaces an inline policy of a group.
func (s *Service) PutGroupPolicy(ctx context.Context, in *iamapi.PutGroupPolicyInput) (*iamapi.PutGroupPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.groups.putInline(ctx, *in.GroupName, *in.PolicyName, *in.PolicyDocument)
}

// PutRolePolicy adds or replaces an inline policy of a role.
func (s *Service) PutRolePolicy(ctx context.Context, in *iamapi.PutRolePolicyInput) (*iamapi.PutRolePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.putInline(ctx, *in.RoleName, *in.PolicyName, *in.PolicyDocument)
}

// DeleteUserPolicy removes an inline policy of a user.
func (s *Service) DeleteUserPolicy(ctx context.Context, in *iamapi.DeleteUserPolicyInput) (*iamapi.DeleteUserPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.users.deleteInline(ctx, *in.UserName, *in.PolicyName)
}

// DeleteGroupPolicy removes an inline policy of a group.
func (s *Service) DeleteGroupPolicy(ctx context.Context, in *iamapi.DeleteGroupPolicyInput) (*iamapi.DeleteGroupPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.groups.deleteInline(ctx, *in.GroupName, *in.PolicyName)
}

// DeleteRolePolicy removes an inline policy of a role.
func (s *Service) DeleteRolePolicy(ctx context.Context, in *iamapi.DeleteRolePolicyInput) (*iamapi.DeleteRolePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.roles.deleteInline(ctx, *in.RoleName, *in.PolicyName)
}

// GetUserPolicy returns an inline policy of a user.
func (s *Service) GetUserPolicy(ctx context.Context, in *iamapi.GetUserPolicyInput) (*iamapi.GetUserPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	owner, p, err := s.users.inline(ctx, *in.UserName, *in.PolicyName)
	return &iamapi.GetUserPolicyOutput{UserName: owner, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, err
}

// GetGroupPolicy returns an inline policy of a group.
func (s *Service) GetGroupPolicy(ctx context.Context, in *iamapi.GetGroupPolicyInput) (*iamapi.GetGroupPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	owner, p, err := s.groups.inline(ctx, *in.GroupName, *in.PolicyName)
	return &iamapi.GetGroupPolicyOutput{GroupName: owner, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, err
}

// GetRolePolicy returns an inline policy of a role.
func (s *Service) GetRolePolicy(ctx context.Context, in *iamapi.GetRolePolicyInput) (*iamapi.GetRolePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	owner, p, err := s.roles.inline(ctx, *in.RoleName, *in.PolicyName)
	return &iamapi.GetRolePolicyOutput{RoleName: owner, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, err
}

// ListUserPolicies lists the names of a user's inline policies.
func (s *Service) ListUserPolicies(ctx context.Context, in *iamapi.ListUserPoliciesInput) (*iamapi.ListUserPoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	names, truncated, next, err := s.users.inlines(ctx, *in.UserName, in.Marker, in.MaxItems)
	return &iamapi.ListUserPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, err
}

// ListGroupPolicies lists the names of a group's inline policies.
func (s *Service) ListGroupPolicies(ctx context.Context, in *iamapi.ListGroupPoliciesInput) (*iamapi.ListGroupPoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	names, truncated, next, err := s.groups.inlines(ctx, *in.GroupName, in.Marker, in.MaxItems)
	return &iamapi.ListGroupPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, err
}

// ListRolePolicies lists the names of a role's inline policies.
func (s *Service) ListRolePolicies(ctx context.Context, in *iamapi.ListRolePoliciesInput) (*iamapi.ListRolePoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	names, truncated, next, err := s.roles.inlines(ctx, *in.RoleName, in.Marker, in.MaxItems)
	return &iamapi.ListRolePoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, err
}
