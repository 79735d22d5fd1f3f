package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/store"
)

var errNoSNS = errors.New("the region has no Amazon SNS: nobody was notified")

// Decide gives an alarm the state of an evaluation, if it is another, and writes its
// history. It returns the actions to carry out now; they stay Due until Acted says
// what came of them. A composite alarm whose actions are suppressed has none; when
// that ends, an evaluation that changes nothing else returns them. The error wraps
// store.ErrConflict or ErrNotFound if the alarm has changed meanwhile: look again.
func (s *Service) Decide(ctx context.Context, item store.Item[Alarm], e Evaluation) (changed bool, actions []string, err error) {
	a := item.Value
	suppressor, err := s.suppressor(ctx, a)
	if err != nil {
		return false, nil, err
	}
	now := s.time()
	next := a.moved(e, now)
	next.suppress(suppressor, now)
	changed = next.State != a.State
	if !changed && next.Suppressed == a.Suppressed {
		return false, nil, nil
	}
	if err := s.move(ctx, item, next); err != nil {
		return false, nil, err
	}
	if next.Suppressed != "" {
		return changed, nil, nil
	}
	return changed, deliverable(next.Due), nil
}

// moved is the alarm in the state of an evaluation.
func (a Alarm) moved(e Evaluation, now time.Time) Alarm {
	if e.State == a.State {
		return a
	}
	a.State, a.Reason, a.ReasonData, a.Changed, a.Transition = e.State, e.Reason, e.ReasonData, now, now
	a.Due = nil
	if !a.ActionsOff {
		a.Due = slices.Clone(a.Actions(a.State))
	}
	return a
}

// move writes an alarm that has another state, or whose suppression has changed,
// with what its history says. What cannot be delivered at all has failed.
func (s *Service) move(ctx context.Context, item store.Item[Alarm], next Alarm) error {
	before := item.Value
	var notifications []string
	if next.Suppressed == "" {
		due := next.Due
		next.Due = deliverable(due)
		notifications = slices.DeleteFunc(slices.Clone(due), func(action string) bool { return !isSNS(action) })
	}
	item.Value = next
	ops := []store.Op{s.Alarms.UpdateOp(item)}
	if before.State != next.State {
		op, err := s.transition(before, next)
		if err != nil {
			return err
		}
		ops = append(ops, op)
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return err
	}
	if before.State != next.State {
		s.log.Info("alarm changed", "alarm", next.Name, "from", before.State, "to", next.State, "reason", next.Reason)
	}
	if err := s.prune(ctx, next.Name); err != nil {
		return err
	}
	for _, action := range notifications {
		if err := s.acted(ctx, next, action, errNoSNS); err != nil {
			return err
		}
	}
	return nil
}

// deliverable are the actions that are no notifications.
func deliverable(actions []string) []string {
	return slices.DeleteFunc(slices.Clone(actions), isSNS)
}

// suppressor is the alarm that suppresses the actions of a composite one; nil: there
// is none.
func (s *Service) suppressor(ctx context.Context, a Alarm) (*Alarm, error) {
	if a.Suppressor == "" {
		return nil, nil
	}
	it, err := s.Alarms.Get(ctx, nameOf(a.Suppressor))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return &it.Value, err
}

// Why actions are suppressed.
const (
	byAlarm     = "Alarm"
	byWait      = "WaitPeriod"
	byExtension = "ExtensionPeriod"
)

// suppress decides whether the actions that are Due are held back: while the
// suppressor is in ALARM, for a while after that, and for a while before, in which
// it may follow.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Composite_Alarm.html
func (a *Alarm) suppress(by *Alarm, now time.Time) {
	was := a.Suppressed
	set := func(by string) {
		if a.Suppressed != by {
			a.SuppressedSince = now
		}
		a.Suppressed, a.SuppressedReason = by, "Actions suppressed by "+by
	}
	switch {
	case by == nil:
		a.Suppressed, a.SuppressedReason = "", ""
	case by.State == InAlarm:
		set(byAlarm)
		a.SuppressedReason += fmt.Sprintf(" (%s)", by.Name)
	case was == byAlarm && a.SuppressorExtension > 0:
		set(byExtension)
	case was == byExtension && now.Before(a.SuppressedSince.Add(a.SuppressorExtension)):
	case was == "" && a.Changed.Equal(now) && a.SuppressorWait > 0:
		set(byWait) // the alarm has just changed
	case was == byWait && now.Before(a.SuppressedSince.Add(a.SuppressorWait)):
	default:
		a.Suppressed, a.SuppressedReason = "", ""
	}
}
