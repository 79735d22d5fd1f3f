package eks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// UpdateAddon changes an add-on.
func (s *Service) UpdateAddon(ctx context.Context, in *eksapi.UpdateAddonInput) (*eksapi.UpdateAddonOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), addon: api.Val(in.AddonName)}
	req := asked(in.ClientRequestToken, in)
	u, err := again(func() (Update, error) {
		if err := s.checkSubject(ctx, a); err != nil {
			return Update{}, err
		}
		if earlier, err := s.repeated(ctx, a, req); err != nil || earlier != nil {
			return api.Val(earlier), err
		}
		item, err := s.addon(ctx, a)
		if err != nil {
			return Update{}, err
		}
		k, err := s.checkAddon(a, in.AddonVersion)
		if err != nil {
			return Update{}, err
		}
		if err := s.checkAddonSettings(a, k, in.ResolveConflicts, in.ConfigurationValues, in.PodIdentityAssociations); err != nil {
			return Update{}, err
		}
		now := &item.Value
		if now.Status == Creating || now.Status == Updating || now.Status == Deleting {
			return Update{}, a.inUse("Addon %s cannot be updated as it is currently in %s state", now.Name, now.Status)
		}
		var params []Param
		if in.AddonVersion != nil {
			now.Version = *in.AddonVersion
			params = append(params, param(eksapi.UpdateParamTypeAddonVersion, now.Version))
		}
		if in.ServiceAccountRoleArn != nil {
			now.RoleARN = *in.ServiceAccountRoleArn
			params = append(params, param(eksapi.UpdateParamTypeServiceAccountRoleArn, now.RoleARN))
		}
		now.ResolveConflicts = string(in.ResolveConflicts)
		if in.ResolveConflicts != "" {
			params = append(params, param(eksapi.UpdateParamTypeResolveConflicts, now.ResolveConflicts))
		}
		if in.ConfigurationValues != nil {
			now.Configuration = *in.ConfigurationValues
			params = append(params, param(eksapi.UpdateParamTypeConfigurationValues, now.Configuration))
		}
		u := s.newUpdate(a, eksapi.UpdateTypeAddonUpdate, params, req)
		now.Status, now.Issues, now.Update, now.Modified = Updating, nil, u.ID, s.time()
		now.Generation++
		_, err = store.Commit(ctx, s.client, s.Addons.UpdateOp(item), s.Updates.CreateOp(u.Key(), u))
		return u, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UpdateAddonOutput{Update: u.describe()}, nil
}

// DeleteAddon takes an add-on from a cluster.
func (s *Service) DeleteAddon(ctx context.Context, in *eksapi.DeleteAddonInput) (*eksapi.DeleteAddonOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), addon: api.Val(in.AddonName)}
	gone, err := again(func() (Addon, error) {
		if err := s.checkSubject(ctx, a); err != nil {
			return Addon{}, err
		}
		item, err := s.addon(ctx, a)
		if err != nil || item.Value.Status == Deleting {
			return item.Value, err
		}
		ops, err := s.endUpdate(ctx, a.cluster, item.Value.Update, cancelled, nil)
		if err != nil {
			return Addon{}, err
		}
		now := &item.Value
		now.Status, now.Issues, now.Update, now.Modified = Deleting, nil, "", s.time()
		now.Preserve = api.Val(in.Preserve)
		now.Generation++
		_, err = store.Commit(ctx, s.client, append(ops, s.Addons.UpdateOp(item))...)
		return item.Value, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.DeleteAddonOutput{Addon: s.describeAddon(gone)}, nil
}

// AddonError is why an add-on is not in order, for those who apply it. Code is
// one of the API's: ConfigurationConflict where somebody has changed what the
// add-on installs, InsufficientNumberOfReplicas while its pods do not run.
type AddonError struct {
	Code      eksapi.AddonIssueCode
	Message   string
	Resources []string
}

func (e *AddonError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// issueOf is an error as an add-on's health shows it.
func issueOf(err error) Issue {
	if e, ok := errors.AsType[*AddonError](err); ok {
		return Issue{string(e.Code), e.Message, e.Resources}
	}
	return Issue{Code: string(eksapi.AddonIssueCodeClusterUnreachable), Message: err.Error()}
}

// AddonApplied notes that a was applied, or removed if it is DELETING. If it
// failed, err says why, and final that this is no passing state. An add-on that
// has changed since, and a self-managed one, is left as it is.
func (s *Service) AddonApplied(ctx context.Context, a Addon, failure error, final bool) error {
	if a.SelfManaged {
		return nil
	}
	_, err := again(func() (struct{}, error) {
		item, err := s.Addons.Get(ctx, a.Key())
		if errors.Is(err, store.ErrNotFound) || err == nil && (item.Value.ID != a.ID || item.Value.Generation != a.Generation) {
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		now := &item.Value
		if failure == nil && now.Status == Deleting {
			if err := s.dropUpdates(ctx, about{cluster: a.Cluster, addon: a.Name}); err != nil {
				return struct{}{}, err
			}
			return struct{}{}, s.Addons.DeleteItem(ctx, item)
		}
		status, issues := now.Status, now.Issues
		updateStatus := now.settle(failure, final)
		if now.Status == status && slices.EqualFunc(now.Issues, issues, sameIssue) {
			return struct{}{}, nil
		}
		var ops []store.Op
		if updateStatus != "" {
			var errs []Issue
			if updateStatus == failed {
				errs = now.Issues
			}
			if ops, err = s.endUpdate(ctx, a.Cluster, now.Update, updateStatus, errs); err != nil {
				return struct{}{}, err
			}
			now.Update = ""
		}
		now.Modified = s.time()
		_, err = store.Commit(ctx, s.client, append(ops, s.Addons.UpdateOp(item))...)
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("recording the state of add-on %s of cluster %s: %w", a.Name, a.Cluster, err)
	}
	return nil
}

// settle moves the add-on's status on after an attempt, and says how its update
// has ended, "" while it has not.
func (a *Addon) settle(failure error, final bool) (update string) {
	if failure == nil {
		a.Status, a.Issues = Active, nil
		return successful
	}
	a.Issues = []Issue{issueOf(failure)}
	if !final {
		return ""
	}
	unhealthy := a.Issues[0].Code == string(eksapi.AddonIssueCodeInsufficientNumberOfReplicas)
	switch {
	case a.Status == Deleting:
		a.Status = DeleteFailed
	case unhealthy || a.Status == Active || a.Status == Degraded:
		a.Status = Degraded
	case a.Status == Creating:
		a.Status = CreateFailed
	case a.Status == Updating:
		a.Status = UpdateFailed
	}
	return failed
}
