package autoscaling

import (
	"context"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Cooling says until when the group's last scaling keeps others waiting that honour
// a cooldown; zero if nothing does.
func (g Group) Cooling(now time.Time, cooldown time.Duration) time.Time {
	if until := g.Scaled.Add(cooldown); !g.Scaled.IsZero() && now.Before(until) {
		return until
	}
	return time.Time{}
}

// cooled is an error as long as an activity is in progress, or the cooldown of the
// last one is.
func (s *Service) cooled(ctx context.Context, g Group, cooldown time.Duration) error {
	id, err := s.inProgress(ctx, g.Name)
	if err != nil {
		return err
	}
	if id == "" && !g.Cooling(s.now(), cooldown).IsZero() {
		items, _, err := s.Activities.List(ctx, Prefix(g.Name))
		if err != nil {
			return err
		}
		if len(items) > 0 {
			id = items[len(items)-1].Value.ID
		}
	}
	if id == "" {
		return nil
	}
	return autoscalingapi.ScalingActivityInProgressFault.New("Scaling activity %s is in progress and blocks this action", id)
}
