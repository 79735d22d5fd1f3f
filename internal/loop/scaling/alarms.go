package scaling

import (
	"context"
	"errors"
	"time"

	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// watched is what the loop knows about an alarm besides its record.
type watched struct {
	updated time.Time // the alarm's Updated that due is of
	due     time.Time // up to when data are to be looked at next
	// found is what was found last; before the first look it is what the alarm's
	// state rests on.
	found []float64
}

// look evaluates the alarms that are due: those with metrics at the end of their
// periods, composite ones each time, until none changes another.
func (l *Loop) look(ctx context.Context, w *world, now time.Time) (next time.Time) {
	known := make(map[string]*watched, len(w.alarms))
	for i := range w.alarms {
		it := &w.alarms[i]
		a := l.watch(it.Value, now)
		known[it.Key] = a
		if it.Value.Composite() {
			continue
		}
		if at := a.due.Add(l.cfg.Settle); now.Before(at) {
			next = sooner(next, at)
			continue
		}
		// Of several periods that have passed the newest counts.
		for at := a.due; !now.Before(at.Add(l.cfg.Settle)); at = cloudwatch.NextEvaluation(it.Value, at) {
			a.due = at
		}
		if l.evaluate(ctx, it, a, a.due) {
			w.looked[it.Key] = true
			a.due = cloudwatch.NextEvaluation(it.Value, a.due)
			next = sooner(next, a.due.Add(l.cfg.Settle))
		} else {
			next = sooner(next, now.Add(retry))
		}
	}
	l.watched = known
	return sooner(next, l.lookComposite(ctx, w, now))
}

// watch is what is known about an alarm. A new one, or one that was changed, is
// looked at at once; one that has a state when the region starts, when its time
// comes.
func (l *Loop) watch(a cloudwatch.Alarm, now time.Time) *watched {
	seen := l.watched[a.Name]
	if seen != nil && seen.updated.Equal(a.Updated) {
		return seen
	}
	settled := now.Add(-l.cfg.Settle)
	made := &watched{updated: a.Updated, due: settled, found: readings(a.ReasonData)}
	if seen == nil && a.State != cloudwatch.InsufficientData {
		made.due = cloudwatch.NextEvaluation(a, settled)
	}
	return made
}

// lookComposite evaluates the composite alarms until none changes any more; a rule
// has no circles, so that comes.
func (l *Loop) lookComposite(ctx context.Context, w *world, now time.Time) (next time.Time) {
	for range w.alarms {
		changed := false
		for i := range w.alarms {
			it := &w.alarms[i]
			if !it.Value.Composite() {
				continue
			}
			before := it.Value.State
			if !l.evaluate(ctx, it, l.watched[it.Key], now) {
				next = sooner(next, now.Add(retry))
				continue
			}
			changed = changed || it.Value.State != before
		}
		if !changed {
			break
		}
	}
	for _, it := range w.alarms {
		if it.Value.Composite() && it.Value.Suppressed != "" {
			next = sooner(next, cloudwatch.NextEvaluation(it.Value, now))
		}
	}
	return next
}

// evaluate looks at an alarm's data up to a time and gives it the state that they
// say. It reports whether that succeeded.
func (l *Loop) evaluate(ctx context.Context, it *store.Item[cloudwatch.Alarm], w *watched, at time.Time) bool {
	changed, err := l.decide(ctx, it, w, at)
	if err == nil && (changed || it.Value.Composite()) { // Decide has written it, or somebody else just now
		before := it.Value
		if *it, err = l.cfg.CloudWatch.Alarms.Get(ctx, it.Key); err != nil {
			it.Key, it.Value = before.Name, before
		}
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) || ctx.Err() != nil {
		return false // it has changed meanwhile: that wakes the loop
	}
	l.say("looking at an alarm", it.Key, err)
	return err == nil
}

func (l *Loop) decide(ctx context.Context, it *store.Item[cloudwatch.Alarm], w *watched, at time.Time) (changed bool, err error) {
	e, err := l.cfg.CloudWatch.Look(ctx, it.Value, at)
	if err != nil {
		return false, err
	}
	if changed, _, err = l.cfg.CloudWatch.Decide(ctx, *it, e); err != nil {
		return false, err
	}
	w.found = nil
	if e.Known {
		w.found = []float64{e.Value}
	}
	if changed {
		w.found = readings(e.ReasonData)
	}
	return changed, nil
}
