package scaling

import (
	"math"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// Outlook is what is expected of a group, for one predictive policy.
type Outlook struct {
	Group, Policy string
	// Of is what the forecast is of; see identity.
	Of   string
	Made time.Time
	// Load and Capacity are by hour, in order. Those that have passed stay for a
	// while.
	Load, Capacity []Hour
	// Done is the last hour that the group was made ready for.
	Done time.Time
}

// Key is the outlook's key in the store.
func (o Outlook) Key() string { return o.Group + "/" + o.Policy }

const (
	// remake is after how long a forecast is made anew.
	remake = 6 * time.Hour
	// retryForecast is the same while there is too little history.
	retryForecast = 10 * time.Minute
	// keepForecast is how long hours that have passed are shown.
	keepForecast = 7 * 24 * time.Hour
	// buffer is how long before its hour capacity is launched if the policy does
	// not say.
	buffer = 5 * time.Minute
)

// Renewed is the outlook with a newer forecast: hours that it does not speak of
// stay.
func (o Outlook) Renewed(made time.Time, load, capacity []Hour) Outlook {
	o.Made = made
	o.Load, o.Capacity = merge(o.Load, load, made), merge(o.Capacity, capacity, made)
	return o
}

func merge(old, newer []Hour, now time.Time) []Hour {
	var all []Hour
	for _, h := range old {
		if !h.At.Before(now.Add(-keepForecast)) && (len(newer) == 0 || h.At.Before(newer[0].At)) {
			all = append(all, h)
		}
	}
	return append(all, newer...)
}

// Ahead is what a forecast asks of a group now.
type Ahead struct {
	Hour     time.Time // the last that is to be ready
	Capacity int       // for it and for the hour that is
	Max      int       // the group's, raised if the policy may
	Next     time.Time // when to ask again
}

// AheadOf decides what the group needs for this hour and, from the policy's buffer
// on before it begins, for the next.
func AheadOf(o Outlook, c autoscalingapi.PredictiveScalingConfiguration, g autoscaling.Group, now time.Time) Ahead {
	hour := now.UTC().Truncate(time.Hour)
	early := buffer
	if c.SchedulingBufferTime != nil {
		early = time.Duration(*c.SchedulingBufferTime) * time.Second
	}
	a := Ahead{Hour: hour, Max: g.Max, Next: hour.Add(time.Hour - early)}
	capacity := byHour(o.Capacity)
	need := capacity[hour.Unix()]
	if !now.Before(a.Next) {
		a.Hour = hour.Add(time.Hour)
		a.Next = a.Hour.Add(time.Hour - early)
		need = max(need, capacity[a.Hour.Unix()])
	}
	need = min(need, math.MaxInt32)
	a.Capacity = int(need)
	if c.MaxCapacityBreachBehavior == autoscalingapi.PredictiveScalingMaxCapacityBreachBehaviorIncreaseMaxCapacity {
		a.Max = max(g.Max, int(math.Ceil(need*(1+float64(api.Val(c.MaxCapacityBuffer))/100)-1e-9)))
	}
	a.Capacity = min(a.Capacity, a.Max)
	return a
}

// Prepare makes a group ready for what is ahead of it, and says whether it was not.
// A forecast never scales in.
func (a Ahead) Prepare(g *autoscaling.Group, policy string, now time.Time) (changed bool) {
	if a.Max > g.Max {
		g.Max, changed = a.Max, true
	}
	if a.Capacity <= g.Desired {
		return changed
	}
	g.Reasons = append(g.Reasons, autoscaling.Sentence(now, "a predictive scaling policy %s with a forecast for %s triggered changing the desired capacity from %d to %d",
		policy, a.Hour.UTC().Format(time.RFC3339), g.Desired, a.Capacity))
	g.Desired = a.Capacity
	return true
}
