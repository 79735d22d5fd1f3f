package ec2_test

import (
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/tarn-eks/tarn/internal/instancetype"
)

func TestDescribeInstanceTypes(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	describe := must[*awsec2.DescribeInstanceTypesOutput](t)
	got := describe(c.DescribeInstanceTypes(t.Context(), &awsec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"m6i.large"}})).InstanceTypes
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	i := got[0]
	if *i.VCpuInfo.DefaultVCpus != 2 || *i.MemoryInfo.SizeInMiB != 8192 || *i.NetworkInfo.MaximumNetworkInterfaces != 3 || *i.NetworkInfo.Ipv4AddressesPerInterface != 10 ||
		i.Hypervisor != "nitro" || *i.BurstablePerformanceSupported || *i.EbsInfo.EbsOptimizedInfo.BaselineBandwidthInMbps != 650 ||
		*i.NetworkInfo.NetworkCards[0].BaselineBandwidthInGbps != 0.781 || *i.NetworkInfo.NetworkCards[0].PeakBandwidthInGbps != 12.5 || i.ProcessorInfo.SupportedArchitectures[0] != "x86_64" {
		t.Errorf("%+v", i)
	}
	seen := map[types.InstanceType]bool{}
	for p := awsec2.NewDescribeInstanceTypesPaginator(c, &awsec2.DescribeInstanceTypesInput{}); p.HasMorePages(); {
		page := must[*awsec2.DescribeInstanceTypesOutput](t)(p.NextPage(t.Context()))
		if len(page.InstanceTypes) > 100 {
			t.Errorf("a page of %d", len(page.InstanceTypes))
		}
		for _, i := range page.InstanceTypes {
			seen[i.InstanceType] = true
		}
	}
	if len(seen) != len(instancetype.All()) {
		t.Errorf("%d of %d types", len(seen), len(instancetype.All()))
	}
	small := describe(c.DescribeInstanceTypes(t.Context(), &awsec2.DescribeInstanceTypesInput{Filters: []types.Filter{
		{Name: aws.String("vcpu-info.default-vcpus"), Values: []string{"2"}}, {Name: aws.String("instance-type"), Values: []string{"t3.*"}},
		{Name: aws.String("memory-info.size-in-mib"), Values: []string{"4096"}},
	}})).InstanceTypes
	if len(small) != 1 || small[0].InstanceType != "t3.medium" {
		t.Errorf("%+v", small)
	}
	_, err := c.DescribeInstanceTypes(t.Context(), &awsec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t4g.small", "t3.small"}})
	wantCode(t, "a type that is not there", err, "InvalidInstanceType", "[t4g.small]")
}

func TestInstanceTypeOfferings(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	for location, want := range map[types.LocationType]string{"": "ap-northeast-2", "availability-zone": "ap-northeast-2b", "availability-zone-id": "apne2-az2"} {
		out := must[*awsec2.DescribeInstanceTypeOfferingsOutput](t)(c.DescribeInstanceTypeOfferings(t.Context(), &awsec2.DescribeInstanceTypeOfferingsInput{
			LocationType: location, Filters: []types.Filter{{Name: aws.String("instance-type"), Values: []string{"t3.medium"}}, {Name: aws.String("location"), Values: []string{want}}},
		})).InstanceTypeOfferings
		if len(out) != 1 || *out[0].Location != want {
			t.Errorf("%s: %+v", location, out)
		}
	}
}

