package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Points implements Store.
func (db *DB) Points(ctx context.Context, q Query) ([]Point, error) {
	if q.Period < time.Second || q.Period%time.Second != 0 {
		return nil, fmt.Errorf("metrics: a period of %s is none of whole seconds", q.Period)
	}
	from, to := q.Start.Unix(), q.End.Unix()
	if from >= to {
		return nil, nil
	}
	querier, err := db.tsdb.Querier(from*1000, to*1000-1)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer querier.Close()
	data := map[cell]*measured{}
	err = eachSeries(ctx, querier, matchers(q.ID, q.Unit), func(s storage.Series) error {
		l := s.Labels()
		unit, page, name := l.Get(unitLabel), l.Get(pageLabel), l.Get(partLabel)
		return eachSample(s, func(ms int64, v float64) {
			at := cell{ms: ms, unit: unit, page: page}
			m := data[at]
			if m == nil {
				m = &measured{weight: 1}
				data[at] = m
			}
			m.set(name, v)
		})
	})
	if err != nil {
		return nil, err
	}
	return gather(data, q), nil
}

// cell is where a datum lies: all of its parts are there.
type cell struct {
	ms         int64
	unit, page string
}

// measured is a datum as it is put together from its parts.
type measured struct {
	value, weight float64
	isValue       bool
	stats         Statistics
}

func (m *measured) set(part string, v float64) {
	switch part {
	case valuePart:
		m.value, m.isValue = v, true
	case weightPart:
		m.weight = v
	case countPart:
		m.stats.Count = v
	case sumPart:
		m.stats.Sum = v
	case minPart:
		m.stats.Min = v
	case maxPart:
		m.stats.Max = v
	}
}

// gather adds data up by period and unit.
func gather(data map[cell]*measured, q Query) []Point {
	type key struct {
		start int64
		unit  string
	}
	period, phase := int64(q.Period/time.Second), int64(q.Phase/time.Second)
	points := map[key]*Point{}
	for at, m := range data {
		k := key{floor(floor(at.ms, 1000)-phase, period)*period + phase, at.unit}
		p := points[k]
		if p == nil {
			p = &Point{Start: time.Unix(k.start, 0).UTC(), Unit: at.unit, Known: true, Statistics: Statistics{Min: math.Inf(1), Max: math.Inf(-1)}}
			points[k] = p
		}
		p.add(m)
	}
	out := make([]Point, 0, len(points))
	for _, p := range points {
		p.Values = merged(p.Values)
		p.Count = seconds(p.Count) / 60
		// The order of the map must not show in the last digits.
		if p.Known {
			p.Sum = 0
			for _, v := range p.Values {
				p.Sum += v.Value * seconds(v.Count) / 60
			}
		}
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Point) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Unit, b.Unit))
	})
	return out
}

// seconds is a weight in seconds, if a minute weighs 1: what is sampled more often
// than each minute weighs its share of it. What adding shares up has left in the last
// digits does not count: a sum of whole numbers is one.
func seconds(weight float64) float64 {
	s := weight * 60
	if whole := math.Round(s); math.Abs(s-whole) < 1e-6 {
		return whole
	}
	return s
}

func (p *Point) add(m *measured) {
	s := m.stats
	if m.isValue {
		s = Statistics{Count: m.weight, Sum: m.value * m.weight, Min: m.value, Max: m.value}
		p.Values = append(p.Values, Weighted{m.value, m.weight})
	} else {
		p.Known = false
	}
	p.Count += s.Count
	p.Sum += s.Sum
	p.Min, p.Max = min(p.Min, s.Min), max(p.Max, s.Max)
}

// merged sorts values and adds the weights of equal ones up.
func merged(values []Weighted) []Weighted {
	slices.SortFunc(values, func(a, b Weighted) int { return cmp.Compare(a.Value, b.Value) })
	out := values[:0]
	for _, v := range values {
		if n := len(out); n > 0 && out[n-1].Value == v.Value {
			out[n-1].Count += v.Count
			continue
		}
		out = append(out, v)
	}
	return out
}

// List implements Store.
func (db *DB) List(ctx context.Context, like ID, since time.Time) ([]ID, error) {
	q, err := db.tsdb.Querier(since.UnixMilli(), math.MaxInt64)
	if err != nil {
		return nil, fmt.Errorf("list metrics: %w", err)
	}
	defer q.Close()
	var ms []*labels.Matcher
	add := func(name, value string) {
		if value != "" {
			ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, name, value))
		}
	}
	add(namespaceLabel, like.Namespace)
	add(nameLabel, like.Name)
	for n, v := range like.Dimensions {
		add(dimension+n, v)
		if v == "" {
			ms = append(ms, labels.MustNewMatcher(labels.MatchNotEqual, dimension+n, ""))
		}
	}
	// A statistic set has four parts, of which one will do; and there is always one.
	ms = append(ms, labels.MustNewMatcher(labels.MatchRegexp, partLabel, valuePart+"|"+countPart))
	found := map[string]ID{}
	err = eachSeries(ctx, q, ms, func(s storage.Series) error {
		id := idOf(s.Labels())
		key := keyOf(id, "")
		if _, ok := found[key]; ok {
			return nil
		}
		it := s.Iterator(nil)
		if it.Seek(since.UnixMilli()) != chunkenc.ValNone {
			found[key] = id
		}
		return it.Err()
	})
	if err != nil {
		return nil, err
	}
	ids := make([]ID, 0, len(found))
	for _, id := range found {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return strings.Compare(keyOf(a, ""), keyOf(b, "")) })
	return ids, nil
}

// matchers select a metric with exactly these dimensions; a unit of "" is any.
func matchers(id ID, unit string) []*labels.Matcher {
	equal := func(name, value string) *labels.Matcher {
		return labels.MustNewMatcher(labels.MatchEqual, name, value)
	}
	ms := []*labels.Matcher{
		equal(nameLabel, id.Name), equal(namespaceLabel, id.Namespace), equal(sizeLabel, strconv.Itoa(len(id.Dimensions))),
	}
	if unit != "" {
		ms = append(ms, equal(unitLabel, unit))
	}
	for n, v := range id.Dimensions {
		ms = append(ms, equal(dimension+n, v))
	}
	return ms
}

// eachSeries calls do with the series that match.
func eachSeries(ctx context.Context, q storage.Querier, ms []*labels.Matcher, do func(storage.Series) error) error {
	set := q.Select(ctx, false, nil, ms...)
	for set.Next() {
		if err := do(set.At()); err != nil {
			return fmt.Errorf("read metrics: %w", err)
		}
	}
	if err := errors.Join(set.Err(), ctx.Err()); err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	return nil
}

// eachSample calls do with the samples of a series, in order.
func eachSample(s storage.Series, do func(ms int64, v float64)) error {
	it := s.Iterator(nil)
	for it.Next() != chunkenc.ValNone {
		do(it.At())
	}
	return it.Err()
}
