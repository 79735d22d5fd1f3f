package eksctl

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// zoneLetters are the availability zones of AWS's commercial regions, in the
// order in which Tarn takes the default three. Which letters an account sees
// differs from account to account where a region has more zones than it shows
// (us-west-1, ap-northeast-1), so a file may name any letter up to the last.
var zoneLetters = map[string]string{
	"af-south-1": "abc", "ap-east-1": "abc", "ap-east-2": "abc",
	"ap-northeast-1": "acd", "ap-northeast-2": "abcd", "ap-northeast-3": "abc",
	"ap-south-1": "abc", "ap-south-2": "abc",
	"ap-southeast-1": "abc", "ap-southeast-2": "abc", "ap-southeast-3": "abc",
	"ap-southeast-4": "abc", "ap-southeast-5": "abc", "ap-southeast-6": "abc", "ap-southeast-7": "abc",
	"ca-central-1": "abd", "ca-west-1": "abc",
	"eu-central-1": "abc", "eu-central-2": "abc", "eu-north-1": "abc",
	"eu-south-1": "abc", "eu-south-2": "abc",
	"eu-west-1": "abc", "eu-west-2": "abc", "eu-west-3": "abc",
	"il-central-1": "abc", "me-central-1": "abc", "me-south-1": "abc", "mx-central-1": "abc",
	"sa-east-1": "abc",
	"us-east-1": "abcdef", "us-east-2": "abc", "us-west-1": "ac", "us-west-2": "abcd",
}

// Regions returns the regions that a cluster file may name, sorted.
func Regions() []string { return slices.Sorted(maps.Keys(zoneLetters)) }

func unknownRegion(region string) string {
	problem := "unknown region " + shown(region)
	switch {
	case regionOf(region) != "":
		return problem + ": this is a zone; its region is " + region[:len(region)-1]
	case strings.HasPrefix(region, "us-gov-"), strings.HasPrefix(region, "cn-"):
		return problem + ": Tarn has the regions of AWS's commercial partition only"
	}
	return problem + cmp.Or(didYouMean(region, Regions()), ": give one of AWS's commercial regions, such as ap-northeast-2")
}

// regionOf returns the known region that zone is in, or "".
func regionOf(zone string) string {
	if len(zone) < 2 {
		return ""
	}
	region, letter := zone[:len(zone)-1], zone[len(zone)-1:]
	letters, known := zoneLetters[region]
	if !known || letter < "a" || letter > letters[len(letters)-1:] {
		return ""
	}
	return region
}

// checkZone returns what is wrong with a zone of region, or "".
func checkZone(zone, region string) string {
	switch in := regionOf(zone); {
	case in == region:
		return ""
	case in != "":
		return fmt.Sprintf("zone %s is in region %s, but metadata.region is %s", zone, in, region)
	default:
		letters := zoneLetters[region]
		return fmt.Sprintf("no availability zone %s in %s: its zones are %sa to %s%c", shown(zone), region, region, region, letters[len(letters)-1])
	}
}

// defaultZones are the region's first three zones, and those that node groups name.
func defaultZones(region string, named []string) []string {
	var zones []string
	for _, letter := range zoneLetters[region][:min(defaultZoneCount, len(zoneLetters[region]))] {
		zones = append(zones, region+string(letter))
	}
	zones = append(zones, named...)
	slices.Sort(zones)
	return slices.Compact(zones)
}
