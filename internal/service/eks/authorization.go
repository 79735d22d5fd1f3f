package eks

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// resourceKind is what an operation is about, for policies.
type resourceKind int

const (
	aCluster resourceKind = iota // what is not in the table
	nothing                      // the operation has no resource
	allClusters
	aNodegroup
	anAddon
	anEntry
	anUpdate // of a cluster, a node group or an add-on
	byName   // the input has the ARN
)

// subjects are the operations that are not about the cluster that they name.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelastickubernetesservice.html
var subjects = map[string]resourceKind{
	"ListClusters":                 allClusters, // as EKS says it, although it cannot be restricted
	"ListAccessPolicies":           nothing,
	"DescribeAddonVersions":        nothing,
	"DescribeAddonConfiguration":   nothing,
	"DescribeNodegroup":            aNodegroup,
	"DeleteNodegroup":              aNodegroup,
	"UpdateNodegroupConfig":        aNodegroup,
	"UpdateNodegroupVersion":       aNodegroup,
	"DescribeAddon":                anAddon,
	"DeleteAddon":                  anAddon,
	"UpdateAddon":                  anAddon,
	"DescribeAccessEntry":          anEntry,
	"DeleteAccessEntry":            anEntry,
	"UpdateAccessEntry":            anEntry,
	"AssociateAccessPolicy":        anEntry,
	"DisassociateAccessPolicy":     anEntry,
	"ListAssociatedAccessPolicies": anEntry,
	"DescribeUpdate":               anUpdate,
	"ListUpdates":                  anUpdate,
	"TagResource":                  byName,
	"UntagResource":                byName,
	"ListTagsForResource":          byName,
}

// passedRoles are the members with which an operation gives EKS a role.
var passedRoles = []string{"RoleArn", "NodeRole", "ServiceAccountRoleArn"}

// Authorization returns what a call must be allowed to do: the action itself,
// and iam:PassRole for a role that it gives to EKS.
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	in := reflect.Indirect(reflect.ValueOf(input))
	r := policy.Request{Action: "eks:" + operation, ResourceAccount: s.arns.Account, Context: map[string][]string{}}
	resource, tags, err := s.resource(ctx, subjects[operation], in)
	if err != nil {
		return nil, err
	}
	if resource != "" {
		r.Resources = []string{resource}
	}
	for k, v := range tags {
		policy.AddResourceTag(r.Context, k, v)
	}
	given, _ := member(in, "Tags").(map[string]string)
	for _, k := range slices.Sorted(maps.Keys(given)) {
		policy.AddRequestTag(r.Context, k, given[k])
	}
	if keys, ok := member(in, "TagKeys").([]string); ok {
		r.Context["aws:tagkeys"] = keys
	}
	conditions(r.Context, in)
	requests := []policy.Request{r}
	for _, m := range passedRoles {
		if role := text(in, m); role != "" {
			requests = append(requests, policy.Request{
				Action: "iam:PassRole", Resources: []string{role}, ResourceAccount: s.arns.Account,
				Context: map[string][]string{"iam:passedtoservice": {clusterService}},
			})
		}
	}
	return requests, nil
}

// member is a member of an input, nil if it has none of the name.
func member(in reflect.Value, name string) any {
	if f := in.FieldByName(name); f.IsValid() {
		return f.Interface()
	}
	return nil
}

func text(in reflect.Value, name string) string {
	s, _ := member(in, name).(*string)
	return api.Val(s)
}

// resource is the ARN of what a call is about, and its tags. What does not
// exist has the ARN that it would have.
func (s *Service) resource(ctx context.Context, kind resourceKind, in reflect.Value) (string, map[string]string, error) {
	cluster := text(in, "ClusterName")
	if cluster == "" {
		cluster = text(in, "Name")
	}
	nodegroup, addon, principal := text(in, "NodegroupName"), text(in, "AddonName"), text(in, "PrincipalArn")
	if kind == anUpdate {
		switch {
		case nodegroup != "":
			kind = aNodegroup
		case addon != "":
			kind = anAddon
		default:
			kind = aCluster
		}
	}
	var (
		name string
		tags map[string]string
		err  error
	)
	switch kind {
	case nothing:
	case allClusters:
		name = s.ClusterARN("*")
	case aNodegroup:
		var item store.Item[Nodegroup]
		item, err = s.Nodegroups.Get(ctx, Nodegroup{Cluster: cluster, Name: nodegroup}.Key())
		if err != nil {
			item.Value = Nodegroup{Cluster: cluster, Name: nodegroup, ID: "*"}
		}
		name, tags = s.nodegroupARN(item.Value), item.Value.Tags
	case anAddon:
		var item store.Item[Addon]
		item, err = s.Addons.Get(ctx, Addon{Cluster: cluster, Name: addon}.Key())
		if err != nil {
			item.Value = Addon{Cluster: cluster, Name: addon, ID: "*"}
		}
		name, tags = s.addonARN(item.Value), item.Value.Tags
	case anEntry:
		var item store.Item[AccessEntry]
		item, err = s.AccessEntries.Get(ctx, AccessEntry{Cluster: cluster, Principal: principal}.Key())
		if err != nil {
			item.Value = AccessEntry{Cluster: cluster, Principal: principal, ID: "*"}
		}
		name, tags = s.entryARN(item.Value), item.Value.Tags
	case byName:
		var found tagged
		found, err = s.byARN(ctx, text(in, "ResourceArn"))
		if api.Code(err) != "" { // the call itself says it
			err = nil
		}
		name, tags = text(in, "ResourceArn"), found.tags
	default:
		var item store.Item[Cluster]
		item, err = s.Clusters.Get(ctx, cluster)
		name, tags = s.ClusterARN(cluster), item.Value.Tags
	}
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return name, tags, err
}

// conditions adds the condition keys of EKS's own.
func conditions(to map[string][]string, in reflect.Value) {
	set := func(key string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			to["eks:"+key] = values
		}
	}
	truth := func(b *bool) string {
		if b == nil {
			return ""
		}
		return strconv.FormatBool(*b)
	}
	switch in := in.Addr().Interface().(type) {
	case *eksapi.CreateClusterInput:
		if a := in.AccessConfig; a != nil {
			set("authenticationmode", string(a.AuthenticationMode))
			set("bootstrapclustercreatoradminpermissions", truth(a.BootstrapClusterCreatorAdminPermissions))
		}
		set("bootstrapselfmanagedaddons", truth(in.BootstrapSelfManagedAddons))
		set("supporttype", string(api.Val(in.UpgradePolicy).SupportType))
	case *eksapi.UpdateClusterConfigInput:
		set("authenticationmode", string(api.Val(in.AccessConfig).AuthenticationMode))
		set("supporttype", string(api.Val(in.UpgradePolicy).SupportType))
	case *eksapi.CreateAccessEntryInput:
		set("principalarn", api.Val(in.PrincipalArn))
		set("kubernetesgroups", in.KubernetesGroups...)
		set("username", api.Val(in.Username))
		set("accessentrytype", api.Val(in.Type))
	case *eksapi.UpdateAccessEntryInput:
		set("kubernetesgroups", in.KubernetesGroups...)
		set("username", api.Val(in.Username))
	case *eksapi.AssociateAccessPolicyInput:
		set("policyarn", api.Val(in.PolicyArn))
		scope := api.Val(in.AccessScope)
		set("accessscope", string(scope.Type))
		set("namespaces", scope.Namespaces...)
	case *eksapi.DisassociateAccessPolicyInput:
		set("policyarn", api.Val(in.PolicyArn))
	}
}
