package fleet

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// Launch is a number of instances to run in one subnet.
type Launch struct {
	Subnet string
	Count  int
}

// Decision is what brings a group to its size.
type Decision struct {
	Launch    []Launch
	Terminate []string // instance ids
}

// The tags by which the instances of a group are known. AWS keeps the prefix for
// itself: nobody can give or take them.
const (
	groupTag    = "aws:autoscaling:groupName"
	revisionTag = "aws:ec2launchtemplate:version"
)

// outdated says that an instance was launched before the group's nodes were to
// be replaced.
func outdated(group eks.Nodegroup, i ec2.Instance) bool {
	return cmp.Or(i.Tags[revisionTag], "1") != strconv.Itoa(max(1, group.Revision))
}

// size is how many instances the group is to have.
func size(group eks.Nodegroup) int {
	if group.Status == eks.Deleting {
		return 0
	}
	return group.Desired
}

// Plan decides, given the group and those of its own instances that have not
// ended and are not ending. Launches go to the subnets with the fewest
// instances, and terminations take from those with the most, the oldest first,
// as Auto Scaling balances zones. Instances that were stopped are replaced.
// Outdated ones are replaced a few at a time: new ones run before old ones end.
func Plan(group eks.Nodegroup, members []ec2.Instance) Decision {
	var d Decision
	if len(group.Subnets) == 0 && size(group) > 0 {
		return d
	}
	var current, old []ec2.Instance
	ready := 0
	for _, i := range members {
		switch {
		case !i.Alive():
			d.Terminate = append(d.Terminate, i.ID)
		case outdated(group, i):
			old = append(old, i)
		default:
			current = append(current, i)
			if i.State == ec2.Running {
				ready++
			}
		}
	}
	desired := size(group)
	surge := min(group.Unavailable(), len(old))
	d.Launch = launches(group.Subnets, slices.Concat(current, old), min(desired-len(current), desired+surge-len(current)-len(old)))
	d.Terminate = append(d.Terminate, surplus(old, ready+len(old)-desired)...)
	d.Terminate = append(d.Terminate, surplus(current, len(current)-desired)...)
	return d
}

// launches puts n more instances where there are the fewest.
func launches(subnets []string, alive []ec2.Instance, n int) []Launch {
	if n <= 0 {
		return nil
	}
	count, more := map[string]int{}, map[string]int{}
	for _, i := range alive {
		count[i.Subnet]++
	}
	for range n {
		least := slices.MinFunc(subnets, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
		count[least]++
		more[least]++
	}
	var list []Launch
	for _, s := range subnets {
		if more[s] > 0 {
			list = append(list, Launch{s, more[s]})
		}
	}
	return list
}

// surplus takes n instances from where there are the most.
func surplus(alive []ec2.Instance, n int) []string {
	bySubnet := map[string][]ec2.Instance{}
	for _, i := range alive {
		bySubnet[i.Subnet] = append(bySubnet[i.Subnet], i)
	}
	for _, list := range bySubnet {
		slices.SortFunc(list, func(a, b ec2.Instance) int {
			return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
		})
	}
	subnets := slices.Sorted(maps.Keys(bySubnet))
	var ids []string
	for range min(n, len(alive)) {
		most := slices.MaxFunc(subnets, func(a, b string) int { return cmp.Compare(len(bySubnet[a]), len(bySubnet[b])) })
		ids = append(ids, bySubnet[most][0].ID)
		bySubnet[most] = bySubnet[most][1:]
	}
	return ids
}

// progress is how far a group is, given its instances that have not ended.
func progress(group eks.Nodegroup, members []ec2.Instance) eks.Progress {
	running := 0
	for _, i := range members {
		if i.State == ec2.Running && !outdated(group, i) {
			running++
		}
	}
	alive := slices.DeleteFunc(slices.Clone(members), func(i ec2.Instance) bool { return i.State == ec2.ShuttingDown })
	return eks.Progress{
		Reached: running == size(group) && len(alive) == running && group.Applied == nil,
		Empty:   len(members) == 0,
	}
}
