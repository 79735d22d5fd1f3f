package fleet

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestPlan(t *testing.T) {
	instance := func(id, subnet string, age int) ec2.Instance {
		return ec2.Instance{ID: id, Subnet: subnet, State: ec2.Running, Launched: time.Unix(int64(1000-age), 0)}
	}
	subnets := []string{"a", "b", "c"}
	for _, test := range []struct {
		name    string
		subnets []string
		desired int
		alive   []ec2.Instance
		want    Decision
	}{
		{"from nothing, one in each zone", subnets, 3, nil,
			Decision{Launch: []Launch{{"a", 1}, {"b", 1}, {"c", 1}}}},
		{"five over three zones", subnets, 5, nil,
			Decision{Launch: []Launch{{"a", 2}, {"b", 2}, {"c", 1}}}},
		{"the empty zone first", subnets, 3, []ec2.Instance{instance("1", "a", 1), instance("2", "c", 1)},
			Decision{Launch: []Launch{{"b", 1}}}},
		{"nothing to do", subnets, 2, []ec2.Instance{instance("1", "a", 1), instance("2", "b", 1)}, Decision{}},
		{"the oldest of the fullest zone goes", subnets, 2, []ec2.Instance{
			instance("1", "a", 9), instance("2", "b", 5), instance("3", "b", 7)},
			Decision{Terminate: []string{"3"}}},
		{"an instance in a zone that is no longer the group's goes when it is the fullest", []string{"a"}, 1, []ec2.Instance{
			instance("1", "a", 9), instance("2", "z", 5), instance("3", "z", 7)},
			Decision{Terminate: []string{"3", "1"}}},
		{"to none", subnets, 0, []ec2.Instance{instance("1", "a", 1)}, Decision{Terminate: []string{"1"}}},
		{"without a subnet nothing can be done", nil, 3, nil, Decision{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Plan(eks.Nodegroup{Desired: test.desired, Subnets: test.subnets}, test.alive)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A plan, carried out, leaves exactly the desired number, and never launches
// and terminates at once.
func TestPlanReachesTheSize(t *testing.T) {
	subnets := []string{"a", "b", "c"}
	for have := range 12 {
		for desired := range 12 {
			var alive []ec2.Instance
			for i := range have {
				alive = append(alive, ec2.Instance{ID: string(rune('A' + i)), Subnet: subnets[i*i%3], Launched: time.Unix(int64(i), 0)})
			}
			d := Plan(eks.Nodegroup{Desired: desired, Subnets: subnets}, alive)
			size := have - len(d.Terminate)
			for _, l := range d.Launch {
				size += l.Count
			}
			if size != desired || (len(d.Launch) > 0 && len(d.Terminate) > 0) {
				t.Errorf("from %d to %d: %+v", have, desired, d)
			}
		}
	}
}
