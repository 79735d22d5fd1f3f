package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

const (
	maxData   = 1000 // in a call
	maxValues = 150  // in a datum
	// AWS keeps a number's sign and 360 powers of two; what is nearer to 0 it takes.
	maxNumber = 2.348542582773833e+108 // 2 ^ 360
)

// PutMetricData implements cloudwatchapi.Handler.
func (s *Service) PutMetricData(ctx context.Context, in *cloudwatchapi.PutMetricDataInput) (*cloudwatchapi.PutMetricDataOutput, error) {
	namespace := api.Val(in.Namespace)
	switch {
	case namespace == "":
		return nil, missing("The parameter Namespace is required.")
	case strings.HasPrefix(namespace, "AWS/"):
		return nil, wrong("The value AWS/ for parameter Namespace is invalid.")
	case len(namespace) > 255 || !printable(namespace) || namespace[0] == ':':
		return nil, wrong("The value %s for parameter Namespace is invalid.", namespace)
	case len(in.MetricData) == 0:
		return nil, missing("The parameter MetricData is required.")
	case len(in.MetricData) > maxData:
		return nil, wrong("The collection MetricData must not have a size greater than %d.", maxData)
	}
	now := s.now()
	var data []metrics.Datum
	for i, d := range in.MetricData {
		read, err := readDatum(fmt.Sprintf("MetricData.member.%d", i+1), d, now)
		if err != nil {
			return nil, err
		}
		read.Namespace = namespace
		data = append(data, read)
	}
	if err := s.Metrics.Put(ctx, data); err != nil {
		if errors.Is(err, metrics.ErrTooOld) {
			err = wrong("The parameter Timestamp must specify a time within the past two weeks.").Because(err)
		}
		return nil, err
	}
	return &cloudwatchapi.PutMetricDataOutput{}, nil
}

// readDatum checks a datum; at is what the request calls it.
func readDatum(at string, d cloudwatchapi.MetricDatum, now time.Time) (metrics.Datum, error) {
	out := metrics.Datum{ID: metricID("", api.Val(d.MetricName), d.Dimensions), At: now, Unit: string(d.Unit)}
	switch name := out.Name; {
	case name == "":
		return out, missing("The parameter %s.MetricName is required.", at)
	case len(name) > 255 || !printable(name):
		return out, wrong("The value %s for parameter %s.MetricName is invalid.", name, at)
	}
	if err := checkDimensions(at+".Dimensions", d.Dimensions); err != nil {
		return out, err
	}
	if d.Unit != "" && !slices.Contains(units, d.Unit) {
		return out, wrong("The value %s for parameter %s.Unit is invalid.", d.Unit, at)
	}
	if d.StorageResolution != nil && *d.StorageResolution != 1 && *d.StorageResolution != 60 {
		return out, wrong("The value %d for parameter %s.StorageResolution is invalid. Valid values are 1 and 60.", *d.StorageResolution, at)
	}
	if d.Timestamp != nil {
		out.At = *d.Timestamp
		if out.At.After(now.Add(metrics.MaxAhead)) {
			return out, wrong("The parameter %s.Timestamp must specify a time no more than two hours in the future.", at)
		}
		if out.At.Before(now.Add(-metrics.MaxAge)) {
			return out, wrong("The parameter %s.Timestamp must specify a time within the past two weeks.", at)
		}
	}
	return out, readValues(at, d, &out)
}

// readValues reads what was measured: exactly one of a value, values, and
// statistics.
func readValues(at string, d cloudwatchapi.MetricDatum, out *metrics.Datum) error {
	switch {
	case d.Value != nil && d.Values != nil:
		return both(at+".Value", at+".Values")
	case d.Value != nil && d.StatisticValues != nil:
		return both(at+".Value", at+".StatisticValues")
	case d.Values != nil && d.StatisticValues != nil:
		return both(at+".Values", at+".StatisticValues")
	case d.Value != nil:
		out.Values = []float64{*d.Value}
		return checkNumber(at+".Value", *d.Value)
	case d.StatisticValues != nil:
		return readStatistics(at+".StatisticValues", *d.StatisticValues, out)
	case len(d.Values) == 0:
		return missing("At least one of the parameters %s.Value, %s.Values or %s.StatisticValues must be specified.", at, at, at)
	case len(d.Values) > maxValues:
		return wrong("The collection %s.Values must not have a size greater than %d.", at, maxValues)
	case d.Counts != nil && len(d.Counts) != len(d.Values):
		return wrong("The parameters %s.Values and %s.Counts must be of the same size.", at, at)
	}
	for _, v := range d.Values {
		if err := checkNumber(at+".Values", v); err != nil {
			return err
		}
	}
	for _, c := range d.Counts {
		if err := checkNumber(at+".Counts", c); err != nil {
			return err
		}
		if c < 0 {
			return wrong("The value %s for parameter %s.Counts is invalid.", number(c), at)
		}
	}
	out.Values, out.Counts = d.Values, d.Counts
	return nil
}

func readStatistics(at string, s cloudwatchapi.StatisticSet, out *metrics.Datum) error {
	members := map[string]*float64{"SampleCount": s.SampleCount, "Sum": s.Sum, "Minimum": s.Minimum, "Maximum": s.Maximum}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name] == nil {
			return missing("The parameter %s.%s is required.", at, name)
		}
		if err := checkNumber(at+"."+name, *members[name]); err != nil {
			return err
		}
	}
	switch {
	case *s.Maximum < *s.Minimum:
		return missing("The parameter %s.Maximum must be greater than %s.Minimum.", at, at)
	case *s.SampleCount < 0:
		return missing("The parameter %s.SampleCount must be greater than 0.", at)
	case *s.SampleCount == 0:
		return missing("The parameter %s.SampleCount must not equal 0.", at)
	}
	out.Statistics = &metrics.Statistics{Count: *s.SampleCount, Sum: *s.Sum, Min: *s.Minimum, Max: *s.Maximum}
	return nil
}

func checkNumber(at string, v float64) error {
	if math.IsNaN(v) || math.Abs(v) > maxNumber {
		return wrong("The value %s for parameter %s is invalid.", number(v), at)
	}
	return nil
}
