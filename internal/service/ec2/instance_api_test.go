package ec2_test

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

const nodeConfig = `---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: eks-work
    apiServerEndpoint: https://example.com
    certificateAuthority: Y2VydA==
    cidr: 10.100.0.0/16
  kubelet:
    config:
      maxPods: 8
    flags:
      - --node-labels=team=lake
      - --register-with-taints=k=v:NoSchedule
`

func encoded(s string) *string { return aws.String(base64.StdEncoding.EncodeToString([]byte(s))) }

// newestImage is the EKS-optimized image, found as users find it.
func newestImage(t testing.TB, c *awsec2.Client) string {
	t.Helper()
	out := must[*awsec2.DescribeImagesOutput](t)(c.DescribeImages(t.Context(), &awsec2.DescribeImagesInput{
		Owners: []string{"amazon"}, Filters: []types.Filter{{Name: aws.String("name"), Values: []string{"amazon-eks-node-al2023-x86_64-standard-*"}}},
	}))
	if len(out.Images) == 0 {
		t.Fatal("there is no EKS-optimized image")
	}
	return *out.Images[0].ImageId
}

func filters(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: &name, Values: values}}
}

func TestRunInstances(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	must[*awsec2.CreateKeyPairOutput](t)(c.CreateKeyPair(t.Context(), &awsec2.CreateKeyPairInput{KeyName: aws.String("k")}))
	in := &awsec2.RunInstancesInput{
		ImageId: aws.String(newestImage(t, c)), InstanceType: "t3.medium", MinCount: aws.Int32(2), MaxCount: aws.Int32(2),
		SubnetId: &home.ID, UserData: encoded(nodeConfig), KeyName: aws.String("k"), ClientToken: aws.String("once"),
		IamInstanceProfile:  &types.IamInstanceProfileSpecification{Name: aws.String("nodes")},
		Placement:           &types.Placement{AvailabilityZone: &home.Zone},
		MetadataOptions:     &types.InstanceMetadataOptionsRequest{HttpPutResponseHopLimit: aws.Int32(1), InstanceMetadataTags: "enabled"},
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(80), VolumeType: "gp2"}}},
		TagSpecifications: []types.TagSpecification{
			{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("n")}}},
			{ResourceType: "volume", Tags: []types.Tag{{Key: aws.String("of"), Value: aws.String("n")}}},
			{ResourceType: "network-interface", Tags: []types.Tag{{Key: aws.String("eni"), Value: aws.String("n")}}},
		},
	}
	run := must[*awsec2.RunInstancesOutput](t)
	// First, while no address is taken: the others get theirs by chance.
	bare := run(c.RunInstances(t.Context(), &awsec2.RunInstancesInput{
		ImageId: in.ImageId, InstanceType: "t3.small", MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), SubnetId: &home.ID, PrivateIpAddress: aws.String("192.168.0.77")}},
	}))
	if i := get(t, s, *bare.Instances[0].InstanceId).Value; i.Bootstrap.Cluster != "" || i.Address.String() != "192.168.0.77" || len(i.PodAddresses) != 0 || i.VolumeGiB != 20 {
		t.Errorf("without user data: %+v", i)
	}

	out := run(c.RunInstances(t.Context(), in))
	if len(out.Instances) != 2 || !strings.HasPrefix(*out.ReservationId, "r-") || *out.OwnerId != account {
		t.Fatalf("%+v", out)
	}
	for n, i := range out.Instances {
		checkID(t, "i", *i.InstanceId)
		eni, mapping := i.NetworkInterfaces[0], i.BlockDeviceMappings[0]
		if i.State.Name != "pending" || *i.State.Code != 0 || *i.AmiLaunchIndex != int32(n) || i.InstanceType != "t3.medium" || *i.KeyName != "k" ||
			*i.SubnetId != home.ID || *i.VpcId != home.VPC || *i.Placement.AvailabilityZone != home.Zone || i.StateReason == nil || *i.StateReason.Code != "pending" {
			t.Errorf("%+v", i)
		}
		if i.SecurityGroups[0].GroupName == nil || *i.SecurityGroups[0].GroupName != "default" || *i.IamInstanceProfile.Arn != "arn:aws:iam::000000000000:instance-profile/nodes" {
			t.Errorf("groups %+v, profile %+v", i.SecurityGroups, i.IamInstanceProfile)
		}
		if m := i.MetadataOptions; m.HttpTokens != "required" || *m.HttpPutResponseHopLimit != 1 || m.InstanceMetadataTags != "enabled" || m.HttpEndpoint != "enabled" {
			t.Errorf("metadata options %+v", m)
		}
		if len(eni.PrivateIpAddresses) != 9 || *eni.PrivateIpAddress != *i.PrivateIpAddress || *mapping.DeviceName != "/dev/xvda" {
			t.Errorf("%d addresses, %+v", len(eni.PrivateIpAddresses), mapping)
		}
		kept := get(t, s, *i.InstanceId).Value
		b := kept.Bootstrap
		if b.Cluster != "eks-work" || b.MaxPods != 8 || b.Labels["team"] != "lake" || len(b.Taints) != 1 || string(kept.UserData) != nodeConfig || kept.Profile.RoleARN == "" {
			t.Errorf("%+v", kept)
		}
		volumes := must[*awsec2.DescribeVolumesOutput](t)(c.DescribeVolumes(t.Context(), &awsec2.DescribeVolumesInput{Filters: filters("attachment.instance-id", *i.InstanceId)})).Volumes
		if len(volumes) != 1 || *volumes[0].VolumeId != *mapping.Ebs.VolumeId || *volumes[0].Size != 80 || *volumes[0].Iops != 240 || *volumes[0].Tags[0].Key != "of" {
			t.Errorf("volumes %+v", volumes)
		}
		if eni, err := s.ENIs.Get(t.Context(), kept.ENI); err != nil || eni.Value.Tags["eni"] != "n" || eni.Value.Attachment == "" || len(eni.Value.SecurityGroups) != 1 {
			t.Errorf("interface %+v, %v", eni.Value, err)
		}
	}
	again := run(c.RunInstances(t.Context(), in))
	if *again.Instances[0].InstanceId != *out.Instances[0].InstanceId || len(enis(t, s)) != 3 {
		t.Error("the same token launched more")
	}
	in.InstanceType = "t3.small"
	_, err := c.RunInstances(t.Context(), in)
	wantCode(t, "another call with the token", err, "IdempotentParameterMismatch", "")
	checkAddresses(t, s, home)
}

