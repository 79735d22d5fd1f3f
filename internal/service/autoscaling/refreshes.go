package autoscaling

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// activeRefresh is the refresh of a group that still has something to do.
func (s *Service) activeRefresh(ctx context.Context, group string) (it store.Item[Refresh], ok bool, err error) {
	all, _, err := s.Refreshes.List(ctx, Prefix(group))
	for _, it := range slices.Backward(all) {
		if it.Value.Active() {
			return it, true, err
		}
	}
	return store.Item[Refresh]{}, false, err
}

// refreshAllows refuses to change what a group launches as long as a refresh does.
func (s *Service) refreshAllows(ctx context.Context, group string) error {
	it, ok, err := s.activeRefresh(ctx, group)
	if err == nil && ok && it.Value.Desired != nil {
		err = invalid("An active instance refresh with a desired configuration exists. All configuration options derived from the desired configuration are not available for update while the instance refresh is active.")
	}
	return err
}

// launches is what the group launches, as a desired configuration; nil for a launch
// configuration.
func (g Group) launches() *autoscalingapi.DesiredConfiguration {
	if g.LaunchConfiguration != "" {
		return nil
	}
	return &autoscalingapi.DesiredConfiguration{LaunchTemplate: g.LaunchTemplate, MixedInstancesPolicy: g.Mixed}
}

