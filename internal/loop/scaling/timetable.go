package scaling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// timed is since when a scheduled action is as it is: its times before are not the
// loop's.
type timed struct {
	as    autoscaling.ScheduledAction // without Ran
	since time.Time
}

// keepTime carries out the scheduled actions whose time has come, in the order of
// their times.
func (l *Loop) keepTime(ctx context.Context, _ *world, now time.Time) (next time.Time) {
	items, _, err := l.cfg.AutoScaling.Scheduled.List(ctx, "")
	if err != nil {
		l.say("reading scheduled actions", "all", err)
		return now.Add(retry)
	}
	l.say("reading scheduled actions", "all", nil)
	type turn struct {
		store.Item[autoscaling.ScheduledAction]
		Turn
	}
	var turns []turn
	known := map[string]timed{}
	for _, it := range items {
		known[it.Key] = l.since(it.Value, now)
		t := TurnOf(it.Value, known[it.Key].since, now)
		next = sooner(next, t.Next)
		if !t.At.IsZero() || t.Over {
			turns = append(turns, turn{it, t})
		}
	}
	l.timed = known
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Key, b.Key)) })
	for _, t := range turns {
		err := l.carryOut(ctx, t.Item, t.Turn, now)
		l.say("carrying out a scheduled action", t.Key, err)
		if err != nil {
			next = sooner(next, now.Add(retry))
		}
	}
	return next
}

// since is after when an action's times are to be looked at. One that happens once
// has no other time; one that recurs, and is new or was changed, begins now, and
// otherwise goes on where it was, if the region was not away for long.
func (l *Loop) since(a autoscaling.ScheduledAction, now time.Time) timed {
	as := a
	as.Ran = time.Time{}
	seen, ok := l.timed[a.Key()]
	switch {
	case a.Recurrence == "":
		return timed{as, a.Ran}
	case ok && same(seen.as, as):
		if a.Ran.After(seen.since) {
			seen.since = a.Ran
		}
		return seen
	case !ok && !a.Ran.IsZero():
		return timed{as, a.Ran}
	}
	return timed{as, now}
}

// same says whether two actions have the same times.
func same(a, b autoscaling.ScheduledAction) bool {
	return a.ID == b.ID && a.Recurrence == b.Recurrence && a.TimeZone == b.TimeZone && a.Start.Equal(b.Start) && a.End.Equal(b.End)
}

// carryOut changes the group and remembers that, at once: the action is neither
// lost nor done twice. One that is over is deleted, as on AWS.
func (l *Loop) carryOut(ctx context.Context, it store.Item[autoscaling.ScheduledAction], t Turn, now time.Time) error {
	service := l.cfg.AutoScaling
	for {
		var ops []store.Op
		if t.Over {
			ops = append(ops, service.Scheduled.DeleteOp(it))
		} else {
			done := it
			done.Value.Ran = t.At
			ops = append(ops, service.Scheduled.UpdateOp(done))
		}
		var failed error
		if !t.At.IsZero() {
			group, err := service.Groups.Get(ctx, it.Value.Group)
			if err != nil {
				return ignoreGone(err)
			}
			switch {
			case group.Value.Deleting:
			case group.Value.Suspends(autoscaling.ScheduledActions):
				failed = errors.New("the group's process ScheduledActions is suspended")
			default:
				if failed = Scheduled(&group.Value, it.Value, now); failed == nil {
					ops = append(ops, service.Groups.UpdateOp(group))
				}
			}
		}
		_, err := store.Commit(ctx, l.cfg.Client, ops...)
		switch {
		case errors.Is(err, store.ErrConflict):
			newer, err := service.Scheduled.Get(ctx, it.Key)
			if err != nil || newer.Revision != it.Revision {
				return ignoreGone(err) // it was changed, and is looked at again
			}
			continue // the group was changed
		case err != nil:
			return ignoreGone(err)
		case failed != nil:
			return fmt.Errorf("%s of group %s at %s: %w", it.Value.Name, it.Value.Group, t.At.Format(time.RFC3339), failed)
		case !t.At.IsZero():
			l.log.Info("a scheduled action was carried out", "group", it.Value.Group, "action", it.Value.Name, "time", t.At)
		}
		return nil
	}
}

func ignoreGone(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
