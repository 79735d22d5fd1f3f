package scaling

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// called is a call of a policy, with what made it.
type called struct {
	Call
	alarm  *store.Item[cloudwatch.Alarm]
	action string // the policy's ARN
	due    bool   // it is one of the alarm's Due
}

// act carries out what alarms are to do: what is Due since their state has changed
// and, as on AWS, each time an alarm is looked at that stays in its state, the
// policies of that state again.
func (l *Loop) act(ctx context.Context, w *world, now time.Time) (next time.Time) {
	calls := map[string][]called{} // by group
	for i := range w.alarms {
		it := &w.alarms[i]
		if it.Value.ActionsOff || it.Value.Suppressed != "" {
			continue
		}
		for _, action := range it.Value.Due {
			if _, _, ok := autoscaling.ParsePolicyARN(action); ok {
				continue
			}
			if err := l.acted(ctx, it, action, l.perform(ctx, it.Value, action)); err != nil {
				l.say("recording an alarm's action", it.Key, err)
				next = sooner(next, now.Add(retry))
			}
		}
		if it.Value.State == cloudwatch.InsufficientData && it.Value.Transition.Equal(it.Value.Updated) {
			continue // it is new, and has not come into this state
		}
		for _, action := range it.Value.Actions(it.Value.State) {
			group, policy, ok := autoscaling.ParsePolicyARN(action)
			if !ok {
				continue
			}
			c := called{alarm: it, action: action, due: slices.Contains(it.Value.Due, action), Call: Call{
				Policy: policy, Alarm: it.Key, State: it.Value.State, Threshold: it.Value.Threshold, Values: l.watched[it.Key].found,
			}}
			if c.due && !w.looked[it.Key] { // somebody has set its state, or the region ended before it acted
				c.Values = readings(it.Value.ReasonData)
			}
			c.Standing = !c.due && !w.looked[it.Key]
			calls[group] = append(calls[group], c)
		}
	}
	for group, all := range calls {
		if !slices.ContainsFunc(all, func(c called) bool { return !c.Standing }) {
			continue
		}
		err := l.scale(ctx, w, group, all, now)
		l.say("scaling a group", group, err)
		if err != nil {
			next = sooner(next, now.Add(retry))
		}
	}
	return next
}

