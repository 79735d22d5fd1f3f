package namespace

import (
	"testing"

	"github.com/moby/sys/mountinfo"
)

func TestSelfBound(t *testing.T) {
	root := &mountinfo.Info{ID: 1, Parent: 0, Major: 8, Minor: 1, Root: "/", Mountpoint: "/"}
	tests := []struct {
		name   string
		mounts []*mountinfo.Info
		want   bool
	}{
		{"not mounted", nil, false},
		{"on itself", []*mountinfo.Info{{ID: 2, Parent: 1, Major: 8, Minor: 1, Root: "/data", Mountpoint: "/data"}}, true},
		{"a disk", []*mountinfo.Info{{ID: 2, Parent: 1, Major: 8, Minor: 2, Root: "/", Mountpoint: "/data"}}, false},
		{"another directory", []*mountinfo.Info{{ID: 2, Parent: 1, Major: 8, Minor: 1, Root: "/srv", Mountpoint: "/data"}}, false},
		{"a disk, and on itself", []*mountinfo.Info{
			{ID: 2, Parent: 1, Major: 8, Minor: 2, Root: "/", Mountpoint: "/data"},
			{ID: 3, Parent: 2, Major: 8, Minor: 2, Root: "/", Mountpoint: "/data"},
		}, true},
		{"on itself, and a disk over it", []*mountinfo.Info{
			{ID: 2, Parent: 1, Major: 8, Minor: 1, Root: "/data", Mountpoint: "/data"},
			{ID: 3, Parent: 2, Major: 8, Minor: 2, Root: "/", Mountpoint: "/data"},
		}, false},
		{"parent unknown", []*mountinfo.Info{{ID: 2, Parent: 9, Major: 8, Minor: 1, Root: "/data", Mountpoint: "/data"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := selfBound(append(tt.mounts, root), "/data"); got != tt.want {
				t.Errorf("selfBound = %v, want %v", got, tt.want)
			}
		})
	}
}
