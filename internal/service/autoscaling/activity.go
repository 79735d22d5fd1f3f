package autoscaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// kept is how long activities and refreshes that have ended are kept.
const kept = 6 * 7 * 24 * time.Hour

// Activity is something that was done to a group, kept for six weeks.
type Activity struct {
	Group       string
	GroupARN    string // which of the groups that had the name
	ID          string // a UUID, of version 7: later ones sort last
	Description string // "Launching a new EC2 instance: i-…"
	Cause       string // sentences, as Cause joins them
	Status      string // PreInService, Successful, Failed, Cancelled, InProgress, MidLifecycleAction …
	Message     string // of a failure
	Progress    int    // percent
	Details     string // JSON: {"Subnet ID":"…","Availability Zone":"…"}
	Start, End  time.Time
}

// Key is the activity's key in the store: the newest sorts last.
func (a Activity) Key() string { return Prefix(a.Group) + a.ID }

// Statuses of activities that are set here and by loop fleet.
const (
	PreInService       = string(autoscalingapi.ScalingActivityStatusCodePreInService)
	InProgress         = string(autoscalingapi.ScalingActivityStatusCodeInProgress)
	MidLifecycleAction = string(autoscalingapi.ScalingActivityStatusCodeMidLifecycleAction)
	Draining           = string(autoscalingapi.ScalingActivityStatusCodeWaitingForELBConnectionDraining)
	Successful         = string(autoscalingapi.ScalingActivityStatusCodeSuccessful)
	Failed             = string(autoscalingapi.ScalingActivityStatusCodeFailed)
	Cancelled          = string(autoscalingapi.ScalingActivityStatusCodeCancelled)
)

// What activities are called; %s is an instance.
const (
	LaunchingInstance    = "Launching a new EC2 instance: %s"
	TerminatingInstance  = "Terminating EC2 instance: %s"
	AttachingInstance    = "Attaching an existing EC2 instance: %s"
	DetachingInstance    = "Detaching EC2 instance: %s"
	EnteringStandbyOf    = "Moving EC2 instance to Standby: %s"
	ExitingStandbyOf     = "Moving EC2 instance out of Standby: %s"
	launchFailureSummary = "%s.  Status Reason: %s"
)

// Sentence is one sentence of a cause: "At 2026-11-29T01:02:03Z an instance
// was …." The format has no full stop.
func Sentence(now time.Time, format string, args ...any) string {
	return "At " + now.UTC().Format(time.RFC3339) + " " + fmt.Sprintf(format, args...) + "."
}

// Cause joins the sentences of a cause as AWS does.
func Cause(sentences ...string) string { return strings.Join(sentences, "  ") }

// Started says that an instance was launched because the group has fewer than it
// wants: before and after are the group's capacity.
func Started(now time.Time, before, after int) string {
	return Sentence(now, "an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d", before, after)
}

// TakenOut says that an instance is ended because the group has more than it
// wants. Selected follows it.
func TakenOut(now time.Time, before, after int) string {
	return Sentence(now, "an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d", before, after)
}

// Selected says which instance it is that TakenOut is about.
func Selected(now time.Time, instance string) string {
	return Sentence(now, "instance %s was selected for termination", instance)
}

// Replaced says that an instance is launched in the place of one that is not
// healthy.
func Replaced(now time.Time) string {
	return Sentence(now, "an instance was launched in response to an unhealthy instance needing to be replaced")
}

// Details are an activity's, as AWS has them.
func Details(subnet, zone string) string {
	out, _ := json.Marshal(struct { // of strings: it cannot fail
		Subnet string `json:"Subnet ID,omitempty"`
		Zone   string `json:"Availability Zone"`
	}{subnet, zone})
	return string(out)
}

// NewActivity is an activity of the group that begins now, to be stored under its
// Key: by BeginActivity, or with what it is about in one commit.
func (s *Service) NewActivity(g Group, description, cause, details string) Activity {
	return Activity{
		Group: g.Name, GroupARN: s.ARN(g), ID: uuid.Must(uuid.NewV7()).String(), Description: description,
		Cause: cause, Details: details, Status: InProgress, Start: s.now().UTC().Truncate(time.Millisecond),
	}
}

// BeginActivity stores a new activity.
func (s *Service) BeginActivity(ctx context.Context, g Group, description, cause, details string) (Activity, error) {
	a := s.NewActivity(g, description, cause, details)
	_, err := s.Activities.Create(ctx, a.Key(), a)
	return a, err
}

// SetActivity changes an activity that is in progress; nothing happens if it has
// ended or is not there.
func (s *Service) SetActivity(ctx context.Context, group, id, status string, progress int) error {
	return s.changeActivity(ctx, group, id, func(a *Activity) { a.Status, a.Progress = status, progress })
}

// FinishActivity ends an activity: Successful, Failed or Cancelled; message says
// why it failed. Nothing happens if it has ended or is not there.
func (s *Service) FinishActivity(ctx context.Context, group, id, status, message string) error {
	return s.changeActivity(ctx, group, id, func(a *Activity) { a.Finish(s.now(), status, message) })
}

// Finish is FinishActivity of the record.
func (a *Activity) Finish(now time.Time, status, message string) {
	if status == Failed && message != "" {
		a.Description = fmt.Sprintf(launchFailureSummary, strings.TrimSuffix(a.Description, ": "), message)
	}
	a.Status, a.Message, a.Progress, a.End = status, message, 100, now.UTC().Truncate(time.Second)
}

func (s *Service) changeActivity(ctx context.Context, group, id string, change func(*Activity)) error {
	if id == "" {
		return nil
	}
	_, err := s.Activities.Modify(ctx, Activity{Group: group, ID: id}.Key(), func(a *Activity) error {
		if a.End.IsZero() {
			change(a)
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// Forget takes away the activities and instance refreshes that ended longer ago
// than they are kept. A loop calls it now and then.
func (s *Service) Forget(ctx context.Context) error {
	before := s.now().Add(-kept)
	activities, _, err := s.Activities.List(ctx, "")
	if err != nil {
		return err
	}
	for _, it := range activities {
		if end := it.Value.End; !end.IsZero() && end.Before(before) {
			if err := s.Activities.Delete(ctx, it.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	refreshes, _, err := s.Refreshes.List(ctx, "")
	if err != nil {
		return err
	}
	for _, it := range refreshes {
		if end := it.Value.End; !end.IsZero() && end.Before(before) {
			if err := s.Refreshes.Delete(ctx, it.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}
