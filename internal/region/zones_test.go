package region

import (
	"strings"
	"testing"
)

func TestZonesThatTheVPCDoesNotHave(t *testing.T) {
	r, cc := newRegion(t), builtIn()
	r.withNetwork(t, cc)
	if err := r.createNetwork(t.Context(), cc); err != nil {
		t.Fatalf("the same file again: %v", err)
	}
	other := *cc
	other.Zones = []string{"ap-northeast-2d", "ap-northeast-2e"}
	if err := r.createNetwork(t.Context(), &other); err == nil || !strings.Contains(err.Error(), "ap-northeast-2d") {
		t.Errorf("other zones: %v", err)
	}
	group := *cc
	group.NodeGroups = append(group.NodeGroups[:0:0], cc.NodeGroups...)
	group.NodeGroups[0].Zones = []string{"ap-northeast-2d"}
	if err := r.createNetwork(t.Context(), &group); err == nil || !strings.Contains(err.Error(), "ap-northeast-2d") {
		t.Errorf("a group in another zone: %v", err)
	}
}
