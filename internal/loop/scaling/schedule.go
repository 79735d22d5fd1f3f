package scaling

import (
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

const (
	// lateRecurring is how late a recurring action may still be carried out; AWS
	// promises no better. After that it is its next time's turn.
	lateRecurring = 2 * time.Minute
	// lateOnce is the same for an action that happens once: it has no next time, so
	// a region that was down for its lunch break still does it, and one that was
	// down for longer does not change the size of groups out of the blue.
	lateOnce = time.Hour
)

// Turn is what is to be done about an action.
type Turn struct {
	At   time.Time // its time that has come; zero: none has
	Next time.Time // when to look again; zero: never
	Over bool      // nothing comes after At, or after now: it is to be deleted
}

// TurnOf decides about an action. Its times up to since are done, or are not the
// loop's: they were before the action was as it is.
func TurnOf(a autoscaling.ScheduledAction, since, now time.Time) Turn {
	late := lateRecurring
	if a.Recurrence == "" {
		late = lateOnce
	}
	// Of several times that have come only the last counts: the size is the same.
	var t Turn
	if from := now.Add(-late - time.Nanosecond); since.Before(from) {
		since = from
	}
	for at, ok := a.Next(since); ok; at, ok = a.Next(at) {
		if at.After(now) {
			t.Next = at
			break
		}
		t.At = at
	}
	t.Over = t.Next.IsZero()
	return t
}

// Scheduled makes of a group what an action asks for.
func Scheduled(g *autoscaling.Group, a autoscaling.ScheduledAction, now time.Time) error {
	before := g.Desired
	if err := g.Resize(now, "a scheduled action update of AutoScalingGroup constraints to", a.Min, a.Max, a.Desired); err != nil {
		return err
	}
	if g.Desired != before {
		g.Reasons = append(g.Reasons, autoscaling.Sentence(now, "the scheduled action %s executed. Setting desired capacity from %d to %d", a.Name, before, g.Desired))
	}
	return nil
}
