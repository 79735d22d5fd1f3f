package eks_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func (f *fixture) addon(name string) eks.Addon {
	f.Helper()
	item, err := f.Addons.Get(f.ctx, "lake/"+name)
	if err != nil {
		f.Fatal(err)
	}
	return item.Value
}

func (f *fixture) applied(a eks.Addon, failure error, final bool) {
	f.Helper()
	if err := f.AddonApplied(f.ctx, a, failure, final); err != nil {
		f.Fatal(err)
	}
}

func names(addons []eks.Addon) (list []string) {
	for _, a := range addons {
		list = append(list, a.Name+" "+a.Version)
	}
	return list
}

func TestAddonLife(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	if diff := cmp.Diff([]string{"coredns " + eks.CoreDNSVersion, "kube-proxy v1.37.2-eksbuild.1", "vpc-cni v1.21.1-eksbuild.1"}, names(f.SelfManagedAddons(f.cluster("lake")))); diff != "" {
		t.Errorf("what a cluster begins with: %s", diff)
	}
	if got := must(f, f.ListAddons, &eksapi.ListAddonsInput{ClusterName: new("lake")}).Addons; got == nil || len(got) != 0 {
		t.Errorf("the API shows %v", got)
	}
	in := &eksapi.CreateAddonInput{
		ClusterName: new("lake"), AddonName: new("coredns"), ConfigurationValues: new("replicaCount: 3"), Tags: map[string]string{"a": "b"},
		ServiceAccountRoleArn: new(nodeRole), ClientRequestToken: new("t"),
	}
	made := must(f, f.CreateAddon, in).Addon
	a := f.addon("coredns")
	want := &eksapi.Addon{
		AddonName: new("coredns"), ClusterName: new("lake"), Status: "CREATING", AddonVersion: new(eks.CoreDNSVersion),
		AddonArn: new("arn:aws:eks:ap-northeast-2:000000000000:addon/lake/coredns/" + a.ID), CreatedAt: &f.now, ModifiedAt: &f.now,
		Health: &eksapi.AddonHealth{Issues: []eksapi.AddonIssue{}}, ServiceAccountRoleArn: new(nodeRole),
		ConfigurationValues: new("replicaCount: 3"), Tags: in.Tags,
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made: %s", diff)
	}
	if diff := cmp.Diff(made, must(f, f.CreateAddon, in).Addon); diff != "" {
		t.Errorf("the same call again: %s", diff)
	}
	if got := names(f.SelfManagedAddons(f.cluster("lake"))); len(got) != 2 {
		t.Errorf("still self-managed: %v", got)
	}
	if values, err := a.Values(); err != nil || values["replicaCount"] != 3.0 {
		t.Errorf("%v, %v", values, err)
	}
	again := *in
	again.ClientRequestToken = nil
	refuse(f, "the same add-on", f.CreateAddon, &again, "ResourceInUseException", "Addon already exists.")
	change := &eksapi.UpdateAddonInput{ClusterName: new("lake"), AddonName: new("coredns"), ConfigurationValues: new(`{"replicaCount": 1}`), ResolveConflicts: "OVERWRITE"}
	refuse(f, "one that is made", f.UpdateAddon, change, "ResourceInUseException", "CREATING")

	f.applied(a, nil, false)
	if got := f.addon("coredns").Status; got != eks.Active {
		t.Error(got)
	}
	u := must(f, f.UpdateAddon, change).Update
	f.applied(a, nil, false) // late, of the old
	if got := f.addon("coredns").Status; got != eks.Updating {
		t.Errorf("after a late word of the old: %s", got)
	}
	f.applied(f.addon("coredns"), nil, false)
	if got := f.update("lake", "", "coredns", u); got.Status != "Successful" || len(got.Params) != 2 || got.Type != "AddonUpdate" {
		t.Errorf("%+v", got)
	}
	must(f, f.DeleteAddon, &eksapi.DeleteAddonInput{ClusterName: new("lake"), AddonName: new("coredns"), Preserve: new(true)})
	a = f.addon("coredns")
	if a.Status != eks.Deleting || !a.Preserve {
		t.Errorf("%+v", a)
	}
	f.applied(a, nil, false)
	refuse(f, "gone", f.DescribeAddon, &eksapi.DescribeAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}, "ResourceNotFoundException", "No addon: coredns found in cluster: lake")
	if n, err := count(f.Updates)(f.ctx, ""); n != 0 || err != nil {
		t.Errorf("%d updates are left, %v", n, err)
	}
}

