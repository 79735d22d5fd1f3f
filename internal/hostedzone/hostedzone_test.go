package hostedzone

import "testing"

func TestZones(t *testing.T) {
	seen := map[string]string{}
	for _, region := range Regions() {
		zone := OfLoadBalancers(region)
		if other := seen[zone]; other != "" {
			t.Errorf("%s and %s have the zone %s", region, other, zone)
		}
		seen[zone] = region
		if got := Region(zone); got != region {
			t.Errorf("the zone of %s leads to %q", region, got)
		}
	}
	// What clients of the lesson's region have built in.
	if got := OfLoadBalancers("ap-northeast-2"); got != "ZWKZPGTI48KDX" {
		t.Error(got)
	}
	if OfLoadBalancers("mars-1") != "" || Region("Z0") != "" {
		t.Error("a region that does not exist has a zone")
	}
}
