package ec2

import (
	"strconv"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/instancetype"
)

// stateCodes are the numbers of the states, in the low byte of instanceState.code.
var stateCodes = map[State]int32{Pending: 0, Running: 16, ShuttingDown: 32, Terminated: 48, Stopping: 64, Stopped: 80}

func (s State) api() *ec2api.InstanceState {
	return &ec2api.InstanceState{Code: new(stateCodes[s]), Name: ec2api.InstanceStateName(s)}
}

// reason is EC2's code for the state, or "".
func (i Instance) reason() (code, message string) {
	switch i.State {
	case Pending:
		return "pending", "pending"
	case Running:
		return "", ""
	default:
		return "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown"
	}
}

// names are security groups' names by id.
type names map[string]string

func (n names) of(groups []string) []ec2api.GroupIdentifier {
	out := make([]ec2api.GroupIdentifier, len(groups))
	for k, g := range groups {
		out[k] = ec2api.GroupIdentifier{GroupId: new(g), GroupName: new(n[g])}
	}
	return out
}

func (n names) values(groups []string) []string {
	out := make([]string, len(groups))
	for k, g := range groups {
		out[k] = n[g]
	}
	return out
}

// apiInstance is the instance as the API shows it. Instances have no public
// address: nothing outside the machine could use it.
func (s *Service) apiInstance(i *Instance, groups names) ec2api.Instance {
	t, _ := instancetype.Lookup(i.Type) // Launch has
	out := ec2api.Instance{
		AmiLaunchIndex: new(int32(i.LaunchIndex)), ImageId: new(i.ImageID), InstanceId: new(i.ID), InstanceType: ec2api.InstanceType(i.Type),
		LaunchTime: new(i.Launched), Monitoring: i.monitoring(), PublicDnsName: new(""), ProductCodes: []ec2api.ProductCode{},
		Placement: &ec2api.Placement{AvailabilityZone: new(i.Zone), GroupName: new(""), Tenancy: "default"},
		State:     i.State.api(), StateTransitionReason: new(i.Transition), Architecture: ec2api.ArchitectureValues(t.Architecture),
		ClientToken: new(i.ClientToken), EbsOptimized: new(i.EBSOptimized), EnaSupport: new(true), Hypervisor: "xen",
		RootDeviceName: new(rootDevice), RootDeviceType: "ebs", VirtualizationType: "hvm", Tags: toTags(i.Tags),
		CpuOptions:                       &ec2api.CpuOptions{CoreCount: new(int32(t.Cores)), ThreadsPerCore: new(int32(t.VCPUs / max(t.Cores, 1)))},
		CapacityReservationSpecification: &ec2api.CapacityReservationSpecificationResponse{CapacityReservationPreference: "open"},
		HibernationOptions:               &ec2api.HibernationOptions{Configured: new(false)},
		EnclaveOptions:                   &ec2api.EnclaveOptions{Enabled: new(false)},
		BootMode:                         "uefi-preferred", CurrentInstanceBootMode: "uefi",
		PlatformDetails: new("Linux/UNIX"), UsageOperation: new("RunInstances"), UsageOperationUpdateTime: new(i.Created),
		MetadataOptions:    i.Metadata.api("applied"),
		MaintenanceOptions: &ec2api.InstanceMaintenanceOptions{AutoRecovery: "default"},
		SecurityGroups:     []ec2api.GroupIdentifier{}, BlockDeviceMappings: []ec2api.InstanceBlockDeviceMapping{},
		NetworkInterfaces: []ec2api.InstanceNetworkInterface{},
	}
	if code, message := i.reason(); code != "" {
		out.StateReason = &ec2api.StateReason{Code: &code, Message: &message}
	}
	if i.KeyName != "" {
		out.KeyName = new(i.KeyName)
	}
	if i.Spot != "" {
		out.InstanceLifecycle, out.SpotInstanceRequestId = "spot", new(i.Spot)
	}
	if i.gone() {
		out.PrivateDnsName = new("")
		return out
	}
	out.PrivateDnsName, out.PrivateIpAddress = new(i.PrivateDNSName), new(i.Address.String())
	out.PrivateDnsNameOptions = &ec2api.PrivateDnsNameOptionsResponse{
		HostnameType: "ip-name", EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false),
	}
	out.SubnetId, out.VpcId, out.SourceDestCheck = new(i.Subnet), new(i.VPC), new(!i.NoDestCheck)
	out.SecurityGroups = groups.of(i.SecurityGroups)
	if i.ProfileAssociation != "" {
		out.IamInstanceProfile = &ec2api.IamInstanceProfile{Arn: new(i.Profile.ARN), Id: new(i.Profile.ID)}
	}
	out.BlockDeviceMappings = i.blockDevices()
	out.NetworkInterfaces = []ec2api.InstanceNetworkInterface{s.apiInterface(i, out.SecurityGroups)}
	return out
}

