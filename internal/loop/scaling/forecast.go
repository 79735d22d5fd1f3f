package scaling

import (
	"math"
	"time"
)

// Hour is what was measured, or is expected, in the hour from At.
type Hour struct {
	At    time.Time
	Value float64
}

const (
	// leastHistory and mostHistory are how many hours a forecast rests on; ahead is
	// for how many it is.
	//
	// https://docs.aws.amazon.com/autoscaling/ec2/userguide/predictive-scaling-policy-overview.html
	leastHistory = 24
	mostHistory  = 14 * 24
	ahead        = 48
	// trendHistory is how many hours must be known before a trend is told from the
	// course of a day, weekHistory before the days of a week are told apart.
	trendHistory = 3 * 24
	weekHistory  = 8 * 24
)

// Expect forecasts the hours from start on, of the history of a load: a straight
// trend, the course of a day, what each day of the week has more or less, and what
// each hour of the week has beyond that, fitted one after the other until they
// agree (backfitting of an additive model). Loads are never below zero. Hours without data may be missing from the
// history, which is in order; ok is false if there are too few others.
func Expect(history []Hour, start time.Time, hours int) (forecast []Hour, ok bool) {
	if len(history) < leastHistory {
		return nil, false
	}
	m := fit(history)
	start = start.UTC().Truncate(time.Hour)
	for i := range hours {
		at := start.Add(time.Duration(i) * time.Hour)
		forecast = append(forecast, Hour{At: at, Value: max(0, m.at(at))})
	}
	return forecast, true
}

// model is level + slope × hours since origin + the seasons.
type model struct {
	origin       time.Time
	level, slope float64
	day          [24]float64     // by hour
	weekday      [7]float64      // from Sunday
	week         [7 * 24]float64 // by hour, from Sunday
}

func (m *model) at(t time.Time) float64 {
	return m.level + m.slope*t.Sub(m.origin).Hours() + m.season(t)
}

func (m *model) season(t time.Time) float64 {
	return m.day[hourOfDay(t)] + m.weekday[dayOfWeek(t)] + m.week[hourOfWeek(t)]
}

func hourOfDay(t time.Time) int  { return t.UTC().Hour() }
func dayOfWeek(t time.Time) int  { return int(t.UTC().Weekday()) }
func hourOfWeek(t time.Time) int { return dayOfWeek(t)*24 + hourOfDay(t) }

// rounds is how often the parts are fitted. They are nearly orthogonal, so a few
// suffice.
const rounds = 8

func fit(history []Hour) *model {
	m := &model{origin: history[len(history)-1].At}
	for range rounds {
		m.fitTrend(history)
		m.fitSeason(history, m.day[:], hourOfDay, 0)
		if len(history) >= weekHistory {
			m.fitSeason(history, m.weekday[:], dayOfWeek, 1)
			// There are one or two of each: half of what one says may be chance.
			m.fitSeason(history, m.week[:], hourOfWeek, 1)
		}
	}
	return m
}

// fitTrend fits the straight line through what the seasons leave, by least squares.
func (m *model) fitTrend(history []Hour) {
	var n, sx, sy, sxx, sxy float64
	for _, h := range history {
		x := h.At.Sub(m.origin).Hours()
		y := h.Value - m.season(h.At)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	m.level, m.slope = sy/n, 0
	if d := n*sxx - sx*sx; len(history) >= trendHistory && d > 0 {
		m.slope = (n*sxy - sx*sy) / d
		m.level = (sy - m.slope*sx) / n
	}
}

// fitSeason makes a season the means of what the rest of the model leaves of the
// history; shrink is how many hours of nothing are thrown in.
func (m *model) fitSeason(history []Hour, season []float64, of func(time.Time) int, shrink float64) {
	clear(season)
	sum, n := make([]float64, len(season)), make([]float64, len(season))
	for _, h := range history {
		i := of(h.At)
		sum[i] += h.Value - m.at(h.At)
		n[i]++
	}
	for i := range sum {
		if n[i] > 0 {
			season[i] = sum[i] / (n[i] + shrink)
		}
	}
}

// Needed is the capacity with which a load has each instance at its target: ratio
// is what the load was for each instance and each unit of the scaling metric.
func Needed(load []Hour, target, ratio float64) []Hour {
	capacity := make([]Hour, len(load))
	for i, h := range load {
		capacity[i] = Hour{At: h.At, Value: 0}
		if n := math.Ceil(h.Value/(target*ratio) - 1e-9); n > 0 && !math.IsInf(n, 0) {
			capacity[i].Value = n
		}
	}
	return capacity
}

// Ratio learns how a load, the metric that is to be at its target and the capacity
// belong together: load ≈ ratio × metric × capacity, by least squares over the hours
// that have all three. It is 0 if there are none.
func Ratio(load, metric, capacity []Hour) float64 {
	m, c := byHour(metric), byHour(capacity)
	var xy, xx float64
	for _, h := range load {
		x := m[h.At.Unix()] * c[h.At.Unix()]
		xy, xx = xy+x*h.Value, xx+x*x
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}

func byHour(hours []Hour) map[int64]float64 {
	all := make(map[int64]float64, len(hours))
	for _, h := range hours {
		all[h.At.Unix()] = h.Value
	}
	return all
}
