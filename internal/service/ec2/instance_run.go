package ec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/userdata"
)

// maxLaunch is how many instances one call may launch: EC2's quota for a new
// account, and what one transaction holds.
const maxLaunch = 100

// maxUserData is EC2's limit, before base64.
const maxUserData = 16384

// RunInstances launches instances, as the request and its launch template say.
func (s *Service) RunInstances(ctx context.Context, in *ec2api.RunInstancesInput) (*ec2api.RunInstancesOutput, error) {
	least, most := *in.MinCount, *in.MaxCount
	switch {
	case least < 1:
		return nil, bad("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. Minimum is 1.", least)
	case most < least:
		return nil, bad("InvalidParameterValue", "Value (%d) for parameter maxCount is invalid. It must not be less than minCount (%d).", most, least)
	case most > maxLaunch:
		return nil, bad("InstanceLimitExceeded", "You have requested more instances (%d) than one call can launch (%d).", most, maxLaunch)
	}
	merged, err := s.withTemplate(ctx, in)
	if err != nil {
		return nil, err
	}
	launch, err := s.launchInput(ctx, merged)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	launch.Count, launch.Least = int(most), int(least)

	s.allocating.Lock()
	defer s.allocating.Unlock()
	ids, remember, err := s.recall(ctx, "RunInstances", in.ClientToken, in)
	if err != nil {
		return nil, err
	}
	var instances []Instance
	if ids == nil {
		if instances, err = s.launch(ctx, launch, remember); err != nil {
			return nil, launchError(err, launch)
		}
	} else {
		for _, id := range ids {
			item, err := get(ctx, s.Instances, instanceIDs, id)
			if err != nil {
				return nil, err
			}
			instances = append(instances, item.Value)
		}
	}
	groups, err := s.groupNames(ctx)
	if err != nil {
		return nil, err
	}
	r := s.reservations(instances, groups)[0]
	return &ec2api.RunInstancesOutput{Groups: r.Groups, Instances: r.Instances, OwnerId: r.OwnerId, ReservationId: r.ReservationId}, nil
}

// launchError turns what Launch says into EC2's words.
func launchError(err error, in LaunchInput) error {
	var missing *store.OpError
	switch {
	case errors.Is(err, subnet.ErrFull):
		return bad("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", in.Subnet)
	case errors.As(err, &missing) && isNotFound(err):
		// What was there when it was checked has been deleted since.
		for _, k := range []idKind{groupIDs, subnetIDs} {
			if strings.HasPrefix(missing.Key, k.prefix+"-") {
				return k.missing(missing.Key)
			}
		}
	}
	return err
}

// launchInput checks a request, and says what it asks for.
func (s *Service) launchInput(ctx context.Context, in *ec2api.RunInstancesInput) (LaunchInput, error) {
	if err := unsupportedLaunch(in); err != nil {
		return LaunchInput{}, err
	}
	image, err := s.findImage(api.Val(in.ImageId))
	if err != nil {
		return LaunchInput{}, err
	}
	if err := checkType(string(in.InstanceType)); err != nil {
		return LaunchInput{}, err
	}
	out := LaunchInput{
		Type: string(in.InstanceType), ImageID: image.ID, KeyName: api.Val(in.KeyName), clientToken: api.Val(in.ClientToken),
		Monitoring: in.Monitoring != nil && api.Val(in.Monitoring.Enabled), EBSOptimized: api.Val(in.EbsOptimized),
		DisableTermination: api.Val(in.DisableApiTermination), DisableStop: api.Val(in.DisableApiStop),
		OnShutdown: string(in.InstanceInitiatedShutdownBehavior),
		Spot:       in.InstanceMarketOptions != nil && in.InstanceMarketOptions.MarketType == "spot",
	}
	for _, set := range []func(context.Context, *ec2api.RunInstancesInput, *LaunchInput) error{
		s.setNetwork, s.setKey, s.setProfile, s.setTags, s.setMetadata,
	} {
		if err := set(ctx, in, &out); err != nil {
			return LaunchInput{}, err
		}
	}
	if err := setVolume(in.BlockDeviceMappings, image, &out); err != nil {
		return LaunchInput{}, err
	}
	if out.UserData, out.Bootstrap, err = bootstrap(api.Val(in.UserData)); err != nil {
		return LaunchInput{}, err
	}
	return out, nil
}

