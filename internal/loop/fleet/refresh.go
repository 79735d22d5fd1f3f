package fleet

import (
	"fmt"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
)

// stuckAfter is how long a refresh may see nothing move before it has failed.
const stuckAfter = time.Hour

// refreshment is an instance refresh while it is decided on.
type refreshment struct {
	*planner
	it      *autoscaling.Refresh
	left    []*member // to be replaced; those of the warm pool are the planner's stale
	healthy int       // in service and warmed up
	desired int
	missing int  // in the warm pool, or on their way into it
	over    bool // after its last checkpoint
}

// refresh replaces instances by what the group launches now, a part of it at a
// time: first those in service, then those of the warm pool.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
func (p *planner) refresh() {
	if p.State.Refresh == nil || p.suspends(autoscaling.InstanceRefresh) {
		return
	}
	now := *p.State.Refresh
	r := &refreshment{planner: p, it: &now, desired: p.Group.Desired}
	if r.it.Status == autoscaling.RefreshPending {
		r.it.Status = autoscaling.RefreshInProgress
	}
	r.choose()
	r.count()
	switch inFlight := max(0, r.desired-r.healthy); {
	case r.Alarm != "" && r.it.Status == autoscaling.RefreshInProgress:
		r.stale = nil
		r.giveUp(fmt.Sprintf("The CloudWatch alarm %s is in ALARM.", r.Alarm))
	case r.it.Status == autoscaling.RefreshCancelling:
		r.stale = nil // they may go into service again
		if inFlight == 0 {
			r.finish(autoscaling.RefreshCancelled)
		}
	case len(r.left) == 0 && inFlight == 0 && len(r.stale) == 0 && (r.it.Pool == 0 || r.missing == 0):
		r.succeed()
	default:
		if r.replace(inFlight); r.it.Active() {
			r.fail()
		}
	}
	p.Decision.Refresh = r.it
}

// choose finds what is to be replaced. A refresh notes it once; a rollback
// replaces all that is not as before.
func (r *refreshment) choose() {
	rollback := r.it.Status == autoscaling.RollbackInProgress
	if r.it.Instances == nil && !rollback {
		skip := api.Val(r.it.Preferences.SkipMatching)
		r.it.Instances = []string{}
		for _, m := range r.members {
			if !warm(m) && !r.eligible(m) || skip && r.Source.matches(*m.Member) {
				continue
			}
			r.it.Instances = append(r.it.Instances, m.Instance)
			if warm(m) {
				r.it.Pool++
			}
		}
		r.it.Total = len(r.it.Instances)
		r.it.ToUpdate, r.it.PoolToUpdate = r.it.Total, r.it.Pool
	}
	for _, m := range r.members {
		switch old := slices.Contains(r.it.Instances, m.Instance); {
		case rollback && r.Source.matches(*m.Member), !rollback && !old:
		case warm(m):
			r.stale = append(r.stale, m)
		case r.eligible(m):
			r.left = append(r.left, m)
		}
	}
}

// eligible says that the refresh may replace the member, or waits until it may.
func (r *refreshment) eligible(m *member) bool {
	switch {
	case m.Ending:
		return false
	case m.State == autoscaling.Standby:
		return r.it.Preferences.StandbyInstances != autoscalingapi.StandbyInstancesIgnore
	case m.Protected && r.it.Preferences.ScaleInProtectedInstances == autoscalingapi.ScaleInProtectedInstancesIgnore:
		return false
	}
	return m.Counts()
}

// replaceable says that the member, which is eligible, can be replaced now.
func (r *refreshment) replaceable(m *member) bool {
	switch {
	case m.State == autoscaling.Standby:
		return r.it.Preferences.StandbyInstances == autoscalingapi.StandbyInstancesTerminate
	case m.Protected:
		return r.it.Preferences.ScaleInProtectedInstances == autoscalingapi.ScaleInProtectedInstancesRefresh
	}
	return true
}

// count counts what is in service and, if it is new, warmed up, and how much is
// done. A rollback undoes it.
func (r *refreshment) count() {
	for _, m := range r.which(inService) {
		if warmed := m.InService.Add(r.warmup()); !m.InService.Before(r.it.Start) && r.Now.Before(warmed) {
			r.due(warmed)
			continue
		}
		r.healthy += m.weight()
	}
	of := r.which(warm)
	r.missing = max(0, r.prepared()-len(of))
	for _, m := range of {
		if !parked(m) && !slices.Contains(r.stale, m) {
			r.missing++
		}
	}
	pool := len(r.stale)
	if r.it.Pool > 0 {
		pool += r.missing
	}
	all := len(r.left) + max(0, r.desired-r.healthy) + pool
	switch {
	case r.it.Status == autoscaling.RollbackInProgress: // these are still to be undone
		r.it.PoolToUpdate = max(r.it.PoolToUpdate, r.it.Pool-pool)
		r.it.ToUpdate = max(r.it.ToUpdate, r.it.Total-all)
	case r.it.Rollback == nil:
		r.it.PoolToUpdate = min(r.it.PoolToUpdate, pool)
		r.it.ToUpdate = min(r.it.ToUpdate, all)
	}
}

func (r *refreshment) warmup() time.Duration {
	switch {
	case r.it.Preferences.InstanceWarmup != nil:
		return time.Duration(*r.it.Preferences.InstanceWarmup) * time.Second
	case r.Group.Warmup >= 0:
		return r.Group.Warmup
	}
	return r.Group.GracePeriod
}

