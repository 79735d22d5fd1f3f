package scaling

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// failure is why an action failed, as an alarm's history shows it: a sentence.
type failure string

func (f failure) Error() string { return string(f) }

// errNoData is a policy's that must know the metric.
const errNoData = failure("Metric data points must be provided")

// Call is an alarm's call of a policy.
type Call struct {
	Policy    string // name
	Alarm     string // name
	State     string // of the alarm
	Threshold float64
	// Values are the metric's in the periods that the alarm looked at, the newest
	// last; none: it had no data.
	Values []float64
	// Standing is the call of an alarm that is not due now, but in the state in
	// which it calls. It changes nothing, and keeps others from scaling in.
	Standing bool
}

// Situation is what a group's size is decided by.
type Situation struct {
	Group    autoscaling.Group
	Members  []autoscaling.Member
	Policies []autoscaling.Policy
	Calls    []Call
	// Cooldown is that of the simple policy that changed the size last; nil: the
	// group's own.
	Cooldown *time.Duration
	// Floor is the capacity that is forecast for this hour; policies do not scale
	// in below it.
	Floor int
	Now   time.Time
}

// Decision is what becomes of a group's size.
type Decision struct {
	Desired int
	Reason  string // why it is another than before; "": it stays
	Policy  string // that has decided
	// Failed are policies (by name) that could not be carried out, and why.
	Failed map[string]error
}

// wish is the capacity that a policy asks for.
type wish struct {
	call   Call
	policy autoscaling.Policy
	want   int
	out    bool // it is for more, or at least for what there is
}

// Plan decides on a group's size. Of several policies the one with the largest
// capacity wins; none scales in while another wants more, or while instances are
// on their way into service.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scale-based-on-demand.html#multiple-scaling-policy-resolution
func Plan(s Situation) Decision {
	d := Decision{Desired: s.Group.Desired, Failed: map[string]error{}}
	if s.Group.Deleting || s.Group.Suspends(autoscaling.AlarmNotification) {
		return d
	}
	var wishes []wish
	for _, c := range s.Calls {
		i := slices.IndexFunc(s.Policies, func(p autoscaling.Policy) bool { return p.Name == c.Policy })
		if i < 0 || s.Policies[i].Disabled {
			continue
		}
		w, err := s.wishOf(s.Policies[i], c)
		if err != nil {
			if !c.Standing {
				d.Failed[c.Policy] = err
			}
			continue
		}
		wishes = append(wishes, w)
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return strings.Compare(a.policy.Name, b.policy.Name) })
	best, ok := s.choose(wishes)
	if !ok {
		return d
	}
	d.Desired, d.Policy = best.want, best.policy.Name
	d.Reason = autoscaling.Sentence(s.Now, "a monitor alarm %s in state %s triggered policy %s changing the desired capacity from %d to %d",
		best.call.Alarm, best.call.State, best.policy.Name, s.Group.Desired, best.want)
	return d
}

// choose returns the wish that comes true, false for none.
func (s Situation) choose(wishes []wish) (best wish, ok bool) {
	more := slices.ContainsFunc(wishes, func(w wish) bool { return w.out })
	for _, w := range wishes {
		w.want = min(max(w.want, s.Group.Min), s.Group.Max)
		switch {
		case w.call.Standing:
			continue
		case w.out && w.want <= s.Group.Desired:
			continue
		case !w.out:
			// Others may stand at the forecast; they do not go below it.
			w.want = max(w.want, min(s.Floor, s.Group.Desired))
			if more || w.want >= s.Group.Desired || w.policy.Type == autoscaling.TargetTrackingScaling && !s.agreed(wishes) {
				continue
			}
		}
		if !ok || w.want > best.want {
			best, ok = w, true
		}
	}
	return best, ok
}

// agreed says whether all policies that track a target, and may scale in, want to.
func (s Situation) agreed(wishes []wish) bool {
	for _, p := range s.Policies {
		if p.Type != autoscaling.TargetTrackingScaling || p.Disabled || scaleInDisabled(p) {
			continue
		}
		if !slices.ContainsFunc(wishes, func(w wish) bool { return w.policy.Name == p.Name && !w.out }) {
			return false
		}
	}
	return true
}

func scaleInDisabled(p autoscaling.Policy) bool {
	return p.Target != nil && p.Target.DisableScaleIn != nil && *p.Target.DisableScaleIn
}

