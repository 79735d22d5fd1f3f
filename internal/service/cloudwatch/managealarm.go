package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// DeleteAlarms implements cloudwatchapi.Handler: all of the alarms or none.
func (s *Service) DeleteAlarms(ctx context.Context, in *cloudwatchapi.DeleteAlarmsInput) (*cloudwatchapi.DeleteAlarmsOutput, error) {
	if err := named(in.AlarmNames); err != nil {
		return nil, err
	}
	items, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	var doomed []store.Item[Alarm]
	var rest []Alarm
	composite := 0
	for _, it := range items {
		if !slices.Contains(in.AlarmNames, it.Key) {
			rest = append(rest, it.Value)
			continue
		}
		doomed = append(doomed, it)
		if it.Value.Composite() {
			composite++
		}
	}
	for _, name := range in.AlarmNames {
		if !slices.ContainsFunc(doomed, func(it store.Item[Alarm]) bool { return it.Key == name }) {
			return nil, cloudwatchapi.ResourceNotFound.New("Alarm not found: %s", name)
		}
	}
	if composite > 1 {
		return nil, invalid("Only one composite alarm can be deleted in one operation")
	}
	for _, it := range doomed {
		if len(dependents(rest, it.Key)) > 0 {
			return nil, dependedOn(it.Key)
		}
	}
	for _, it := range doomed {
		err := s.remove(ctx, it)
		for errors.Is(err, store.ErrConflict) { // its state has changed
			if it, err = s.Alarms.Get(ctx, it.Key); err == nil {
				err = s.remove(ctx, it)
			}
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return &cloudwatchapi.DeleteAlarmsOutput{}, nil
}

// named wants the names of alarms that a call may have.
func named(names []string) error {
	if len(names) > maxNamed {
		return constraint("alarmNames", names, "have length less than or equal to %d", maxNamed)
	}
	for _, name := range names {
		if err := length("alarmNames", name, 1, 255); err != nil {
			return err
		}
	}
	return nil
}

// EnableAlarmActions implements cloudwatchapi.Handler. Alarms that are not there are
// passed over, as on AWS.
func (s *Service) EnableAlarmActions(ctx context.Context, in *cloudwatchapi.EnableAlarmActionsInput) (*cloudwatchapi.EnableAlarmActionsOutput, error) {
	return &cloudwatchapi.EnableAlarmActionsOutput{}, s.setActions(ctx, in.AlarmNames, false)
}

// DisableAlarmActions implements cloudwatchapi.Handler. What is due is not carried
// out any more.
func (s *Service) DisableAlarmActions(ctx context.Context, in *cloudwatchapi.DisableAlarmActionsInput) (*cloudwatchapi.DisableAlarmActionsOutput, error) {
	return &cloudwatchapi.DisableAlarmActionsOutput{}, s.setActions(ctx, in.AlarmNames, true)
}

func (s *Service) setActions(ctx context.Context, names []string, off bool) error {
	if err := named(names); err != nil {
		return err
	}
	for _, name := range names {
		var was bool
		it, err := s.Alarms.Modify(ctx, name, func(a *Alarm) error {
			if was = a.ActionsOff; was == off {
				return nil
			}
			a.ActionsOff, a.Updated = off, s.time()
			if off {
				a.Due = nil
			}
			return nil
		})
		if errors.Is(err, store.ErrNotFound) || err == nil && was == off {
			continue
		}
		if err != nil {
			return err
		}
		verb, kind, member := changeOf(false)
		op, err := s.configured(it.Value, verb, kind, member)
		if err == nil {
			_, err = store.Commit(ctx, s.client, op)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetAlarmState implements cloudwatchapi.Handler. The next evaluation may change the
// state back.
func (s *Service) SetAlarmState(ctx context.Context, in *cloudwatchapi.SetAlarmStateInput) (*cloudwatchapi.SetAlarmStateOutput, error) {
	name := api.Val(in.AlarmName)
	if err := length("alarmName", name, 1, 255); err != nil {
		return nil, err
	}
	if in.StateValue == "" {
		return nil, constraint("stateValue", "", "not be null")
	}
	if err := oneOf("stateValue", in.StateValue, "INSUFFICIENT_DATA", "ALARM", "OK"); err != nil {
		return nil, err
	}
	if err := errors.Join(length("stateReason", api.Val(in.StateReason), 0, 1023), length("stateReasonData", api.Val(in.StateReasonData), 0, 4000)); err != nil {
		return nil, err
	}
	if in.StateReasonData != nil && !json.Valid([]byte(*in.StateReasonData)) {
		return nil, cloudwatchapi.InvalidFormatFault.New("StateReasonData was not syntactically valid JSON")
	}
	e := Evaluation{State: string(in.StateValue), Reason: api.Val(in.StateReason), ReasonData: api.Val(in.StateReasonData)}
	for {
		it, err := s.Alarms.Get(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, cloudwatchapi.ResourceNotFound.New("")
		}
		if err != nil {
			return nil, err
		}
		if a := &it.Value; a.State == e.State { // no transition: nothing is to be done about it
			a.Reason, a.ReasonData, a.Changed = e.Reason, e.ReasonData, s.time()
			_, err = s.Alarms.Update(ctx, it)
		} else {
			_, _, err = s.Decide(ctx, it, e)
		}
		if !errors.Is(err, store.ErrConflict) {
			return &cloudwatchapi.SetAlarmStateOutput{}, err
		}
	}
}
