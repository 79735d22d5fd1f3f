package cloudwatch

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// Entry is one of an alarm's history.
type Entry struct {
	Alarm   string
	Kind    cloudwatchapi.AlarmType
	At      time.Time
	Type    cloudwatchapi.HistoryItemType
	Summary string
	Data    string // JSON
}

// AWS keeps an alarm's history for 30 days. One that changes each second would fill
// the store in that time.
const (
	historyAge   = 30 * 24 * time.Hour
	historySize  = 2000
	historyCheck = 64 // entries of an alarm between two looks at what is too old
)

// historyPrefix is that of an alarm's keys; the names of others may begin with it.
func historyPrefix(alarm string) string { return alarm + "\x00" }

// entry is the write of a new entry.
func (s *Service) entry(a Alarm, kind cloudwatchapi.HistoryItemType, summary string, data any) (store.Op, error) {
	text, err := json.Marshal(data)
	if err != nil {
		return store.Op{}, fmt.Errorf("history of %s: %w", a.Name, err)
	}
	n := s.written.Add(1)
	e := Entry{Alarm: a.Name, Kind: a.kind(), At: s.time(), Type: kind, Summary: summary, Data: string(text)}
	return s.history.CreateOp(fmt.Sprintf("%s%020d-%06d", historyPrefix(a.Name), s.now().UnixNano(), n%1_000_000), e), nil
}

// record adds an entry to an alarm's history.
func (s *Service) record(ctx context.Context, a Alarm, kind cloudwatchapi.HistoryItemType, summary string, data any) error {
	op, err := s.entry(a, kind, summary, data)
	if err != nil {
		return err
	}
	if _, err := store.Commit(ctx, s.client, op); err != nil {
		return err
	}
	return s.prune(ctx, a.Name)
}

// prune removes what is too old or too much of an alarm's history, now and then.
func (s *Service) prune(ctx context.Context, alarm string) error {
	s.mu.Lock()
	s.recent[alarm]++
	due := s.recent[alarm] >= historyCheck
	if due {
		delete(s.recent, alarm)
	}
	s.mu.Unlock()
	if !due {
		return nil
	}
	items, _, err := s.history.List(ctx, historyPrefix(alarm))
	if err != nil {
		return err
	}
	before := s.now().Add(-historyAge)
	for i, it := range items {
		if !it.Value.At.Before(before) && len(items)-i <= historySize {
			break
		}
		if err := s.history.Delete(ctx, it.Key); err != nil {
			return err
		}
	}
	return nil
}

// stateData is a state within an entry's data.
type stateData struct {
	Value      string          `json:"stateValue"`
	Reason     string          `json:"stateReason"`
	ReasonData json.RawMessage `json:"stateReasonData,omitempty"`
	By         string          `json:"actionsSuppressedBy,omitempty"`
	ByReason   string          `json:"actionsSuppressedReason,omitempty"`
}

func stateOf(a Alarm) stateData {
	d := stateData{Value: a.State, Reason: a.Reason, By: a.Suppressed, ByReason: a.SuppressedReason}
	if json.Valid([]byte(a.ReasonData)) {
		d.ReasonData = json.RawMessage(a.ReasonData)
	}
	return d
}

// transition is the entry of a change of state.
func (s *Service) transition(before, after Alarm) (store.Op, error) {
	return s.entry(after, cloudwatchapi.HistoryItemTypeStateUpdate, fmt.Sprintf("Alarm updated from %s to %s", before.State, after.State), struct {
		Version string    `json:"version"`
		Old     stateData `json:"oldState"`
		New     stateData `json:"newState"`
	}{"1.0", stateOf(before), stateOf(after)})
}

// Acted says that an action that was Due was carried out, or why it could not be,
// and takes it off. The history says so.
func (s *Service) Acted(ctx context.Context, alarm, action string, failure error) error {
	it, err := s.Alarms.Modify(ctx, alarm, func(a *Alarm) error {
		a.Due = without(a.Due, action)
		return nil
	})
	if err != nil {
		return err
	}
	return s.acted(ctx, it.Value, action, failure)
}

// Repeated records an action that was carried out again because the alarm stays in
// its state, as scaling policies are.
func (s *Service) Repeated(ctx context.Context, a Alarm, action string, failure error) error {
	return s.acted(ctx, a, action, failure)
}

func (s *Service) acted(ctx context.Context, a Alarm, action string, failure error) error {
	data := struct {
		State    string `json:"actionState"`
		Updated  int64  `json:"stateUpdateTimestamp"`
		Resource string `json:"notificationResource"`
		Error    string `json:"error,omitempty"`
	}{State: "Succeeded", Updated: a.Changed.UnixMilli(), Resource: action}
	summary := "Successfully executed action " + action
	if failure != nil {
		data.State, data.Error = "Failed", failure.Error()
		summary = fmt.Sprintf("Failed to execute action %s. Received error: \"%v\"", action, failure)
	}
	return s.record(ctx, a, cloudwatchapi.HistoryItemTypeAction, summary, data)
}

func without(list []string, item string) []string {
	var out []string
	for _, s := range list {
		if s != item {
			out = append(out, s)
		}
	}
	return out
}

// isSNS says whether an action is a notification, which the region cannot deliver.
func isSNS(action string) bool {
	f := strings.SplitN(action, ":", 4)
	return len(f) == 4 && f[2] == "sns"
}
