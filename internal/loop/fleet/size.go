package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// size brings the group to its desired capacity. While instances are replaced by
// new ones that run before they end, it has p.surge more.
func (p *planner) size() {
	p.rebalance()
	capacity, want := p.capacity(), p.Group.Desired
	switch {
	case capacity < want+p.surge:
		p.grow(want + p.surge - capacity)
	case capacity > want+p.surge:
		p.shrink(capacity - want - p.surge)
	default:
		p.Told = len(p.Group.Reasons) > 0
	}
}

// rebalance has an instance launched in the zone with the fewest, before one of
// the zone with the most ends.
func (p *planner) rebalance() {
	if p.surge > 0 || len(p.Group.FailedIn) > 0 || p.suspends(autoscaling.AZRebalance) || p.suspends(autoscaling.Launch) || p.suspends(autoscaling.Terminate) || p.inServiceCapacity() != p.Group.Desired {
		return
	}
	count := map[string]int{}
	for _, s := range p.Group.Subnets {
		count[p.Zones[s]] = 0
	}
	homeless := 0
	for _, m := range p.which(inService) {
		if _, ours := count[m.Zone]; ours {
			count[m.Zone]++
		} else {
			homeless++
		}
	}
	if len(count) == 0 {
		return
	}
	numbers := slices.Collect(maps.Values(count))
	if homeless > 0 || slices.Max(numbers)-slices.Min(numbers) > 1 {
		p.surge = 1
		p.because = autoscaling.Sentence(p.Now, "an instance was launched to aid in balancing the group's zones")
	}
}

// grow adds to the capacity: instances that wait in the warm pool first.
func (p *planner) grow(n int) {
	if p.suspends(autoscaling.Launch) {
		return
	}
	before := p.capacity()
	cause := p.growing(before, before+n)
	for _, m := range p.ready() {
		if n <= 0 {
			break
		}
		n -= m.weight()
		m.Starts = &Activity{fmt.Sprintf("Launching a new EC2 instance from warm pool: %s", m.Instance), cause}
		p.to(m, autoscaling.Pending)
		p.Told = true
	}
	if n > 0 {
		p.launch(n, cause, false)
	}
}

// growing is why the capacity grows.
func (p *planner) growing(before, after int) string {
	switch {
	case p.because != "":
		return p.because
	case len(p.Group.Reasons) == 0 && slices.ContainsFunc(p.members, func(m *member) bool { return m.Ending && !m.Healthy }):
		return autoscaling.Replaced(p.Now)
	}
	return autoscaling.Cause(append(slices.Clone(p.Group.Reasons), autoscaling.Started(p.Now, before, after))...)
}

// launch launches so much capacity where there is the least of it.
func (p *planner) launch(n int, cause string, warmOnes bool) {
	if len(p.Group.Subnets) == 0 {
		return
	}
	if p.Now.Before(p.Group.RetryAt) {
		p.due(p.Group.RetryAt)
		return
	}
	weight := 1
	if len(p.Source.Choices) > 0 {
		weight = max(1, p.Source.Choices[0].Weight)
	}
	n = (n + weight - 1) / weight
	onDemand := n
	if p.Group.Mixed != nil {
		have := p.which(counts)
		spots := len(slices.DeleteFunc(have, func(m *member) bool { return !m.spot() }))
		total := len(p.which(counts))
		onDemand = min(n, max(0, onDemandOf(p.Group, total+n)-(total-spots)))
	}
	of := counts
	if warmOnes { // the group is to be balanced with them in service
		of = func(m *member) bool { return counts(m) || warm(m) }
	}
	list := p.spread(n, of)
	for i, subnet := range list {
		l := Launch{Subnet: subnet, Count: 1, Spot: i >= onDemand || p.Source.Spot, Warm: warmOnes, Cause: cause}
		if at := slices.IndexFunc(p.Launch, func(o Launch) bool { o.Count = l.Count; return o == l }); at >= 0 {
			p.Launch[at].Count++
		} else {
			p.Launch = append(p.Launch, l)
		}
	}
	p.Told = p.Told || !warmOnes
}

// spread chooses a subnet for each of n instances: in the zone with the fewest of
// those that are counted, or of those of them that are not to be replaced some day,
// and there the subnet with the fewest. Where launches have failed lately it goes
// only if they have everywhere.
func (p *planner) spread(n int, counted func(*member) bool) []string {
	zones, fresh, subnets, failed := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	for _, subnet := range p.Group.FailedIn {
		failed[subnet] = 1
	}
	for _, m := range p.which(counted) {
		zones[m.Zone]++
		subnets[m.Subnet]++
		if p.Source.matches(*m.Member) {
			fresh[m.Zone]++
		}
	}
	for _, l := range p.Launch { // the group's, before the warm pool's
		zones[p.Zones[l.Subnet]] += l.Count
		fresh[p.Zones[l.Subnet]] += l.Count
		subnets[l.Subnet] += l.Count
	}
	var list []string
	for range n {
		least := slices.MinFunc(p.Group.Subnets, func(a, b string) int {
			x, y := p.Zones[a], p.Zones[b]
			return cmp.Or(cmp.Compare(failed[a], failed[b]), cmp.Compare(zones[x], zones[y]), cmp.Compare(fresh[x], fresh[y]), cmp.Compare(subnets[a], subnets[b]))
		})
		zones[p.Zones[least]]++
		fresh[p.Zones[least]]++
		subnets[least]++
		list = append(list, least)
	}
	return list
}

// onDemandOf is how many of so many instances are to be on demand.
func onDemandOf(g autoscaling.Group, total int) int {
	d := g.Mixed.InstancesDistribution
	if d == nil {
		return total
	}
	base, percent := int(api.Val(d.OnDemandBaseCapacity)), 100
	if d.OnDemandPercentageAboveBaseCapacity != nil {
		percent = int(*d.OnDemandPercentageAboveBaseCapacity)
	}
	above := max(0, total-base)
	return min(total, base) + (above*percent+99)/100
}

// shrink takes so much from the capacity, or a little less.
func (p *planner) shrink(n int) {
	if p.suspends(autoscaling.Terminate) {
		return
	}
	before := p.capacity()
	for left := n; left > 0; {
		m := p.choose(p.which(counts, unprotected, func(m *member) bool { return m.weight() <= left }))
		if m == nil {
			return
		}
		left -= m.weight()
		cause := autoscaling.Cause(append(slices.Clone(p.Group.Reasons), autoscaling.TakenOut(p.Now, before, before-n), autoscaling.Selected(p.Now, m.Instance))...)
		p.Told = true
		if p.reuse(m) {
			m.Starts = &Activity{fmt.Sprintf("Returning EC2 instance to warm pool: %s", m.Instance), cause}
			p.to(m, autoscaling.WarmedPending)
			continue
		}
		p.end(m, cause)
	}
}

// version is a launch template's version as a number, 0 if it is none.
func version(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
