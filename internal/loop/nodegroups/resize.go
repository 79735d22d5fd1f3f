package nodegroups

import (
	"context"
	"errors"
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Sizes carries sizes between a node group and its Auto Scaling group. What was
// asked of EKS goes to the group, once; else the node group's size is the group's,
// which a scaling policy or Cluster Autoscaler may have changed. While nodes are
// replaced the group has the surge more.
func Sizes(n eks.Nodegroup, g autoscaling.Group, now time.Time) (eks.Nodegroup, autoscaling.Group) {
	if !n.Resized {
		n.Min, n.Desired = g.Min, max(0, g.Desired-n.Surge)
		if n.Surge == 0 { // which the maximum may be above the node group's for
			n.Max = g.Max
		}
		return n, g
	}
	n.Resized = false
	return n, sized(n, g, now)
}

// sized is the group with the size that the node group has.
func sized(n eks.Nodegroup, g autoscaling.Group, now time.Time) autoscaling.Group {
	lowest, most, want := n.Min, highest(n), n.Desired+n.Surge
	// An error would be of bounds that EKS does not accept either.
	_ = g.Resize(now, "a user request update of AutoScalingGroup constraints to", &lowest, &most, &want)
	return g
}

// highest is the group's maximum: with the surge, it may be above the node group's.
func highest(n eks.Nodegroup) int { return max(n.Max, n.Desired+n.Surge) }

// resize carries sizes. changed says that something was written.
func (l *Loop) resize(ctx context.Context, s *seen) (changed bool, err error) {
	if s.group.Value.Deleting {
		return false, nil
	}
	n, g := Sizes(s.Nodegroup, s.group.Value, l.now())
	if same(n, s.Nodegroup) && same(g, s.group.Value) {
		return false, nil
	}
	item, group := s.item, *s.group
	item.Value, group.Value = n, g
	return l.commit(ctx, l.EKS.Nodegroups.UpdateOp(item), l.AutoScaling.Groups.UpdateOp(group))
}

// commit writes all of it or, if somebody else was faster, nothing: that tells of
// itself too.
func (l *Loop) commit(ctx context.Context, ops ...store.Op) (changed bool, err error) {
	_, err = store.Commit(ctx, l.Client, ops...)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return err == nil, err
}
