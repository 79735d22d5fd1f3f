package region

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/eksctl"
)

// Tags that eksctl gives what it makes.
const (
	eksctlCluster   = "alpha.eksctl.io/cluster-name"
	eksctlNodegroup = "alpha.eksctl.io/nodegroup-name"
)

// serviceRole is an IAM role that an AWS service assumes.
type serviceRole struct {
	name     string
	service  string   // eks.amazonaws.com
	policies []string // AWS's, by name, or others by ARN
	inline   []inlinePolicy
	tags     map[string]string
}

// clusterRole is the role that eksctl makes for a cluster's control plane.
func clusterRole(cluster string) serviceRole {
	return serviceRole{
		name:     stackResource("eksctl-"+cluster+"-cluster", "ServiceRole"),
		service:  "eks.amazonaws.com",
		policies: []string{"AmazonEKSClusterPolicy"},
		tags:     map[string]string{eksctlCluster: cluster},
	}
}

// nodeRole is the role that eksctl makes for the instances of a node group.
func nodeRole(cluster string, g eksctl.NodeGroup) serviceRole {
	stack := "eksctl-" + cluster + "-nodegroup-" + g.Name
	role := serviceRole{
		name:     stackResource(stack, "NodeInstanceRole"),
		service:  "ec2.amazonaws.com",
		policies: nodePolicies(g),
		tags:     map[string]string{eksctlCluster: cluster, eksctlNodegroup: g.Name},
	}
	for _, p := range inlinePolicies(g.IAM.AddonPolicies) {
		p.Name = stack + "-" + p.Name
		role.inline = append(role.inline, p)
	}
	return role
}

// nodePolicies are the policies that the group's role has attached. Those that
// the file names take the place of eksctl's own.
func nodePolicies(g eksctl.NodeGroup) []string {
	names := []string{"AmazonSSMManagedInstanceCore"}
	if len(g.IAM.PolicyARNs) == 0 {
		names = append(names, "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy")
	}
	builder := slices.Contains(g.IAM.AddonPolicies, "imageBuilder")
	if g.Managed && len(g.IAM.PolicyARNs) == 0 || !g.Managed && !builder {
		names = append(names, "AmazonEC2ContainerRegistryReadOnly")
	}
	for _, s := range g.IAM.AddonPolicies {
		if p := addonManaged[s]; p != "" {
			names = append(names, p)
		}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(g.IAM.PolicyARNs, func(arn string) bool { return strings.HasSuffix(arn, "/"+name) })
	})
	slices.Sort(names)
	return append(names, g.IAM.PolicyARNs...)
}

// stackResource names what a CloudFormation stack made, as CloudFormation does:
// the stack's name cut to fit IAM's 64 characters, the resource's, and twelve
// more, which here follow from the name so that making it again finds it.
func stackResource(stack, resource string) string {
	sum := sha256.Sum256([]byte(stack + "/" + resource))
	suffix := "-" + resource + "-" + strings.ToUpper(hex.EncodeToString(sum[:6]))
	return stack[:min(len(stack), 64-len(suffix))] + suffix
}

// ensureRole makes the role with its policies, and returns its ARN. It is for
// the time before something uses the role: what a person detaches later stays so.
func (r *Region) ensureRole(ctx context.Context, role serviceRole) (string, error) {
	var tags []iamapi.Tag
	for _, key := range slices.Sorted(maps.Keys(role.tags)) {
		tags = append(tags, iamapi.Tag{Key: new(key), Value: new(role.tags[key])})
	}
	_, err := invoke[iamapi.CreateRoleOutput](ctx, r, "iam", "CreateRole", &iamapi.CreateRoleInput{
		RoleName: &role.name, Tags: tags,
		AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + role.service + `"},"Action":"sts:AssumeRole"}]}`),
	})
	if err != nil && !iamapi.EntityAlreadyExistsException.Is(err) {
		return "", fmt.Errorf("making the role %s: %w", role.name, err)
	}
	partition := arn.Partition(r.identity.Region)
	for _, policy := range role.policies {
		if !strings.HasPrefix(policy, "arn:") {
			policy = arn.ARN{Partition: partition, Service: "iam", Account: "aws", Resource: "policy/" + policy}.String()
		}
		_, err := invoke[iamapi.AttachRolePolicyOutput](ctx, r, "iam", "AttachRolePolicy", &iamapi.AttachRolePolicyInput{
			RoleName: &role.name, PolicyArn: &policy,
		})
		if err != nil {
			return "", fmt.Errorf("attaching %s to %s: %w", policy, role.name, err)
		}
	}
	for _, p := range role.inline {
		_, err := invoke[iamapi.PutRolePolicyOutput](ctx, r, "iam", "PutRolePolicy", &iamapi.PutRolePolicyInput{
			RoleName: &role.name, PolicyName: &p.Name, PolicyDocument: new(p.document(partition)),
		})
		if err != nil {
			return "", fmt.Errorf("giving %s the policy %s: %w", role.name, p.Name, err)
		}
	}
	return r.scope().Global("iam", "role/%s", role.name), nil
}

// scope is where the region's resources are.
func (r *Region) scope() arn.Scope {
	return arn.Scope{Account: r.identity.Account, Region: r.identity.Region}
}
