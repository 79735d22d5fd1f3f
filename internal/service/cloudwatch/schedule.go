package cloudwatch

import "time"

// NextEvaluation is when an alarm is to be looked at next. Alarms with a period of
// a minute or more are evaluated at each minute, those of less at each period's
// end. A composite alarm is to be looked at when one of those that it is about has
// changed, too; and when a period ends in which its actions are suppressed.
func NextEvaluation(a Alarm, after time.Time) time.Time {
	switch a.Suppressed {
	case byWait:
		return later(a.SuppressedSince.Add(a.SuppressorWait), after)
	case byExtension:
		return later(a.SuppressedSince.Add(a.SuppressorExtension), after)
	}
	every := time.Minute
	if p := a.shortest(); p > 0 && p < every {
		every = p
	}
	return after.UTC().Truncate(every).Add(every)
}

// later is the time, if it is after another; else a second after that.
func later(t, after time.Time) time.Time {
	if t.After(after) {
		return t
	}
	return after.Add(time.Second)
}

// shortest is the shortest period that the alarm reads; 0 for a composite one.
func (a Alarm) shortest() time.Duration {
	least := a.Period
	for _, q := range a.Metrics {
		if p := queryPeriod(q); p > 0 && (least == 0 || p < least) {
			least = p
		}
	}
	return least
}
