package eks

import (
	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
)

// about is what an error speaks of: EKS's errors say it in members of their own.
type about struct{ cluster, nodegroup, addon string }

func name(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// invalid is for a parameter that is wrong by itself or with the others.
func (a about) invalid(format string, args ...any) *api.Error {
	return eksapi.InvalidParameterException.New(format, args...).With(&eksapi.InvalidParameterExceptionDetail{
		ClusterName: name(a.cluster), NodegroupName: name(a.nodegroup), AddonName: name(a.addon)})
}

// refused is for what the state of the resource does not allow.
func (a about) refused(format string, args ...any) *api.Error {
	return eksapi.InvalidRequestException.New(format, args...).With(&eksapi.InvalidRequestExceptionDetail{
		ClusterName: name(a.cluster), NodegroupName: name(a.nodegroup), AddonName: name(a.addon)})
}

func (a about) inUse(format string, args ...any) *api.Error {
	return eksapi.ResourceInUseException.New(format, args...).With(&eksapi.ResourceInUseExceptionDetail{
		ClusterName: name(a.cluster), NodegroupName: name(a.nodegroup), AddonName: name(a.addon)})
}

func (a about) missing(format string, args ...any) *api.Error {
	return eksapi.ResourceNotFoundException.New(format, args...).With(&eksapi.ResourceNotFoundExceptionDetail{
		ClusterName: name(a.cluster), NodegroupName: name(a.nodegroup), AddonName: name(a.addon)})
}

func (a about) tooMany(format string, args ...any) *api.Error {
	return eksapi.ResourceLimitExceededException.New(format, args...).With(&eksapi.ResourceLimitExceededExceptionDetail{
		ClusterName: name(a.cluster), NodegroupName: name(a.nodegroup)})
}

func (a about) noCluster() *api.Error {
	return a.missing("No cluster found for name: %s.", a.cluster)
}

// notActive is for what needs a cluster that runs.
func (a about) notActive() *api.Error {
	return a.refused("Cluster '%s' is not in ACTIVE status", a.cluster)
}
