package cloudwatch_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func TestPutMetricDataRefuses(t *testing.T) {
	f := newFixture(t)
	datum := func(change func(*types.MetricDatum)) []types.MetricDatum {
		d := types.MetricDatum{MetricName: new("m"), Value: new(1.0)}
		change(&d)
		return []types.MetricDatum{d}
	}
	set := func(count, sum, low, high float64) func(*types.MetricDatum) {
		return func(d *types.MetricDatum) {
			d.Value, d.StatisticValues = nil, &types.StatisticSet{SampleCount: &count, Sum: &sum, Minimum: &low, Maximum: &high}
		}
	}
	var thirty []types.Dimension
	for i := range 31 {
		thirty = append(thirty, types.Dimension{Name: new(fmt.Sprint("d", i)), Value: new("v")})
	}
	for _, tt := range []struct {
		namespace     string
		data          []types.MetricDatum
		code, message string
	}{
		{"AWS/EC2", datum(func(*types.MetricDatum) {}), "InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid."},
		{":x", datum(func(*types.MetricDatum) {}), "InvalidParameterValue", "The value :x for parameter Namespace is invalid."},
		{"N", []types.MetricDatum{}, "MissingParameter", "The parameter MetricData is required."},
		{"N", slices.Repeat(datum(func(*types.MetricDatum) {}), 1001), "InvalidParameterValue", "The collection MetricData must not have a size greater than 1000."},
		{"N", datum(func(d *types.MetricDatum) { d.Value = new(math.NaN()) }), "InvalidParameterValue", "The value NaN for parameter MetricData.member.1.Value is invalid."},
		{"N", datum(func(d *types.MetricDatum) { d.Value = new(math.Inf(1)) }), "InvalidParameterValue", "The value +Inf for parameter MetricData.member.1.Value is invalid."},
		{"N", datum(func(d *types.MetricDatum) { d.Values = []float64{1} }), "InvalidParameterCombination",
			"The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive and you have specified both."},
		{"N", datum(func(d *types.MetricDatum) { set(1, 1, 1, 1)(d); d.Value = new(1.0) }), "InvalidParameterCombination",
			"The parameters MetricData.member.1.Value and MetricData.member.1.StatisticValues are mutually exclusive and you have specified both."},
		{"N", datum(func(d *types.MetricDatum) { d.Value, d.Values, d.Counts = nil, []float64{1, 2}, []float64{1} }), "InvalidParameterValue",
			"The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size."},
		{"N", datum(func(d *types.MetricDatum) { d.Value, d.Values = nil, make([]float64, 151) }), "InvalidParameterValue",
			"The collection MetricData.member.1.Values must not have a size greater than 150."},
		{"N", datum(func(d *types.MetricDatum) { d.Value = nil }), "MissingParameter",
			"At least one of the parameters MetricData.member.1.Value, MetricData.member.1.Values or MetricData.member.1.StatisticValues must be specified."},
		{"N", datum(set(1, 1, 2, 1)), "MissingParameter",
			"The parameter MetricData.member.1.StatisticValues.Maximum must be greater than MetricData.member.1.StatisticValues.Minimum."},
		{"N", datum(set(0, 1, 1, 1)), "MissingParameter", "The parameter MetricData.member.1.StatisticValues.SampleCount must not equal 0."},
		{"N", datum(func(d *types.MetricDatum) { d.Timestamp = new(nine.Add(-15 * 24 * time.Hour)) }), "InvalidParameterValue",
			"The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks."},
		{"N", datum(func(d *types.MetricDatum) { d.Timestamp = new(nine.Add(3 * time.Hour)) }), "InvalidParameterValue",
			"The parameter MetricData.member.1.Timestamp must specify a time no more than two hours in the future."},
		{"N", datum(func(d *types.MetricDatum) { d.Dimensions = thirty }), "InvalidParameterValue",
			"The collection MetricData.member.1.Dimensions must not have a size greater than 30."},
		{"N", datum(func(d *types.MetricDatum) { d.Dimensions = dims("a= ") }), "InvalidParameterValue",
			"The parameter MetricData.member.1.Dimensions.member.1.Value must not be blank."},
		{"N", datum(func(d *types.MetricDatum) { d.Unit = "Apples" }), "InvalidParameterValue", "The value Apples for parameter MetricData.member.1.Unit is invalid."},
		{"N", datum(func(d *types.MetricDatum) { d.StorageResolution = new(int32(2)) }), "InvalidParameterValue",
			"The value 2 for parameter MetricData.member.1.StorageResolution is invalid. Valid values are 1 and 60."},
	} {
		_, err := f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: &tt.namespace, MetricData: tt.data})
		f.fails(tt.message, err, tt.code, tt.message)
	}
	most := append(slices.Repeat(datum(func(d *types.MetricDatum) { d.Dimensions = thirty[:3] }), 999), datum(func(d *types.MetricDatum) { d.Dimensions = thirty[:30] })...)
	_, err := f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: new("N"), MetricData: most})
	f.ok("as much as can be", err)
}

