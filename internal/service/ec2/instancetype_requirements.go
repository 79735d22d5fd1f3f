package ec2

import (
	"context"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/instancetype"
)

// GetInstanceTypesFromInstanceRequirements lists the types that have the
// attributes. Prices are nobody's here, so what is said of them is no condition.
func (s *Service) GetInstanceTypesFromInstanceRequirements(_ context.Context, in *ec2api.GetInstanceTypesFromInstanceRequirementsInput) (*ec2api.GetInstanceTypesFromInstanceRequirementsOutput, error) {
	r := in.InstanceRequirements
	if len(r.AllowedInstanceTypes) > 0 && len(r.ExcludedInstanceTypes) > 0 {
		return nil, bad("InvalidParameterCombination", "AllowedInstanceTypes and ExcludedInstanceTypes cannot be given together.")
	}
	if r.VCpuCount.Max != nil && *r.VCpuCount.Max < *r.VCpuCount.Min || r.MemoryMiB.Max != nil && *r.MemoryMiB.Max < *r.MemoryMiB.Min {
		return nil, bad("InvalidParameterValue", "The minimum of VCpuCount and of MemoryMiB must not be greater than the maximum.")
	}
	var types []instancetype.Type
	if slices.Contains(in.ArchitectureTypes, "x86_64") && slices.Contains(in.VirtualizationTypes, "hvm") {
		types = slices.DeleteFunc(instancetype.All(), func(t instancetype.Type) bool { return !meets(t, r) })
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	types, next, err := page(types, typeName, in.MaxResults, in.NextToken, 1, 1000)
	if err != nil {
		return nil, err
	}
	out := &ec2api.GetInstanceTypesFromInstanceRequirementsOutput{InstanceTypes: []ec2api.InstanceTypeInfoFromInstanceRequirements{}, NextToken: next}
	for _, t := range types {
		out.InstanceTypes = append(out.InstanceTypes, ec2api.InstanceTypeInfoFromInstanceRequirements{InstanceType: new(t.Name)})
	}
	return out, nil
}

// within says that n is in a range of which each end may be open.
func within[N int32 | float64](n N, least, most *N) bool {
	return (least == nil || n >= *least) && (most == nil || n <= *most)
}

// meets says that a type has the attributes.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceRequirementsRequest.html
func meets(t instancetype.Type, r *ec2api.InstanceRequirementsRequest) bool {
	manufacturer := map[string]ec2api.CpuManufacturer{"Intel": "intel", "AMD": "amd"}[t.Manufacturer]
	named := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return matchPattern(p, t.Name) })
	}
	switch {
	case !within(int32(t.VCPUs), r.VCpuCount.Min, r.VCpuCount.Max),
		!within(int32(t.MemoryMiB), r.MemoryMiB.Min, r.MemoryMiB.Max),
		r.MemoryGiBPerVCpu != nil && !within(float64(t.MemoryMiB)/1024/float64(t.VCPUs), r.MemoryGiBPerVCpu.Min, r.MemoryGiBPerVCpu.Max),
		r.NetworkInterfaceCount != nil && !within(int32(t.ENIs), r.NetworkInterfaceCount.Min, r.NetworkInterfaceCount.Max),
		r.BaselineEbsBandwidthMbps != nil && !within(int32(t.EBS.BaselineMbps), r.BaselineEbsBandwidthMbps.Min, r.BaselineEbsBandwidthMbps.Max),
		r.NetworkBandwidthGbps != nil && !within(float64(t.BaselineMbps)/1000, r.NetworkBandwidthGbps.Min, r.NetworkBandwidthGbps.Max):
		return false
	case len(r.CpuManufacturers) > 0 && !slices.Contains(r.CpuManufacturers, manufacturer),
		len(r.InstanceGenerations) > 0 && !slices.Contains(r.InstanceGenerations, "current"),
		len(r.AllowedInstanceTypes) > 0 && !named(r.AllowedInstanceTypes),
		named(r.ExcludedInstanceTypes):
		return false
	case t.BareMetal() && r.BareMetal != "included" && r.BareMetal != "required", // excluded by default, as the next one
		!t.BareMetal() && r.BareMetal == "required",
		t.Burstable() && r.BurstablePerformance != "included" && r.BurstablePerformance != "required",
		!t.Burstable() && r.BurstablePerformance == "required":
		return false
	case r.LocalStorage == "required", // no type in the table has disks or accelerators of its own
		r.TotalLocalStorageGB != nil && api.Val(r.TotalLocalStorageGB.Min) > 0,
		len(r.AcceleratorTypes)+len(r.AcceleratorManufacturers)+len(r.AcceleratorNames) > 0,
		r.AcceleratorCount != nil && api.Val(r.AcceleratorCount.Min) > 0,
		r.AcceleratorTotalMemoryMiB != nil && api.Val(r.AcceleratorTotalMemoryMiB.Min) > 0,
		api.Val(r.RequireHibernateSupport):
		return false
	}
	return true
}
