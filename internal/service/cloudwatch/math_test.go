package cloudwatch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// metricQuery asks for the sum of a metric of namespace N in each minute.
func metricQuery(id, metric string, dimensions ...string) types.MetricDataQuery {
	return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{
		Metric: &types.Metric{Namespace: new("N"), MetricName: &metric, Dimensions: dims(dimensions...)}, Period: new(int32(60)), Stat: new("Sum"),
	}}
}

// math evaluates an expression over the five minutes before nine. The result is one
// line for each time series, with its label: values in order, - where there is none.
func (f *fixture) math(expression string, queries ...types.MetricDataQuery) (string, error) {
	f.Helper()
	for i := range queries {
		queries[i].ReturnData = new(false)
	}
	out, err := f.GetMetricData(f.Context(), &sdk.GetMetricDataInput{
		StartTime: new(nine.Add(-5 * time.Minute)), EndTime: &nine, ScanBy: types.ScanByTimestampAscending,
		MetricDataQueries: append(queries, types.MetricDataQuery{Id: new("e"), Expression: &expression}),
	})
	if err != nil {
		return "", err
	}
	var lines []string
	for _, r := range out.MetricDataResults {
		values := []string{"-", "-", "-", "-", "-"}
		for i, at := range r.Timestamps {
			values[5-int(nine.Sub(at)/time.Minute)] = fmt.Sprintf("%.4g", r.Values[i])
		}
		lines = append(lines, *r.Label+": "+strings.Join(values, " "))
	}
	return strings.Join(lines, "\n"), nil
}

func TestMetricMath(t *testing.T) {
	f := newFixture(t)
	f.put("a", []float64{1, 2, 3, 4, 5})
	f.put("b", []float64{10, 0, 30, 40}) // the first minute has none
	f.put("gap", []float64{6})
	f.put("cpu", []float64{1, 1, 1, 1, 9}, "Pod=x")
	f.put("cpu", []float64{2, 2, 2, 2, 2}, "Pod=y")
	f.put("cpu", []float64{7, 7, 7, 7, 7}, "Pod=x", "Node=n")
	f.put("podMemoryUsed", []float64{5}, "Pod=x")
	for expression, want := range map[string]string{
		"m1":                                "e: 1 2 3 4 5",
		"m1+m2":                             "e: - 12 3 34 45",
		"m1/m2":                             "e: - 0.2 - 0.1333 0.125", // by 0: nothing
		"2+3*m1^2":                          "e: 5 14 29 50 77",
		"(2+3)*m1":                          "e: 5 10 15 20 25",
		"-m1^2":                             "e: -1 -4 -9 -16 -25",
		"2^3^2*m1/m1":                       "e: 512 512 512 512 512",
		"10-4-3+m1*0":                       "e: 3 3 3 3 3",
		"m1 > 2 AND m1 <= 4":                "e: 0 0 1 1 0",
		"m1 < 2 || m1 == 5":                 "e: 1 0 0 0 1",
		"m1 != 3":                           "e: 1 1 0 1 1",
		"m1*SUM(m1)":                        "e: 15 30 45 60 75",
		"m1-AVG(m1)":                        "e: -2 -1 0 1 2",
		"m1+MIN(m1)*100+MAX(m1)":            "e: 106 107 108 109 110",
		"m1*0+STDDEV(m1)":                   "e: 1.414 1.414 1.414 1.414 1.414",
		"m1*0+DATAPOINT_COUNT(m2)":          "e: 4 4 4 4 4",
		"m1*0+PERIOD(m1)":                   "e: 60 60 60 60 60",
		"ABS(-m1)":                          "e: 1 2 3 4 5",
		"CEIL(m1/2)":                        "e: 1 1 2 2 3",
		"FLOOR(m1/2)":                       "e: 0 1 1 2 2",
		"LOG10(m1*10^2/m1)":                 "e: 2 2 2 2 2",
		"LOG(m1-1)":                         "e: - 0 0.6931 1.099 1.386",
		"RATE(m1)":                          "e: - 0.01667 0.01667 0.01667 0.01667",
		"DIFF(m2)":                          "e: - - -10 30 10",
		"DIFF_TIME(m2)":                     "e: - - 60 60 60",
		"RUNNING_SUM(m1)":                   "e: 1 3 6 10 15",
		"MINUTE(m1)":                        "e: 55 56 57 58 59",
		"HOUR(m1)+DAY(m1)":                  "e: 15 15 15 15 15", // a Sunday, the seventh
		"TIME_SERIES(7)":                    "e: 7 7 7 7 7",
		"FILL(m2,0)":                        "e: 0 10 0 30 40",
		"FILL(m3,REPEAT)":                   "e: - - - - 6",
		"FILL(m2,m1*100)":                   "e: 100 10 0 30 40",
		"FILL(IF(m1 != 3, m1), LINEAR)":     "e: 1 2 3 4 5",
		"FILL(IF(m1 != 3, m1), REPEAT)":     "e: 1 2 2 4 5",
		"IF(m1>3,m2,0)":                     "e: 0 0 0 30 40",
		"IF(m1>3,m2)":                       "e: - - - 30 40",
		"IF(1>2,m1,m2)":                     "e: - 10 0 30 40",
		"if(m1>3, 1, m1)":                   "e: 1 2 3 1 1",
		"SUM([m1,m2])":                      "e: 1 12 3 34 45",
		"AVG([m1,m2])":                      "e: 1 6 1.5 17 22.5",
		"MAX([m1,m2])-MIN([m1,m2])":         "e: 0 8 3 26 35",
		"SUM(METRICS())":                    "e: 1 12 3 34 51",
		`SUM(METRICS("m1"))`:                "e: 1 2 3 4 5",
		"METRICS()*10":                      "a: 10 20 30 40 50\nb: - 100 0 300 400\ngap: - - - - 60",
		"m1*0+METRIC_COUNT(METRICS())":      "e: 3 3 3 3 3",
		"SORT(METRICS(), MAX, DESC)":        "b: - 10 0 30 40\ngap: - - - - 6\na: 1 2 3 4 5",
		"SORT(METRICS(), SUM, ASC, 1)":      "gap: - - - - 6",
		"FIRST(SORT(METRICS(), MAX, DESC))": "e: - 10 0 30 40",
		"LAST(METRICS())":                   "e: - - - - 6",
		"SLICE(METRICS(), 1)":               "b: - 10 0 30 40\ngap: - - - - 6",
		"SLICE(METRICS(), 0, 1)":            "a: 1 2 3 4 5",
		"SUM(SLICE(METRICS(), 0, 2))":       "e: 1 12 3 34 45",
		"REMOVE_EMPTY([m1,m1*(1/0)])":       "a: 1 2 3 4 5",
		`SEARCH('{N,Pod} MetricName="cpu"', 'Sum', 60)`:         "x cpu: 1 1 1 1 9\ny cpu: 2 2 2 2 2",
		`SEARCH('{N,Pod,Node} cpu', 'Maximum', 60)`:             "n x cpu: 7 7 7 7 7",
		`SUM(SEARCH('MetricName="cpu" NOT Node=n', 'Sum', 60))`: "e: 3 3 3 3 11",
		`SEARCH('{N,Pod} Pod=(y OR z)', 'Sum', 60)`:             "y cpu: 2 2 2 2 2",
		`SEARCH('memory used', 'Sum', 60)`:                      "x podMemoryUsed: - - - - 5",
		`SEARCH('{N,Pod} (memory OR cpu) AND "x"', 'Sum', 60)`:  "x cpu: 1 1 1 1 9\nx podMemoryUsed: - - - - 5",
		`SEARCH('MetricName="none"', 'Sum', 60)`:                "",
	} {
		queries := []types.MetricDataQuery{metricQuery("m1", "a"), metricQuery("m2", "b"), metricQuery("m3", "gap")}
		got, err := f.math(expression, queries...)
		if err != nil || got != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", expression, got, err, want)
		}
	}
}