func statisticsOf(metric string) *sdk.GetMetricStatisticsInput {
	return &sdk.GetMetricStatisticsInput{
		Namespace: new("N"), MetricName: &metric, StartTime: new(nine.Add(-time.Hour)), EndTime: &nine, Period: new(int32(300)),
		Statistics: []types.Statistic{types.StatisticSampleCount, types.StatisticAverage, types.StatisticSum, types.StatisticMinimum, types.StatisticMaximum},
	}
}

func TestGetMetricStatistics(t *testing.T) {
	f := newFixture(t)
	f.put("m", []float64{1, 2, 3, 4, 5, 6})
	in := statisticsOf("m")
	in.ExtendedStatistics = []string{"p50", "tm90"}
	out, err := f.GetMetricStatistics(t.Context(), in)
	f.ok("get", err)
	var got []string
	for _, d := range out.Datapoints {
		got = append(got, fmt.Sprint(d.Timestamp.Format("15:04"), " ", *d.SampleCount, *d.Average, *d.Sum, *d.Minimum, *d.Maximum, d.Unit, d.ExtendedStatistics))
	}
	same(t, *out.Label, got, []string{"08:50 1 1 1 1 1Countmap[p50:1 tm90:1]", "08:55 5 4 20 2 6Countmap[p50:4 tm90:3.7777777777777777]"})

	_, err = f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: new("N"), MetricData: []types.MetricDatum{
		{MetricName: new("units"), Value: new(1.0), Unit: types.StandardUnitSeconds, Timestamp: new(nine.Add(-time.Minute))},
		{MetricName: new("units"), Value: new(5.0), Unit: types.StandardUnitCount, Timestamp: new(nine.Add(-time.Minute))},
		{MetricName: new("units"), Value: new(10.0), Timestamp: new(nine.Add(-time.Minute))},
	}})
	f.ok("put", err)
	got = nil
	out, err = f.GetMetricStatistics(t.Context(), statisticsOf("units"))
	f.ok("get", err)
	for _, d := range out.Datapoints {
		got = append(got, fmt.Sprint(*d.Average, d.Unit))
	}
	same(t, "units", got, []string{"5Count", "10None", "1Seconds"})

	for change, want := range map[*func(*sdk.GetMetricStatisticsInput)][2]string{
		new(func(in *sdk.GetMetricStatisticsInput) { in.Period = new(int32(1)) }): {"InvalidParameterCombination",
			"You have requested up to 3,600 datapoints, which exceeds the limit of 1,440. You may reduce the datapoints requested by increasing Period, or decreasing the time range."},
		new(func(in *sdk.GetMetricStatisticsInput) { in.Period = new(int32(61)) }):               {"InvalidParameterValue", "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60"},
		new(func(in *sdk.GetMetricStatisticsInput) { in.EndTime = in.StartTime }):                {"InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime."},
		new(func(in *sdk.GetMetricStatisticsInput) { in.Statistics = nil }):                      {"MissingParameter", "Must specify either Statistics or ExtendedStatistics"},
		new(func(in *sdk.GetMetricStatisticsInput) { in.ExtendedStatistics = []string{"p101"} }): {"InvalidParameterValue", "The value p101 for parameter ExtendedStatistics is not supported."},
	} {
		in := statisticsOf("m")
		(*change)(in)
		_, err := f.GetMetricStatistics(t.Context(), in)
		f.fails(want[1], err, want[0], want[1])
	}
}

func (f *fixture) getData(change func(*sdk.GetMetricDataInput), queries ...types.MetricDataQuery) (*sdk.GetMetricDataOutput, error) {
	in := &sdk.GetMetricDataInput{MetricDataQueries: queries, StartTime: new(nine.Add(-5 * time.Minute)), EndTime: &nine}
	change(in)
	return f.GetMetricData(f.Context(), in)
}

func show(out *sdk.GetMetricDataOutput) []string {
	var lines []string
	for _, r := range out.MetricDataResults {
		lines = append(lines, fmt.Sprint(*r.Id, " ", *r.Label, " ", r.Values, " ", r.StatusCode))
	}
	return lines
}

