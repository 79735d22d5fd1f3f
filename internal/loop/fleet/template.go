package fleet

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/userdata"
)

// rootDevice is that of EKS's images.
const rootDevice = "/dev/xvda"

// fromTemplate reads a launch template: all but type, subnet and number.
func fromTemplate(data ec2api.RequestLaunchTemplateData) (ec2.LaunchInput, error) {
	in := ec2.LaunchInput{
		ImageID: api.Val(data.ImageId), KeyName: api.Val(data.KeyName), SecurityGroups: data.SecurityGroupIds,
		EBSOptimized: api.Val(data.EbsOptimized), Monitoring: api.Val(api.Val(data.Monitoring).Enabled),
		DisableTermination: api.Val(data.DisableApiTermination), DisableStop: api.Val(data.DisableApiStop),
		OnShutdown: string(data.InstanceInitiatedShutdownBehavior),
		Spot:       data.InstanceMarketOptions != nil && data.InstanceMarketOptions.MarketType == "spot",
		Tags:       map[string]string{},
	}
	for _, n := range data.NetworkInterfaces {
		in.SecurityGroups = append(in.SecurityGroups, n.Groups...)
		in.InterfaceDescription = api.Val(n.Description)
	}
	if p := data.IamInstanceProfile; p != nil {
		if in.Profile = api.Val(p.Arn); in.Profile == "" {
			in.Profile = api.Val(p.Name)
		}
	}
	for _, d := range data.BlockDeviceMappings {
		if e := d.Ebs; e != nil && (api.Val(d.DeviceName) == rootDevice || len(data.BlockDeviceMappings) == 1) {
			in.VolumeGiB = int(api.Val(e.VolumeSize))
			in.Volume = ec2.RootVolume{
				Type: string(e.VolumeType), IOPS: int(api.Val(e.Iops)), Throughput: int(api.Val(e.Throughput)), Encrypted: api.Val(e.Encrypted),
			}
		}
	}
	if m := data.MetadataOptions; m != nil {
		in.Metadata = ec2.MetadataOptions{
			Tokens: string(m.HttpTokens), HopLimit: int(api.Val(m.HttpPutResponseHopLimit)), Endpoint: string(m.HttpEndpoint),
			Tags: string(m.InstanceMetadataTags), IPv6: string(m.HttpProtocolIpv6),
		}
	}
	for _, spec := range data.TagSpecifications {
		tags := map[string]string{}
		for _, t := range spec.Tags {
			tags[api.Val(t.Key)] = api.Val(t.Value)
		}
		switch spec.ResourceType {
		case ec2api.ResourceTypeInstance:
			maps.Copy(in.Tags, tags)
		case ec2api.ResourceTypeVolume:
			in.Volume.Tags = tags
		case ec2api.ResourceTypeNetworkInterface:
			in.InterfaceTags = tags
		}
	}
	return in, setUserData(&in, api.Val(data.UserData))
}

// fromConfiguration reads a launch configuration.
func fromConfiguration(c autoscaling.LaunchConfiguration) (ec2.LaunchInput, error) {
	in := ec2.LaunchInput{
		ImageID: c.Image, KeyName: c.Key, SecurityGroups: c.SecurityGroups, Profile: c.Profile,
		Monitoring: c.Monitoring, EBSOptimized: c.EBSOptimized, Spot: c.SpotPrice != "", Tags: map[string]string{},
	}
	for _, d := range c.Devices {
		if e := d.Ebs; e != nil && (api.Val(d.DeviceName) == rootDevice || len(c.Devices) == 1) {
			in.VolumeGiB = int(api.Val(e.VolumeSize))
			in.Volume = ec2.RootVolume{
				Type: api.Val(e.VolumeType), IOPS: int(api.Val(e.Iops)), Throughput: int(api.Val(e.Throughput)), Encrypted: api.Val(e.Encrypted),
			}
		}
	}
	if m := c.Metadata; m != nil {
		in.Metadata = ec2.MetadataOptions{Tokens: string(m.HttpTokens), HopLimit: int(api.Val(m.HttpPutResponseHopLimit)), Endpoint: string(m.HttpEndpoint)}
	}
	return in, setUserData(&in, c.UserData)
}

// setUserData reads what user data tells a node.
func setUserData(in *ec2.LaunchInput, encoded string) error {
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return fmt.Errorf("its user data is no base64: %w", err)
	}
	if len(text) == 0 {
		return nil
	}
	c, err := userdata.Parse(text)
	if err != nil {
		return fmt.Errorf("its user data: %w", err)
	}
	in.UserData = text
	in.Bootstrap = ec2.Bootstrap{Cluster: c.Cluster, Labels: c.Labels, MaxPods: c.MaxPods, ClusterDNS: c.ClusterDNS}
	for _, t := range c.Taints {
		in.Bootstrap.Taints = append(in.Bootstrap.Taints, ec2.Taint(t))
	}
	return nil
}
