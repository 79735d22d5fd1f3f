package ec2

import (
	"context"
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/store"
)

// SetInterfaceGroups gives a service's interface other security groups. One that
// has them already is not written. Errors: store.ErrNotFound (interface or group).
func (s *Service) SetInterfaceGroups(ctx context.Context, id string, groups []string) error {
	s.allocating.Lock() // as who deletes a group looks for its users first
	defer s.allocating.Unlock()
	item, err := s.ENIs.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("changing the groups of a network interface: %w", err)
	}
	if slices.Equal(item.Value.SecurityGroups, groups) {
		return nil
	}
	item.Value.SecurityGroups = slices.Clone(groups)
	if _, err := store.Commit(ctx, s.client, append(s.uses(item.Value), s.ENIs.UpdateOp(item))...); err != nil {
		return fmt.Errorf("changing the groups of network interface %s: %w", id, err)
	}
	return nil
}
