package scaling

import (
	"math"
	"strings"
	"testing"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// measure puts the CPU utilization of a group's instances into the metrics, as EC2
// does, each five minutes in the days before a time.
func (f *fixture) measure(group string, instances []string, days int, end time.Time, cpu func(time.Time) float64) {
	f.Helper()
	var data []metrics.Datum
	for at := end.AddDate(0, 0, -days); at.Before(end); at = at.Add(5 * time.Minute) {
		var all []float64
		for _, i := range instances {
			data = append(data, metrics.Datum{ID: metrics.ID{Namespace: "AWS/EC2", Name: "CPUUtilization", Dimensions: map[string]string{"InstanceId": i}}, At: at, Unit: "Percent", Values: []float64{cpu(at)}})
			all = append(all, cpu(at))
		}
		data = append(data, metrics.Datum{ID: metrics.ID{Namespace: "AWS/EC2", Name: "CPUUtilization", Dimensions: ofGroup(group)}, At: at, Unit: "Percent", Values: all})
	}
	if err := f.data.Put(f.Context(), data); err != nil {
		f.Fatal(err)
	}
}

func predicting(mode autoscalingapi.PredictiveScalingMode) autoscaling.Policy {
	return autoscaling.Policy{Group: "g", Name: "ahead", Type: autoscaling.PredictiveScaling, Predictive: &autoscalingapi.PredictiveScalingConfiguration{
		Mode: mode,
		MetricSpecifications: []autoscalingapi.PredictiveScalingMetricSpecification{{
			TargetValue: new(40.0), PredefinedMetricPairSpecification: &autoscalingapi.PredictiveScalingPredefinedMetricPair{PredefinedMetricType: autoscalingapi.PredefinedMetricPairTypeASGCPUUtilization},
		}},
	}}
}

// rush has two instances at 20 %, and at 80 % in the hours from 12 to 14.
func rush(at time.Time) float64 {
	if h := at.UTC().Hour(); h >= 12 && h < 14 {
		return 80
	}
	return 20
}

func TestForecastAndScale(t *testing.T) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	now := noon.Add(-2 * time.Hour)
	f := newFixture(t, now)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 2})
	f.policy(predicting(autoscalingapi.PredictiveScalingModeForecastAndScale))
	f.policy(autoscaling.Policy{Group: "g", Name: "fewer", Type: autoscaling.SimpleScaling, AdjustmentType: autoscaling.ChangeInCapacity, Adjustment: -1})
	p, err := f.groups.Policies.Get(t.Context(), "g/ahead")
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.groups.Groups.Get(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	f.turn(now)
	if _, ok, err := f.outlooks.Forecast(t.Context(), p.Value, g.Value, now, now.Add(48*time.Hour)); ok || err != nil {
		t.Errorf("a forecast of nothing: %v, %v", ok, err)
	}
	f.measure("g", []string{"i-a", "i-b"}, 5, now, rush)
	if next := f.turn(now.Add(time.Minute)); !next.Equal(now.Add(retryForecast)) {
		t.Errorf("it is tried again at %v", next)
	}
	next := f.turn(now.Add(retryForecast))
	if want := now.Add(time.Hour - buffer); !next.Equal(want) {
		t.Errorf("the next time is %v, want %v\n%s", next, want, f.log)
	}
	forecast, ok, err := f.outlooks.Forecast(t.Context(), p.Value, g.Value, now, now.Add(48*time.Hour))
	if err != nil || !ok || len(forecast.Capacity.Values) != ahead || len(forecast.Load) != 1 || len(forecast.Load[0].Values) != ahead {
		t.Fatalf("%+v, %v, %v", forecast, ok, err)
	}
	// 2 instances × 12 measurements × 20 or 80 %; 40 % is wanted.
	for i, want := range map[int][2]float64{0: {480, 1}, 2: {1920, 4}, 3: {1920, 4}, 4: {480, 1}, 26: {1920, 4}} {
		if got := forecast.Load[0].Values[i]; math.Abs(got-want[0]) > want[0]/20 || forecast.Capacity.Values[i] != want[1] || !forecast.Capacity.Timestamps[i].Equal(now.Add(time.Duration(i)*time.Hour)) {
			t.Errorf("hour %d: a load of %v, %v instances, want %v", i, got, forecast.Capacity.Values[i], want)
		}
	}
	f.wantDesired("g", 2)
	f.turn(noon.Add(-buffer - time.Second))
	f.wantDesired("g", 2)
	f.turn(noon.Add(-buffer))
	f.wantDesired("g", 4)
	if got := f.reasons("g"); !strings.Contains(got[len(got)-1], "predictive scaling policy ahead") {
		t.Errorf("reasons: %q", got)
	}

	// A person's size stays for the hour; a restart does not count it as another.
	if err := f.groups.SetDesired(t.Context(), "g", 3, "a person says so"); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.turn(noon)
	f.wantDesired("g", 3)
	f.turn(noon.Add(time.Hour - buffer))
	f.wantDesired("g", 4)
	f.turn(noon.Add(3 * time.Hour)) // it never scales in
	f.wantDesired("g", 4)

	if err := f.groups.Policies.Delete(t.Context(), "g/ahead"); err != nil {
		t.Fatal(err)
	}
	f.turn(noon.Add(3*time.Hour + time.Minute))
	if all, _, err := f.outlooks.all.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%d forecasts stay, %v", len(all), err)
	}
}

