package cloudwatch

import (
	"context"
	"errors"
	"fmt"

	"github.com/tarn-eks/tarn/internal/store"
)

// PutOwned makes, or changes, an alarm for another service of the region, which has
// checked it and set Owner. One that is there keeps its state.
func (s *Service) PutOwned(ctx context.Context, a Alarm) error {
	if a.Owner == "" {
		return fmt.Errorf("alarm %s has no owner", a.Name)
	}
	return s.put(ctx, a)
}

// DeleteOwned deletes alarms for the service that made them. One that is gone is as
// it is to be.
func (s *Service) DeleteOwned(ctx context.Context, names ...string) error {
	for _, name := range names {
		it, err := s.Alarms.Get(ctx, name)
		if err == nil && it.Value.Owner != "" {
			err = s.remove(ctx, it)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}