func TestInstanceRequirements(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	for _, test := range []struct {
		name     string
		change   func(*types.InstanceRequirementsRequest)
		has, not []string
	}{
		{"two vCPUs, 4 to 8 GiB", func(*types.InstanceRequirementsRequest) {}, []string{"c5.large", "m5.large", "m7a.large"}, []string{"t3.medium", "r5.large", "m5.xlarge"}},
		{"burstable ones too", func(r *types.InstanceRequirementsRequest) { r.BurstablePerformance = "included" }, []string{"t3.medium", "c5.large"}, nil},
		{"burstable ones only", func(r *types.InstanceRequirementsRequest) { r.BurstablePerformance = "required" }, []string{"t3.large"}, []string{"c5.large"}},
		{"AMD's", func(r *types.InstanceRequirementsRequest) { r.CpuManufacturers = []types.CpuManufacturer{"amd"} }, []string{"m6a.large"}, []string{"m6i.large"}},
		{"but for c5", func(r *types.InstanceRequirementsRequest) { r.ExcludedInstanceTypes = []string{"c5*"} }, []string{"c6i.large"}, []string{"c5.large", "c5a.large"}},
		{"of one family", func(r *types.InstanceRequirementsRequest) { r.AllowedInstanceTypes = []string{"m7i-flex.*"} }, []string{"m7i-flex.large"}, []string{"m7i.large"}},
		{"much memory for a vCPU", func(r *types.InstanceRequirementsRequest) {
			r.MemoryGiBPerVCpu = &types.MemoryGiBPerVCpuRequest{Min: aws.Float64(4)}
		}, []string{"m5.large"}, []string{"c5.large"}},
		{"with a GPU", func(r *types.InstanceRequirementsRequest) { r.AcceleratorTypes = []types.AcceleratorType{"gpu"} }, nil, []string{"m5.large"}},
		{"bare metal", func(r *types.InstanceRequirementsRequest) {
			r.BareMetal, r.VCpuCount, r.MemoryMiB = "required", &types.VCpuCountRangeRequest{Min: aws.Int32(0)}, &types.MemoryMiBRequest{Min: aws.Int32(0)}
		}, []string{"m5.metal", "m7i.metal-24xl"}, []string{"m5.24xlarge"}},
	} {
		r := &types.InstanceRequirementsRequest{
			VCpuCount: &types.VCpuCountRangeRequest{Min: aws.Int32(2), Max: aws.Int32(2)}, MemoryMiB: &types.MemoryMiBRequest{Min: aws.Int32(4096), Max: aws.Int32(8192)},
		}
		test.change(r)
		out := must[*awsec2.GetInstanceTypesFromInstanceRequirementsOutput](t)(c.GetInstanceTypesFromInstanceRequirements(t.Context(), &awsec2.GetInstanceTypesFromInstanceRequirementsInput{
			ArchitectureTypes: []types.ArchitectureType{"x86_64"}, VirtualizationTypes: []types.VirtualizationType{"hvm"}, InstanceRequirements: r,
		})).InstanceTypes
		var got []string
		for _, i := range out {
			got = append(got, *i.InstanceType)
		}
		for _, name := range test.has {
			if !slices.Contains(got, name) {
				t.Errorf("%s: no %s in %v", test.name, name, got)
			}
		}
		for _, name := range test.not {
			if slices.Contains(got, name) {
				t.Errorf("%s: %s is there", test.name, name)
			}
		}
	}
}

func TestImages(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	id := newestImage(t, c)
	checkID(t, "ami", id)
	if other, _ := withVPC(t, "us-east-1", "192.168.0.0/16"); newestImage(t, client(t, other)) == id {
		t.Error("an image has the same id in two regions")
	}
	if i, ok := s.EKSImage("1.37"); !ok || i.ID != id || i.Created.IsZero() {
		t.Errorf("%+v", i)
	}
	describe := must[*awsec2.DescribeImagesOutput](t)
	for _, owner := range []string{"amazon", "602401143452"} {
		if got := describe(c.DescribeImages(t.Context(), &awsec2.DescribeImagesInput{Owners: []string{owner}})).Images; len(got) == 0 || *got[0].OwnerId != "602401143452" || *got[0].ImageOwnerAlias != "amazon" {
			t.Errorf("of %s: %+v", owner, got)
		}
	}
	if got := describe(c.DescribeImages(t.Context(), &awsec2.DescribeImagesInput{Owners: []string{"self"}})).Images; len(got) != 0 {
		t.Errorf("own images: %+v", got)
	}
	_, err := c.DescribeImages(t.Context(), &awsec2.DescribeImagesInput{ImageIds: []string{"ami-00000000000000000"}})
	wantCode(t, "an unknown image", err, "InvalidAMIID.NotFound", "The image id '[ami-00000000000000000]' does not exist")
	_, err = c.DescribeImages(t.Context(), &awsec2.DescribeImagesInput{ImageIds: []string{"ami-x"}})
	wantCode(t, "a broken id", err, "InvalidAMIID.Malformed", `"ami-x"`)
}
