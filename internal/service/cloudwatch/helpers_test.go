package cloudwatch_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = "ap-northeast-2"
	scaling = "arn:aws:autoscaling:ap-northeast-2:111122223333:scalingPolicy:1:autoScalingGroupName/web:policyName/out"
	topic   = "arn:aws:sns:ap-northeast-2:111122223333:ops"
	stop    = "arn:aws:automate:ap-northeast-2:ec2:stop"
)

// nine is when the tests begin.
var nine = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

// fixture is the service over time series of its own, and AWS's own client.
type fixture struct {
	*sdk.Client
	*testing.T
	service *cloudwatch.Service
	url     string
	now     time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, now: nine}
	now := func() time.Time { return f.now }
	db, err := metrics.Open(t.TempDir(), metrics.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f.service = cloudwatch.New(cloudwatch.Config{Client: storetest.Open(t).Client(), Account: account, Region: region, Metrics: db, Now: now})
	cfg := wiretest.Serve(t, wire.Config{API: cloudwatchapi.Service}, f.service, region)
	f.url = *cfg.BaseEndpoint
	f.Client = sdk.NewFromConfig(cfg)
	return f
}

// query calls an operation as old clients do, with a form.
func (f *fixture) query(operation string, members ...string) string {
	f.Helper()
	form := url.Values{"Action": {operation}, "Version": {"2010-08-01"}}
	for i := 0; i < len(members); i += 2 {
		form.Set(members[i], members[i+1])
	}
	resp, err := http.PostForm(f.url, form)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}

// put puts values of a metric of namespace N, one in each minute that ends at nine;
// dimensions are name=value.
func (f *fixture) put(metric string, values []float64, dimensions ...string) {
	f.Helper()
	var data []types.MetricDatum
	for i, v := range values {
		data = append(data, types.MetricDatum{
			MetricName: &metric, Value: &v, Dimensions: dims(dimensions...), Unit: types.StandardUnitCount,
			Timestamp: new(nine.Add(time.Duration(i-len(values)) * time.Minute)),
		})
	}
	_, err := f.PutMetricData(f.Context(), &sdk.PutMetricDataInput{Namespace: new("N"), MetricData: data})
	f.ok("put "+metric, err)
}

func dims(pairs ...string) []types.Dimension {
	var out []types.Dimension
	for _, p := range pairs {
		n, v, _ := strings.Cut(p, "=")
		out = append(out, types.Dimension{Name: &n, Value: &v})
	}
	return out
}

// alarm is a request for an alarm on metric m above 50, one minute of one.
func alarm(name string) *sdk.PutMetricAlarmInput {
	return &sdk.PutMetricAlarmInput{
		AlarmName: &name, Namespace: new("N"), MetricName: new("m"), Statistic: types.StatisticAverage, Period: new(int32(60)),
		EvaluationPeriods: new(int32(1)), Threshold: new(50.0), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
	}
}

func (f *fixture) putAlarm(in *sdk.PutMetricAlarmInput) {
	f.Helper()
	_, err := f.PutMetricAlarm(f.Context(), in)
	f.ok("put alarm "+*in.AlarmName, err)
}

func (f *fixture) putComposite(name, rule string) error {
	_, err := f.PutCompositeAlarm(f.Context(), &sdk.PutCompositeAlarmInput{AlarmName: &name, AlarmRule: &rule})
	return err
}

func (f *fixture) item(name string) store.Item[cloudwatch.Alarm] {
	f.Helper()
	it, err := f.service.Alarms.Get(f.Context(), name)
	if err != nil {
		f.Fatal(err)
	}
	return it
}

// evaluate looks at an alarm now, and decides.
func (f *fixture) evaluate(name string) (changed bool, actions []string) {
	f.Helper()
	it := f.item(name)
	e, err := f.service.Look(f.Context(), it.Value, f.now)
	f.ok("look at "+name, err)
	changed, actions, err = f.service.Decide(f.Context(), it, e)
	f.ok("decide "+name, err)
	return changed, actions
}

func (f *fixture) set(name string, state types.StateValue) {
	f.Helper()
	_, err := f.SetAlarmState(f.Context(), &sdk.SetAlarmStateInput{AlarmName: &name, StateValue: state, StateReason: new("a test")})
	f.ok("set "+name, err)
}

// summaries are those of an alarm's history, the oldest first.
func (f *fixture) summaries(name string) []string {
	f.Helper()
	out, err := f.DescribeAlarmHistory(f.Context(), &sdk.DescribeAlarmHistoryInput{
		AlarmName: &name, ScanBy: types.ScanByTimestampAscending, AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
	})
	f.ok("history", err)
	var list []string
	for _, h := range out.AlarmHistoryItems {
		list = append(list, *h.HistorySummary)
	}
	return list
}

func (f *fixture) ok(what string, err error) {
	f.Helper()
	if err != nil {
		f.Errorf("%s: %v", what, err)
	}
}

// fails checks an error's code and text.
func (f *fixture) fails(what string, err error, code, message string) {
	f.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || e.ErrorMessage() != message {
		f.Errorf("%s: %v\nwant %s: %s", what, err, code, message)
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}
