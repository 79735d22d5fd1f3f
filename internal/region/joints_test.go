package region

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

func TestTrust(t *testing.T) {
	r := newRegion(t)
	for name, document := range map[string]string{
		"ec2":  ec2Trust,
		"both": strings.Replace(ec2Trust, `"ec2.amazonaws.com"`, `["ec2.amazonaws.com","eks.amazonaws.com"]`, 1),
		"denied": strings.Replace(ec2Trust, `}]}`,
			`},{"Effect":"Deny","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:*"}]}`, 1),
		"root":   `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}]}`,
		"tagger": strings.Replace(ec2Trust, "sts:AssumeRole", "sts:TagSession", 1),
	} {
		call[iamapi.CreateRoleOutput](t, r, "iam", "CreateRole", &iamapi.CreateRoleInput{
			RoleName: &name, Path: new("/p/"), AssumeRolePolicyDocument: &document,
		})
	}
	roles := eksRoles{r.iam}
	for _, test := range []struct {
		role, service  string
		exists, trusts bool
	}{
		{"p/ec2", "ec2.amazonaws.com", true, true},
		{"p/ec2", "eks.amazonaws.com", true, false},
		{"p/both", "eks.amazonaws.com", true, true},
		{"p/denied", "ec2.amazonaws.com", true, false},
		{"p/root", "ec2.amazonaws.com", true, false},
		{"p/tagger", "ec2.amazonaws.com", true, false},
		{"p/none", "ec2.amazonaws.com", false, false},
		{"ec2", "ec2.amazonaws.com", false, false}, // without its path
	} {
		arn := "arn:aws:iam::000000000000:role/" + test.role
		exists, trusts, err := roles.Trust(t.Context(), arn, test.service)
		if err != nil || exists != test.exists || trusts != test.trusts {
			t.Errorf("%s and %s: exists %v, trusts %v, %v", test.role, test.service, exists, trusts, err)
		}
		if got, err := roles.Exists(t.Context(), arn); err != nil || got != test.exists {
			t.Errorf("%s exists: %v, %v", test.role, got, err)
		}
	}
	if exists, _, err := roles.Trust(t.Context(), "arn:aws:iam::123456789012:role/p/ec2", "ec2.amazonaws.com"); exists || err != nil {
		t.Errorf("of another account: %v, %v", exists, err)
	}
}

func TestIssuerKeys(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	url := r.eks.Issuer(c)
	for _, other := range []string{"https://example.com", url + "0", url[:len(url)-1], ""} {
		if keys, err := (issuers{r}).Keys(t.Context(), other); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v, %v", other, keys, err)
		}
	}
	// A cluster whose control plane has not started has no key yet.
	if keys, err := (issuers{r}).Keys(t.Context(), url); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "eks-work") {
		t.Errorf("before it started: %v, %v", keys, err)
	}
	config := r.describe(c)
	config.Address = addr("192.168.0.10")
	if err := config.Prepare(); err != nil {
		t.Fatal(err)
	}
	keys, err := issuers{r}.Keys(t.Context(), url)
	if err != nil || len(keys.Keys) != 1 {
		t.Fatalf("%+v, %v", keys, err)
	}
	if k := keys.Keys[0]; k.KeyID == "" || !k.IsPublic() || !k.Valid() {
		t.Errorf("%+v", k)
	}
	switch key := keys.Keys[0].Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		t.Errorf("%T", key)
	}
	file := config.PKI("sa.pub")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string][]byte{
		"empty": nil, "no PEM": []byte("key"), "no key": bytes.ReplaceAll(whole, whole[30:40], []byte("AAAAAAAAAA")),
	} {
		if err := os.WriteFile(file, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (issuers{r}).Keys(t.Context(), url); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEKSNetworkSubnets(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	v, subnets := r.withNetwork(t, cc)
	network := eksNetwork{r.ec2}
	a, b := subnets[0], subnets[3]
	before, err := network.Subnets(t.Context(), []string{b.ID, "subnet-0", a.ID})
	if err != nil || len(before) != 2 {
		t.Fatalf("%+v, %v", before, err)
	}
	want := []eks.Subnet{ // in the order of the question
		{ID: b.ID, VPC: v.ID, Zone: b.Zone, Free: before[0].Free, VPCCIDRs: []netip.Prefix{v.CIDR}},
		{ID: a.ID, VPC: v.ID, Zone: a.Zone, Free: before[1].Free, VPCCIDRs: []netip.Prefix{v.CIDR}},
	}
	if diff := cmp.Diff(want, before, sameAddress); diff != "" {
		t.Error(diff)
	}
	if size := 1 << (32 - a.CIDR.Bits()); before[1].Free < size-16 || before[1].Free >= size {
		t.Errorf("%d of %d addresses are free", before[1].Free, size)
	}
	if _, err := r.ec2.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: a.ID}); err != nil {
		t.Fatal(err)
	}
	after, err := network.Subnets(t.Context(), []string{a.ID})
	if err != nil || len(after) != 1 || after[0].Free != before[1].Free-1 {
		t.Errorf("with one more interface: %+v, %v, and %d were free before", after, err, before[1].Free)
	}
	if none, err := network.Subnets(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
}

func TestEKSNetworkSecurityGroups(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	v, _ := r.withNetwork(t, cc)
	groups, _, err := r.ec2.SecurityGroups.List(t.Context(), "")
	if err != nil || len(groups) == 0 {
		t.Fatalf("%v, %v", groups, err)
	}
	got, err := eksNetwork{r.ec2}.SecurityGroups(t.Context(), []string{"sg-0", groups[0].Key})
	if diff := cmp.Diff(map[string]string{groups[0].Key: v.ID}, got); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
	}
}

