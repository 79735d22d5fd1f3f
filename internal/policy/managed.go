package policy

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Managed is a policy that AWS keeps in every account.
type Managed struct {
	Name        string
	Path        string // "/", "/service-role/" …
	ARN         string
	Version     string // default version: v1 …
	Description string
	Created     time.Time // when AWS made the policy
	Updated     time.Time // when AWS made this version
	Policy      *Policy
}

// The documents are AWS's, as its managed policy reference publishes them; of
// ReadOnlyAccess those parts are kept that concern services which exist here.
//
//go:embed managed/*.json
var managedFiles embed.FS

const (
	eksNode  = "This policy allows Amazon EKS worker nodes to connect to Amazon EKS Clusters."
	original = "2015-02-06T18:39:46Z"
)

var managedIndex = []struct{ name, version, created, updated, description string }{
	{"AdministratorAccess", "v1", original, original, "Provides full access to AWS services and resources."},
	{"AmazonEC2ContainerRegistryPowerUser", "v3", "2015-12-21T17:05:33Z", "2019-12-10T20:48:08Z",
		"Provides full access to Amazon EC2 Container Registry repositories, but does not allow repository deletion or policy changes."},
	{"AmazonEC2ContainerRegistryPullOnly", "v1", "2024-10-04T16:58:49Z", "2024-10-04T16:58:49Z",
		"Provides access to pull images from Amazon EC2 Container Registry repositories."},
	{"AmazonEC2ContainerRegistryReadOnly", "v3", "2015-12-21T17:04:15Z", "2019-12-10T20:56:32Z",
		"Provides read-only access to Amazon EC2 Container Registry repositories."},
	{"AmazonEC2FullAccess", "v5", "2015-02-06T18:40:15Z", "2018-11-27T02:16:56Z",
		"Provides full access to Amazon EC2 via the AWS Management Console."},
	{"AmazonEKSClusterPolicy", "v9", "2018-05-27T21:06:14Z", "2026-02-11T22:21:13Z",
		"This policy provides Kubernetes the permissions it requires to manage resources on your behalf. Kubernetes requires Ec2:CreateTags permissions " +
			"to place identifying information on EC2 resources including but not limited to Instances, Security Groups, and Elastic Network Interfaces. "},
	{"AmazonEKSWorkerNodeMinimalPolicy", "v1", "2024-10-02T20:03:51Z", "2024-10-02T20:03:51Z", eksNode},
	{"AmazonEKSWorkerNodePolicy", "v3", "2018-05-27T21:09:01Z", "2023-11-27T00:06:13Z", eksNode},
	{"AmazonEKS_CNI_Policy", "v5", "2018-05-27T21:07:42Z", "2024-03-04T20:20:55Z",
		"This policy provides the Amazon VPC CNI Plugin (amazon-vpc-cni-k8s) the permissions it requires to modify the IP address configuration on your EKS " +
			"worker nodes. This permission set allows the CNI to list, describe, and modify Elastic Network Interfaces on your behalf. More information on the " +
			"AWS VPC CNI Plugin is available here: https://github.com/aws/amazon-vpc-cni-k8s"},
	{"AmazonRoute53FullAccess", "v5", "2015-02-06T18:40:54Z", "2025-05-15T18:07:06Z",
		"Provides full access to all Amazon Route 53 via the AWS Management Console."},
	{"AmazonSSMManagedInstanceCore", "v2", "2019-03-15T17:22:12Z", "2019-05-23T16:54:21Z",
		"The policy for Amazon EC2 Role to enable AWS Systems Manager service core functionality."},
	{"AutoScalingFullAccess", "v2", "2017-01-12T19:31:58Z", "2018-02-06T21:59:13Z", "Provides full access to Auto Scaling."},
	{"CloudWatchAgentServerPolicy", "v3", "2018-03-07T01:06:44Z", "2024-02-06T16:37:37Z",
		"Permissions required to use AmazonCloudWatchAgent on servers"},
	{"ElasticLoadBalancingFullAccess", "v7", "2018-09-20T20:42:07Z", "2022-11-29T01:45:49Z",
		"Provides full access to Amazon ElasticLoadBalancing, and limited access to other services necessary to provide ElasticLoadBalancing features."},
	{"IAMFullAccess", "v2", "2015-02-06T18:40:38Z", "2019-06-21T19:40:00Z", "Provides full access to IAM via the AWS Management Console."},
	{"PowerUserAccess", "v12", "2015-02-06T18:39:47Z", "2026-02-12T17:59:14Z",
		"Provides full access to AWS services and resources, but does not allow management of Users and groups."},
	{"ReadOnlyAccess", "v87", "2015-02-06T18:39:48Z", "2022-05-23T20:16:18Z", "Provides read-only access to AWS services and resources."},
}

var managed = sync.OnceValue(func() []*Managed {
	out := make([]*Managed, 0, len(managedIndex))
	for _, m := range managedIndex {
		document, err := managedFiles.ReadFile("managed/" + m.name + ".json")
		if err != nil {
			panic(fmt.Sprintf("managed policy %s is not embedded: %v", m.name, err))
		}
		parsed, err := Parse(IdentityPolicy, strings.TrimSpace(string(document)))
		if err != nil {
			panic(fmt.Sprintf("managed policy %s: %v", m.name, err))
		}
		out = append(out, &Managed{
			Name: m.name, Path: "/", ARN: "arn:aws:iam::aws:policy/" + m.name, Version: m.version, Description: m.description,
			Created: date(m.created), Updated: date(m.updated), Policy: parsed,
		})
	}
	return out
})

func date(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// AWSManaged lists the managed policies, by name.
func AWSManaged() []*Managed { return slices.Clone(managed()) }

// ManagedByARN finds one; nil if there is none.
func ManagedByARN(arn string) *Managed {
	for _, m := range managed() {
		if m.ARN == arn {
			return m
		}
	}
	return nil
}
