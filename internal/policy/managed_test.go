package policy

import (
	"io/fs"
	"strings"
	"testing"
)

func TestManagedComplete(t *testing.T) {
	files, err := fs.Glob(managedFiles, "managed/*.json")
	if err != nil || len(files) != len(managedIndex) {
		t.Errorf("%d files, %d in the index, %v", len(files), len(managedIndex), err)
	}
	for _, m := range AWSManaged() {
		if m.Policy.Len() == 0 || m.Policy.Version() != Version2012 || m.Description == "" || !strings.HasPrefix(m.Version, "v") ||
			m.Created.Year() < 2015 || m.Updated.Before(m.Created) || ManagedByARN(m.ARN) != m {
			t.Errorf("%+v", m)
		}
	}
	if ManagedByARN("arn:aws:iam::aws:policy/None") != nil {
		t.Error("found what does not exist")
	}
}

func TestManaged(t *testing.T) {
	const eni = "arn:aws:ec2:ap-northeast-2:123456789012:network-interface/eni-1"
	elb := map[string][]string{"iam:AWSServiceName": {"elasticloadbalancing.amazonaws.com"}}
	tests := []struct {
		policy, action, resource string
		context                  map[string][]string
		want                     bool
	}{
		{"AdministratorAccess", "iam:CreateUser", "arn:aws:iam::123456789012:user/x", nil, true},
		{"PowerUserAccess", "ec2:RunInstances", eni, nil, true},
		{"PowerUserAccess", "iam:CreateUser", "arn:aws:iam::123456789012:user/x", nil, false},
		{"PowerUserAccess", "iam:ListRoles", "", nil, true},
		{"ReadOnlyAccess", "ec2:DescribeInstances", "", nil, true},
		{"ReadOnlyAccess", "eks:DescribeCluster", "arn:aws:eks:ap-northeast-2:123456789012:cluster/c", nil, true},
		{"ReadOnlyAccess", "ec2:RunInstances", eni, nil, false},
		{"ReadOnlyAccess", "ecr:PutImage", "arn:aws:ecr:ap-northeast-2:123456789012:repository/r", nil, false},
		{"ReadOnlyAccess", "route53:ListHostedZones", "", nil, true},
		{"ReadOnlyAccess", "logs:FilterLogEvents", "", nil, true},
		{"AmazonEKSClusterPolicy", "elasticloadbalancing:CreateLoadBalancer", "arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:loadbalancer/a", nil, true},
		{"AmazonEKSClusterPolicy", "elasticloadbalancing:AddTags", "", nil, true},
		{"AmazonEKSClusterPolicy", "elasticloadbalancing:RemoveTags", "", nil, false},
		{"AmazonEKSClusterPolicy", "iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/x", elb, true},
		{"AmazonEKSClusterPolicy", "iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/x", nil, false},
		{"AmazonEKSClusterPolicy", "ec2:DeleteNetworkInterface", eni, map[string][]string{"ec2:ResourceTag/eks:eni:owner": {"amazon-vpc-cni"}}, true},
		{"AmazonEKSClusterPolicy", "ec2:DeleteNetworkInterface", eni, nil, false},
		{"AmazonEKSWorkerNodePolicy", "eks:DescribeCluster", "arn:aws:eks:ap-northeast-2:123456789012:cluster/c", nil, true},
		{"AmazonEKSWorkerNodePolicy", "autoscaling:SetDesiredCapacity", "", nil, false},
		{"AmazonEKSWorkerNodeMinimalPolicy", "eks-auth:AssumeRoleForPodIdentity", "arn:aws:eks:ap-northeast-2:123456789012:cluster/c", nil, true},
		{"AmazonEKSWorkerNodeMinimalPolicy", "eks:DescribeCluster", "", nil, false},
		{"AmazonEKS_CNI_Policy", "ec2:CreateTags", eni, nil, true},
		{"AmazonEKS_CNI_Policy", "ec2:CreateTags", "arn:aws:ec2:ap-northeast-2:123456789012:instance/i-1", nil, false},
		{"AmazonEC2ContainerRegistryReadOnly", "ecr:BatchGetImage", "arn:aws:ecr:ap-northeast-2:123456789012:repository/r", nil, true},
		{"AmazonEC2ContainerRegistryReadOnly", "ecr:PutImage", "arn:aws:ecr:ap-northeast-2:123456789012:repository/r", nil, false},
		{"AmazonEC2ContainerRegistryPowerUser", "ecr:PutImage", "arn:aws:ecr:ap-northeast-2:123456789012:repository/r", nil, true},
		{"AmazonEC2ContainerRegistryPowerUser", "ecr:DeleteRepository", "arn:aws:ecr:ap-northeast-2:123456789012:repository/r", nil, false},
		{"AmazonEC2ContainerRegistryPullOnly", "ecr:GetAuthorizationToken", "", nil, true},
		{"AmazonEC2ContainerRegistryPullOnly", "ecr:DescribeImages", "", nil, false},
		{"AutoScalingFullAccess", "autoscaling:SetDesiredCapacity", "arn:aws:autoscaling:ap-northeast-2:123456789012:autoScalingGroup:1:autoScalingGroupName/g", nil, true},
		{"AutoScalingFullAccess", "ec2:DescribeLaunchTemplateVersions", "", nil, true},
		{"AutoScalingFullAccess", "ec2:RunInstances", "", nil, false},
		{"CloudWatchAgentServerPolicy", "cloudwatch:PutMetricData", "", nil, true},
		{"CloudWatchAgentServerPolicy", "ssm:GetParameter", "arn:aws:ssm:ap-northeast-2:123456789012:parameter/AmazonCloudWatch-x", nil, true},
		{"CloudWatchAgentServerPolicy", "ssm:GetParameter", "arn:aws:ssm:ap-northeast-2:123456789012:parameter/secret", nil, false},
		{"AmazonSSMManagedInstanceCore", "ssmmessages:OpenDataChannel", "", nil, true},
		{"AmazonSSMManagedInstanceCore", "ssm:SendCommand", "", nil, false},
		{"IAMFullAccess", "iam:CreateRole", "arn:aws:iam::123456789012:role/r", nil, true},
		{"IAMFullAccess", "ec2:DescribeInstances", "", nil, false},
		{"AmazonEC2FullAccess", "ec2:RunInstances", eni, nil, true},
		{"AmazonEC2FullAccess", "iam:CreateServiceLinkedRole", "arn:aws:iam::123456789012:role/aws-service-role/x", elb, true},
		{"AmazonEC2FullAccess", "iam:PassRole", "arn:aws:iam::123456789012:role/r", nil, false},
		{"AmazonRoute53FullAccess", "route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z", nil, true},
		{"AmazonRoute53FullAccess", "ec2:RunInstances", "", nil, false},
		{"ElasticLoadBalancingFullAccess", "elasticloadbalancing:DeleteLoadBalancer", "arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:loadbalancer/a", nil, true},
		{"ElasticLoadBalancingFullAccess", "ec2:RunInstances", "", nil, false},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		m := ManagedByARN("arn:aws:iam::aws:policy/" + tt.policy)
		if m == nil {
			t.Fatal(tt.policy)
		}
		seen[tt.policy] = true
		r := &Request{Principal: ses, Action: tt.action, Context: tt.context}
		if tt.resource != "" {
			r.Resources = []string{tt.resource}
		}
		if d := Evaluate(r, &Policies{Identity: []Source{{m.Name, m.Policy}}}); d.Allowed() != tt.want {
			t.Errorf("%s: %s on %s: %v", tt.policy, tt.action, tt.resource, d.Outcome)
		}
	}
	for _, m := range AWSManaged() {
		if !seen[m.Name] {
			t.Errorf("%s is not tested", m.Name)
		}
	}
}

func benchmark(b *testing.B, name, action, resource string) {
	m := ManagedByARN("arn:aws:iam::aws:policy/" + name)
	r := &Request{Principal: ses, Action: action, Resources: []string{resource}, Context: map[string][]string{
		"aws:sourceip": {"127.0.0.1"}, "aws:requestedregion": {"ap-northeast-2"}, "aws:useragent": {"aws-cli/2"},
	}}
	p := &Policies{Identity: []Source{{m.Name, m.Policy}}}
	b.ReportAllocs()
	for b.Loop() {
		if d := Evaluate(r, p); !d.Allowed() {
			b.Fatal(d)
		}
	}
}

func BenchmarkAdministratorAccess(b *testing.B) {
	benchmark(b, "AdministratorAccess", "ec2:RunInstances", "arn:aws:ec2:ap-northeast-2:123456789012:instance/i-1")
}

func BenchmarkAmazonEKSClusterPolicy(b *testing.B) {
	benchmark(b, "AmazonEKSClusterPolicy", "elasticloadbalancing:SetLoadBalancerPoliciesOfListener", "arn:aws:elasticloadbalancing:ap-northeast-2:123456789012:loadbalancer/a")
}
