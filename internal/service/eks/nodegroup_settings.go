package eks

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
)

// chooseSize fills in a new group's size.
func chooseSize(a about, n *Nodegroup, in *eksapi.NodegroupScalingConfig) error {
	if in == nil {
		n.Min, n.Max, n.Desired = 2, 2, 2 // EKS's own
		return nil
	}
	n.Min, n.Max, n.Desired = 1, 2, 2
	if in.MinSize != nil {
		n.Min = int(*in.MinSize)
	}
	switch {
	case in.DesiredSize != nil:
		n.Desired = int(*in.DesiredSize)
	case in.MaxSize != nil:
		n.Desired = max(n.Min, min(n.Desired, int(*in.MaxSize)))
	default:
		n.Desired = max(n.Min, n.Desired)
	}
	n.Max = max(n.Max, n.Desired)
	if in.MaxSize != nil {
		n.Max = int(*in.MaxSize)
	}
	switch {
	case n.Min < 0:
		return a.invalid("minSize must be greater than or equal to 0")
	case n.Max < 1:
		return a.invalid("maxSize must be greater than or equal to 1")
	case n.Min > n.Desired:
		return a.invalid("minSize can't be greater than desiredSize")
	case n.Desired > n.Max:
		return a.invalid("desiredSize can't be greater than maxSize")
	}
	return nil
}

// changeSize changes what the request has.
func changeSize(a about, n *Nodegroup, in *eksapi.NodegroupScalingConfig) ([]Param, error) {
	var params []Param
	for _, field := range []struct {
		to   *int32
		at   *int
		kind eksapi.UpdateParamType
	}{
		{in.MinSize, &n.Min, eksapi.UpdateParamTypeMinSize},
		{in.MaxSize, &n.Max, eksapi.UpdateParamTypeMaxSize},
		{in.DesiredSize, &n.Desired, eksapi.UpdateParamTypeDesiredSize},
	} {
		if field.to != nil {
			*field.at = int(*field.to)
			params = append(params, param(field.kind, *field.at))
		}
	}
	switch {
	case n.Min < 0:
		return nil, a.invalid("minSize must be greater than or equal to 0")
	case n.Max < 1:
		return nil, a.invalid("maxSize must be greater than or equal to 1")
	case n.Min > n.Max:
		return nil, a.invalid("Minimum capacity %d can't be greater than max size %d", n.Min, n.Max)
	case n.Min > n.Desired:
		return nil, a.invalid("Minimum capacity %d can't be greater than desired size %d", n.Min, n.Desired)
	case n.Desired > n.Max:
		return nil, a.invalid("Desired capacity %d can't be greater than max size %d", n.Desired, n.Max)
	}
	return params, nil
}

func setUpdateConfig(a about, n *Nodegroup, in *eksapi.NodegroupUpdateConfig) error {
	if in == nil {
		return nil
	}
	count, percentage := api.Val(in.MaxUnavailable), api.Val(in.MaxUnavailablePercentage)
	switch {
	case (in.MaxUnavailable == nil) == (in.MaxUnavailablePercentage == nil):
		return a.invalid("Either maxUnavailable or maxUnavailablePercentage must be specified in updateConfig, and not both")
	case count < 0 || count > 100 || percentage < 0 || percentage > 100 || count+percentage == 0:
		return a.invalid("maxUnavailable and maxUnavailablePercentage must be between 1 and 100")
	}
	n.MaxUnavailable, n.MaxUnavailablePercentage = int(count), int(percentage)
	return nil
}

var (
	labelKey   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
)

// checkLabels says what is wrong with labels, "" if nothing is.
func checkLabels(labels map[string]string) string {
	for k, v := range labels {
		switch {
		case !labelKey.MatchString(k):
			return fmt.Sprintf("Label cannot have the key '%s': it is no Kubernetes label key", k)
		case !labelValue.MatchString(v):
			return fmt.Sprintf("Label '%s' cannot have the value '%s': it is no Kubernetes label value", k, v)
		}
	}
	return ""
}

// readTaints checks taints, and gives their effects the names of Kubernetes.
func readTaints(a about, in []eksapi.Taint) ([]Taint, error) {
	if len(in) > maxTaints {
		return nil, a.invalid("A node group has %d taints at most", maxTaints)
	}
	var taints []Taint
	for _, t := range in {
		taint := Taint{api.Val(t.Key), api.Val(t.Value), taintEffects[t.Effect]}
		switch {
		case taint.Effect == "":
			return nil, a.invalid("The taint effect '%s' must be NO_SCHEDULE, NO_EXECUTE or PREFER_NO_SCHEDULE", t.Effect)
		case !labelKey.MatchString(taint.Key) || !labelValue.MatchString(taint.Value):
			return nil, a.invalid("The taint '%s=%s' has no Kubernetes key and value", taint.Key, taint.Value)
		case slices.ContainsFunc(taints, taint.replaces):
			return nil, a.invalid("The taint '%s' with effect %s is there twice", taint.Key, t.Effect)
		}
		taints = append(taints, taint)
	}
	return taints, nil
}

// replaces says that a node cannot have both taints.
func (t Taint) replaces(other Taint) bool { return t.Key == other.Key && t.Effect == other.Effect }
