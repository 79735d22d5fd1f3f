package region

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// groupNetwork is what Auto Scaling asks of EC2 about networks.
type groupNetwork struct{ ec2 *ec2.Service }

// Subnets implements autoscaling.Network.
func (g groupNetwork) Subnets(ctx context.Context, ids []string) ([]autoscaling.Subnet, error) {
	return found(ctx, g.ec2.Subnets, ids, func(s ec2.Subnet) autoscaling.Subnet {
		return autoscaling.Subnet{ID: s.ID, VPC: s.VPC, Zone: s.Zone}
	})
}

// DefaultSubnets implements autoscaling.Network: there is no default VPC.
func (groupNetwork) DefaultSubnets(context.Context) ([]autoscaling.Subnet, error) { return nil, nil }

// Zones implements autoscaling.Network.
func (g groupNetwork) Zones(context.Context) ([]string, error) {
	var names []string
	for _, z := range g.ec2.Zones() {
		names = append(names, z.Name)
	}
	return names, nil
}

// groupTemplates is what Auto Scaling asks of EC2 about launch templates.
type groupTemplates struct{ ec2 *ec2.Service }

// Template implements autoscaling.Templates.
func (g groupTemplates) Template(ctx context.Context, id, name, version string) (autoscaling.Template, error) {
	t, number, data, err := g.ec2.TemplateData(ctx, id, name, version)
	if err != nil {
		return autoscaling.Template{}, err
	}
	profile := api.Val(data.IamInstanceProfile)
	return autoscaling.Template{
		ID: t.ID, Name: t.Name, Version: number,
		Image: api.Val(data.ImageId), Type: string(data.InstanceType), Requirements: data.InstanceRequirements != nil,
		Profile: api.Val(profile.Arn) + api.Val(profile.Name), // there is one of them
	}, nil
}

// groupInstances is what Auto Scaling asks of EC2 about instances.
type groupInstances struct{ ec2 *ec2.Service }

// Instances implements autoscaling.Instances.
func (g groupInstances) Instances(ctx context.Context, ids []string) ([]autoscaling.Instance, error) {
	all, err := found(ctx, g.ec2.Instances, ids, func(i ec2.Instance) autoscaling.Instance {
		return autoscaling.Instance{
			ID: i.ID, Type: i.Type, VPC: i.VPC, Subnet: i.Subnet, Zone: i.Zone, State: string(i.State),
			Image: i.ImageID, Key: i.KeyName, SecurityGroups: i.SecurityGroups,
			UserData: base64.StdEncoding.EncodeToString(i.UserData), Profile: i.Profile.ARN,
			Monitoring: i.Monitoring, EBSOptimized: i.EBSOptimized,
		}
	})
	return slices.DeleteFunc(all, func(i autoscaling.Instance) bool { return i.State == string(ec2.Terminated) }), err
}

// Types implements autoscaling.Instances.
func (groupInstances) Types(_ context.Context, names []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := instancetype.Lookup(name)
		return err != nil
	}), nil
}

// Image implements autoscaling.Instances.
func (g groupInstances) Image(ctx context.Context, id string) (bool, error) {
	_, err := g.ec2.DescribeImages(ctx, &ec2api.DescribeImagesInput{ImageIds: []string{id}})
	if code := api.Code(err); code == "InvalidAMIID.NotFound" || code == "InvalidAMIID.Malformed" {
		return false, nil
	}
	return err == nil, err
}

// scalingBalancers is what Auto Scaling asks of ELB.
type scalingBalancers struct{ *Region }

// LoadBalancers implements autoscaling.Balancers.
func (r scalingBalancers) LoadBalancers(ctx context.Context, names []string) ([]string, error) {
	var exist []string
	for _, name := range names {
		_, err := r.elb.LoadBalancers.Get(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		exist = append(exist, name)
	}
	return exist, nil
}

// TargetGroups implements autoscaling.Balancers.
func (r scalingBalancers) TargetGroups(ctx context.Context, arns []string) ([]string, error) {
	var exist []string
	for _, arn := range arns {
		_, err := r.elbv2.TargetGroup(ctx, arn)
		if elbv2api.TargetGroupNotFoundException.Is(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		exist = append(exist, arn)
	}
	return exist, nil
}

// InService implements autoscaling.Balancers.
func (r scalingBalancers) InService(ctx context.Context, balancer string, instances []string) (in []string, ok bool, err error) {
	b, err := groupBalancers(r).read(ctx, balancer)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for _, h := range b.health {
		if h.State == proxy.InService && !h.Draining && slices.Contains(instances, h.ID) {
			in = append(in, h.ID)
		}
	}
	return in, true, nil
}

// scalingIdentity is what Auto Scaling asks of IAM.
type scalingIdentity struct{ *Region }

// ProfileRole implements autoscaling.Identity.
func (r scalingIdentity) ProfileRole(ctx context.Context, profile string) (role string, ok bool, err error) {
	p, err := r.iam.InstanceProfile(ctx, profile)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	return p.RoleARN, err == nil, err
}

// Role implements autoscaling.Identity.
func (r scalingIdentity) Role(ctx context.Context, arn string) (bool, error) {
	_, err := r.iam.Role(ctx, arn)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// ServiceLinkedRole implements autoscaling.Identity.
func (r scalingIdentity) ServiceLinkedRole(ctx context.Context) (string, error) {
	role, err := r.iam.Role(ctx, "AWSServiceRoleForAutoScaling")
	if !errors.Is(err, store.ErrNotFound) {
		return role.ARN, err
	}
	made, err := invoke[iamapi.CreateServiceLinkedRoleOutput](asService(ctx, autoScaling), r.Region, "iam", "CreateServiceLinkedRole",
		&iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new(autoScaling)})
	if iamapi.InvalidInputException.Is(err) { // somebody was faster
		var again iam.Role
		again, err = r.iam.Role(ctx, "AWSServiceRoleForAutoScaling")
		return again.ARN, err
	}
	if err != nil {
		return "", err
	}
	return *made.Role.Arn, nil
}
