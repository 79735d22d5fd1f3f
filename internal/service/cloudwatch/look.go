package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/store"
)

// Look reads what an alarm watches and evaluates it.
func (s *Service) Look(ctx context.Context, a Alarm, at time.Time) (Evaluation, error) {
	if a.Composite() {
		return s.lookRule(ctx, a)
	}
	points, err := s.samples(ctx, a, at)
	if err != nil {
		return Evaluation{}, fmt.Errorf("alarm %s: %w", a.Name, err)
	}
	return Evaluate(a, points, at), nil
}

// samples reads the datapoints of a metric alarm's evaluation range.
func (s *Service) samples(ctx context.Context, a Alarm, at time.Time) ([]Sample, error) {
	w := a.window(at)
	if len(a.Metrics) > 0 {
		return s.mathSamples(ctx, a, w)
	}
	stat, err := parseStatistic(a.Statistic + a.Extended)
	if err != nil {
		return nil, err
	}
	points, err := s.Metrics.Points(ctx, metrics.Query{
		ID: metricID(a.Namespace, a.Metric, a.Dimensions), Unit: a.Unit,
		Start: w.start(), End: w.end, Period: w.period, Phase: w.phase(),
	})
	if err != nil {
		return nil, err
	}
	points, _ = ofOneUnit(points)
	var samples []Sample
	for _, p := range points {
		if v, ok := stat.of(p); ok {
			samples = append(samples, Sample{At: p.Start, Value: v, Count: p.Count})
		}
	}
	return samples, nil
}

// phase is by how much the window's periods begin after their whole multiples.
func (w window) phase() time.Duration {
	return time.Duration(w.end.Unix()) * time.Second % w.period
}

// lookRule evaluates a composite alarm's rule by the states that its children have.
func (s *Service) lookRule(ctx context.Context, a Alarm) (Evaluation, error) {
	rule, err := ParseRule(a.Rule)
	if err != nil {
		return Evaluation{}, err
	}
	var children []Alarm
	states := map[string]string{}
	for _, name := range rule.Names {
		it, err := s.Alarms.Get(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return Evaluation{}, err
		}
		children = append(children, it.Value)
		states[name] = it.Value.State
	}
	return s.evaluateRule(a, rule, states, children), nil
}

// evaluateRule puts a rule's outcome into words. What the alarm says already stays.
func (s *Service) evaluateRule(a Alarm, rule Rule, states map[string]string, children []Alarm) Evaluation {
	state := alarmIf(rule.Holds(func(name string) string { return states[name] }))
	e := Evaluation{State: state, Reason: a.Reason, ReasonData: a.ReasonData}
	if state == a.State {
		return e
	}
	var newest *Alarm
	for i := range children {
		if newest == nil || children[i].Transition.After(newest.Transition) {
			newest = &children[i]
		}
	}
	switch {
	case a.Transition.Equal(a.Updated) && a.Reason == unchecked: // never evaluated
		e.Reason = fmt.Sprintf("%s was created and its alarm rule evaluates to %s", s.ARN(a.Name), state)
	case newest == nil:
		e.Reason = fmt.Sprintf("%s's alarm rule evaluates to %s", s.ARN(a.Name), state)
	default:
		e.Reason = fmt.Sprintf("%s transitioned to %s at %s", s.ARN(newest.Name), newest.State, newest.Transition.UTC().Format("Monday 02 January, 2006 15:04:05 UTC"))
		children = []Alarm{*newest}
	}
	e.ReasonData = s.triggering(children)
	return e
}

// triggering is the JSON about the alarms that made a composite one change.
func (s *Service) triggering(children []Alarm) string {
	type state struct {
		Value string `json:"value"`
		At    string `json:"timestamp"`
	}
	type alarm struct {
		ARN   string `json:"arn"`
		State state  `json:"state"`
	}
	data := struct {
		Alarms []alarm `json:"triggeringAlarms"`
	}{[]alarm{}}
	for _, c := range children {
		data.Alarms = append(data.Alarms, alarm{s.ARN(c.Name), state{c.State, c.Transition.UTC().Format(dataTime)}})
	}
	text, err := json.Marshal(data)
	if err != nil { // strings only
		return ""
	}
	return string(text)
}

// ofOneUnit are the points of the first of the units, and all of these.
func ofOneUnit(points []metrics.Point) (one []metrics.Point, units []string) {
	seen := map[string]bool{}
	for _, p := range points {
		if !seen[p.Unit] {
			seen[p.Unit] = true
			units = append(units, p.Unit)
		}
	}
	if len(units) < 2 {
		return points, units
	}
	first := units[0]
	for _, u := range units {
		first = min(first, u)
	}
	for _, p := range points {
		if p.Unit == first {
			one = append(one, p)
		}
	}
	return one, units
}
