package ec2

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// regions are AWS's commercial regions. A zone's id is the prefix with the number
// that follows the zone's letter here; which letters an account sees, and for
// which zones, differs from account to account. Zones in brackets are not listed
// unless something lives there.
// https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-availability-zones.html
var regions = map[string]struct {
	prefix string
	zones  string
	optIn  bool
}{
	"af-south-1": {"afs1", "a1b2c3", true}, "ap-east-1": {"ape1", "a1b2c3", true}, "ap-east-2": {"ape2", "a1b2c3", true},
	"ap-northeast-1": {"apne1", "a4c1d2(b3", false}, "ap-northeast-2": {"apne2", "a1b2c3d4", false}, "ap-northeast-3": {"apne3", "a1b2c3", false},
	"ap-south-1": {"aps1", "a1b3c2", false}, "ap-south-2": {"aps2", "a1b2c3", true},
	"ap-southeast-1": {"apse1", "a1b2c3", false}, "ap-southeast-2": {"apse2", "a1b3c2", false}, "ap-southeast-3": {"apse3", "a1b2c3", true},
	"ap-southeast-4": {"apse4", "a1b2c3", true}, "ap-southeast-5": {"apse5", "a1b2c3", true}, "ap-southeast-6": {"apse6", "a1b2c3", true},
	"ap-southeast-7": {"apse7", "a1b2c3", true},
	"ca-central-1":   {"cac1", "a1b2d4(c3", false}, "ca-west-1": {"caw1", "a1b2c3", true},
	"eu-central-1": {"euc1", "a2b3c1", false}, "eu-central-2": {"euc2", "a1b2c3", true}, "eu-north-1": {"eun1", "a1b2c3", false},
	"eu-south-1": {"eus1", "a1b2c3", true}, "eu-south-2": {"eus2", "a1b2c3", true},
	"eu-west-1": {"euw1", "a3b1c2", false}, "eu-west-2": {"euw2", "a2b3c1", false}, "eu-west-3": {"euw3", "a1b2c3", false},
	"il-central-1": {"ilc1", "a1b2c3", true}, "me-central-1": {"mec1", "a1b2c3", true}, "me-south-1": {"mes1", "a1b2c3", true},
	"mx-central-1": {"mxc1", "a1b2c3", true}, "sa-east-1": {"sae1", "a1b2c3", false},
	"us-east-1": {"use1", "a6b1c2d4e3f5", false}, "us-east-2": {"use2", "a1b2c3", false},
	"us-west-1": {"usw1", "a3c1(b2", false}, "us-west-2": {"usw2", "a2b1c3d4", false},
}

// Zone is an availability zone.
type Zone struct{ Name, ID string }

// Zones are the availability zones that the region shows, by name.
func (s *Service) Zones() []Zone {
	shown, _, _ := strings.Cut(regions[s.region].zones, "(")
	return s.zones(shown)
}

