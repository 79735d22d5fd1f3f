package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

// span is the time that a call asks about.
type span struct {
	start, end time.Time
	// phase is by how much periods begin after their whole multiples, where it is
	// not the metrics' own.
	phase time.Duration
}

// mathEval evaluates a plan. Each query is once.
type mathEval struct {
	ctx    context.Context
	s      *Service
	plan   *plan
	span   span
	period time.Duration // of expressions that have no own

	done     map[int]value
	messages map[int][]cloudwatchapi.MessageData
}

func (s *Service) newEval(ctx context.Context, p *plan, at span) *mathEval {
	e := &mathEval{ctx: ctx, s: s, plan: p, span: at, done: map[int]value{}, messages: map[int][]cloudwatchapi.MessageData{}}
	for _, q := range p.queries {
		if period := queryPeriod(q); period > 0 && (e.period == 0 || period > e.period) {
			e.period = period
		}
	}
	if e.period == 0 {
		e.period = time.Minute
	}
	return e
}

// first is the start of the first of the periods that are asked for.
func (e *mathEval) first(period time.Duration) int64 {
	p, phase := int64(period/time.Second), int64(e.span.phase/time.Second)
	return (e.span.start.Unix()-phase)/p*p + phase
}

// grid are the starts of the periods that are asked for, each of which an expression
// gives a value.
func (e *mathEval) grid(period time.Duration) ([]int64, error) {
	if period <= 0 {
		period = e.period
	}
	if n := e.span.end.Sub(e.span.start) / period; n > maxDatapoints {
		return nil, fmt.Errorf("it would have %d datapoints, more than the limit of %d", n, maxDatapoints)
	}
	var out []int64
	for t := e.first(period); t < e.span.end.Unix(); t += int64(period / time.Second) {
		out = append(out, t)
	}
	return out, nil
}

// query evaluates the query at a place.
func (e *mathEval) query(i int) (value, error) {
	if v, ok := e.done[i]; ok {
		return v, nil
	}
	q := e.plan.queries[i]
	id := api.Val(q.Id)
	var v value
	var err error
	if q.MetricStat != nil {
		v, err = e.metric(i, q)
	} else {
		v, err = e.eval(e.plan.parsed[i])
		if err != nil && e.ctx.Err() == nil && api.Code(err) == "" {
			err = inExpression(id, err)
		}
		if err == nil && v.kind == single {
			v.series = []series{v.series[0]}
			v.series[0].id, v.series[0].metric = id, nil
		}
	}
	if err == nil {
		e.done[i] = v
	}
	return v, err
}

// metric reads a metric's time series.
func (e *mathEval) metric(i int, q cloudwatchapi.MetricDataQuery) (value, error) {
	m := q.MetricStat
	source := &metricSource{
		id:   metricID(api.Val(m.Metric.Namespace), api.Val(m.Metric.MetricName), m.Metric.Dimensions),
		stat: api.Val(m.Stat), period: queryPeriod(q),
	}
	out, units, err := e.read(source, e.plan.stats[i], string(m.Unit))
	if len(units) > 1 {
		slices.Sort(units)
		e.messages[i] = append(e.messages[i], cloudwatchapi.MessageData{
			Code: new("MultipleUnits"), Value: new(fmt.Sprintf("Multiple units returned: '[%s]'", strings.Join(units, ", "))),
		})
	}
	out.id = api.Val(q.Id)
	return seriesValue(out), err
}

// read reads a metric's statistic.
func (e *mathEval) read(source *metricSource, stat statistic, unit string) (series, []string, error) {
	out := series{id: source.id.Name, period: source.period, metric: source}
	points, err := e.s.Metrics.Points(e.ctx, metrics.Query{
		ID: source.id, Unit: unit, Start: time.Unix(e.first(source.period), 0), End: e.span.end, Period: source.period, Phase: e.span.phase % source.period,
	})
	if err != nil {
		return out, nil, err
	}
	points, units := ofOneUnit(points)
	for _, p := range points {
		if v, ok := stat.of(p); ok {
			out.add(p.Start.Unix(), v)
		}
	}
	return out, units, nil
}

// eval evaluates a node.
func (e *mathEval) eval(n mathNode) (value, error) {
	switch n := n.(type) {
	case mathNumber:
		return numberValue(float64(n)), nil
	case mathString:
		return value{kind: text, text: string(n)}, nil
	case mathName:
		if i, ok := e.plan.index[string(n)]; ok {
			return e.query(i)
		}
		return value{kind: text, text: string(n)}, nil
	case mathUnary:
		v, err := e.eval(n.of)
		if err != nil {
			return v, err
		}
		return combine("*", numberValue(-1), v)
	case mathBinary:
		l, err := e.eval(n.l)
		if err != nil {
			return l, err
		}
		r, err := e.eval(n.r)
		if err != nil {
			return r, err
		}
		return combine(n.op, l, r)
	case mathCall:
		return e.call(n)
	}
	return value{}, errors.New("it is empty")
}

func (e *mathEval) call(n mathCall) (value, error) {
	var args []value
	for _, a := range n.args {
		v, err := e.eval(a)
		if err != nil {
			return v, err
		}
		args = append(args, v)
	}
	var v value
	var err error
	switch n.name {
	case "METRICS":
		v, err = e.metricsOf(args)
	case "SEARCH":
		v, err = e.search(args)
	default:
		v, err = functions[n.name].call(e, args)
	}
	if err != nil && api.Code(err) == "" && e.ctx.Err() == nil {
		err = callError(n.name, err)
	}
	return v, err
}

// metricsOf are the metrics of the request, or those with a text in their ids.
func (e *mathEval) metricsOf(args []value) (value, error) {
	part := ""
	if len(args) > 0 {
		if args[0].kind != text {
			return value{}, unfit(args...)
		}
		part = args[0].text
	}
	out := arrayValue(nil)
	for i, q := range e.plan.queries {
		if q.MetricStat == nil || !strings.Contains(api.Val(q.Id), part) {
			continue
		}
		v, err := e.query(i)
		if err != nil {
			return v, err
		}
		out.series = append(out.series, v.series...)
	}
	return out, nil
}

// mathSamples are the datapoints of an alarm on an expression.
func (s *Service) mathSamples(ctx context.Context, a Alarm, w window) ([]Sample, error) {
	p, err := newPlan("Metrics", a.Metrics)
	if err != nil {
		return nil, err
	}
	returned := p.returned()
	if len(returned) != 1 {
		return nil, errors.New("not exactly one of the metrics returns data")
	}
	v, err := s.newEval(ctx, p, span{w.start(), w.end, w.phase()}).query(returned[0])
	if err != nil {
		return nil, err
	}
	if v.kind != single {
		return nil, fmt.Errorf("the expression is %s, not a time series", v.kind)
	}
	var samples []Sample
	for i, t := range v.series[0].times {
		samples = append(samples, Sample{At: time.Unix(t, 0).UTC(), Value: v.series[0].values[i]})
	}
	return samples, nil
}
