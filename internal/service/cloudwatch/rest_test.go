package cloudwatch_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/policy"
)

const alarmARN = "arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:"

// The protocols that are not the SDK's: the form of older clients, and JSON.
func TestOtherProtocols(t *testing.T) {
	f := newFixture(t)
	got := f.query("PutMetricData", "Namespace", "N", "MetricData.member.1.MetricName", "m", "MetricData.member.1.Value", "91",
		"MetricData.member.1.Timestamp", "2026-11-29T08:59:30Z", "MetricData.member.1.Dimensions.member.1.Name", "Pod", "MetricData.member.1.Dimensions.member.1.Value", "x")
	if !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "<PutMetricDataResponse") {
		t.Error(got)
	}
	got = f.query("GetMetricStatistics", "Namespace", "N", "MetricName", "m", "StartTime", "2026-11-29T08:00:00Z", "EndTime", "2026-11-29T09:00:00Z", "Period", "60",
		"Statistics.member.1", "Maximum", "Dimensions.member.1.Name", "Pod", "Dimensions.member.1.Value", "x")
	if !strings.Contains(got, "<Maximum>91") || !strings.Contains(got, "<Timestamp>2026-11-29T08:59:00") {
		t.Error(got)
	}
	got = f.query("SetAlarmState", "AlarmName", "none", "StateValue", "OK", "StateReason", "x")
	if !strings.HasPrefix(got, "404 ") || !strings.Contains(got, "<Code>ResourceNotFound</Code>") {
		t.Error(got)
	}
	f.putAlarm(alarm("busy"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url, strings.NewReader(`{"AlarmNamePrefix":"bu"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801.DescribeAlarms")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"AlarmArn":"`+alarmARN+`busy"`) {
		t.Errorf("%s, %v", body, err)
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	in := alarm("a")
	in.Tags = []types.Tag{{Key: new("b"), Value: new("2")}, {Key: new("a"), Value: new("1")}}
	f.putAlarm(in)
	in.Tags = []types.Tag{{Key: new("ignored"), Value: new("of an alarm that is there")}}
	f.putAlarm(in)
	tags := func() (list []string) {
		out, err := f.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceARN: new(alarmARN + "a")})
		f.ok("list", err)
		for _, t := range out.Tags {
			list = append(list, *t.Key+"="+*t.Value)
		}
		return list
	}
	same(t, "put", tags(), []string{"a=1", "b=2"})
	_, err := f.TagResource(t.Context(), &sdk.TagResourceInput{ResourceARN: new(alarmARN + "a"), Tags: []types.Tag{{Key: new("a"), Value: new("3")}, {Key: new("c"), Value: new("")}}})
	f.ok("tag", err)
	_, err = f.UntagResource(t.Context(), &sdk.UntagResourceInput{ResourceARN: new(alarmARN + "a"), TagKeys: []string{"b", "none"}})
	f.ok("untag", err)
	same(t, "changed", tags(), []string{"a=3", "c="})
	all, err := f.service.Tagged(t.Context())
	same(t, "tagged", fmt.Sprint(all, err), "map["+alarmARN+"a:map[a:3 c:]] <nil>")

	_, err = f.TagResource(t.Context(), &sdk.TagResourceInput{ResourceARN: new(alarmARN + "a"), Tags: []types.Tag{{Key: new("AWS:x"), Value: new("")}}})
	f.fails("reserved", err, "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for system use")
	_, err = f.ListTagsForResource(t.Context(), &sdk.ListTagsForResourceInput{ResourceARN: new(alarmARN + "none")})
	if gone, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok || *gone.ResourceType != "alarm" || *gone.ResourceId != alarmARN+"none" {
		t.Error(err)
	}
}

const board = `{"widgets":[{"type":"metric","x":0,"y":0,"width":6,"height":6,"properties":{"metrics":[["AWS/EC2","CPUUtilization"]],"region":"ap-northeast-2"}}]}`

