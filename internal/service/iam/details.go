package iam

import (
	"context"
	"fmt"
	"slices"
	"strings"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
)

type details = iamapi.GetAccountAuthorizationDetailsOutput

// detail is an element of GetAccountAuthorizationDetails: where it stands in the order,
// and how it gets into the answer.
type detail struct {
	key string
	add func(*details) error
}

// GetAccountAuthorizationDetails describes all users, groups, roles and managed policies,
// those of AWS only if they are used.
func (s *Service) GetAccountAuthorizationDetails(ctx context.Context, in *iamapi.GetAccountAuthorizationDetailsInput) (*iamapi.GetAccountAuthorizationDetailsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	var all []detail
	for i, part := range []struct {
		kind iamapi.EntityType
		list func(context.Context) ([]detail, error)
	}{
		{iamapi.EntityTypeUser, s.userDetails},
		{iamapi.EntityTypeGroup, s.groupDetails},
		{iamapi.EntityTypeRole, s.roleDetails},
		{iamapi.EntityTypeLocalManagedPolicy, s.policyDetails},
		{iamapi.EntityTypeAWSManagedPolicy, s.awsDetails},
	} {
		if len(in.Filter) > 0 && !slices.Contains(in.Filter, part.kind) {
			continue
		}
		list, err := part.list(ctx)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			all = append(all, detail{fmt.Sprintf("%d/%s", i, d.key), d.add})
		}
	}
	chosen, truncated, next, err := page(all, func(d *detail) string { return d.key }, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &details{
		UserDetailList: []iamapi.UserDetail{}, GroupDetailList: []iamapi.GroupDetail{}, RoleDetailList: []iamapi.RoleDetail{},
		Policies: []iamapi.ManagedPolicyDetail{}, IsTruncated: truncated, Marker: next,
	}
	for _, d := range chosen {
		if err := d.add(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) userDetails(ctx context.Context) ([]detail, error) {
	users, err := s.users.list(ctx)
	return convert(users, func(u *User) detail {
		return detail{u.key(), func(out *details) error {
			groups, err := s.groupsOf(ctx, u)
			out.UserDetailList = append(out.UserDetailList, iamapi.UserDetail{
				Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: &u.ARN, CreateDate: &u.Created,
				UserPolicyList: u.inlinePolicies(), AttachedManagedPolicies: u.attachedPolicies(),
				GroupList:           convert(groups, func(g *Group) string { return g.Name }),
				PermissionsBoundary: u.boundary(), Tags: allTags(u.Tags),
			})
			return err
		}}
	}), err
}

func (s *Service) groupDetails(ctx context.Context) ([]detail, error) {
	groups, err := s.groups.list(ctx)
	return convert(groups, func(g *Group) detail {
		return detail{g.key(), func(out *details) error {
			out.GroupDetailList = append(out.GroupDetailList, iamapi.GroupDetail{
				Path: &g.Path, GroupName: &g.Name, GroupId: &g.ID, Arn: &g.ARN, CreateDate: &g.Created,
				GroupPolicyList: g.inlinePolicies(), AttachedManagedPolicies: g.attachedPolicies(),
			})
			return nil
		}}
	}), err
}

func (s *Service) roleDetails(ctx context.Context) ([]detail, error) {
	roles, err := s.roles.list(ctx)
	if err != nil {
		return nil, err
	}
	profiles, err := s.profiles.list(ctx)
	return convert(roles, func(r *Role) detail {
		return detail{r.key(), func(out *details) error {
			mine := []iamapi.InstanceProfile{}
			for i := range profiles {
				if profiles[i].Role == r.key() {
					mine = append(mine, profiles[i].api(r))
				}
			}
			use, err := s.roleLastUsed(ctx, r)
			out.RoleDetailList = append(out.RoleDetailList, iamapi.RoleDetail{
				Path: &r.Path, RoleName: &r.Name, RoleId: &r.ID, Arn: &r.ARN, CreateDate: &r.Created,
				AssumeRolePolicyDocument: encoded(r.Trust), InstanceProfileList: mine,
				RolePolicyList: r.inlinePolicies(), AttachedManagedPolicies: r.attachedPolicies(),
				PermissionsBoundary: r.boundary(), Tags: allTags(r.Tags), RoleLastUsed: use,
			})
			return err
		}}
	}), err
}

func (s *Service) policyDetails(ctx context.Context) ([]detail, error) {
	policies, err := s.policies.list(ctx)
	return convert(policies, func(p *Policy) detail {
		return detail{key(p.Name), func(out *details) error {
			versions, err := s.versionsOf(ctx, p, true)
			out.Policies = append(out.Policies, policyDetail(p.api(), p.Description, versions))
			return err
		}}
	}), err
}

func (s *Service) awsDetails(ctx context.Context) ([]detail, error) {
	counts, err := s.usages(ctx)
	if err != nil {
		return nil, err
	}
	var list []detail
	for _, m := range policy.AWSManaged() {
		p := s.awsPolicy(m, counts[s.awsARN(m.Path+m.Name)])
		if *p.AttachmentCount > 0 || *p.PermissionsBoundaryUsageCount > 0 {
			list = append(list, detail{key(m.Name), func(out *details) error {
				out.Policies = append(out.Policies, policyDetail(p, m.Description, []iamapi.PolicyVersion{*awsVersion(m, true)}))
				return nil
			}})
		}
	}
	slices.SortFunc(list, func(a, b detail) int { return strings.Compare(a.key, b.key) })
	return list, nil
}

func policyDetail(p iamapi.Policy, description string, versions []iamapi.PolicyVersion) iamapi.ManagedPolicyDetail {
	return iamapi.ManagedPolicyDetail{
		PolicyName: p.PolicyName, PolicyId: p.PolicyId, Arn: p.Arn, Path: p.Path, DefaultVersionId: p.DefaultVersionId,
		AttachmentCount: p.AttachmentCount, PermissionsBoundaryUsageCount: p.PermissionsBoundaryUsageCount,
		IsAttachable: p.IsAttachable, Description: ptr(description), CreateDate: p.CreateDate, UpdateDate: p.UpdateDate,
		PolicyVersionList: versions,
	}
}
