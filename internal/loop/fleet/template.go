package fleet

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/userdata"
)

// template is what the group's launch template says of instances.
func (l *Loop) template(ctx context.Context, t *eks.Template) (ec2.LaunchInput, error) {
	if t == nil {
		return ec2.LaunchInput{}, nil
	}
	_, _, data, err := l.EC2.TemplateData(ctx, t.ID, "", t.Version)
	if err != nil {
		return ec2.LaunchInput{}, fmt.Errorf("reading version %s of launch template %s: %w", t.Version, t.ID, err)
	}
	in, err := fromTemplate(data)
	if err != nil {
		return in, fmt.Errorf("version %s of launch template %s: %w", t.Version, t.ID, err)
	}
	return in, nil
}

// fromTemplate reads a launch template. What EKS decides itself (type, subnet,
// role, number) is left out. Its user data may say what it will of the kubelet,
// but not which cluster it joins.
func fromTemplate(data ec2api.RequestLaunchTemplateData) (ec2.LaunchInput, error) {
	in := ec2.LaunchInput{
		ImageID: api.Val(data.ImageId), KeyName: api.Val(data.KeyName), SecurityGroups: data.SecurityGroupIds,
		EBSOptimized: api.Val(data.EbsOptimized), Monitoring: api.Val(api.Val(data.Monitoring).Enabled),
		DisableTermination: api.Val(data.DisableApiTermination), DisableStop: api.Val(data.DisableApiStop),
		Tags: map[string]string{},
	}
	for _, n := range data.NetworkInterfaces {
		in.SecurityGroups = append(in.SecurityGroups, n.Groups...)
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
		if spec.ResourceType == "instance" {
			for _, t := range spec.Tags {
				in.Tags[api.Val(t.Key)] = api.Val(t.Value)
			}
		}
	}
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(api.Val(data.UserData)), ""))
	if err != nil {
		return in, fmt.Errorf("its user data is no base64: %w", err)
	}
	if len(text) == 0 {
		return in, nil
	}
	c, err := userdata.Parse(text)
	if err != nil {
		return in, fmt.Errorf("its user data: %w", err)
	}
	in.UserData = text
	in.Bootstrap = ec2.Bootstrap{Labels: maps.Clone(c.Labels), MaxPods: c.MaxPods, ClusterDNS: c.ClusterDNS}
	for _, t := range c.Taints {
		in.Bootstrap.Taints = append(in.Bootstrap.Taints, ec2.Taint(t))
	}
	return in, nil
}

// rootDevice is that of EKS's images.
const rootDevice = "/dev/xvda"