func TestGetMetricData(t *testing.T) {
	f := newFixture(t)
	f.put("a", []float64{1, 2, 3, 4, 5})
	f.put("b", []float64{7, 8})
	f.put("c", []float64{6}, "Pod=x")
	f.put("c", []float64{9}, "Pod=y")
	as := func(*sdk.GetMetricDataInput) {}
	out, err := f.getData(as, metricQuery("m1", "a"), metricQuery("m2", "b"), metricQuery("m3", "none"))
	f.ok("get", err)
	same(t, "the newest first", show(out), []string{"m1 a [5 4 3 2 1] Complete", "m2 b [8 7] Complete", "m3 none [] Complete"})
	if at := out.MetricDataResults[0].Timestamps[0]; !at.Equal(nine.Add(-time.Minute)) {
		t.Error(at)
	}

	average := metricQuery("m2", "a")
	average.MetricStat.Stat = new("Average")
	out, err = f.getData(as, metricQuery("m1", "a"), average, metricQuery("m3", "c", "Pod=x"), metricQuery("m4", "c", "Pod=y"))
	f.ok("get", err)
	var labels []string
	for _, r := range out.MetricDataResults {
		labels = append(labels, *r.Label)
	}
	same(t, "labels", labels, []string{"a Sum", "a Average", "x c Sum", "y c Sum"})

	labelled := metricQuery("m1", "c", "Pod=x")
	labelled.Label = new("${PROP('Dim.Pod')} ${PROP('Region')} ${PROP('Stat')} ${PROP('Period')} max ${MAX} at ${MAX_TIME} of ${DATAPOINT_COUNT} (${LABEL}) ${PROP('x')}")
	out, err = f.getData(func(in *sdk.GetMetricDataInput) { in.LabelOptions = &types.LabelOptions{Timezone: new("+0900")} }, labelled)
	f.ok("get", err)
	same(t, "dynamic label", *out.MetricDataResults[0].Label, "x ap-northeast-2 Sum 60 max 6 at 2026-11-29T17:59:00+09:00 of 1 (c) ${PROP('x')}")

	for _, tt := range []struct {
		change func(*sdk.GetMetricDataInput, *types.MetricDataQuery)
		code   string
		want   string
	}{
		{func(_ *sdk.GetMetricDataInput, q *types.MetricDataQuery) { q.Id = new("M1") }, "ValidationError",
			"The value for parameter MetricDataQueries.member.1.Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."},
		{func(_ *sdk.GetMetricDataInput, q *types.MetricDataQuery) { q.Expression = new("1") }, "ValidationError",
			"The parameters MetricDataQueries.member.1.Expression and MetricDataQueries.member.1.MetricStat are mutually exclusive and you have specified both."},
		{func(_ *sdk.GetMetricDataInput, q *types.MetricDataQuery) { q.Period = new(int32(60)) }, "ValidationError",
			"The parameters MetricDataQueries.member.1.Period and MetricDataQueries.member.1.MetricStat are mutually exclusive and you have specified both."},
		{func(_ *sdk.GetMetricDataInput, q *types.MetricDataQuery) { q.MetricStat.Stat = new("median") }, "ValidationError",
			"The value median for parameter MetricDataQueries.member.1.MetricStat.Stat is not supported."},
		{func(_ *sdk.GetMetricDataInput, q *types.MetricDataQuery) { q.MetricStat.Period = new(int32(45)) }, "ValidationError",
			"The value 45 for parameter MetricDataQueries.member.1.MetricStat.Period is invalid: it must be 1, 5, 10, 20, 30 or a multiple of 60."},
		{func(in *sdk.GetMetricDataInput, _ *types.MetricDataQuery) { in.EndTime = in.StartTime }, "ValidationError",
			"The parameter EndTime must be greater than StartTime."},
		{func(in *sdk.GetMetricDataInput, _ *types.MetricDataQuery) { in.NextToken = new("?") }, "InvalidNextToken", "The specified NextToken is invalid."},
	} {
		q := metricQuery("m1", "a")
		_, err := f.getData(func(in *sdk.GetMetricDataInput) {
			tt.change(in, &q)
			in.MetricDataQueries = []types.MetricDataQuery{q}
		})
		f.fails(tt.want, err, tt.code, tt.want)
	}
	_, err = f.getData(as, metricQuery("m1", "a"), metricQuery("m1", "b"))
	f.fails("twice", err, "ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
}

func TestGetMetricDataInPages(t *testing.T) {
	f := newFixture(t)
	f.put("a", []float64{1, 2, 3, 4, 5})
	f.put("b", []float64{7, 8})
	f.put("c", []float64{9})
	var pages []string
	in := &sdk.GetMetricDataInput{
		MetricDataQueries: []types.MetricDataQuery{metricQuery("m1", "a"), metricQuery("m2", "none"), metricQuery("m3", "b"), metricQuery("m4", "c")},
		StartTime:         new(nine.Add(-5 * time.Minute)), EndTime: &nine, MaxDatapoints: new(int32(3)),
	}
	for p := sdk.NewGetMetricDataPaginator(f, in); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, strings.Join(show(out), ", "))
	}
	same(t, "pages", strings.Join(pages, "\n"), "m1 a [5 4 3] PartialData, m2 none [] Complete\nm1 a [2 1] Complete, m3 b [8] PartialData\nm3 b [7] Complete, m4 c [9] Complete")
}

