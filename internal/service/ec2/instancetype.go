package ec2

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/instancetype"
)

// DescribeInstanceTypes lists the types that run here: what is known of them is
// AWS's; what is not known is absent.
func (s *Service) DescribeInstanceTypes(_ context.Context, in *ec2api.DescribeInstanceTypesInput) (*ec2api.DescribeInstanceTypesOutput, error) {
	if len(in.InstanceTypes) > 0 && in.MaxResults != nil {
		return nil, bad("InvalidParameterCombination", "The parameter InstanceTypes cannot be used with the parameter MaxResults")
	}
	if len(in.InstanceTypes) > 100 {
		return nil, bad("InvalidParameterValue", "At most 100 instance types can be given.")
	}
	var absent []string
	for _, t := range in.InstanceTypes {
		if _, err := instancetype.Lookup(string(t)); err != nil {
			absent = append(absent, string(t))
		}
	}
	if len(absent) > 0 {
		return nil, bad("InvalidInstanceType", "The following supplied instance types do not exist: [%s]", strings.Join(absent, ", "))
	}
	types := slices.DeleteFunc(instancetype.All(), func(t instancetype.Type) bool {
		return len(in.InstanceTypes) > 0 && !slices.Contains(in.InstanceTypes, ec2api.InstanceType(t.Name))
	})
	types, err := selected(types, in.Filters, func(t instancetype.Type) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) { return typeAttribute(t, name) }
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	maxResults := in.MaxResults
	if len(in.InstanceTypes) == 0 && maxResults == nil {
		maxResults = new(int32(100))
	}
	types, next, err := page(types, typeName, maxResults, in.NextToken, 5, 100)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeInstanceTypesOutput{InstanceTypes: make([]ec2api.InstanceTypeInfo, 0, len(types)), NextToken: next}
	for _, t := range types {
		out.InstanceTypes = append(out.InstanceTypes, apiType(t))
	}
	return out, nil
}

func typeName(t instancetype.Type) string { return t.Name }

func typeAttribute(t instancetype.Type, name string) ([]string, bool) {
	number := func(n int) ([]string, bool) { return []string{strconv.Itoa(n)}, true }
	switch name {
	case "bare-metal":
		return boolean(t.BareMetal()), true
	case "burstable-performance-supported":
		return boolean(t.Burstable()), true
	case "current-generation":
		return []string{"true"}, true
	case "instance-storage-supported":
		return []string{"false"}, true
	case "ebs-info.ebs-optimized-support":
		return one(string(ebsInfo(t).EbsOptimizedSupport)), true
	case "ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps":
		return number(t.EBS.BaselineMbps)
	case "ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps":
		return number(t.EBS.MaxMbps)
	case "ebs-info.ebs-optimized-info.baseline-iops":
		return number(t.EBS.BaselineIOPS)
	case "ebs-info.ebs-optimized-info.maximum-iops":
		return number(t.EBS.MaxIOPS)
	case "ebs-info.encryption-support":
		return []string{"supported"}, true
	case "ebs-info.nvme-support":
		return one(string(ebsInfo(t).NvmeSupport)), true
	case "hypervisor":
		return one(t.Hypervisor), true
	case "instance-type":
		return one(t.Name), true
	case "memory-info.size-in-mib":
		return number(t.MemoryMiB)
	case "network-info.ena-support":
		return one(string(enaSupport(t))), true
	case "network-info.ipv4-addresses-per-interface", "network-info.ipv6-addresses-per-interface":
		return number(t.IPv4PerENI)
	case "network-info.ipv6-supported":
		return []string{"true"}, true
	case "network-info.maximum-network-cards":
		return number(1)
	case "network-info.maximum-network-interfaces":
		return number(t.ENIs)
	case "network-info.network-performance":
		return one(t.Network), true
	case "processor-info.supported-architecture":
		return one(t.Architecture), true
	case "supported-root-device-type":
		return []string{"ebs"}, true
	case "supported-usage-class":
		return []string{"on-demand", "spot"}, true
	case "supported-virtualization-type":
		return []string{"hvm"}, true
	case "vcpu-info.default-cores":
		return number(t.Cores)
	case "vcpu-info.default-threads-per-core":
		return number(t.VCPUs / max(t.Cores, 1))
	case "vcpu-info.default-vcpus":
		return number(t.VCPUs)
	case "instance-storage-info.disk.count", "instance-storage-info.disk.size-in-gb", "instance-storage-info.disk.type",
		"instance-storage-info.encryption-support", "instance-storage-info.nvme-support", "instance-storage-info.total-size-in-gb":
		return nil, true
	}
	return nil, false
}

func ebsInfo(t instancetype.Type) *ec2api.EbsInfo {
	if t.EBS == (instancetype.EBS{}) {
		return &ec2api.EbsInfo{EbsOptimizedSupport: "unsupported", EncryptionSupport: "supported", NvmeSupport: "unsupported"}
	}
	return &ec2api.EbsInfo{EbsOptimizedSupport: "default", EncryptionSupport: "supported", NvmeSupport: "required", EbsOptimizedInfo: &ec2api.EbsOptimizedInfo{
		BaselineBandwidthInMbps: new(int32(t.EBS.BaselineMbps)), BaselineThroughputInMBps: new(float64(t.EBS.BaselineMbps) / 8), BaselineIops: new(int32(t.EBS.BaselineIOPS)),
		MaximumBandwidthInMbps: new(int32(t.EBS.MaxMbps)), MaximumThroughputInMBps: new(float64(t.EBS.MaxMbps) / 8), MaximumIops: new(int32(t.EBS.MaxIOPS)),
	}}
}

