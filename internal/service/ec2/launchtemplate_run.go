package ec2

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// withTemplate is the request with what its launch template sets and it does not.
func (s *Service) withTemplate(ctx context.Context, in *ec2api.RunInstancesInput) (*ec2api.RunInstancesInput, error) {
	if in.LaunchTemplate == nil {
		return in, nil
	}
	item, err := s.template(ctx, in.LaunchTemplate.LaunchTemplateId, in.LaunchTemplate.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	v, err := s.version(ctx, item.Value, api.Val(in.LaunchTemplate.Version))
	if err != nil {
		return nil, err
	}
	if v.Data.InstanceRequirements != nil && in.InstanceType == "" {
		return nil, bad("InvalidParameterCombination", "The launch template has instance requirements; RunInstances needs an instance type.")
	}
	base, err := convert[ec2api.RunInstancesInput](v.Data)
	if err != nil {
		return nil, err
	}
	out := override(base, *in)
	// A network interface takes the place of the subnet and the groups, and the
	// other way round, wherever each is said.
	if len(in.NetworkInterfaces) > 0 {
		out.SubnetId, out.SecurityGroupIds, out.SecurityGroups = in.SubnetId, in.SecurityGroupIds, in.SecurityGroups
	} else if len(base.NetworkInterfaces) > 0 && in.SubnetId != nil && base.NetworkInterfaces[0].SubnetId == nil {
		// What Auto Scaling does: the template's interface in the request's subnet.
		out.NetworkInterfaces = slices.Clone(base.NetworkInterfaces)
		out.NetworkInterfaces[0].SubnetId, out.SubnetId = in.SubnetId, nil
	}
	out.BlockDeviceMappings = mergeDevices(base.BlockDeviceMappings, in.BlockDeviceMappings)
	out.TagSpecifications = mergeTags(base.TagSpecifications, in.TagSpecifications)
	return &out, nil
}

// TemplateData is a version of a launch template ($Latest, $Default or a number),
// for services that launch from it. The errors are EC2's.
func (s *Service) TemplateData(ctx context.Context, id, name, version string) (LaunchTemplate, int64, ec2api.RequestLaunchTemplateData, error) {
	item, err := s.template(ctx, &id, &name)
	if err != nil {
		return LaunchTemplate{}, 0, ec2api.RequestLaunchTemplateData{}, err
	}
	v, err := s.version(ctx, item.Value, version)
	return item.Value, v.Number, v.Data, err
}

// mergeDevices are the template's devices with the request's in place of those of
// the same name.
func mergeDevices(template, request []ec2api.BlockDeviceMapping) []ec2api.BlockDeviceMapping {
	out := slices.Clone(template)
	for _, m := range request {
		same := func(o ec2api.BlockDeviceMapping) bool { return api.Val(o.DeviceName) == api.Val(m.DeviceName) }
		if i := slices.IndexFunc(out, same); i < 0 {
			out = append(out, m)
		} else if out[i].Ebs != nil && m.Ebs != nil {
			out[i].Ebs = new(override(*out[i].Ebs, *m.Ebs))
		} else {
			out[i] = m
		}
	}
	return out
}

// mergeTags are the tags of both, by type of resource; a key that both have is the
// request's.
func mergeTags(template, request []ec2api.TagSpecification) []ec2api.TagSpecification {
	var out []ec2api.TagSpecification
	for _, spec := range slices.Concat(request, template) {
		i := slices.IndexFunc(out, func(o ec2api.TagSpecification) bool { return o.ResourceType == spec.ResourceType })
		if i < 0 {
			out = append(out, ec2api.TagSpecification{ResourceType: spec.ResourceType, Tags: slices.Clone(spec.Tags)})
			continue
		}
		have := len(out[i].Tags)
		for _, t := range spec.Tags {
			if !slices.ContainsFunc(out[i].Tags[:have], func(o ec2api.Tag) bool { return api.Val(o.Key) == api.Val(t.Key) }) {
				out[i].Tags = append(out[i].Tags, t)
			}
		}
	}
	return out
}
