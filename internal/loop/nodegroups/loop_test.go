package nodegroups

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestKeepsTheSize(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(eks.Nodegroup{Name: "g", Min: 3, Max: 5, Desired: 3})
	f.start()
	three := f.await("eks-work", "g", 3)
	if got := perZone(three); got != "map[a:1 b:1 c:1]" {
		t.Errorf("three instances by zone: %s", got)
	}
	f.scale("g", 5)
	if got := perZone(f.await("eks-work", "g", 5)); got != "map[a:2 b:2 c:1]" {
		t.Errorf("five instances by zone: %s", got)
	}
	f.scale("g", 1)
	one := f.await("eks-work", "g", 1)

	// One that is gone is replaced.
	if err := f.ec2.Terminate(t.Context(), one[0].ID, "the test says so"); err != nil {
		t.Fatal(err)
	}
	f.awaitThat("its successor", "eks-work", "g", func(alive []ec2.Instance) bool {
		return len(alive) == 1 && alive[0].ID != one[0].ID
	})
	f.scale("g", 0)
	f.await("eks-work", "g", 0)
	f.stop()
	if n := f.launched(); n != 6 {
		t.Errorf("%d instances were launched, want 6", n)
	}
	if f.log.Len() == 0 || strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("its log: %s", &f.log)
	}
}

func TestInstancesAreAsTheirGroup(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	taints := []eks.Taint{{Key: "dedicated", Value: "x", Effect: "NoSchedule"}}
	byEksctl := map[string]string{"c": "d", eksctlNodegroup: "managed"}
	managed := f.group(eks.Nodegroup{Name: "managed", Managed: true, Spot: true, Max: 1, Desired: 1, VolumeGiB: 80, InstanceType: "t3.medium",
		Version: "1.37", RoleARN: role, Labels: map[string]string{"a": "b"}, Taints: taints, Tags: byEksctl, RemoteAccess: &eks.RemoteAccess{}})
	own := f.group(eks.Nodegroup{Name: "own", Max: 1, Desired: 1, Tags: map[string]string{"c": "d"}})
	ondemand := f.group(eks.Nodegroup{Name: "ondemand", Managed: true, Max: 1, Desired: 1, Tags: map[string]string{"c": "d"}})
	image, _ := f.ec2.EKSImage("1.37")
	f.start()
	for _, test := range []struct {
		group        eks.Nodegroup
		labels, tags map[string]string
	}{
		{managed, map[string]string{
			"a": "b", "eks.amazonaws.com/nodegroup": "managed", "eks.amazonaws.com/capacityType": "SPOT", "eks.amazonaws.com/nodegroup-image": image.ID,
		}, map[string]string{"c": "d", eksctlNodegroup: "managed", "Name": "eks-work-managed-Node", "eks:nodegroup-name": "managed", "aws:eks:cluster-name": "eks-work"}},
		{own, map[string]string{}, map[string]string{"c": "d", "Name": "eks-work-own-Node"}},
		{ondemand, map[string]string{
			"eks.amazonaws.com/nodegroup": "ondemand", "eks.amazonaws.com/capacityType": "ON_DEMAND",
		}, map[string]string{"eks:nodegroup-name": "ondemand", "aws:eks:cluster-name": "eks-work"}},
	} {
		i := f.await("eks-work", test.group.Name, 1)[0]
		tags := map[string]string{
			"aws:autoscaling:groupName": test.group.GroupName, "aws:ec2launchtemplate:version": "1",
			"aws:ec2launchtemplate:id": f.template(test.group).ID,
			"eks:cluster-name":         "eks-work", "kubernetes.io/cluster/eks-work": "owned",
		}
		if test.group.Managed {
			maps.Copy(tags, map[string]string{"k8s.io/cluster-autoscaler/enabled": "true", "k8s.io/cluster-autoscaler/eks-work": "owned"})
		} else {
			maps.Copy(tags, map[string]string{eksctlCluster: "eks-work", eksctlNodegroup: test.group.Name, "alpha.eksctl.io/nodegroup-type": "unmanaged"})
		}
		maps.Copy(tags, test.tags)
		if diff := gocmp.Diff(test.labels, i.Bootstrap.Labels, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("labels of %s: %s", test.group.Name, diff)
		}
		if diff := gocmp.Diff(tags, i.Tags); diff != "" {
			t.Errorf("tags of %s: %s", test.group.Name, diff)
		}
		if i.Type != test.group.InstanceType || !slices.EqualFunc(i.Bootstrap.Taints, test.group.Taints, func(a ec2.Taint, b eks.Taint) bool { return a == ec2.Taint(b) }) {
			t.Errorf("%s: %+v", test.group.Name, i)
		}
		if test.group.VolumeGiB > 0 && i.VolumeGiB != test.group.VolumeGiB || (i.Spot != "") != test.group.Spot {
			t.Errorf("%s: %d GiB, spot %q", test.group.Name, i.VolumeGiB, i.Spot)
		}
		if !slices.Equal(i.SecurityGroups, []string{f.groups["eks-work"]}) {
			t.Errorf("security groups of %s: %v", test.group.Name, i.SecurityGroups)
		}
		profile := ""
		if test.group.RoleARN != "" {
			profile = test.group.InstanceProfile()
		}
		if i.Profile.Name != profile {
			t.Errorf("the profile of %s is %q, want %q", test.group.Name, i.Profile.Name, profile)
		}
	}
}