func enaSupport(t instancetype.Type) ec2api.EnaSupport {
	if t.Hypervisor == "xen" {
		return "unsupported"
	}
	return "required"
}

func apiType(t instancetype.Type) ec2api.InstanceTypeInfo {
	card := ec2api.NetworkCardInfo{NetworkCardIndex: new(int32(0)), NetworkPerformance: new(t.Network), MaximumNetworkInterfaces: new(int32(t.ENIs))}
	if gbps, ok := t.PeakGbps(); ok {
		card.BaselineBandwidthInGbps, card.PeakBandwidthInGbps = new(float64(t.BaselineMbps)/1000), &gbps
	}
	placement := []ec2api.PlacementGroupStrategy{"cluster", "partition", "spread"}
	if t.Burstable() {
		placement = placement[1:]
	}
	return ec2api.InstanceTypeInfo{
		InstanceType: ec2api.InstanceType(t.Name), CurrentGeneration: new(true),
		SupportedUsageClasses: []ec2api.UsageClassType{"on-demand", "spot"}, SupportedRootDeviceTypes: []ec2api.RootDeviceType{"ebs"},
		SupportedVirtualizationTypes: []ec2api.VirtualizationType{"hvm"}, BareMetal: new(t.BareMetal()), Hypervisor: ec2api.InstanceTypeHypervisor(t.Hypervisor),
		ProcessorInfo: &ec2api.ProcessorInfo{SupportedArchitectures: []ec2api.ArchitectureType{ec2api.ArchitectureType(t.Architecture)}, Manufacturer: new(t.Manufacturer)},
		VCpuInfo: &ec2api.VCpuInfo{
			DefaultVCpus: new(int32(t.VCPUs)), DefaultCores: new(int32(t.Cores)), DefaultThreadsPerCore: new(int32(t.ThreadsPerCore())),
		},
		MemoryInfo: &ec2api.MemoryInfo{SizeInMiB: new(int64(t.MemoryMiB))}, InstanceStorageSupported: new(false), EbsInfo: ebsInfo(t),
		NetworkInfo: &ec2api.NetworkInfo{
			NetworkPerformance: new(t.Network), MaximumNetworkInterfaces: new(int32(t.ENIs)), MaximumNetworkCards: new(int32(1)),
			DefaultNetworkCardIndex: new(int32(0)), NetworkCards: []ec2api.NetworkCardInfo{card},
			Ipv4AddressesPerInterface: new(int32(t.IPv4PerENI)), Ipv6AddressesPerInterface: new(int32(t.IPv4PerENI)), Ipv6Supported: new(true),
			EnaSupport: enaSupport(t),
		},
		PlacementGroupInfo:            &ec2api.PlacementGroupInfo{SupportedStrategies: placement},
		BurstablePerformanceSupported: new(t.Burstable()),
	}
}

// DescribeInstanceTypeOfferings lists where types can be had: everywhere.
func (s *Service) DescribeInstanceTypeOfferings(ctx context.Context, in *ec2api.DescribeInstanceTypeOfferingsInput) (*ec2api.DescribeInstanceTypeOfferingsOutput, error) {
	zones, err := s.usedZones(ctx)
	if err != nil {
		return nil, err
	}
	var locations []string
	kind := in.LocationType
	switch kind {
	case "", "region":
		kind, locations = "region", []string{s.region}
	case "availability-zone":
		for _, z := range zones {
			locations = append(locations, z.Name)
		}
	case "availability-zone-id":
		for _, z := range zones {
			locations = append(locations, z.ID)
		}
	default:
		return nil, invalid("LocationType", string(kind))
	}
	all := make([]ec2api.InstanceTypeOffering, 0, len(locations)*len(instancetype.All()))
	for _, t := range instancetype.All() {
		for _, l := range locations {
			all = append(all, ec2api.InstanceTypeOffering{InstanceType: ec2api.InstanceType(t.Name), LocationType: kind, Location: new(l)})
		}
	}
	all, err = selected(all, in.Filters, func(o ec2api.InstanceTypeOffering) func(string) ([]string, bool) {
		return attributes{"instance-type": {string(o.InstanceType)}, "location": {api.Val(o.Location)}}.get
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	maxResults := in.MaxResults
	if maxResults == nil {
		maxResults = new(int32(1000))
	}
	all, next, err := page(all, func(o ec2api.InstanceTypeOffering) string { return string(o.InstanceType) + "/" + api.Val(o.Location) }, maxResults, in.NextToken, 5, 1000)
	if err != nil {
		return nil, err
	}
	return &ec2api.DescribeInstanceTypeOfferingsOutput{InstanceTypeOfferings: orEmpty(all), NextToken: next}, nil
}
