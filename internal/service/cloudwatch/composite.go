package cloudwatch

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
)

// PutCompositeAlarm implements cloudwatchapi.Handler.
func (s *Service) PutCompositeAlarm(ctx context.Context, in *cloudwatchapi.PutCompositeAlarmInput) (*cloudwatchapi.PutCompositeAlarmOutput, error) {
	a := Alarm{
		Name: api.Val(in.AlarmName), Description: api.Val(in.AlarmDescription), ActionsOff: in.ActionsEnabled != nil && !*in.ActionsEnabled,
		OK: in.OKActions, Alarm: in.AlarmActions, Empty: in.InsufficientDataActions,
		Rule: api.Val(in.AlarmRule), Suppressor: api.Val(in.ActionsSuppressor),
		SuppressorWait:      time.Duration(api.Val(in.ActionsSuppressorWaitPeriod)) * time.Second,
		SuppressorExtension: time.Duration(api.Val(in.ActionsSuppressorExtensionPeriod)) * time.Second,
	}
	if err := checkAlarm(a); err != nil {
		return nil, err
	}
	if err := length("alarmRule", a.Rule, 1, maxRule); err != nil {
		return nil, err
	}
	rule, err := ParseRule(a.Rule)
	if err != nil {
		return nil, invalid("%v", err)
	}
	waits := in.ActionsSuppressorWaitPeriod != nil && in.ActionsSuppressorExtensionPeriod != nil
	switch {
	case a.Suppressor != "" && !waits:
		return nil, invalid("ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must be specified with ActionsSuppressor")
	case a.Suppressor == "" && (in.ActionsSuppressorWaitPeriod != nil || in.ActionsSuppressorExtensionPeriod != nil):
		return nil, invalid("ActionsSuppressor must be specified with ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod")
	case a.SuppressorWait < 0 || a.SuppressorExtension < 0:
		return nil, invalid("ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must not be negative")
	}
	if err := s.checkActions(a); err != nil {
		return nil, err
	}
	if a.Tags, err = checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := s.checkRule(ctx, a, rule); err != nil {
		return nil, err
	}
	return &cloudwatchapi.PutCompositeAlarmOutput{}, s.put(ctx, a)
}

// checkRule wants alarms that exist, and no way from one of them back to the alarm.
// Two calls at once may still make a circle: it is evaluated by the states that its
// alarms had, and comes to rest or not, but never hangs.
func (s *Service) checkRule(ctx context.Context, a Alarm, rule Rule) error {
	items, _, err := s.all.List(ctx)
	if err != nil {
		return err
	}
	rules := map[string]Rule{}
	exists := map[string]bool{a.Name: true} // itself: a circle, not an absence
	for _, it := range items {
		exists[it.Key] = true
		if it.Value.Composite() {
			if r, err := ParseRule(it.Value.Rule); err == nil {
				rules[it.Key] = r
			}
		}
	}
	var absent []string
	for _, name := range rule.Names {
		if !exists[name] {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return invalid("Could not save the composite alarm as alarms [%s] in the alarm rule do not exist", strings.Join(absent, ", "))
	}
	if suppressor := nameOf(a.Suppressor); suppressor != "" && !exists[suppressor] {
		return invalid("Could not save the composite alarm as the actions suppressor %s does not exist", suppressor)
	}
	rules[a.Name] = rule
	if way := circle(rules, a.Name); way != nil {
		return invalid("Could not save the composite alarm as its alarm rule leads back to it: %s", strings.Join(way, " -> "))
	}
	return nil
}

// circle is a way along the rules from an alarm back to it; nil: there is none.
func circle(rules map[string]Rule, from string) []string {
	seen := map[string]bool{}
	var walk func(name string) []string
	walk = func(name string) []string {
		for _, child := range rules[name].Names {
			if child == from {
				return []string{name, from}
			}
			if seen[child] {
				continue
			}
			seen[child] = true
			if way := walk(child); way != nil {
				return append([]string{name}, way...)
			}
		}
		return nil
	}
	return walk(from)
}

// describeComposite is a composite alarm as the API has it.
func (s *Service) describeComposite(a Alarm) cloudwatchapi.CompositeAlarm {
	out := cloudwatchapi.CompositeAlarm{
		ActionsEnabled: new(!a.ActionsOff), AlarmActions: list(a.Alarm), OKActions: list(a.OK), InsufficientDataActions: list(a.Empty),
		AlarmArn: new(s.ARN(a.Name)), AlarmName: &a.Name, AlarmDescription: present(a.Description), AlarmRule: &a.Rule,
		AlarmConfigurationUpdatedTimestamp: &a.Updated, StateReason: &a.Reason, StateReasonData: present(a.ReasonData),
		StateUpdatedTimestamp: &a.Changed, StateTransitionedTimestamp: &a.Transition, StateValue: cloudwatchapi.StateValue(a.State),
		ActionsSuppressedBy: cloudwatchapi.ActionsSuppressedBy(a.Suppressed), ActionsSuppressedReason: present(a.SuppressedReason),
	}
	if a.Suppressor != "" {
		out.ActionsSuppressor = &a.Suppressor
		out.ActionsSuppressorWaitPeriod = new(int32(a.SuppressorWait / time.Second))
		out.ActionsSuppressorExtensionPeriod = new(int32(a.SuppressorExtension / time.Second))
	}
	return out
}

// dependents are the composite alarms whose rule, or suppressor, is the alarm.
func dependents(all []Alarm, name string) []string {
	var out []string
	for _, a := range all {
		if !a.Composite() {
			continue
		}
		rule, err := ParseRule(a.Rule)
		if err == nil && slices.Contains(rule.Names, name) || nameOf(a.Suppressor) == name {
			out = append(out, a.Name)
		}
	}
	return out
}

func dependedOn(name string) error {
	return invalid("Cannot delete %s as there are composite alarm(s) depending on it.", name)
}