// StartInstanceRefresh implements autoscalingapi.Handler. Loop fleet carries it out.
func (s *Service) StartInstanceRefresh(ctx context.Context, in *autoscalingapi.StartInstanceRefreshInput) (*autoscalingapi.StartInstanceRefreshOutput, error) {
	if st := in.Strategy; st != "" && st != autoscalingapi.RefreshStrategyRolling {
		return nil, constraint("strategy", st, "satisfy enum value set: [Rolling]")
	}
	r := Refresh{ID: uuid.Must(uuid.NewV7()).String(), Status: RefreshPending, Start: s.time()}
	_, err := s.commit(ctx, in.AutoScalingGroupName, func(g *Group) ([]store.Op, error) {
		if _, ok, err := s.activeRefresh(ctx, g.Name); err != nil {
			return nil, err
		} else if ok {
			return nil, autoscalingapi.InstanceRefreshInProgressFault.New("An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
		}
		r.Group, r.Previous = g.Name, g.launches()
		if d := in.DesiredConfiguration; d != nil {
			would := *g
			if err := s.setSource(ctx, &would, source{nil, d.LaunchTemplate, d.MixedInstancesPolicy}); err != nil {
				return nil, err
			}
			r.Desired = would.launches()
		}
		var err error
		if r.Preferences, err = preferences(*g, in.Preferences); err != nil {
			return nil, err
		}
		if api.Val(r.Preferences.AutoRollback) {
			if r.Desired == nil {
				return nil, invalid("The request isn’t valid. The AutoRollback parameter cannot be set to true when the DesiredConfiguration parameter is empty. Set AutoRollback to false or specify a desired configuration and try again.")
			}
			if why := r.irreversible(); why != "" {
				return nil, invalid("The AutoRollback parameter cannot be set to true: %s", why)
			}
		}
		return []store.Op{s.Refreshes.CreateOp(r.Key(), r)}, nil
	})
	return &autoscalingapi.StartInstanceRefreshOutput{InstanceRefreshId: &r.ID}, err
}

// preferences checks the preferences and fills in those that are left out.
func preferences(g Group, in *autoscalingapi.RefreshPreferences) (autoscalingapi.RefreshPreferences, error) {
	p := autoscalingapi.RefreshPreferences{}
	if in != nil {
		p = *in
	}
	least, most := int32(90), int32(100)
	if m := g.Maintenance; m != nil {
		least, most = *m.MinHealthyPercentage, *m.MaxHealthyPercentage
	}
	fillIn(&p.MinHealthyPercentage, least)
	fillIn(&p.MaxHealthyPercentage, max(most, 100))
	fillIn(&p.InstanceWarmup, *inSeconds(max(0, g.Warmup)))
	if g.Warmup < 0 && (in == nil || in.InstanceWarmup == nil) {
		p.InstanceWarmup = inSeconds(g.GracePeriod)
	}
	fillIn(&p.SkipMatching, false)
	fillIn(&p.AutoRollback, false)
	if p.ScaleInProtectedInstances == "" {
		p.ScaleInProtectedInstances = autoscalingapi.ScaleInProtectedInstancesWait
	}
	if p.StandbyInstances == "" {
		p.StandbyInstances = autoscalingapi.StandbyInstancesWait
	}
	last := int32(0)
	for _, n := range p.CheckpointPercentages {
		if n <= last || n > 100 {
			return p, invalid("CheckpointPercentages must be in ascending order, without duplicates, and between 1 and 100.")
		}
		last = n
	}
	if len(p.CheckpointPercentages) > 0 {
		fillIn(&p.CheckpointDelay, 3600)
	} else if p.CheckpointDelay != nil {
		return p, invalid("CheckpointPercentages must be specified when CheckpointDelay is specified.")
	}
	if a := p.AlarmSpecification; a != nil && len(a.Alarms) > maxRefreshAlarms {
		return p, constraint("preferences.alarmSpecification.alarms", "["+strings.Join(a.Alarms, ", ")+"]", "have length less than or equal to %d", maxRefreshAlarms)
	}
	for _, check := range []error{
		checkHealthy(*p.MinHealthyPercentage, *p.MaxHealthyPercentage),
		between("preferences.instanceWarmup", int(*p.InstanceWarmup), 0, 1<<31-1),
		between("preferences.checkpointDelay", int(api.Val(p.CheckpointDelay)), 0, 172800),
		oneOf("preferences.scaleInProtectedInstances", string(p.ScaleInProtectedInstances), "Refresh", "Ignore", "Wait"),
		oneOf("preferences.standbyInstances", string(p.StandbyInstances), "Terminate", "Ignore", "Wait"),
	} {
		if check != nil {
			return p, check
		}
	}
	return p, nil
}

func fillIn[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

// irreversible says why a refresh cannot be rolled back, "" if it can: what was
// launched before must be a certain version of a launch template.
func (r Refresh) irreversible() string {
	switch {
	case r.Desired == nil:
		return "The instance refresh has no desired configuration."
	case r.Previous == nil:
		return "The Auto Scaling group had a launch configuration before the instance refresh."
	}
	spec := r.Previous.LaunchTemplate
	if m := r.Previous.MixedInstancesPolicy; m != nil {
		spec = api.Val(m.LaunchTemplate).LaunchTemplateSpecification
	}
	if _, err := strconv.ParseUint(api.Val(api.Val(spec).Version), 10, 64); err != nil {
		return "The Auto Scaling group uses the $Latest or $Default version of its launch template."
	}
	return ""
}

// CancelInstanceRefresh implements autoscalingapi.Handler.
func (s *Service) CancelInstanceRefresh(ctx context.Context, in *autoscalingapi.CancelInstanceRefreshInput) (*autoscalingapi.CancelInstanceRefreshOutput, error) {
	id, err := s.turnRefresh(ctx, in.AutoScalingGroupName, func(r *Refresh) error {
		if r.Status != RefreshPending && r.Status != RefreshInProgress && r.Status != RollbackInProgress {
			return nil // it is being cancelled
		}
		r.Status, r.Reason = RefreshCancelling, "Cancelled due to user request."
		return nil
	})
	return &autoscalingapi.CancelInstanceRefreshOutput{InstanceRefreshId: &id}, err
}

// RollbackInstanceRefresh implements autoscalingapi.Handler.
func (s *Service) RollbackInstanceRefresh(ctx context.Context, in *autoscalingapi.RollbackInstanceRefreshInput) (*autoscalingapi.RollbackInstanceRefreshOutput, error) {
	id, err := s.turnRefresh(ctx, in.AutoScalingGroupName, func(r *Refresh) error {
		if r.Status != RefreshPending && r.Status != RefreshInProgress {
			return noRefresh(r.Group)
		}
		if why := r.irreversible(); why != "" {
			return autoscalingapi.IrreversibleInstanceRefreshFault.New("The instance refresh can't be rolled back. %s", why)
		}
		r.RollBack("Rollback triggered due to user request.", s.time())
		return nil
	})
	return &autoscalingapi.RollbackInstanceRefreshOutput{InstanceRefreshId: &id}, err
}

func noRefresh(group string) error {
	return autoscalingapi.ActiveInstanceRefreshNotFoundFault.New("No in progress or pending Instance Refresh found for Auto Scaling group %s", group)
}

// turnRefresh changes the refresh that is active, and returns its id.
func (s *Service) turnRefresh(ctx context.Context, group *string, change func(*Refresh) error) (string, error) {
	g, err := s.get(ctx, group)
	if err != nil {
		return "", err
	}
	var id string
	err = retry(func() error {
		it, ok, err := s.activeRefresh(ctx, g.Key)
		if err != nil {
			return err
		}
		if !ok {
			return noRefresh(g.Key)
		}
		id = it.Value.ID
		if err := change(&it.Value); err != nil {
			return err
		}
		_, err = s.Refreshes.Update(ctx, it)
		return err
	})
	return id, err
}

// DescribeInstanceRefreshes implements autoscalingapi.Handler, the newest first.
func (s *Service) DescribeInstanceRefreshes(ctx context.Context, in *autoscalingapi.DescribeInstanceRefreshesInput) (*autoscalingapi.DescribeInstanceRefreshesOutput, error) {
	g, err := s.get(ctx, in.AutoScalingGroupName)
	if err != nil {
		return nil, err
	}
	all, _, err := s.Refreshes.List(ctx, Prefix(g.Key))
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(it store.Item[Refresh]) bool {
		return len(in.InstanceRefreshIds) > 0 && !slices.Contains(in.InstanceRefreshIds, it.Value.ID)
	})
	slices.Reverse(all)
	items, next, err := page(all, func(it store.Item[Refresh]) string { return descending(it.Value.ID) }, in.MaxRecords, in.NextToken, 50, 100)
	out := &autoscalingapi.DescribeInstanceRefreshesOutput{InstanceRefreshes: []autoscalingapi.InstanceRefresh{}, NextToken: next}
	for _, it := range items {
		out.InstanceRefreshes = append(out.InstanceRefreshes, it.Value.out())
	}
	return out, err
}

// descending turns the order of UUIDs around.
func descending(id string) string {
	return strings.Map(func(r rune) rune {
		if i := strings.IndexRune("0123456789abcdef", r); i >= 0 {
			return rune("fedcba9876543210"[i])
		}
		return r
	}, id)
}

func (r Refresh) out() autoscalingapi.InstanceRefresh {
	percent, left, progress := r.progress(r.ToUpdate, r.PoolToUpdate)
	out := autoscalingapi.InstanceRefresh{
		InstanceRefreshId: &r.ID, AutoScalingGroupName: &r.Group, Status: autoscalingapi.InstanceRefreshStatus(r.Status), StatusReason: pointer(r.Reason),
		StartTime: &r.Start, PercentageComplete: percent, InstancesToUpdate: left, ProgressDetails: progress,
		Preferences: &r.Preferences, DesiredConfiguration: r.Desired,
	}
	if !r.End.IsZero() {
		out.EndTime = &r.End
	}
	if b := r.Rollback; b != nil {
		percent, left, progress := r.progress(b.ToUpdate, b.PoolToUpdate)
		out.RollbackDetails = &autoscalingapi.RollbackDetails{
			RollbackReason: &b.Reason, RollbackStartTime: &b.Start, PercentageCompleteOnRollback: percent, InstancesToUpdateOnRollback: left,
			ProgressDetailsOnRollback: progress,
		}
	}
	return out
}

// progress is how far a refresh is that has so many instances left, of the warm
// pool so many. A rollback takes it back.
func (r Refresh) progress(left, ofPool int) (percent, toUpdate *int32, details *autoscalingapi.InstanceRefreshProgressDetails) {
	share := func(total, left int) *int32 {
		if total == 0 {
			if r.Status == RefreshSuccessful {
				return number(100)
			}
			return number(0)
		}
		return number(100 * (total - left) / total)
	}
	if r.Pool > 0 {
		details = &autoscalingapi.InstanceRefreshProgressDetails{
			LivePoolProgress: &autoscalingapi.InstanceRefreshLivePoolProgress{PercentageComplete: share(r.Total-r.Pool, left-ofPool), InstancesToUpdate: number(left - ofPool)},
			WarmPoolProgress: &autoscalingapi.InstanceRefreshWarmPoolProgress{PercentageComplete: share(r.Pool, ofPool), InstancesToUpdate: number(ofPool)},
		}
	}
	return share(r.Total, left), number(left), details
}
