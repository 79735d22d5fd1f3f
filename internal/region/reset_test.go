package region

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// Whoever adds a collection must say what a reset does with it.
func TestResetKnowsEveryCollection(t *testing.T) {
	made := regexp.MustCompile(`store\.NewCollection\[[^\]]+\]\([^,]+, "([^"]+)"\)`)
	var names []string
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range made.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	known := slices.Concat(settings, living)
	slices.Sort(names)
	slices.Sort(known)
	if diff := cmp.Diff(names, known); diff != "" {
		t.Errorf("collections that there are, and that a reset knows: %s", diff)
	}
}

// state is what a store holds in these tests.
type state struct{ store.Contents }

func (s state) put(t *testing.T, collection, key string, v any) state {
	t.Helper()
	if err := encode(s.Contents, collection, key, v); err != nil {
		t.Fatal(err)
	}
	return s
}

// group adds a node group with one instance and what else it has.
func (s state) group(t *testing.T, name, id string, desired int) state {
	role := "arn:aws:iam::000000000000:role/Role-" + name
	g := eks.Nodegroup{Cluster: "lake", Name: name, ID: id, GroupName: "eks-" + id, RoleARN: role, Managed: true, Status: eks.Active, Min: 1, Max: 5, Desired: desired}
	i := ec2.Instance{ID: "i-" + id, ENI: "eni-" + id, State: ec2.Running, Tags: map[string]string{autoScalingGroup: g.GroupName}}
	entry := eks.AccessEntry{Cluster: "lake", Principal: role, ForNodes: true}
	return s.put(t, "nodegroups", g.Key(), g).put(t, "instances", i.ID, i).put(t, "network-interfaces", i.ENI, ec2.NetworkInterface{ID: i.ENI, Instance: i.ID}).
		put(t, "iam-roles", "role-"+name, iam.Role{}).put(t, "iam-instance-profiles", "eks-"+id, iam.InstanceProfile{}).
		put(t, "access-entries", entry.Key(), entry)
}

// upped is what an Up leaves, with things of clients among it.
func upped(t *testing.T) state {
	c := eks.Cluster{
		Name: "lake", ID: "AA", VPC: "vpc-1", RoleARN: "arn:aws:iam::000000000000:role/Service", Status: eks.Active, Generation: 1,
		SelfManaged: []string{"coredns", "kube-proxy"}, Network: eks.ClusterNetwork{SecurityGroup: "sg-lake", Interface: "eni-lake"},
	}
	creator := eks.AccessEntry{Cluster: "lake", Principal: "arn:aws:iam::000000000000:root", Creator: true}
	s := state{store.Contents{}}.
		put(t, "iam-account", "account", iam.Account{Alias: "mine", Keys: []string{"AKIAROOT", "AKIASECOND"}}).
		put(t, "iam-access-keys", "AKIAROOT", iam.AccessKey{ID: "AKIAROOT"}).put(t, "iam-access-keys", "AKIASECOND", iam.AccessKey{}).
		put(t, "iam-access-keys", "AKIAANN", iam.AccessKey{User: "ann"}).put(t, "iam-users", "ann", iam.User{}).
		put(t, "iam-roles", "service", iam.Role{}).put(t, "iam-roles", "sailor", iam.Role{}).
		put(t, "iam-oidc-providers", "issuer/aa", iam.OIDCProvider{}).put(t, "iam-oidc-providers", "issuer.example", iam.OIDCProvider{}).
		put(t, "vpcs", "vpc-1", ec2.VPC{ID: "vpc-1"}).put(t, "vpcs", "vpc-2", ec2.VPC{ID: "vpc-2"}).
		put(t, "subnets", "subnet-1", ec2.Subnet{VPC: "vpc-1"}).put(t, "subnets", "subnet-2", ec2.Subnet{VPC: "vpc-2"}).
		put(t, "route-tables", "rtb-1", ec2.RouteTable{VPC: "vpc-1"}).put(t, "internet-gateways", "igw-1", ec2.InternetGateway{VPC: "vpc-1"}).
		put(t, "security-groups", "sg-default", ec2.SecurityGroup{VPC: "vpc-1", Name: "default"}).
		put(t, "security-groups", "sg-lake", ec2.SecurityGroup{VPC: "vpc-1", Name: "eks-cluster-sg-lake"}).
		put(t, "security-groups", "sg-quay", ec2.SecurityGroup{VPC: "vpc-1", Name: "quay"}).
		put(t, "key-pairs", "harbour", ec2.KeyPair{}).
		put(t, "clusters", "lake", c).put(t, "clusters", "pond", eks.Cluster{Name: "pond", VPC: "vpc-1"}).
		put(t, "network-interfaces", "eni-lake", ec2.NetworkInterface{}).
		put(t, "access-entries", creator.Key(), creator).
		put(t, "access-entries", "lake/ann", eks.AccessEntry{Cluster: "lake", Principal: "ann"}).
		put(t, "addons", "lake/coredns", eks.Addon{Cluster: "lake", Name: "coredns", ID: "dns"})
	return s.group(t, "workers", "w1", 2).group(t, "extra", "x1", 1)
}

