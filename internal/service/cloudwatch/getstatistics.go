package cloudwatch

import (
	"context"
	"fmt"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

// maxStatistics is how many datapoints GetMetricStatistics returns.
const maxStatistics = 1440

// GetMetricStatistics implements cloudwatchapi.Handler. Data in several units are
// datapoints of their own.
func (s *Service) GetMetricStatistics(ctx context.Context, in *cloudwatchapi.GetMetricStatisticsInput) (*cloudwatchapi.GetMetricStatisticsOutput, error) {
	extended, err := checkStatistics(in)
	if err != nil {
		return nil, err
	}
	period := time.Duration(*in.Period) * time.Second
	start := time.Unix(in.StartTime.Unix()/int64(*in.Period)*int64(*in.Period), 0)
	points, err := s.Metrics.Points(ctx, metrics.Query{
		ID: metricID(*in.Namespace, *in.MetricName, in.Dimensions), Unit: string(in.Unit), Start: start, End: *in.EndTime, Period: period,
	})
	if err != nil {
		return nil, err
	}
	out := &cloudwatchapi.GetMetricStatisticsOutput{Label: in.MetricName, Datapoints: []cloudwatchapi.Datapoint{}}
	for _, p := range points {
		d := cloudwatchapi.Datapoint{Timestamp: &p.Start, Unit: cloudwatchapi.StandardUnit(p.Unit)}
		for _, name := range in.Statistics {
			v, ok := statistic{kind: simpleStatistics[string(name)]}.of(p)
			if !ok {
				continue
			}
			switch name {
			case cloudwatchapi.StatisticSampleCount:
				d.SampleCount = &v
			case cloudwatchapi.StatisticAverage:
				d.Average = &v
			case cloudwatchapi.StatisticSum:
				d.Sum = &v
			case cloudwatchapi.StatisticMinimum:
				d.Minimum = &v
			case cloudwatchapi.StatisticMaximum:
				d.Maximum = &v
			}
		}
		for i, name := range in.ExtendedStatistics {
			if v, ok := extended[i].of(p); ok {
				if d.ExtendedStatistics == nil {
					d.ExtendedStatistics = map[string]float64{}
				}
				d.ExtendedStatistics[name] = v
			}
		}
		if len(in.Statistics) == 0 && d.ExtendedStatistics == nil {
			continue // statistic sets hide what it would say
		}
		out.Datapoints = append(out.Datapoints, d)
	}
	return out, nil
}

func checkStatistics(in *cloudwatchapi.GetMetricStatisticsInput) ([]statistic, error) {
	for name, there := range map[string]bool{
		"Namespace": api.Val(in.Namespace) != "", "MetricName": api.Val(in.MetricName) != "",
		"StartTime": in.StartTime != nil, "EndTime": in.EndTime != nil, "Period": in.Period != nil,
	} {
		if !there {
			return nil, missing("The parameter %s is required.", name)
		}
	}
	switch {
	case len(in.Statistics) == 0 && len(in.ExtendedStatistics) == 0:
		return nil, missing("Must specify either Statistics or ExtendedStatistics")
	case !validPeriod(*in.Period):
		return nil, wrong("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60")
	case !in.StartTime.Before(*in.EndTime):
		return nil, wrong("The parameter StartTime must be less than the parameter EndTime.")
	}
	if n := int64(in.EndTime.Sub(*in.StartTime).Seconds()) / int64(*in.Period); n > maxStatistics {
		return nil, cloudwatchapi.InvalidParameterCombinationException.New(
			"You have requested up to %s datapoints, which exceeds the limit of %s. You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
			grouped(n), grouped(maxStatistics))
	}
	for _, name := range in.Statistics {
		if err := oneOf("statistics", name, statistics...); err != nil {
			return nil, err
		}
	}
	if err := oneOf("unit", in.Unit, units...); err != nil {
		return nil, err
	}
	if len(in.ExtendedStatistics) > 10 {
		return nil, wrong("The collection ExtendedStatistics must not have a size greater than 10.")
	}
	var extended []statistic
	for _, name := range in.ExtendedStatistics {
		st, err := parseStatistic(name)
		if err != nil || st.simple() {
			return nil, wrong("The value %s for parameter ExtendedStatistics is not supported.", name)
		}
		extended = append(extended, st)
	}
	return extended, checkDimensions("Dimensions", in.Dimensions)
}

// grouped is a number with commas: 1,440.
func grouped(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}