func TestDashboards(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"web", "web-2", "db"} {
		out, err := f.PutDashboard(t.Context(), &sdk.PutDashboardInput{DashboardName: &name, DashboardBody: new(board)})
		f.ok("put", err)
		same(t, "messages", len(out.DashboardValidationMessages), 0)
	}
	got, err := f.GetDashboard(t.Context(), &sdk.GetDashboardInput{DashboardName: new("web")})
	f.ok("get", err)
	same(t, "dashboard", fmt.Sprint(*got.DashboardArn, *got.DashboardName, *got.DashboardBody), "arn:aws:cloudwatch::111122223333:dashboard/webweb"+board)
	list, err := f.ListDashboards(t.Context(), &sdk.ListDashboardsInput{DashboardNamePrefix: new("web")})
	f.ok("list", err)
	var names []string
	for _, d := range list.DashboardEntries {
		names = append(names, fmt.Sprint(*d.DashboardName, *d.Size == int64(len(board)), d.LastModified.Equal(nine)))
	}
	same(t, "list", names, []string{"webtrue true", "web-2true true"})
	_, err = f.DeleteDashboards(t.Context(), &sdk.DeleteDashboardsInput{DashboardNames: []string{"web", "none"}})
	f.fails("delete one that is none", err, "ResourceNotFound", "Dashboard none does not exist")
	_, err = f.DeleteDashboards(t.Context(), &sdk.DeleteDashboardsInput{DashboardNames: []string{"web", "db"}})
	f.ok("delete", err)
	_, err = f.GetDashboard(t.Context(), &sdk.GetDashboardInput{DashboardName: new("web")})
	f.fails("get", err, "ResourceNotFound", "Dashboard web does not exist")

	for body, want := range map[string]string{
		"{":               "/: The dashboard body must be a valid JSON object",
		"[]":              "/: The dashboard body must be a valid JSON object",
		"{}":              "/: Should have required property 'widgets', an array",
		`{"widgets":[1]}`: "/widgets/0: Should be object",
		`{"widgets":[{"type":"pie","x":24,"properties":{}}]}`: "/widgets/0/type: Should be equal to one of the allowed values, /widgets/0/x: Should be an integer from 0 to 23",
		`{"widgets":[{"type":"text"}]}`:                       "/widgets/0: Should have required property 'properties'",
	} {
		_, err := f.PutDashboard(t.Context(), &sdk.PutDashboardInput{DashboardName: new("bad"), DashboardBody: &body})
		var messages []string
		if bad, ok := errors.AsType[*types.DashboardInvalidInputError](err); ok {
			for _, m := range bad.DashboardValidationMessages {
				messages = append(messages, *m.DataPath+": "+*m.Message)
			}
		}
		same(t, body, strings.Join(messages, ", "), want)
	}
}

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	in := alarm("a")
	in.Tags = []types.Tag{{Key: new("Stage"), Value: new("prod")}}
	f.putAlarm(in)
	request := func(action, resource string, context map[string][]string) policy.Request {
		return policy.Request{Action: "cloudwatch:" + action, Resources: []string{resource}, ResourceAccount: account, Context: context}
	}
	none := map[string][]string{}
	tagged := map[string][]string{"aws:resourcetag/stage": {"prod"}}
	for _, tt := range []struct {
		operation string
		input     any
		want      []policy.Request
	}{
		{"PutMetricData", &cloudwatchapi.PutMetricDataInput{Namespace: new("N")}, []policy.Request{request("PutMetricData", "*", map[string][]string{"cloudwatch:namespace": {"N"}})}},
		{"GetMetricData", &cloudwatchapi.GetMetricDataInput{}, []policy.Request{request("GetMetricData", "*", none)}},
		{"DescribeAlarms", &cloudwatchapi.DescribeAlarmsInput{}, []policy.Request{request("DescribeAlarms", alarmARN+"*", none)}},
		{"DeleteAlarms", &cloudwatchapi.DeleteAlarmsInput{AlarmNames: []string{"a", "b"}}, []policy.Request{request("DeleteAlarms", alarmARN+"a", tagged), request("DeleteAlarms", alarmARN+"b", none)}},
		{"PutMetricAlarm", &cloudwatchapi.PutMetricAlarmInput{AlarmName: new("n"), AlarmActions: []string{topic}, Tags: []cloudwatchapi.Tag{{Key: new("K"), Value: new("v")}}}, []policy.Request{
			request("PutMetricAlarm", alarmARN+"n", map[string][]string{"aws:requesttag/k": {"v"}, "aws:tagkeys": {"K"}, "cloudwatch:alarmactions": {topic}}),
			request("TagResource", alarmARN+"n", map[string][]string{"aws:requesttag/k": {"v"}, "aws:tagkeys": {"K"}, "cloudwatch:alarmactions": {topic}}),
		}},
		{"UntagResource", &cloudwatchapi.UntagResourceInput{ResourceARN: new(alarmARN + "a"), TagKeys: []string{"Stage"}}, []policy.Request{
			request("UntagResource", alarmARN+"a", map[string][]string{"aws:tagkeys": {"Stage"}, "aws:resourcetag/stage": {"prod"}})}},
		{"GetDashboard", &cloudwatchapi.GetDashboardInput{DashboardName: new("d")}, []policy.Request{request("GetDashboard", "arn:aws:cloudwatch::111122223333:dashboard/d", none)}},
		{"ListDashboards", &cloudwatchapi.ListDashboardsInput{}, []policy.Request{request("ListDashboards", "*", none)}},
	} {
		got, err := f.service.Authorization(t.Context(), tt.operation, tt.input)
		f.ok(tt.operation, err)
		same(t, tt.operation, got, tt.want)
	}
}

// Every operation of the API says what it needs, and is answered.
func TestAuthorizationOfAll(t *testing.T) {
	f := newFixture(t)
	for _, op := range cloudwatchapi.Service.Operations {
		input := reflect.New(op.Input).Interface()
		requests, err := f.service.Authorization(t.Context(), op.Name, input)
		if err != nil || len(requests) != 1 || requests[0].Action != "cloudwatch:"+op.Name || len(requests[0].Resources) != 1 || requests[0].Context == nil {
			t.Errorf("%s: %+v, %v", op.Name, requests, err)
		}
		_, err = op.Call(t.Context(), f.service, input)
		if err != nil && api.Code(err) == "" {
			t.Errorf("%s of nothing: %v", op.Name, err)
		}
	}
}
