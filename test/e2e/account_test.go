package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
)

// accountProgram is `account CLUSTER` in the scripts: it prints what there is in
// the account, without what differs from instance to instance. The aws CLI would
// say the same, but takes a second to start for each call.
func accountProgram() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithBaseEndpoint("http://127.0.0.1:"+os.Getenv("ENDPOINT_PORT")),
		config.WithSharedCredentialsFiles([]string{filepath.Join(os.Getenv("TARN_DATA_DIR"), "credentials")}))
	if err != nil {
		fail(err)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	for _, call := range accountCalls(cfg, os.Args[1]) {
		seen, err := call.do(ctx)
		if err == nil {
			fmt.Println(call.name)
			err = encoder.Encode(seen)
		}
		if err != nil {
			fail(fmt.Errorf("%s: %w", call.name, err))
		}
	}
}

type accountCall struct {
	name string
	do   func(context.Context) (any, error)
}

// see is a call, of whose output part is shown.
func see[I, O, X any](name string, call func(context.Context, *I, ...func(*X)) (*O, error), in I, part func(*O) any) accountCall {
	return accountCall{name, func(ctx context.Context) (any, error) {
		out, err := call(ctx, &in)
		if err != nil {
			return nil, err
		}
		return part(out), nil
	}}
}

func accountCalls(cfg aws.Config, cluster string) []accountCall {
	i, e, k, r := iam.NewFromConfig(cfg), ec2.NewFromConfig(cfg), eks.NewFromConfig(cfg), ecr.NewFromConfig(cfg)
	l := elasticloadbalancingv2.NewFromConfig(cfg)
	return []accountCall{
		see("users", i.ListUsers, iam.ListUsersInput{}, func(o *iam.ListUsersOutput) any { return o.Users }),
		see("groups", i.ListGroups, iam.ListGroupsInput{}, func(o *iam.ListGroupsOutput) any { return o.Groups }),
		see("policies", i.ListPolicies, iam.ListPoliciesInput{Scope: "Local"}, func(o *iam.ListPoliciesOutput) any { return o.Policies }),
		see("roles", i.GetAccountAuthorizationDetails, iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{"Role"}}, func(o *iam.GetAccountAuthorizationDetailsOutput) any {
			for i := range o.RoleDetailList {
				o.RoleDetailList[i].RoleLastUsed = nil
			}
			return o.RoleDetailList
		}),
		see("instance profiles", i.ListInstanceProfiles, iam.ListInstanceProfilesInput{}, func(o *iam.ListInstanceProfilesOutput) any { return o.InstanceProfiles }),
		see("OIDC providers", i.ListOpenIDConnectProviders, iam.ListOpenIDConnectProvidersInput{}, func(o *iam.ListOpenIDConnectProvidersOutput) any { return o.OpenIDConnectProviderList }),
		see("root's keys", i.ListAccessKeys, iam.ListAccessKeysInput{}, func(o *iam.ListAccessKeysOutput) any { return o.AccessKeyMetadata }),

		see("VPCs", e.DescribeVpcs, ec2.DescribeVpcsInput{}, func(o *ec2.DescribeVpcsOutput) any { return o.Vpcs }),
		see("subnets", e.DescribeSubnets, ec2.DescribeSubnetsInput{}, func(o *ec2.DescribeSubnetsOutput) any {
			for i := range o.Subnets {
				o.Subnets[i].AvailableIpAddressCount = nil // as many as instances leave
			}
			return o.Subnets
		}),
		see("route tables", e.DescribeRouteTables, ec2.DescribeRouteTablesInput{}, func(o *ec2.DescribeRouteTablesOutput) any { return o.RouteTables }),
		see("internet gateways", e.DescribeInternetGateways, ec2.DescribeInternetGatewaysInput{}, func(o *ec2.DescribeInternetGatewaysOutput) any { return o.InternetGateways }),
		see("security groups", e.DescribeSecurityGroups, ec2.DescribeSecurityGroupsInput{}, func(o *ec2.DescribeSecurityGroupsOutput) any { return o.SecurityGroups }),
		see("launch templates", e.DescribeLaunchTemplates, ec2.DescribeLaunchTemplatesInput{}, func(o *ec2.DescribeLaunchTemplatesOutput) any { return o.LaunchTemplates }),
		see("key pairs", e.DescribeKeyPairs, ec2.DescribeKeyPairsInput{}, func(o *ec2.DescribeKeyPairsOutput) any { return o.KeyPairs }),
		see("instances", e.DescribeInstances, ec2.DescribeInstancesInput{}, seenInstances),
		see("network interfaces", e.DescribeNetworkInterfaces, ec2.DescribeNetworkInterfacesInput{}, seenInterfaces),

		see("clusters", k.ListClusters, eks.ListClustersInput{}, func(o *eks.ListClustersOutput) any { return o.Clusters }),
		see("cluster", k.DescribeCluster, eks.DescribeClusterInput{Name: &cluster}, func(o *eks.DescribeClusterOutput) any {
			o.Cluster.CertificateAuthority = nil // one that is made again has another
			return o.Cluster
		}),
		see("node groups", k.ListNodegroups, eks.ListNodegroupsInput{ClusterName: &cluster}, func(o *eks.ListNodegroupsOutput) any { return o.Nodegroups }),
		see("node group", k.DescribeNodegroup, eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: aws.String("workers")}, func(o *eks.DescribeNodegroupOutput) any {
			o.Nodegroup.ModifiedAt = nil
			return o.Nodegroup
		}),
		see("add-ons", k.ListAddons, eks.ListAddonsInput{ClusterName: &cluster}, func(o *eks.ListAddonsOutput) any { return o.Addons }),
		see("access entries", k.ListAccessEntries, eks.ListAccessEntriesInput{ClusterName: &cluster}, func(o *eks.ListAccessEntriesOutput) any { return o.AccessEntries }),
		see("load balancers", elasticloadbalancing.NewFromConfig(cfg).DescribeLoadBalancers, elasticloadbalancing.DescribeLoadBalancersInput{}, func(o *elasticloadbalancing.DescribeLoadBalancersOutput) any {
			return o.LoadBalancerDescriptions
		}),
		see("application load balancers", l.DescribeLoadBalancers, elasticloadbalancingv2.DescribeLoadBalancersInput{}, func(o *elasticloadbalancingv2.DescribeLoadBalancersOutput) any {
			return o.LoadBalancers
		}),
		see("target groups", l.DescribeTargetGroups, elasticloadbalancingv2.DescribeTargetGroupsInput{}, func(o *elasticloadbalancingv2.DescribeTargetGroupsOutput) any {
			return o.TargetGroups
		}),
		see("certificates", acm.NewFromConfig(cfg).ListCertificates, acm.ListCertificatesInput{}, func(o *acm.ListCertificatesOutput) any { return o.CertificateSummaryList }),
		see("hosted zones", route53.NewFromConfig(cfg).ListHostedZones, route53.ListHostedZonesInput{}, func(o *route53.ListHostedZonesOutput) any { return o.HostedZones }),
		see("repositories", r.DescribeRepositories, ecr.DescribeRepositoriesInput{}, func(o *ecr.DescribeRepositoriesOutput) any { return o.Repositories }),
	}
}

// seenInstances are instances as others of their node group are.
func seenInstances(o *ec2.DescribeInstancesOutput) any {
	seen := []any{}
	for _, r := range o.Reservations {
		for _, i := range r.Instances {
			seen = append(seen, []any{i.InstanceType, i.VpcId, i.SecurityGroups, i.Tags, i.State, i.IamInstanceProfile})
		}
	}
	return seen
}

func seenInterfaces(o *ec2.DescribeNetworkInterfacesOutput) any {
	seen := []string{}
	for _, n := range o.NetworkInterfaces {
		seen = append(seen, fmt.Sprint(aws.ToString(n.Description), " ", aws.ToString(n.VpcId), " ", len(n.Groups), " ", len(n.TagSet)))
	}
	slices.Sort(seen)
	return seen
}