func issuer(c eks.Cluster) string { return "https://issuer/" + c.ID }

// keys are the keys of all that there is.
func (s state) keys() []string {
	var keys []string
	for collection, items := range s.Contents {
		for key := range items {
			keys = append(keys, collection+" "+key)
		}
	}
	slices.Sort(keys)
	return keys
}

var uppedKeys = []string{
	"access-entries lake/arn:aws:iam::000000000000:role/Role-workers", "access-entries lake/arn:aws:iam::000000000000:root",
	"clusters lake", "iam-access-keys AKIAROOT", "iam-account account", "iam-instance-profiles eks-w1",
	"iam-oidc-providers issuer/aa", "iam-roles role-workers", "iam-roles service", "instances i-w1", "internet-gateways igw-1",
	"network-interfaces eni-lake", "network-interfaces eni-w1", "nodegroups lake/workers", "route-tables rtb-1",
	"security-groups sg-default", "security-groups sg-lake", "subnets subnet-1", "vpcs vpc-1",
}

func TestBaselineIsWhatUpMade(t *testing.T) {
	workers := map[string]eks.Scaling{"workers": {Min: 1, Max: 3, Desired: 3}}
	first := baseline{Groups: workers, Addons: map[string]addonSettings{}}
	var err error
	if first.Items, err = first.next(upped(t).Contents, "lake", issuer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(uppedKeys, state{first.Items}.keys()); diff != "" {
		t.Fatal(diff)
	}
	own, err := belongingsOf(first.Items)
	if err != nil {
		t.Fatal(err)
	}
	if got := own.groups["lake/workers"].Scaling(); got != workers["workers"] {
		t.Errorf("the size is %v and not the file's", got)
	}
	account, err := decodeAll[iam.Account](first.Items, "iam-account")
	if err != nil || account["account"].Alias != "" || !slices.Equal(account["account"].Keys, []string{"AKIAROOT"}) {
		t.Error(account, err)
	}

	// Another Up takes over nothing that clients have changed.
	changed := upped(t).put(t, "iam-roles", "service", iam.Role{Description: "changed"}).
		put(t, "vpcs", "vpc-1", ec2.VPC{ID: "vpc-1", Tags: map[string]string{"colour": "red"}}).group(t, "workers", "w1", 5)
	delete(changed.Contents["security-groups"], "sg-default")
	again := first
	if again.Items, err = first.next(changed.Contents, "lake", issuer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Items, again.Items); diff != "" {
		t.Error(diff)
	}

	// A file with another group and an add-on: these are Up's now.
	more := first
	more.Groups = map[string]eks.Scaling{"workers": {Min: 1, Max: 3, Desired: 1}, "extra": {Min: 1, Max: 1, Desired: 1}}
	more.Addons = map[string]addonSettings{"coredns": {Configuration: "{}"}}
	if more.Items, err = more.next(upped(t).Contents, "lake", issuer); err != nil {
		t.Fatal(err)
	}
	own, err = belongingsOf(more.Items)
	if err != nil || own.groups["lake/extra"].ID != "x1" || own.groups["lake/workers"].Desired != 1 || own.addons["lake/coredns"].Configuration != "{}" ||
		!slices.Equal(own.clusters["lake"].SelfManaged, []string{"kube-proxy"}) || own.instances["i-x1"].ID == "" {
		t.Errorf("%+v, %v", own, err)
	}

	// What a client has deleted of the file's comes back; what it has made instead goes.
	gone := upped(t).group(t, "extra", "other", 1)
	delete(gone.Contents["nodegroups"], "lake/workers")
	delete(gone.Contents["addons"], "lake/coredns")
	kept := more
	if kept.Items, err = more.next(gone.Contents, "lake", issuer); err != nil {
		t.Fatal(err)
	}
	own, err = belongingsOf(kept.Items)
	if err != nil || own.groups["lake/workers"].ID != "w1" || own.addons["lake/coredns"].ID != "dns" || own.groups["lake/extra"].ID != "other" {
		t.Errorf("%+v, %v", own.groups, err)
	}

	// A cluster that Up has made anew.
	anew := upped(t).put(t, "clusters", "lake", eks.Cluster{Name: "lake", ID: "BB", VPC: "vpc-1", Network: eks.ClusterNetwork{SecurityGroup: "sg-new"}}).
		put(t, "security-groups", "sg-new", ec2.SecurityGroup{VPC: "vpc-1", Name: "eks-cluster-sg-lake-1"}).
		put(t, "iam-oidc-providers", "issuer/bb", iam.OIDCProvider{})
	if kept.Items, err = first.next(anew.Contents, "lake", issuer); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"security-groups sg-new": true, "security-groups sg-lake": false, "iam-oidc-providers issuer/bb": true, "iam-oidc-providers issuer/aa": false} {
		if slices.Contains(state{kept.Items}.keys(), key) != want {
			t.Errorf("%s: %t", key, !want)
		}
	}

	// A region from before there was a baseline: all groups are taken for Up's.
	if kept.Items, err = (baseline{}).next(upped(t).Contents, "lake", issuer); err != nil || len(kept.Items["nodegroups"]) != 2 {
		t.Error(kept.Items["nodegroups"], err)
	}
	if _, err := first.next(store.Contents{}, "lake", issuer); !errors.Is(err, store.ErrNotFound) {
		t.Error("without a cluster:", err)
	}
}

