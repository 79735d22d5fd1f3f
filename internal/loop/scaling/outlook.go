package scaling

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// Outlooks are the forecasts that were made, for whoever asks.
type Outlooks struct {
	all *store.Collection[Outlook] // by the policy's key
}

var _ autoscaling.Forecasts = (*Outlooks)(nil)

// NewOutlooks reads forecasts of the region's store.
func NewOutlooks(client *clientv3.Client) *Outlooks {
	return &Outlooks{all: store.NewCollection[Outlook](client, "scaling-forecasts")}
}

// Forecast returns the hours from start to end of a policy's forecast; ok is false
// if there is none yet.
func (o *Outlooks) Forecast(ctx context.Context, p autoscaling.Policy, _ autoscaling.Group, start, end time.Time) (f autoscaling.Forecast, ok bool, err error) {
	if p.Predictive == nil || len(p.Predictive.MetricSpecifications) == 0 {
		return f, false, nil
	}
	it, err := o.all.Get(ctx, p.Key())
	if errors.Is(err, store.ErrNotFound) || err == nil && (it.Value.Of != identity(p) || it.Value.Made.IsZero()) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	f.Updated = it.Value.Made
	f.Capacity.Timestamps, f.Capacity.Values = between(it.Value.Capacity, start, end)
	load := autoscalingapi.LoadForecast{MetricSpecification: &p.Predictive.MetricSpecifications[0]} // AWS takes one only
	load.Timestamps, load.Values = between(it.Value.Load, start, end)
	f.Load = []autoscalingapi.LoadForecast{load}
	return f, true, nil
}

func between(hours []Hour, start, end time.Time) (at []time.Time, values []float64) {
	for _, h := range hours {
		if !h.At.Before(start) && !h.At.After(end) {
			at, values = append(at, h.At), append(values, h.Value)
		}
	}
	return at, values
}

// foresee makes the forecasts of predictive policies when they are due, and gets
// groups ready for what is ahead.
func (l *Loop) foresee(ctx context.Context, w *world, now time.Time) (next time.Time) {
	wanted := map[string]bool{}
	for _, policies := range w.policies {
		for _, p := range policies {
			if p.Type != autoscaling.PredictiveScaling || p.Predictive == nil || len(p.Predictive.MetricSpecifications) == 0 {
				continue
			}
			wanted[p.Key()] = true
			at, err := l.foreseeOne(ctx, w, p, now)
			l.say("forecasting", p.Key(), err)
			if err != nil {
				at = now.Add(retry)
			}
			next = sooner(next, at)
		}
	}
	for key, it := range w.outlooks {
		if !wanted[key] {
			delete(l.foreseen, key)
			l.say("forgetting a forecast", key, ignoreGone(l.cfg.Outlooks.all.DeleteItem(ctx, it)))
		}
	}
	return next
}

func (l *Loop) foreseeOne(ctx context.Context, w *world, p autoscaling.Policy, now time.Time) (next time.Time, err error) {
	it := w.outlooks[p.Key()]
	if of := identity(p); it.Value.Of != of {
		it.Key, it.Value = p.Key(), Outlook{Group: p.Group, Policy: p.Name, Of: of}
	}
	if renew := it.Value.Made.Add(remake); !now.Before(renew) {
		if tried := l.foreseen[p.Key()]; tried.of == it.Value.Of && now.Before(tried.next) {
			return tried.next, nil // there was too little a moment ago
		}
		made, err := l.forecast(ctx, it, *p.Predictive, now)
		if err != nil || made.Value.Made.IsZero() {
			next = now.Add(retryForecast)
			l.foreseen[p.Key()] = foreseen{it.Value.Of, next}
			return next, err
		}
		it = made
		w.outlooks[p.Key()] = it
	}
	next = it.Value.Made.Add(remake)
	if p.Disabled || p.Predictive.Mode != autoscalingapi.PredictiveScalingModeForecastAndScale {
		return next, nil
	}
	at, err := l.prepare(ctx, it, p, now)
	return sooner(next, at), err
}

// identity is what a forecast is of: a policy that was replaced, or has other
// metrics or another target, needs another one.
func identity(p autoscaling.Policy) string {
	text, err := json.Marshal(p.Predictive.MetricSpecifications)
	if err != nil { // a number that JSON has no word for, which the API lets nobody send
		return p.ID
	}
	return fmt.Sprintf("%s-%x", p.ID, sha256.Sum256(text))
}

// foreseen is when to try again to make a forecast.
type foreseen struct {
	of   string
	next time.Time
}

// forecast makes a forecast, and stores it. It returns what there was if there is
// too little history.
func (l *Loop) forecast(ctx context.Context, it store.Item[Outlook], c autoscalingapi.PredictiveScalingConfiguration, now time.Time) (store.Item[Outlook], error) {
	spec := c.MetricSpecifications[0]
	h, err := l.learn(ctx, spec, it.Value.Group, now)
	if err != nil {
		return it, err
	}
	load, ok := Expect(h.Load, now, ahead)
	if !ok || h.Ratio <= 0 || spec.TargetValue == nil || *spec.TargetValue <= 0 {
		return it, nil
	}
	it.Value = it.Value.Renewed(now, load, Needed(load, *spec.TargetValue, h.Ratio))
	l.log.Info("a forecast was made", "group", it.Value.Group, "policy", it.Value.Policy, "hours", len(h.Load))
	if it.Revision == 0 {
		return l.cfg.Outlooks.all.Create(ctx, it.Key, it.Value)
	}
	return l.cfg.Outlooks.all.Update(ctx, it)
}

// prepare changes the group for an hour, once, and remembers it with that.
func (l *Loop) prepare(ctx context.Context, it store.Item[Outlook], p autoscaling.Policy, now time.Time) (next time.Time, err error) {
	for {
		group, err := l.cfg.AutoScaling.Groups.Get(ctx, p.Group)
		if err != nil {
			return time.Time{}, ignoreGone(err)
		}
		a := AheadOf(it.Value, *p.Predictive, group.Value, now)
		if !a.Hour.After(it.Value.Done) || group.Value.Deleting {
			return a.Next, nil
		}
		done := it
		done.Value.Done = a.Hour
		ops := []store.Op{l.cfg.Outlooks.all.UpdateOp(done)}
		before := group.Value.Desired
		if a.Prepare(&group.Value, p.Name, now) {
			ops = append(ops, l.cfg.AutoScaling.Groups.UpdateOp(group))
		}
		_, err = store.Commit(ctx, l.cfg.Client, ops...)
		if errors.Is(err, store.ErrConflict) {
			continue // nobody but this loop writes the forecast
		}
		if err == nil && len(ops) > 1 {
			l.log.Info("a forecast has changed a group's size", "group", p.Group, "policy", p.Name, "from", before, "to", group.Value.Desired)
		}
		return a.Next, err
	}
}

// floorOf is what predictive policies have made a group ready for: below it other
// policies do not scale in.
func floorOf(w *world, g autoscaling.Group, now time.Time) int {
	floor := 0
	for _, p := range w.policies[g.Name] {
		it, ok := w.outlooks[p.Key()]
		if !ok || it.Value.Of != identity(p) || p.Disabled || p.Predictive == nil || p.Predictive.Mode != autoscalingapi.PredictiveScalingModeForecastAndScale {
			continue
		}
		floor = max(floor, AheadOf(it.Value, *p.Predictive, g, now).Capacity)
	}
	return floor
}
