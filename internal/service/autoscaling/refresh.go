package autoscaling

import (
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Refresh is an instance refresh.
type Refresh struct {
	Group        string
	ID           string // a UUID, of version 7: later ones sort last
	Status       string // Pending, InProgress, Successful, Failed, Cancelling, Cancelled, RollbackInProgress …
	Reason       string
	Start, End   time.Time
	Total        int // instances that were to be replaced when it began
	ToUpdate     int // those that still are, or that have not come to be in service
	Pool         int // how many of Total were the warm pool's
	PoolToUpdate int // and of ToUpdate
	Preferences  autoscalingapi.RefreshPreferences
	Desired      *autoscalingapi.DesiredConfiguration // nil: the group's own as it is
	Previous     *autoscalingapi.DesiredConfiguration // what a rollback goes back to
	Instances    []string                             // that are still to be replaced; nil: not chosen yet
	CheckpointAt time.Time                            // until when a checkpoint waits

	// Rollback is what is told of a rollback; nil: there was none.
	Rollback *Rollback
}

// Rollback is a refresh that goes back to what was before.
type Rollback struct {
	Reason string
	Start  time.Time
	// Those of the refresh, when the rollback began.
	ToUpdate, PoolToUpdate int
}

// Key is the refresh's key in the store.
func (r Refresh) Key() string { return Prefix(r.Group) + r.ID }

// Statuses of refreshes.
const (
	RefreshPending     = string(autoscalingapi.InstanceRefreshStatusPending)
	RefreshInProgress  = string(autoscalingapi.InstanceRefreshStatusInProgress)
	RefreshSuccessful  = string(autoscalingapi.InstanceRefreshStatusSuccessful)
	RefreshFailed      = string(autoscalingapi.InstanceRefreshStatusFailed)
	RefreshCancelling  = string(autoscalingapi.InstanceRefreshStatusCancelling)
	RefreshCancelled   = string(autoscalingapi.InstanceRefreshStatusCancelled)
	RollbackInProgress = string(autoscalingapi.InstanceRefreshStatusRollbackInProgress)
	RollbackFailed     = string(autoscalingapi.InstanceRefreshStatusRollbackFailed)
	RollbackSuccessful = string(autoscalingapi.InstanceRefreshStatusRollbackSuccessful)
)

// Active says whether the refresh still has something to do.
func (r Refresh) Active() bool {
	switch r.Status {
	case RefreshPending, RefreshInProgress, RefreshCancelling, RollbackInProgress:
		return true
	}
	return false
}

// RollBack turns the refresh around: what was launched before is launched again.
// Loop fleet chooses the instances anew.
func (r *Refresh) RollBack(reason string, now time.Time) {
	r.Rollback = &Rollback{Reason: reason, Start: now, ToUpdate: r.ToUpdate, PoolToUpdate: r.PoolToUpdate}
	r.Status, r.Reason = RollbackInProgress, reason
	r.Instances, r.CheckpointAt = nil, time.Time{}
}
