package nodegroups

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestSizes(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	sized := func(least, most, desired int) eks.Nodegroup {
		return eks.Nodegroup{Min: least, Max: most, Desired: desired}
	}
	resized := sized(1, 5, 4)
	resized.Resized = true
	rolling := sized(1, 3, 3)
	rolling.Surge = 1
	both := rolling
	both.Resized, both.Desired, both.Max = true, 2, 2
	for _, test := range []struct {
		name  string
		n     eks.Nodegroup
		group [3]int // min, max, desired
		want  [3]int // of both
		more  int    // of the group's desired
	}{
		{"they are the same", sized(1, 5, 2), [3]int{1, 5, 2}, [3]int{1, 5, 2}, 0},
		{"the group was scaled", sized(1, 5, 2), [3]int{1, 5, 4}, [3]int{1, 5, 4}, 0},
		{"the group got other bounds", sized(1, 5, 2), [3]int{2, 9, 2}, [3]int{2, 9, 2}, 0},
		{"the node group was scaled", resized, [3]int{1, 5, 2}, [3]int{1, 5, 4}, 0},
		{"both were: the node group's counts", resized, [3]int{1, 5, 3}, [3]int{1, 5, 4}, 0},
		{"nodes are replaced", rolling, [3]int{1, 4, 4}, [3]int{1, 3, 3}, 1},
		{"and the group is scaled", rolling, [3]int{1, 4, 3}, [3]int{1, 3, 2}, 1},
		{"and the node group is", both, [3]int{1, 4, 4}, [3]int{1, 2, 2}, 1},
	} {
		n, g := Sizes(test.n, autoscaling.Group{Min: test.group[0], Max: test.group[1], Desired: test.group[2]}, now)
		got := []int{n.Min, n.Max, n.Desired, g.Desired - n.Desired}
		if want := append(test.want[:], test.more); !slices.Equal(got, want) || n.Resized || g.Min != n.Min || g.Max < g.Desired {
			t.Errorf("%s: %v, want %v; %+v", test.name, got, want, g)
		}
		// What was carried stays.
		if again, group := Sizes(n, g, now); !same(again, n) || !same(group, g) {
			t.Errorf("%s: at the second look %+v, %+v", test.name, again, group)
		}
	}
	_, g := Sizes(resized, autoscaling.Group{Min: 1, Max: 5, Desired: 2}, now)
	if want := "At 2026-11-29T12:00:00Z a user request update of AutoScalingGroup constraints to min: 1, max: 5, desired: 4 changing the desired capacity from 2 to 4."; !slices.Equal(g.Reasons, []string{want}) {
		t.Errorf("%q", g.Reasons)
	}
}

func member(id, version string, state autoscaling.State) autoscaling.Member {
	return autoscaling.Member{Instance: id, Version: version, State: state}
}

func in(m autoscaling.Member, zone string) autoscaling.Member { m.Zone = zone; return m }