// wishOf is what a policy asks for when it is called.
func (s Situation) wishOf(p autoscaling.Policy, c Call) (wish, error) {
	w := wish{call: c, policy: p, want: s.Group.Desired}
	has := CapacityOf(s.Members, WarmupOf(s.Group, p), s.Now)
	switch p.Type {
	case autoscaling.SimpleScaling:
		// It waits for what is under way, and for the cooldown after that; a call
		// before is ignored.
		want, err := adjust(p, s.Group.Desired, 0)
		if err != nil {
			return w, err
		}
		w.out = want > s.Group.Desired
		if !s.resting() {
			w.want = want
		}
	case autoscaling.StepScaling:
		if len(c.Values) == 0 {
			return w, errNoData
		}
		breach := aggregate(p.Aggregation, c.Values) - c.Threshold
		// Instances that warm up are no capacity yet: breaches within one step add
		// up to nothing more than that step. Those that leave still are, so that no
		// more go than the step says.
		more, err := adjust(p, has.Ready, breach)
		if err != nil {
			return w, err
		}
		less, err := adjust(p, has.Ready+has.Leaving, breach)
		if err != nil {
			return w, err
		}
		switch {
		case more > has.Ready:
			w.out, w.want = true, max(more, s.Group.Desired)
		case less < has.Ready+has.Leaving && !s.growing(has):
			w.want = min(less, s.Group.Desired)
		}
	case autoscaling.TargetTrackingScaling:
		if len(c.Values) == 0 {
			return w, errNoData
		}
		if p.Target == nil || p.Target.TargetValue == nil {
			return w, fmt.Errorf("the policy %s has no target", p.Name)
		}
		value, target := c.Values[len(c.Values)-1], *p.Target.TargetValue
		switch {
		case c.Threshold >= target: // of the alarm for more; the one for less has it lower
			w.out = true
			if value > target {
				w.want = max(s.Group.Desired, s.track(max(has.Ready, 1), value/target, has.Ready+1))
			}
		case !scaleInDisabled(p) && !s.growing(has):
			from := has.Ready + has.Leaving
			w.want = min(s.Group.Desired, max(s.track(from, value/target, 0), from-gently(from)))
		}
	}
	return w, nil
}

// adjust is autoscaling.Adjust without the group's bounds, which would turn a wish
// for less into one for more where there is less than the least. A metric that is
// in no step leaves the capacity as it is.
func adjust(p autoscaling.Policy, current int, breach float64) (int, error) {
	want, err := autoscaling.Adjust(p, current, math.MinInt32, math.MaxInt32, breach)
	if errors.Is(err, autoscaling.ErrNoStep) {
		return current, nil
	}
	return want, err
}

// gently is how many of a group's units a tracked target may cost at once: out is
// fast, in is slow.
func gently(capacity int) int { return max(1, capacity/10) }

// track is the capacity with which a metric that was ratio times its target with
// the capacity given would be at it; at least what is said, at most the group's.
func (s Situation) track(capacity int, ratio float64, least int) int {
	want := math.Ceil(float64(capacity)*ratio - 1e-9) // what floats add is no instance
	if math.IsNaN(want) || want > float64(s.Group.Max) {
		return max(s.Group.Max, least)
	}
	return max(int(max(want, 0)), least)
}

// growing says that the group is about to get more: policies scale in only after
// that. One whose launches fail does not.
func (s Situation) growing(has Capacity) bool {
	return has.Warming > 0 || s.Group.Desired > has.Ready && s.Group.Failures == 0
}

// resting says that simple policies have to wait: something is under way, or was
// lately.
func (s Situation) resting() bool {
	has := CapacityOf(s.Members, 0, s.Now)
	launches := has.Ready < s.Group.Desired && s.Group.Failures == 0
	if has.Warming > 0 || has.Leaving > 0 || launches || s.shrinking(has) {
		return true
	}
	cooldown := s.Group.Cooldown
	if s.Cooldown != nil {
		cooldown = *s.Cooldown
	}
	return !s.Group.Cooling(s.Now, cooldown).IsZero()
}

// shrinking says that instances are about to be chosen for their end. Weights do
// not add up to just any size, and those that are protected stay.
func (s Situation) shrinking(has Capacity) bool {
	return has.Ready > s.Group.Desired && slices.ContainsFunc(s.Members, func(m autoscaling.Member) bool {
		return m.Counts() && m.Weight == 0 && !m.Protected
	})
}

// aggregate makes one value of several as a step policy says.
func aggregate(how string, values []float64) float64 {
	switch how {
	case "Minimum":
		return slices.Min(values)
	case "Maximum":
		return slices.Max(values)
	}
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
