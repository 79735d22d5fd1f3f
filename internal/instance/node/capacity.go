package node

import (
	"fmt"
	"time"

	cadvisorapi "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"

	"github.com/tarn-eks/tarn/internal/instance"
)

// capacity is cAdvisor as the instance sees it: the machine is the instance
// type, and the root cgroup is the instance's own, so that the node's capacity
// and usage are its own and not those of the machine below.
type capacity struct {
	cadvisor.Interface
	config instance.Config
	bootID string
}

func (c capacity) MachineInfo(logger klog.Logger) (*cadvisorapi.MachineInfo, error) {
	info, err := c.Interface.MachineInfo(logger)
	if err != nil {
		return nil, err
	}
	machine := *info
	machine.NumCores = c.config.Capacity.VCPU
	machine.NumPhysicalCores = max(1, c.config.Capacity.VCPU/2)
	machine.NumSockets = 1
	machine.MemoryCapacity = uint64(c.config.Capacity.MemoryMiB) << 20
	machine.SwapCapacity = 0
	machine.HugePages = nil
	machine.Topology = topology(c.config.Capacity)
	machine.CloudProvider = cadvisorapi.AWS
	machine.InstanceID = cadvisorapi.InstanceID(c.config.ID)
	machine.BootID = c.bootID // a new one tells kubelet that the node was rebooted
	// On EC2 the system UUID begins with ec2; the rest is the instance's own.
	machine.SystemUUID = "ec2" + machine.MachineID[3:8] + "-" + machine.MachineID[8:12] + "-" + machine.MachineID[12:16] + "-" + machine.MachineID[16:20] + "-" + machine.MachineID[20:32]
	return &machine, nil
}

// topology is one socket whose cores have two threads each.
func topology(c instance.Capacity) []cadvisorapi.Node {
	node := cadvisorapi.Node{Memory: uint64(c.MemoryMiB) << 20}
	for thread := 0; thread < c.VCPU; thread += 2 {
		core := cadvisorapi.Core{Id: thread / 2, Threads: []int{thread}}
		if thread+1 < c.VCPU {
			core.Threads = append(core.Threads, thread+1)
		}
		node.Cores = append(node.Cores, core)
	}
	return []cadvisorapi.Node{node}
}

// root translates "/", by which kubelet means the whole node.
func (c capacity) root(name string) string {
	if name == "/" {
		return "/" + c.config.Cgroup
	}
	return name
}

func (c capacity) ContainerInfoV2(name string, options cadvisorapi.RequestOptions) (map[string]cadvisorapi.ContainerInfo, error) {
	infos, err := c.Interface.ContainerInfoV2(c.root(name), options)
	return rename(infos, c.root(name), name), err
}

func (c capacity) GetRequestedContainersInfo(name string, options cadvisorapi.RequestOptions) (map[string]*cadvisorapi.ContainerInfo, error) {
	infos, err := c.Interface.GetRequestedContainersInfo(c.root(name), options)
	return rename(infos, c.root(name), name), err
}

func rename[T any](infos map[string]T, from, to string) map[string]T {
	if info, ok := infos[from]; ok && from != to {
		delete(infos, from)
		infos[to] = info
	}
	return infos
}

// RootFsInfo and GetDirFsInfo ask the file system itself. cAdvisor answers from
// a cache that is still empty when kubelet first asks, and kubelet then ends.
func (c capacity) RootFsInfo() (cadvisorapi.FsInfo, error) {
	return c.GetDirFsInfo(kubeletDir)
}

func (c capacity) GetDirFsInfo(path string) (cadvisorapi.FsInfo, error) {
	var stat unix.Stat_t
	var fs unix.Statfs_t
	if err := unix.Stat(path, &stat); err != nil {
		return cadvisorapi.FsInfo{}, fmt.Errorf("looking at %s: %w", path, err)
	}
	if err := unix.Statfs(path, &fs); err != nil {
		return cadvisorapi.FsInfo{}, fmt.Errorf("looking at the file system of %s: %w", path, err)
	}
	block := uint64(fs.Bsize)
	return volume(cadvisorapi.FsInfo{
		Timestamp:  time.Now(),
		Device:     fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)),
		Mountpoint: path,
		Capacity:   fs.Blocks * block,
		Available:  fs.Bavail * block,
		Usage:      (fs.Blocks - fs.Bfree) * block,
		Inodes:     &fs.Files,
		InodesFree: &fs.Ffree,
	}, uint64(c.config.Capacity.VolumeGiB)<<30), nil
}

// volume presents the machine's file system as a root volume of a size in
// bytes: no larger than that, and no more free than the machine really has.
func volume(info cadvisorapi.FsInfo, size uint64) cadvisorapi.FsInfo {
	if size == 0 || info.Capacity <= size {
		return info
	}
	info.Capacity = size
	info.Available = min(info.Available, size)
	info.Usage = size - info.Available
	return info
}
