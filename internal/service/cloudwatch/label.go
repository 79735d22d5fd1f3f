package cloudwatch

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

// metricSource is the metric that a time series is of.
type metricSource struct {
	id     metrics.ID
	stat   string
	period time.Duration
}

// Dynamic parts of labels: ${MAX}, ${PROP('Dim.InstanceId')} …
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/graph-dynamic-labels.html
var dynamic = regexp.MustCompile(`\$\{([A-Z_]+)(?:\(\s*'([^']*)'\s*\))?\}`)

// labelled fills the dynamic parts of a label in.
func (s *Service) labelled(label, fallback string, of series, zone *time.Location) string {
	return dynamic.ReplaceAllStringFunc(label, func(part string) string {
		m := dynamic.FindStringSubmatch(part)
		name, arg := m[1], m[2]
		if name == "PROP" {
			if v, ok := s.property(arg, of); ok {
				return v
			}
			return part
		}
		if name == "LABEL" {
			return fallback
		}
		name, wantTime := strings.CutSuffix(name, "_TIME")
		if len(of.values) == 0 {
			if name == "DATAPOINT_COUNT" {
				return "0"
			}
			return "--"
		}
		place := -1
		switch name {
		case "FIRST":
			place = 0
		case "LAST":
			place = len(of.values) - 1
		case "MIN":
			place = slices.Index(of.values, slices.Min(of.values))
		case "MAX":
			place = slices.Index(of.values, slices.Max(of.values))
		}
		switch {
		case wantTime && place >= 0:
			return time.Unix(of.times[place], 0).In(zone).Format("2006-01-02T15:04:05Z07:00")
		case place >= 0:
			return short(of.values[place])
		case aggregates[name] != nil && !wantTime:
			return short(aggregates[name](of.values))
		}
		return part
	})
}

// short is a number with at most three digits after the point.
func short(v float64) string {
	text := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}

func (s *Service) property(name string, of series) (string, bool) {
	switch {
	case name == "AccountId":
		return s.scope.Account, true
	case name == "Region":
		return s.scope.Region, true
	case of.metric == nil:
		return "", false
	case name == "MetricName":
		return of.metric.id.Name, true
	case name == "Namespace":
		return of.metric.id.Namespace, true
	case name == "Stat":
		return of.metric.stat, true
	case name == "Period":
		return strconv.Itoa(int(of.metric.period / time.Second)), true
	}
	dimension, ok := strings.CutPrefix(name, "Dim.")
	if !ok {
		return "", false
	}
	v, ok := of.metric.id.Dimensions[dimension]
	return v, ok
}

// defaultLabels are those of queries without a label of their own: an expression's
// id; a metric's name, with what tells it from the call's other metrics.
func defaultLabels(queries []cloudwatchapi.MetricDataQuery) []string {
	stats, periods := map[string]bool{}, map[int32]bool{}
	for _, q := range queries {
		if q.MetricStat != nil {
			stats[api.Val(q.MetricStat.Stat)] = true
			periods[api.Val(q.MetricStat.Period)] = true
		}
	}
	labels := make([]string, len(queries))
	for i, q := range queries {
		if q.MetricStat == nil {
			labels[i] = api.Val(q.Id)
			continue
		}
		parts := append(telling(queries, q.MetricStat), api.Val(q.MetricStat.Metric.MetricName))
		if len(stats) > 1 {
			parts = append(parts, api.Val(q.MetricStat.Stat))
		}
		if len(periods) > 1 {
			parts = append(parts, strconv.Itoa(int(api.Val(q.MetricStat.Period))))
		}
		labels[i] = strings.Join(parts, " ")
	}
	return labels
}

// telling are the values of the metric's dimensions that others of the call, of the
// same name, have with another value.
func telling(queries []cloudwatchapi.MetricDataQuery, m *cloudwatchapi.MetricStat) []string {
	var out []string
	for _, d := range m.Metric.Dimensions {
		if slices.ContainsFunc(queries, func(q cloudwatchapi.MetricDataQuery) bool {
			return q.MetricStat != nil && api.Val(q.MetricStat.Metric.MetricName) == api.Val(m.Metric.MetricName) &&
				slices.ContainsFunc(q.MetricStat.Metric.Dimensions, func(o cloudwatchapi.Dimension) bool {
					return api.Val(o.Name) == api.Val(d.Name) && api.Val(o.Value) != api.Val(d.Value)
				})
		}) {
			out = append(out, api.Val(d.Value))
		}
	}
	return out
}
