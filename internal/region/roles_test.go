package region

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/eksctl"
)

func TestStackResource(t *testing.T) {
	name := regexp.MustCompile(`^[\w+=,.@-]{1,64}$`) // IAM's
	seen := map[string]bool{}
	for _, test := range []struct{ stack, resource, beginning string }{
		{"eksctl-c-cluster", "ServiceRole", "eksctl-c-cluster-ServiceRole-"},
		{"eksctl-d-cluster", "ServiceRole", "eksctl-d-cluster-ServiceRole-"},
		{"eksctl-c-nodegroup-g", "NodeInstanceRole", "eksctl-c-nodegroup-g-NodeInstanceRole-"},
		// Two long names that begin alike stay two.
		{strings.Repeat("a", 80) + "1", "NodeInstanceRole", strings.Repeat("a", 34) + "-NodeInstanceRole-"},
		{strings.Repeat("a", 80) + "2", "NodeInstanceRole", strings.Repeat("a", 34) + "-NodeInstanceRole-"},
	} {
		got := stackResource(test.stack, test.resource)
		rest, ok := strings.CutPrefix(got, test.beginning)
		if !ok || len(rest) != 12 || strings.ToUpper(rest) != rest || !name.MatchString(got) {
			t.Errorf("%s, %s: %s", test.stack, test.resource, got)
		}
		if seen[got] {
			t.Errorf("%s twice", got)
		}
		seen[got] = true
		if again := stackResource(test.stack, test.resource); again != got {
			t.Errorf("the second time %s, and %s before", again, got)
		}
	}
}

func TestRolesThatEksctlMakes(t *testing.T) {
	cmpRole := cmp.AllowUnexported(serviceRole{})
	want := serviceRole{
		name: stackResource("eksctl-c-cluster", "ServiceRole"), service: "eks.amazonaws.com",
		policies: []string{"AmazonEKSClusterPolicy"}, tags: map[string]string{"alpha.eksctl.io/cluster-name": "c"},
	}
	if diff := cmp.Diff(want, clusterRole("c"), cmpRole); diff != "" {
		t.Error(diff)
	}
	want = serviceRole{
		name: stackResource("eksctl-c-nodegroup-g", "NodeInstanceRole"), service: "ec2.amazonaws.com",
		policies: []string{"AmazonEC2ContainerRegistryReadOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonSSMManagedInstanceCore"},
		tags:     map[string]string{"alpha.eksctl.io/cluster-name": "c", "alpha.eksctl.io/nodegroup-name": "g"},
	}
	if diff := cmp.Diff(want, nodeRole("c", eksctl.NodeGroup{Name: "g", Managed: true}), cmpRole); diff != "" {
		t.Error(diff)
	}
}

func TestEnsureRole(t *testing.T) {
	r := newRegion(t)
	want := nodeRole("c", eksctl.NodeGroup{Name: "g", Managed: true, IAM: eksctl.NodeIAM{AddonPolicies: []string{"externalDNS", "cloudWatch"}}})
	for range 2 { // the first one may have been interrupted
		arn, err := r.ensureRole(t.Context(), want)
		if err != nil || arn != "arn:aws:iam::000000000000:role/"+want.name {
			t.Fatalf("%s, %v", arn, err)
		}
		got, err := r.iam.Role(t.Context(), arn)
		if err != nil {
			t.Fatal(err)
		}
		var attached []string
		for _, p := range got.Attached {
			attached = append(attached, strings.TrimPrefix(p, "arn:aws:iam::aws:policy/"))
		}
		slices.Sort(attached)
		if !slices.Equal(attached, want.policies) {
			t.Errorf("policies %v, want %v", attached, want.policies)
		}
		if len(got.Inline) != len(want.inline) || len(want.inline) == 0 || got.Inline[0].Document != want.inline[0].document("aws") {
			t.Errorf("inline policies %+v, want %+v", got.Inline, want.inline)
		}
		if diff := cmp.Diff(want.tags, got.Tags); diff != "" {
			t.Error(diff)
		}
		if exists, trusts, err := (eksRoles{r.iam}).Trust(t.Context(), arn, "ec2.amazonaws.com"); !exists || !trusts || err != nil {
			t.Errorf("EC2 may not assume it: %v, %v, %v", exists, trusts, err)
		}
	}
	_, err := r.ensureRole(t.Context(), serviceRole{name: "r", service: "ec2.amazonaws.com", policies: []string{"NoSuchPolicy"}})
	if !iamapi.NoSuchEntityException.Is(err) || !strings.Contains(err.Error(), "NoSuchPolicy") {
		t.Errorf("a policy that AWS has not: %v", err)
	}
	if _, err := r.ensureRole(t.Context(), serviceRole{name: "no name"}); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("a name that cannot be: %v", err)
	}
}