func TestLeavesOthersAlone(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	// The same name in another cluster, another name in the same one, and an
	// instance of nobody's.
	var others []string
	for _, b := range []ec2.Bootstrap{{Cluster: "other", Nodegroup: "g"}, {Cluster: "eks-work", Nodegroup: "h"}, {}} {
		made, err := f.ec2.Launch(t.Context(), ec2.LaunchInput{Type: "t3.small", Subnet: f.subnets[0].ID, Count: 2, Bootstrap: b})
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, made[0].ID, made[1].ID)
	}
	f.group(eks.Nodegroup{Name: "g", Min: 0, Max: 3, Desired: 2})
	f.start()
	f.await("eks-work", "g", 2)
	f.scale("g", 0)
	f.await("eks-work", "g", 0)
	f.stop()
	for _, id := range others {
		if i, err := f.ec2.Instances.Get(t.Context(), id); err != nil || !i.Value.Alive() {
			t.Errorf("%s: %+v, %v", id, i.Value, err)
		}
	}
	if n := f.launched(); n != len(others)+2 {
		t.Errorf("%d instances, want %d", n, len(others)+2)
	}
}

// What one group, or one of its subnets, cannot have keeps no other from theirs:
// the others take what it has no room for. And it is tried again although neither
// groups nor instances change.
func TestAFailureIsItsOwn(t *testing.T) {
	f := newFixture(t, "192.168.0.0/24") // 27 free addresses in a subnet, 12 for an instance
	var fill []string
	for range 16 {
		eni, err := f.ec2.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: f.subnets[0].ID})
		if err != nil {
			t.Fatal(err)
		}
		fill = append(fill, eni.ID)
	}
	f.group(eks.Nodegroup{Name: "a-impossible", InstanceType: "t3.nothing", Max: 1, Desired: 1})
	f.group(eks.Nodegroup{Name: "b-narrow", Max: 5, Desired: 5})
	f.group(eks.Nodegroup{Name: "c-fine", Max: 1, Desired: 1, Subnets: []string{f.subnets[3].ID}})
	f.start()
	f.await("eks-work", "c-fine", 1)
	if got := perZone(f.await("eks-work", "b-narrow", 4)); got != "map[b:2 c:2]" {
		t.Errorf("instances beside a full subnet, by zone: %s", got)
	}
	for range 10 { // more than there were changes
		select {
		case <-f.log.failed:
		case <-time.After(20 * time.Second):
			t.Fatal("it is not tried again")
		}
	}
	for _, id := range fill {
		if err := f.ec2.ENIs.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if got := perZone(f.await("eks-work", "b-narrow", 5)); got != "map[a:1 b:2 c:2]" {
		t.Errorf("instances by zone: %s", got)
	}
	f.stop()
	for _, want := range []string{"a-impossible", "t3.nothing", "b-narrow", "not enough free addresses"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("its log does not say %q: %s", want, &f.log)
		}
	}
}

func TestEndsWithItsContext(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.group(eks.Nodegroup{Name: "g", Max: 1, Desired: 1})
	f.start()
	f.await("eks-work", "g", 1)
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	if strings.Contains(f.log.String(), "ERROR") {
		t.Errorf("the end is logged as a failure: %s", &f.log)
	}
	// A goroutine may be seen for a moment after its last statement.
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		all := stacks()
		if !strings.Contains(all, "nodegroups.(*Loop)") && !strings.Contains(all, ").follow(") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a goroutine stayed:\n%s", all)
		}
	}
}

func TestEndsWhenTheStoreIsDamaged(t *testing.T) {
	for _, key := range []string{"nodegroups/x/y", "instances/i-0"} {
		f := newFixture(t, "192.168.0.0/16")
		f.start()
		if _, err := f.server.Client().Put(t.Context(), "/tarn/"+key, "no JSON"); err != nil {
			t.Fatal(err)
		}
		f.awaitEnd()
		if err := f.stop(); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	}
}
