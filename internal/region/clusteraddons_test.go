package region

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestAddonsFollowTheFile(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	c := r.withCluster(t, cc)
	if err := r.eks.ClusterStarted(t.Context(), c, eks.Endpoint{URL: "https://x"}); err != nil {
		t.Fatal(err)
	}
	apply := func() (warnings []string) {
		t.Helper()
		from := r.progress.count()
		if err := r.applyAddons(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
		events, _ := r.progress.after(from)
		for _, e := range events {
			warnings = append(warnings, e.Detail)
		}
		return warnings
	}
	coredns := func() eks.Addon {
		t.Helper()
		item, err := r.eks.Addons.Get(t.Context(), cc.Name+"/coredns")
		if err != nil {
			t.Fatal(err)
		}
		return item.Value
	}
	cc.Addons = []eksctl.Addon{{Name: "coredns", Version: "1.15", Configuration: "replicaCount: 3", ResolveConflicts: "overwrite", Tags: map[string]string{"a": "b"}}}
	if warnings := apply(); warnings != nil {
		t.Errorf("warnings: %q", warnings)
	}
	made := coredns()
	if made.Configuration != "replicaCount: 3" || made.ResolveConflicts != "OVERWRITE" || made.Tags["a"] != "b" || made.Status != eks.Creating {
		t.Errorf("%+v", made)
	}
	apply()
	if diff := cmp.Diff(made, coredns()); diff != "" {
		t.Errorf("the same file again: %s", diff)
	}

	// Other settings are an update, once the add-on takes one.
	cc.Addons[0].Configuration = "replicaCount: 4"
	if warnings := apply(); len(warnings) != 1 || !strings.Contains(warnings[0], "coredns") || !strings.Contains(warnings[0], "CREATING") {
		t.Errorf("while it is made: %q", warnings)
	}
	if err := r.eks.AddonApplied(t.Context(), made, nil, false); err != nil {
		t.Fatal(err)
	}
	if warnings := apply(); warnings != nil {
		t.Errorf("warnings: %q", warnings)
	}
	if changed := coredns(); changed.Configuration != "replicaCount: 4" || changed.Status != eks.Updating {
		t.Errorf("%+v", changed)
	}

	// What cannot be had is said, and the rest is done.
	cc.Addons = []eksctl.Addon{
		{Name: "nothing"}, {Name: "vpc-cni", Configuration: `{"env": {"A": "b"}}`}, {Name: "kube-proxy", Version: "v1.2.3-eksbuild.4"},
	}
	warnings := strings.Join(apply(), "\n")
	for _, want := range []string{"add-on nothing is left out", "add-on vpc-cni is not as the file has it: ", "add-on kube-proxy has version v1.37.2-eksbuild.1 and not the file's v1.2.3-eksbuild.4"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("%q is not in\n%s", want, warnings)
		}
	}
	list := call[eksapi.ListAddonsOutput](t, r, "eks", "ListAddons", &eksapi.ListAddonsInput{ClusterName: &cc.Name})
	if diff := cmp.Diff([]string{"coredns", "kube-proxy"}, list.Addons); diff != "" {
		t.Error(diff)
	}

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.applyAddons(stopped, cc); err == nil {
		t.Error("an interrupted one is a success")
	}
}

func TestIsVersion(t *testing.T) {
	const version = "v1.15.0-eksbuild.1"
	for want, is := range map[string]bool{
		"": true, version: true, "1.15.0-eksbuild.1": true, "v1.15.0": true, "1.15": true, "v1": true,
		"1.1": false, "1.15.1": false, "v1.15.0-eksbuild.10": false,
	} {
		if got := isVersion(version, want); got != is {
			t.Errorf("%q: %t", want, got)
		}
	}
}
