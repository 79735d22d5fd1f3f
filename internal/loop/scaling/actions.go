package scaling

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
)

// instanceActions are what alarms may do to the instance that their metric is
// about, by the end of the action's ARN: arn:aws:automate:region:ec2:stop, or
// arn:aws:swf:region:account:action/actions/AWS_EC2.InstanceId.Stop/1.0.
var instanceActions = map[string]string{
	"ec2:stop": "stop", "AWS_EC2.InstanceId.Stop/1.0": "stop",
	"ec2:terminate": "terminate", "AWS_EC2.InstanceId.Terminate/1.0": "terminate",
	"ec2:reboot": "reboot", "AWS_EC2.InstanceId.Reboot/1.0": "reboot",
	"ec2:recover": "recover", "AWS_EC2.InstanceId.Recover/1.0": "recover",
}

// instanceAction says what an action does to an instance; ok is false if it is
// about something else.
func instanceAction(arn string) (what string, ok bool) {
	if !strings.HasPrefix(arn, "arn:aws:automate:") && !strings.HasPrefix(arn, "arn:aws:swf:") {
		return "", false
	}
	for end, what := range instanceActions {
		if strings.HasSuffix(arn, ":"+end) || strings.HasSuffix(arn, "/"+end) {
			return what, true
		}
	}
	return "", false
}

// instanceOf is the instance that an alarm's metric is about, "" for none.
func instanceOf(a cloudwatch.Alarm) string {
	dimensions := a.Dimensions
	for _, q := range a.Metrics {
		if q.MetricStat != nil && q.MetricStat.Metric != nil {
			dimensions = append(slices.Clone(dimensions), q.MetricStat.Metric.Dimensions...)
		}
	}
	for _, d := range dimensions {
		if d.Name != nil && d.Value != nil && *d.Name == "InstanceId" {
			return *d.Value
		}
	}
	return ""
}

// readings are the datapoints that a state's reason tells of, the newest last. A
// person who sets an alarm's state may write there whatever they like.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html
func readings(reasonData string) []float64 {
	var d struct {
		Recent []*float64 `json:"recentDatapoints"`
	}
	if err := json.Unmarshal([]byte(reasonData), &d); err != nil {
		return nil
	}
	var values []float64
	for _, v := range d.Recent {
		if v != nil {
			values = append(values, *v)
		}
	}
	return values
}
