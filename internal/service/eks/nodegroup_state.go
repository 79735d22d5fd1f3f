package eks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Progress is what loop/nodegroups sees of a node group.
type Progress struct {
	// Reached: it has its size, all its instances run, and they are as they should be.
	Reached bool
	// Empty: not one instance is left, those that are ending included.
	Empty bool
	// Issues are why it is not Reached.
	Issues []Issue
	// GivenUp: it was tried often enough to say that it has failed.
	GivenUp bool
}

// Advance is the node group's status after p, and how its update has ended, ""
// while it has not.
func (n Nodegroup) Advance(p Progress) (status Status, update string) {
	failing := p.GivenUp && len(p.Issues) > 0
	switch n.Status {
	case Deleting:
		return Deleting, ""
	case Creating:
		switch {
		case p.Reached:
			return Active, ""
		case failing:
			return CreateFailed, ""
		}
	case CreateFailed:
		// It is still tried: what was wrong may have been mended.
		if p.Reached {
			return Active, ""
		}
	case Updating:
		switch {
		case p.Reached:
			return Active, successful
		case failing:
			return Degraded, failed
		}
	case Active, Degraded:
		switch {
		case p.Reached:
			return Active, ""
		case failing:
			return Degraded, ""
		}
	}
	return n.Status, ""
}

// NodegroupProgress notes how far a node group is. One that is DELETING and
// empty is removed. A group that has changed since n was read is left for the
// next look.
func (s *Service) NodegroupProgress(ctx context.Context, n store.Item[Nodegroup], p Progress) error {
	err := s.nodegroupProgress(ctx, n, p)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recording the state of node group %s: %w", n.Value.Name, err)
	}
	return nil
}

func (s *Service) nodegroupProgress(ctx context.Context, item store.Item[Nodegroup], p Progress) error {
	n := item.Value
	if n.Status == Deleting && p.Empty {
		return s.forgetNodegroup(ctx, item)
	}
	status, update := n.Advance(p)
	issues := p.Issues
	if p.Reached {
		issues = nil
	}
	if status == n.Status && slices.EqualFunc(issues, n.Issues, sameIssue) && (n.Rolling == nil || !p.Reached) {
		return nil
	}
	var errs []Issue
	if update == failed {
		errs = nodegroupErrors(issues)
	}
	var ops []store.Op
	if update != "" {
		var err error
		if ops, err = s.endUpdate(ctx, n.Cluster, n.Update, update, errs); err != nil {
			return err
		}
		item.Value.Update = ""
	}
	switch {
	case p.Reached:
		item.Value.Rolling = nil
	case update == failed && slices.ContainsFunc(issues, Issue.evicting):
		item.Value.goBack()
	}
	item.Value.Status, item.Value.Issues, item.Value.Modified = status, issues, s.time()
	_, err := store.Commit(ctx, s.client, append(ops, s.Nodegroups.UpdateOp(item))...)
	return err
}

// nodegroupErrors are issues as an update shows them: it has fewer codes.
func nodegroupErrors(issues []Issue) []Issue {
	errs := slices.Clone(issues)
	for i := range errs {
		if !errs[i].evicting() {
			errs[i].Code = string(eksapi.ErrorCodeNodeCreationFailure)
		}
	}
	return errs
}

// evicting says that the issue is of pods that could not be evicted.
func (i Issue) evicting() bool { return i.Code == string(eksapi.NodegroupIssueCodePodEvictionFailure) }

// goBack ends a replacement of nodes that has failed: those that are left stay,
// and new ones are launched as before.
func (n *Nodegroup) goBack() {
	was := n.Rolling
	if was == nil {
		return
	}
	n.Template, n.InstanceType, n.InstanceTypes, n.Current = was.Template, was.InstanceType, was.InstanceTypes, was.Current
	n.Revision++
	n.Rolling = nil
}

// ConfigApplied notes that the nodes carry what n asks for.
func (s *Service) ConfigApplied(ctx context.Context, n Nodegroup) error {
	_, err := s.Nodegroups.Modify(ctx, n.Key(), func(now *Nodegroup) error {
		if now.ID == n.ID && sameConfig(now.Config(), n.Config()) {
			now.Applied = nil
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// forgetNodegroup removes a node group of which nothing is left, and the access
// entry that EKS made for its role if no other group needs it.
func (s *Service) forgetNodegroup(ctx context.Context, item store.Item[Nodegroup]) error {
	n := item.Value
	if n.Managed {
		if err := s.dropUpdates(ctx, about{cluster: n.Cluster, nodegroup: n.Name}); err != nil {
			return err
		}
	}
	ops := []store.Op{s.Nodegroups.DeleteOp(item)}
	others, _, err := s.Nodegroups.List(ctx, n.Cluster+"/")
	if err != nil {
		return err
	}
	shared := slices.ContainsFunc(others, func(o store.Item[Nodegroup]) bool {
		return o.Key != item.Key && o.Value.RoleARN == n.RoleARN
	})
	entry, err := s.AccessEntries.Get(ctx, AccessEntry{Cluster: n.Cluster, Principal: n.RoleARN}.Key())
	switch {
	case err == nil && entry.Value.ForNodes && !shared:
		ops = append(ops, s.AccessEntries.DeleteOp(entry))
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	_, err = store.Commit(ctx, s.client, ops...)
	return err
}