// acted says what became of an alarm's action, and takes it off what is Due.
func (l *Loop) acted(ctx context.Context, it *store.Item[cloudwatch.Alarm], action string, failed error) error {
	if failed != nil {
		l.log.Warn("an alarm's action has failed", "alarm", it.Key, "action", action, "error", failed)
	}
	if err := l.cfg.CloudWatch.Acted(ctx, it.Key, action, failed); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// perform carries out an action that is about an instance.
func (l *Loop) perform(ctx context.Context, a cloudwatch.Alarm, action string) error {
	what, ok := instanceAction(action)
	if !ok || l.cfg.Instances == nil {
		return failure("The region has no service for it")
	}
	instance := instanceOf(a)
	if instance == "" {
		return failure("The alarm's metric has no dimension InstanceId")
	}
	return l.cfg.Instances.Act(ctx, what, instance)
}

// scale has a group's policies decide on its size. The size and that the alarms
// have acted are written at once: neither is there without the other.
func (l *Loop) scale(ctx context.Context, w *world, name string, calls []called, now time.Time) error {
	policies := w.policies[name]
	calls = l.refuse(ctx, calls, policies)
	for len(calls) > 0 {
		item, err := l.cfg.AutoScaling.Groups.Get(ctx, name)
		if err != nil {
			return ignoreGone(err)
		}
		s := Situation{Group: item.Value, Policies: policies, Cooldown: l.cooldowns[name], Floor: floorOf(w, item.Value, now), Now: now}
		members, _, err := l.cfg.AutoScaling.Members.List(ctx, autoscaling.Prefix(name))
		if err != nil {
			return err
		}
		for _, m := range members {
			s.Members = append(s.Members, m.Value)
		}
		for _, c := range calls {
			s.Calls = append(s.Calls, c.Call)
		}
		d := Plan(s)
		err = l.commit(ctx, item, d, calls)
		if errors.Is(err, store.ErrConflict) {
			if calls, err = l.again(ctx, calls); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if d.Reason != "" {
			l.log.Info("a policy has changed a group's size", "group", name, "policy", d.Policy, "from", item.Value.Desired, "to", d.Desired)
			delete(l.cooldowns, name)
			for _, p := range policies {
				if p.Name == d.Policy && p.Type == autoscaling.SimpleScaling {
					l.cooldowns[name] = p.Cooldown
				}
			}
		}
		return l.tell(ctx, calls, d)
	}
	return nil
}

// refuse answers calls of policies that do not exist, and returns the others.
func (l *Loop) refuse(ctx context.Context, calls []called, policies []autoscaling.Policy) []called {
	return slices.DeleteFunc(calls, func(c called) bool {
		for _, p := range policies {
			if p.Name == c.Policy && l.cfg.AutoScaling.PolicyARN(p) == c.action {
				return false
			}
		}
		if c.due {
			err := l.acted(ctx, c.alarm, c.action, failure("No scaling policy found for the ARN "+c.action))
			l.say("recording an alarm's action", c.Alarm, err)
		}
		return true
	})
}

// commit writes a decision, and takes the calls off what is Due.
func (l *Loop) commit(ctx context.Context, item store.Item[autoscaling.Group], d Decision, calls []called) error {
	var ops []store.Op
	if d.Reason != "" {
		item.Value.Desired = d.Desired
		item.Value.Reasons = append(slices.Clone(item.Value.Reasons), d.Reason)
		ops = append(ops, l.cfg.AutoScaling.Groups.UpdateOp(item))
	}
	left := map[*store.Item[cloudwatch.Alarm]][]string{}
	for _, c := range calls {
		if c.due {
			if _, ok := left[c.alarm]; !ok {
				left[c.alarm] = c.alarm.Value.Due
			}
			left[c.alarm] = slices.DeleteFunc(slices.Clone(left[c.alarm]), func(action string) bool { return action == c.action })
		}
	}
	for alarm, due := range left {
		next := *alarm
		next.Value.Due = due
		ops = append(ops, l.cfg.CloudWatch.Alarms.UpdateOp(next))
	}
	if len(ops) == 0 {
		return nil
	}
	revision, err := store.Commit(ctx, l.cfg.Client, ops...)
	if err != nil {
		return err
	}
	for alarm, due := range left { // it may call policies of another group, too
		alarm.Value.Due, alarm.Revision = due, revision
	}
	return nil
}

// again reads the alarms of the calls anew, and leaves out those that are no more
// in the state in which they called.
func (l *Loop) again(ctx context.Context, calls []called) ([]called, error) {
	fresh := map[*store.Item[cloudwatch.Alarm]]bool{} // whether it still calls
	for _, c := range calls {
		if _, ok := fresh[c.alarm]; ok {
			continue
		}
		newer, err := l.cfg.CloudWatch.Alarms.Get(ctx, c.Alarm)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		fresh[c.alarm] = err == nil && newer.Value.State == c.State
		if fresh[c.alarm] {
			*c.alarm = newer
		}
	}
	calls = slices.DeleteFunc(calls, func(c called) bool { return !fresh[c.alarm] })
	for i := range calls {
		calls[i].due = calls[i].due && slices.Contains(calls[i].alarm.Value.Due, calls[i].action)
	}
	return calls, nil
}

// tell writes into the alarms' histories what became of their calls: of those that
// were Due, and of those that have changed the size.
func (l *Loop) tell(ctx context.Context, calls []called, d Decision) error {
	var errs []error
	for _, c := range calls {
		failed := d.Failed[c.Policy]
		if failed != nil {
			failed = failure("Failed to execute AutoScaling action: " + failed.Error())
		}
		if c.due || d.Reason != "" && c.Policy == d.Policy && !c.Standing {
			errs = append(errs, l.cfg.CloudWatch.Repeated(ctx, c.alarm.Value, c.action, failed))
		}
	}
	return errors.Join(errs...)
}