// unsupportedLaunch refuses what would have to be ignored.
func unsupportedLaunch(in *ec2api.RunInstancesInput) error {
	placement := in.Placement
	if placement == nil {
		placement = &ec2api.Placement{}
	}
	for _, p := range []struct {
		name string
		set  bool
	}{
		{"KernelId", in.KernelId != nil},
		{"RamdiskId", in.RamdiskId != nil},
		{"Ipv6AddressCount", api.Val(in.Ipv6AddressCount) > 0},
		{"Ipv6Addresses", len(in.Ipv6Addresses) > 0},
		{"EnablePrimaryIpv6", api.Val(in.EnablePrimaryIpv6)},
		{"ElasticGpuSpecification", len(in.ElasticGpuSpecification) > 0},
		{"ElasticInferenceAccelerators", len(in.ElasticInferenceAccelerators) > 0},
		{"CpuOptions", in.CpuOptions != nil},
		{"HibernationOptions", in.HibernationOptions != nil && api.Val(in.HibernationOptions.Configured)},
		{"EnclaveOptions", in.EnclaveOptions != nil && api.Val(in.EnclaveOptions.Enabled)},
		{"LicenseSpecifications", len(in.LicenseSpecifications) > 0},
		{"Placement.Tenancy", placement.Tenancy != "" && placement.Tenancy != "default"},
		{"Placement.GroupName", api.Val(placement.GroupName) != "" || api.Val(placement.GroupId) != ""},
		{"Placement.HostId", placement.HostId != nil || placement.HostResourceGroupArn != nil},
		{"InstanceMarketOptions.MarketType", in.InstanceMarketOptions != nil && !slices.Contains([]ec2api.MarketType{"", "spot"}, in.InstanceMarketOptions.MarketType)},
	} {
		if p.set {
			return bad("Unsupported", "The requested configuration is currently not supported. Instances are launched without %s.", p.name)
		}
	}
	return nil
}

// checkType wants a type that runs here; the errors are EC2's.
func checkType(name string) error {
	if name == "" {
		return missing("InstanceType")
	}
	if _, err := instancetype.Lookup(name); err != nil {
		if instancetype.ARM(name) {
			return bad("Unsupported", "The requested configuration is currently not supported. %s is of the architecture arm64, and instances run on this machine's x86_64 processor.", name)
		}
		return bad("InvalidParameterValue", "Invalid value '%s' for InstanceType: %s.", name, err)
	}
	return nil
}

