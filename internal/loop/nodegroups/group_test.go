package nodegroups

import (
	"slices"
	"strings"
	"testing"
	"time"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// scalingGroup is the Auto Scaling group of a node group.
func (f *fixture) scalingGroup(n eks.Nodegroup) autoscaling.Group {
	f.Helper()
	item, err := f.scaling.Groups.Get(f.Context(), n.GroupName)
	if err != nil {
		f.Fatal(err)
	}
	return item.Value
}

// awaitMembers waits until the members of all groups are as said.
func (f *fixture) awaitMembers(what string, are func([]autoscaling.Member) bool) []autoscaling.Member {
	f.Helper()
	timeout := time.After(20 * time.Second)
	follower := f.scaling.Members.Follow(f.Context(), "")
	var last []autoscaling.Member
	for {
		select {
		case snapshot := <-follower.C:
			last = nil
			for _, item := range snapshot.Items {
				last = append(last, item.Value)
			}
			if are(last) {
				return last
			}
		case <-timeout:
			f.Fatalf("waited in vain for %s: %+v", what, last)
		}
	}
}

func waiting(m autoscaling.Member) bool { return m.State == autoscaling.TerminatingWait }

func TestTheGroupIsAsEKSMakesIt(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.managed("g", 2)
	f.boots()
	f.start()
	n := f.awaitStatus("g", eks.Active)
	g := f.scalingGroup(n)
	if g.Owner != "eks" || g.Min != 0 || g.Max != 5 || g.Desired != 2 || !slices.Equal(g.Subnets, n.Subnets) || len(g.Tags) != 5 || len(g.Hooks) != 2 {
		t.Errorf("%+v", g)
	}
	for _, h := range g.Hooks {
		if !slices.Contains([]string{"Launch-LC-Hook autoscaling:EC2_INSTANCE_LAUNCHING", "Terminate-LC-Hook autoscaling:EC2_INSTANCE_TERMINATING"}, h.Name+" "+h.Transition) ||
			h.Heartbeat != 30*time.Minute || h.Default != "CONTINUE" {
			t.Errorf("%+v", h)
		}
	}
	spec := g.Mixed.LaunchTemplate.LaunchTemplateSpecification
	if *spec.LaunchTemplateId != f.template(n).ID || *spec.LaunchTemplateName != "eks-"+n.ID || *spec.Version != "1" || *g.Mixed.LaunchTemplate.Overrides[0].InstanceType != "t3.small" {
		t.Errorf("%+v", g.Mixed)
	}

	// Who scales the group scales the node group.
	if err := f.scaling.SetDesired(t.Context(), n.GroupName, 4, "a policy did"); err != nil {
		t.Fatal(err)
	}
	f.await("eks-work", "g", 4)
	f.awaitGroup("g", "of size 4", func(n eks.Nodegroup) bool { return n.Desired == 4 && n.Status == eks.Active })
	if got := f.scalingGroup(n).Desired; got != 4 {
		t.Errorf("the group was set back to %d", got)
	}

	// Without its group it is degraded, as on EKS.
	if err := f.scaling.DeleteGroup(t.Context(), n.GroupName, true); err != nil {
		t.Fatal(err)
	}
	if n := f.awaitStatus("g", eks.Degraded); len(n.Issues) != 1 || n.Issues[0].Code != "AutoScalingGroupNotFound" || n.Issues[0].Resources[0] != n.GroupName {
		t.Errorf("%+v", n.Issues)
	}
}

func TestANodeIsDrainedBeforeItEnds(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.managed("g", 2)
	f.boots()
	f.start()
	n := f.awaitStatus("g", eks.Active)
	f.nodes.hold(true)
	f.scale("g", 1)
	ending := slices.DeleteFunc(f.awaitMembers("one that waits", func(all []autoscaling.Member) bool { return slices.ContainsFunc(all, waiting) }),
		func(m autoscaling.Member) bool { return !waiting(m) })[0]
	i, err := f.ec2.Instances.Get(t.Context(), ending.Instance)
	if err != nil || !i.Value.Alive() {
		t.Fatalf("%+v, %v", i.Value, err)
	}
	f.nodes.hold(false)
	f.awaitMembers("one", func(all []autoscaling.Member) bool { return len(all) == 1 })
	f.nodes.mu.Lock()
	if !slices.Equal(f.nodes.drained, []string{i.Value.PrivateDNSName}) {
		t.Errorf("drained: %v", f.nodes.drained)
	}
	f.nodes.mu.Unlock()

	// What cannot be evicted holds the group's end up for a while only.
	f.nodes.hold(true)
	if _, err := f.eks.DeleteNodegroup(t.Context(), &eksapi.DeleteNodegroupInput{ClusterName: new("eks-work"), NodegroupName: new("g")}); err != nil {
		t.Fatal(err)
	}
	f.awaitMembers("one that waits", func(all []autoscaling.Member) bool { return len(all) == 1 && waiting(all[0]) })
	f.clock.ahead.Store(int64(drainTimeoutAlone))
	f.nodes.hold(true) // tells
	f.awaitGroup("g", "nothing", func(n eks.Nodegroup) bool { return n.Name == "" })
	if _, err := f.scaling.Groups.Get(t.Context(), n.GroupName); err == nil {
		t.Error("the group is left")
	}
	if items, _, err := f.ec2.LaunchTemplates.List(t.Context(), ""); err != nil || len(items) > 0 {
		t.Errorf("launch templates are left: %+v, %v", items, err)
	}
}

// An instance that is gone has nothing to be drained.
func TestAnInstanceThatIsKilled(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.managed("g", 1)
	f.boots()
	f.start()
	f.awaitStatus("g", eks.Active)
	f.nodes.hold(true)
	killed := f.await("eks-work", "g", 1)[0].ID
	if err := f.ec2.Terminate(t.Context(), killed, "the test says so"); err != nil {
		t.Fatal(err)
	}
	f.awaitMembers("another", func(all []autoscaling.Member) bool {
		return len(all) == 1 && all[0].Instance != killed && all[0].State == autoscaling.InService
	})
}

func (f *fixture) updateVersion(in *eksapi.UpdateNodegroupVersionInput) *eksapi.Update {
	f.Helper()
	in.ClusterName, in.NodegroupName = new("eks-work"), new("g")
	out, err := f.eks.UpdateNodegroupVersion(f.Context(), in)
	if err != nil {
		f.Fatal(err)
	}
	return out.Update
}

// Pods that cannot be evicted fail an update, and nothing is evicted against a
// budget; by force the nodes go.
func TestEvictionFailure(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.managed("g", 2)
	f.boots()
	f.start()
	f.awaitStatus("g", eks.Active)
	before := f.await("eks-work", "g", 2)
	names := []string{before[0].PrivateDNSName, before[1].PrivateDNSName}
	f.nodes.hold(true)
	n, err := f.eks.Nodegroups.Get(t.Context(), "eks-work/g")
	if err != nil {
		t.Fatal(err)
	}
	u := f.updateVersion(&eksapi.UpdateNodegroupVersionInput{Force: new(true)})
	// As one without force, of which there is none while there is one version.
	if _, err := f.eks.Nodegroups.Modify(t.Context(), "eks-work/g", func(n *eks.Nodegroup) error { n.Rolling.Force = false; return nil }); err != nil {
		t.Fatal(err)
	}
	f.awaitMembers("a third in service", func(all []autoscaling.Member) bool {
		return len(all) == 3 && !slices.ContainsFunc(all, func(m autoscaling.Member) bool { return m.State != autoscaling.InService })
	})
	f.awaitDrained()
	f.clock.ahead.Store(int64(evictionTimeout))
	f.nodes.hold(true)
	failed := f.awaitGroup("g", "as before", func(n eks.Nodegroup) bool { return n.Status == eks.Active && n.Update == "" && n.Surge == 0 })
	got, err := f.eks.DescribeUpdate(t.Context(), &eksapi.DescribeUpdateInput{Name: new("eks-work"), NodegroupName: new("g"), UpdateId: u.Id})
	if err != nil || got.Update.Status != "Failed" || len(got.Update.Errors) != 1 || got.Update.Errors[0].ErrorCode != "PodEvictionFailure" ||
		*got.Update.Errors[0].ErrorMessage != "Reached max retries while trying to evict pods from nodes in node group g" || !slices.Contains(names, got.Update.Errors[0].ResourceIds[0]) {
		t.Errorf("%+v, %v", got, err)
	}
	if failed.Current != n.Value.Current || failed.Desired != 2 {
		t.Errorf("%+v", failed)
	}
	f.nodes.hold(false)
	f.awaitMembers("two", func(all []autoscaling.Member) bool { return len(all) == 2 })
	f.nodes.hold(true)
	for _, i := range f.await("eks-work", "g", 2) {
		if !slices.Contains(names, i.PrivateDNSName) {
			t.Errorf("%s is left of the new ones", i.ID)
		}
	}
	f.nodes.mu.Lock()
	if len(f.nodes.drained) != 2 || !slices.Equal(f.nodes.uncordoned, f.nodes.drained[:1]) { // the other one is the new one's
		t.Errorf("drained %v, uncordoned %v", f.nodes.drained, f.nodes.uncordoned)
	}
	f.nodes.drained = nil
	<-f.nodes.cordons // that one's
	f.nodes.mu.Unlock()

	u = f.updateVersion(&eksapi.UpdateNodegroupVersionInput{Force: new(true)})
	f.awaitMembers("a third in service", func(all []autoscaling.Member) bool {
		return len(all) == 3 && !slices.ContainsFunc(all, func(m autoscaling.Member) bool { return m.State != autoscaling.InService })
	})
	f.awaitDrained()
	f.clock.ahead.Store(int64(2*evictionTimeout + time.Minute))
	f.nodes.hold(true)
	f.awaitMembers("one that ends although it is not drained", func(all []autoscaling.Member) bool { return slices.ContainsFunc(all, waiting) })
	f.nodes.hold(false)
	f.awaitStatus("g", eks.Active)
	f.updateEnded(u, "Successful")
	for _, i := range f.await("eks-work", "g", 2) {
		if slices.Contains(names, i.PrivateDNSName) || !strings.HasPrefix(i.ID, "i-") {
			t.Errorf("%s is left of the old ones", i.ID)
		}
	}
}

// awaitDrained waits until another node was cordoned.
func (f *fixture) awaitDrained() {
	f.Helper()
	select {
	case <-f.nodes.cordons:
	case <-time.After(20 * time.Second):
		f.Fatal("no node is drained")
	}
}

func TestAChangeOfLabelsReplacesNoNode(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.managed("g", 1)
	f.boots()
	f.start()
	n := f.awaitStatus("g", eks.Active)
	_, err := f.eks.UpdateNodegroupConfig(t.Context(), &eksapi.UpdateNodegroupConfigInput{ClusterName: new("eks-work"), NodegroupName: new("g"),
		Labels: &eksapi.UpdateLabelsPayload{AddOrUpdateLabels: map[string]string{"a": "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	f.awaitStatus("g", eks.Active)
	f.scale("g", 2)
	versions := map[string]string{}
	for _, i := range f.await("eks-work", "g", 2) {
		versions[i.Tags["aws:ec2launchtemplate:version"]] = i.Bootstrap.Labels["a"]
	}
	if versions["1"] != "" || versions["2"] != "b" || len(versions) != 2 || f.template(n).Latest != 2 {
		t.Errorf("labels by version: %v", versions)
	}
}
