package nodegroups

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Replacement is what is done next to replace outdated nodes.
type Replacement struct {
	// Surge is how many instances more than desired the group is to have.
	Surge int
	// Drain are instances of which the nodes may leave, in order.
	Drain []string
}

// Replace decides, given those members of the node group's Auto Scaling group that
// count and which of them are being drained already. Outdated nodes are replaced a
// few at a time, in the zones with the most: new ones are in service before old ones
// end.
func Replace(n eks.Nodegroup, members []autoscaling.Member, draining map[string]time.Time) Replacement {
	var old []autoscaling.Member
	ready, zones := 0, map[string]int{}
	for _, m := range members {
		if !m.Counts() {
			continue
		}
		zones[m.Zone]++
		if outdated(n, m) {
			old = append(old, m)
		} else if m.State == autoscaling.InService {
			ready++
		}
	}
	r := Replacement{Surge: min(n.Unavailable(), len(old))}
	for range min(len(old), max(0, ready+len(old)-n.Desired)) {
		next := slices.MinFunc(old, func(a, b autoscaling.Member) int {
			return cmp.Or(first(draining, a, b), cmp.Compare(zones[b.Zone], zones[a.Zone]), a.InService.Compare(b.InService), cmp.Compare(a.Instance, b.Instance))
		})
		zones[next.Zone]--
		old = slices.DeleteFunc(old, func(m autoscaling.Member) bool { return m.Instance == next.Instance })
		r.Drain = append(r.Drain, next.Instance)
	}
	return r
}

// first puts what is being drained before the rest.
func first(draining map[string]time.Time, a, b autoscaling.Member) int {
	_, x := draining[a.Instance]
	_, y := draining[b.Instance]
	switch {
	case x == y:
		return 0
	case x:
		return -1
	}
	return 1
}

// outdated says that a member was launched before the group's nodes were to be
// replaced.
func outdated(n eks.Nodegroup, m autoscaling.Member) bool {
	version, _ := strconv.Atoi(m.Version)
	return n.Outdated(version)
}

// evictionTimeout is how long a node may take to be drained for an update.
const evictionTimeout = 15 * time.Minute

// roll replaces outdated nodes: it has the group launch new ones, drains old ones,
// and ends those that are drained, together with what of the surge is not needed
// any more.
func (l *Loop) roll(ctx context.Context, s *seen) (changed bool, err error) {
	members := make([]autoscaling.Member, 0, len(s.members))
	for _, m := range s.members {
		members = append(members, m.Value)
	}
	r := Replace(s.Nodegroup, members, l.draining[s.ID])
	if err := l.keep(ctx, s, r.Drain); err != nil {
		return false, err
	}
	var end []string
	for _, id := range r.Drain {
		gone, err := l.drained(ctx, s, id)
		if err != nil {
			return false, err
		}
		if gone {
			end = append(end, id)
		}
	}
	for i := range members { // as they will be
		members[i].Ending = members[i].Ending || slices.Contains(end, members[i].Instance)
	}
	n := s.Nodegroup
	n.Surge = Replace(n, members, nil).Surge
	if len(end) == 0 && n.Surge == s.Surge || s.group.Value.Deleting {
		return false, nil
	}
	item, group := s.item, *s.group
	item.Value, group.Value = n, sized(n, s.group.Value, l.now())
	ops := []store.Op{l.EKS.Nodegroups.UpdateOp(item), l.AutoScaling.Groups.UpdateOp(group)}
	for _, m := range s.members {
		if slices.Contains(end, m.Value.Instance) {
			m.Value.Ending = true
			m.Value.Cause = autoscaling.Sentence(l.now(), "instance %s was taken out of service in response to a user request", m.Value.Instance)
			ops = append(ops, l.AutoScaling.Members.UpdateOp(m))
		}
	}
	// Surplus that a failed update leaves is of the new ones: what could not be
	// evicted stays where it is.
	for _, m := range s.surplus(n, members) {
		m.Value.Ending = true
		m.Value.Cause = autoscaling.Sentence(l.now(), "instance %s was taken out of service in response to a user request", m.Value.Instance)
		ops = append(ops, l.AutoScaling.Members.UpdateOp(m))
	}
	return l.commit(ctx, ops...)
}

// surplus are the newest members of a group of which the surge ends although old
// ones are left.
func (s *seen) surplus(n eks.Nodegroup, members []autoscaling.Member) []store.Item[autoscaling.Member] {
	if n.Rolling != nil || n.Surge > 0 {
		return nil
	}
	counting := 0
	for _, m := range members {
		if m.Counts() {
			counting++
		}
	}
	left := slices.DeleteFunc(slices.Clone(s.members), func(m store.Item[autoscaling.Member]) bool { return !m.Value.Counts() })
	slices.SortStableFunc(left, func(a, b store.Item[autoscaling.Member]) int {
		x, _ := strconv.Atoi(a.Value.Version)
		y, _ := strconv.Atoi(b.Value.Version)
		return cmp.Or(cmp.Compare(y, x), b.Value.Since.Compare(a.Value.Since))
	})
	return left[:min(len(left), s.Surge, max(0, counting-n.Desired))]
}

// keep remembers since when the instances' nodes are drained, and lets those take
// pods again that are not to be drained any more.
func (l *Loop) keep(ctx context.Context, s *seen, drain []string) error {
	since := l.draining[s.ID]
	for id := range since {
		if slices.Contains(drain, id) {
			continue
		}
		counts := slices.ContainsFunc(s.members, func(m store.Item[autoscaling.Member]) bool { return m.Value.Instance == id && m.Value.Counts() })
		if counts {
			if err := l.Nodes.Uncordon(ctx, s.Cluster, s.instances[id].PrivateDNSName); err != nil {
				return fmt.Errorf("letting a node take pods again: %w", err)
			}
		}
		delete(since, id)
	}
	for _, id := range drain {
		if since == nil {
			since = map[string]time.Time{}
			l.draining[s.ID] = since
		}
		if _, begun := since[id]; !begun {
			since[id] = l.now()
		}
	}
	if len(since) == 0 {
		delete(l.draining, s.ID)
	}
	return nil
}

// drained says that an outdated node may end. One that is not drained in time ends
// by force, or fails the update.
func (l *Loop) drained(ctx context.Context, s *seen, id string) (bool, error) {
	if !s.Managed || !s.instances[id].Alive() {
		return true, nil
	}
	node := s.instances[id].PrivateDNSName
	gone, err := l.Nodes.Drain(ctx, s.Cluster, node)
	if err != nil {
		l.Logger.Warn("draining a node", "group", s.GroupName, "node", node, "error", err)
	}
	if gone {
		return true, nil
	}
	late := l.draining[s.ID][id].Add(evictionTimeout)
	if l.now().Before(late) {
		s.nodes(s.Cluster)
		s.at(earlier(late, l.now().Add(evictionPause)))
		return false, nil
	}
	if s.Rolling == nil || s.Rolling.Force {
		return true, nil
	}
	return false, issueError{
		fmt.Errorf("Reached max retries while trying to evict pods from nodes in node group %s", s.Name),
		eksapi.NodegroupIssueCodePodEvictionFailure, []string{node},
	}
}
