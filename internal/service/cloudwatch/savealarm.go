package cloudwatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// put makes an alarm, or gives one that is there another configuration; its state
// and its tags stay.
func (s *Service) put(ctx context.Context, a Alarm) error {
	for {
		err := s.putOnce(ctx, a)
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return err
		}
	}
}

func (s *Service) putOnce(ctx context.Context, a Alarm) error {
	now := s.time()
	a.Updated = now
	it, err := s.Alarms.Get(ctx, a.Name)
	created := errors.Is(err, store.ErrNotFound)
	if err != nil && !created {
		return err
	}
	var write store.Op
	if created {
		all, _, err := s.all.List(ctx)
		if err != nil {
			return err
		}
		if len(all) >= maxAlarms {
			return cloudwatchapi.LimitExceededFault.New("The maximum limit of %d alarms has been exceeded.", maxAlarms)
		}
		a.State, a.Reason, a.Changed, a.Transition = InsufficientData, unchecked, now, now
		write = s.Alarms.CreateOp(a.Name, a)
	} else {
		before := it.Value
		if before.Composite() != a.Composite() {
			return invalid("An alarm of another type with the name %s exists already", a.Name)
		}
		a.State, a.Reason, a.ReasonData, a.Changed, a.Transition = before.State, before.Reason, before.ReasonData, before.Changed, before.Transition
		a.Suppressed, a.SuppressedReason, a.SuppressedSince = before.Suppressed, before.SuppressedReason, before.SuppressedSince
		a.Tags, a.Owner = before.Tags, cmp.Or(a.Owner, before.Owner) // who edits another's alarm does not take it over
		for _, action := range before.Due {                          // that is still to be carried out
			if slices.Contains(a.Actions(a.State), action) {
				a.Due = append(a.Due, action)
			}
		}
		it.Value = a
		write = s.Alarms.UpdateOp(it)
	}
	verb, kind, member := changeOf(created)
	entry, err := s.configured(a, verb, kind, member)
	if err != nil {
		return err
	}
	if _, err := store.Commit(ctx, s.client, write, entry); err != nil {
		return err
	}
	return s.prune(ctx, a.Name)
}

// remove deletes an alarm that is as it was read, and says so in its history, which
// stays.
func (s *Service) remove(ctx context.Context, it store.Item[Alarm]) error {
	entry, err := s.configured(it.Value, "deleted", "Delete", "deletedAlarm")
	if err != nil {
		return err
	}
	_, err = store.Commit(ctx, s.client, s.Alarms.DeleteOp(it), entry)
	return err
}

// configured is the history's entry of a change of the configuration.
func (s *Service) configured(a Alarm, verb, kind, member string) (store.Op, error) {
	alarm, err := json.Marshal(s.asData(a))
	if err != nil {
		return store.Op{}, fmt.Errorf("history of %s: %w", a.Name, err)
	}
	data := json.RawMessage(fmt.Sprintf(`{"version":"1.0","type":%q,%q:%s}`, kind, member, alarm))
	return s.entry(a, cloudwatchapi.HistoryItemTypeConfigurationUpdate, summaryOf(a.Name, verb), data)
}

// alarmData is an alarm as the history has it.
type alarmData struct {
	Threshold   *json.Number                    `json:"threshold,omitempty"`
	Namespace   string                          `json:"namespace,omitempty"`
	State       string                          `json:"stateValue"`
	Dimensions  []dimensionData                 `json:"dimensions"`
	OK          []string                        `json:"okactions"`
	Alarm       []string                        `json:"alarmActions"`
	Periods     int                             `json:"evaluationPeriods,omitempty"`
	Datapoints  int                             `json:"datapointsToAlarm,omitempty"`
	Comparison  string                          `json:"comparisonOperator,omitempty"`
	Metric      string                          `json:"metricName,omitempty"`
	Period      int                             `json:"period,omitempty"`
	Name        string                          `json:"alarmName"`
	Empty       []string                        `json:"insufficientDataActions"`
	Enabled     bool                            `json:"actionsEnabled"`
	Description string                          `json:"alarmDescription,omitempty"`
	Statistic   string                          `json:"statistic,omitempty"`
	Extended    string                          `json:"extendedStatistic,omitempty"`
	Unit        string                          `json:"unit,omitempty"`
	Missing     string                          `json:"treatMissingData,omitempty"`
	LowSamples  string                          `json:"evaluateLowSampleCountPercentile"`
	Rule        string                          `json:"alarmRule,omitempty"`
	Suppressor  string                          `json:"actionsSuppressor,omitempty"`
	Metrics     []cloudwatchapi.MetricDataQuery `json:"metrics,omitempty"`
	ARN         string                          `json:"alarmArn"`
	Updated     string                          `json:"alarmConfigurationUpdatedTimestamp"`
	Changed     string                          `json:"stateUpdatedTimestamp"`
}

type dimensionData struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (s *Service) asData(a Alarm) alarmData {
	d := alarmData{
		Namespace: a.Namespace, State: a.State, Dimensions: []dimensionData{}, OK: list(a.OK), Alarm: list(a.Alarm), Empty: list(a.Empty),
		Periods: a.Periods, Datapoints: a.Datapoints, Comparison: a.Comparison, Metric: a.Metric, Period: int(a.Period / time.Second), Name: a.Name,
		Enabled: !a.ActionsOff, Description: a.Description, Statistic: a.Statistic, Extended: a.Extended, Unit: a.Unit, Missing: a.Missing,
		LowSamples: a.LowSamples, Rule: a.Rule, Suppressor: a.Suppressor, Metrics: a.Metrics, ARN: s.ARN(a.Name),
		Updated: a.Updated.UTC().Format(dataTime), Changed: a.Changed.UTC().Format(dataTime),
	}
	if !a.Composite() {
		d.Threshold = new(json.Number(number(a.Threshold)))
	}
	for _, x := range a.Dimensions {
		d.Dimensions = append(d.Dimensions, dimensionData{api.Val(x.Name), api.Val(x.Value)})
	}
	return d
}