func TestForecastOnly(t *testing.T) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	f := newFixture(t, noon)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 2})
	f.policy(predicting(autoscalingapi.PredictiveScalingModeForecastOnly))
	f.measure("g", []string{"i-a", "i-b"}, 2, noon, rush)
	if next := f.turn(noon); !next.Equal(noon.Add(remake)) {
		t.Errorf("the next forecast is made at %v", next)
	}
	f.wantDesired("g", 2)
	// Another target is another forecast.
	if _, err := f.groups.Policies.Modify(t.Context(), "g/ahead", func(p *autoscaling.Policy) error {
		p.Predictive.MetricSpecifications[0].TargetValue = new(10.0)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.turn(noon.Add(time.Second))
	it, err := f.outlooks.all.Get(t.Context(), "g/ahead")
	if err != nil || byHour(it.Value.Capacity)[noon.Unix()] != 16 {
		t.Errorf("%v, %v", it.Value.Capacity, err)
	}
}

// Requests to a target group: three targets take 30 of each a minute, and twice as
// many are wanted of each.
func TestForecastOfRequests(t *testing.T) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	f := newFixture(t, noon)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 2})
	of := map[string]string{"LoadBalancer": "app/shop/1", "TargetGroup": "targetgroup/web/2"}
	var data []metrics.Datum
	for h := range 48 {
		at := noon.Add(-time.Duration(48-h) * time.Hour)
		for name, v := range map[string]float64{"RequestCount": 60 * 90, "RequestCountPerTarget": 60 * 30, "HealthyHostCount": 3} {
			data = append(data, metrics.Datum{ID: metrics.ID{Namespace: "AWS/ApplicationELB", Name: name, Dimensions: of}, At: at, Unit: "Count", Values: []float64{v}})
		}
	}
	if err := f.data.Put(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	p := predicting(autoscalingapi.PredictiveScalingModeForecastOnly)
	p.Predictive.MetricSpecifications[0] = autoscalingapi.PredictiveScalingMetricSpecification{
		TargetValue: new(60.0), PredefinedMetricPairSpecification: &autoscalingapi.PredictiveScalingPredefinedMetricPair{
			PredefinedMetricType: autoscalingapi.PredefinedMetricPairTypeALBRequestCount, ResourceLabel: new("app/shop/1/targetgroup/web/2"),
		},
	}
	f.policy(p)
	f.turn(noon)
	it, err := f.outlooks.all.Get(t.Context(), "g/ahead")
	if err != nil || byHour(it.Value.Capacity)[noon.Unix()] != 2 {
		t.Errorf("%v, %v", it.Value.Capacity, err)
	}
}

// A customized metric: requests, and how many each instance answers.
func TestForecastOfCustomMetrics(t *testing.T) {
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	f := newFixture(t, noon)
	f.group(autoscaling.Group{Name: "g", Max: 9, Desired: 2})
	var data []metrics.Datum
	for h := range 48 {
		at := noon.Add(-time.Duration(48-h) * time.Hour)
		for name, v := range map[string]float64{"Requests": 1000 * rush(at), "PerInstance": 500 * rush(at), "Instances": 2} {
			data = append(data, metrics.Datum{ID: metrics.ID{Namespace: "Test", Name: name}, At: at, Unit: "Count", Values: []float64{v}})
		}
	}
	if err := f.data.Put(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	query := func(name, stat string) []autoscalingapi.MetricDataQuery {
		return []autoscalingapi.MetricDataQuery{{Id: new("m1"), MetricStat: &autoscalingapi.MetricStat{Stat: &stat, Metric: &autoscalingapi.Metric{Namespace: new("Test"), MetricName: &name}}}}
	}
	p := predicting(autoscalingapi.PredictiveScalingModeForecastOnly)
	p.Predictive.MetricSpecifications[0] = autoscalingapi.PredictiveScalingMetricSpecification{
		TargetValue:                           new(20_000.0),
		CustomizedLoadMetricSpecification:     &autoscalingapi.PredictiveScalingCustomizedLoadMetric{MetricDataQueries: query("Requests", "Sum")},
		CustomizedScalingMetricSpecification:  &autoscalingapi.PredictiveScalingCustomizedScalingMetric{MetricDataQueries: query("PerInstance", "Average")},
		CustomizedCapacityMetricSpecification: &autoscalingapi.PredictiveScalingCustomizedCapacityMetric{MetricDataQueries: query("Instances", "Average")},
	}
	f.policy(p)
	f.turn(noon)
	it, err := f.outlooks.all.Get(t.Context(), "g/ahead")
	if err != nil {
		t.Fatalf("%v\n%s", err, f.log)
	}
	if capacity := byHour(it.Value.Capacity); capacity[noon.Unix()] != 4 || capacity[noon.Add(3*time.Hour).Unix()] != 1 {
		t.Errorf("%v", it.Value.Capacity)
	}
}