func TestSeveralUnits(t *testing.T) {
	f := newFixture(t)
	for unit, v := range map[types.StandardUnit]float64{types.StandardUnitSeconds: 1, types.StandardUnitMilliseconds: 60000} {
		_, err := f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: new("N"), MetricData: []types.MetricDatum{
			{MetricName: new("m"), Value: &v, Unit: unit, Timestamp: new(nine.Add(-time.Minute))},
		}})
		f.ok("put", err)
	}
	out, err := f.getData(func(*sdk.GetMetricDataInput) {}, metricQuery("m1", "m"))
	f.ok("get", err)
	r := out.MetricDataResults[0]
	same(t, "values", r.Values, []float64{60000})
	if len(r.Messages) != 1 || *r.Messages[0].Code != "MultipleUnits" || *r.Messages[0].Value != "Multiple units returned: '[Milliseconds, Seconds]'" {
		t.Errorf("%+v", r.Messages)
	}
}

func TestListMetrics(t *testing.T) {
	f := newFixture(t)
	f.put("a", []float64{1}, "Pod=x", "Node=n")
	f.put("a", []float64{1}, "Pod=y")
	f.put("b", []float64{1}, "Pod=x")
	f.put("old", []float64{1})
	_, err := f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: new("M"), MetricData: []types.MetricDatum{
		{MetricName: new("old"), Value: new(1.0), Timestamp: new(nine.Add(-4 * time.Hour))},
	}})
	f.ok("put", err)
	list := func(in *sdk.ListMetricsInput) (names []string) {
		out, err := f.ListMetrics(t.Context(), in)
		f.ok("list", err)
		for _, m := range out.Metrics {
			name := *m.Namespace + "/" + *m.MetricName
			for _, d := range m.Dimensions {
				name += " " + *d.Name + "=" + *d.Value
			}
			names = append(names, name)
		}
		return names
	}
	same(t, "all", list(&sdk.ListMetricsInput{}), []string{"M/old", "N/a Node=n Pod=x", "N/a Pod=y", "N/b Pod=x", "N/old"})
	same(t, "active", list(&sdk.ListMetricsInput{RecentlyActive: types.RecentlyActivePt3h, MetricName: new("old")}), []string{"N/old"})
	same(t, "filter", list(&sdk.ListMetricsInput{Namespace: new("N"), Dimensions: []types.DimensionFilter{{Name: new("Pod"), Value: new("x")}}}), []string{"N/a Node=n Pod=x", "N/b Pod=x"})
	same(t, "filter by name", list(&sdk.ListMetricsInput{Dimensions: []types.DimensionFilter{{Name: new("Node")}}}), []string{"N/a Node=n Pod=x"})
	same(t, "another account", len(list(&sdk.ListMetricsInput{OwningAccount: new("222233334444")})), 0)

	var data []types.MetricDatum
	for i := range 600 {
		data = append(data, types.MetricDatum{MetricName: new(fmt.Sprintf("m%03d", i)), Value: new(1.0)})
	}
	_, err = f.PutMetricData(t.Context(), &sdk.PutMetricDataInput{Namespace: new("Many"), MetricData: data})
	f.ok("put", err)
	var sizes []int
	seen := map[string]bool{}
	for p := sdk.NewListMetricsPaginator(f, &sdk.ListMetricsInput{Namespace: aws.String("Many")}); p.HasMorePages(); {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(out.Metrics))
		for _, m := range out.Metrics {
			seen[*m.MetricName] = true
		}
	}
	same(t, "pages", sizes, []int{500, 100})
	same(t, "different ones", len(seen), 600)
}
