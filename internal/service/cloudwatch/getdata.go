package cloudwatch

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
)

// maxDatapoints is how many a page of GetMetricData has at most.
const maxDatapoints = 100_800

// GetMetricData implements cloudwatchapi.Handler.
func (s *Service) GetMetricData(ctx context.Context, in *cloudwatchapi.GetMetricDataInput) (*cloudwatchapi.GetMetricDataOutput, error) {
	p, err := newPlan("MetricDataQueries", in.MetricDataQueries)
	if err != nil {
		return nil, err
	}
	size, zone, err := checkGetData(in)
	if err != nil {
		return nil, err
	}
	skip := 0
	if api.Val(in.NextToken) != "" {
		text, err := base64.RawURLEncoding.DecodeString(*in.NextToken)
		if err == nil {
			skip, err = strconv.Atoi(string(text))
		}
		if err != nil || skip < 1 {
			return nil, cloudwatchapi.InvalidNextToken.New("The specified NextToken is invalid.")
		}
	}
	results, err := s.results(ctx, p, span{start: *in.StartTime, end: *in.EndTime}, zone, in.ScanBy != cloudwatchapi.ScanByTimestampAscending)
	if err != nil {
		return nil, err
	}
	out := &cloudwatchapi.GetMetricDataOutput{Messages: []cloudwatchapi.MessageData{}}
	var more bool
	out.MetricDataResults, more = cutResults(results, skip, size)
	if more {
		out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(skip + size))))
	}
	return out, nil
}

func checkGetData(in *cloudwatchapi.GetMetricDataInput) (size int, zone *time.Location, err error) {
	size, zone = maxDatapoints, time.UTC
	if err := oneOf("scanBy", in.ScanBy, "TimestampDescending", "TimestampAscending"); err != nil {
		return 0, nil, err
	}
	switch {
	case in.StartTime == nil:
		return 0, nil, missing("The parameter StartTime is required.")
	case in.EndTime == nil:
		return 0, nil, missing("The parameter EndTime is required.")
	case !in.StartTime.Before(*in.EndTime):
		return 0, nil, invalid("The parameter EndTime must be greater than StartTime.")
	}
	if in.MaxDatapoints != nil {
		if size = int(*in.MaxDatapoints); size < 1 || size > maxDatapoints {
			return 0, nil, invalid("The value %d for parameter MaxDatapoints is invalid: it must be from 1 to %d.", size, maxDatapoints)
		}
	}
	if in.LabelOptions != nil && in.LabelOptions.Timezone != nil {
		at, err := time.Parse("-0700", *in.LabelOptions.Timezone)
		if err != nil {
			return 0, nil, invalid("The value %s for parameter LabelOptions.Timezone is invalid: it must be + or - and four digits.", *in.LabelOptions.Timezone)
		}
		zone = at.Location()
	}
	return size, zone, nil
}

// results are the data of the queries that return some, whole.
func (s *Service) results(ctx context.Context, p *plan, at span, zone *time.Location, descending bool) ([]cloudwatchapi.MetricDataResult, error) {
	e := s.newEval(ctx, p, at)
	for i, q := range p.queries {
		if n := at.end.Sub(at.start) / max(queryPeriod(q), time.Second); queryPeriod(q) > 0 && n > maxDatapoints {
			return nil, invalid("The query %s asks for %d datapoints, more than the limit of %d: a longer Period, or less time, has fewer", api.Val(p.queries[i].Id), n, maxDatapoints)
		}
	}
	labels := defaultLabels(p.queries)
	out := []cloudwatchapi.MetricDataResult{}
	for _, i := range p.returned() {
		v, err := e.query(i)
		if err != nil {
			return nil, err
		}
		q := p.queries[i]
		if v.kind == scalar || v.kind == text {
			return nil, inExpression(api.Val(q.Id), fmt.Errorf("it is %s, and must be a time series or an array of them", v.kind))
		}
		for _, one := range v.series {
			fallback := labels[i]
			if v.kind == array {
				fallback = one.name(labels, p)
			}
			label := fallback
			if q.Label != nil {
				label = s.labelled(*q.Label, fallback, one, zone)
				if v.kind == array && !dynamic.MatchString(*q.Label) {
					label += " " + fallback
				}
			}
			r := cloudwatchapi.MetricDataResult{
				Id: q.Id, Label: &label, StatusCode: cloudwatchapi.StatusCodeComplete, Timestamps: []time.Time{}, Values: []float64{}, Messages: e.messages[i],
			}
			for j, t := range one.times {
				r.Timestamps, r.Values = append(r.Timestamps, time.Unix(t, 0).UTC()), append(r.Values, one.values[j])
			}
			if descending {
				slices.Reverse(r.Timestamps)
				slices.Reverse(r.Values)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// name is what a member of an array is called: a search says, or the query that it
// comes from.
func (s series) name(labels []string, p *plan) string {
	if s.label != "" {
		return s.label
	}
	if i, ok := p.index[s.id]; ok {
		if p.queries[i].Label != nil {
			return *p.queries[i].Label
		}
		return labels[i]
	}
	return s.id
}

// cutResults are the datapoints of a page. A result of which something is on
// another page is PartialData, unless it ends here.
func cutResults(all []cloudwatchapi.MetricDataResult, skip, size int) (out []cloudwatchapi.MetricDataResult, more bool) {
	out = []cloudwatchapi.MetricDataResult{}
	first := skip == 0
	for _, r := range all {
		n := len(r.Values)
		if n == 0 && first || n > skip && size > 0 {
			from, to := min(skip, n), min(skip+size, n)
			r.Timestamps, r.Values = r.Timestamps[from:to], r.Values[from:to]
			size -= to - from
			if to < n {
				r.StatusCode = cloudwatchapi.StatusCodePartialData
				more = true
			}
			out = append(out, r)
		} else if n > skip {
			more = true
		}
		skip = max(0, skip-n)
	}
	return out, more
}
