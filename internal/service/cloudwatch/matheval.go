package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

// plan are the queries of a call, checked and parsed.
type plan struct {
	queries []cloudwatchapi.MetricDataQuery
	parsed  []mathNode // nil of a metric
	stats   []statistic
	index   map[string]int // by id
}

var queryID = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// newPlan checks queries; member is what the request calls them.
func newPlan(member string, queries []cloudwatchapi.MetricDataQuery) (*plan, error) {
	p := &plan{queries: queries, parsed: make([]mathNode, len(queries)), stats: make([]statistic, len(queries)), index: map[string]int{}}
	if len(queries) == 0 {
		return nil, missing("The parameter %s is required.", member)
	}
	if len(queries) > maxQueries {
		return nil, wrong("The collection %s must not have a size greater than %d.", member, maxQueries)
	}
	for i, q := range queries {
		at := fmt.Sprintf("%s.member.%d", member, i+1)
		id := api.Val(q.Id)
		if _, ok := p.index[id]; ok {
			return nil, invalid("The values for parameter id in %s are not unique.", member)
		}
		p.index[id] = i
		if !queryID.MatchString(id) || len(id) > 255 {
			return nil, invalid("The value for parameter %s.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", at)
		}
		switch {
		case q.MetricStat != nil && q.Expression != nil:
			return nil, invalid("The parameters %s.Expression and %s.MetricStat are mutually exclusive and you have specified both.", at, at)
		case q.MetricStat != nil && q.Period != nil:
			return nil, invalid("The parameters %s.Period and %s.MetricStat are mutually exclusive and you have specified both.", at, at)
		case q.MetricStat == nil && api.Val(q.Expression) == "":
			return nil, invalid("At least one of the parameters %s.Expression or %s.MetricStat must be specified.", at, at)
		case q.Period != nil && !validPeriod(*q.Period):
			return nil, invalid("The value %d for parameter %s.Period is invalid: it must be 1, 5, 10, 20, 30 or a multiple of 60.", *q.Period, at)
		}
		var err error
		if q.MetricStat != nil {
			p.stats[i], err = checkMetricStat(at+".MetricStat", *q.MetricStat)
		} else if p.parsed[i], err = parseMath(*q.Expression); err != nil {
			err = inExpression(id, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, p.check()
}

func inExpression(id string, err error) error {
	return invalid("Error in expression '%s': %v", id, err)
}

func checkMetricStat(at string, m cloudwatchapi.MetricStat) (statistic, error) {
	switch {
	case m.Metric == nil || api.Val(m.Metric.MetricName) == "":
		return statistic{}, missing("The parameter %s.Metric.MetricName is required.", at)
	case api.Val(m.Metric.Namespace) == "":
		return statistic{}, missing("The parameter %s.Metric.Namespace is required.", at)
	case m.Period == nil || !validPeriod(*m.Period):
		return statistic{}, invalid("The value %d for parameter %s.Period is invalid: it must be 1, 5, 10, 20, 30 or a multiple of 60.", api.Val(m.Period), at)
	}
	if err := oneOf("unit", m.Unit, units...); err != nil {
		return statistic{}, err
	}
	if err := checkDimensions(at+".Metric.Dimensions", m.Metric.Dimensions); err != nil {
		return statistic{}, err
	}
	st, err := parseStatistic(api.Val(m.Stat))
	if err != nil {
		return st, invalid("The value %s for parameter %s.Stat is not supported.", api.Val(m.Stat), at)
	}
	return st, nil
}

// check looks through the expressions: for functions and queries that do not exist,
// and for expressions that need themselves.
func (p *plan) check() error {
	uses := map[string]Rule{} // circle wants rules
	for i, n := range p.parsed {
		if n == nil {
			continue
		}
		id := api.Val(p.queries[i].Id)
		var bad error
		var names []string
		walk(n, func(n mathNode) {
			call, ok := n.(mathCall)
			if name, isName := n.(mathName); isName {
				if _, ok := p.index[string(name)]; ok {
					names = append(names, string(name))
				} else if !words[strings.ToUpper(string(name))] {
					bad = errors.Join(bad, fmt.Errorf("Unknown identifier: %s", name)) //nolint:staticcheck // AWS's word
				}
			}
			if ok {
				bad = errors.Join(bad, checkCall(call))
			}
		})
		if bad != nil {
			return inExpression(id, errors.New(strings.ReplaceAll(bad.Error(), "\n", "; ")))
		}
		uses[id] = Rule{Names: names}
	}
	for id := range uses {
		if way := circle(uses, id); way != nil {
			return inExpression(id, fmt.Errorf("it needs itself: %s", strings.Join(way, " -> ")))
		}
	}
	return nil
}

// words are names that functions take: how to fill, and how to sort.
var words = map[string]bool{"REPEAT": true, "LINEAR": true, "ASC": true, "DESC": true, "AVG": true, "MIN": true, "MAX": true, "SUM": true}

func checkCall(c mathCall) error {
	if why, ok := unsupported[c.name]; ok {
		return fmt.Errorf("the function %s is not supported: %s", c.name, why)
	}
	least, most := 0, 3
	switch c.name {
	case "METRICS":
		most = 1
	case "SEARCH":
		least = 2
	default:
		f, ok := functions[c.name]
		if !ok {
			return fmt.Errorf("Unknown function: %s", c.name) //nolint:staticcheck // AWS's word
		}
		least, most = f.least, f.most
	}
	if n := len(c.args); n < least || n > most {
		return fmt.Errorf("%s takes %d to %d arguments, not %d", c.name, least, most, n)
	}
	return nil
}

// returned are the places of the queries whose data are wanted.
func (p *plan) returned() []int {
	var out []int
	for i, q := range p.queries {
		if q.ReturnData == nil || *q.ReturnData {
			out = append(out, i)
		}
	}
	return out
}

func (p *plan) hasMetrics() bool {
	return slices.ContainsFunc(p.queries, func(q cloudwatchapi.MetricDataQuery) bool { return q.MetricStat != nil })
}

// refused says whether an expression calls the function.
func (p *plan) refused(function string) (found bool) {
	for _, n := range p.parsed {
		walk(n, func(n mathNode) {
			if c, ok := n.(mathCall); ok && c.name == function {
				found = true
			}
		})
	}
	return found
}

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

// grid are the starts of the periods that are asked for.
func (e *mathEval) grid(period time.Duration) []int64 {
	if period <= 0 {
		period = e.period
	}
	p, phase := int64(period/time.Second), int64(e.span.phase/time.Second)
	var out []int64
	first := (e.span.start.Unix()-phase)/p*p + phase
	for t := first; t < e.span.end.Unix(); t += p {
		out = append(out, t)
	}
	return out
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
	grid := e.grid(source.period)
	if len(grid) == 0 {
		return out, nil, nil
	}
	points, err := e.s.Metrics.Points(e.ctx, metrics.Query{
		ID: source.id, Unit: unit, Start: time.Unix(grid[0], 0), End: e.span.end, Period: source.period, Phase: e.span.phase % source.period,
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