func TestReplace(t *testing.T) {
	n := eks.Nodegroup{Desired: 2, MaxUnavailable: 1, Current: 2}
	wide := n
	wide.MaxUnavailable = 9
	old1, old2, fresh := member("i-1", "1", autoscaling.InService), member("i-2", "1", autoscaling.InService), member("i-3", "2", autoscaling.InService)
	boots := member("i-3", "2", autoscaling.PendingWait)
	for _, test := range []struct {
		name     string
		n        eks.Nodegroup
		members  []autoscaling.Member
		draining map[string]time.Time
		want     Replacement
	}{
		{"nothing is outdated", n, []autoscaling.Member{fresh, boots}, nil, Replacement{}},
		{"one more first", n, []autoscaling.Member{old1, old2}, nil, Replacement{Surge: 1}},
		{"as many as there are", wide, []autoscaling.Member{old1, old2}, nil, Replacement{Surge: 2}},
		{"it boots", n, []autoscaling.Member{old1, old2, boots}, nil, Replacement{Surge: 1}},
		{"it has joined", n, []autoscaling.Member{old1, old2, fresh}, nil, Replacement{Surge: 1, Drain: []string{"i-1"}}},
		{"who is drained already goes first", n, []autoscaling.Member{old1, old2, fresh}, map[string]time.Time{"i-2": {}}, Replacement{Surge: 1, Drain: []string{"i-2"}}},
		{"what ends does not count", n, []autoscaling.Member{member("i-1", "1", autoscaling.TerminatingWait), fresh, member("i-4", "2", autoscaling.InService)}, nil, Replacement{}},
		{"of the fullest zone", n, []autoscaling.Member{old1, in(old2, "b"), in(fresh, "b")}, nil, Replacement{Surge: 1, Drain: []string{"i-2"}}},
		{"too many", n, []autoscaling.Member{old1, old2, fresh, member("i-4", "2", autoscaling.InService)}, nil, Replacement{Surge: 1, Drain: []string{"i-1", "i-2"}}},
	} {
		if diff := cmp.Diff(test.want, Replace(test.n, test.members, test.draining)); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// Replacements, carried out one after the other, leave new nodes only, with never
// fewer in service than desired, nor more than the surge allows.
func TestReplaceRolls(t *testing.T) {
	for desired := range 7 {
		for unavailable := 1; unavailable < 4; unavailable++ {
			n := eks.Nodegroup{Desired: desired, MaxUnavailable: unavailable, Current: 2}
			g := autoscaling.Group{Desired: desired}
			var members []autoscaling.Member
			for i := range desired {
				members = append(members, member(fmt.Sprint("old", i), "1", autoscaling.InService))
			}
			for step := 0; !Reached(n, g, members); step++ {
				if step > 60 {
					t.Fatalf("%d by %d: no end: %+v", desired, unavailable, members)
				}
				r := Replace(n, members, nil)
				members = slices.DeleteFunc(members, func(m autoscaling.Member) bool { return slices.Contains(r.Drain, m.Instance) })
				n.Surge = Replace(n, members, nil).Surge
				g.Desired = n.Desired + n.Surge
				serve := 0
				for i := range members { // they join
					if members[i].State == autoscaling.InService {
						serve++
					}
					members[i].State = autoscaling.InService
				}
				if serve < desired || len(members) > desired+unavailable {
					t.Fatalf("%d by %d: %d serve of %d", desired, unavailable, serve, len(members))
				}
				for len(members) < g.Desired {
					members = append(members, member(fmt.Sprint("new", step, len(members)), "2", autoscaling.Pending))
				}
			}
		}
	}
}

func TestReached(t *testing.T) {
	n := eks.Nodegroup{Status: eks.Active, Desired: 2, Current: 2}
	change := func(change func(*eks.Nodegroup)) eks.Nodegroup { n := n; change(&n); return n }
	one, two := member("i-1", "2", autoscaling.InService), member("i-2", "2", autoscaling.InService)
	for _, test := range []struct {
		name    string
		n       eks.Nodegroup
		desired int
		members []autoscaling.Member
		want    bool
	}{
		{"none", n, 2, nil, false},
		{"all serve", n, 2, []autoscaling.Member{one, two}, true},
		{"one boots", n, 2, []autoscaling.Member{one, member("i-2", "2", autoscaling.Pending)}, false},
		{"one too many", n, 2, []autoscaling.Member{one, two, member("i-3", "2", autoscaling.InService)}, false},
		{"one too many ends", n, 2, []autoscaling.Member{one, two, member("i-3", "2", autoscaling.TerminatingWait)}, true},
		{"one is outdated", n, 2, []autoscaling.Member{one, member("i-2", "1", autoscaling.InService)}, false},
		{"labels to change", change(func(n *eks.Nodegroup) { n.Applied = &eks.NodeConfig{} }), 2, []autoscaling.Member{one, two}, false},
		{"a size to carry", change(func(n *eks.Nodegroup) { n.Resized = true }), 2, []autoscaling.Member{one, two}, false},
		{"a size that was carried, and is not known yet", n, 3, []autoscaling.Member{one, two}, false},
		{"one more for a while", change(func(n *eks.Nodegroup) { n.Surge = 1 }), 3, []autoscaling.Member{one, two}, false},
	} {
		if got := Reached(test.n, autoscaling.Group{Desired: test.desired}, test.members); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
