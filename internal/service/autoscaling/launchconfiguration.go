package autoscaling

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// LaunchConfiguration is what instances are launched from that have no launch
// template. It is never changed.
type LaunchConfiguration struct {
	Name    string
	ID      string // of its ARN, a UUID
	Created time.Time

	Image           string
	Type            string // of instance
	Key             string // key pair
	SecurityGroups  []string
	UserData        string // base64
	Profile         string // IAM instance profile, name or ARN
	Kernel, Ramdisk string
	Devices         []autoscalingapi.BlockDeviceMapping
	Monitoring      bool // detailed
	EBSOptimized    bool
	SpotPrice       string
	PublicAddress   *bool  // nil: as the subnet says
	Tenancy         string // "" is default
	Metadata        *autoscalingapi.InstanceMetadataOptions
}

func (s *Service) newConfiguration(name string) LaunchConfiguration {
	return LaunchConfiguration{Name: name, ID: uuid.NewString(), Created: s.time(), Monitoring: true}
}

// copy takes over what an instance was launched with.
func (c *LaunchConfiguration) copy(i Instance) {
	c.Image, c.Type, c.Key, c.SecurityGroups = i.Image, i.Type, i.Key, i.SecurityGroups
	c.UserData, c.Profile, c.Monitoring, c.EBSOptimized = i.UserData, i.Profile, i.Monitoring, i.EBSOptimized
}

func configurationExists(name string) error {
	return autoscalingapi.AlreadyExistsFault.New("Launch Configuration by this name already exists - A launch configuration already exists with the name %s", name)
}

