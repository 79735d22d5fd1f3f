package nodegroups

import (
	"errors"
	"slices"
	"testing"
	"time"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestAGroupIsActiveWhenItsNodesAreReady(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.nodes.set(true, nil)
	f.managed("g", 2)
	f.start()
	f.boots()
	f.awaitInstances(2)
	if n := f.awaitStatus("g", eks.Creating); n.Issues != nil {
		t.Errorf("%+v", n.Issues)
	}
	f.nodes.set(false, errors.New("the API server is starting"))
	if n := f.awaitStatus("g", eks.Creating); n.Issues != nil {
		t.Errorf("while nobody can say: %+v", n.Issues)
	}
	f.nodes.set(false, nil)
	f.awaitStatus("g", eks.Active)

	// Neither is an update over before.
	f.nodes.set(true, nil)
	u, err := f.eks.UpdateNodegroupConfig(t.Context(), &eksapi.UpdateNodegroupConfigInput{ClusterName: new("eks-work"), NodegroupName: new("g"),
		ScalingConfig: &eksapi.NodegroupScalingConfig{DesiredSize: new(int32(3))}})
	if err != nil {
		t.Fatal(err)
	}
	f.awaitInstances(3)
	f.updateEnded(u.Update, "InProgress")
	f.nodes.set(false, nil)
	f.awaitStatus("g", eks.Active)
	f.updateEnded(u.Update, "Successful")
}

func TestInstancesThatDoNotJoin(t *testing.T) {
	f := newFixture(t, "192.168.0.0/16")
	f.patience = time.Nanosecond
	f.nodes.set(true, nil)
	f.managed("g", 1)
	f.start()
	f.boots()
	n := f.awaitStatus("g", eks.CreateFailed)
	lost := f.await("eks-work", "g", 1)[0].ID
	if len(n.Issues) != 1 || n.Issues[0].Code != "NodeCreationFailure" || n.Issues[0].Message != "Instances failed to join the kubernetes cluster" ||
		!slices.Equal(n.Issues[0].Resources, []string{lost}) {
		t.Errorf("%+v", n.Issues)
	}
	f.nodes.set(false, nil)
	if n := f.awaitStatus("g", eks.Active); n.Issues != nil {
		t.Errorf("%+v", n.Issues)
	}
}

// awaitInstances waits until so many run.
func (f *fixture) awaitInstances(want int) {
	f.Helper()
	for snapshot := range f.ec2.Instances.Follow(f.Context(), "").C {
		running := 0
		for _, item := range snapshot.Items {
			if item.Value.State == ec2.Running {
				running++
			}
		}
		if running == want {
			return
		}
	}
	f.Fatalf("there are never %d instances", want)
}
