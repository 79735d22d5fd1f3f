package node

import (
	"testing"

	cadvisorapi "github.com/google/cadvisor/lib/model"

	"github.com/tarn-eks/tarn/internal/instance"
)

func TestVolume(t *testing.T) {
	const gib = 1 << 30
	for _, test := range []struct {
		name                      string
		capacity, available, size uint64
		wantCapacity, wantFree    uint64
	}{
		{"a large disk is cut to the volume", 500 * gib, 300 * gib, 80 * gib, 80 * gib, 80 * gib},
		{"no more is free than the machine has", 500 * gib, 7 * gib, 80 * gib, 80 * gib, 7 * gib},
		{"a small disk is what it is", 50 * gib, 20 * gib, 80 * gib, 50 * gib, 20 * gib},
		{"no size, no cut", 50 * gib, 20 * gib, 0, 50 * gib, 20 * gib},
	} {
		got := volume(cadvisorapi.FsInfo{Capacity: test.capacity, Available: test.available}, test.size)
		if got.Capacity != test.wantCapacity || got.Available != test.wantFree {
			t.Errorf("%s: %d GiB with %d free", test.name, got.Capacity/gib, got.Available/gib)
		}
	}
}

func TestTopology(t *testing.T) {
	for vcpus, cores := range map[int]int{1: 1, 2: 1, 4: 2, 96: 48} {
		nodes := topology(instance.Capacity{VCPU: vcpus, MemoryMiB: 4096})
		threads := 0
		for _, core := range nodes[0].Cores {
			threads += len(core.Threads)
		}
		if len(nodes[0].Cores) != cores || threads != vcpus {
			t.Errorf("%d vCPUs: %d cores with %d threads", vcpus, len(nodes[0].Cores), threads)
		}
	}
}

func TestRootFileSystemIsThere(t *testing.T) {
	dir := t.TempDir()
	c := capacity{config: instance.Config{Capacity: instance.Capacity{VolumeGiB: 1}}}
	info, err := c.GetDirFsInfo(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Capacity == 0 || info.Capacity > 1<<30 || info.Device == "" {
		t.Errorf("%+v", info)
	}
	if _, err := c.GetDirFsInfo(dir + "/missing"); err == nil {
		t.Error("a directory that is not there has a file system")
	}
}