func TestRunInstancesRefuses(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/24")
	c := client(t, s)
	image := newestImage(t, c)
	other, _, err := s.CreateVPC(t.Context(), netip.MustParsePrefix("10.0.0.0/16"), zones, nil)
	if err != nil {
		t.Fatal(err)
	}
	var foreign string
	groups, _, err := s.SecurityGroups.List(t.Context(), "")
	for _, g := range groups {
		if g.Value.VPC == other.ID {
			foreign = g.Value.ID
		}
	}
	if err != nil || foreign == "" {
		t.Fatal(err, groups)
	}
	type input = awsec2.RunInstancesInput
	for _, test := range []struct {
		name, code, words string
		change            func(*input)
	}{
		{"none", "InvalidParameterValue", "minCount", func(in *input) { in.MinCount = aws.Int32(0) }},
		{"fewer at most than at least", "InvalidParameterValue", "maxCount", func(in *input) { in.MinCount = aws.Int32(2) }},
		{"too many", "InstanceLimitExceeded", "", func(in *input) { in.MaxCount = aws.Int32(1000) }},
		{"no image", "MissingParameter", "ImageId", func(in *input) { in.ImageId = nil }},
		{"a broken image id", "InvalidAMIID.Malformed", "ami-x", func(in *input) { in.ImageId = aws.String("ami-x") }},
		{"an unknown image", "InvalidAMIID.NotFound", "'[ami-00000000000000000]'", func(in *input) { in.ImageId = aws.String("ami-00000000000000000") }},
		{"an unknown type", "InvalidParameterValue", "near it there are", func(in *input) { in.InstanceType = "t3.meduim" }},
		{"an ARM type", "Unsupported", "arm64", func(in *input) { in.InstanceType = "t4g.medium" }},
		{"no subnet", "VPCIdNotSpecified", "No default VPC", func(in *input) { in.SubnetId = nil }},
		{"a broken subnet id", "InvalidSubnetID.Malformed", "", func(in *input) { in.SubnetId = aws.String("sub") }},
		{"an unknown subnet", "InvalidSubnetID.NotFound", "subnet-00000000", func(in *input) { in.SubnetId = aws.String("subnet-00000000") }},
		{"an unknown group", "InvalidGroup.NotFound", "sg-00000000", func(in *input) { in.SecurityGroupIds = []string{"sg-00000000"} }},
		{"another VPC's group", "InvalidParameter", "different networks", func(in *input) { in.SecurityGroupIds = []string{foreign} }},
		{"another zone", "InvalidParameterCombination", "zone", func(in *input) { in.Placement = &types.Placement{AvailabilityZone: aws.String("ap-northeast-2d")} }},
		{"an unknown key", "InvalidKeyPair.NotFound", "'x'", func(in *input) { in.KeyName = aws.String("x") }},
		{"an unknown profile", "InvalidParameterValue", "Invalid IAM Instance Profile name", func(in *input) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("x")}
		}},
		{"a subnet twice", "InvalidParameterCombination", "subnet ID", func(in *input) {
			in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), SubnetId: &home.ID}}
		}},
		{"two interfaces", "Unsupported", "one network interface", func(in *input) {
			in.SubnetId, in.NetworkInterfaces = nil, make([]types.InstanceNetworkInterfaceSpecification, 2)
			in.NetworkInterfaces[0].SubnetId, in.NetworkInterfaces[1].DeviceIndex = &home.ID, aws.Int32(1)
		}},
		{"a reserved address", "InvalidParameterValue", "reserved", func(in *input) { in.PrivateIpAddress = aws.String(home.CIDR.Addr().Next().String()) }},
		{"a foreign address", "InvalidParameterValue", "does not fall within", func(in *input) { in.PrivateIpAddress = aws.String("10.9.9.9") }},
		{"a data volume", "Unsupported", "/dev/sdb", func(in *input) {
			in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/sdb")}}
		}},
		{"a small volume", "InvalidBlockDeviceMapping", "expect size >= 20GB", func(in *input) {
			in.BlockDeviceMappings = []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(8)}}}
		}},
		{"a dedicated host", "Unsupported", "Tenancy", func(in *input) { in.Placement = &types.Placement{Tenancy: "dedicated"} }},
		{"broken base64", "InvalidUserData.Malformed", "BASE64", func(in *input) { in.UserData = aws.String("***") }},
		{"user data that is none's", "InvalidParameterValue", "none that an EKS node understands", func(in *input) { in.UserData = encoded("hello") }},
		{"user data without a cluster", "InvalidParameterValue", "no cluster", func(in *input) {
			in.UserData = encoded("apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\n")
		}},
		{"user data that cannot be honoured", "InvalidParameterValue", "yum", func(in *input) {
			in.UserData = encoded("#!/bin/bash\nyum update\n/etc/eks/bootstrap.sh eks-work\n")
		}},
		{"long user data", "InvalidParameterValue", "16384", func(in *input) { in.UserData = encoded(strings.Repeat("#", 16385)) }},
		{"tags of nothing", "InvalidParameterValue", "", func(in *input) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: "vpc", Tags: []types.Tag{{Key: aws.String("a")}}}}
		}},
		{"an unknown template", "InvalidLaunchTemplateName.NotFoundException", "", func(in *input) {
			in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("none")}
		}},
		{"only asking", "DryRunOperation", "would have succeeded", func(in *input) { in.DryRun = aws.Bool(true) }},
		{"more than the subnet holds", "InsufficientFreeAddressesInSubnet", home.ID, func(in *input) {
			in.InstanceType, in.UserData = "t3.large", encoded("#!/bin/sh\n/etc/eks/bootstrap.sh eks-work\n")
		}},
	} {
		in := &input{
			ImageId: &image, InstanceType: "t3.small", MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SubnetId: &home.ID,
		}
		test.change(in)
		_, err := c.RunInstances(t.Context(), in)
		wantCode(t, test.name, err, test.code, test.words)
	}
	if items, _, err := s.Instances.List(t.Context(), ""); err != nil || len(items) != 0 || len(enis(t, s)) != 0 {
		t.Errorf("refused launches left %d instances, %d interfaces, %v", len(items), len(enis(t, s)), err)
	}
	// As many as there is room for: 27 free addresses, 12 for each.
	out := must[*awsec2.RunInstancesOutput](t)(c.RunInstances(t.Context(), &input{
		ImageId: &image, InstanceType: "t3.small", MinCount: aws.Int32(1), MaxCount: aws.Int32(5), SubnetId: &home.ID,
		UserData: encoded("#!/bin/sh\n/etc/eks/bootstrap.sh eks-work\n"),
	}))
	if len(out.Instances) != 2 {
		t.Errorf("%d instances where there is room for 2", len(out.Instances))
	}
}

