package iam

import (
	"context"
	"errors"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// theAccount is the key of the one Account.
const theAccount = "account"

// readAccount reads the account's own item, which has no revision if there is none yet.
func (s *Service) readAccount(ctx context.Context) (store.Item[Account], error) {
	it, err := s.account.Get(ctx, theAccount)
	if errors.Is(err, store.ErrNotFound) {
		return store.Item[Account]{Key: theAccount}, nil
	}
	return it, err
}

func (s *Service) accountOp(it store.Item[Account]) store.Op {
	if it.Revision == 0 {
		return s.account.CreateOp(it.Key, it.Value)
	}
	return s.account.UpdateOp(it)
}

// CreateAccountAlias gives the account a name, instead of any that it had.
func (s *Service) CreateAccountAlias(ctx context.Context, in *iamapi.CreateAccountAliasInput) (*iamapi.CreateAccountAliasOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, err := s.readAccount(ctx)
		if err != nil {
			return nil, err
		}
		if it.Value.Alias == *in.AccountAlias {
			return nil, iamapi.EntityAlreadyExistsException.New("The account alias %s already exists.", *in.AccountAlias)
		}
		it.Value.Alias = *in.AccountAlias
		return []store.Op{s.accountOp(it)}, nil
	})
}

// DeleteAccountAlias removes the account's name.
func (s *Service) DeleteAccountAlias(ctx context.Context, in *iamapi.DeleteAccountAliasInput) (*iamapi.DeleteAccountAliasOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, err := s.readAccount(ctx)
		if err != nil {
			return nil, err
		}
		if it.Value.Alias != *in.AccountAlias {
			return nil, iamapi.NoSuchEntityException.New("The account alias with name %s cannot be found.", *in.AccountAlias)
		}
		it.Value.Alias = ""
		return []store.Op{s.accountOp(it)}, nil
	})
}

// ListAccountAliases lists the account's name, if it has one.
func (s *Service) ListAccountAliases(ctx context.Context, in *iamapi.ListAccountAliasesInput) (*iamapi.ListAccountAliasesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	it, err := s.readAccount(ctx)
	if err != nil {
		return nil, err
	}
	aliases := strings.Fields(it.Value.Alias)
	part, truncated, next, err := page(aliases, itself, in.Marker, in.MaxItems)
	return &iamapi.ListAccountAliasesOutput{AccountAliases: part, IsTruncated: truncated, Marker: next}, err
}