// bootstrap decodes user data, and reads what it tells an EKS node.
func bootstrap(encoded string) ([]byte, Bootstrap, error) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		return nil, Bootstrap{}, bad("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	if len(data) > maxUserData {
		return nil, Bootstrap{}, bad("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	c, err := userdata.Parse(data)
	if err != nil {
		return nil, Bootstrap{}, bad("InvalidParameterValue", "Invalid value for parameter userData: %s.", err)
	}
	if c.Cluster == "" && len(strings.TrimSpace(string(data))) > 0 {
		return nil, Bootstrap{}, bad("InvalidParameterValue", "Invalid value for parameter userData: it names no cluster for the node to join.")
	}
	b := Bootstrap{Cluster: c.Cluster, Labels: c.Labels, MaxPods: c.MaxPods, ClusterDNS: c.ClusterDNS}
	for _, t := range c.Taints {
		b.Taints = append(b.Taints, Taint(t))
	}
	if len(data) == 0 {
		data = nil
	}
	return data, b, nil
}

// setNetwork finds the subnet and the security groups, which are the request's or
// its network interface's.
func (s *Service) setNetwork(ctx context.Context, in *ec2api.RunInstancesInput, out *LaunchInput) error {
	groups, subnetID, address := in.SecurityGroupIds, api.Val(in.SubnetId), api.Val(in.PrivateIpAddress)
	if len(in.NetworkInterfaces) > 0 {
		switch {
		case in.SubnetId != nil:
			return bad("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID may not be specified on the same request")
		case len(in.SecurityGroupIds) > 0 || len(in.SecurityGroups) > 0:
			return bad("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
		case in.PrivateIpAddress != nil:
			return bad("InvalidParameterCombination", "Network interfaces and an instance-level private address may not be specified on the same request")
		case len(in.NetworkInterfaces) > 1 || api.Val(in.NetworkInterfaces[0].DeviceIndex) != 0:
			return bad("Unsupported", "The requested configuration is currently not supported. An instance has one network interface, with the device index 0; its pods' addresses are that interface's.")
		}
		n := in.NetworkInterfaces[0]
		if n.NetworkInterfaceId != nil || len(n.PrivateIpAddresses) > 0 || api.Val(n.SecondaryPrivateIpAddressCount) > 0 ||
			len(n.Ipv6Addresses) > 0 || api.Val(n.Ipv6AddressCount) > 0 || len(n.Ipv4Prefixes) > 0 || api.Val(n.Ipv4PrefixCount) > 0 {
			return bad("Unsupported", "The requested configuration is currently not supported. Instances are launched with a new network interface whose secondary addresses are those of the instance's pods.")
		}
		if n.DeleteOnTermination != nil && !*n.DeleteOnTermination {
			return bad("Unsupported", "The requested configuration is currently not supported. An instance's network interface ends with the instance.")
		}
		groups, subnetID, address = n.Groups, api.Val(n.SubnetId), api.Val(n.PrivateIpAddress)
		out.InterfaceDescription = api.Val(n.Description)
	}
	if subnetID == "" {
		return bad("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC. Name a subnet.")
	}
	home, err := get(ctx, s.Subnets, subnetIDs, subnetID)
	if err != nil {
		return err
	}
	if p := in.Placement; p != nil && p.AvailabilityZone != nil && *p.AvailabilityZone != home.Value.Zone {
		return bad("InvalidParameterCombination", "The subnet '%s' is in the availability zone %s, not in %s", subnetID, home.Value.Zone, *p.AvailabilityZone)
	}
	out.Subnet = subnetID
	if out.SecurityGroups, err = s.launchGroups(ctx, home.Value.VPC, groups, in.SecurityGroups); err != nil {
		return err
	}
	if address == "" {
		return nil
	}
	out.Address, err = s.launchAddress(ctx, home.Value, address, *in.MaxCount)
	return err
}

// launchGroups checks security groups, which may be named in a default VPC only.
func (s *Service) launchGroups(ctx context.Context, vpc string, ids, named []string) ([]string, error) {
	if len(named) > 0 {
		return nil, bad("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet")
	}
	all, err := list(ctx, s.SecurityGroups)
	if err != nil {
		return nil, err
	}
	found, err := wanted(all, groupIDs, func(g SecurityGroup) string { return g.ID }, ids)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	for _, g := range found {
		if g.VPC != vpc {
			return nil, bad("InvalidParameter", "Security group %s and subnet belong to different networks.", g.ID)
		}
	}
	return ids, nil
}

// launchAddress checks the address that the instance shall have.
func (s *Service) launchAddress(ctx context.Context, home Subnet, address string, count int32) (netip.Addr, error) {
	a, err := netip.ParseAddr(address)
	switch {
	case count != 1:
		return a, bad("InvalidParameterCombination", "A private address may be specified for a single instance only")
	case err != nil:
		return a, bad("InvalidParameterValue", "invalid value for parameter address: %s", address)
	case !home.CIDR.Contains(a):
		return a, bad("InvalidParameterValue", "Address %s does not fall within the subnet's address range", address)
	case a.Less(subnet.Nth(home.CIDR, 4)) || a == subnet.Nth(home.CIDR, 1<<(32-home.CIDR.Bits())-1):
		return a, bad("InvalidParameterValue", "Address %s is in subnet's reserved address range", address)
	}
	taken, err := s.takenAddresses(ctx, home.VPC)
	if err == nil && taken[a] {
		err = bad("InvalidIPAddress.InUse", "Address %s is in use.", address)
	}
	return a, err
}

func (s *Service) setKey(ctx context.Context, in *ec2api.RunInstancesInput, out *LaunchInput) error {
	if out.KeyName == "" {
		return nil
	}
	_, err := s.keyByName(ctx, out.KeyName)
	return err
}

func (s *Service) setProfile(ctx context.Context, in *ec2api.RunInstancesInput, out *LaunchInput) error {
	p, err := s.findProfile(ctx, in.IamInstanceProfile)
	out.Profile = p.ARN
	return err
}

func (s *Service) setTags(ctx context.Context, in *ec2api.RunInstancesInput, out *LaunchInput) error {
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeInstance, ec2api.ResourceTypeVolume,
		ec2api.ResourceTypeNetworkInterface, ec2api.ResourceTypeSpotInstancesRequest)
	out.Tags, out.Volume.Tags, out.InterfaceTags = tags[ec2api.ResourceTypeInstance], tags[ec2api.ResourceTypeVolume], tags[ec2api.ResourceTypeNetworkInterface]
	return err
}

func (s *Service) setMetadata(_ context.Context, in *ec2api.RunInstancesInput, out *LaunchInput) error {
	m := in.MetadataOptions
	if m == nil {
		return nil
	}
	return out.Metadata.set(string(m.HttpTokens), m.HttpPutResponseHopLimit, string(m.HttpEndpoint), string(m.InstanceMetadataTags), string(m.HttpProtocolIpv6))
}

// set takes over what is given.
func (m *MetadataOptions) set(tokens string, hops *int32, endpoint, tags, ipv6 string) error {
	for _, p := range []struct {
		name, value string
		allowed     []string
	}{
		{"HttpTokens", tokens, []string{"", "required", "optional"}},
		{"HttpEndpoint", endpoint, []string{"", "enabled", "disabled"}},
		{"InstanceMetadataTags", tags, []string{"", "enabled", "disabled"}},
		{"HttpProtocolIpv6", ipv6, []string{"", "disabled"}},
	} {
		if !slices.Contains(p.allowed, p.value) {
			return invalid(p.name, p.value)
		}
	}
	if hops != nil && (*hops < 1 || *hops > 64) {
		return invalid("HttpPutResponseHopLimit", strconv.Itoa(int(*hops)))
	}
	m.Tokens, m.Endpoint, m.Tags, m.IPv6 = cmp.Or(tokens, m.Tokens), cmp.Or(endpoint, m.Endpoint), cmp.Or(tags, m.Tags), cmp.Or(ipv6, m.IPv6)
	m.HopLimit = cmp.Or(int(api.Val(hops)), m.HopLimit)
	return nil
}
