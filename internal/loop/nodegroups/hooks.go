package nodegroups

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// How long the group waits for a node to be drained: where a whole node group goes
// not as long, and least where no other node is left that could take its pods,
// which disruption budgets then keep for good.
const (
	drainTimeout      = 15 * time.Minute
	drainTimeoutAtEnd = 2 * time.Minute
	drainTimeoutAlone = 10 * time.Second
)

// drainTimeout is that of the node group's nodes.
func (s *seen) drainTimeout() time.Duration {
	switch {
	case s.Status != eks.Deleting:
		return drainTimeout
	case !s.elsewhere:
		return drainTimeoutAlone
	}
	return drainTimeoutAtEnd
}

// hooks completes the lifecycle actions of EKS's hooks: that of launch when the
// node has joined, that of termination when the node is drained.
func (l *Loop) hooks(ctx context.Context, s *seen) error {
	var joining []store.Item[autoscaling.Member]
	for _, m := range s.members {
		switch {
		case waits(m.Value, launchHook):
			joining = append(joining, m)
		case waits(m.Value, terminateHook):
			if !l.left(ctx, s, m.Value) {
				continue
			}
			if err := l.complete(ctx, m, terminateHook); err != nil {
				return err
			}
		}
	}
	if len(joining) == 0 {
		return nil
	}
	var names []string
	for _, m := range joining {
		names = append(names, s.instances[m.Value.Instance].PrivateDNSName)
	}
	missing := l.missing(ctx, s, names)
	if len(missing) > 0 {
		s.nodes(s.Cluster)
	}
	for i, m := range joining {
		if !slices.Contains(missing, names[i]) {
			if err := l.complete(ctx, m, launchHook); err != nil {
				return err
			}
		}
	}
	return nil
}

// waits says that a member waits for a hook.
func waits(m autoscaling.Member, hook string) bool {
	return slices.ContainsFunc(m.Waits, func(w autoscaling.Wait) bool { return w.Hook == hook && w.Result == "" })
}

func (l *Loop) complete(ctx context.Context, m store.Item[autoscaling.Member], hook string) error {
	m.Value.Waits = slices.Clone(m.Value.Waits)
	m.Value.Complete(hook, autoscaling.Continue)
	_, err := l.AutoScaling.Members.Update(ctx, m)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// left says that a member's node is drained, or that it is not waited for any more.
func (l *Loop) left(ctx context.Context, s *seen, m autoscaling.Member) bool {
	i := s.instances[m.Instance]
	if !i.Alive() || s.cluster.Name == "" || s.cluster.Status == eks.Deleting {
		return true
	}
	gone, err := l.Nodes.Drain(ctx, s.Cluster, i.PrivateDNSName)
	if err != nil {
		l.Logger.Warn("draining a node", "group", s.GroupName, "node", i.PrivateDNSName, "error", err)
	}
	if gone {
		return true
	}
	late := m.Since.Add(s.drainTimeout())
	if !l.now().Before(late) {
		l.Logger.Warn("a node ends although it is not drained", "group", s.GroupName, "node", i.PrivateDNSName)
		return true
	}
	s.nodes(s.Cluster)
	s.at(earlier(late, l.now().Add(evictionPause)))
	return false
}

// missing are those of the nodes that are not Ready.
func (l *Loop) missing(ctx context.Context, s *seen, names []string) []string {
	missing, err := l.Nodes.Missing(ctx, s.Cluster, names)
	if err != nil {
		l.Logger.Debug("looking for the nodes of a group", "group", s.GroupName, "error", err)
		s.at(l.now().Add(time.Second)) // the API server may be starting, and tells nothing
		return names
	}
	return missing
}