func TestBaselineFile(t *testing.T) {
	l := layout(t.TempDir())
	if _, err := loadBaseline(l); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	b := baseline{Groups: map[string]eks.Scaling{"workers": {Min: 1, Max: 3, Desired: 2}}, Items: upped(t).Contents}
	if err := b.save(l); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(l.baseline())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: it holds root's secret key", info.Mode(), err)
	}
	got, err := loadBaseline(l)
	if diff := cmp.Diff(b, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := os.WriteFile(l.baseline(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadBaseline(l); err == nil || !strings.Contains(err.Error(), "`tarn up` makes it anew") {
		t.Error(err)
	}
}

func TestForeign(t *testing.T) {
	own, err := belongingsOf(upped(t).Contents)
	if err != nil {
		t.Fatal(err)
	}
	delete(own.clusters, "pond")
	delete(own.groups, "lake/extra")
	instance := func(id, group string, state ec2.State) ec2.Instance {
		return ec2.Instance{ID: id, State: state, Tags: map[string]string{autoScalingGroup: group}}
	}
	lake, workers := own.clusters["lake"], own.groups["lake/workers"]
	ending := workers
	ending.Status = eks.Deleting
	for _, test := range []struct {
		name string
		all  running
		want []string
	}{
		{"all is as it was", running{
			clusters: []eks.Cluster{lake}, groups: []eks.Nodegroup{workers}, addons: []eks.Addon{own.addons["lake/coredns"]},
			enis:      []ec2.NetworkInterface{{ID: "eni-1", Instance: "i-w1"}, {ID: "eni-2", Requester: "amazon-eks"}},
			instances: []ec2.Instance{instance("i-w1", "eks-w1", ec2.Running), instance("i-new", "eks-w1", ec2.Pending), instance("i-halted", "eks-w1", ec2.Stopped), instance("i-old", "eks-w1", ec2.Terminated)},
		}, nil},
		{"clients' own", running{
			clusters: []eks.Cluster{lake, {Name: "pond", ID: "CC"}}, groups: []eks.Nodegroup{workers, {Cluster: "lake", Name: "extra", ID: "x1", GroupName: "eks-x1"}},
			addons:    []eks.Addon{{Cluster: "lake", Name: "vpc-cni", ID: "cni"}, {Cluster: "pond", Name: "coredns"}},
			balancers: []elb.LoadBalancer{{Placement: loadbalancer.Placement{Name: "shop"}}},
			enis:      []ec2.NetworkInterface{{ID: "eni-3", Requester: "amazon-elb"}},
			instances: []ec2.Instance{instance("i-x1", "eks-x1", ec2.Running), {ID: "i-bare", State: ec2.Stopped}, {ID: "i-gone", State: ec2.Terminated}},
		}, []string{"cluster pond", "node group lake/extra", "add-on lake/vpc-cni", "i-x1", "i-bare", "load balancer shop", "eni-3, of a load balancer"}},
		{"another of the name", running{
			clusters: []eks.Cluster{{Name: "lake", ID: "DD"}}, groups: []eks.Nodegroup{{Cluster: "lake", Name: "workers", ID: "w2"}}, addons: []eks.Addon{{Cluster: "lake", Name: "coredns", ID: "dns2"}},
		}, []string{"cluster lake", "node group lake/workers"}},
		{"ending", running{
			clusters: []eks.Cluster{lake}, groups: []eks.Nodegroup{ending}, instances: []ec2.Instance{instance("i-w1", "eks-w1", ec2.Running)},
		}, []string{"node group lake/workers", "i-w1"}},
		{"an instance that is ending", running{
			clusters: []eks.Cluster{lake}, groups: []eks.Nodegroup{workers}, instances: []ec2.Instance{instance("i-w1", "eks-w1", ec2.ShuttingDown)},
		}, []string{"i-w1"}},
	} {
		if diff := cmp.Diff(test.want, own.foreign(test.all).names()); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestClusterAfter(t *testing.T) {
	was := eks.Cluster{Name: "lake", ID: "AA", Status: eks.Creating, Generation: 1, SelfManaged: []string{"coredns"}}
	now := was
	now.Status, now.Generation, now.Endpoint, now.Update = eks.Active, 4, eks.Endpoint{URL: "https://x"}, "u"
	now.Network = eks.ClusterNetwork{SecurityGroup: "sg-1", Interface: "eni-1", Address: netip.MustParseAddr("10.0.0.4")}
	got := clusterAfter(was, now)
	if got.Update = "u"; !same(got, now) {
		t.Errorf("one that has not changed: %+v", got)
	}
	now.SelfManaged, now.Tags, now.DeletionProtection = nil, map[string]string{"a": "b"}, true
	got = clusterAfter(was, now)
	want := now
	want.SelfManaged, want.Tags, want.DeletionProtection = was.SelfManaged, nil, false
	want.Status, want.Generation, want.Update = eks.Updating, 5, ""
	if !same(want, got) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if again := clusterAgain(now); again.Status != eks.Creating || again.ID != "AA" || again.Network != (eks.ClusterNetwork{SecurityGroup: "sg-1"}) || again.Endpoint.URL != "" {
		t.Errorf("%+v", again)
	}
}

func TestGroupAfter(t *testing.T) {
	was := eks.Nodegroup{Name: "workers", ID: "w1", Desired: 2, Labels: map[string]string{"deck": "upper"}, Status: eks.Creating, Revision: 1}
	now := was
	now.Status, now.Revision, now.Current = eks.Active, 3, 2
	if got := groupAfter(was, now); !same(got, now) {
		t.Errorf("one that has not changed: %+v", got)
	}
	// Where no node was replaced, what the revision stood for is restored.
	labelled := now
	labelled.Current = was.Current
	if got := groupAfter(was, labelled); got.Revision != 1 || got.Status != eks.Active {
		t.Errorf("labelled and back: %+v", got)
	}
	labelled.Labels = nil
	if got := groupAfter(was, labelled); got.Revision != 1 || got.Applied == nil || got.Status != eks.Updating {
		t.Errorf("without its labels: %+v", got)
	}
	scaled := now
	scaled.Desired = 4
	if got := groupAfter(was, scaled); got.Desired != 2 || !got.Resized || got.Status != eks.Updating || got.Revision != 3 || got.Applied != nil {
		t.Errorf("scaled: %+v", got)
	}
	// Labels go from the nodes also where those of two changes are there.
	relabelled := now
	relabelled.Labels = map[string]string{"new": "1"}
	relabelled.Applied = &eks.NodeConfig{Labels: map[string]string{"middle": "1"}, Taints: []eks.Taint{{Key: "wet"}}}
	got := groupAfter(was, relabelled)
	want := &eks.NodeConfig{Labels: map[string]string{"new": "1", "middle": "1"}, Taints: []eks.Taint{{Key: "wet"}}}
	if diff := cmp.Diff(want, got.Applied); diff != "" || got.Labels["deck"] != "upper" || got.Revision != 4 || got.Current != 2 {
		t.Errorf("relabelled: %+v %s", got, diff)
	}
	if len(relabelled.Labels) != 1 {
		t.Error("the argument was changed")
	}
	moved := now
	moved.Template = &eks.Template{ID: "lt-1"}
	if got := groupAfter(was, moved); got.Template != nil || got.Revision != 4 || got.Current != 4 {
		t.Errorf("moved to a template: %+v", got)
	}
	failed := now
	failed.Status, failed.Desired = eks.CreateFailed, 9
	if got := groupAfter(was, failed); got.Status != eks.CreateFailed || got.Desired != 2 {
		t.Errorf("failed: %+v", got) // it is tried on and on
	}
}

func TestAddonAfter(t *testing.T) {
	was := eks.Addon{Name: "coredns", ID: "dns", Status: eks.Creating, Generation: 1}
	now := was
	now.Status, now.Generation = eks.Active, 3
	if got := addonAfter(was, now); !same(got, now) {
		t.Errorf("one that has not changed: %+v", got)
	}
	now.Configuration = "{}"
	if got := addonAfter(was, now); got.Configuration != "" || got.Generation != 4 || got.Status != eks.Updating {
		t.Errorf("changed: %+v", got)
	}
}

func TestInstanceAfter(t *testing.T) {
	like := ec2.Instance{ID: "i-1", SecurityGroups: []string{"sg-1"}, Tags: map[string]string{"Name": "a", launchVersion: "1"}, Profile: ec2.Profile{ARN: "p"}, ProfileAssociation: "iip-1"}
	now := ec2.Instance{
		ID: "i-2", Address: netip.MustParseAddr("10.0.0.9"), SecurityGroups: []string{"sg-9"}, State: ec2.Running, DisableTermination: true,
		Tags: map[string]string{"Name": "b", "colour": "red", launchVersion: "2"}, Profile: ec2.Profile{ARN: "p"}, ProfileAssociation: "iip-2",
	}
	for _, version := range []string{"1", "2"} {
		got := instanceAfter(like, now, version == "2")
		want := now
		want.SecurityGroups, want.DisableTermination, want.Tags = like.SecurityGroups, false, map[string]string{"Name": "a", launchVersion: version}
		if !same(got, want) || like.Tags[launchVersion] != "1" {
			t.Errorf("%+v", got)
		}
	}
}
