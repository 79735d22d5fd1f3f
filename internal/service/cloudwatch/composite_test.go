package cloudwatch_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func TestCompositeAlarm(t *testing.T) {
	f := newFixture(t)
	f.putAlarm(alarm("a"))
	f.putAlarm(alarm("b"))
	f.ok("put", f.putComposite("both", `ALARM("a") AND ALARM(b)`))
	arn := "arn:aws:cloudwatch:ap-northeast-2:111122223333:alarm:"
	changed, _ := f.evaluate("both")
	same(t, "first", fmt.Sprint(changed, f.item("both").Value.State, f.item("both").Value.Reason), "trueOK"+arn+"both was created and its alarm rule evaluates to OK")
	f.now = nine.Add(15 * time.Second)
	f.set("a", types.StateValueAlarm)
	if changed, _ = f.evaluate("both"); changed {
		t.Error("one of two")
	}
	f.now = nine.Add(30 * time.Second)
	f.set("b", types.StateValueAlarm)
	changed, _ = f.evaluate("both")
	both := f.item("both").Value
	same(t, "both", fmt.Sprint(changed, both.State, both.Reason), "trueALARM"+arn+"b transitioned to ALARM at Sunday 29 November, 2026 09:00:30 UTC")
	same(t, "data", both.ReasonData, `{"triggeringAlarms":[{"arn":"`+arn+`b","state":{"value":"ALARM","timestamp":"2026-11-29T09:00:30.000+0000"}}]}`)
	same(t, "history", f.summaries("both"), []string{`Alarm "both" created`, "Alarm updated from INSUFFICIENT_DATA to OK", "Alarm updated from OK to ALARM"})
	out, err := f.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm}})
	f.ok("describe", err)
	if c := out.CompositeAlarms[0]; *c.AlarmRule != `ALARM("a") AND ALARM(b)` || c.StateValue != types.StateValueAlarm || c.ActionsSuppressor != nil {
		t.Errorf("%+v", c)
	}
}

func TestPutCompositeAlarmRefuses(t *testing.T) {
	f := newFixture(t)
	f.putAlarm(alarm("a"))
	f.ok("x", f.putComposite("x", "ALARM(a)"))
	f.ok("y", f.putComposite("y", "ALARM(x)"))
	f.fails("rule", f.putComposite("z", "ALARM(a) AND"), "ValidationError", "AlarmRule is invalid at character 13: it ends too early")
	f.fails("absent", f.putComposite("z", "ALARM(a) AND OK(n1) OR OK(n2)"), "ValidationError", "Could not save the composite alarm as alarms [n1, n2] in the alarm rule do not exist")
	f.fails("itself", f.putComposite("z", "ALARM(z)"), "ValidationError", "Could not save the composite alarm as its alarm rule leads back to it: z -> z")
	f.fails("circle", f.putComposite("x", "ALARM(a) OR ALARM(y)"), "ValidationError", "Could not save the composite alarm as its alarm rule leads back to it: x -> y -> x")
	f.fails("type", f.putComposite("a", "TRUE"), "ValidationError", "An alarm of another type with the name a exists already")
	_, err := f.PutCompositeAlarm(t.Context(), &sdk.PutCompositeAlarmInput{AlarmName: new("z"), AlarmRule: new("ALARM(a)"), AlarmActions: []string{scaling}})
	f.fails("action", err, "ValidationError", "Composite alarms do not support Auto Scaling actions: "+scaling)
	_, err = f.PutCompositeAlarm(t.Context(), &sdk.PutCompositeAlarmInput{AlarmName: new("z"), AlarmRule: new("ALARM(a)"), ActionsSuppressor: new("a")})
	f.fails("suppressor", err, "ValidationError", "ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must be specified with ActionsSuppressor")
}

// A composite alarm waits for its suppressor before its actions, and a while after
// the suppressor has ended.
func TestSuppressor(t *testing.T) {
	f := newFixture(t)
	f.putAlarm(alarm("a"))
	f.putAlarm(alarm("maintenance"))
	_, err := f.PutCompositeAlarm(t.Context(), &sdk.PutCompositeAlarmInput{
		AlarmName: new("c"), AlarmRule: new("ALARM(a)"), AlarmActions: []string{topic},
		ActionsSuppressor: new("maintenance"), ActionsSuppressorWaitPeriod: new(int32(20)), ActionsSuppressorExtensionPeriod: new(int32(30)),
	})
	f.ok("put", err)
	notified := func() int { return strings.Count(strings.Join(f.summaries("c"), "\n"), "execute action "+topic) }
	// at goes to a time, puts the alarms into their states, and says what became of it.
	at := func(seconds int, a, maintenance types.StateValue) string {
		f.now = nine.Add(time.Duration(seconds) * time.Second)
		if string(a) != f.item("a").Value.State {
			f.set("a", a)
		}
		if string(maintenance) != f.item("maintenance").Value.State {
			f.set("maintenance", maintenance)
		}
		f.evaluate("c")
		c := f.item("c").Value
		return fmt.Sprint(c.State, c.Suppressed, notified())
	}
	const ok, in = types.StateValueOk, types.StateValueAlarm
	for _, tt := range []struct {
		second         int
		a, maintenance types.StateValue
		want           string
	}{
		{100, in, ok, "ALARMWaitPeriod0"},
		{119, in, ok, "ALARMWaitPeriod0"},
		{120, in, ok, "ALARM1"}, // it has not come
		{200, ok, ok, "OKWaitPeriod1"},
		{250, ok, ok, "OK1"},
		{300, in, ok, "ALARMWaitPeriod1"},
		{310, in, in, "ALARMAlarm1"}, // it has
		{400, in, in, "ALARMAlarm1"},
		{410, in, ok, "ALARMExtensionPeriod1"},
		{439, in, ok, "ALARMExtensionPeriod1"},
		{440, in, ok, "ALARM2"},
	} {
		same(t, fmt.Sprint(tt.second), at(tt.second, tt.a, tt.maintenance), tt.want)
	}
	out, err := f.DescribeAlarms(t.Context(), &sdk.DescribeAlarmsInput{AlarmTypes: []types.AlarmType{types.AlarmTypeCompositeAlarm}})
	f.ok("describe", err)
	if c := out.CompositeAlarms[0]; *c.ActionsSuppressor != "maintenance" || *c.ActionsSuppressorWaitPeriod != 20 || *c.ActionsSuppressorExtensionPeriod != 30 || c.ActionsSuppressedBy != "" {
		t.Errorf("%+v", c)
	}
}
