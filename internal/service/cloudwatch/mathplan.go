package cloudwatch

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
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
