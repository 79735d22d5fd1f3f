package eks

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Addon is an add-on of a cluster.
type Addon struct {
	Cluster string
	Name    string
	ID      string
	Version string
	RoleARN string // of its service account
	// ResolveConflicts is NONE, OVERWRITE or PRESERVE: what wins where somebody
	// has changed what the add-on installed.
	ResolveConflicts string
	Configuration    string // configuration values, JSON or YAML
	Tags             map[string]string
	Created          time.Time
	Modified         time.Time
	// SelfManaged is for what a cluster was created with. Such an add-on is not in
	// the store.
	SelfManaged bool

	Status Status
	Issues []Issue
	// Preserve says of one that is DELETING that what it installed stays.
	Preserve bool
	// Generation rises with each change.
	Generation int
	Update     string // in progress
	Request    request
}

// Key is the add-on's key in the store.
func (a Addon) Key() string { return a.Cluster + "/" + a.Name }

// Values are the add-on's configuration values; nil if it has none.
func (a Addon) Values() (map[string]any, error) { return parseValues(a.Configuration) }

// SelfManagedAddons are what the cluster was created with, as they are to be
// applied.
func (s *Service) SelfManagedAddons(c Cluster) []Addon {
	var list []Addon
	for _, name := range c.SelfManaged {
		if k, ok := s.kind(name); ok {
			list = append(list, Addon{
				Cluster: c.Name, Name: name, ID: c.ID, Version: k.version, SelfManaged: true,
				ResolveConflicts: string(eksapi.ResolveConflictsPreserve), Generation: 1,
			})
		}
	}
	return list
}

func (s *Service) addon(ctx context.Context, a about) (store.Item[Addon], error) {
	item, err := s.Addons.Get(ctx, Addon{Cluster: a.cluster, Name: a.addon}.Key())
	if errors.Is(err, store.ErrNotFound) {
		return item, a.missing("No addon: %s found in cluster: %s", a.addon, a.cluster)
	}
	return item, err
}

func (s *Service) addonARN(a Addon) string {
	return s.arns.Of("eks", "addon/%s/%s/%s", a.Cluster, a.Name, a.ID)
}

func (s *Service) describeAddon(a Addon) *eksapi.Addon {
	out := &eksapi.Addon{
		AddonName: &a.Name, ClusterName: &a.Cluster, Status: eksapi.AddonStatus(a.Status), AddonVersion: &a.Version,
		Health: &eksapi.AddonHealth{Issues: []eksapi.AddonIssue{}}, AddonArn: new(s.addonARN(a)),
		CreatedAt: &a.Created, ModifiedAt: &a.Modified, ServiceAccountRoleArn: name(a.RoleARN),
		ConfigurationValues: name(a.Configuration), Tags: a.Tags,
	}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	for _, i := range a.Issues {
		out.Health.Issues = append(out.Health.Issues, eksapi.AddonIssue{
			Code: eksapi.AddonIssueCode(i.Code), Message: &i.Message, ResourceIds: i.Resources})
	}
	return out
}

// DescribeAddon shows an add-on.
func (s *Service) DescribeAddon(ctx context.Context, in *eksapi.DescribeAddonInput) (*eksapi.DescribeAddonOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), addon: api.Val(in.AddonName)}
	if err := s.checkSubject(ctx, a); err != nil {
		return nil, err
	}
	item, err := s.addon(ctx, a)
	if err != nil {
		return nil, err
	}
	return &eksapi.DescribeAddonOutput{Addon: s.describeAddon(item.Value)}, nil
}

