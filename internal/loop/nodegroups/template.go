package nodegroups

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// rootDevice is that of EKS's images.
const rootDevice = "/dev/xvda"

// TemplateName is the name of the launch template that EKS makes for a node group.
func TemplateName(n eks.Nodegroup) string { return "eks-" + n.ID }

// asEKS makes calls as the service that makes node groups.
func asEKS(ctx context.Context) context.Context {
	return caller.With(ctx, caller.Caller{Principal: policy.Principal{Type: policy.Service, Service: "eks-nodegroup.amazonaws.com"}})
}

// template finds the node group's launch template.
func (l *Loop) template(ctx context.Context, n eks.Nodegroup) (t ec2.LaunchTemplate, found bool, err error) {
	items, _, err := l.EC2.LaunchTemplates.List(ctx, "")
	for _, item := range items {
		if item.Value.Name == TemplateName(n) {
			return item.Value, true, nil
		}
	}
	return t, false, err
}

// makeTemplate makes the versions of the launch template that are lacking: there
// is one for each of the node group's revisions.
func (l *Loop) makeTemplate(ctx context.Context, s *seen, t ec2.LaunchTemplate, found bool) (ec2.LaunchTemplate, error) {
	ctx = asEKS(ctx)
	data, err := l.templateData(ctx, s)
	if err != nil {
		return t, err
	}
	name := TemplateName(s.Nodegroup)
	if !found {
		_, err := l.EC2.CreateLaunchTemplate(ctx, &ec2api.CreateLaunchTemplateInput{
			LaunchTemplateName: &name, LaunchTemplateData: &data,
			TagSpecifications: []ec2api.TagSpecification{{ResourceType: ec2api.ResourceTypeLaunchTemplate, Tags: toTags(map[string]string{
				"eks:cluster-name": s.Cluster, "eks:nodegroup-name": s.Name,
			})}},
		})
		if err != nil {
			return t, fmt.Errorf("making launch template %s: %w", name, err)
		}
	}
	for {
		t, found, err = l.template(ctx, s.Nodegroup)
		switch {
		case err != nil:
			return t, err
		case !found:
			return t, fmt.Errorf("launch template %s was deleted", name)
		case t.Latest >= int64(s.Revision):
			return t, nil
		}
		_, err := l.EC2.CreateLaunchTemplateVersion(ctx, &ec2api.CreateLaunchTemplateVersionInput{LaunchTemplateId: &t.ID, LaunchTemplateData: &data})
		if err != nil {
			return t, fmt.Errorf("making a version of launch template %s: %w", name, err)
		}
	}
}

// deleteTemplate removes the launch template; nil if there is none.
func (l *Loop) deleteTemplate(ctx context.Context, n eks.Nodegroup) error {
	t, found, err := l.template(ctx, n)
	if err != nil || !found {
		return err
	}
	_, err = l.EC2.DeleteLaunchTemplate(asEKS(ctx), &ec2api.DeleteLaunchTemplateInput{LaunchTemplateId: &t.ID})
	return err
}

// templateData is what instances of the node group are launched with: what its own
// launch template says, and what EKS adds.
func (l *Loop) templateData(ctx context.Context, s *seen) (ec2api.RequestLaunchTemplateData, error) {
	var data ec2api.RequestLaunchTemplateData
	if t := s.Template; t != nil {
		var err error
		if _, _, data, err = l.EC2.TemplateData(ctx, t.ID, "", t.Version); err != nil {
			return data, fmt.Errorf("reading version %s of launch template %s: %w", t.Version, t.ID, err)
		}
	}
	if image, ok := l.EC2.EKSImage(s.Version); ok && data.ImageId == nil {
		data.ImageId = &image.ID
	}
	data.InstanceType = "" // the group chooses
	if !slices.ContainsFunc(data.NetworkInterfaces, func(n ec2api.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest) bool {
		return len(n.Groups) > 0
	}) && len(data.SecurityGroupIds) == 0 {
		data.SecurityGroupIds = []string{s.cluster.Network.SecurityGroup}
	}
	if s.RoleARN != "" {
		data.IamInstanceProfile = &ec2api.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: new(s.InstanceProfile())}
	}
	if s.RemoteAccess != nil && s.RemoteAccess.KeyName != "" {
		data.KeyName = &s.RemoteAccess.KeyName
	}
	if s.VolumeGiB > 0 {
		data.BlockDeviceMappings = []ec2api.LaunchTemplateBlockDeviceMappingRequest{{
			DeviceName: new(rootDevice), Ebs: &ec2api.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: new(int32(s.VolumeGiB)), DeleteOnTermination: new(true)},
		}}
	}
	if data.MetadataOptions == nil {
		data.MetadataOptions = &ec2api.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: new(int32(2))}
	}
	data.TagSpecifications = addTags(data.TagSpecifications, templateTags(s.Nodegroup))
	text, err := userData(s.Nodegroup, s.cluster, api.Val(data.ImageId), api.Val(data.UserData))
	if err != nil {
		return data, fmt.Errorf("the user data of launch template %s: %w", s.Template.ID, err)
	}
	data.UserData = new(base64.StdEncoding.EncodeToString(text))
	return data, nil
}

// templateTags are those that the launch template gives instances, beside the Auto
// Scaling group's.
func templateTags(n eks.Nodegroup) map[string]string {
	if !n.Managed {
		return nil
	}
	tags := map[string]string{}
	// A node group's tags are its own: EKS does not hand them on. eksctl does,
	// through the launch templates that it makes.
	if _, eksctl := n.Tags[eksctlNodegroup]; eksctl {
		maps.Copy(tags, n.Tags)
		tags["Name"] = n.Cluster + "-" + n.Name + "-Node"
	}
	tags["aws:eks:cluster-name"] = n.Cluster
	return tags
}

// addTags adds tags of instances to a launch template's.
func addTags(specs []ec2api.LaunchTemplateTagSpecificationRequest, tags map[string]string) []ec2api.LaunchTemplateTagSpecificationRequest {
	if len(tags) == 0 {
		return specs
	}
	specs = slices.Clone(specs)
	i := slices.IndexFunc(specs, func(t ec2api.LaunchTemplateTagSpecificationRequest) bool {
		return t.ResourceType == ec2api.ResourceTypeInstance
	})
	if i < 0 {
		i = len(specs)
		specs = append(specs, ec2api.LaunchTemplateTagSpecificationRequest{ResourceType: ec2api.ResourceTypeInstance})
	}
	kept := slices.DeleteFunc(slices.Clone(specs[i].Tags), func(t ec2api.Tag) bool { _, replaced := tags[api.Val(t.Key)]; return replaced })
	specs[i].Tags = append(kept, toTags(tags)...)
	return specs
}

func toTags(tags map[string]string) []ec2api.Tag {
	var list []ec2api.Tag
	for _, key := range slices.SortedFunc(maps.Keys(tags), strings.Compare) {
		list = append(list, ec2api.Tag{Key: new(key), Value: new(tags[key])})
	}
	return list
}