func TestAddonSettles(t *testing.T) {
	few := &eks.AddonError{Code: eksapi.AddonIssueCodeInsufficientNumberOfReplicas, Message: "0 of 2 run"}
	conflict := &eks.AddonError{Code: eksapi.AddonIssueCodeConfigurationConflict, Message: "changed", Resources: []string{"Deployment/coredns"}}
	for _, test := range []struct {
		name   string
		update bool // it is updated; otherwise made
		delete bool
		err    error
		final  bool
		status eks.Status
		ended  string // the update
		code   string
	}{
		{name: "made", status: eks.Active},
		{name: "not yet", err: few, status: eks.Creating, code: "InsufficientNumberOfReplicas"},
		{name: "its pods do not run", err: few, final: true, status: eks.Degraded, code: "InsufficientNumberOfReplicas"},
		{name: "in the way of others", err: conflict, final: true, status: eks.CreateFailed, code: "ConfigurationConflict"},
		{name: "out of reach", err: errors.New("refused"), final: true, status: eks.CreateFailed, code: "ClusterUnreachable"},
		{name: "updated", update: true, status: eks.Active, ended: "Successful"},
		{name: "not yet updated", update: true, err: few, status: eks.Updating, ended: "InProgress", code: "InsufficientNumberOfReplicas"},
		{name: "update in the way", update: true, err: conflict, final: true, status: eks.UpdateFailed, ended: "Failed", code: "ConfigurationConflict"},
		{name: "not deleted", delete: true, err: errors.New("refused"), final: true, status: eks.DeleteFailed, code: "ClusterUnreachable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			f.active("lake")
			must(f, f.CreateAddon, &eksapi.CreateAddonInput{ClusterName: new("lake"), AddonName: new("coredns")})
			var u *eksapi.Update
			if test.update {
				f.applied(f.addon("coredns"), nil, false)
				u = must(f, f.UpdateAddon, &eksapi.UpdateAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}).Update
			}
			if test.delete {
				must(f, f.DeleteAddon, &eksapi.DeleteAddonInput{ClusterName: new("lake"), AddonName: new("coredns")})
			}
			f.applied(f.addon("coredns"), test.err, test.final)
			shown := must(f, f.DescribeAddon, &eksapi.DescribeAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}).Addon
			code := ""
			for _, i := range shown.Health.Issues {
				code += string(i.Code)
			}
			if string(shown.Status) != string(test.status) || code != test.code {
				t.Errorf("%s with %q, want %s with %q", shown.Status, code, test.status, test.code)
			}
			if u != nil {
				if got := f.update("lake", "", "coredns", u); string(got.Status) != test.ended || (len(got.Errors) > 0) != (test.ended == "Failed") {
					t.Errorf("the update is %+v", got)
				}
			}
			// It recovers.
			f.applied(f.addon("coredns"), nil, false)
			if !test.delete && f.addon("coredns").Status != eks.Active {
				t.Errorf("afterwards: %s", f.addon("coredns").Status)
			}
		})
	}
}

func TestAddonRefuses(t *testing.T) {
	f := newFixture(t)
	f.active("lake")
	for _, test := range []struct{ addon, version, values, text string }{
		{"aws-ebs-csi-driver", "", "", "Addon aws-ebs-csi-driver specified is not supported"},
		{"coredns", "v1.9.3-eksbuild.1", "", "Addon version specified is not supported"},
		{"coredns", "", `{"nodeSelector": {}}`, "ConfigurationValue provided in request is not supported: Json schema validation failed with error: [$.nodeSelector: is not defined in the schema and the schema does not allow additional properties]"},
		{"coredns", "", `{"replicaCount": "two", "corefile": 1}`, "[$.corefile: integer found, string expected, $.replicaCount: string found, integer expected]"},
		{"coredns", "", `replicaCount: 0`, "$.replicaCount: must have a minimum value of 1"},
		{"coredns", "", `{`, "neither JSON nor YAML"},
		{"kube-proxy", "", `{"mode": "ipvs"}`, "$.mode: is not defined"},
		{"metrics-server", "", `{"replicas": 0}`, "$.replicas: must have a minimum value of 1"},
	} {
		in := &eksapi.CreateAddonInput{ClusterName: new("lake"), AddonName: &test.addon}
		if test.version != "" {
			in.AddonVersion = &test.version
		}
		if test.values != "" {
			in.ConfigurationValues = &test.values
		}
		refuse(f, test.text, f.CreateAddon, in, "InvalidParameterException", test.text)
	}
}

func TestDescribeAddonVersions(t *testing.T) {
	f := newFixture(t)
	for _, test := range []struct {
		name string
		in   eksapi.DescribeAddonVersionsInput
		want []string
	}{
		{"all", eksapi.DescribeAddonVersionsInput{}, []string{eks.Observability, "coredns", "kube-proxy", "metrics-server", "vpc-cni"}},
		{"one", eksapi.DescribeAddonVersionsInput{AddonName: new("vpc-cni"), KubernetesVersion: new("1.37")}, []string{"vpc-cni"}},
		{"another Kubernetes", eksapi.DescribeAddonVersionsInput{KubernetesVersion: new("1.30")}, []string{}},
		{"unknown", eksapi.DescribeAddonVersionsInput{AddonName: new("x")}, []string{}},
		{"storage", eksapi.DescribeAddonVersionsInput{Types: []string{"storage"}}, []string{}},
		{"observability", eksapi.DescribeAddonVersionsInput{Types: []string{"observability"}, Owners: []string{"community"}}, []string{"metrics-server"}},
		{"AWS's own", eksapi.DescribeAddonVersionsInput{Types: []string{"observability"}, Owners: []string{"aws"}}, []string{eks.Observability}},
		{"networking", eksapi.DescribeAddonVersionsInput{Types: []string{"networking"}, Owners: []string{"aws"}, MaxResults: new(int32(1))}, []string{"coredns"}},
	} {
		got := []string{}
		for _, a := range must(f, f.DescribeAddonVersions, &test.in).Addons {
			got = append(got, *a.AddonName)
			configuration := must(f, f.DescribeAddonConfiguration, &eksapi.DescribeAddonConfigurationInput{AddonName: a.AddonName, AddonVersion: a.AddonVersions[0].AddonVersion})
			if !json.Valid([]byte(*configuration.ConfigurationSchema)) {
				t.Errorf("%s: schema %s", *a.AddonName, *configuration.ConfigurationSchema)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	refuse(f, "the configuration of another version", f.DescribeAddonConfiguration, &eksapi.DescribeAddonConfigurationInput{AddonName: new("coredns"), AddonVersion: new("v1")}, "InvalidParameterException", "Addon version specified is not supported")
}
