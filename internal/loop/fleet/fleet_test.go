package fleet

import (
	"fmt"
	"slices"
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
		{"what was stopped is replaced", subnets, 1, []ec2.Instance{{ID: "1", Subnet: "a", State: ec2.Stopped}},
			Decision{Launch: []Launch{{"a", 1}}, Terminate: []string{"1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Plan(eks.Nodegroup{Desired: test.desired, Subnets: test.subnets, MaxUnavailable: 1}, test.alive)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanOfDeletion(t *testing.T) {
	group := eks.Nodegroup{Status: eks.Deleting, Desired: 2, Revision: 2}
	alive := []ec2.Instance{
		{ID: "1", State: ec2.Running, Tags: map[string]string{revisionTag: "2"}},
		{ID: "2", State: ec2.Pending},
		{ID: "3", State: ec2.Stopping},
	}
	d := Plan(group, alive)
	slices.Sort(d.Terminate)
	if diff := cmp.Diff(Decision{Terminate: []string{"1", "2", "3"}}, d); diff != "" {
		t.Error(diff)
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
				alive = append(alive, ec2.Instance{ID: string(rune('A' + i)), Subnet: subnets[i*i%3], State: ec2.Running, Launched: time.Unix(int64(i), 0)})
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

// Plans, carried out one after the other, replace all outdated instances with
// never fewer running than desired, nor more alive than the surge allows.
func TestPlanRolls(t *testing.T) {
	subnets := []string{"a", "b", "c"}
	for have := range 7 {
		for desired := range 7 {
			for surge := 1; surge < 4; surge++ {
				group := eks.Nodegroup{Desired: desired, Subnets: subnets, MaxUnavailable: surge, Revision: 2}
				var alive []ec2.Instance
				for i := range have {
					alive = append(alive, ec2.Instance{ID: fmt.Sprint("old", i), Subnet: subnets[i%3], State: ec2.Running, Tags: map[string]string{revisionTag: "1"}})
				}
				least := min(have, desired)
				for step := 0; !progress(group, alive).Reached; step++ {
					if step > 40 {
						t.Fatalf("from %d to %d by %d: no end: %+v", have, desired, surge, alive)
					}
					d := Plan(group, alive)
					alive = slices.DeleteFunc(alive, func(i ec2.Instance) bool { return slices.Contains(d.Terminate, i.ID) })
					running := 0
					for _, i := range alive {
						if i.State == ec2.Running {
							running++
						}
					}
					for _, l := range d.Launch {
						for range l.Count {
							alive = append(alive, ec2.Instance{ID: fmt.Sprint("new", step, len(alive)), Subnet: l.Subnet, State: ec2.Pending, Tags: map[string]string{revisionTag: "2"}})
						}
					}
					if running < least || len(alive) > max(have, desired+surge) {
						t.Fatalf("from %d to %d by %d: %d run, %d are alive", have, desired, surge, running, len(alive))
					}
					for i := range alive { // they boot
						alive[i].State = ec2.Running
					}
				}
				if len(alive) != desired {
					t.Errorf("from %d to %d by %d: %d", have, desired, surge, len(alive))
				}
			}
		}
	}
}

func TestProgress(t *testing.T) {
	i := func(state ec2.State, revision string) ec2.Instance {
		return ec2.Instance{State: state, Tags: map[string]string{revisionTag: revision}}
	}
	group := eks.Nodegroup{Status: eks.Active, Desired: 2, Revision: 2}
	labelled := group
	labelled.Applied = &eks.NodeConfig{}
	deleting := group
	deleting.Status = eks.Deleting
	for _, test := range []struct {
		name    string
		group   eks.Nodegroup
		members []ec2.Instance
		want    eks.Progress
	}{
		{"none", group, nil, eks.Progress{Empty: true}},
		{"all run", group, []ec2.Instance{i(ec2.Running, "2"), i(ec2.Running, "2")}, eks.Progress{Reached: true}},
		{"one boots", group, []ec2.Instance{i(ec2.Running, "2"), i(ec2.Pending, "2")}, eks.Progress{}},
		{"one too many", group, []ec2.Instance{i(ec2.Running, "2"), i(ec2.Running, "2"), i(ec2.Running, "2")}, eks.Progress{}},
		{"one too many ends", group, []ec2.Instance{i(ec2.Running, "2"), i(ec2.Running, "2"), i(ec2.ShuttingDown, "2")}, eks.Progress{Reached: true}},
		{"one is outdated", group, []ec2.Instance{i(ec2.Running, "2"), i(ec2.Running, "1")}, eks.Progress{}},
		{"labels to change", labelled, []ec2.Instance{i(ec2.Running, "2"), i(ec2.Running, "2")}, eks.Progress{}},
		{"the last one ends", deleting, []ec2.Instance{i(ec2.ShuttingDown, "2")}, eks.Progress{Reached: true}},
		{"deleted", deleting, nil, eks.Progress{Reached: true, Empty: true}},
	} {
		if diff := cmp.Diff(test.want, progress(test.group, test.members)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}
