package autoscaling

import (
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Policy is a scaling policy of a group.
type Policy struct {
	Group string
	Name  string
	ID    string // of its ARN, a UUID
	// Type is SimpleScaling, StepScaling, TargetTrackingScaling or
	// PredictiveScaling.
	Type string

	AdjustmentType string // ChangeInCapacity, ExactCapacity or PercentChangeInCapacity
	Adjustment     int    // of SimpleScaling
	MinMagnitude   int    // MinAdjustmentMagnitude
	Cooldown       *time.Duration
	Aggregation    string // Average, Minimum or Maximum
	Steps          []autoscalingapi.StepAdjustment
	Warmup         *time.Duration // estimated instance warm-up
	Target         *autoscalingapi.TargetTrackingConfiguration
	Predictive     *autoscalingapi.PredictiveScalingConfiguration
	Disabled       bool
	// Alarms are those that target tracking made and owns, by name. Alarms of a
	// person that name the policy are CloudWatch's to know.
	Alarms []string
}

// Key is the policy's key in the store.
func (p Policy) Key() string { return Prefix(p.Group) + p.Name }

// ScheduledAction changes a group's size at times.
type ScheduledAction struct {
	Group      string
	Name       string
	ID         string
	Start, End time.Time // zero: none
	Recurrence string    // five fields of cron
	TimeZone   string
	Min, Max   *int
	Desired    *int
	// Ran is the time of the schedule that was last carried out.
	Ran time.Time
}

// Key is the action's key in the store.
func (a ScheduledAction) Key() string { return Prefix(a.Group) + a.Name }