func (i Instance) blockDevices() []ec2api.InstanceBlockDeviceMapping {
	return []ec2api.InstanceBlockDeviceMapping{{DeviceName: new(rootDevice), Ebs: &ec2api.EbsInstanceBlockDevice{
		AttachTime: new(i.Created), DeleteOnTermination: new(true), Status: "attached", VolumeId: new(i.Volume.ID),
	}}}
}

func (i Instance) monitoring() *ec2api.Monitoring {
	if i.Monitoring {
		return &ec2api.Monitoring{State: "enabled"}
	}
	return &ec2api.Monitoring{State: "disabled"}
}

func (m MetadataOptions) api(state ec2api.InstanceMetadataOptionsState) *ec2api.InstanceMetadataOptionsResponse {
	return &ec2api.InstanceMetadataOptionsResponse{
		State: state, HttpTokens: ec2api.HttpTokensState(m.Tokens), HttpPutResponseHopLimit: new(int32(m.HopLimit)),
		HttpEndpoint:     ec2api.InstanceMetadataEndpointState(m.Endpoint),
		HttpProtocolIpv6: ec2api.InstanceMetadataProtocolState(m.IPv6), InstanceMetadataTags: ec2api.InstanceMetadataTagsState(m.Tags),
	}
}

func (s *Service) apiInterface(i *Instance, groups []ec2api.GroupIdentifier) ec2api.InstanceNetworkInterface {
	addresses := make([]ec2api.InstancePrivateIpAddress, 0, 1+len(i.PodAddresses))
	addresses = append(addresses, ec2api.InstancePrivateIpAddress{Primary: new(true), PrivateDnsName: new(i.PrivateDNSName), PrivateIpAddress: new(i.Address.String())})
	secondary, texts := new(false), make([]string, 2*len(i.PodAddresses))
	for n, a := range i.PodAddresses {
		name, address := &texts[2*n], &texts[2*n+1]
		*name, *address = s.privateDNSName(a), a.String()
		addresses = append(addresses, ec2api.InstancePrivateIpAddress{Primary: secondary, PrivateDnsName: name, PrivateIpAddress: address})
	}
	return ec2api.InstanceNetworkInterface{
		Attachment: &ec2api.InstanceNetworkInterfaceAttachment{
			AttachTime: new(i.Created), AttachmentId: new(i.Attachment), DeleteOnTermination: new(true), DeviceIndex: new(int32(0)),
			Status: "attached", NetworkCardIndex: new(int32(0)),
		},
		Description: new(""), Groups: groups, Ipv6Addresses: []ec2api.InstanceIpv6Address{}, MacAddress: new(i.MAC), NetworkInterfaceId: new(i.ENI),
		OwnerId: new(s.scope.Account), PrivateDnsName: new(i.PrivateDNSName), PrivateIpAddress: new(i.Address.String()), PrivateIpAddresses: addresses,
		SourceDestCheck: new(!i.NoDestCheck), Status: "in-use", SubnetId: new(i.Subnet), VpcId: new(i.VPC), InterfaceType: new("interface"),
	}
}

