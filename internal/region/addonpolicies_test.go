package region

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestNodePolicies(t *testing.T) {
	const own = "arn:aws:iam::000000000000:policy/own"
	for name, test := range map[string]struct {
		managed  bool
		arns     string
		switches string
		want     string
	}{
		"managed":       {true, "", "", "AmazonEC2ContainerRegistryReadOnly AmazonEKSWorkerNodePolicy AmazonEKS_CNI_Policy AmazonSSMManagedInstanceCore"},
		"self-managed":  {false, "", "", "AmazonEC2ContainerRegistryReadOnly AmazonEKSWorkerNodePolicy AmazonEKS_CNI_Policy AmazonSSMManagedInstanceCore"},
		"cloudWatch":    {true, "", "cloudWatch", "AmazonEC2ContainerRegistryReadOnly AmazonEKSWorkerNodePolicy AmazonEKS_CNI_Policy AmazonSSMManagedInstanceCore CloudWatchAgentServerPolicy"},
		"imageBuilder":  {false, "", "imageBuilder", "AmazonEC2ContainerRegistryPowerUser AmazonEKSWorkerNodePolicy AmazonEKS_CNI_Policy AmazonSSMManagedInstanceCore"},
		"own in place":  {true, own, "", "AmazonSSMManagedInstanceCore " + own},
		"own and image": {false, own, "", "AmazonEC2ContainerRegistryReadOnly AmazonSSMManagedInstanceCore " + own},
		"named":         {true, "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore", "", "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"},
	} {
		g := eksctl.NodeGroup{Managed: test.managed, IAM: eksctl.NodeIAM{PolicyARNs: strings.Fields(test.arns), AddonPolicies: strings.Fields(test.switches)}}
		if got := strings.Join(nodePolicies(g), " "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestInlinePolicies(t *testing.T) {
	for switches, want := range map[string]string{
		"":                        "[]",
		"cloudWatch imageBuilder": "[]", // attached ones
		"autoScaler":              "[PolicyAutoScaling]",
		"externalDNS":             "[PolicyExternalDNSChangeSet PolicyExternalDNSHostedZones]",
		"externalDNS certManager": "[PolicyCertManagerChangeSet PolicyCertManagerHostedZones PolicyCertManagerGetChange]",
		"albIngress awsLoadBalancerController ebs": "[PolicyAWSLoadBalancerController PolicyEBS]",
	} {
		var names []string
		for _, p := range inlinePolicies(strings.Fields(switches)) {
			names = append(names, p.Name)
			if p.Name == "PolicyCertManagerHostedZones" && !slices.Contains(p.Actions, "route53:ListHostedZones") {
				t.Error("ExternalDNS may not list hosted zones")
			}
		}
		if got := fmt.Sprint(names); got != want {
			t.Errorf("%s: %s, want %s", switches, got, want)
		}
	}
	if n := len(addonPolicies["certManager"][1].Actions); n != 2 {
		t.Errorf("the table was changed: %d actions", n)
	}
	for s, list := range addonPolicies {
		for _, p := range list {
			if _, err := policy.Parse(policy.IdentityPolicy, p.document("aws-cn")); err != nil || len(p.Actions) == 0 {
				t.Errorf("%s: %s: %v", s, p.Name, err)
			}
		}
	}
	for _, bad := range []string{"  Policy *\n", "a b\n", "a\n    ec2:X\n", "a\n  P\n"} {
		if p, err := parseAddonPolicies(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}

func TestRoleWithInlinePolicies(t *testing.T) {
	r := newRegion(t)
	want := nodeRole("c", eksctl.NodeGroup{Name: "g", Managed: true, IAM: eksctl.NodeIAM{AddonPolicies: []string{"autoScaler"}}})
	arn, err := r.ensureRole(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	role, err := r.iam.Role(t.Context(), arn)
	if err != nil || len(role.Inline) != 1 || role.Inline[0].Name != "eksctl-c-nodegroup-g-PolicyAutoScaling" ||
		!strings.Contains(role.Inline[0].Document, "autoscaling:SetDesiredCapacity") {
		t.Errorf("%+v, %v", role.Inline, err)
	}
}