// bounds are how much of a number is to be healthy at least, and how many there
// may be.
func (r *refreshment) bounds(of int) (least, most int) {
	low, high := r.it.Preferences.MinHealthyPercentage, r.it.Preferences.MaxHealthyPercentage
	if m := r.Group.Maintenance; m != nil && low == nil && high == nil && api.Val(m.MinHealthyPercentage) >= 0 {
		low, high = m.MinHealthyPercentage, m.MaxHealthyPercentage
	}
	lowest, highest := 90, 100
	if low != nil {
		lowest = int(*low)
	}
	if high != nil {
		highest = int(*high)
	}
	return (of*lowest + 99) / 100, max(of, of*highest/100)
}

// replace ends as many as may be missing. One at a time is always replaced,
// however small the group is.
func (r *refreshment) replace(inFlight int) {
	live := len(r.left)
	least, most := r.bounds(r.desired)
	if most > r.desired || least >= r.desired && r.above100() {
		r.surge = min(max(1, most-r.desired), len(r.left))
		r.because = autoscaling.Sentence(r.Now, "an instance was launched in response to an instance refresh")
	}
	n := r.healthy - least
	if n < 1 && r.surge == 0 && inFlight == 0 {
		n = 1
	}
	if n = min(n, r.untilCheckpoint(inFlight)); n > 0 && r.suspends(autoscaling.Terminate) {
		n = 0
	}
	if r.over { // and the rest stays as it is
		r.finish(autoscaling.RefreshSuccessful)
		r.Configure = r.it.Desired
		return
	}
	can := slices.DeleteFunc(slices.Clone(r.left), func(m *member) bool { return !r.replaceable(m) })
	for ; n > 0 && len(can) > 0; n-- {
		m := r.planner.choose(can)
		can = slices.DeleteFunc(can, func(o *member) bool { return o == m })
		r.left = slices.DeleteFunc(r.left, func(o *member) bool { return o == m })
		r.end(m, sentence(r.Now, refreshing))
		r.it.CheckpointAt = time.Time{}
	}
	r.surge = min(r.surge, len(r.left))
	if live == 0 && inFlight == 0 {
		r.replaceWarm()
	}
	r.it.Instances = []string{}
	for _, m := range slices.Concat(r.left, r.stale) {
		if !m.Ending {
			r.it.Instances = append(r.it.Instances, m.Instance)
		}
	}
}

// replaceWarm ends as many of the warm pool as may be missing, one at least.
func (r *refreshment) replaceWarm() {
	if r.suspends(autoscaling.Terminate) {
		return
	}
	least, _ := r.bounds(r.prepared())
	n := len(r.which(warm, parked)) - least
	if n < 1 && r.missing == 0 {
		n = 1
	}
	for _, m := range r.stale[:max(0, min(n, len(r.stale)))] {
		r.end(m, sentence(r.Now, refreshing))
	}
}

// above100 says that new instances are to run before old ones end.
func (r *refreshment) above100() bool { return api.Val(r.it.Preferences.MaxHealthyPercentage) > 100 }

// untilCheckpoint is how many more may be replaced before the next checkpoint, of
// which the time begins when all so far are.
func (r *refreshment) untilCheckpoint(inFlight int) int {
	if r.it.Status == autoscaling.RollbackInProgress {
		return len(r.left)
	}
	total := r.it.Total - r.it.Pool
	begun := total - len(r.left)
	for i, percent := range r.it.Preferences.CheckpointPercentages {
		at := (total*int(percent) + 99) / 100
		if begun < at {
			return at - begun
		}
		if begun > at {
			continue
		}
		if inFlight > 0 { // its time has not begun
			return 0
		}
		if r.it.CheckpointAt.IsZero() {
			r.it.CheckpointAt = r.Now.Add(r.checkpointDelay())
		}
		if r.Now.Before(r.it.CheckpointAt) {
			r.due(r.it.CheckpointAt)
			return 0
		}
		r.over = i == len(r.it.Preferences.CheckpointPercentages)-1 && percent < 100
	}
	return len(r.left)
}

func (r *refreshment) checkpointDelay() time.Duration {
	if d := r.it.Preferences.CheckpointDelay; d != nil {
		return time.Duration(*d) * time.Second
	}
	return time.Hour
}

func (r *refreshment) succeed() {
	if r.it.Status == autoscaling.RollbackInProgress {
		r.finish(autoscaling.RollbackSuccessful)
		return
	}
	r.finish(autoscaling.RefreshSuccessful)
	r.Configure = r.it.Desired
}

func (r *refreshment) finish(status string) {
	r.it.Status, r.it.End, r.it.Instances = status, r.Now, []string{}
}

// fail gives a refresh up in which nothing has moved for an hour.
func (r *refreshment) fail() {
	moved := later(r.it.Start, r.it.CheckpointAt)
	for _, m := range r.members {
		if moved = later(moved, m.Since); m.Ending && !m.was.Ending {
			moved = r.Now
		}
	}
	if r.it.Rollback != nil {
		moved = later(moved, r.it.Rollback.Start)
	}
	for _, m := range r.which(inService) {
		if warmed := m.InService.Add(r.warmup()); !m.InService.Before(r.it.Start) {
			moved = later(moved, warmed)
		}
	}
	if end := moved.Add(stuckAfter); r.Now.Before(end) {
		r.due(end)
		return
	}
	r.giveUp("No instance could be replaced for an hour.")
}

// giveUp ends a refresh that has failed. With auto rollback it goes back instead.
func (r *refreshment) giveUp(why string) {
	switch {
	case r.it.Status == autoscaling.RollbackInProgress:
		r.it.Reason = why
		r.finish(autoscaling.RollbackFailed)
	case api.Val(r.it.Preferences.AutoRollback) && r.it.Previous != nil:
		r.it.RollBack(why, r.Now)
	default:
		r.it.Reason = why
		r.finish(autoscaling.RefreshFailed)
	}
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