// GetAccountSummary counts what there is, and says how much there may be.
func (s *Service) GetAccountSummary(ctx context.Context, _ *iamapi.GetAccountSummaryInput) (*iamapi.GetAccountSummaryOutput, error) {
	it, err := s.readAccount(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int32{
		"AccessKeysPerUserQuota": int32(keysPerUser.limit), "AccountAccessKeysPresent": int32(min(1, len(it.Value.Keys))), "AccountMFAEnabled": 0,
		"AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0, "AssumeRolePolicySizeQuota": maxTrust,
		"AttachedPoliciesPerGroupQuota": int32(s.groups.attachable.limit), "AttachedPoliciesPerRoleQuota": int32(s.roles.attachable.limit),
		"AttachedPoliciesPerUserQuota": int32(s.users.attachable.limit), "GlobalEndpointTokenVersion": 1,
		"GroupPolicySizeQuota": int32(s.groups.inlineBytes), "GroupsPerUserQuota": int32(groupsPerUser.limit),
		"GroupsQuota": int32(s.groups.quota.limit), "InstanceProfilesQuota": int32(s.profiles.quota.limit),
		"MFADevices": 0, "MFADevicesInUse": 0, "PoliciesQuota": int32(s.policies.quota.limit), "PolicySizeQuota": maxPolicy,
		"PolicyVersionsInUseQuota": 10000, "RolePolicySizeQuota": int32(s.roles.inlineBytes), "RolesQuota": int32(s.roles.quota.limit),
		"ServerCertificates": 0, "ServerCertificatesQuota": 20, "SigningCertificatesPerUserQuota": 2,
		"UserPolicySizeQuota": int32(s.users.inlineBytes), "UsersQuota": int32(s.users.quota.limit), "VersionsPerPolicyQuota": maxVersions,
	}
	err = errors.Join(
		counted(ctx, s.users, out, "Users"), counted(ctx, s.groups, out, "Groups"), counted(ctx, s.roles, out, "Roles"),
		counted(ctx, s.profiles, out, "InstanceProfiles"), counted(ctx, s.providers, out, "Providers"))
	if err != nil {
		return nil, err
	}
	policies, err := s.policies.list(ctx)
	out["Policies"] = int32(len(policies))
	for _, p := range policies {
		if p.Attachments > 0 {
			out["PolicyVersionsInUse"] += int32(len(p.Versions))
		}
	}
	if _, ok := out["PolicyVersionsInUse"]; !ok {
		out["PolicyVersionsInUse"] = 0
	}
	return &iamapi.GetAccountSummaryOutput{SummaryMap: out}, err
}

func counted[T any](ctx context.Context, k *kind[T], out map[string]int32, name string) error {
	values, err := k.list(ctx)
	out[name] = int32(len(values))
	return err
}

// ListEntitiesForPolicy lists who uses a managed policy: groups, roles, users.
func (s *Service) ListEntitiesForPolicy(ctx context.Context, in *iamapi.ListEntitiesForPolicyInput) (*iamapi.ListEntitiesForPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	if s.awsManaged(*in.PolicyArn) == nil {
		if _, err := s.customer(ctx, *in.PolicyArn); err != nil {
			return nil, err
		}
	}
	var found []entity
	err := errors.Join(
		usersOf(ctx, s.groups, in, iamapi.EntityTypeGroup, &found),
		usersOf(ctx, s.roles, in, iamapi.EntityTypeRole, &found),
		usersOf(ctx, s.users, in, iamapi.EntityTypeUser, &found))
	if err != nil {
		return nil, err
	}
	part, truncated, next, err := page(found, func(e *entity) string { return string(e.kind) + "/" + key(e.name) }, in.Marker, in.MaxItems)
	out := &iamapi.ListEntitiesForPolicyOutput{
		PolicyGroups: []iamapi.PolicyGroup{}, PolicyRoles: []iamapi.PolicyRole{}, PolicyUsers: []iamapi.PolicyUser{},
		IsTruncated: truncated, Marker: next,
	}
	for _, e := range part {
		switch e.kind {
		case iamapi.EntityTypeGroup:
			out.PolicyGroups = append(out.PolicyGroups, iamapi.PolicyGroup{GroupName: &e.name, GroupId: &e.id})
		case iamapi.EntityTypeRole:
			out.PolicyRoles = append(out.PolicyRoles, iamapi.PolicyRole{RoleName: &e.name, RoleId: &e.id})
		case iamapi.EntityTypeUser:
			out.PolicyUsers = append(out.PolicyUsers, iamapi.PolicyUser{UserName: &e.name, UserId: &e.id})
		}
	}
	return out, err
}

// entity is a user, group or role that uses a policy.
type entity struct {
	kind     iamapi.EntityType
	name, id string
}

func usersOf[T any](ctx context.Context, k *kind[T], in *iamapi.ListEntitiesForPolicyInput, as iamapi.EntityType, out *[]entity) error {
	if in.EntityFilter != "" && in.EntityFilter != as {
		return nil
	}
	values, err := k.list(ctx)
	for i := range values {
		r, h := k.resource(&values[i]), k.holder(&values[i])
		if strings.HasPrefix(r.Path, or(in.PathPrefix, "/")) && h.uses(api.Val(in.PolicyArn), in.PolicyUsageFilter) {
			*out = append(*out, entity{as, r.Name, r.ID})
		}
	}
	return err
}

// uses tells whether a managed policy is attached or is the boundary.
func (h *Holder) uses(arn string, as iamapi.PolicyUsageType) bool {
	if as != iamapi.PolicyUsageTypePermissionsPolicy && h.Boundary == arn {
		return true
	}
	for _, a := range h.Attached {
		if a == arn && as != iamapi.PolicyUsageTypePermissionsBoundary {
			return true
		}
	}
	return false
}
