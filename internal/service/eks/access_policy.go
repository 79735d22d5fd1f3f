package eks

import (
	"context"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
)

// clusterAdminPolicy is what the creator of a cluster has.
const clusterAdminPolicy = "AmazonEKSClusterAdminPolicy"

// accessPolicies are the policies for people and workloads. EKS has more, for
// its own parts: Auto Mode, hybrid nodes, insights.
//
// https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
var accessPolicies = []string{
	"AmazonEKSAdminPolicy",
	"AmazonEKSAdminViewPolicy",
	clusterAdminPolicy,
	"AmazonEKSEditPolicy",
	"AmazonEKSViewPolicy",
}

const accessPolicyPrefix = "arn:aws:eks::aws:cluster-access-policy/"

func accessPolicyARN(name string) string { return accessPolicyPrefix + name }

func policyIndex(e AccessEntry, arn string) int {
	return slices.IndexFunc(e.Policies, func(p AssociatedPolicy) bool { return p.ARN == arn })
}

func (p AssociatedPolicy) describe() eksapi.AssociatedAccessPolicy {
	return eksapi.AssociatedAccessPolicy{
		PolicyArn:    &p.ARN,
		AccessScope:  &eksapi.AccessScope{Type: eksapi.AccessScopeType(p.Scope), Namespaces: present(p.Namespaces)},
		AssociatedAt: &p.Associated, ModifiedAt: &p.Modified,
	}
}

// ListAccessPolicies lists the policies that there are.
func (s *Service) ListAccessPolicies(_ context.Context, in *eksapi.ListAccessPoliciesInput) (*eksapi.ListAccessPoliciesOutput, error) {
	names, next, err := page(slices.Clone(accessPolicies), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &eksapi.ListAccessPoliciesOutput{AccessPolicies: []eksapi.AccessPolicy{}, NextToken: next}
	for _, n := range names {
		out.AccessPolicies = append(out.AccessPolicies, eksapi.AccessPolicy{Name: &n, Arn: new(accessPolicyARN(n))})
	}
	return out, nil
}

// ListAssociatedAccessPolicies lists the policies of an entry.
func (s *Service) ListAssociatedAccessPolicies(ctx context.Context, in *eksapi.ListAssociatedAccessPoliciesInput) (*eksapi.ListAssociatedAccessPoliciesOutput, error) {
	item, err := s.entry(ctx, in.ClusterName, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	var arns []string
	for _, p := range item.Value.Policies {
		arns = append(arns, p.ARN)
	}
	arns, next, err := page(arns, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &eksapi.ListAssociatedAccessPoliciesOutput{
		ClusterName: in.ClusterName, PrincipalArn: in.PrincipalArn, NextToken: next,
		AssociatedAccessPolicies: []eksapi.AssociatedAccessPolicy{},
	}
	for _, arn := range arns {
		out.AssociatedAccessPolicies = append(out.AssociatedAccessPolicies, item.Value.Policies[policyIndex(item.Value, arn)].describe())
	}
	return out, nil
}

// AssociateAccessPolicy gives an entry a policy, or one that it has another scope.
func (s *Service) AssociateAccessPolicy(ctx context.Context, in *eksapi.AssociateAccessPolicyInput) (*eksapi.AssociateAccessPolicyOutput, error) {
	a := about{cluster: api.Val(in.ClusterName)}
	arn, scope := api.Val(in.PolicyArn), api.Val(in.AccessScope)
	var made AssociatedPolicy
	_, err := s.changeEntry(ctx, in.ClusterName, in.PrincipalArn, func(e *AccessEntry) error {
		name, ok := strings.CutPrefix(arn, accessPolicyPrefix)
		switch {
		case e.Type != typeStandard:
			return a.invalid(`This operation can only be performed on Access Entries with a type of "STANDARD".`)
		case !ok:
			return a.invalid("The policyArn parameter format is not valid")
		case !slices.Contains(accessPolicies, name):
			return a.invalid("The policyArn %s is not one of this region's, which 'list-access-policies' shows", arn)
		}
		if err := checkScope(a, scope); err != nil {
			return err
		}
		now := s.time()
		made = AssociatedPolicy{ARN: arn, Scope: string(scope.Type), Namespaces: scope.Namespaces, Associated: now, Modified: now}
		if i := policyIndex(*e, arn); i >= 0 {
			made.Associated = e.Policies[i].Associated
			e.Policies[i] = made
			return nil
		}
		e.Policies = append(e.Policies, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.AssociateAccessPolicyOutput{
		ClusterName: in.ClusterName, PrincipalArn: in.PrincipalArn, AssociatedAccessPolicy: new(made.describe()),
	}, nil
}

func checkScope(a about, scope eksapi.AccessScope) error {
	switch string(scope.Type) {
	case scopeCluster:
		if len(scope.Namespaces) > 0 {
			return a.invalid("Namespaces cannot be specified with an access scope of type cluster")
		}
	case scopeNamespace:
		if len(scope.Namespaces) == 0 || slices.Contains(scope.Namespaces, "") {
			return a.invalid("Namespaces must be specified with an access scope of type namespace")
		}
	default:
		return a.invalid("The access scope type '%s' must be cluster or namespace", scope.Type)
	}
	return nil
}

// DisassociateAccessPolicy takes a policy from an entry.
func (s *Service) DisassociateAccessPolicy(ctx context.Context, in *eksapi.DisassociateAccessPolicyInput) (*eksapi.DisassociateAccessPolicyOutput, error) {
	_, err := s.changeEntry(ctx, in.ClusterName, in.PrincipalArn, func(e *AccessEntry) error {
		i := policyIndex(*e, api.Val(in.PolicyArn))
		if i < 0 {
			return about{cluster: api.Val(in.ClusterName)}.missing("The specified policyArn is not associated with the access entry.")
		}
		e.Policies = slices.Delete(e.Policies, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.DisassociateAccessPolicyOutput{}, nil
}

// ListIdentityProviderConfigs lists the OIDC providers that may vouch for a
// cluster's users: none, as none can be associated.
func (s *Service) ListIdentityProviderConfigs(ctx context.Context, in *eksapi.ListIdentityProviderConfigsInput) (*eksapi.ListIdentityProviderConfigsOutput, error) {
	if _, err := s.cluster(ctx, in.ClusterName); err != nil {
		return nil, err
	}
	if _, _, err := page(nil, in.MaxResults, in.NextToken); err != nil {
		return nil, err
	}
	return &eksapi.ListIdentityProviderConfigsOutput{IdentityProviderConfigs: []eksapi.IdentityProviderConfig{}}, nil
}
