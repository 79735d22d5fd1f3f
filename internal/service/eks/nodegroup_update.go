package eks

import (
	"context"
	"maps"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// UpdateNodegroupConfig changes a node group's size, labels, taints or manner of
// updates.
func (s *Service) UpdateNodegroupConfig(ctx context.Context, in *eksapi.UpdateNodegroupConfigInput) (*eksapi.UpdateNodegroupConfigOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), nodegroup: api.Val(in.NodegroupName)}
	u, err := s.updateNodegroup(ctx, a, asked(in.ClientRequestToken, in), eksapi.UpdateTypeConfigUpdate, func(n *Nodegroup) ([]Param, error) {
		return configureNodegroup(a, n, in)
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UpdateNodegroupConfigOutput{Update: u.describe()}, nil
}

// UpdateNodegroupVersion moves a node group to another version of its launch
// template or image by replacing its nodes; with force, it replaces them anyway.
func (s *Service) UpdateNodegroupVersion(ctx context.Context, in *eksapi.UpdateNodegroupVersionInput) (*eksapi.UpdateNodegroupVersionOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), nodegroup: api.Val(in.NodegroupName)}
	u, err := s.updateNodegroup(ctx, a, asked(in.ClientRequestToken, in), eksapi.UpdateTypeVersionUpdate, func(n *Nodegroup) ([]Param, error) {
		return s.moveNodegroup(ctx, a, n, in)
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UpdateNodegroupVersionOutput{Update: u.describe()}, nil
}

// updateNodegroup begins the update that change describes; loop/nodegroups ends it.
func (s *Service) updateNodegroup(ctx context.Context, a about, req request, kind eksapi.UpdateType, change func(*Nodegroup) ([]Param, error)) (Update, error) {
	return again(func() (Update, error) {
		if _, err := s.cluster(ctx, &a.cluster); err != nil {
			return Update{}, err
		}
		item, err := s.nodegroup(ctx, a)
		if err != nil {
			return Update{}, err
		}
		if earlier, err := s.repeated(ctx, a, req); err != nil || earlier != nil {
			return api.Val(earlier), err
		}
		n := &item.Value
		if n.Status != Active && n.Status != Degraded {
			return Update{}, a.inUse("Nodegroup cannot be updated as it is currently not in Active State")
		}
		params, err := change(n)
		if err != nil {
			return Update{}, err
		}
		u := s.newUpdate(a, kind, params, req)
		n.Status, n.Update, n.Modified = Updating, u.ID, s.time()
		_, err = store.Commit(ctx, s.client, s.Nodegroups.UpdateOp(item), s.Updates.CreateOp(u.Key(), u))
		return u, err
	})
}

func configureNodegroup(a about, n *Nodegroup, in *eksapi.UpdateNodegroupConfigInput) ([]Param, error) {
	var params []Param
	before := n.Config()
	if in.ScalingConfig != nil {
		size, err := changeSize(a, n, in.ScalingConfig)
		if err != nil {
			return nil, err
		}
		params, n.Resized = append(params, size...), true
	}
	if l := in.Labels; l != nil {
		if problem := checkLabels(l.AddOrUpdateLabels); problem != "" {
			return nil, a.invalid("%s", problem)
		}
		n.Labels = maps.Clone(n.Labels)
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		maps.Copy(n.Labels, l.AddOrUpdateLabels)
		for _, k := range l.RemoveLabels {
			if _, both := l.AddOrUpdateLabels[k]; both {
				return nil, a.invalid("The label '%s' cannot be added and removed at once", k)
			}
			delete(n.Labels, k)
		}
		params = appendParam(params, eksapi.UpdateParamTypeLabelsToAdd, l.AddOrUpdateLabels, len(l.AddOrUpdateLabels))
		params = appendParam(params, eksapi.UpdateParamTypeLabelsToRemove, l.RemoveLabels, len(l.RemoveLabels))
	}
	if t := in.Taints; t != nil {
		add, err := readTaints(a, t.AddOrUpdateTaints)
		if err != nil {
			return nil, err
		}
		remove, err := readTaints(a, t.RemoveTaints)
		if err != nil {
			return nil, err
		}
		n.Taints = slices.DeleteFunc(slices.Clone(n.Taints), func(have Taint) bool {
			return slices.ContainsFunc(add, have.replaces) || slices.ContainsFunc(remove, have.replaces)
		})
		n.Taints = append(n.Taints, add...)
		params = appendParam(params, eksapi.UpdateParamTypeTaintsToAdd, taintParam(t.AddOrUpdateTaints), len(add))
		params = appendParam(params, eksapi.UpdateParamTypeTaintsToRemove, taintParam(t.RemoveTaints), len(remove))
	}
	if in.UpdateConfig != nil {
		if err := setUpdateConfig(a, n, in.UpdateConfig); err != nil {
			return nil, err
		}
		if n.MaxUnavailable > 0 {
			params = append(params, param(eksapi.UpdateParamTypeMaxUnavailable, n.MaxUnavailable))
		} else {
			params = append(params, param(eksapi.UpdateParamTypeMaxUnavailablePercentage, n.MaxUnavailablePercentage))
		}
	}
	if len(params) == 0 {
		return nil, a.invalid("The update must name what to change: scalingConfig, labels, taints or updateConfig")
	}
	if !sameConfig(before, n.Config()) {
		n.Revision++ // new nodes begin with them
		if n.Applied == nil {
			n.Applied = &before
		}
	}
	return params, nil
}

func appendParam(params []Param, kind eksapi.UpdateParamType, value any, size int) []Param {
	if size == 0 {
		return params
	}
	return append(params, param(kind, value))
}

// taintParam is taints in the API's own form.
func taintParam(taints []eksapi.Taint) any {
	type taint struct {
		Effect eksapi.TaintEffect `json:"effect"`
		Value  string             `json:"value"`
		Key    string             `json:"key"`
	}
	var list []taint
	for _, t := range taints {
		list = append(list, taint{t.Effect, api.Val(t.Value), api.Val(t.Key)})
	}
	return list
}

func (s *Service) moveNodegroup(ctx context.Context, a about, n *Nodegroup, in *eksapi.UpdateNodegroupVersionInput) ([]Param, error) {
	cluster, err := s.cluster(ctx, &a.cluster)
	if err != nil {
		return nil, err
	}
	version, release := n.Version, n.Release
	rolling := &Rolling{api.Val(in.Force), n.Template, n.InstanceType, n.InstanceTypes, n.Current}
	n.Version, n.Release = cluster.Value.Version, s.release()
	if err := s.chooseVersion(a, n, in.Version, in.ReleaseVersion); err != nil {
		return nil, err
	}
	roll := api.Val(in.Force) || n.Version != version || n.Release != release
	params := []Param{param(eksapi.UpdateParamTypeVersion, n.Version), param(eksapi.UpdateParamTypeReleaseVersion, n.Release)}
	if spec := in.LaunchTemplate; spec != nil {
		if n.Template == nil {
			return nil, a.invalid("A launch template cannot be given to a node group that was created without one")
		}
		t, err := s.template(ctx, a, spec)
		if err != nil {
			return nil, err
		}
		if t.ID != n.Template.ID {
			return nil, a.invalid("The launch template of a node group cannot be replaced by another one, only its version: it uses %s", n.Template.ID)
		}
		roll = roll || t.Version != n.Template.Version
		n.Template = &Template{t.ID, t.Name, t.Version}
		if t.InstanceType != "" {
			n.InstanceType, n.InstanceTypes = t.InstanceType, []string{t.InstanceType}
		}
		params = append(params, param(eksapi.UpdateParamTypeLaunchTemplateName, t.Name), param(eksapi.UpdateParamTypeLaunchTemplateVersion, t.Version))
	}
	if roll {
		n.Revision++
		n.Current, n.Rolling = n.Revision, rolling
	}
	return params, nil
}

// ScaleNodegroup sets a node group's size, managed or not, without an update, as
// one sets the size of its Auto Scaling group.
func (s *Service) ScaleNodegroup(ctx context.Context, cluster, nodegroup string, to Scaling) (Nodegroup, error) {
	a := about{cluster: cluster, nodegroup: nodegroup}
	item, err := s.Nodegroups.Modify(ctx, Nodegroup{Cluster: cluster, Name: nodegroup}.Key(), func(n *Nodegroup) error {
		_, err := changeSize(a, n, &eksapi.NodegroupScalingConfig{
			MinSize: new(int32(to.Min)), MaxSize: new(int32(to.Max)), DesiredSize: new(int32(to.Desired)),
		})
		n.Resized = true
		return err
	})
	return item.Value, err
}
