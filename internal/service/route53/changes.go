package route53

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

func (s *Service) newChange(zone, comment string) Change {
	return Change{ID: newID("C"), Zone: zone, Submitted: s.time(), Comment: comment}
}

// pending is a change that was just made.
func pending(c Change) *route53api.ChangeInfo {
	return describeChange(c, route53api.ChangeStatusPending)
}

func describeChange(c Change, status route53api.ChangeStatus) *route53api.ChangeInfo {
	out := &route53api.ChangeInfo{Id: new("/change/" + c.ID), Status: status, SubmittedAt: &c.Submitted}
	if c.Comment != "" {
		out.Comment = &c.Comment
	}
	return out
}

// GetChange implements route53api.Handler.
func (s *Service) GetChange(ctx context.Context, in *route53api.GetChangeInput) (*route53api.GetChangeOutput, error) {
	id := plainID("change", in.Id)
	it, err := s.Changes.Get(ctx, id)
	if id == "" || errors.Is(err, store.ErrNotFound) {
		return nil, route53api.NoSuchChange.New("Could not find resource with ID: %s", api.Val(in.Id))
	}
	if err != nil {
		return nil, err
	}
	status := route53api.ChangeStatusPending
	if s.applied.Applied() >= it.Revision {
		status = route53api.ChangeStatusInsync
	}
	return &route53api.GetChangeOutput{ChangeInfo: describeChange(it.Value, status)}, nil
}

const (
	// keepChanges is how long a change can be asked about.
	keepChanges = 30 * 24 * time.Hour
	// pruneEvery is how many changes are made between two looks for old ones.
	pruneEvery = 256
)

// prune forgets old changes, now and then. What it cannot delete now it will
// find the next time.
func (s *Service) prune(ctx context.Context) {
	if s.changed.Add(1)%pruneEvery != 0 {
		return
	}
	items, _, err := s.Changes.List(ctx, "")
	if err != nil {
		return
	}
	for _, it := range items {
		if s.now().Sub(it.Value.Submitted) > keepChanges {
			_ = s.Changes.DeleteItem(ctx, it)
		}
	}
}

func maxItems(n int) *string { return new(strconv.Itoa(n)) }