// instanceAttribute answers DescribeInstances' filters.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
func (s *Service) instanceAttribute(i Instance, groups names, name string) ([]string, bool) {
	switch name {
	case "architecture":
		return []string{"x86_64"}, true
	case "availability-zone":
		return one(i.Zone), true
	case "client-token":
		return one(i.ClientToken), true
	case "dns-name", "ip-address", "platform", "product-code", "product-code.type", "kernel-id", "ramdisk-id", "outpost-arn", "placement-group-name",
		"placement-partition-number", "host-id", "affinity", "capacity-reservation-id", "network-interface.addresses.association.public-ip",
		"network-interface.association.public-ip", "network-interface.ipv6-addresses.ipv6-address":
		return nil, true
	case "hypervisor":
		return []string{"xen"}, true
	case "iam-instance-profile.arn":
		return one(i.Profile.ARN), true
	case "iam-instance-profile.id":
		return one(i.Profile.ID), true
	case "iam-instance-profile.name":
		return one(i.Profile.Name), true
	case "image-id":
		return one(i.ImageID), true
	case "instance-id":
		return one(i.ID), true
	case "instance-lifecycle":
		if i.Spot == "" {
			return nil, true
		}
		return []string{"spot"}, true
	case "instance-state-code":
		return []string{strconv.Itoa(int(stateCodes[i.State]))}, true
	case "instance-state-name":
		return one(string(i.State)), true
	case "instance-type":
		return one(i.Type), true
	case "key-name":
		return one(i.KeyName), true
	case "launch-index":
		return []string{strconv.Itoa(i.LaunchIndex)}, true
	case "launch-time":
		return []string{imageTime(i.Launched)}, true
	case "metadata-options.http-endpoint":
		return one(i.Metadata.Endpoint), true
	case "metadata-options.http-put-response-hop-limit":
		return []string{strconv.Itoa(i.Metadata.HopLimit)}, true
	case "metadata-options.http-tokens":
		return one(i.Metadata.Tokens), true
	case "metadata-options.instance-metadata-tags":
		return one(i.Metadata.Tags), true
	case "monitoring-state":
		return one(string(i.monitoring().State)), true
	case "owner-id":
		return []string{s.scope.Account}, true
	case "platform-details":
		return []string{"Linux/UNIX"}, true
	case "reason":
		return one(i.Transition), true
	case "requester-id":
		return nil, true
	case "reservation-id":
		return one(i.Reservation), true
	case "root-device-name":
		return []string{rootDevice}, true
	case "root-device-type":
		return []string{"ebs"}, true
	case "spot-instance-request-id":
		return one(i.Spot), true
	case "state-reason-code":
		code, _ := i.reason()
		return one(code), true
	case "state-reason-message":
		_, message := i.reason()
		return one(message), true
	case "tenancy":
		return []string{"default"}, true
	case "usage-operation":
		return []string{"RunInstances"}, true
	case "virtualization-type":
		return []string{"hvm"}, true
	}
	if values, known := tagValues(i.Tags, name); known {
		return values, true
	}
	values, known := s.attachedAttribute(i, groups, name)
	if i.gone() {
		return nil, known
	}
	return values, known
}

// attachedAttribute is about what an instance has until it ends.
func (s *Service) attachedAttribute(i Instance, groups names, name string) ([]string, bool) {
	switch name {
	case "block-device-mapping.attach-time":
		return []string{imageTime(i.Created)}, true
	case "block-device-mapping.delete-on-termination":
		return []string{"true"}, true
	case "block-device-mapping.device-name":
		return []string{rootDevice}, true
	case "block-device-mapping.status", "network-interface.attachment.status":
		return []string{"attached"}, true
	case "block-device-mapping.volume-id":
		return one(i.Volume.ID), true
	case "group-id", "instance.group-id", "network-interface.group-id":
		return i.SecurityGroups, true
	case "group-name", "instance.group-name", "network-interface.group-name":
		return groups.values(i.SecurityGroups), true
	case "network-interface.addresses.primary":
		return []string{"true", "false"}[:min(2, 1+len(i.PodAddresses))], true
	case "network-interface.addresses.private-ip-address":
		out := []string{i.Address.String()}
		for _, a := range i.PodAddresses {
			out = append(out, a.String())
		}
		return out, true
	case "network-interface.attachment.attachment-id":
		return one(i.Attachment), true
	case "network-interface.attachment.delete-on-termination":
		return []string{"true"}, true
	case "network-interface.attachment.device-index":
		return []string{"0"}, true
	case "network-interface.attachment.instance-id":
		return one(i.ID), true
	case "network-interface.attachment.instance-owner-id", "network-interface.owner-id":
		return []string{s.scope.Account}, true
	case "network-interface.availability-zone":
		return one(i.Zone), true
	case "network-interface.mac-address":
		return one(i.MAC), true
	case "network-interface.network-interface-id":
		return one(i.ENI), true
	case "network-interface.private-dns-name", "private-dns-name":
		return one(i.PrivateDNSName), true
	case "network-interface.status":
		return []string{"in-use"}, true
	case "private-ip-address":
		return one(i.Address.String()), true
	case "network-interface.source-dest-check", "source-dest-check":
		return boolean(!i.NoDestCheck), true
	case "network-interface.subnet-id", "subnet-id":
		return one(i.Subnet), true
	case "network-interface.vpc-id", "vpc-id":
		return one(i.VPC), true
	}
	return nil, false
}