func TestEKSNetworkLaunchTemplate(t *testing.T) {
	r := newRegion(t)
	made := call[ec2api.CreateLaunchTemplateOutput](t, r, "ec2", "CreateLaunchTemplate", &ec2api.CreateLaunchTemplateInput{
		LaunchTemplateName: new("mine"), LaunchTemplateData: &ec2api.RequestLaunchTemplateData{InstanceType: "t3.large"},
	}).LaunchTemplate
	id := *made.LaunchTemplateId
	call[ec2api.CreateLaunchTemplateVersionOutput](t, r, "ec2", "CreateLaunchTemplateVersion", &ec2api.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: &id, LaunchTemplateData: &ec2api.RequestLaunchTemplateData{ImageId: new("ami-12345678")},
	})
	network := eksNetwork{r.ec2}
	for _, test := range []struct{ id, name, version, number, kind string }{
		{id, "", "", "1", "t3.large"},
		{"", "mine", "$Default", "1", "t3.large"},
		{"", "mine", "$Latest", "2", ""},
		{id, "", "2", "2", ""},
	} {
		want := eks.LaunchTemplate{ID: id, Name: "mine", Version: test.number, InstanceType: test.kind}
		if got, err := network.LaunchTemplate(t.Context(), test.id, test.name, test.version); err != nil || got != want {
			t.Errorf("%+v: %+v, %v", test, got, err)
		}
	}
	for _, test := range [][3]string{{id, "", "3"}, {"", "other", ""}, {"lt-0123456789abcdef0", "", ""}} {
		if got, err := network.LaunchTemplate(t.Context(), test[0], test[1], test[2]); !errors.Is(err, store.ErrNotFound) || got != (eks.LaunchTemplate{}) {
			t.Errorf("%q: %+v, %v", test, got, err)
		}
	}
}

func TestNodeProfiles(t *testing.T) {
	r := newRegion(t)
	p, ctx := nodeProfiles{r}, t.Context()
	role := r.withRole(t, "Node") // IAM's names differ by more than case
	const arn = "arn:aws:iam::000000000000:instance-profile/eks-1"
	check := func() {
		t.Helper()
		found, err := profiles{r.iam}.InstanceProfile(ctx, "eks-1")
		if err != nil || found.ARN != arn || found.RoleARN != role || found.ID == "" || found.Name != "eks-1" {
			t.Errorf("%+v, %v", found, err)
		}
	}
	for range 2 { // idempotent
		if got, err := p.EnsureInstanceProfile(ctx, "eks-1", role); err != nil || got != arn {
			t.Fatalf("%s, %v", got, err)
		}
		check()
	}
	// A crash may have come between the two steps.
	call[iamapi.RemoveRoleFromInstanceProfileOutput](t, r, "iam", "RemoveRoleFromInstanceProfile", &iamapi.RemoveRoleFromInstanceProfileInput{
		InstanceProfileName: new("eks-1"), RoleName: new("Node"),
	})
	if got, err := p.EnsureInstanceProfile(ctx, "eks-1", role); err != nil || got != arn {
		t.Errorf("after a crash: %s, %v", got, err)
	}
	check()

	if got, err := p.EnsureInstanceProfile(ctx, "eks-2", role+"x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("with a role that is not there: %s, %v", got, err)
	}
	for _, name := range []string{"eks-1", "eks-1", "eks-2", "eks-3"} { // with a role, gone, without a role, never there
		if err := p.DeleteInstanceProfile(ctx, name); err != nil {
			t.Errorf("deleting %s: %v", name, err)
		}
		if found, err := r.iam.InstanceProfile(ctx, name); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s is left: %+v, %v", name, found, err)
		}
	}
	// Nothing holds the role any more.
	call[iamapi.DeleteRoleOutput](t, r, "iam", "DeleteRole", &iamapi.DeleteRoleInput{RoleName: new("Node")})
}

// An instance is launched with a profile that IAM knows, and shows it.
func TestProfiles(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	_, subnets := r.withNetwork(t, cc)
	arn, err := nodeProfiles{r}.EnsureInstanceProfile(t.Context(), "eks-1", r.withRole(t, "node"))
	if err != nil {
		t.Fatal(err)
	}
	in := ec2.LaunchInput{Type: "t3.small", Subnet: subnets[0].ID, Count: 1, Profile: "eks-1"}
	made, err := r.ec2.Launch(t.Context(), in)
	if err != nil || made[0].Profile.ARN != arn || !strings.HasSuffix(made[0].Profile.RoleARN, ":role/node") {
		t.Errorf("%+v, %v", made, err)
	}
	in.Profile = "eks-2"
	if _, err := r.ec2.Launch(t.Context(), in); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a profile that is not there: %v", err)
	}
}

func TestSTSRoles(t *testing.T) {
	r := newRegion(t)
	arn := r.withRole(t, "node")
	got, err := stsRoles{r.iam}.Role(t.Context(), arn)
	if err != nil || got.ARN != arn || got.Name != "node" || !strings.HasPrefix(got.ID, "AROA") || got.Trust == nil || got.MaxSession.Hours() != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (stsRoles{r.iam}).Role(t.Context(), arn+"x"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := (stsProviders{r.iam}).OIDCProvider(t.Context(), "https://example.com"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}