func TestDescribeInstances(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	first := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 3, Bootstrap: node, Profile: "nodes", Tags: map[string]string{"Name": "web-1", "kubernetes.io/cluster/eks-work": "owned"}})
	second := run(t, s, ec2.LaunchInput{Type: "m5.large", Subnet: home.ID, Count: 4, Tags: map[string]string{"Name": "db"}, Spot: true})
	one := first[0]
	if err := s.MarkRunning(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	describe := must[*awsec2.DescribeInstancesOutput](t)
	count := func(out *awsec2.DescribeInstancesOutput) (n int) {
		for _, r := range out.Reservations {
			n += len(r.Instances)
		}
		return n
	}
	if out := describe(c.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{})); len(out.Reservations) != 2 || count(out) != 7 {
		t.Errorf("%d reservations with %d instances", len(out.Reservations), count(out))
	}
	for _, test := range []struct {
		name  string
		value string
		want  int
	}{
		{"instance-state-name", "running", 1}, {"instance-state-name", "pending", 6}, {"instance-state-code", "16", 1},
		{"private-dns-name", one.PrivateDNSName, 1}, {"private-ip-address", one.Address.String(), 1}, {"instance-type", "m5.*", 4},
		{"vpc-id", home.VPC, 7}, {"subnet-id", home.ID, 7}, {"availability-zone", home.Zone, 7}, {"image-id", one.ImageID, 7},
		{"tag:Name", "web-*", 3}, {"tag:Name", "web-?", 3}, {"tag-key", "kubernetes.io/cluster/eks-work", 3}, {"tag:none", "*", 0},
		{"instance.group-name", "default", 7}, {"instance.group-id", one.SecurityGroups[0], 7}, {"reservation-id", one.Reservation, 3},
		{"network-interface.addresses.private-ip-address", one.PodAddresses[3].String(), 1}, {"network-interface.network-interface-id", one.ENI, 1},
		{"iam-instance-profile.arn", "*:instance-profile/nodes", 3}, {"instance-lifecycle", "spot", 4}, {"launch-index", "3", 1},
		{"block-device-mapping.volume-id", one.Volume.ID, 1}, {"metadata-options.http-tokens", "required", 7}, {"owner-id", account, 7},
	} {
		out := describe(c.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{Filters: filters(test.name, test.value)}))
		if count(out) != test.want {
			t.Errorf("%s=%s finds %d, want %d", test.name, test.value, count(out), test.want)
		}
	}
	seen := map[string]bool{}
	pages := awsec2.NewDescribeInstancesPaginator(c, &awsec2.DescribeInstancesInput{MaxResults: aws.Int32(5)})
	for n := 0; pages.HasMorePages(); n++ {
		for _, r := range must[*awsec2.DescribeInstancesOutput](t)(pages.NextPage(t.Context())).Reservations {
			for _, i := range r.Instances {
				if seen[*i.InstanceId] {
					t.Errorf("%s twice", *i.InstanceId)
				}
				seen[*i.InstanceId] = true
			}
		}
		if n > 1 {
			t.Fatal("more than two pages")
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d instances in pages", len(seen))
	}
	for _, test := range []struct {
		in          awsec2.DescribeInstancesInput
		code, words string
	}{
		{awsec2.DescribeInstancesInput{InstanceIds: []string{"i-00000000"}}, "InvalidInstanceID.NotFound", "The instance ID 'i-00000000' does not exist"},
		{awsec2.DescribeInstancesInput{InstanceIds: []string{"i-00000000", "i-00000001"}}, "InvalidInstanceID.NotFound", "The instance IDs 'i-00000000, i-00000001' do not exist"},
		{awsec2.DescribeInstancesInput{InstanceIds: []string{"x"}}, "InvalidInstanceID.Malformed", `"x"`},
		{awsec2.DescribeInstancesInput{Filters: filters("colour", "red")}, "InvalidParameterValue", "The filter 'colour' is invalid"},
		{awsec2.DescribeInstancesInput{MaxResults: aws.Int32(1)}, "InvalidParameterValue", "maxResults"},
		{awsec2.DescribeInstancesInput{InstanceIds: []string{one.ID}, MaxResults: aws.Int32(5)}, "InvalidParameterCombination", ""},
	} {
		_, err := c.DescribeInstances(t.Context(), &test.in)
		wantCode(t, fmt.Sprint(test.in), err, test.code, test.words)
	}
	// What has ended has no address, and is still shown.
	gone := second[0].ID
	if err := s.Terminate(t.Context(), gone, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkTerminated(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	i := describe(c.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{InstanceIds: []string{gone}})).Reservations[0].Instances[0]
	if *i.State.Code != 48 || i.PrivateIpAddress != nil || i.SubnetId != nil || len(i.NetworkInterfaces) != 0 || *i.StateReason.Code != "Client.UserInitiatedShutdown" {
		t.Errorf("%+v", i)
	}
	if out := describe(c.DescribeInstances(t.Context(), &awsec2.DescribeInstancesInput{Filters: filters("vpc-id", home.VPC)})); count(out) != 6 {
		t.Errorf("an instance that has ended is still in its VPC: %d", count(out))
	}
}

// fixed is a clock.
type fixed struct{ time time.Time }

func (f *fixed) now() time.Time { return f.time }

func TestInstanceStatus(t *testing.T) {
	clock := &fixed{time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
	s, err := ec2.New(ec2.Config{Client: storetest.Open(t).Client(), Account: account, Region: "ap-northeast-2", Now: clock.now})
	if err != nil {
		t.Fatal(err)
	}
	_, subnets, err := s.CreateVPC(t.Context(), zonesCIDR, zones, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, s)
	id := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: subnets[0].ID, Count: 1})[0].ID
	status := func(all bool) []types.InstanceStatus {
		return must[*awsec2.DescribeInstanceStatusOutput](t)(c.DescribeInstanceStatus(t.Context(), &awsec2.DescribeInstanceStatusInput{IncludeAllInstances: &all})).InstanceStatuses
	}
	if got := status(false); len(got) != 0 {
		t.Errorf("a pending instance is shown: %+v", got)
	}
	if got := status(true); len(got) != 1 || got[0].InstanceStatus.Status != "not-applicable" || got[0].InstanceState.Name != "pending" {
		t.Errorf("%+v", got)
	}
	if err := s.MarkRunning(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := status(false); len(got) != 1 || got[0].SystemStatus.Status != "initializing" {
		t.Errorf("%+v", got)
	}
	clock.time = clock.time.Add(time.Minute)
	if got := status(false); len(got) != 1 || got[0].InstanceStatus.Status != "ok" || got[0].InstanceStatus.Details[0].Status != "passed" {
		t.Errorf("%+v", got)
	}
	must[*awsec2.StopInstancesOutput](t)(c.StopInstances(t.Context(), &awsec2.StopInstancesInput{InstanceIds: []string{id}}))
	if got := get(t, s, id).Value.Transition; got != "User initiated (2026-11-22 10:01:00 GMT)" {
		t.Errorf("transition %q", got)
	}
}