func TestMetricMathThatIsNone(t *testing.T) {
	f := newFixture(t)
	f.put("a", []float64{1, 2, 3})
	for expression, want := range map[string]string{
		"m1+":                        "it ends too early at character 4",
		"m1 m1":                      "unexpected 'm1' at character 4",
		"(m1":                        "')' is expected at character 4",
		"1.2.3":                      "1.2.3 is no number at character 1",
		"m1 + 'x":                    "a string has no end at character 6",
		"m9":                         "Unknown identifier: m9",
		"NONE(m1)":                   "Unknown function: NONE",
		"ABS(m1, m1)":                "ABS takes 1 to 1 arguments, not 2",
		"e":                          "it needs itself: e -> e",
		"SUM(m1)":                    "it is a number, and must be a time series or an array of them",
		"METRICS()+METRICS()":        "the operator + cannot be used on an array of time series and an array of time series",
		"FIRST(m1)":                  "FIRST: it cannot be used on a time series",
		"SORT([m1], LAST, ASC)":      "Unknown identifier: LAST",
		"SORT([m1], SUM, REPEAT)":    "SORT: it sorts by AVG, MIN, MAX or SUM, and ASC or DESC",
		"SEARCH('(', 'Sum', 60)":     "SEARCH: the search is invalid: it ends too early",
		"SEARCH('a', 'Sum', 61)":     "SEARCH: 61.0 is no period",
		"SEARCH('a', 'sum', 60)":     `SEARCH: "sum" is no statistic`,
		"ANOMALY_DETECTION_BAND(m1)": "the function ANOMALY_DETECTION_BAND is not supported: it needs a model that is learnt from weeks of data",
		`SELECT AVG(CPUUtilization) FROM "AWS/EC2"`:               "Metrics Insights queries (SELECT) are not supported at character 1",
		strings.Repeat("(", 150) + "1" + strings.Repeat(")", 150): "it is nested too deeply at character 101",
	} {
		_, err := f.math(expression, metricQuery("m1", "a"))
		f.fails(expression, err, "ValidationError", "Error in expression 'e': "+want)
	}
	_, err := f.getData(func(in *sdk.GetMetricDataInput) { in.StartTime = new(nine.AddDate(-50, 0, 0)) }, types.MetricDataQuery{Id: new("e"), Expression: new("TIME_SERIES(1)")})
	f.fails("fifty years", err, "ValidationError", "Error in expression 'e': TIME_SERIES: it would have 26297280 datapoints, more than the limit of 100800")
}
