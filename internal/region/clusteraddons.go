package region

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// applyAddons makes the file's add-ons, and brings the settings of those that
// exist to the file's. One that cannot be had is no reason not to have the
// cluster: a warning says so.
func (r *Region) applyAddons(ctx context.Context, cc *eksctl.ClusterConfig) error {
	for _, a := range cc.Addons {
		err := r.applyClusterAddon(ctx, cc.Name, a)
		if api.Code(err) != "" {
			r.warn("add-on %s is not as the file has it: %v", a.Name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("add-on %s: %w", a.Name, err)
		}
	}
	return nil
}

func (r *Region) applyClusterAddon(ctx context.Context, cluster string, a eksctl.Addon) error {
	known, err := invoke[eksapi.DescribeAddonVersionsOutput](ctx, r, "eks", "DescribeAddonVersions", &eksapi.DescribeAddonVersionsInput{AddonName: &a.Name})
	if err != nil {
		return err
	}
	if len(known.Addons) == 0 {
		r.warn("add-on %s is left out: this region does not have it", a.Name)
		return nil
	}
	if only := *known.Addons[0].AddonVersions[0].AddonVersion; !isVersion(only, a.Version) {
		r.warn("add-on %s has version %s and not the file's %s: the region has no other", a.Name, only, a.Version)
	}
	have, err := r.eks.Addons.Get(ctx, eks.Addon{Cluster: cluster, Name: a.Name}.Key())
	if errors.Is(err, store.ErrNotFound) {
		_, err = invoke[eksapi.CreateAddonOutput](ctx, r, "eks", "CreateAddon", addonInput(cluster, a))
		return err
	}
	if err != nil || have.Value.Configuration == a.Configuration && have.Value.RoleARN == a.RoleARN {
		return err
	}
	in := addonInput(cluster, a)
	_, err = invoke[eksapi.UpdateAddonOutput](ctx, r, "eks", "UpdateAddon", &eksapi.UpdateAddonInput{
		ClusterName: &cluster, AddonName: &a.Name, ResolveConflicts: in.ResolveConflicts,
		ServiceAccountRoleArn: &a.RoleARN, ConfigurationValues: &a.Configuration,
	})
	return err
}

// addonInput is the call that makes a file's add-on, in the only version.
func addonInput(cluster string, a eksctl.Addon) *eksapi.CreateAddonInput {
	in := &eksapi.CreateAddonInput{
		ClusterName: &cluster, AddonName: &a.Name, Tags: a.Tags,
		ResolveConflicts: eksapi.ResolveConflicts(strings.ToUpper(a.ResolveConflicts)),
	}
	if a.RoleARN != "" {
		in.ServiceAccountRoleArn = &a.RoleARN
	}
	if a.Configuration != "" {
		in.ConfigurationValues = &a.Configuration
	}
	return in
}

// isVersion says whether a version is the one that is wanted: eksctl lets the
// leading v and what follows the numbers be left out.
func isVersion(version, want string) bool {
	version, want = strings.TrimPrefix(version, "v"), strings.TrimPrefix(want, "v")
	return want == "" || version == want || strings.HasPrefix(version, want+".") || strings.HasPrefix(version, want+"-")
}

// warn tells whoever waits for Up something that it should know.
func (r *Region) warn(format string, args ...any) {
	r.progress.emit(Event{State: Warning, Detail: fmt.Sprintf(format, args...)})
}
