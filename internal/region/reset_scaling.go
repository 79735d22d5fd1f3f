package region

import (
	"context"
	"errors"
	"strconv"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// restoreRevisions gives the node groups of which no nodes were replaced their
// revisions back, and names the Auto Scaling groups of the others.
func (r *Region) restoreRevisions(ctx context.Context, own belongings) (revised map[string]bool, err error) {
	revised = map[string]bool{}
	for key, was := range own.groups {
		_, err := r.eks.Nodegroups.Modify(ctx, key, func(g *eks.Nodegroup) error {
			if revised[g.GroupName] = g.ID != was.ID || rolled(was, *g); !revised[g.GroupName] {
				g.Revision = was.Revision
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return revised, nil
}

// keepTemplates adds the launch templates of node groups of which nodes were
// replaced to what is restored, as they are now.
func (r *Region) keepTemplates(ctx context.Context, items store.Contents, own belongings) error {
	revised, err := r.restoreRevisions(ctx, own)
	if err != nil {
		return err
	}
	now, err := store.Read(ctx, r.store.Client(), "launch-templates", "launch-template-versions")
	if err != nil {
		return err
	}
	for _, g := range own.groups {
		if revised[g.GroupName] {
			if err := addTemplate(items, now, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// restoreScaling gives node groups' Auto Scaling groups what clients have changed
// of them.
func (r *Region) restoreScaling(ctx context.Context, own belongings) error {
	revised, err := r.restoreRevisions(ctx, own)
	if err != nil {
		return err
	}
	for _, was := range own.groups {
		_, err := r.autoscaling.Groups.Modify(ctx, was.GroupName, func(g *autoscaling.Group) error { *g = scalingAfter(was, *g); return nil })
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		members, _, err := r.autoscaling.Members.List(ctx, autoscaling.Prefix(was.GroupName))
		if err != nil {
			return err
		}
		version := ""
		if !revised[was.GroupName] {
			version = strconv.Itoa(was.Revision)
		}
		for _, m := range members {
			_, err := r.autoscaling.Members.Modify(ctx, m.Key, func(m *autoscaling.Member) error { *m = memberAfter(*m, version); return nil })
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}
