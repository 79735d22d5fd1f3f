package cloudwatch

import (
	"time"

	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
)

// Alarm is a metric alarm or, with a Rule, a composite one.
type Alarm struct {
	Name string
	// Owner is the service that made it on its own behalf ("autoscaling"), empty
	// for a caller of the API.
	Owner       string
	Description string
	Updated     time.Time // its configuration

	ActionsOff       bool     // ActionsEnabled is false
	OK, Alarm, Empty []string // actions, ARNs; Empty: insufficient data

	// A metric alarm watches one metric, or the metric of Metrics that returns data.
	Namespace, Metric string
	Dimensions        []cloudwatchapi.Dimension
	Statistic         string // Average …, or
	Extended          string // p99 …
	Unit              string
	Metrics           []cloudwatchapi.MetricDataQuery
	Period            time.Duration
	Periods           int // EvaluationPeriods, N
	Datapoints        int // DatapointsToAlarm, M; 0 is Periods
	Comparison        string
	Threshold         float64
	Missing           string // TreatMissingData: missing (default), ignore, breaching, notBreaching
	LowSamples        string // EvaluateLowSampleCountPercentile
	ThresholdMetric   string

	// A composite alarm.
	Rule                string
	Suppressor          string
	SuppressorWait      time.Duration
	SuppressorExtension time.Duration
	Suppressed          string // by Alarm, WaitPeriod, ExtensionPeriod; "" is not
	SuppressedReason    string
	SuppressedSince     time.Time

	Tags map[string]string

	State      string // OK, ALARM or INSUFFICIENT_DATA
	Reason     string
	ReasonData string    // JSON
	Changed    time.Time // StateUpdatedTimestamp
	Transition time.Time // StateTransitionedTimestamp
	// Due are the actions of the last transition that nobody has carried out yet:
	// loop scaling does, unless they are Suppressed, and says so by Acted.
	Due []string
}

// States of an alarm.
const (
	OK               = "OK"
	InAlarm          = "ALARM"
	InsufficientData = "INSUFFICIENT_DATA"
)

// Actions are those of a state.
func (a Alarm) Actions(state string) []string {
	switch state {
	case OK:
		return a.OK
	case InAlarm:
		return a.Alarm
	default:
		return a.Empty
	}
}

// Composite says whether the alarm follows a rule about others.
func (a Alarm) Composite() bool { return a.Rule != "" }

// kind is the alarm's type in the API.
func (a Alarm) kind() cloudwatchapi.AlarmType {
	if a.Composite() {
		return cloudwatchapi.AlarmTypeCompositeAlarm
	}
	return cloudwatchapi.AlarmTypeMetricAlarm
}

// needed is M of M out of N.
func (a Alarm) needed() int {
	if a.Datapoints > 0 {
		return a.Datapoints
	}
	return a.Periods
}