// ListAddons lists the names of a cluster's add-ons.
func (s *Service) ListAddons(ctx context.Context, in *eksapi.ListAddonsInput) (*eksapi.ListAddonsOutput, error) {
	if _, err := s.cluster(ctx, in.ClusterName); err != nil {
		return nil, err
	}
	items, _, err := s.Addons.List(ctx, api.Val(in.ClusterName)+"/")
	if err != nil {
		return nil, err
	}
	names, next, err := page(namesOf(items, func(a Addon) string { return a.Name }), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eksapi.ListAddonsOutput{Addons: names, NextToken: next}, nil
}

// addonPublisher is who publishes all add-ons here.
const addonPublisher = "eks"

// DescribeAddonVersions lists the add-ons that there are.
func (s *Service) DescribeAddonVersions(_ context.Context, in *eksapi.DescribeAddonVersionsInput) (*eksapi.DescribeAddonVersionsOutput, error) {
	if v := api.Val(in.KubernetesVersion); v != "" && v != minor(s.version) {
		return &eksapi.DescribeAddonVersionsOutput{Addons: []eksapi.AddonInfo{}}, nil
	}
	wanted := func(have string, want []string) bool { return len(want) == 0 || slices.Contains(want, have) }
	var names []string
	for _, k := range s.addons {
		if api.Val(in.AddonName) != "" && api.Val(in.AddonName) != k.name ||
			!wanted(k.category, in.Types) || !wanted(addonPublisher, in.Publishers) || !wanted(k.owner, in.Owners) {
			continue
		}
		names = append(names, k.name)
	}
	names, next, err := page(names, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &eksapi.DescribeAddonVersionsOutput{Addons: []eksapi.AddonInfo{}, NextToken: next}
	for _, n := range names {
		k, _ := s.kind(n)
		out.Addons = append(out.Addons, eksapi.AddonInfo{
			AddonName: &k.name, Type: &k.category, Publisher: new(addonPublisher), Owner: &k.owner,
			AddonVersions: []eksapi.AddonVersionInfo{{
				AddonVersion: &k.version, Architecture: []string{"amd64"},
				Compatibilities: []eksapi.Compatibility{{
					ClusterVersion: new(minor(s.version)), PlatformVersions: []string{"*"}, DefaultVersion: new(true),
				}},
				RequiresConfiguration: new(false), RequiresIamPermissions: new(false),
			}},
		})
	}
	return out, nil
}

// DescribeAddonConfiguration shows what of an add-on can be configured.
func (s *Service) DescribeAddonConfiguration(_ context.Context, in *eksapi.DescribeAddonConfigurationInput) (*eksapi.DescribeAddonConfigurationOutput, error) {
	a := about{addon: api.Val(in.AddonName)}
	k, err := s.checkAddon(a, in.AddonVersion)
	if err != nil {
		return nil, err
	}
	return &eksapi.DescribeAddonConfigurationOutput{
		AddonName: &k.name, AddonVersion: &k.version, ConfigurationSchema: new(k.schema()),
	}, nil
}

// checkAddon wants an add-on that there is, and a version of it or none.
func (s *Service) checkAddon(a about, version *string) (addonKind, error) {
	k, ok := s.kind(a.addon)
	if !ok {
		return k, a.invalid("Addon %s specified is not supported in %s kubernetes version", a.addon, minor(s.version))
	}
	if v := api.Val(version); v != "" && v != k.version {
		return k, a.invalid("Addon version specified is not supported")
	}
	return k, nil
}

// checkAddonSettings checks what creation and update have in common.
func (s *Service) checkAddonSettings(a about, k addonKind, conflicts eksapi.ResolveConflicts, configuration *string, identities []eksapi.AddonPodIdentityAssociations) error {
	switch conflicts {
	case "", eksapi.ResolveConflictsNone, eksapi.ResolveConflictsOverwrite, eksapi.ResolveConflictsPreserve:
	default:
		return a.invalid("The resolveConflicts %s must be NONE, OVERWRITE or PRESERVE", conflicts)
	}
	if len(identities) > 0 {
		return a.invalid("Pod identity associations are not available in this region: use serviceAccountRoleArn")
	}
	if api.Val(configuration) == "" {
		return nil
	}
	if problem := k.check(*configuration); problem != "" {
		return a.invalid("%s", problem)
	}
	return nil
}

// CreateAddon adds an add-on to a cluster.
func (s *Service) CreateAddon(ctx context.Context, in *eksapi.CreateAddonInput) (*eksapi.CreateAddonOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), addon: api.Val(in.AddonName)}
	req := asked(in.ClientRequestToken, in)
	made, err := again(func() (Addon, error) {
		cluster, err := s.cluster(ctx, in.ClusterName)
		if err != nil {
			return Addon{}, err
		}
		have, err := s.Addons.Get(ctx, Addon{Cluster: a.cluster, Name: a.addon}.Key())
		switch {
		case err == nil && req.repeats(have.Value.Request):
			return have.Value, nil
		case err == nil:
			return Addon{}, a.inUse("Addon already exists.")
		case !errors.Is(err, store.ErrNotFound):
			return Addon{}, err
		}
		k, err := s.checkAddon(a, in.AddonVersion)
		if err != nil {
			return Addon{}, err
		}
		if err := s.checkAddonSettings(a, k, in.ResolveConflicts, in.ConfigurationValues, in.PodIdentityAssociations); err != nil {
			return Addon{}, err
		}
		if problem := checkTags(in.Tags); problem != "" {
			return Addon{}, a.invalid("%s", problem)
		}
		if cluster.Value.Status != Active && cluster.Value.Status != Updating {
			return Addon{}, a.notActive()
		}
		now := s.time()
		made := Addon{
			Cluster: a.cluster, Name: a.addon, ID: uuid.NewString(), Version: k.version, RoleARN: api.Val(in.ServiceAccountRoleArn),
			ResolveConflicts: string(in.ResolveConflicts), Configuration: api.Val(in.ConfigurationValues), Tags: in.Tags,
			Created: now, Modified: now, Status: Creating, Generation: 1, Request: req,
		}
		// From now on it is managed by EKS.
		cluster.Value.SelfManaged = slices.DeleteFunc(slices.Clone(cluster.Value.SelfManaged), func(n string) bool { return n == a.addon })
		_, err = store.Commit(ctx, s.client, s.Addons.CreateOp(made.Key(), made), s.Clusters.UpdateOp(cluster))
		return made, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.CreateAddonOutput{Addon: s.describeAddon(made)}, nil
}