// CreateLaunchConfiguration implements autoscalingapi.Handler. What a request leaves
// out is taken from the instance that it names.
func (s *Service) CreateLaunchConfiguration(ctx context.Context, in *autoscalingapi.CreateLaunchConfigurationInput) (*autoscalingapi.CreateLaunchConfigurationOutput, error) {
	if err := checkName("launchConfigurationName", *in.LaunchConfigurationName); err != nil {
		return nil, err
	}
	c := s.newConfiguration(*in.LaunchConfigurationName)
	if in.InstanceId != nil {
		i, err := s.instance(ctx, *in.InstanceId)
		if err != nil {
			return nil, err
		}
		c.copy(i)
	}
	c.take(in)
	if err := s.checkConfiguration(ctx, c); err != nil {
		return nil, err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	all, _, err := s.Configurations.List(ctx, "")
	if err != nil {
		return nil, err
	}
	if len(all) >= maxConfigurations {
		return nil, autoscalingapi.LimitExceededFault.New("Only %d LaunchConfigurations are allowed per account", maxConfigurations)
	}
	_, err = s.Configurations.Create(ctx, c.Name, c)
	if errors.Is(err, store.ErrExists) {
		err = configurationExists(c.Name)
	}
	return &autoscalingapi.CreateLaunchConfigurationOutput{}, err
}

// take sets what a request gives.
func (c *LaunchConfiguration) take(in *autoscalingapi.CreateLaunchConfigurationInput) {
	for _, f := range []struct {
		to   *string
		from *string
	}{
		{&c.Image, in.ImageId}, {&c.Type, in.InstanceType}, {&c.Key, in.KeyName}, {&c.UserData, in.UserData}, {&c.Profile, in.IamInstanceProfile},
		{&c.Kernel, in.KernelId}, {&c.Ramdisk, in.RamdiskId}, {&c.SpotPrice, in.SpotPrice}, {&c.Tenancy, in.PlacementTenancy},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if len(in.SecurityGroups) > 0 {
		c.SecurityGroups = in.SecurityGroups
	}
	if in.InstanceMonitoring != nil && in.InstanceMonitoring.Enabled != nil {
		c.Monitoring = *in.InstanceMonitoring.Enabled
	}
	if in.EbsOptimized != nil {
		c.EBSOptimized = *in.EbsOptimized
	}
	c.Devices, c.PublicAddress, c.Metadata = in.BlockDeviceMappings, in.AssociatePublicIpAddress, in.MetadataOptions
}

func (s *Service) checkConfiguration(ctx context.Context, c LaunchConfiguration) error {
	if c.Image == "" || c.Type == "" {
		return invalid("Valid requests must contain either the InstanceID parameter or both the ImageId and InstanceType parameters.")
	}
	if c.Tenancy != "" {
		if err := oneOf("placementTenancy", c.Tenancy, "default", "dedicated"); err != nil {
			return err
		}
	}
	if _, err := base64.StdEncoding.DecodeString(c.UserData); err != nil {
		return invalid("Invalid BASE64 encoding of user data.")
	}
	if ok, err := s.instances.Image(ctx, c.Image); err != nil {
		return err
	} else if !ok {
		return invalid("AMI %[1]s is invalid: The image id '[%[1]s]' does not exist", c.Image)
	}
	if known, err := s.instances.Types(ctx, []string{c.Type}); err != nil {
		return err
	} else if len(known) == 0 {
		return invalid("Invalid value '%s' for InstanceType.", c.Type)
	}
	if c.Profile != "" {
		if _, ok, err := s.identity.ProfileRole(ctx, c.Profile); err != nil {
			return err
		} else if !ok {
			return invalid("Invalid IamInstanceProfile: %s", c.Profile)
		}
	}
	return nil
}

// DeleteLaunchConfiguration implements autoscalingapi.Handler.
func (s *Service) DeleteLaunchConfiguration(ctx context.Context, in *autoscalingapi.DeleteLaunchConfigurationInput) (*autoscalingapi.DeleteLaunchConfigurationOutput, error) {
	it, err := s.configuration(ctx, *in.LaunchConfigurationName)
	if err != nil {
		return nil, err
	}
	groups, _, err := s.groups.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.Value.LaunchConfiguration == it.Key {
			return nil, autoscalingapi.ResourceInUseFault.New("Cannot delete launch configuration %s because it is attached to AutoScalingGroup %s", it.Key, g.Key)
		}
	}
	err = s.Configurations.Delete(ctx, it.Key)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return &autoscalingapi.DeleteLaunchConfigurationOutput{}, err
}

// DescribeLaunchConfigurations implements autoscalingapi.Handler.
func (s *Service) DescribeLaunchConfigurations(ctx context.Context, in *autoscalingapi.DescribeLaunchConfigurationsInput) (*autoscalingapi.DescribeLaunchConfigurationsOutput, error) {
	all, _, err := s.Configurations.List(ctx, "")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(it store.Item[LaunchConfiguration]) bool {
		return len(in.LaunchConfigurationNames) > 0 && !slices.Contains(in.LaunchConfigurationNames, it.Key)
	})
	items, next, err := page(all, func(it store.Item[LaunchConfiguration]) string { return it.Key }, in.MaxRecords, in.NextToken, 50, 100)
	out := &autoscalingapi.DescribeLaunchConfigurationsOutput{LaunchConfigurations: []autoscalingapi.LaunchConfiguration{}, NextToken: next}
	for _, it := range items {
		c := it.Value
		devices := present(c.Devices)
		out.LaunchConfigurations = append(out.LaunchConfigurations, autoscalingapi.LaunchConfiguration{
			LaunchConfigurationName: &c.Name, LaunchConfigurationARN: new(s.configurationARN(c)), CreatedTime: &c.Created,
			ImageId: &c.Image, InstanceType: &c.Type, KeyName: &c.Key, SecurityGroups: present(c.SecurityGroups), UserData: &c.UserData,
			KernelId: &c.Kernel, RamdiskId: &c.Ramdisk, BlockDeviceMappings: devices, EbsOptimized: &c.EBSOptimized,
			InstanceMonitoring: &autoscalingapi.InstanceMonitoring{Enabled: &c.Monitoring}, SpotPrice: pointer(c.SpotPrice),
			IamInstanceProfile: pointer(c.Profile), AssociatePublicIpAddress: c.PublicAddress, PlacementTenancy: pointer(c.Tenancy),
			MetadataOptions: c.Metadata, ClassicLinkVPCSecurityGroups: []string{},
		})
	}
	return out, err
}