func (s *Service) zones(letters string) []Zone {
	var out []Zone
	for ; len(letters) > 1; letters = letters[2:] {
		out = append(out, Zone{Name: s.region + letters[:1], ID: regions[s.region].prefix + "-az" + letters[1:2]})
	}
	slices.SortFunc(out, func(a, b Zone) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// zone finds one of the region's zones by name or id, those that it does not show
// included.
func (s *Service) zone(nameOrID string) (Zone, bool) {
	all := s.zones(strings.ReplaceAll(regions[s.region].zones, "(", ""))
	i := slices.IndexFunc(all, func(z Zone) bool { return z.Name == nameOrID || z.ID == nameOrID })
	if i < 0 {
		return Zone{}, false
	}
	return all[i], true
}

// zoneID is the id of a zone, or empty if AWS knows none.
func (s *Service) zoneID(name string) string {
	z, _ := s.zone(name)
	return z.ID
}

// usedZones are those that the region shows, and those that subnets lie in.
func (s *Service) usedZones(ctx context.Context) ([]Zone, error) {
	zones := s.Zones()
	subnets, err := list(ctx, s.Subnets)
	for _, sub := range subnets {
		if !slices.ContainsFunc(zones, func(z Zone) bool { return z.Name == sub.Zone }) {
			zones = append(zones, Zone{Name: sub.Zone, ID: s.zoneID(sub.Zone)})
		}
	}
	slices.SortFunc(zones, func(a, b Zone) int { return strings.Compare(a.Name, b.Name) })
	return zones, err
}

// DescribeAvailabilityZones lists the region's zones.
func (s *Service) DescribeAvailabilityZones(ctx context.Context, in *ec2api.DescribeAvailabilityZonesInput) (*ec2api.DescribeAvailabilityZonesOutput, error) {
	zones, err := s.usedZones(ctx)
	if err != nil {
		return nil, err
	}
	for _, asked := range []struct {
		names []string
		of    func(Zone) string
	}{{in.ZoneNames, func(z Zone) string { return z.Name }}, {in.ZoneIds, func(z Zone) string { return z.ID }}} {
		for _, name := range asked.names {
			if !slices.ContainsFunc(zones, func(z Zone) bool { return asked.of(z) == name }) {
				return nil, bad("InvalidParameterValue", "Invalid availability zone: [%s]", name)
			}
		}
		if len(asked.names) > 0 {
			zones = slices.DeleteFunc(zones, func(z Zone) bool { return !slices.Contains(asked.names, asked.of(z)) })
		}
	}
	zones, err = selected(zones, in.Filters, func(z Zone) func(string) ([]string, bool) {
		return attributes{
			"zone-name": {z.Name}, "zone-id": {z.ID}, "region-name": {s.region}, "state": {"available"}, "zone-state": {"available"},
			"zone-type": {"availability-zone"}, "opt-in-status": {"opt-in-not-required"}, "group-name": {s.zoneGroup()},
			"network-border-group": {s.region}, "message": nil, "parent-zone-id": nil, "parent-zone-name": nil,
		}.get
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := make([]ec2api.AvailabilityZone, len(zones))
	for i, z := range zones {
		out[i] = ec2api.AvailabilityZone{
			State: ec2api.AvailabilityZoneStateAvailable, OptInStatus: ec2api.AvailabilityZoneOptInStatusOptInNotRequired,
			Messages: []ec2api.AvailabilityZoneMessage{}, RegionName: &s.region, ZoneName: new(z.Name), ZoneId: new(z.ID),
			GroupName: new(s.zoneGroup()), NetworkBorderGroup: &s.region, ZoneType: new("availability-zone"),
		}
	}
	return &ec2api.DescribeAvailabilityZonesOutput{AvailabilityZones: out}, nil
}

// zoneGroup is the group that the region's zones are enabled in together.
func (s *Service) zoneGroup() string { return s.region + "-zg-1" }

// DescribeRegions lists AWS's regions: those that need no opting in and this one,
// or all.
func (s *Service) DescribeRegions(_ context.Context, in *ec2api.DescribeRegionsInput) (*ec2api.DescribeRegionsOutput, error) {
	status := func(name string) string {
		switch {
		case !regions[name].optIn:
			return "opt-in-not-required"
		case name == s.region:
			return "opted-in"
		}
		return "not-opted-in"
	}
	endpoint := func(name string) string { return "ec2." + name + ".amazonaws.com" }
	var names []string
	for _, name := range slices.Sorted(maps.Keys(regions)) {
		asked := slices.Contains(in.RegionNames, name)
		if asked || len(in.RegionNames) == 0 && (api.Val(in.AllRegions) || status(name) != "not-opted-in") {
			names = append(names, name)
		}
	}
	for _, name := range in.RegionNames {
		if !slices.Contains(names, name) {
			return nil, bad("InvalidParameterValue", "Invalid region names: [%s]", name)
		}
	}
	names, err := selected(names, in.Filters, func(name string) func(string) ([]string, bool) {
		return attributes{"region-name": {name}, "endpoint": {endpoint(name)}, "opt-in-status": {status(name)}}.get
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := make([]ec2api.Region, len(names))
	for i, name := range names {
		out[i] = ec2api.Region{RegionName: new(name), Endpoint: new(endpoint(name)), OptInStatus: new(status(name))}
	}
	return &ec2api.DescribeRegionsOutput{Regions: out}, nil
}

// accountAttributes are those of an account without a default VPC.
var accountAttributes = []struct {
	name  string
	value string
}{
	{"supported-platforms", "VPC"},
	{"default-vpc", "none"},
	{"max-instances", "20"},
	{"vpc-max-security-groups-per-interface", strconv.Itoa(maxGroupsPerInterface)},
	{"max-elastic-ips", "5"},
	{"vpc-max-elastic-ips", "5"},
}

// DescribeAccountAttributes tells what the account may.
func (s *Service) DescribeAccountAttributes(_ context.Context, in *ec2api.DescribeAccountAttributesInput) (*ec2api.DescribeAccountAttributesOutput, error) {
	out := []ec2api.AccountAttribute{}
	for _, a := range accountAttributes {
		if len(in.AttributeNames) == 0 || slices.Contains(in.AttributeNames, ec2api.AccountAttributeName(a.name)) {
			out = append(out, ec2api.AccountAttribute{
				AttributeName: new(a.name), AttributeValues: []ec2api.AccountAttributeValue{{AttributeValue: new(a.value)}},
			})
		}
	}
	for _, name := range in.AttributeNames {
		if !slices.ContainsFunc(out, func(a ec2api.AccountAttribute) bool { return *a.AttributeName == string(name) }) {
			return nil, bad("InvalidParameterValue", "Invalid attribute name: %s", name)
		}
	}
	return &ec2api.DescribeAccountAttributesOutput{AccountAttributes: out}, dryRun(in.DryRun)
}
