package fleet

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// launchInput is what the group's instances are launched with, all but type,
// subnet and number.
func (l *Loop) launchInput(ctx context.Context, group eks.Nodegroup, cluster eks.Cluster) (ec2.LaunchInput, error) {
	in, err := l.template(ctx, group.Template)
	if err != nil {
		return in, err
	}
	if group.RoleARN != "" {
		profile, err := l.Profiles.EnsureInstanceProfile(ctx, group.InstanceProfile(), group.RoleARN)
		if err != nil {
			return in, profileError{fmt.Errorf("making the instance profile of %s: %w", group.RoleARN, err)}
		}
		in.Profile = profile
	}
	if len(in.SecurityGroups) == 0 {
		in.SecurityGroups = []string{cluster.Network.SecurityGroup}
	}
	if group.RemoteAccess != nil {
		in.KeyName = group.RemoteAccess.KeyName
	}
	if group.VolumeGiB > 0 {
		in.VolumeGiB = group.VolumeGiB
	}
	if image, ok := l.EC2.EKSImage(group.Version); ok && in.ImageID == "" {
		in.ImageID = image.ID
	}
	b := &in.Bootstrap
	b.Cluster, b.Nodegroup = group.Cluster, group.Name
	if b.Labels == nil {
		b.Labels = map[string]string{}
	}
	maps.Copy(b.Labels, nodeLabels(group, in.ImageID))
	for _, t := range group.Taints {
		b.Taints = append(b.Taints, ec2.Taint(t))
	}
	in.Spot = group.Spot
	in.Owner = "autoscaling"
	tags := maps.Clone(in.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, nodeTags(group))
	in.Tags = tags
	return in, nil
}

// nodeLabels are the labels that EKS gives the nodes of a group.
func nodeLabels(group eks.Nodegroup, image string) map[string]string {
	labels := maps.Clone(group.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	capacity := "ON_DEMAND"
	if group.Spot {
		capacity = "SPOT"
	}
	if group.Managed {
		labels["eks.amazonaws.com/nodegroup"] = group.Name
		labels["eks.amazonaws.com/capacityType"] = capacity
		if image != "" {
			labels["eks.amazonaws.com/nodegroup-image"] = image
		}
	}
	return labels
}

// eksctlTag marks a node group that eksctl has made.
const eksctlTag = "alpha.eksctl.io/nodegroup-name"

// nodeTags are the tags that EKS and Auto Scaling give the instances of a group.
func nodeTags(group eks.Nodegroup) map[string]string {
	tags := map[string]string{}
	// A node group's tags are its own: EKS does not hand them on. eksctl does,
	// through the launch templates that it makes.
	if _, eksctl := group.Tags[eksctlTag]; eksctl || !group.Managed {
		maps.Copy(tags, group.Tags)
		tags["Name"] = group.Cluster + "-" + group.Name + "-Node"
	}
	tags[groupTag] = group.GroupName
	tags[revisionTag] = strconv.Itoa(max(1, group.Revision))
	tags["eks:cluster-name"] = group.Cluster
	tags["kubernetes.io/cluster/"+group.Cluster] = "owned"
	if group.Managed {
		tags["aws:eks:cluster-name"] = group.Cluster
		tags["eks:nodegroup-name"] = group.Name
	}
	return tags
}
